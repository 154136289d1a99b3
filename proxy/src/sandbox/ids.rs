//! Makes ids that look like the vendors'.

use rand::{Rng, distr::Alphanumeric};
use rand_chacha::ChaCha8Rng;

pub(super) struct Ids(pub(super) ChaCha8Rng);

impl Ids {
    /// As Stripe makes them: 24 letters and digits.
    pub(super) fn next(&mut self, prefix: &str) -> String {
        let mut id = String::with_capacity(prefix.len() + 24);
        id.push_str(prefix);
        for _ in 0..24 {
            id.push(char::from(self.0.sample(Alphanumeric)));
        }
        id
    }

    /// As Twilio makes them: two capitals and 32 hexadecimal digits.
    pub(super) fn sid(&mut self, prefix: &str) -> String {
        format!("{prefix}{:032x}", self.0.random::<u128>())
    }

    /// As Resend makes them: a random UUID.
    pub(super) fn uuid(&mut self) -> String {
        let hex = format!("{:032x}", self.0.random::<u128>());
        let part = |from, to| hex.get(from..to).unwrap_or_default();
        format!(
            "{}-{}-4{}-a{}-{}",
            part(0, 8),
            part(8, 12),
            part(13, 16),
            part(17, 20),
            part(20, 32)
        )
    }
}
