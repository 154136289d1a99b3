//! What a call may do, what it costs, and what happens to its money.
//!
//! Pure: no I/O, no clock, no randomness. A request's [`path`] and [`params`] are read into one
//! form, a key's [`policy`] permits it, a [`vendor`] definition prices it, and the [`ledger`]
//! decides on it: a [`budget`] holds its money and a [`call`] is the life of that money. What is
//! refused, and how its reader is told, is a [`refusal`]. Who may ask the admin API for what is
//! in [`access`]. What a text message counts as is in [`segments`],
//! and what foreign money is in dollars in [`rates`]. Which runs stand out by what they did is in
//! [`report`].

pub mod access;
pub mod budget;
pub mod call;
pub mod currency;
pub mod ids;
pub mod ledger;
pub mod money;
pub mod params;
pub mod path;
pub mod policy;
pub mod rates;
pub mod refusal;
pub mod report;
pub mod segments;
pub mod time;
pub mod token;
pub mod vendor;
