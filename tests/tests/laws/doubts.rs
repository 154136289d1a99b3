//! What is said of calls whose outcome is not known: late reports, look-ups, an operator's word.

use keybrake_core::{
    call::Evidence,
    ids::CallId,
    ledger::{Command, Finding},
};
use rand::{Rng, seq::IndexedRandom};

use crate::{
    books::Stands,
    history::Plan,
    make::{absent, conclude, finish, micros},
    subject::Subject,
    world::World,
};

impl<S: Subject> World<S> {
    /// A report about an attempt that is over: whatever it says, it comes too late.
    pub(crate) fn plan_stale_finish(&mut self, plan: &mut Plan) {
        let Some(call) = self.any_call(|_| true) else {
            return;
        };
        let entry = &self.books.entries[&call];
        let attempt = match entry.stands {
            Stands::Held => entry.attempt - 1,
            Stands::Settled(_) | Stands::Released | Stands::InDoubt => entry.attempt,
        };
        let executed = Evidence::moved(micros(entry.hold));
        let any = [executed, Evidence::NotExecuted, Evidence::Unknown];
        let evidence = *any.choose(&mut self.rng).unwrap();
        plan.commands.push(finish(call, attempt, evidence, None));
    }

    pub(crate) fn any_call(&mut self, which: impl Fn(Stands) -> bool) -> Option<CallId> {
        let entries = self.books.entries.iter();
        let calls: Vec<_> =
            entries.filter(|(_, entry)| which(entry.stands)).map(|(id, _)| *id).collect();
        calls.choose(&mut self.rng).copied()
    }

    pub(crate) fn plan_look_up(&mut self, plan: &mut Plan) {
        let misled = self.rng.random_bool(0.1);
        let in_doubt = |stands| misled || stands == Stands::InDoubt;
        let Some(call) = self.any_call(in_doubt) else {
            return;
        };
        if self.rng.random_bool(0.1) {
            return; // ambiguous: no event
        }
        let stale = self.rng.random_bool(0.1);
        plan.commands.push(self.look_up(call, stale));
    }

    /// What a look-up of a call finds now, about its last attempt or one before.
    pub(crate) fn look_up(&self, call: CallId, stale: bool) -> Command {
        let entry = &self.books.entries[&call];
        let seen = self.vendor.look_up(&entry.vendor, entry.key.as_ref(), self.time);
        let attempt = entry.attempt - u32::from(stale);
        // Both ends of this time are of one clock: a step of it in between is not modelled.
        let looked_at = entry.begun_at + (self.time - self.begun[&call]);
        let found = seen.map(|amount| Finding::moved(micros(amount)));
        conclude(call, found.unwrap_or(absent(attempt, looked_at)))
    }

    pub(crate) fn plan_operator(&mut self, plan: &mut Plan) {
        let Some(call) = self.any_call(|stands| stands == Stands::InDoubt) else {
            return;
        };
        let entry = &self.books.entries[&call];
        let billed = self.vendor.under(&entry.vendor, entry.key.as_ref()).last();
        let mut finding = match billed.map(|done| done.amount) {
            Some(amount) => Finding::ResolvedSettled(micros(amount)),
            None if self.vendor.has_processed(call) => return, // it will be: wait
            None => Finding::ResolvedReleased,
        };
        if self.rng.random_bool(0.3) {
            finding = if finding == Finding::ResolvedReleased {
                Finding::ResolvedSettled(micros(entry.hold))
            } else {
                Finding::ResolvedReleased
            };
            self.misreport(call);
        }
        plan.commands.push(conclude(call, finding));
    }
}
