//! Random histories of objects that calls make and change, on the reference and `SQLite` together.
//!
//! A vendor of a few objects executes some calls, loses some answers and is looked up later. After
//! every step: the budgets are what their calls add up to, no cap is passed, and what the calls of
//! an object count for together is what the vendor says that it stands for.

use std::{collections::BTreeMap, sync::Arc};

use keybrake_core::{
    call::{Effect, Evidence, State},
    ids::{BudgetId, CallId, KeyId},
    ledger::{
        Begin, Begun, Command, Ended, Finding, HeldCall, Reply,
        rows::{Call, Rows, VaultKey},
    },
    money::MicroUsd,
};
use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use crate::{
    make::{ABSENT_AFTER, Ask, HOUR, MINUTE, Order, absent, at, conclude, finish, micros},
    stores::Pair,
    subject::Subject,
};

const HISTORIES: u64 = 200;
const STEPS: usize = 60;
const CAPS: [u64; 3] = [60, 40, 50];

/// What a call does to its object.
#[derive(Clone, Debug)]
enum Act {
    /// Makes this one.
    Make(String),
    /// Leaves it at an amount of at most what was quoted.
    Set(String),
    /// Takes back all but this part of it.
    Cancel(String),
}

/// A call that was sent and has no answer yet, or none that can come.
#[derive(Clone, Debug)]
struct Sent {
    held: HeldCall,
    act: Act,
    /// What the vendor made of it.
    executed: Option<u64>,
    doubted: bool,
}

struct World {
    pair: Pair,
    rng: ChaCha8Rng,
    now: i64,
    next: i64,
    keys: Vec<Arc<VaultKey>>,
    /// What each object stands for at the vendor.
    vendor: BTreeMap<String, u64>,
    sent: Vec<Sent>,
}

impl World {
    fn new(seed: u64) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let (vendor, sent, keys) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut world = Self { pair: Pair::default(), rng, now: HOUR, next: 0, keys, vendor, sent };
        for (index, cap) in CAPS.into_iter().enumerate() {
            // The second spends from the first one's budget too.
            let parent = (index == 1).then(|| world.keys[0].id);
            let order = Order { parent, ..Order::capped(None, Some(cap)) };
            let (key, budget) = (KeyId::from_number(world.fresh()), world.fresh());
            let Reply::Issued(issued) =
                world.apply(order.issue(key, BudgetId::from_number(budget)))
            else {
                panic!("not issued");
            };
            world.keys.push(Arc::new(issued.unwrap().key));
        }
        world
    }

    fn fresh(&mut self) -> i64 {
        self.next += 1;
        self.next
    }

    fn apply(&mut self, command: Command) -> Reply {
        self.now += self.rng.random_range(0..MINUTE);
        let mut replies = self.pair.apply(&[command], at(self.now)).unwrap();
        replies.remove(0).unwrap()
    }

    fn step(&mut self) {
        match self.rng.random_range(0..10) {
            0..5 => self.call(),
            5..8 => self.answer(),
            8 => self.look_up(),
            _ => self.restart(),
        }
    }

    /// Begins a call about an object, or that makes one. Mostly, the vendor executes it.
    fn call(&mut self) {
        let number = self.fresh();
        let amount = self.rng.random_range(1..20);
        let key = Arc::clone(self.keys.choose(&mut self.rng).unwrap());
        let known: Vec<String> =
            self.vendor.keys().filter(|object| !self.is_secret(object)).cloned().collect();
        let about = known.choose(&mut self.rng).filter(|_| number % 3 > 0).cloned();
        let cancels = self.rng.random_bool(0.3);
        let act = match about.clone() {
            None => Act::Make(format!("pi_{number}")),
            Some(object) if cancels => Act::Cancel(object),
            Some(object) => Act::Set(object),
        };
        let quoted = if matches!(act, Act::Cancel(_)) { 0 } else { amount };
        let call = CallId::from_number(number);
        let mut ask: Begin = Ask::charge(quoted, &format!("key-{number}")).begin(call, &key);
        if let Ok(quote) = &mut ask.quote {
            quote.object = about;
        }
        let Reply::Begun(begun) = self.apply(Command::Begin(Box::new(ask))) else {
            panic!("not a reply to a begin");
        };
        let Begun::Held(held) = *begun else {
            return;
        };
        let executed = self.rng.random_bool(0.8).then(|| self.execute(&act, quoted));
        self.sent.push(Sent { held, act, executed, doubted: false });
    }

    /// Whether nobody can know an object yet: the answer that tells of it is on its way.
    fn is_secret(&self, object: &str) -> bool {
        let tells =
            |sent: &Sent| matches!(&sent.act, Act::Make(made) if made == object) && !sent.doubted;
        self.sent.iter().any(tells)
    }

    /// What the object stands for after it.
    fn execute(&mut self, act: &Act, quoted: u64) -> u64 {
        let (object, stands) = match act {
            Act::Make(object) => (object, quoted),
            Act::Set(object) => (object, self.rng.random_range(0..=quoted)),
            Act::Cancel(object) => (object, self.rng.random_range(0..=self.vendor[object])),
        };
        self.vendor.insert(object.clone(), stands);
        stands
    }

    /// One answer comes, or is lost.
    fn answer(&mut self) {
        let open: Vec<usize> =
            (0..self.sent.len()).filter(|index| !self.sent[*index].doubted).collect();
        let Some(index) = open.choose(&mut self.rng).copied() else {
            return;
        };
        let sent = self.sent.remove(index);
        let object = sent.act.object().to_owned();
        let evidence = match sent.executed {
            _ if self.rng.random_bool(0.3) => Evidence::Unknown,
            Some(stands) => Evidence::Executed(sent.act.effect(stands)),
            None => Evidence::NotExecuted,
        };
        let mut command = finish(sent.held.call, sent.held.attempt, evidence, Some(self.now));
        if let Command::Finish(finish) = &mut command {
            finish.answer.object_id = Some(object);
        }
        let Reply::Ended(Ended::Recorded { .. }) = self.apply(command) else {
            panic!("an answer to a held call is not recorded");
        };
        if evidence == Evidence::Unknown {
            self.sent.push(Sent { doubted: true, ..sent });
        }
    }

    /// Finds out about one call in doubt: by itself, or by what its object stands for.
    fn look_up(&mut self) {
        let open: Vec<usize> =
            (0..self.sent.len()).filter(|index| self.sent[*index].doubted).collect();
        let Some(index) = open.choose(&mut self.rng).copied() else {
            return;
        };
        let sent = self.sent.remove(index);
        self.now += ABSENT_AFTER + HOUR;
        let object = sent.act.object();
        let stands = self.vendor.get(object).copied();
        let seen = matches!(sent.act, Act::Make(_)) || self.rng.random_bool(0.5);
        let finding = match (sent.executed, stands) {
            (Some(_), Some(stands)) if seen => Finding::Found(sent.act.effect(stands)),
            (_, stands) => {
                let mut absent = absent(sent.held.attempt, self.now);
                if let Finding::Absent { stands: known, .. } = &mut absent {
                    *known = stands.map(micros);
                }
                absent
            }
        };
        let mut command = conclude(sent.held.call, finding);
        if let Command::Conclude(found) = &mut command {
            found.object_id = matches!(finding, Finding::Found(_)).then(|| object.to_owned());
        }
        let Reply::Ended(ended) = self.apply(command) else {
            panic!("not a reply to a look-up");
        };
        if ended == Ended::Ignored {
            assert!(matches!(sent.act, Act::Make(_)), "only a making waits for its turn");
            self.sent.push(sent);
        }
    }

    fn restart(&mut self) {
        self.pair.crash_after_commit(&[], at(self.now)).unwrap();
        self.pair.restart(at(self.now)).unwrap();
        for sent in &mut self.sent {
            sent.doubted = true;
        }
    }

    fn audit(&mut self) {
        let rows = self.pair.snapshot().unwrap();
        for (key, cap) in self.keys.iter().zip(CAPS) {
            let budget = &rows.budgets[&key.chain[0]];
            let of = |pick: fn(State, u64) -> u64| sum(&rows, key.chain[0], pick);
            let spent = of(|state, amount| match state {
                State::Settled(_) | State::InDoubt => amount,
                State::Held | State::Released => 0,
            });
            let held = of(|state, amount| if state == State::Held { amount } else { 0 });
            assert_eq!([budget.total_spent, budget.held].map(MicroUsd::as_micros), [spent, held]);
            assert!(spent + held <= cap, "{spent} spent and {held} held of {cap}");
        }
        for (object, stands) in &self.vendor {
            let parts = rows.calls.values().filter(|call| call.object.as_ref() == Some(object));
            let parts: Vec<_> = parts.collect();
            let making =
                self.sent.iter().any(|sent| matches!(&sent.act, Act::Make(made) if made == object));
            if parts.iter().any(|part| part.is_open()) || making {
                continue;
            }
            let counted: u64 = parts.iter().map(|part| part.settled().as_micros()).sum();
            assert_eq!(counted, *stands, "{object}");
        }
    }
}

impl Act {
    fn object(&self) -> &str {
        match self {
            Self::Make(object) | Self::Set(object) | Self::Cancel(object) => object,
        }
    }

    fn effect(&self, stands: u64) -> Effect {
        match self {
            Self::Make(_) | Self::Set(_) => Effect::Stands(micros(stands)),
            Self::Cancel(_) => Effect::Leaves(micros(stands)),
        }
    }
}

/// The sum of what the calls of a budget and its descendants hold or count for.
fn sum(rows: &Rows, budget: BudgetId, pick: fn(State, u64) -> u64) -> u64 {
    let under = |own: BudgetId| rows.chain(own).unwrap().contains(&budget);
    let lives = rows.calls.values().filter(|call| under(call.budget)).filter_map(Call::life);
    lives.map(|life| pick(life.state, life.amount().as_micros())).sum()
}

#[test]
fn what_calls_count_for_is_what_their_objects_stand_for() {
    for seed in 0..HISTORIES {
        let mut world = World::new(seed);
        for step in 0..STEPS {
            world.step();
            let audit = std::panic::AssertUnwindSafe(|| world.audit());
            assert!(std::panic::catch_unwind(audit).is_ok(), "seed {seed}, step {step}");
        }
    }
}
