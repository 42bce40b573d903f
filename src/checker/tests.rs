//! Each kind of lie is caught, and the truth is not taken for one.

use api::command::Body;

use super::{Checker, Demands, History, Moment, NodeState, OperationId, Read, ReadKind, ReadLevel, Report, Seen};
use super::{Verdict, Violation};
use crate::client::{api, id_to_bytes};
use crate::core::command::{CommandKey, Proposal};
use crate::core::event::{Effects, Outcome};
use crate::core::reply::Summary;
use crate::core::types::{AccountId, CommandId, LogIndex, Sequence, Stamp, Term, Timestamp};
use crate::core::{Ledger, Used};
use crate::server::convert;

#[derive(Default)]
struct UsedIds(std::collections::BTreeMap<CommandKey, Used>);

impl crate::core::History for UsedIds {
    fn find(&self, key: &CommandKey) -> Option<Used> {
        self.0.get(key).copied()
    }

    fn remember(&mut self, key: CommandKey, used: Used) {
        self.0.insert(key, used);
    }
}

/// A ledger that answers at once, and a client that writes everything down.
#[derive(Default)]
struct World {
    ledger: Ledger,
    used: UsedIds,
    index: u64,
    now: u64,
    next_id: u128,
    history: History,
    journal: Vec<api::Record>,
}

const ISSUER: u64 = 1;
const ANN: u64 = 2;
const BOB: u64 = 3;
const USD: u32 = 1;
const BOLT: u32 = 2;
const MARKET: u32 = 1;

fn transfer(debit: u64, credit: u64, asset_id: u32, amount: u64) -> Body {
    let transfer = api::Transfer {
        debit_account_id: debit,
        credit_account_id: credit,
        asset_id,
        amount,
        ..api::Transfer::default()
    };
    Body::Transfer(transfer)
}

fn order(account_id: u64, side: api::Side, quantity: u64, price: u64) -> Body {
    Body::NewOrder(api::NewOrder {
        account_id,
        market_id: MARKET,
        side: side.into(),
        quantity,
        pricing: Some(api::new_order::Pricing::LimitPrice(price)),
        ..api::NewOrder::default()
    })
}

impl World {
    /// Two assets, an issuer, two rich traders and a market.
    fn new() -> Self {
        let mut world = Self::default();
        for (asset_id, code) in [(USD, "USD"), (BOLT, "BOLT")] {
            let kind = api::AssetKind::Currency.into();
            world.send(Body::CreateAsset(api::CreateAsset { asset_id, code: code.to_owned(), scale: 0, kind }));
        }
        for account_id in [ISSUER, ANN, BOB] {
            let account = api::CreateAccount { account_id, issuer: account_id == ISSUER, ..Default::default() };
            world.send(Body::CreateAccount(account));
        }
        for (account, asset) in [(ANN, USD), (ANN, BOLT), (BOB, USD), (BOB, BOLT)] {
            world.send(transfer(ISSUER, account, asset, 1_000));
        }
        world.send(Body::CreateMarket(api::CreateMarket {
            market_id: MARKET,
            symbol: "BOLT/USD".to_owned(),
            base_asset_id: BOLT,
            quote_asset_id: USD,
            tick: 1,
            lot: 1,
            fee_account_id: ISSUER,
            quantity_max: 1_000,
            notional_max: 1_000_000,
            ..api::CreateMarket::default()
        }));
        world
    }

    fn tick(&mut self) -> Moment {
        self.now += 1;
        Moment(self.now)
    }

    fn command(&mut self, body: Body) -> api::Command {
        self.next_id += 1;
        api::Command { id: id_to_bytes(CommandId(self.next_id)), linked: false, body: Some(body) }
    }

    /// Applies commands as one log entry; their results.
    fn apply(&mut self, commands: &[api::Command]) -> Vec<api::CommandResult> {
        self.index += 1;
        let time = Timestamp(self.index);
        let stamp = Stamp { term: Term(1), index: LogIndex(self.index), time };
        let checked = commands.iter().map(|command| convert::command::command(command).expect("a command"));
        let proposal = Proposal::new(time, checked.collect());
        let mut effects = Effects::default();
        self.ledger.apply(stamp, &proposal, &mut self.used, &mut effects);
        self.journal.extend(effects.records().map(convert::event::record));
        let result = |(command, outcome): (&api::Command, &Outcome)| match outcome {
            Outcome::Applied { record } => {
                let summary = Summary::of(effects.record(*record as usize));
                convert::result::result(command.id.clone(), &summary, false)
            }
            other => panic!("not fresh: {other:?}"),
        };
        commands.iter().zip(&effects.outcomes).map(result).collect()
    }

    /// Sends a command and gets its answer.
    fn send(&mut self, body: Body) -> (OperationId, api::CommandResult) {
        let command = self.command(body);
        let at = self.tick();
        let operation = self.history.sent(&command, at);
        let result = self.apply(&[command]).remove(0);
        let at = self.tick();
        self.history.answered(operation, &result, at);
        (operation, result)
    }

    fn account(&self, id: u64) -> api::GetAccountResponse {
        let id = AccountId(id);
        let position = api::Position { term: 1, index: self.index, sequence: self.ledger.sequence().0 };
        api::GetAccountResponse {
            account: self.ledger.account(id).map(convert::state::account),
            balances: self.ledger.balances(id).map(convert::state::balance).collect(),
            holds: self.ledger.holds(id).map(|(hold, asset, held)| convert::state::hold(hold, asset, held)).collect(),
            holds_truncated: false,
            position: Some(position),
        }
    }

    fn read(&mut self, level: ReadLevel, saw: api::GetAccountResponse) {
        let (sent, answered) = (self.tick(), self.tick());
        self.history.read(Read { level, sent, answered, saw: ReadKind::Account(saw) });
    }

    fn states(&self) -> Vec<NodeState> {
        let state = |node| NodeState {
            node,
            applied: LogIndex(self.index),
            sequence: self.ledger.sequence(),
            digest: "one".to_owned(),
        };
        (1..=3).map(state).collect()
    }

    fn check(self) -> Report {
        let nodes = self.states();
        let mut checker = Checker::new(self.history);
        self.journal.into_iter().for_each(|record| checker.record(record));
        checker.finish(&nodes)
    }

    /// The one thing that is found.
    fn found(self) -> Violation {
        let report = self.check();
        assert_eq!(report.violations, 1, "{:#?}", report.kept);
        report.kept[0].clone()
    }
}

#[test]
fn the_truth_holds() {
    let mut world = World::new();
    world.send(order(ANN, api::Side::Sell, 5, 10));
    let resting = world.account(ANN);
    world.read(ReadLevel::Linearizable, resting.clone());
    world.send(order(BOB, api::Side::Buy, 3, 12));
    let chain: Vec<_> = [(ANN, BOB), (BOB, ANN)].map(|(a, b)| world.command(transfer(a, b, USD, 7))).to_vec();
    let chain = vec![api::Command { linked: true, ..chain[0].clone() }, chain[1].clone()];
    for command in &chain {
        world.history.sent(command, Moment(world.now));
    }
    world.apply(&chain);
    world.send(Body::MassCancel(api::MassCancel { account_id: ANN, ..Default::default() }));
    // A stale one may show the past.
    world.read(ReadLevel::Stale, resting);
    let report = world.check();
    assert!(report.holds() && report.complete, "{:#?}", report.kept);
    assert_eq!((report.acknowledged, report.unknown, report.unknown_done, report.reads), (13, 2, 2, 2));
    assert_eq!((report.seen("trade"), report.seen("transferred")), (1, 6));
    assert_eq!(report.verdict(&[]), Verdict::Ok);
}

#[test]
fn what_others_did_is_replayed_from_what_they_did() {
    let mut world = World::new();
    let last = |world: &World| world.ledger.sequence().0;
    world.send(order(ANN, api::Side::Sell, 5, 10));
    let first = last(&world);
    let by_id = |order| Some(api::OrderReference { reference: Some(api::order_reference::Reference::OrderId(order)) });
    let quantity = 9;
    let order_of_ann = by_id(first);
    world.send(Body::ReplaceOrder(api::ReplaceOrder {
        account_id: ANN,
        order: order_of_ann.clone(),
        quantity,
        limit_price: 11,
    }));
    world.send(order(BOB, api::Side::Buy, 3, 12));
    world.send(Body::CancelOrder(api::CancelOrder { account_id: ANN, order: order_of_ann }));
    world.send(order(BOB, api::Side::Sell, 5_000, 12));
    let pending = Body::Transfer(api::Transfer {
        debit_account_id: ANN,
        credit_account_id: BOB,
        asset_id: USD,
        amount: 5,
        pending: true,
        expires_at: 1_000_000,
        ..api::Transfer::default()
    });
    for amount in [3, 0] {
        let (_, result) = world.send(pending.clone());
        let transfer_id = result.id;
        world.send(Body::PostPending(api::PostPending { transfer_id, amount }));
    }
    let (_, result) = world.send(pending);
    world.send(Body::VoidPending(api::VoidPending { transfer_id: result.id }));
    world.send(order(BOB, api::Side::Sell, 5, 12));
    world
        .send(Body::SetAccountState(api::SetAccountState { account_id: BOB, state: api::AccountState::Frozen.into() }));
    // Nothing of it is known to the checker's history.
    world.history = History::new();
    let report = world.check();
    assert!(report.holds() && report.complete, "{:#?}", report.kept);
    assert_eq!(report.foreign, report.records);
}

#[test]
fn a_lost_command_is_found() {
    let mut world = World::new();
    let lost = world.command(transfer(ANN, BOB, USD, 1));
    let operation = world.history.sent(&lost, Moment(world.now));
    world.history.answered(operation, &api::CommandResult::default(), Moment(world.now));
    assert!(matches!(world.found(), Violation::Lost { .. }));
}

#[test]
fn a_doubled_command_is_found() {
    let mut world = World::new();
    let command = world.command(transfer(ANN, BOB, USD, 1));
    let at = world.tick();
    world.history.sent(&command, at);
    world.apply(std::slice::from_ref(&command));
    world.used = UsedIds::default();
    world.apply(&[command]);
    assert!(matches!(world.found(), Violation::Doubled { .. }));
}

#[test]
fn a_refused_command_that_was_done_is_found() {
    let mut world = World::new();
    let command = world.command(transfer(ANN, BOB, USD, 1));
    let at = world.tick();
    let operation = world.history.sent(&command, at);
    world.history.refused(operation);
    world.apply(&[command]);
    assert!(matches!(world.found(), Violation::RefusedButDone { .. }));
}

#[test]
fn swapped_answers_are_found() {
    let mut world = World::new();
    let commands = [1, 2].map(|amount| world.command(transfer(ANN, BOB, USD, amount)));
    let at = world.tick();
    let operations = commands.each_ref().map(|command| world.history.sent(command, at));
    let results = world.apply(&commands);
    let at = world.tick();
    world.history.answered(operations[0], &results[1], at);
    world.history.answered(operations[1], &results[0], at);
    let report = world.check();
    let told_otherwise = |violation: &Violation| matches!(violation, Violation::ToldOtherwise { .. });
    assert!(report.violations == 2 && report.kept.iter().all(told_otherwise), "{:#?}", report.kept);
}

#[test]
fn a_second_answer_that_contradicts_the_first_is_found() {
    let mut world = World::new();
    let (operation, result) = world.send(transfer(ANN, BOB, USD, 1));
    let again = api::CommandResult { duplicate: true, ..result.clone() };
    world.history.answered(operation, &again, Moment(world.now));
    let other = api::CommandResult { time: 0, ..result };
    world.history.answered(operation, &other, Moment(world.now));
    assert!(matches!(world.found(), Violation::ToldOtherwise { .. }));
}

#[test]
fn an_order_against_real_time_is_found() {
    let mut world = World::new();
    let [first, second] = [1, 2].map(|amount| world.command(transfer(ANN, BOB, USD, amount)));
    let at = world.tick();
    let operation = world.history.sent(&first, at);
    // The second stands before the first, and was sent after the first was answered.
    world.apply(std::slice::from_ref(&second));
    let result = world.apply(&[first]).remove(0);
    let at = world.tick();
    world.history.answered(operation, &result, at);
    let at = world.tick();
    world.history.sent(&second, at);
    assert!(matches!(world.found(), Violation::Reordered { .. }));
}

#[test]
fn one_log_entry_for_what_did_not_overlap_is_found() {
    let mut world = World::new();
    let commands = [1, 2].map(|amount| world.command(transfer(ANN, BOB, USD, amount)));
    let at = world.tick();
    let operation = world.history.sent(&commands[0], at);
    let results = world.apply(&commands);
    let at = world.tick();
    world.history.answered(operation, &results[0], at);
    let at = world.tick();
    world.history.sent(&commands[1], at);
    assert!(matches!(world.found(), Violation::Reordered { .. }));
}

#[test]
fn a_stale_read_is_found_where_it_claims_to_be_fresh() {
    let mut world = World::new();
    let old = world.account(ANN);
    world.send(transfer(ANN, BOB, USD, 1));
    world.read(ReadLevel::Linearizable, old.clone());
    assert!(matches!(world.found(), Violation::StaleRead { .. }));

    let mut world = World::new();
    world.read(ReadLevel::AtLeast(world.ledger.sequence().0 + 1), old);
    world.send(transfer(ANN, BOB, USD, 1));
    assert!(matches!(world.found(), Violation::StaleRead { .. }));
}

#[test]
fn reads_do_not_go_back() {
    let mut world = World::new();
    let command = world.command(transfer(ANN, BOB, USD, 1));
    let at = world.tick();
    world.history.sent(&command, at);
    let before = world.account(ANN);
    world.apply(&[command]);
    // Nobody knows the command's answer; but one read has seen it, and the next has not.
    let after = world.account(ANN);
    world.read(ReadLevel::Linearizable, after);
    world.read(ReadLevel::Linearizable, before);
    assert!(matches!(world.found(), Violation::StaleRead { .. }));
}

#[test]
fn a_read_of_the_future_is_found() {
    let mut world = World::new();
    let (sent, answered) = (world.tick(), world.tick());
    world.send(transfer(ANN, BOB, USD, 1));
    let saw = ReadKind::Account(world.account(ANN));
    world.history.read(Read { level: ReadLevel::Stale, sent, answered, saw });
    assert!(matches!(world.found(), Violation::FutureRead { .. }));

    let mut world = World::new();
    let mut saw = world.account(ANN);
    saw.position = saw.position.map(|position| api::Position { sequence: position.sequence + 1, ..position });
    world.read(ReadLevel::Stale, saw);
    assert!(matches!(world.found(), Violation::FutureRead { .. }));
}

#[test]
fn a_read_of_what_never_was_is_found() {
    let mut world = World::new();
    let mut saw = world.account(ANN);
    saw.balances[0].posted += 1;
    world.read(ReadLevel::Linearizable, saw);
    assert!(matches!(world.found(), Violation::WrongRead { .. }));

    let mut world = World::new();
    world.send(order(ANN, api::Side::Sell, 5, 10));
    let position = world.account(ANN).position;
    let asks = vec![api::BookLevel { price: 10, quantity: 4, order_count: 1 }];
    let book = api::GetBookResponse { asks, position, ..api::GetBookResponse::default() };
    let (sent, answered) = (world.tick(), world.tick());
    let saw = ReadKind::Book { market: MARKET, depth: 5, book };
    world.history.read(Read { level: ReadLevel::Linearizable, sent, answered, saw });
    assert!(matches!(world.found(), Violation::WrongRead { .. }));
}

#[test]
fn half_of_a_log_entry_is_no_state() {
    let mut world = World::new();
    let before = world.ledger.sequence().0;
    let commands = [1, 2].map(|amount| world.command(transfer(ANN, BOB, USD, amount)));
    let at = world.tick();
    for command in &commands {
        world.history.sent(command, at);
    }
    world.apply(&commands);
    let mut saw = world.account(ANN);
    saw.position = saw.position.map(|position| api::Position { sequence: before + 1, ..position });
    world.read(ReadLevel::Stale, saw);
    assert!(matches!(world.found(), Violation::WrongRead { .. }));
}

#[test]
fn a_gap_is_found() {
    let mut world = World::new();
    world.history = History::new();
    world.journal.remove(3);
    let report = world.check();
    assert!(matches!(report.kept[0], Violation::Gap { .. }) && !report.complete, "{:#?}", report.kept);
}

#[test]
fn a_record_that_its_command_does_not_make_is_found() {
    let mut world = World::new();
    world.send(transfer(ANN, BOB, USD, 5));
    let posting = &mut world.journal.last_mut().expect("records").events[0].postings[0];
    posting.amount -= 1;
    assert!(matches!(world.found(), Violation::Diverged { .. }));
}

#[test]
fn a_journal_that_runs_backwards_is_found() {
    let mut world = World::new();
    world.send(transfer(ANN, BOB, USD, 5));
    let last = world.journal.last_mut().expect("records");
    last.time = 1;
    let report = world.check();
    assert!(matches!(report.kept[0], Violation::Backwards { .. }), "{:#?}", report.kept);
}

#[test]
fn nodes_that_differ_are_found() {
    let found = |change: fn(&mut NodeState)| {
        let world = World::new();
        let mut nodes = world.states();
        change(&mut nodes[2]);
        let mut checker = Checker::new(world.history);
        world.journal.into_iter().for_each(|record| checker.record(record));
        checker.finish(&nodes).kept.remove(0)
    };
    let differ = found(|node| node.digest = "other".to_owned());
    assert!(matches!(differ, Violation::NodesDiffer { .. }), "{differ}");
    let behind = found(|node| node.sequence = Sequence(1));
    assert!(matches!(behind, Violation::NodeBehind { node: 3, .. }), "{behind}");
}

#[test]
fn a_quiet_run_is_void() {
    let mut world = World::new();
    world.send(transfer(ANN, BOB, USD, 5));
    let report = world.check();
    let faults = [("kill".to_owned(), 2)].into_iter().collect();
    let demands = Demands { acknowledged: 11, reads: 1, events: vec!["trade"], faults, leader_changes: 1 };
    let unmet = demands.unmet(&report, &Seen::default());
    assert_eq!(unmet.len(), 5, "{unmet:?}");
    assert_eq!(report.verdict(&unmet), Verdict::Void);
    let none = Demands { acknowledged: 11, ..Demands::default() };
    assert!(none.unmet(&report, &Seen { final_reads: true, ..Seen::default() }).is_empty());
}
