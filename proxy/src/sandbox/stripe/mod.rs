//! Stripe: the part of its API that moves money.
//!
//! **Imitated** (API version 2026-10-28): customers, payment intents, charges and refunds with their
//! states and declines; lists, search with its delay, events with the request that caused them;
//! forms with bracketed names, unknown parameters, bounds of amounts and metadata; idempotency keys
//! with replays, both mismatches, the conflict while a call runs, and the window after which a key
//! executes again; error shapes and headers.
//!
//! **Not imitated**: webhooks, Connect, 3-D Secure (`requires_action`), multiple captures, increments
//! of authorizations, refunds of uncaptured charges, fees, payment methods and sources other than the
//! test cards, nested parameters' own schemas, `OR` and `~` in searches, API v2. Calls to anything
//! that is missing are refused, not ignored.
//!
//! Three readings of ours where Stripe's documents are silent: errors that the endpoint itself finds
//! (an object that is missing or in the wrong state) are kept under the idempotency key, errors of a
//! parameter are not; while a call runs, its key answers 409 even to other parameters; and a refund
//! counts as money committed beside its charge, because an agent that refunds spends as well.

mod amounts;
mod auth;
mod balance;
mod cards;
mod charges;
mod customers;
mod engine;
mod errors;
mod events;
mod intent_calls;
mod intents;
mod ledger;
mod lists;
mod metadata;
mod params;
mod refunds;
mod routes;
mod schema;
mod search;
mod world;

use self::engine::API_VERSION;
pub(super) use self::engine::{Stripe, Ticket};
