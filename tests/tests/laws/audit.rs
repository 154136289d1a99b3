//! What the laws say of all rows together, after every step.

use std::collections::{BTreeMap, BTreeSet};

use keybrake_core::{
    call::State,
    ids::BudgetId,
    ledger::rows::{Changes, Rows},
    money::MicroUsd,
    time::Timestamp,
};

use crate::{
    books::{Account, Books, Entry, Stands},
    claims::{Breaches, Law, claim},
    vendor::Vendor,
};

/// Idempotency keys about which an operator told the ledger something untrue: by vendor and key.
pub(crate) type Misreported = BTreeSet<(String, Option<String>)>;

/// Checks all rows against the books and the vendor.
pub(crate) fn audit(
    rows: &Rows,
    books: &Books,
    vendor: &Vendor,
    misreported: &Misreported,
    breaches: &mut Breaches,
) {
    for (id, account) in &books.accounts {
        never_over(books, *id, account, breaches);
        adds_up(rows, books, *id, account, breaches);
    }
    calls_are_booked(rows, books, breaches);
    only_evidence(rows, books, vendor, breaches);
    once_per_key(vendor, misreported, breaches);
    let clock = rows.clock.as_micros() == books.now && rows.changes == Changes::default();
    claim(breaches, Law::Books, clock, || {
        format!("the ledger's time is {}, not {}", rows.clock, books.now)
    });
    let runs = rows.revoked_runs.iter().map(|(runs, at)| (runs, at.as_micros()));
    let runs = runs.eq(books.revoked_runs.iter().map(|(runs, at)| (runs, *at)));
    claim(breaches, Law::RevokedMeansNow, runs, || {
        format!("revoked runs {:?} are not {:?}", rows.revoked_runs, books.revoked_runs)
    });
    let api_keys = rows.api_keys.len() == books.api_keys.len()
        && books.api_keys.iter().all(|(id, key)| rows.api_keys.get(id) == Some(key));
    claim(breaches, Law::Books, api_keys, || {
        format!("API keys {:?} are not {:?}", rows.api_keys, books.api_keys)
    });
}

/// Law 1, by the auditor's sums over calls.
fn never_over(books: &Books, id: BudgetId, account: &Account, breaches: &mut Breaches) {
    let sums = books.sums(id, None);
    if let Some(cap) = account.total {
        let fits = sums.spent + sums.held <= cap + sums.overrun;
        claim(breaches, Law::NeverOver, fits, || format!("{id}: {sums:?} of the total cap {cap}"));
    }
    if let Some(most) = account.max_calls {
        let made = books.calls(id);
        claim(breaches, Law::NeverOver, made <= usize::try_from(most).unwrap(), || {
            format!("{id}: {made} calls of {most}")
        });
    }
    let current = account.window(books.now);
    for (window, cap) in (0..=current).filter_map(|window| Some((window, account.daily?))) {
        let spent = books.spent_in(id, window, None);
        let held = if window == current { sums.held } else { 0 };
        let fits = spent + held <= cap + sums.overrun;
        claim(breaches, Law::NeverOver, fits, || {
            format!("{id}, window {window}: {spent} spent and {held} held of the daily cap {cap}")
        });
    }
}

/// The ledger's running totals are the sums over its calls.
fn adds_up(rows: &Rows, books: &Books, id: BudgetId, account: &Account, breaches: &mut Breaches) {
    let Some(budget) = rows.budgets.get(&id) else {
        claim(breaches, Law::Books, false, || format!("{id} is lost"));
        return;
    };
    let sums = books.sums(id, None);
    let cap = |cap: Option<MicroUsd>| cap.map(MicroUsd::as_micros);
    let constant = budget.parent == account.parent
        && cap(budget.caps.daily()) == account.daily
        && cap(budget.caps.total()) == account.total
        && budget.caps.max_calls() == account.max_calls
        && budget.anchor.as_micros() == account.anchor
        && budget.revoked_at.map(Timestamp::as_micros) == account.revoked_at;
    let money = [budget.held, budget.total_spent, budget.in_doubt].map(MicroUsd::as_micros);
    let window = budget.window <= account.window(books.now)
        && budget.window_spent.as_micros() == books.spent_in(id, budget.window, None);
    let calls = usize::try_from(budget.calls).unwrap() == books.calls(id);
    let holds = constant && window && calls && money == [sums.held, sums.spent, sums.in_doubt];
    claim(breaches, Law::Books, holds, || format!("{budget:?} is not {account:?} with {sums:?}"));
}

/// Every call has its row, and every idempotency key its call.
fn calls_are_booked(rows: &Rows, books: &Books, breaches: &mut Breaches) {
    let count = books.entries.len() + books.moneyless.len();
    claim(breaches, Law::Books, rows.calls.len() == count, || {
        format!("{} calls in {count} rows", rows.calls.len())
    });
    for (id, entry) in &books.entries {
        let booked = rows.calls.get(id).is_some_and(|call| {
            call.life().is_some_and(|life| {
                stands(life.state) == entry.stands
                    && life.hold.as_micros() == entry.hold
                    && life.doubted == entry.doubted
            }) && call.attempt == entry.attempt
                && call.at.as_micros() == entry.at
                && call.begun_at.as_micros() == entry.begun_at
                && Some(&call.budget) == entry.chain.first()
        });
        claim(breaches, Law::Books, booked, || {
            format!("{id} is {:?}, not {entry:?}", rows.calls.get(id))
        });
    }
    let moneyless = books.moneyless.iter().all(|id| {
        let call = rows.calls.get(id);
        call.is_some_and(|call| call.life().is_none())
    });
    claim(breaches, Law::Books, moneyless, || "a refusal has money".to_owned());
    let bound: BTreeMap<_, _> = rows
        .bindings
        .iter()
        .map(|(binding, call)| ((&binding.vendor, Some(&binding.key)), *call))
        .collect();
    let binds = |entry: &&Entry| entry.stands != Stands::Released && entry.key.is_some();
    let expected: BTreeMap<_, _> = books
        .entries
        .iter()
        .filter(|(_, entry)| binds(entry))
        .map(|(id, entry)| ((&entry.vendor, entry.key.as_ref()), *id))
        .collect();
    claim(breaches, Law::OncePerKey, bound == expected, || {
        format!("idempotency keys {bound:?} are not {expected:?}")
    });
}

fn stands(state: State) -> Stands {
    match state {
        State::Held => Stands::Held,
        State::Settled(amount) => Stands::Settled(amount.as_micros()),
        State::Released => Stands::Released,
        State::InDoubt => Stands::InDoubt,
    }
}

/// Laws 2 and 3: what the rows say ended did end that way at the vendor, and what the vendor
/// processed is held, in doubt or settled.
fn only_evidence(rows: &Rows, books: &Books, vendor: &Vendor, breaches: &mut Breaches) {
    let trusted = |id| books.entries.get(&id).is_some_and(|entry| !entry.by_operator);
    for call in rows.calls.values().filter(|call| trusted(call.id)) {
        let (id, key) = (call.id, call.request.idempotency_key.as_ref());
        match call.life().map(|life| life.state) {
            Some(State::Released) if !call.request.method.is_read() => {
                claim(breaches, Law::OnlyEvidence, !vendor.has_processed(id), || {
                    format!("{id} is released, and the vendor processed it")
                });
            }
            Some(State::Settled(amount)) if key.is_some() => {
                let billed = |amount| {
                    let mut done = vendor.under(&call.request.vendor, key);
                    done.any(|done| done.amount == amount)
                };
                claim(breaches, Law::OnlyEvidence, billed(amount.as_micros()), || {
                    format!("{id} settled at {amount}, which the vendor did not bill")
                });
            }
            Some(State::Released | State::Settled(_) | State::Held | State::InDoubt) | None => {}
        }
    }
    for done in vendor.processed() {
        let known = rows.calls.get(&done.call).is_some_and(|call| call.life().is_some());
        claim(breaches, Law::HoldFirst, known, || {
            format!("the vendor processed {}, which holds nothing", done.call)
        });
    }
}

/// Law 4, at the vendor.
fn once_per_key(vendor: &Vendor, misreported: &Misreported, breaches: &mut Breaches) {
    let mut seen = BTreeSet::new();
    for done in vendor.processed().iter().filter(|done| done.key.is_some()) {
        let key = (done.vendor.clone(), done.key.clone());
        let once = misreported.contains(&key) || seen.insert(key);
        claim(breaches, Law::OncePerKey, once, || {
            format!("{} processed {:?} twice", done.vendor, done.key)
        });
    }
}

/// When all is over, nothing is held or in doubt, and the ledger has settled what was billed.
pub(crate) fn reconcile(
    rows: &Rows,
    vendor: &Vendor,
    misreported: &Misreported,
    breaches: &mut Breaches,
) {
    let mut settled = BTreeMap::new();
    for call in rows.calls.values() {
        let Some(life) = call.life() else { continue };
        let open = call.is_open();
        claim(breaches, Law::OnlyEvidence, !open, || {
            format!("{} is still {:?}", call.id, life.state)
        });
        if call.request.idempotency_key.is_some() {
            let key = (call.request.vendor.clone(), call.request.idempotency_key.clone());
            *settled.entry(key).or_insert(0) += life.amount().as_micros();
        }
    }
    let mut billed: BTreeMap<_, u64> = settled.keys().map(|key| (key.clone(), 0)).collect();
    for done in vendor.processed().iter().filter(|done| done.key.is_some()) {
        let key = (done.vendor.clone(), done.key.clone());
        *billed.entry(key).or_insert(0) += done.amount;
    }
    settled.retain(|key, _| !misreported.contains(key));
    billed.retain(|key, _| !misreported.contains(key));
    claim(breaches, Law::OnlyEvidence, settled == billed, || {
        format!("settled {settled:?}, billed {billed:?}")
    });
    for budget in rows.budgets.values() {
        let nothing = budget.held.as_micros() == 0 && budget.in_doubt.as_micros() == 0;
        claim(breaches, Law::OnlyEvidence, nothing, || format!("{budget:?} still holds"));
    }
}
