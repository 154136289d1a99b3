//! Vendors are data: what one costs, and what its answers mean, is read from a definition.
//!
//! [`definition`] is the language, [`price`] reads a request's price, [`outcome`] what an answer
//! says about the money, and [`lookup`] how to find out about a call that has no answer.

pub mod amount;
mod check;
pub mod definition;
pub mod lookup;
mod object;
pub mod outcome;
pub mod pattern;
pub mod price;
pub mod units;

use definition::Definition;

/// The definition of Stripe that is built in.
const STRIPE: &str = include_str!("../../vendors/stripe.toml");
/// Those of Twilio and Resend.
const TWILIO: &str = include_str!("../../vendors/twilio.toml");
const RESEND: &str = include_str!("../../vendors/resend.toml");

/// The definitions that are built in.
///
/// # Errors
/// Never for a build that passed its tests: each definition is parsed there.
pub fn built_in() -> Result<Vec<Definition>, definition::InvalidDefinition> {
    [STRIPE, TWILIO, RESEND].into_iter().map(Definition::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_definitions_are_valid() {
        let names: Vec<_> = built_in().unwrap().iter().map(|it| it.name().to_owned()).collect();
        assert_eq!(names, ["stripe", "twilio", "resend"]);
    }
}
