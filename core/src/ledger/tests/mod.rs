//! What the ledger decides, command by command, on the reference.

mod api_keys;
mod batch;
mod begin;
mod bench;
mod conclude;
mod finish;
mod issue;
mod max_calls;
mod objects;
mod recover;
mod refresh;
mod resend;
mod revoke;
mod rows;
mod runs;
