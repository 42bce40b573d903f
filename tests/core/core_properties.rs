//! What must hold of the core whatever it is asked, over thousands of generated sequences.
//!
//! `PROPTEST_CASES` sets how many. A failure is shrunk to the fewest proposals and printed as a seed
//! and words, which [`Session::run`] repeats.

mod support;

use std::cell::RefCell;

use counterfoil_core::command::{Body, FirmPlan, Proposal};
use counterfoil_core::event::{Effects, EventBody, Outcome, Record};
use counterfoil_core::production::{Inquiry, Question, Requirements, RequirementsError};
use counterfoil_core::types::{Day, OverIssue, PlanState, Timestamp};
use counterfoil_core::{Decode, Encode, HashSeed, Ledger, RecordKey, Rejection, StateDigest, Table};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use support::bench::{Bench, MemoryHistory, Pages};
use support::generate::Generator;
use support::reads;
use support::rng::Rng;
use support::session::{Answer, Session};
use support::tally::{Tally, interesting, interesting_in_production};

/// Sequences per property.
const CASES: u32 = 10_000;
/// Proposals per sequence.
const STEPS_MAX: usize = 48;

/// Runs `property` over generated sequences: a seed for what they are made of, a word per proposal.
fn for_all_sequences(property: impl Fn(u64, &[u64])) {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(CASES);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let sequences = (any::<u64>(), prop::collection::vec(any::<u64>(), 1..=STEPS_MAX));
    let result = TestRunner::new(config).run(&sequences, |(seed, words)| {
        property(seed, &words);
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

fn full_run() -> bool {
    std::env::var_os("PROPTEST_CASES").is_none()
}

/// Each asset sums to zero; every balance is the fold of its postings; reserved is what orders and
/// pending transfers hold; no book is crossed; filled + open + cancelled + reduced = ordered; events
/// are numbered without a gap; available is within the credit limit; the stored state is all of it.
#[test]
fn the_books_add_up_after_every_command() {
    let total = RefCell::new(Tally::default());
    for_all_sequences(|seed, words| {
        let session = Session::run(seed, words);
        total.borrow_mut().add(&session.tally);
    });
    if full_run() {
        let total = total.into_inner();
        total.demand(200, interesting().iter().map(String::as_str));
        total.demand(100, interesting_in_production().iter().map(String::as_str));
        // An id taken by another command is an outcome without a record; nobody enters that many orders
        // in a short sequence, or goes that deep, plans so much, and items of two currencies seldom meet in one.
        let never = [
            Rejection::IdReused,
            Rejection::OpenOrdersAboveMax,
            Rejection::BomTooDeep,
            Rejection::BomTooLarge,
            Rejection::CurrencyDiffers,
            Rejection::PlanTooLarge,
        ];
        let reasons = Rejection::ALL.iter().filter(|reason| !never.contains(reason));
        let names: Vec<String> = reasons.map(|reason| format!("Rejected {reason}")).collect();
        // The rarest are met some twenty times, give or take.
        total.demand(3, names.iter().map(String::as_str));
    }
}

/// Amounts, prices and quantities at the ends of their types are refused or carried out exactly.
#[test]
fn huge_numbers_never_wrap() {
    let total = RefCell::new(Tally::default());
    for_all_sequences(|seed, words| {
        let mut generator = Generator::new(seed);
        if !generator.swarm.huge {
            return;
        }
        generator.swarm.typos = 0;
        let mut session = Session::with(generator);
        words.iter().for_each(|word| session.step(*word));
        session.finish();
        total.borrow_mut().add(&session.tally);
    });
    if full_run() {
        total.into_inner().demand(100, ["Rejected OVERFLOW", "Trade", "Rejected INSUFFICIENT_AVAILABLE"]);
    }
}

/// The same commands at the same stamps give the same records, state and digest, bit for bit.
#[test]
fn a_replay_is_the_same() {
    for_all_sequences(|seed, words| {
        let live = Session::run_unaudited(seed, words).bench;
        let mut replay = Bench::new();
        for (stamp, proposal) in &live.proposals {
            // As a follower has them: decoded from the bytes of the log.
            let proposal = Proposal::from_bytes(&proposal.to_bytes()).expect("what was encoded decodes");
            replay.apply(*stamp, proposal);
        }
        assert_eq!(replay.records, live.records);
        assert_eq!(replay.pages, live.pages);
        assert_eq!(replay.history, live.history);
        assert_eq!(replay.digest, live.digest);
    });
}

/// How commands are gathered into proposals does not matter to what they do.
#[test]
fn batches_change_nothing() {
    for_all_sequences(|seed, words| {
        let live = Session::run_unaudited(seed, words).bench;
        let mut single = Bench::new();
        for (stamp, proposal) in &live.proposals {
            single.propose(proposal.time, Vec::new());
            let mut chain = Vec::new();
            for command in &proposal.commands {
                chain.push(command.clone());
                if !command.linked {
                    single.propose(stamp.time, std::mem::take(&mut chain));
                }
            }
        }
        let content = |records: &[Record]| -> Vec<_> {
            records
                .iter()
                .map(|record| (record.sequence, record.origin, record.events.clone(), record.postings.clone()))
                .collect()
        };
        assert_eq!(content(&single.records), content(&live.records));
        assert_eq!(single.digest, live.digest);
    });
}

/// A ledger restored from its stored state goes on as if it had never stopped.
#[test]
fn a_snapshot_and_the_rest_are_the_whole() {
    for_all_sequences(|seed, words| {
        let mut live = Session::new(seed).unaudited();
        let cut = Rng::new(seed).below(words.len() as u64 + 1) as usize;
        words[..cut].iter().for_each(|word| live.step(*word));
        let mut restored = Bench::restored_from(&live.bench);
        assert_eq!(digest_of(&restored.ledger), live.bench.digest, "restoring loses nothing and adds nothing");
        let (records, proposals) = (live.bench.records.len(), live.bench.proposals.len());
        words[cut..].iter().for_each(|word| live.step(*word));
        for (stamp, proposal) in &live.bench.proposals[proposals..] {
            restored.apply(*stamp, proposal.clone());
        }
        restored.check_every_change_was_marked();
        assert_eq!(restored.records, live.bench.records[records..]);
        assert_eq!(restored.digest, live.bench.digest);
        assert_eq!(restored.history, live.bench.history);
        reads::check(&restored.ledger, &live.fold);
    });
}

fn digest_of(ledger: &Ledger) -> StateDigest {
    let mut digest = StateDigest::default();
    let mut bytes = Vec::new();
    for key in ledger.records() {
        bytes.clear();
        ledger.encode_record(key, &mut bytes);
        if bytes.iter().any(|byte| *byte != 0) {
            digest.add(key.table.number(), &bytes);
        }
    }
    digest
}

/// Stored records with a flipped bit, a record too few or one twice are refused, or are a state that
/// holds every invariant and can be told by its digest; restoring never panics.
#[test]
fn a_damaged_state_is_refused_or_told_apart() {
    let seen = RefCell::new((0, 0));
    for_all_sequences(|seed, words| {
        let live = Session::run_unaudited(seed, words).bench;
        let rng = &mut Rng::new(!seed);
        let mut pages: Pages = live.pages.clone();
        let places: Vec<_> = pages.keys().copied().collect();
        let place = *rng.pick(&places);
        match rng.below(8) {
            0 => drop(pages.remove(&place)),
            1 => {
                let other = rng.pick(&places).slot + 1;
                pages.insert(RecordKey { slot: other, ..place }, live.pages[&place].clone());
            }
            _ => {
                let bytes = pages.get_mut(&place).expect("it is there");
                let bit = rng.below(bytes.len() as u64 * 8) as usize;
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
        let records = pages.iter().map(|(key, bytes)| (*key, bytes.as_slice()));
        let restored = Ledger::restore(records, HashSeed(1, 2));
        if let Ok(ledger) = restored {
            assert!(pages == live.pages || digest_of(&ledger) != live.digest, "{place:?} differs unseen");
            ledger.check_invariants().expect("what was restored is a state");
            seen.borrow_mut().1 += 1;
        } else {
            seen.borrow_mut().0 += 1;
        }
    });
    let (refused, told_apart) = seen.into_inner();
    assert!(refused > 0 && told_apart > 0, "{refused} refused, {told_apart} told apart");
}

/// Every command sent again, at any later time, is answered as it was the first time, and does nothing.
#[test]
fn a_command_takes_effect_once() {
    for_all_sequences(|seed, words| {
        let mut session = Session::run_unaudited(seed, words);
        let answers = session.answers.clone();
        // Everything that is due first, so that what changes afterwards is changed by a command.
        let later = Timestamp(session.generator.now.0 + 1_000);
        session.propose(later, Vec::new());
        let (records, state) = (session.bench.records.len(), session.bench.digest);
        let mut again = Vec::new();
        for (_, proposal) in session.bench.proposals.clone() {
            let (outcomes, _) = session.bench.propose(later, proposal.commands);
            again.extend(outcomes.iter().map(|outcome| match outcome {
                Outcome::Duplicate { sequence } => Answer::At(sequence.0),
                Outcome::IdReused { sequence } => Answer::Taken(sequence.0),
                Outcome::Applied { .. } => panic!("carried out again"),
            }));
        }
        assert_eq!(again, answers);
        assert_eq!(session.bench.records.len(), records, "a duplicate leaves no record");
        assert_eq!(session.bench.digest, state, "a duplicate changes nothing");
    });
}

/// A refused command changes nothing but the number of the last event, and a chain is refused whole.
#[test]
fn a_refused_command_changes_nothing() {
    for_all_sequences(|seed, words| {
        let mut generator = Generator::new(seed);
        generator.swarm.batch_max = 1;
        let mut session = Session::with(generator).unaudited();
        for word in words {
            let first = session.bench.records.len();
            session.step(*word);
            let answered: Vec<_> =
                session.bench.records[first..].iter().filter(|record| record.origin.is_some()).collect();
            let expired = session.bench.records.len() - first - answered.len();
            let refused =
                answered.iter().filter(|record| matches!(record.events[0].body, EventBody::Rejected(_))).count();
            if expired == 0 && refused == answered.len() {
                let changed = session.bench.changed();
                let header = |key: &RecordKey| key.table == Table::Header;
                assert!(changed.iter().all(header), "{changed:?} changed by {answered:?}");
            }
        }
    });
}

/// Every record decodes from its own bytes, and effects that are added to hold the same records.
#[test]
fn records_survive_their_encoding() {
    for_all_sequences(|seed, words| {
        let live = Session::run_unaudited(seed, words).bench;
        for record in &live.records {
            assert_eq!(Record::from_bytes(&record.view().to_bytes()).as_ref(), Ok(record));
        }
        let (mut ledger, mut history, mut effects) = (Ledger::new(), MemoryHistory::default(), Effects::default());
        for (stamp, proposal) in &live.proposals {
            ledger.apply(*stamp, proposal, &mut history, &mut effects);
        }
        let all: Vec<Record> = effects.records().map(|record| record.to_record()).collect();
        assert_eq!(all, live.records);
    });
}

/// A calculation changes nothing; once it is firmed, there is nothing left to order: whatever stock, work
/// orders, purchases and other plans there are, nothing is ordered twice and nothing is forgotten.
#[test]
fn what_is_firmed_is_ordered_once() {
    let firmed = RefCell::new(0_u64);
    for_all_sequences(|seed, words| {
        let mut session = Session::run_unaudited(seed, words);
        let mut drafts = session.fold.planning.plans.values().map(|open| open.plan);
        let Some(plan) = drafts.rfind(|plan| plan.state == PlanState::Draft && plan.lines > 0) else {
            return;
        };
        let question = Question { draft: Some(plan.id), ..Question::new(plan.plant, Day(9)) };
        let calculate = |ledger: &Ledger| -> Result<Requirements, RequirementsError> {
            ledger.inquire(&question).and_then(Inquiry::calculate)
        };
        // A bought phantom, something made of nothing, or numbers near the ends of their types.
        let Ok(found) = calculate(&session.bench.ledger) else {
            return;
        };
        let orders: Vec<_> = found.orders_to_firm(FirmPlan::ORDER_PEGS).collect();
        if orders.is_empty() || orders.len() > FirmPlan::ORDERS_MAX {
            return;
        }
        let location = session.fold.production.plants[&plan.plant].locations[0];
        let firm = Body::FirmPlan(FirmPlan {
            plan: plan.id,
            computed_at: found.computed_at,
            location,
            output: location,
            backflush: false,
            over_issue: OverIssue::Refuse,
            orders,
            more: false,
        });
        let command = session.generator.command(firm);
        let now = session.generator.now;
        session.propose(now, vec![command]);
        let record = session.bench.records.last().expect("it is answered");
        assert!(matches!(record.events.last().map(|event| &event.body), Some(EventBody::PlanFirmed(_))), "{record:?}");
        let again = calculate(&session.bench.ledger).expect("what could be calculated can be again");
        let left: Vec<_> = again.plan.orders().collect();
        assert!(left.is_empty(), "ordered twice: {left:?}");
        *firmed.borrow_mut() += 1;
    });
    if full_run() {
        assert!(firmed.into_inner() > 100);
    }
}
