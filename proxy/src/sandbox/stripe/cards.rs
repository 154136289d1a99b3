//! Stripe's test cards, by the names of their tokens and payment methods.

use serde_json::{Value, json};

use super::{
    errors::{self, ApiError},
    world::World,
};

/// A test card.
#[derive(Clone, Copy, Debug)]
pub(super) struct Card {
    pub(super) brand: &'static str,
    pub(super) last4: &'static str,
    pub(super) decline: Option<Decline>,
}

/// Why a card is declined.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decline {
    pub(super) code: &'static str,
    pub(super) reason: &'static str,
    pub(super) message: &'static str,
}

/// The decline that a bank does not explain.
pub(super) const GENERIC: Decline = Decline {
    code: "card_declined",
    reason: "generic_decline",
    message: "Your card was declined.",
};

impl Card {
    /// The card of `pm_card_visa` or `tok_visa`.
    fn named(token: &str, prefix: &str) -> Option<Self> {
        let name = token.strip_prefix(prefix)?;
        let good = |brand, last4| Some(Self { brand, last4, decline: None });
        let bad = |last4, decline| Some(Self { brand: "visa", last4, decline: Some(decline) });
        let declined = |reason, message| Decline { code: "card_declined", reason, message };
        match name {
            "visa" | "us" => good("visa", "4242"),
            "visa_debit" => good("visa", "5556"),
            "mastercard" => good("mastercard", "4444"),
            "mastercard_debit" => good("mastercard", "3222"),
            "amex" => good("amex", "8431"),
            "discover" => good("discover", "9424"),
            "chargeDeclined" | "visa_chargeDeclined" => bad("0002", GENERIC),
            "chargeDeclinedInsufficientFunds" | "visa_chargeDeclinedInsufficientFunds" => {
                bad("9995", declined("insufficient_funds", "Your card has insufficient funds."))
            }
            "chargeDeclinedLostCard" => bad("9987", declined("lost_card", GENERIC.message)),
            "chargeDeclinedStolenCard" => bad("9979", declined("stolen_card", GENERIC.message)),
            "chargeDeclinedExpiredCard" => bad(
                "0069",
                Decline {
                    code: "expired_card",
                    reason: "expired_card",
                    message: "Your card has expired.",
                },
            ),
            "chargeDeclinedProcessingError" => bad(
                "0119",
                Decline {
                    code: "processing_error",
                    reason: "processing_error",
                    message: "The card could not be processed.",
                },
            ),
            _ => None,
        }
    }

    pub(super) fn details(self) -> Value {
        json!({
            "type": "card",
            "card": {
                "brand": self.brand, "country": "US", "exp_month": 8, "exp_year": 2030,
                "funding": "credit", "last4": self.last4, "network": self.brand,
            },
        })
    }
}

/// A card that is stored under an id.
#[derive(Clone, Debug)]
pub(super) struct Method {
    pub(super) id: String,
    pub(super) card: Card,
}

/// The payment method of this id, or a new one of a test name such as `pm_card_visa`.
pub(super) fn payment_method(world: &mut World, name: &str) -> Result<Method, ApiError> {
    if let Some(card) = world.methods.get(name) {
        return Ok(Method { id: name.to_owned(), card: *card });
    }
    store(world, name, "pm_card_", "pm_")
        .ok_or_else(|| errors::missing_reference("PaymentMethod", name, "payment_method"))
}

/// The card of a source id, or a new one of a test token such as `tok_visa`.
pub(super) fn source(world: &mut World, name: &str) -> Result<Method, ApiError> {
    if let Some(card) = world.methods.get(name) {
        return Ok(Method { id: name.to_owned(), card: *card });
    }
    store(world, name, "tok_", "card_")
        .ok_or_else(|| errors::missing_reference("token", name, "source"))
}

fn store(world: &mut World, name: &str, named: &str, prefix: &str) -> Option<Method> {
    let card = Card::named(name, named)?;
    let id = world.ids.next(prefix);
    world.methods.insert(id.clone(), card);
    Some(Method { id, card })
}
