//! What the ledger decides, command by command, on the reference.

mod batch;
mod begin;
mod bench;
mod conclude;
mod finish;
mod issue;
mod recover;
mod refresh;
mod resend;
mod revoke;
mod rows;
