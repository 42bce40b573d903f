//! What the checker found.

use std::collections::BTreeMap;

use super::history::Moment;
use crate::core::event::{EventBody, RecordView};
use crate::core::types::{LogIndex, Sequence};

/// How many violations are kept word for word; all are counted.
const KEPT_MAX: usize = 20;

/// What a node says of itself in quiet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeState {
    /// Which node.
    pub node: u64,
    /// The last log entry it has applied.
    pub applied: LogIndex,
    /// The last event.
    pub sequence: Sequence,
    /// The digest of its state there.
    pub digest: String,
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// An acknowledged command is not in the journal.
    #[error("lost: command {id} was acknowledged and is not in the journal")]
    Lost {
        /// The command.
        id: String,
    },
    /// A command took effect twice.
    #[error("doubled: command {id} took effect at {first} and again at {second}")]
    Doubled {
        /// The command.
        id: String,
        /// Its first record.
        first: Sequence,
        /// Its second record.
        second: Sequence,
    },
    /// A command that was refused for good took effect.
    #[error("command {id} was refused and took effect at {sequence}")]
    RefusedButDone {
        /// The command.
        id: String,
        /// Its record.
        sequence: Sequence,
    },
    /// A client was told something else than what happened.
    #[error("command {id} was told {told}, and is {is}")]
    ToldOtherwise {
        /// The command.
        id: String,
        /// What its client was told.
        told: String,
        /// What the journal says.
        is: String,
    },
    /// A record is not what its command makes.
    #[error("at {sequence} the journal is not what the commands make: {what}")]
    Diverged {
        /// The log entry's first event.
        sequence: Sequence,
        /// The difference.
        what: String,
    },
    /// A command stands before another that was answered before it was sent.
    #[error("reordered: {first} was answered before {second} was sent, and stands behind it")]
    Reordered {
        /// Answered first.
        first: String,
        /// Sent later.
        second: String,
    },
    /// A read did not see what it must.
    #[error("stale read: one sent at {} ns saw {saw} and not {needed}", sent.0)]
    StaleRead {
        /// The last event it saw.
        saw: Sequence,
        /// What had been answered before it was sent.
        needed: Sequence,
        /// When it was sent.
        sent: Moment,
    },
    /// A read saw what was sent only later, or what is in no journal.
    #[error("a read saw {saw}, when {sent_later} had not been sent")]
    FutureRead {
        /// The last event it saw.
        saw: Sequence,
        /// The first event of what was sent later.
        sent_later: Sequence,
    },
    /// A read shows what never was.
    #[error("a read at {saw} shows {what}")]
    WrongRead {
        /// The last event it saw.
        saw: Sequence,
        /// The difference.
        what: String,
    },
    /// The events are not numbered without gaps.
    #[error("gap: event {found} follows where {expected} must")]
    Gap {
        /// The number that must follow.
        expected: Sequence,
        /// The number that does.
        found: Sequence,
    },
    /// A record's position or time is before that of the record before it.
    #[error("at {sequence} the journal runs backwards")]
    Backwards {
        /// The record.
        sequence: Sequence,
    },
    /// An invariant of the ledger does not hold in the end.
    #[error("invariant broken: {what}")]
    Invariant {
        /// Which.
        what: String,
    },
    /// A node does not have all of the journal in quiet.
    #[error("node {node} is at {sequence} in quiet, the journal ends at {end}")]
    NodeBehind {
        /// The node.
        node: u64,
        /// Its last event.
        sequence: Sequence,
        /// The journal's.
        end: Sequence,
    },
    /// Two nodes have different states.
    #[error("the states of two nodes differ: {one:?}, {other:?}")]
    NodesDiffer {
        /// One.
        one: NodeState,
        /// The other.
        other: NodeState,
    },
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Everything held, and enough happened to say so.
    Ok,
    /// Nothing was found, but too little happened.
    Void,
    /// Something that must not be.
    Failed,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Void => "void",
            Self::Failed => "failed",
        })
    }
}

/// What was found, and what was counted.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Records of the journal.
    pub records: u64,
    /// Their events.
    pub events: u64,
    /// Records of commands that are not of this history.
    pub foreign: u64,
    /// Commands that were answered.
    pub acknowledged: u64,
    /// Commands whose answer is not known.
    pub unknown: u64,
    /// Of these, those that took effect.
    pub unknown_done: u64,
    /// Commands refused for good.
    pub refused: u64,
    /// Reads that were answered.
    pub reads: u64,
    /// Acknowledged commands that are not in the journal.
    pub lost: u64,
    /// Commands that took effect twice.
    pub doubled: u64,
    /// Reads that saw too little, too much, or what never was.
    pub misread: u64,
    /// Everything that must not be, in number.
    pub violations: u64,
    /// The first of them.
    pub kept: Vec<Violation>,
    /// How often each kind of event was seen.
    pub seen: BTreeMap<&'static str, u64>,
    /// The whole journal was replayed.
    pub complete: bool,
}

impl Report {
    pub(super) fn add(&mut self, violation: Violation) {
        match violation {
            Violation::Lost { .. } => self.lost += 1,
            Violation::Doubled { .. } => self.doubled += 1,
            Violation::StaleRead { .. } | Violation::FutureRead { .. } | Violation::WrongRead { .. } => {
                self.misread += 1;
            }
            _ => {}
        }
        self.violations += 1;
        if self.kept.len() < KEPT_MAX {
            self.kept.push(violation);
        }
    }

    pub(super) fn count(&mut self, record: RecordView<'_>) {
        for (_, body, _) in record.events() {
            *self.seen.entry(name(body)).or_default() += 1;
        }
    }

    /// How often this kind of event was seen.
    #[must_use]
    pub fn seen(&self, kind: &str) -> u64 {
        self.seen.get(kind).copied().unwrap_or_default()
    }

    /// Whether nothing was found that must not be. A run may still be void.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.violations == 0
    }

    /// The verdict, with what was too quiet.
    #[must_use]
    pub fn verdict(&self, too_quiet: &[String]) -> Verdict {
        match (self.holds(), too_quiet.is_empty()) {
            (false, _) => Verdict::Failed,
            (true, false) => Verdict::Void,
            (true, true) => Verdict::Ok,
        }
    }
}

fn name(body: &EventBody) -> &'static str {
    match body {
        EventBody::Rejected(_) => "rejected",
        EventBody::AssetCreated(_) => "asset_created",
        EventBody::AccountCreated(_) => "account_created",
        EventBody::AccountStateSet(_) => "account_state_set",
        EventBody::AccountAssetSet(_) => "account_asset_set",
        EventBody::MarketCreated(_) => "market_created",
        EventBody::MarketPhaseSet(_) => "market_phase_set",
        EventBody::Transferred(_) => "transferred",
        EventBody::PendingPosted(_) => "pending_posted",
        EventBody::PendingVoided(_) => "pending_voided",
        EventBody::PendingExpired(_) => "pending_expired",
        EventBody::OrderAccepted(_) => "order_accepted",
        EventBody::Trade(_) => "trade",
        EventBody::OrderReplaced(_) => "order_replaced",
        EventBody::OrderReduced(_) => "order_reduced",
        EventBody::OrderCancelled(_) => "order_cancelled",
        EventBody::MassCancelled(_) => "mass_cancelled",
        EventBody::PlantDefined(_) => "plant_defined",
        EventBody::CalendarSet(_) => "calendar_set",
        EventBody::ItemDefined(_) => "item_defined",
        EventBody::BomDefined(_) => "bom_defined",
        EventBody::StockMoved(_) => "stock_moved",
        EventBody::LotsMoved(_) => "lots_moved",
        EventBody::WorkOrderCreated(_) => "work_order_created",
        EventBody::WorkOrderReleased(_) => "work_order_released",
        EventBody::WorkOrderChanged(_) => "work_order_changed",
        EventBody::MaterialsIssued(_) => "materials_issued",
        EventBody::MaterialsReturned(_) => "materials_returned",
        EventBody::OperationReported(_) => "operation_reported",
        EventBody::WorkOrderCompleted(_) => "work_order_completed",
        EventBody::PlanCreated(_) => "plan_created",
        EventBody::PlanLinesSet(_) => "plan_lines_set",
        EventBody::PlanFirmed(_) => "plan_firmed",
        EventBody::PlanClosed(_) => "plan_closed",
        EventBody::PurchasePlanned(_) => "purchase_planned",
        EventBody::PurchaseReceived(_) => "purchase_received",
        EventBody::PurchaseClosed(_) => "purchase_closed",
        EventBody::PurchaseLinked(_) => "purchase_linked",
    }
}
