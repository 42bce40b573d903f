//! Everything that can be read of a ledger is what the books say.

use std::collections::BTreeMap;

use counterfoil_core::Ledger;
use counterfoil_core::command::Pricing;
use counterfoil_core::ledger::Hold;
use counterfoil_core::types::{AccountId, AssetId, OrderId, Price, Side};

use super::fold::Fold;

/// Compares every query with the fold.
pub fn check(ledger: &Ledger, fold: &Fold) {
    assert_eq!(ledger.assets().count(), fold.assets.len());
    for (id, account) in &fold.accounts {
        let read = ledger.account(*id).expect("the account is there");
        assert_eq!((read.state, read.issuer, read.restricted), (account.state, account.issuer, account.restricted));
        check_account(ledger, fold, *id);
    }
    assert_eq!(ledger.accounts(None, usize::MAX).count(), fold.accounts.len());
    for (id, (_, phase, last)) in &fold.markets {
        let market = ledger.market(*id).expect("the market is there");
        assert_eq!((market.phase, market.last_price), (*phase, *last));
        let sides = [Side::Buy, Side::Sell].map(|side| fold.side(*id, side));
        let all: Vec<OrderId> = sides.iter().flatten().map(|(id, _)| *id).collect();
        assert_eq!(ledger.market_orders(*id).map(|order| order.id).collect::<Vec<_>>(), all);
        for (side, orders) in [Side::Buy, Side::Sell].into_iter().zip(&sides) {
            let mut levels: Vec<(Price, u64, u32)> = Vec::new();
            for (_, order) in orders {
                let Pricing::Limit(price) = order.pricing else { panic!("{order:?} rests") };
                match levels.last_mut() {
                    Some(level) if level.0 == price => *level = (price, level.1 + order.open, level.2 + 1),
                    _ => levels.push((price, order.open, 1)),
                }
            }
            let book = ledger.book(*id).expect("the market has a book");
            let read: Vec<_> = book.levels(side).map(|level| (level.price, level.quantity.0, level.orders)).collect();
            assert_eq!(read, levels, "market {id} {side:?}");
            assert_eq!(book.best(side), levels.first().map(|level| level.0));
            assert_eq!(book.order_count(side), orders.len());
        }
    }
}

fn check_account(ledger: &Ledger, fold: &Fold, account: AccountId) {
    let own = |id: &&OrderId| fold.orders[*id].account == account;
    let orders: Vec<OrderId> = fold.open.iter().filter(own).copied().collect();
    assert_eq!(ledger.orders(account).map(|order| order.id).collect::<Vec<_>>(), orders);
    for id in &orders {
        let order = ledger.order(*id).expect("open");
        assert_eq!(ledger.order_by_client_id(account, order.client_order_id).map(|order| order.id), Some(*id));
    }
    let pending = ledger.pendings(account).map(|pending| pending.id);
    let mut pending: Vec<_> = pending.collect();
    pending.sort_unstable();
    let folded: Vec<_> = fold.pending.iter().filter(|(_, entry)| entry.0 == account).map(|(id, _)| *id).collect();
    assert_eq!(pending, folded);

    let mut holds: BTreeMap<AssetId, i64> = BTreeMap::new();
    for (hold, asset, amount) in ledger.holds(account) {
        let expected = match hold {
            Hold::Order(order) => fold.orders[&order.id].held,
            Hold::Pending(pending) => fold.pending[&pending.id].2,
            Hold::WorkOrder(order) => {
                let lines = &fold.production.orders[&order.id].lines;
                let line = lines.iter().find(|line| line.component == asset).expect("it holds a component");
                line.reserved.0 as i64
            }
        };
        assert_eq!(amount.0, expected);
        *holds.entry(asset).or_default() += amount.0;
    }
    let mut balances = 0;
    for balance in ledger.balances(account) {
        assert_eq!(balance.reserved.0, holds.remove(&balance.asset).unwrap_or(0), "holds explain what is reserved");
        let held = fold.balances.get(&(account, balance.asset)).copied().unwrap_or_default();
        assert_eq!((balance.posted.0, balance.reserved.0), (held.posted, held.reserved));
        assert_eq!(ledger.balance(account, balance.asset), Some(balance));
        balances += usize::from(held.posted != 0);
    }
    assert!(holds.is_empty(), "held without a balance: {holds:?}");
    let folded = fold.balances.iter().filter(|((owner, _), held)| *owner == account && held.posted != 0);
    assert_eq!(balances, folded.count(), "every balance of account {account} is listed");
}
