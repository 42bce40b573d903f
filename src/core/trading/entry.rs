//! Order entry: everything is checked before anything changes.
//!
//! The checks run in this order, and the first that fails is the reason: account, market and its
//! phase, quantity, price, size, expiry, permission for the asset it would receive, post-only, range
//! of the sums it takes part in, buying power or stock, fill-or-kill.

use super::markets::MarketEntry;
use super::orders::{OrderEntry, reservation};
use crate::core::command::{NewOrder, Pricing};
use crate::core::event::{Effects, EventBody, OrderAccepted};
use crate::core::ledger::Ledger;
use crate::core::ledger::records::Order;
use crate::core::rejection::Rejection;
use crate::core::types::{Amount, CommandId, OrderId, Quantity, Side, TimeInForce};

impl Ledger {
    pub(in crate::core) fn new_order(
        &mut self,
        id: CommandId,
        new: &NewOrder,
        effects: &mut Effects,
    ) -> Result<(), Rejection> {
        let owner = self.active_account(new.account)?;
        let market = self.open_market(new.market)?;
        let entry = &self.markets[market];
        let mut order = self.draft(id, new);
        check_terms(entry, &order)?;
        if let Some(at) = order.expires_at {
            self.check_future(at)?;
        }
        self.check_allowed(owner, entry.received_asset(order.side))?;
        order.reserved = check_room(entry, &order, Quantity(0))?;
        let given = entry.given(order.side);
        self.check_spend(owner, given, order.reserved.0)?;
        if order.time_in_force == TimeInForce::FillOrKill && !self.can_fill(entry, &order) {
            return Err(Rejection::NotFillable);
        }

        let held_in = self.balance_slot(owner, given);
        self.post(held_in, 0, order.reserved.0, effects);
        self.emit(EventBody::OrderAccepted(OrderAccepted { id, order: new.clone() }), effects);
        let mut taker = OrderEntry::new(order, owner, held_in);
        self.match_incoming(market, &mut taker, effects);
        if taker.order.open > Quantity(0) {
            self.enlist(market, taker);
        }
        Ok(())
    }

    /// The order as the command asks for it. Its id is the sequence of the event that accepts it.
    fn draft(&self, id: CommandId, new: &NewOrder) -> Order {
        let sequence = self.next_sequence();
        Order {
            id: OrderId(sequence.0),
            client_order_id: id,
            account: new.account,
            market: new.market,
            side: new.side,
            pricing: new.pricing,
            time_in_force: new.time_in_force,
            expires_at: new.expires_at.filter(|_| new.time_in_force == TimeInForce::GoodTillDate),
            post_only: new.post_only,
            self_trade_prevention: new.self_trade_prevention,
            quantity: new.quantity,
            filled: Quantity(0),
            open: new.quantity,
            filled_notional: Amount(0),
            fee_accrued: 0,
            fee_paid: Amount(0),
            reserved: Amount(0),
            priority: sequence,
        }
    }
}

/// Refuses a quantity or a price that the market does not trade.
pub(super) fn check_terms(entry: &MarketEntry, order: &Order) -> Result<(), Rejection> {
    let market = &entry.market;
    if i64::try_from(order.quantity.0).is_err() {
        return Err(Rejection::Overflow);
    }
    if order.quantity == Quantity(0) || order.quantity.0 % market.lot.0 != 0 {
        return Err(Rejection::QuantityNotInLots);
    }
    if order.quantity > market.quantity_max {
        return Err(Rejection::QuantityAboveMax);
    }
    let notional = match (order.pricing, order.side) {
        (Pricing::Limit(price) | Pricing::MarketToPrice(price), _) => {
            if price.0 == 0 || price.0 % market.tick.0 != 0 {
                return Err(Rejection::PriceNotOnTick);
            }
            entry.notional(price, order.quantity).ok_or(Rejection::Overflow)?
        }
        (Pricing::MarketForBudget(budget), Side::Buy) if budget.0 > 0 => budget.0,
        // Refused by its shape before: a budget buys, and is more than nothing.
        (Pricing::MarketForBudget(_), _) => return Err(Rejection::PriceNotOnTick),
    };
    if notional > market.notional_max.0 {
        return Err(Rejection::NotionalAboveMax);
    }
    Ok(())
}

/// Refuses an order that must not trade and would, or whose sums could leave their range; answers
/// what it has to reserve. `resting` is what it has open in the book already.
///
/// The sums are the book's open quantity, and the order's own filled notional: a sell trades at best
/// at the first bid, or as a maker at its limit, and what is filled and what is open at the better
/// of these fits 63 bits together. A buy trades at its limit at worst, which its reservation covers.
pub(super) fn check_room(entry: &MarketEntry, order: &Order, resting: Quantity) -> Result<Amount, Rejection> {
    if order.post_only && entry.book.would_trade(order) {
        return Err(Rejection::PostOnlyWouldTrade);
    }
    let others = entry.book.side(order.side).open() - resting.0;
    others.checked_add(order.open.0).ok_or(Rejection::Overflow)?;
    if let Some(limit) = order.limit() {
        let best_bid = entry.book.side(Side::Buy).best_price().filter(|_| order.side == Side::Sell);
        let dearest = best_bid.map_or(limit, |bid| bid.max(limit));
        let most = entry.notional(dearest, order.open).ok_or(Rejection::Overflow)?;
        most.checked_add(order.filled_notional.0).ok_or(Rejection::Overflow)?;
    }
    reservation(order, entry).ok_or(Rejection::Overflow)
}
