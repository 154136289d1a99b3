//! The laws of the ledger, as properties of random histories and as small scenarios.
//!
//! A history is a world of callers, a proxy that crashes, a vendor with a mind of its own and a
//! clock that is not always right. After every step an auditor, who keeps books of its own, checks
//! every law. Histories are seeded: a failure prints its seed and its steps.
//!
//! `KEYBRAKE_HISTORIES=100000` runs that many; `KEYBRAKE_SEED=17` runs that one and prints its steps.

#[cfg(test)]
mod audit;
#[cfg(test)]
mod books;
#[cfg(test)]
mod claims;
#[cfg(test)]
mod coverage;
#[cfg(test)]
mod describe;
#[cfg(test)]
mod doubts;
#[cfg(test)]
mod expect;
#[cfg(test)]
mod fates;
#[cfg(test)]
mod history;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod make;
#[cfg(test)]
mod objects;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod report;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod stores;
#[cfg(test)]
mod subject;
#[cfg(test)]
mod vendor;
#[cfg(test)]
mod world;
