//! One generated sequence on its way through a ledger, audited after every proposal.

use std::collections::BTreeMap;

use counterfoil_core::Table;
use counterfoil_core::command::Command;
use counterfoil_core::event::Outcome;
use counterfoil_core::ledger::records;
use counterfoil_core::production::records::{
    Bom, BomPart, IssuedLot, Item, Lot, OperationProgress, OrderYield, PlanLine, Plant, ProductionPlan, Progress,
    Purchase, WorkOrder, WorkOrderPart,
};
use counterfoil_core::types::{OrderId, Timestamp};

use super::bench::Bench;
use super::fold::{Fold, Held};
use super::generate::Generator;
use super::rng::Rng;
use super::tally::Tally;

/// A generator, a ledger, and the auditor's books.
#[derive(Debug)]
pub struct Session {
    /// Makes the commands.
    pub generator: Generator,
    /// Carries them out.
    pub bench: Bench,
    /// Audits the records.
    pub fold: Fold,
    /// Counts them.
    pub tally: Tally,
    /// What each command was told, in order, as [`Self::answers`] has it.
    pub answers: Vec<Answer>,
    /// Whether every proposal is audited.
    is_audited: bool,
    time: Timestamp,
}

/// What a command was told: the sequence of its answer, or that its id is taken by that sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The record that begins there.
    At(u64),
    /// None: the id belongs to the command answered there.
    Taken(u64),
}

impl Session {
    /// A session with its scene set: assets, accounts, markets, money.
    pub fn new(seed: u64) -> Self {
        Self::with(Generator::new(seed))
    }

    /// The same with another generator.
    pub fn with(generator: Generator) -> Self {
        let (bench, fold, tally) = (Bench::new(), Fold::default(), Tally::default());
        let time = Timestamp(0);
        let mut session = Self { generator, bench, fold, tally, answers: Vec::new(), is_audited: true, time };
        let commands = session.generator.preamble();
        session.propose(session.generator.now, commands);
        assert!(session.tally.0.keys().all(|name| !name.starts_with("Rejected")), "{:?}", session.tally);
        session
    }

    /// Runs a whole sequence: a proposal for each of `words`.
    pub fn run(seed: u64, words: &[u64]) -> Self {
        let mut session = Self::new(seed);
        for word in words {
            session.step(*word);
        }
        session.finish();
        session
    }

    /// The same without the audits: for a property that looks at something else.
    pub fn run_unaudited(seed: u64, words: &[u64]) -> Self {
        let mut session = Self::new(seed).unaudited();
        for word in words {
            session.step(*word);
        }
        session
    }

    /// The session, with no audits from now on.
    pub fn unaudited(mut self) -> Self {
        self.is_audited = false;
        self
    }

    /// One proposal, drawn from `word`.
    pub fn step(&mut self, word: u64) {
        let (time, commands) = self.generator.proposal(&mut Rng::new(word), &self.fold);
        self.propose(time, commands);
    }

    /// One proposal, audited.
    pub fn propose(&mut self, time: Timestamp, commands: Vec<Command>) {
        let (outcomes, first) = self.bench.propose(time, commands.clone());
        self.time = self.time.max(time);
        let records = self.bench.records[first..].to_vec();
        let mut answered = BTreeMap::new();
        for (command, outcome) in commands.iter().zip(&outcomes) {
            self.tally.outcome(outcome);
            self.answers.push(match outcome {
                Outcome::Applied { record } => {
                    assert_eq!(answered.insert(*record as usize, command), None, "one record per command");
                    Answer::At(records[*record as usize].sequence.0)
                }
                Outcome::Duplicate { sequence } => Answer::At(sequence.0),
                Outcome::IdReused { sequence } => Answer::Taken(sequence.0),
            });
        }
        for (place, record) in records.iter().enumerate() {
            assert_eq!(record.stamp.time, self.time, "time never runs backwards");
            self.tally.record(record);
            self.fold.add(record, answered.get(&place).copied());
            self.fold.check_limits();
        }
        assert_eq!(self.bench.ledger.sequence().0, self.fold.sequence);
        if self.is_audited {
            self.fold.check_books();
            self.check_deadlines();
            self.check_stored();
        }
    }

    /// Nothing that is due is left, and the ledger knows what is due next.
    fn check_deadlines(&self) {
        let orders = self.fold.open.iter().filter_map(|id| self.fold.orders[id].expires_at);
        let pending = self.fold.pending.values().filter_map(|(_, _, _, deadline)| *deadline);
        let next = orders.chain(pending).min();
        assert!(next.is_none_or(|next| next > self.time), "{next:?} is due at {}", self.time);
        assert_eq!(self.bench.ledger.next_deadline(), next);
    }

    /// What the last proposal stored is what the fold says.
    fn check_stored(&self) {
        for key in self.bench.changed() {
            match key.table {
                Table::Balance => {
                    if let Some(row) = self.bench.row(*key) {
                        self.check_balance(&row);
                    }
                }
                Table::Order => {
                    if let Some(row) = self.bench.row(*key) {
                        self.check_order(&row);
                    }
                }
                Table::Market => {
                    let row: records::Market = self.bench.row(*key).expect("markets stay");
                    let (_, phase, last) = &self.fold.markets[&row.id];
                    assert_eq!((row.phase, row.last_price), (*phase, *last), "{row:?}");
                }
                Table::Account => {
                    let row: records::Account = self.bench.row(*key).expect("accounts stay");
                    assert_eq!(row.state, self.fold.accounts[&row.id].state);
                }
                Table::WorkOrder => {
                    if let Some(row) = self.bench.row::<WorkOrder>(*key) {
                        assert_eq!(self.fold.production.orders[&row.id].order, row);
                    }
                }
                Table::WorkOrderPart => {
                    if let Some(row) = self.bench.row(*key) {
                        self.check_work_order_part(&row);
                    }
                }
                Table::Lot => {
                    if let Some(row) = self.bench.row::<Lot>(*key) {
                        let lots = &self.fold.production.lots;
                        assert_eq!(lots.get(&(row.account, row.asset, row.number)), Some(&row.quantity.0), "{row:?}");
                    }
                }
                Table::IssuedLot => {
                    if let Some(row) = self.bench.row::<IssuedLot>(*key) {
                        let open = &self.fold.production.orders[&row.work_order];
                        let lot = open.lots.get(&(row.component, row.number));
                        assert_eq!(lot, Some(&row.quantity.0), "{row:?}");
                    }
                }
                Table::Plan => {
                    if let Some(row) = self.bench.row::<ProductionPlan>(*key) {
                        assert_eq!(self.fold.planning.plans[&row.id].plan, row);
                    }
                }
                Table::PlanLine => {
                    if let Some(row) = self.bench.row::<PlanLine>(*key) {
                        assert_eq!(self.fold.planning.plans[&row.plan].lines[&row.line.line], row.line);
                    }
                }
                Table::Purchase => {
                    if let Some(row) = self.bench.row::<Purchase>(*key) {
                        assert_eq!(self.fold.planning.purchases[&row.id], row);
                    }
                }
                Table::Header | Table::Asset | Table::Pending => {}
                // Checked at the end of a sequence.
                Table::Plant | Table::Calendar | Table::Item | Table::Bom | Table::BomPart => {}
            }
        }
    }

    fn check_balance(&self, row: &records::Balance) {
        let held = self.fold.balances.get(&(row.account, row.asset)).copied().unwrap_or_default();
        assert_eq!(held, Held { posted: row.posted.0, reserved: row.reserved.0 }, "{row:?}");
        let terms = self.fold.accounts[&row.account].terms.get(&row.asset).copied().unwrap_or((0, false));
        assert_eq!((row.credit_limit.0, row.allowed), terms, "{row:?}");
    }

    fn check_order(&self, row: &records::Order) {
        assert!(self.fold.open.contains(&row.id), "{row:?} is not open");
        let order = &self.fold.orders[&row.id];
        assert_eq!((row.account, row.market, row.side), (order.account, order.market, order.side));
        assert_eq!((row.client_order_id, row.pricing), (order.id, order.pricing));
        assert_eq!((row.quantity.0, row.filled.0, row.open.0), (order.quantity, order.filled, order.open));
        assert_eq!((row.reserved.0, row.priority), (order.held, order.priority), "{row:?}");
        assert_eq!((row.fee_paid.0, row.fee_accrued), (order.fee_paid, order.fee_exact), "{row:?}");
    }

    fn check_work_order_part(&self, row: &WorkOrderPart) {
        let open = &self.fold.production.orders[&row.work_order];
        let place = row.place as usize;
        match row.part {
            Progress::Line(line) => assert_eq!(open.lines[place], line),
            // The order of the yields is the ledger's.
            Progress::Yield(OrderYield { asset, quantity, per }) => {
                assert!((open.lines.len()..open.lines.len() + open.yields.len()).contains(&place));
                assert!(open.yields.contains(&(asset, quantity.0, per.0)));
            }
            Progress::Operation(OperationProgress { good, scrap }) => {
                assert_eq!(open.operations[place - open.lines.len() - open.yields.len()], (good.0, scrap.0));
            }
        }
    }

    /// Production's stored state is what the fold says.
    fn finish_production(&self) {
        let production = &self.fold.production;
        let plants: Vec<Plant> = self.bench.rows(Table::Plant);
        assert_eq!(plants.len(), production.plants.len());
        for plant in plants {
            let folded = &production.plants[&plant.id];
            let accounts = (folded.production, folded.scrap, folded.adjustment);
            assert_eq!((plant.production, plant.scrap, plant.adjustment), accounts);
            assert_eq!(plant.locations, folded.locations);
        }
        let items: Vec<Item> = self.bench.rows(Table::Item);
        assert_eq!(items.len(), production.items.len());
        for item in items {
            let folded = &production.items[&item.asset];
            assert_eq!((item.standard_cost, item.lot_tracked), (folded.standard_cost, folded.lot_tracked));
        }
        let boms: Vec<Bom> = self.bench.rows(Table::Bom);
        assert_eq!(boms.len(), production.boms.len());
        let parts: Vec<BomPart> = self.bench.rows(Table::BomPart);
        for bom in boms {
            let folded = &production.boms[&(bom.product, bom.version)];
            let own = parts.iter().filter(|part| (part.product, part.version) == (bom.product, bom.version));
            assert_eq!(own.count(), bom.parts as usize);
            assert_eq!((bom.from, bom.output), (folded.from, folded.output));
        }
        assert_eq!(self.bench.rows::<Lot>(Table::Lot).len(), production.lots.len());
        let orders: Vec<WorkOrder> = self.bench.rows(Table::WorkOrder);
        assert_eq!(orders.len(), production.orders.len());
        let parts: Vec<WorkOrderPart> = self.bench.rows(Table::WorkOrderPart);
        let orders = production.orders.values();
        let expected = orders.map(|open| open.lines.len() + open.yields.len() + open.operations.len());
        assert_eq!(parts.len(), expected.sum::<usize>());
        parts.iter().for_each(|row| self.check_work_order_part(row));
        let issued = production.orders.values().map(|open| open.lots.len()).sum::<usize>();
        assert_eq!(self.bench.rows::<IssuedLot>(Table::IssuedLot).len(), issued);
        let planning = &self.fold.planning;
        assert_eq!(self.bench.rows::<ProductionPlan>(Table::Plan).len(), planning.plans.len());
        let lines = planning.plans.values().map(|open| open.lines.len());
        assert_eq!(self.bench.rows::<PlanLine>(Table::PlanLine).len(), lines.sum::<usize>());
        assert_eq!(self.bench.rows::<Purchase>(Table::Purchase).len(), planning.purchases.len());
    }

    /// At the end of a sequence: the whole stored state is what the fold says, and is the ledger's.
    pub fn finish(&self) {
        self.bench.check_every_change_was_marked();
        let orders: Vec<records::Order> = self.bench.rows(Table::Order);
        let open: Vec<OrderId> = self.fold.open.iter().copied().collect();
        let mut stored: Vec<OrderId> = orders.iter().map(|row| row.id).collect();
        stored.sort_unstable();
        assert_eq!(stored, open, "the stored orders are the open ones");
        orders.iter().for_each(|row| self.check_order(row));
        let balances: Vec<records::Balance> = self.bench.rows(Table::Balance);
        balances.iter().for_each(|row| self.check_balance(row));
        let missing = |key| !balances.iter().any(|row| (row.account, row.asset) == key);
        let lost = self.fold.balances.iter().find(|(key, held)| **held != Held::default() && missing(**key));
        assert_eq!(lost, None, "every balance is stored");
        let mut pending: Vec<_> = self.bench.rows::<records::Pending>(Table::Pending);
        pending.sort_by_key(|row| row.id);
        let stored: Vec<_> =
            pending.iter().map(|row| (row.id, row.debit, row.asset, row.amount.0, row.expires_at)).collect();
        let folded: Vec<_> = self
            .fold
            .pending
            .iter()
            .map(|(id, (debit, asset, amount, at))| (*id, *debit, *asset, *amount, *at))
            .collect();
        assert_eq!(stored, folded, "the stored pending transfers are the open ones");
        let header: Vec<records::Header> = self.bench.rows(Table::Header);
        assert_eq!((header[0].sequence.0, header[0].time), (self.fold.sequence, self.time));
        assert_eq!(header[0].planning_changed, self.fold.planning.changed);
        self.finish_production();
        super::reads::check(&self.bench.ledger, &self.fold);
        self.bench.ledger.check_invariants().expect("the ledger's own check agrees");
    }
}
