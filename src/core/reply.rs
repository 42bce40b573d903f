//! What a client is told about its command, read from the command's record alone.
//!
//! A fresh answer and the answer to a command sent again are built from the same record, the one
//! from memory and the other from the journal, and so are equal.

use super::command::Scope;
use super::event::{EventBody, Posting, RecordView};
use super::rejection::Rejection;
use super::types::{AccountId, Amount, AssetId, OrderId, OrderStatus, Quantity, Sequence, Stamp};

/// The answer to one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The first event of the record.
    pub sequence: Sequence,
    /// Where in the log, and when, it was applied.
    pub stamp: Stamp,
    /// Why it was refused, if it was.
    pub rejection: Option<Rejection>,
    /// The order that the command entered, replaced or cancelled.
    pub order: Option<OrderSummary>,
    /// How many orders a mass cancel ended.
    pub cancelled_count: Option<u32>,
    /// What the command left in the balances it touched: of the trading account alone for an order,
    /// of both accounts for a transfer.
    pub balances: Vec<BalanceLeft>,
}

/// What became of the command's own order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderSummary {
    /// The order.
    pub order: OrderId,
    /// Its status after the command.
    pub status: OrderStatus,
    /// Filled by this command.
    pub filled: Quantity,
    /// Price × quantity of these fills, in quote units.
    pub notional: Amount,
    /// Fees of these fills, in quote units.
    pub fee: Amount,
    /// How many trades these were.
    pub trades: u32,
    /// Still open.
    pub open: Quantity,
    /// Cancelled by this command, or taken off by self-trade prevention.
    pub cancelled: Quantity,
}

/// One balance after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BalanceLeft {
    /// Whose.
    pub account: AccountId,
    /// Of what.
    pub asset: AssetId,
    /// Settled.
    pub posted: Amount,
    /// Held.
    pub reserved: Amount,
}

impl Summary {
    /// The answer that this record gives.
    #[must_use]
    pub fn of(record: RecordView<'_>) -> Self {
        let _ = (record, Scope::Admin);
        let _ = |event: &EventBody, posting: &Posting| drop((event.clone(), *posting));
        todo!()
    }
}
