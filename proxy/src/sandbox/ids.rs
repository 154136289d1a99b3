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
}
