//! Memory that a proposal will touch, asked for ahead.
//!
//! In a large state nearly every record that a command touches is in no cache, and what one command waits
//! for is known long before its turn. Asked for in one short loop over all commands, the answers of the
//! memory overlap, as a processor looks some hundred instructions ahead; command by command they come one
//! after the other (Chen, Ailamaki, Gibbons and Mowry, "Improving hash join performance through
//! prefetching", 2004). Nothing here changes anything.

use std::hint::black_box;

use super::Ledger;
use crate::command::{Body, BuyPurchase, Command, OrderRef};
use crate::types::{AccountId, AssetId, Side};

/// Balances at which the state outgrows the caches of one core.
const BALANCES_MIN: u32 = 4_000;

impl Ledger {
    /// Reads what the commands are about.
    pub(super) fn read_ahead(&self, commands: &[Command]) {
        if self.balances.entries.len() < BALANCES_MIN {
            return;
        }
        let mut seen = 0;
        for command in commands {
            seen ^= match &command.body {
                Body::Transfer(transfer) => {
                    self.glance(transfer.debit, transfer.asset) ^ self.glance(transfer.credit, transfer.asset)
                }
                Body::NewOrder(order) | Body::BuyPurchase(BuyPurchase { order, .. }) => {
                    self.markets.find(order.market).map_or(0, |entry| {
                        let market = &entry.market;
                        let given = if order.side == Side::Buy { market.quote } else { market.base };
                        self.glance(order.account, given)
                    })
                }
                Body::CancelOrder(cancel) => self.glance_at_order(cancel.order),
                Body::ReplaceOrder(replace) => self.glance_at_order(replace.order),
                _ => 0,
            };
        }
        // Else the compiler would see that nobody needs it.
        black_box(seen);
    }

    fn glance(&self, account: AccountId, asset: AssetId) -> u64 {
        let account_seen = self.accounts.find(account).map_or(0, |entry| u64::from(entry.account.state.number()));
        let balance_seen =
            self.balances.entries.find((account, asset)).map_or(0, |entry| entry.balance.posted.0 as u64);
        account_seen ^ balance_seen
    }

    fn glance_at_order(&self, order: OrderRef) -> u64 {
        let OrderRef::OrderId(id) = order else { return 0 };
        self.orders.slot(id).map_or(0, |slot| {
            let entry = &self.orders.entries[slot];
            entry.order.open.0 ^ self.balances.entries[entry.held_in].balance.posted.0 as u64
        })
    }
}
