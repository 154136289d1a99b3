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

/// The definitions that are built in.
///
/// # Errors
/// Never for a build that passed its tests: each definition is parsed there.
pub fn built_in() -> Result<Vec<Definition>, definition::InvalidDefinition> {
    Ok(vec![Definition::parse(STRIPE)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_definitions_are_valid() {
        assert_eq!(built_in().unwrap().len(), 1);
    }
}
