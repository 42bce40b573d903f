//! What the ledger says happened.
//!
//! One command makes one [`Record`] of one or more events, numbered without gaps. Every change of a
//! balance is a [`Posting`] of the event that caused it, with the balance it left, so that the
//! state is a fold over records, and any balance at any past sequence can be read from one posting.

mod plan;
mod production;
mod record;

use super::codec::{record, tagged};
use super::command::{
    CreateAccount, CreateAsset, CreateMarket, DefineBom, DefineItem, DefinePlant, NewOrder, SetAccountAsset,
    SetAccountState, SetCalendar, SetMarketPhase, SetPlanLines, Transfer,
};
use super::rejection::Rejection;
use super::types::{
    AccountId, Amount, AssetId, CancelReason, CommandId, MarketId, OrderId, Price, Quantity, Sequence, Side, Stamp,
};

pub use plan::{
    OrderPeg, PlanClosed, PlanCreated, PlanFirmed, PurchaseClosed, PurchaseLinked, PurchasePlanned, PurchaseReceived,
};
pub use production::{
    LotMove, LotsMoved, MaterialMoved, MaterialsIssued, MaterialsReturned, OperationReported, StockMoved,
    WorkOrderChanged, WorkOrderCompleted, WorkOrderCreated, WorkOrderReleased,
};
pub use record::{Event, Origin, Record, RecordHead, RecordView};

record! {
    /// One signed change of one balance, and what it left.
    #[derive(Copy)]
    pub struct Posting {
        /// Whose balance.
        pub account: AccountId,
        /// Of what.
        pub asset: AssetId,
        /// Change of `posted`. Over the postings of one event these sum to zero per asset.
        pub amount: Amount,
        /// Change of `reserved`.
        pub hold: Amount,
        /// `posted` afterwards.
        pub posted: Amount,
        /// `reserved` afterwards.
        pub reserved: Amount,
    }
}

tagged! {
    /// What happened. One is moved several times on its way; those that are larger than a [`Trade`] stand
    /// in a box, so that trading does not pay for them.
    pub enum EventBody {
        /// The command was refused; nothing else changed.
        1 => Rejected(Rejection),
        /// An asset was added.
        2 => AssetCreated(CreateAsset),
        /// An account was added.
        3 => AccountCreated(CreateAccount),
        /// An account changed state.
        4 => AccountStateSet(SetAccountState),
        /// An account's terms for an asset changed.
        5 => AccountAssetSet(SetAccountAsset),
        /// A market was added.
        6 => MarketCreated(CreateMarket),
        /// A market changed phase.
        7 => MarketPhaseSet(SetMarketPhase),
        /// A transfer settled, or reserved its amount if it is pending.
        10 => Transferred(Transferred),
        /// A pending transfer settled, whole or in part.
        11 => PendingPosted(PendingPosted),
        /// A pending transfer was voided.
        12 => PendingVoided(PendingEnded),
        /// A pending transfer expired.
        13 => PendingExpired(PendingEnded),
        /// An order was accepted; the event's sequence is its order id.
        20 => OrderAccepted(OrderAccepted),
        /// Two orders traded; the event's sequence is the trade id.
        21 => Trade(Trade),
        /// An order's price or quantity changed.
        22 => OrderReplaced(OrderReplaced),
        /// Self-trade prevention took quantity off an order, which stays open.
        23 => OrderReduced(OrderReduced),
        /// An order ended before it was filled.
        24 => OrderCancelled(OrderCancelled),
        /// A mass cancel was carried out; the orders' own events stand before it.
        25 => MassCancelled(MassCancelled),
        /// A plant was defined.
        30 => PlantDefined(DefinePlant),
        /// A plant's calendar was set.
        31 => CalendarSet(SetCalendar),
        /// An item was defined.
        32 => ItemDefined(DefineItem),
        /// A version of a bill of materials was added.
        33 => BomDefined(Box<DefineBom>),
        /// Stock was received, issued, adjusted, counted, scrapped or moved.
        40 => StockMoved(Box<StockMoved>),
        /// The event before moved these lots.
        41 => LotsMoved(LotsMoved),
        /// A work order was added; the event's sequence is its id.
        50 => WorkOrderCreated(Box<WorkOrderCreated>),
        /// A work order's materials were reserved.
        51 => WorkOrderReleased(Box<WorkOrderReleased>),
        /// A work order was started, held, resumed or ended.
        52 => WorkOrderChanged(Box<WorkOrderChanged>),
        /// Materials were issued to a work order.
        53 => MaterialsIssued(Box<MaterialsIssued>),
        /// Material came back from a work order.
        54 => MaterialsReturned(Box<MaterialsReturned>),
        /// Work on an operation was reported.
        55 => OperationReported(Box<OperationReported>),
        /// Products of a work order were completed.
        56 => WorkOrderCompleted(Box<WorkOrderCompleted>),
        /// A plan was added; the event's sequence is its id.
        60 => PlanCreated(Box<PlanCreated>),
        /// Lines of a plan's demand were set or removed.
        61 => PlanLinesSet(Box<SetPlanLines>),
        /// The events before made orders for a plan.
        62 => PlanFirmed(Box<PlanFirmed>),
        /// A plan was closed.
        63 => PlanClosed(Box<PlanClosed>),
        /// A purchase was planned; the event's sequence is its id.
        64 => PurchasePlanned(Box<PurchasePlanned>),
        /// Goods of a planned purchase came.
        65 => PurchaseReceived(Box<PurchaseReceived>),
        /// A planned purchase was ended.
        66 => PurchaseClosed(Box<PurchaseClosed>),
        /// It was said which order buys a planned purchase.
        67 => PurchaseLinked(Box<PurchaseLinked>),
    }
}

record! {
    /// A transfer settled, or reserved its amount if it is pending.
    pub struct Transferred {
        /// The transfer's id.
        pub id: CommandId,
        /// Its content.
        pub transfer: Transfer,
    }
}

record! {
    /// A pending transfer settled.
    pub struct PendingPosted {
        /// The pending transfer.
        pub transfer: CommandId,
        /// How much of it settled; the rest of the reservation was given back.
        pub amount: Amount,
    }
}

record! {
    /// A pending transfer ended without settling.
    pub struct PendingEnded {
        /// The pending transfer.
        pub transfer: CommandId,
        /// The reservation that was given back.
        pub amount: Amount,
    }
}

record! {
    /// An order was accepted.
    pub struct OrderAccepted {
        /// The client order id.
        pub id: CommandId,
        /// Its content.
        pub order: NewOrder,
    }
}

record! {
    /// Two orders traded. The trade settles in this event's postings.
    pub struct Trade {
        /// Where.
        pub market: MarketId,
        /// The maker's price.
        pub price: Price,
        /// How much of the base asset.
        pub quantity: Quantity,
        /// Price × quantity, in quote units.
        pub notional: Amount,
        /// The incoming order's side.
        pub taker_side: Side,
        /// The resting order.
        pub maker: OrderId,
        /// Its account.
        pub maker_account: AccountId,
        /// The incoming order.
        pub taker: OrderId,
        /// Its account.
        pub taker_account: AccountId,
        /// What the maker paid, in quote units; negative is a rebate.
        pub maker_fee: Amount,
        /// What the taker paid, in quote units.
        pub taker_fee: Amount,
        /// What the maker still has open.
        pub maker_open: Quantity,
        /// What the taker still has open.
        pub taker_open: Quantity,
    }
}

record! {
    /// An order's price or quantity changed. Trades of the new price follow as events of their own.
    pub struct OrderReplaced {
        /// The order.
        pub order: OrderId,
        /// Its account.
        pub account: AccountId,
        /// Its market.
        pub market: MarketId,
        /// Its side.
        pub side: Side,
        /// Its total quantity now.
        pub quantity: Quantity,
        /// Its limit price now.
        pub price: Price,
        /// What is open now, before any trade.
        pub open: Quantity,
        /// Whether it kept its place in the queue.
        pub priority_kept: bool,
    }
}

record! {
    /// Self-trade prevention took quantity off an order.
    pub struct OrderReduced {
        /// The order.
        pub order: OrderId,
        /// Its account.
        pub account: AccountId,
        /// Its market.
        pub market: MarketId,
        /// How much was taken off.
        pub reduced: Quantity,
        /// What is open now.
        pub open: Quantity,
    }
}

record! {
    /// An order ended before it was filled.
    pub struct OrderCancelled {
        /// The order.
        pub order: OrderId,
        /// Its account.
        pub account: AccountId,
        /// Its market.
        pub market: MarketId,
        /// The quantity that was open.
        pub open: Quantity,
        /// Why.
        pub reason: CancelReason,
    }
}

record! {
    /// A mass cancel was carried out.
    pub struct MassCancelled {
        /// Whose orders.
        pub account: AccountId,
        /// Of which market; of all when `None`.
        pub market: Option<MarketId>,
        /// Of which side; of both when `None`.
        pub side: Option<Side>,
        /// How many orders it cancelled.
        pub count: u32,
    }
}

// Trading makes these by the million: a variant that is larger than a trade belongs in a box.
const _: () = assert!(size_of::<EventBody>() <= size_of::<Trade>(), "an event is as large as a trade");

/// What became of one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was applied now, or rejected now: its record is this one of the [`Effects`].
    Applied {
        /// The place in [`Effects::records`].
        record: u32,
    },
    /// It had been applied before: the record that begins at this sequence is its answer.
    Duplicate {
        /// The first event of the first answer.
        sequence: Sequence,
    },
    /// It is refused without a record: its id belongs to a command of other content.
    IdReused {
        /// The first event of the command that has the id.
        sequence: Sequence,
    },
}

/// Everything that applying one proposal did. Kept and cleared, so that the hot path does not allocate.
#[derive(Debug, Clone, Default)]
pub struct Effects {
    /// One per command, in order. None when the proposal was void.
    pub outcomes: Vec<Outcome>,
    /// The proposal was void: its predecessor is missing.
    pub void: bool,
    begun: Vec<BegunRecord>,
    events: Vec<Event>,
    postings: Vec<Posting>,
}

#[derive(Debug, Clone)]
struct BegunRecord {
    sequence: Sequence,
    stamp: Stamp,
    origin: Option<Origin>,
    events_start: u32,
    postings_start: u32,
}

/// How much an [`Effects`] held at some point.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EffectsMark {
    begun: usize,
    events: usize,
    postings: usize,
}

impl EffectsMark {
    /// The place of the record that is begun next.
    pub(crate) fn record_count(&self) -> u32 {
        self.begun as u32
    }
}

impl Effects {
    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.outcomes.clear();
        self.void = false;
        self.begun.clear();
        self.events.clear();
        self.postings.clear();
    }

    /// How many records there are.
    #[must_use]
    pub fn record_count(&self) -> usize {
        self.begun.len()
    }

    /// The record at this place.
    ///
    /// # Panics
    /// When there is no such record.
    #[must_use]
    pub fn record(&self, place: usize) -> RecordView<'_> {
        let record = &self.begun[place];
        let next = self.begun.get(place + 1);
        let events_end = next.map_or(self.events.len(), |next| next.events_start as usize);
        let postings_end = next.map_or(self.postings.len(), |next| next.postings_start as usize);
        RecordView {
            sequence: record.sequence,
            stamp: record.stamp,
            origin: record.origin,
            events: &self.events[record.events_start as usize..events_end],
            postings: &self.postings[record.postings_start as usize..postings_end],
            postings_start: record.postings_start,
        }
    }

    /// The first event of the record at this place.
    pub(crate) fn sequence_of(&self, record: u32) -> Sequence {
        self.begun[record as usize].sequence
    }

    /// Every record, in order.
    pub fn records(&self) -> impl Iterator<Item = RecordView<'_>> {
        (0..self.begun.len()).map(|place| self.record(place))
    }

    /// Begins a record; the events pushed from now on are its own. Returns its place.
    pub(crate) fn begin_record(&mut self, sequence: Sequence, stamp: Stamp, origin: Option<Origin>) -> u32 {
        self.begun.push(BegunRecord {
            sequence,
            stamp,
            origin,
            events_start: self.events.len() as u32,
            postings_start: self.postings.len() as u32,
        });
        (self.begun.len() - 1) as u32
    }

    /// A point to [`Self::rewind`] to.
    pub(crate) fn mark(&self) -> EffectsMark {
        EffectsMark { begun: self.begun.len(), events: self.events.len(), postings: self.postings.len() }
    }

    /// The postings pushed since the mark, in order.
    pub(crate) fn postings_since(&self, mark: &EffectsMark) -> &[Posting] {
        &self.postings[mark.postings..]
    }

    /// Forgets the records, events and postings pushed since the mark.
    pub(crate) fn rewind(&mut self, mark: &EffectsMark) {
        self.begun.truncate(mark.begun);
        self.events.truncate(mark.events);
        self.postings.truncate(mark.postings);
    }

    /// Adds a posting to the event that is pushed next.
    pub(crate) fn push_posting(&mut self, posting: Posting) {
        self.postings.push(posting);
    }

    /// Adds an event, with the postings pushed since the last one.
    pub(crate) fn push_event(&mut self, body: EventBody) {
        self.events.push(Event { body, postings_end: self.postings.len() as u32 });
    }
}
