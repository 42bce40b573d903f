//! A trade, and its settlement in the same event.
//!
//! Debits are posted before credits, and each settles what was reserved: see
//! [`crate::ledger`]'s balances for why nothing here can overflow or fall short.

use super::fees::{self, Fee};
use super::markets::MarketEntry;
use super::orders::OrderEntry;
use crate::event::{Effects, EventBody, Trade};
use crate::ledger::Ledger;
use crate::ledger::records::{Market, Order};
use crate::state::Table;
use crate::table::Slot;
use crate::types::{Amount, FeeRate, Price, Quantity, Side};

/// One side's part in a trade.
struct Leg {
    owner: Slot,
    held_in: Slot,
    fee: i64,
    /// The change of what the order holds; never positive.
    hold: i64,
}

impl Ledger {
    /// Trades at the maker's price and settles. A maker that is filled leaves the book. Answers how many
    /// lots the settlement moved, and one more where it was a receipt.
    pub(super) fn trade(
        &mut self,
        market: Slot,
        taker: &mut OrderEntry,
        maker_slot: Slot,
        quantity: Quantity,
        effects: &mut Effects,
    ) -> u32 {
        let entry = &mut self.markets[market];
        let maker = &mut self.orders.entries[maker_slot];
        let price = maker.order.limit().expect("an order that rests has a limit");
        let notional = entry.notional(price, quantity).expect("part of what the maker was admitted with");
        let (taker_fee, maker_fee) = fees::of_trade(&entry.market, &taker.order, &maker.order, notional);
        let taker_leg = fill(entry, taker, quantity, notional, taker_fee);
        let maker_leg = fill(entry, maker, quantity, notional, maker_fee);
        entry.book.side_mut(maker.order.side).reduce(maker.level, quantity);
        entry.market.last_price = Some(price);
        let trade = trade_event(price, quantity, notional, [&taker.order, &maker.order], [taker_fee, maker_fee]);
        let maker_is_filled = maker.order.open == Quantity(0);
        let buyer = if taker.order.side == Side::Buy { &taker.order } else { &maker.order };
        let bought_by = (buyer.account, buyer.client_order_id);

        self.changes.mark(Table::Market, market);
        self.changes.mark(Table::Order, maker_slot);
        let (buyer, seller) = match taker.order.side {
            Side::Buy => (taker_leg, maker_leg),
            Side::Sell => (maker_leg, taker_leg),
        };
        self.settle(market, &buyer, &seller, quantity, notional, effects);
        let lots = self.production.lots.moved_count();
        self.emit(EventBody::Trade(trade), effects);
        let was_receipt = self.production.purchases.are_linked()
            && self.receive_bought(bought_by, self.markets[market].market.base, quantity, effects);
        if maker_is_filled {
            self.delist(market, maker_slot);
        }
        lots + u32::from(was_receipt)
    }

    fn settle(
        &mut self,
        market: Slot,
        buyer: &Leg,
        seller: &Leg,
        quantity: Quantity,
        notional: i64,
        effects: &mut Effects,
    ) {
        let MarketEntry { base, quote, fee_account, .. } = self.markets[market];
        let quantity = i64::try_from(quantity.0).expect("checked when the orders entered");
        self.post(seller.held_in, -quantity, seller.hold, effects);
        self.post(buyer.held_in, -(notional + buyer.fee), buyer.hold, effects);
        let bought = self.balance_slot(buyer.owner, base);
        self.post(bought, quantity, 0, effects);
        self.receive(seller.owner, quote, notional - seller.fee, effects);
        self.receive(fee_account, quote, buyer.fee + seller.fee, effects);
    }

    fn receive(&mut self, owner: Slot, asset: Slot, amount: i64, effects: &mut Effects) {
        if amount != 0 {
            let balance = self.balance_slot(owner, asset);
            self.post(balance, amount, 0, effects);
        }
    }
}

fn fill(market: &MarketEntry, entry: &mut OrderEntry, quantity: Quantity, notional: i64, fee: Fee) -> Leg {
    let hold = entry.order.fill(market, quantity, notional, fee);
    Leg { owner: entry.owner, held_in: entry.held_in, fee: fee.paid.0, hold }
}

impl Order {
    /// Fills a part of what is open; answers the change of what the order holds.
    pub(super) fn fill(&mut self, market: &MarketEntry, quantity: Quantity, notional: i64, fee: Fee) -> i64 {
        self.filled.0 += quantity.0;
        self.open.0 -= quantity.0;
        self.filled_notional.0 += notional;
        self.fee_accrued = fee.accrued;
        self.fee_paid.0 += fee.paid.0;
        self.reserve_anew(market)
    }

    /// What a fill as taker costs a buyer, fee included.
    pub(super) fn cost_of(&self, notional: i64, market: &Market) -> i128 {
        let FeeRate(rate) = market.taker_fee;
        i128::from(notional) + fees::due_after(self, notional, rate).max(0)
    }
}

fn trade_event(
    price: Price,
    quantity: Quantity,
    notional: i64,
    [taker, maker]: [&Order; 2],
    [taker_fee, maker_fee]: [Fee; 2],
) -> Trade {
    Trade {
        market: taker.market,
        price,
        quantity,
        notional: Amount(notional),
        taker_side: taker.side,
        maker: maker.id,
        maker_account: maker.account,
        taker: taker.id,
        taker_account: taker.account,
        maker_fee: maker_fee.paid,
        taker_fee: taker_fee.paid,
        maker_open: maker.open,
        taker_open: taker.open,
    }
}
