//! The core against the slow and obvious model of tests/core/model, step by step on generated commands:
//! the same events, the same refusals, the same balances and the same reservations.

mod model;
mod support;

use std::collections::BTreeMap;

use counterfoil_core::command::Command;
use counterfoil_core::event::{EventBody, Outcome, Record};
use counterfoil_core::types::Timestamp;

use model::{Expected, Model};
use support::bench::Bench;
use support::fold::Fold;
use support::generate::Generator;
use support::rng::Rng;
use support::tally::{Tally, interesting, interesting_in_production};

/// Sequences, and proposals in each. A bug found is a seed and a step.
const SEQUENCES: u64 = 4_000;
const STEPS: usize = 120;

/// A core and a model that are told the same.
struct Pair {
    bench: Bench,
    model: Model,
    fold: Fold,
    tally: Tally,
}

impl Pair {
    fn propose(&mut self, time: Timestamp, commands: Vec<Command>) {
        let (outcomes, first) = self.bench.propose(time, commands.clone());
        let records: Vec<Record> = self.bench.records[first..].to_vec();
        let mut records = records.into_iter();
        for events in self.model.pass_time(time) {
            let record = records.next().expect("the core ends what is due");
            assert_eq!((record.origin, bodies(&record)), (None, events), "due at {time}");
            self.fold.add(&record, None);
            self.tally.record(&record);
        }
        let mut outcomes = outcomes.iter();
        for chain in commands.split_inclusive(|command| !command.linked) {
            for (command, expected) in chain.iter().zip(self.model.apply(chain)) {
                let outcome = outcomes.next().expect("one outcome per command");
                self.tally.outcome(outcome);
                self.compare(command, &expected, outcome, &mut records);
            }
        }
        assert_eq!(records.next(), None, "the core says more than was asked");
        assert_eq!(self.bench.ledger.sequence().0, self.model.sequence);
        self.compare_balances();
    }

    fn compare(
        &mut self,
        command: &Command,
        expected: &Expected,
        outcome: &Outcome,
        records: &mut impl Iterator<Item = Record>,
    ) {
        match (expected, outcome) {
            (Expected::Duplicate(at), Outcome::Duplicate { sequence }) => assert_eq!(*at, sequence.0),
            (Expected::Taken(at), Outcome::IdReused { sequence }) => assert_eq!(*at, sequence.0),
            (Expected::Refused(_) | Expected::Done(_), Outcome::Applied { .. }) => {
                let record = records.next().expect("an applied command has a record");
                match (expected, &record.events[0].body) {
                    (Expected::Refused(reasons), EventBody::Rejected(reason)) => {
                        assert!(reasons.contains(reason), "{reason} is not one of {reasons:?} for {command:?}");
                    }
                    (Expected::Done(events), _) => assert_eq!(&bodies(&record), events, "{command:?}"),
                    (expected, event) => panic!("{event:?} where {expected:?} was expected of {command:?}"),
                }
                self.tally.record(&record);
                self.fold.add(&record, Some(command));
            }
            (expected, outcome) => panic!("{outcome:?} where {expected:?} was expected of {command:?}"),
        }
    }

    fn compare_balances(&self) {
        let nothing = (0, 0);
        let core: BTreeMap<_, _> = self
            .fold
            .balances
            .iter()
            .map(|(key, held)| (*key, (i128::from(held.posted), i128::from(held.reserved))))
            .collect();
        let model: BTreeMap<_, _> =
            self.model.balances.iter().map(|(key, balance)| (*key, (balance.posted, balance.reserved))).collect();
        for key in core.keys().chain(model.keys()) {
            let (core, model) = (core.get(key).unwrap_or(&nothing), model.get(key).unwrap_or(&nothing));
            assert_eq!(core, model, "posted and reserved of account {} asset {}", key.0, key.1);
        }
    }
}

fn bodies(record: &Record) -> Vec<EventBody> {
    record.events.iter().map(|event| event.body.clone()).collect()
}

fn run(seed: u64) -> Tally {
    let mut generator = Generator::new(seed);
    if generator.swarm.huge {
        return Tally::default(); // The model counts without bounds; core_properties.rs looks at them.
    }
    let (bench, model, fold, tally) = (Bench::new(), Model::default(), Fold::default(), Tally::default());
    let mut pair = Pair { bench, model, fold, tally };
    let preamble = generator.preamble();
    pair.propose(generator.now, preamble);
    let mut rng = Rng::new(!seed);
    for _ in 0..STEPS {
        let (time, commands) = generator.proposal(&mut rng, &pair.fold);
        pair.propose(time, commands);
    }
    pair.tally
}

#[test]
fn the_core_does_what_the_model_does() {
    let wanted: Option<u64> = std::env::var("MODEL_SEED").ok().and_then(|text| text.parse().ok());
    if let Some(seed) = wanted {
        run(seed);
        return;
    }
    let mut total = Tally::default();
    for seed in 0..SEQUENCES {
        let result = std::panic::catch_unwind(|| run(seed));
        total.add(&result.unwrap_or_else(|_| panic!("MODEL_SEED={seed} repeats this")));
    }
    total.demand(500, interesting().iter().map(String::as_str));
    total.demand(200, interesting_in_production().iter().map(String::as_str));
    // A purchase, an order that buys it and a trade of that order have to meet.
    total.demand(50, ["PurchaseReceived by a trade"]);
}
