//! The ledger: the whole state, and the one function that changes it.
//!
//! What is asked is first checked to the end, then done: a command that is refused has changed
//! nothing. Balances change in one place (`balances.rs`), whoever asks: transfers here, trading in
//! [`crate::trading`], stock and work orders in [`crate::production`].

mod accounts;
mod ahead;
mod balances;
mod chain;
mod changes;
mod deadlines;
mod invariants;
pub(crate) mod persist;
mod query;
pub mod records;
pub(crate) mod slots;
mod transfers;

use std::collections::BTreeSet;

use accounts::AccountEntry;
use balances::Balances;
use chain::Undo;
use changes::Changes;
use records::{Asset, Header, TicketInTerm};
use slots::Directory;
use transfers::Pendings;

use crate::command::{Body, Command, Proposal};
use crate::event::{Effects, EventBody, Origin, Outcome};
use crate::planted::{self, Mistake};
use crate::production::Production;
use crate::rejection::Rejection;
use crate::state::{History, RecordKey, Table, Used};
use crate::table::{HashSeed, Slot};
use crate::trading::{MarketEntry, Orders};
use crate::types::{Sequence, Stamp, Timestamp};

pub(crate) use deadlines::{Deadline, Due};
pub use invariants::BrokenInvariant;
pub(crate) use invariants::{broken, ensure};
pub use query::Hold;

/// The whole live state, in memory.
#[derive(Debug)]
pub struct Ledger {
    pub(crate) header: Header,
    pub(crate) assets: Directory<Asset>,
    pub(crate) accounts: Directory<AccountEntry>,
    pub(crate) balances: Balances,
    pub(crate) markets: Directory<MarketEntry>,
    pub(crate) orders: Orders,
    pendings: Pendings,
    pub(crate) production: Production,
    pub(crate) deadlines: BTreeSet<Deadline>,
    pub(crate) changes: Changes,
    pub(crate) undo: Undo,
}

impl Default for Ledger {
    fn default() -> Self {
        Self::with_seed(HashSeed::default())
    }
}

impl Ledger {
    /// The rules a new cluster starts with.
    const FEATURE_LEVEL_FIRST: u32 = 1;

    /// The state before the first command.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The state before the first command, its hashes seeded.
    #[must_use]
    pub fn with_seed(seed: HashSeed) -> Self {
        Self {
            header: Header {
                sequence: Sequence(0),
                time: Timestamp(0),
                feature_level: Self::FEATURE_LEVEL_FIRST,
                ticket: None,
                planning_changed: Sequence(0),
            },
            assets: Directory::new(seed),
            accounts: Directory::new(seed),
            balances: Balances::new(seed),
            markets: Directory::new(seed),
            orders: Orders::with_rows(std::iter::empty(), seed),
            pendings: Pendings::with_rows(std::iter::empty(), seed),
            production: Production::new(seed),
            deadlines: BTreeSet::new(),
            changes: Changes::default(),
            undo: Undo::default(),
        }
    }

    /// Applies one proposal: first ends what is due at the stamp's time, then carries out the
    /// commands in order, each as a whole and each linked chain as a whole.
    ///
    /// A proposal whose predecessor is missing is void: nothing of it is done, no outcome is given,
    /// and `effects` says so.
    ///
    /// `effects` is added to, not cleared. The records that changed can be had from
    /// [`Self::take_changes`] afterwards.
    pub fn apply(&mut self, stamp: Stamp, proposal: &Proposal, history: &mut impl History, effects: &mut Effects) {
        self.apply_fingerprinted(stamp, proposal, &proposal.fingerprints(), history, effects);
    }

    /// The same with the fingerprints of the proposal's commands, as [`Proposal::from_bytes_fingerprinted`] gives them.
    ///
    /// # Panics
    /// When there are fewer fingerprints than commands.
    pub fn apply_fingerprinted(
        &mut self,
        stamp: Stamp,
        proposal: &Proposal,
        fingerprints: &[u64],
        history: &mut impl History,
        effects: &mut Effects,
    ) {
        if let Some(ticket) = proposal.ticket {
            let last = self.header.ticket.map(|last| (last.term, last.ticket));
            if !ticket.follows(stamp.term, last) && !planted::is(Mistake::TicketUnchecked) {
                effects.void = true;
                return;
            }
            self.header.ticket = Some(TicketInTerm { term: stamp.term, ticket });
        }
        let stamp = Stamp { time: stamp.time.max(self.header.time), ..stamp };
        self.header.time = stamp.time;
        self.changes.mark(Table::Header, 0);
        self.end_due(stamp, effects);
        self.read_ahead(&proposal.commands);
        let mut place = 0;
        while let Some(first) = proposal.commands.get(place) {
            if !first.linked {
                self.apply_one(stamp, first, origin_of(first, fingerprints[place]), history, effects);
                place += 1;
                continue;
            }
            let rest = &proposal.commands[place..];
            let links = rest.iter().take_while(|command| command.linked).count();
            let chain = &rest[..(links + 1).min(rest.len())];
            let origins = chain.iter().zip(&fingerprints[place..]);
            let origins: Vec<Origin> = origins.map(|(command, fingerprint)| origin_of(command, *fingerprint)).collect();
            self.apply_chain(stamp, chain, &origins, history, effects);
            place += chain.len();
        }
    }

    /// The number of the last event.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.header.sequence
    }

    /// The places of the records that changed since they were last taken, each once.
    #[must_use]
    pub fn changes(&self) -> &[RecordKey] {
        self.changes.keys()
    }

    /// Moves the places of the records that changed since the last call into `changes`.
    pub fn take_changes(&mut self, changes: &mut Vec<RecordKey>) {
        self.changes.take(changes);
    }

    fn apply_one(
        &mut self,
        stamp: Stamp,
        command: &Command,
        origin: Origin,
        history: &mut impl History,
        effects: &mut Effects,
    ) {
        if let Some(answered) = Self::answered(&origin, history) {
            effects.outcomes.push(answered);
            return;
        }
        let record = self.begin_record(stamp, Some(origin), effects);
        if let Err(reason) = self.carry_out(command, history, effects) {
            self.reject(reason, effects);
        }
        self.remember(origin, record, history, effects);
    }

    fn carry_out(&mut self, command: &Command, history: &impl History, effects: &mut Effects) -> Result<(), Rejection> {
        match &command.body {
            Body::CreateAsset(new) => self.create_asset(new, effects),
            Body::CreateAccount(new) => self.create_account(new, effects),
            Body::SetAccountState(set) => self.set_account_state(set, effects),
            Body::SetAccountAsset(set) => self.set_account_asset(set, effects),
            Body::CreateMarket(new) => self.create_market(new, effects),
            Body::SetMarketPhase(set) => self.set_market_phase(set, effects),
            Body::Transfer(transfer) => self.transfer(command.id, transfer, effects),
            Body::PostPending(post) => self.post_pending(post, history, effects),
            Body::VoidPending(void) => self.void_pending(void, history, effects),
            Body::NewOrder(new) => self.new_order(command.id, new, None, effects),
            Body::BuyPurchase(buy) => self.buy_purchase(command.id, buy, history, effects),
            Body::ReplaceOrder(replace) => self.replace_order(replace, history, effects),
            Body::CancelOrder(cancel) => self.cancel_order(cancel, history, effects),
            Body::MassCancel(cancel) => self.mass_cancel(cancel, effects),
            Body::DefinePlant(new) => self.define_plant(new, effects),
            Body::SetCalendar(set) => self.set_calendar(set, effects),
            Body::DefineItem(new) => self.define_item(new, effects),
            Body::DefineBom(new) => self.define_bom(new, effects),
            Body::ReceiveStock(receive) => self.receive_stock(receive, effects),
            Body::IssueStock(issue) => self.issue_stock(issue, effects),
            Body::AdjustStock(adjust) => self.adjust_stock(adjust, effects),
            Body::CountStock(count) => self.count_stock(count, effects),
            Body::ScrapStock(scrap) => self.scrap_stock(scrap, effects),
            Body::MoveStock(moved) => self.move_stock(moved, effects),
            Body::CreateWorkOrder(new) => self.create_work_order(command.id, new, effects),
            Body::ReleaseWorkOrder(release) => self.release_work_order(release, effects),
            Body::SetWorkOrder(set) => self.set_work_order(set, effects),
            Body::IssueMaterials(issue) => self.issue_materials(issue, effects),
            Body::ReturnMaterials(give) => self.return_materials(give, effects),
            Body::ReportOperation(report) => self.report_operation(report, effects),
            Body::CompleteWorkOrder(complete) => self.complete_work_order(complete, effects),
            Body::CreatePlan(new) => self.create_plan(new, effects),
            Body::SetPlanLines(set) => self.set_plan_lines(set, effects),
            Body::FirmPlan(firm) => self.firm_plan(command.id, firm, effects),
            Body::ClosePlan(close) => self.close_plan(close, effects),
            Body::ReceivePurchase(receive) => self.receive_purchase(receive, effects),
            Body::ClosePurchase(close) => self.close_purchase(close, effects),
            Body::LinkPurchase(link) => self.link_purchase(link, history, effects),
        }
    }

    /// The number of the event that is emitted next.
    pub(crate) fn next_sequence(&self) -> Sequence {
        self.header.sequence.plus(1)
    }

    /// Adds an event, with the postings since the one before.
    #[inline]
    pub(crate) fn emit(&mut self, body: EventBody, effects: &mut Effects) {
        self.header.sequence = self.next_sequence();
        effects.push_event(body);
        if self.production.lots.have_moved() {
            self.tell_lots(effects);
        }
    }

    fn reject(&mut self, reason: Rejection, effects: &mut Effects) {
        self.emit(EventBody::Rejected(reason), effects);
    }

    fn begin_record(&self, stamp: Stamp, origin: Option<Origin>, effects: &mut Effects) -> u32 {
        effects.begin_record(self.next_sequence(), stamp, origin)
    }

    fn remember(&self, origin: Origin, record: u32, history: &mut impl History, effects: &mut Effects) {
        let sequence = effects.sequence_of(record);
        history.remember(origin.key, Used { fingerprint: origin.fingerprint, sequence });
        effects.outcomes.push(Outcome::Applied { record });
    }
}

fn origin_of(command: &Command, fingerprint: u64) -> Origin {
    Origin { key: command.key(), fingerprint }
}

/// The single record of [`Table::Header`].
const HEADER_SLOT: Slot = 0;
