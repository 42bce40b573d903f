//! Order entry: everything is checked before anything changes.
//!
//! The checks run in this order, and the first that fails is the reason: account, market and its
//! phase, quantity, price, size, expiry, permission for the asset it would receive, the account's
//! number of open orders, post-only, range of the sums it takes part in, buying power or stock,
//! fill-or-kill.

use super::markets::MarketEntry;
use super::orders::{OrderEntry, reservation};
use crate::command::{NewOrder, Pricing};
use crate::event::{Effects, EventBody, OrderAccepted};
use crate::ledger::Ledger;
use crate::ledger::records::Order;
use crate::rejection::Rejection;
use crate::table::Slot;
use crate::types::{Amount, CommandId, OrderId, Quantity, Side, TimeInForce};

/// Open orders that one account may have. A mass cancel ends them all in one record, which has to stay
/// of a size that can be stored and sent.
pub const OPEN_ORDERS_MAX: u32 = 1 << 16;

impl Ledger {
    /// Of a planned purchase that it buys, its trades are receipts from the first one on.
    pub(crate) fn new_order(
        &mut self,
        id: CommandId,
        new: &NewOrder,
        purchase: Option<Slot>,
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
        if order.rests() && self.accounts[owner].orders.len() >= OPEN_ORDERS_MAX {
            return Err(Rejection::OpenOrdersAboveMax);
        }
        order.reserved = check_room(entry, &order, Quantity(0))?;
        let given = entry.given(order.side);
        self.check_spend(owner, given, order.reserved.0)?;
        if order.time_in_force == TimeInForce::FillOrKill && !self.can_fill(entry, &order) {
            return Err(Rejection::NotFillable);
        }

        let held_in = self.balance_slot(owner, given);
        self.post(held_in, 0, order.reserved.0, effects);
        self.emit(EventBody::OrderAccepted(OrderAccepted { id, order: new.clone() }), effects);
        if let Some(purchase) = purchase {
            self.set_link(purchase, Some(id), effects);
        }
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
    if order.quantity == Quantity(0) || !order.quantity.0.is_multiple_of(market.lot.0) {
        return Err(Rejection::QuantityNotInLots);
    }
    if order.quantity > market.quantity_max {
        return Err(Rejection::QuantityAboveMax);
    }
    let notional = match (order.pricing, order.side) {
        (Pricing::Limit(price) | Pricing::MarketToPrice(price), _) => {
            if price.0 == 0 || !price.0.is_multiple_of(market.tick.0) {
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

#[cfg(test)]
mod tests {
    use crate::command::{Body, CreateMarket, MassCancel, NewOrder, Pricing, SetMarketPhase, Transfer};
    use crate::fixture::{ANN, BOB, BOLT, BOLT_USD, Exchange, FEES, FUNDS, ISSUER, USD, limit, transfer};
    use crate::rejection::Rejection;
    use crate::types::{
        AccountId, Amount, Code, FeeRate, MarketId, Phase, Price, Quantity, Side, TimeInForce, Timestamp,
    };

    fn refused(exchange: &mut Exchange, order: NewOrder) -> Rejection {
        exchange.refuse(Body::NewOrder(order))
    }

    #[test]
    fn the_last_unit_can_be_spent_and_not_one_more() {
        let mut exchange = Exchange::new();
        exchange.enter(limit(ANN, Side::Buy, 1, FUNDS as u64 - 100));
        assert_eq!(refused(&mut exchange, limit(ANN, Side::Buy, 1, 101)), Rejection::InsufficientAvailable);
        exchange.enter(limit(ANN, Side::Buy, 1, 100));
        exchange.enter(limit(BOB, Side::Sell, FUNDS as u64, FUNDS as u64));
        assert_eq!(refused(&mut exchange, limit(BOB, Side::Sell, 1, 1_000_001)), Rejection::InsufficientAvailable);
    }

    #[test]
    fn every_refusal_has_its_reason() {
        let mut exchange = Exchange::new();
        exchange.enter(limit(BOB, Side::Sell, 5, 100));
        let buy = || limit(ANN, Side::Buy, 1, 90);
        let market = |pricing| NewOrder { pricing, time_in_force: TimeInForce::ImmediateOrCancel, ..buy() };
        let gtd = NewOrder { time_in_force: TimeInForce::GoodTillDate, expires_at: Some(Timestamp(0)), ..buy() };
        for (order, reason) in [
            (NewOrder { account: AccountId(99), ..buy() }, Rejection::UnknownAccount),
            (NewOrder { market: MarketId(99), ..buy() }, Rejection::UnknownMarket),
            (limit(ANN, Side::Buy, 0, 90), Rejection::QuantityNotInLots),
            (limit(ANN, Side::Buy, 1, 0), Rejection::PriceNotOnTick),
            (limit(ANN, Side::Buy, 1 << 63, 1), Rejection::Overflow),
            (limit(ANN, Side::Buy, 1 << 40, 1 << 40), Rejection::Overflow),
            (market(Pricing::MarketForBudget(Amount(0))), Rejection::PriceNotOnTick),
            (NewOrder { side: Side::Sell, ..market(Pricing::MarketForBudget(Amount(5))) }, Rejection::PriceNotOnTick),
            (gtd, Rejection::AlreadyExpired),
            (NewOrder { post_only: true, ..limit(ANN, Side::Buy, 1, 100) }, Rejection::PostOnlyWouldTrade),
        ] {
            assert_eq!(refused(&mut exchange, order), reason);
        }
        for (phase, reason) in [(Phase::Halted, Rejection::MarketHalted), (Phase::Closed, Rejection::MarketClosed)] {
            exchange.accept(Body::SetMarketPhase(SetMarketPhase { market: BOLT_USD, phase }));
            assert_eq!(refused(&mut exchange, buy()), reason);
        }
    }

    #[test]
    fn an_account_has_no_more_open_orders_than_one_record_can_end() {
        let mut exchange = Exchange::new();
        let orders = vec![Body::NewOrder(limit(ANN, Side::Buy, 1, 1)); super::OPEN_ORDERS_MAX as usize];
        exchange.propose(false, orders);
        assert_eq!(refused(&mut exchange, limit(ANN, Side::Buy, 1, 1)), Rejection::OpenOrdersAboveMax);
        let at_once = NewOrder { time_in_force: TimeInForce::ImmediateOrCancel, ..limit(ANN, Side::Buy, 1, 1) };
        exchange.enter(at_once);
        exchange.enter(limit(BOB, Side::Buy, 1, 1));
        exchange.accept(Body::MassCancel(MassCancel { account: ANN, market: None, side: None }));
        exchange.enter(limit(ANN, Side::Buy, 1, 1));
    }

    fn market(tick: u64, lot: u64, maker: i32, taker: i32) -> Body {
        Body::CreateMarket(CreateMarket {
            market: MarketId(2),
            symbol: Code::new("USD/BOLT").expect("a code"),
            base: USD,
            quote: BOLT,
            tick: Price(tick),
            lot: Quantity(lot),
            maker_fee: FeeRate(maker),
            taker_fee: FeeRate(taker),
            fee_account: FEES,
            quantity_max: Quantity(1_000),
            notional_max: Amount(5_000),
            phase: Phase::Continuous,
        })
    }

    #[test]
    fn a_market_that_could_round_a_fill_or_pay_more_than_it_takes_is_refused() {
        let mut exchange = Exchange::new();
        for (tick, lot) in [(1, 1), (10, 5), (0, 100), (100, 0)] {
            assert_eq!(exchange.refuse(market(tick, lot, 0, 0)), Rejection::TickLotInexact, "{tick} by {lot}");
        }
        for (maker, taker) in
            [(1_000_001, 0), (0, 1_000_001), (0, -1), (-2, 1), (-1_000_001, 1_000_000), (i32::MIN, i32::MAX)]
        {
            assert_eq!(exchange.refuse(market(10, 10, maker, taker)), Rejection::FeeOutOfRange);
        }
        exchange.accept(market(10, 10, -1, 1));
        let order = |quantity, price| NewOrder { market: MarketId(2), ..limit(ANN, Side::Sell, quantity, price) };
        assert_eq!(refused(&mut exchange, order(15, 10)), Rejection::QuantityNotInLots);
        assert_eq!(refused(&mut exchange, order(10, 15)), Rejection::PriceNotOnTick);
        assert_eq!(refused(&mut exchange, order(1_010, 10)), Rejection::QuantityAboveMax);
        assert_eq!(refused(&mut exchange, order(1_000, 510)), Rejection::NotionalAboveMax);
        exchange.enter(order(1_000, 500));
    }

    #[test]
    fn what_a_sell_could_fill_for_in_all_stays_in_63_bits() {
        let mut exchange = Exchange::new();
        let rich = Transfer { amount: Amount(i64::MAX - 3 * FUNDS), ..transfer(ISSUER, BOB, USD, 1) };
        exchange.accept(Body::Transfer(rich));
        exchange.enter(limit(BOB, Side::Buy, 1, 1 << 62));
        assert_eq!(refused(&mut exchange, limit(ANN, Side::Sell, 2, 1)), Rejection::Overflow);
        exchange.enter(limit(ANN, Side::Sell, 1, 1));
        assert_eq!(exchange.balance(ANN, USD).0, (1 << 62) + FUNDS);
    }

    #[test]
    fn what_is_open_on_one_side_stays_in_64_bits() {
        let mut exchange = Exchange::new();
        // An issuer can offer without end; the sum of its reservations ends at 63 bits.
        exchange.enter(limit(ISSUER, Side::Sell, i64::MAX as u64 - 2 * FUNDS as u64, 1));
        assert_eq!(refused(&mut exchange, limit(ISSUER, Side::Sell, 1, 1)), Rejection::Overflow);
        assert_eq!(exchange.balance(ISSUER, BOLT).1, i64::MAX - 2 * FUNDS);
    }
}
