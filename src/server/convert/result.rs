//! Answers to commands, made of their records alone: a fresh one and the answer to a command sent
//! again are the same, but for the flag that says so.

use bytes::Bytes;

use super::event::{position, unsigned};
use super::{production_event, wire_number};
use crate::core::Rejection;
use crate::core::reply::{BalanceLeft, OrderSummary, Summary};
use crate::core::types::Sequence;
use crate::proto::v1 as pb;

/// The answer to the command with this id.
#[must_use]
pub fn result(id: Bytes, summary: &Summary, duplicate: bool) -> pb::CommandResult {
    pb::CommandResult {
        id,
        rejection: summary.rejection.map_or(0, |rejection| wire_number!(rejection)),
        duplicate,
        position: Some(position(summary.stamp, summary.sequence)),
        time: summary.stamp.time.0,
        order: summary.order.as_ref().map(order),
        cancelled_count: summary.cancelled_count.unwrap_or_default(),
        balances: summary.balances.iter().map(balance).collect(),
        conflicting_sequence: 0,
        work_order: summary.work_order.as_ref().map(production_event::work_order),
    }
}

/// The answer to a command whose id belongs to another one, whose record begins at `sequence`. It made no
/// record of its own, so that it has neither position nor time.
#[must_use]
pub fn id_reused(id: Bytes, sequence: Sequence) -> pb::CommandResult {
    pb::CommandResult {
        id,
        rejection: wire_number!(Rejection::IdReused),
        conflicting_sequence: sequence.0,
        ..Default::default()
    }
}

fn order(order: &OrderSummary) -> pb::OrderResult {
    pb::OrderResult {
        order_id: order.order.0,
        status: wire_number!(order.status),
        filled: order.filled.0,
        filled_notional: unsigned(order.notional),
        fees: order.fee.0,
        open: order.open.0,
        trade_count: order.trades,
        cancelled: order.cancelled.0,
    }
}

fn balance(left: &BalanceLeft) -> pb::BalanceLeft {
    pb::BalanceLeft {
        account_id: left.account.0,
        asset_id: left.asset.0,
        posted: left.posted.0,
        reserved: left.reserved.0,
        available: left.posted.0.saturating_sub(left.reserved.0),
    }
}
