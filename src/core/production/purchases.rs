//! Planned purchases: what is to be bought, until it is there.
//!
//! A planned purchase holds nothing, and is no order on a market. It is known to every calculation as
//! goods that will come. When they have come by a receipt, it has to be told; when an order is named that
//! buys it, the order's trades tell it.

use std::collections::BTreeMap;

use super::items::fits;
use super::records::Purchase;
use crate::command::{BuyPurchase, ClosePurchase, LinkPurchase, NewOrder, OrderRef, ReceivePurchase, ReceiveStock};
use crate::event::{Effects, EventBody, PurchaseClosed, PurchaseLinked, PurchasePlanned, PurchaseReceived};
use crate::ledger::Ledger;
use crate::ledger::records::Order;
use crate::ledger::slots::Slab;
use crate::rejection::Rejection;
use crate::state::{History, Table};
use crate::table::Slot;
use crate::types::{AccountId, AssetId, CommandId, MarketId, PurchaseId, Quantity, Side};

/// Every purchase of which something is still to come.
#[derive(Debug, Default)]
pub struct Purchases {
    /// The purchases.
    pub entries: Slab<Purchase>,
    /// By id.
    pub by_id: BTreeMap<PurchaseId, Slot>,
    /// Those that an order buys, by its owner and client order id.
    pub by_order: BTreeMap<(AccountId, CommandId), Slot>,
}

impl Purchases {
    /// Whether trades can be receipts of purchases.
    #[inline]
    pub fn are_linked(&self) -> bool {
        !self.by_order.is_empty()
    }
}

impl Ledger {
    pub(super) fn plan_purchase(&mut self, purchase: Purchase, effects: &mut Effects) {
        let slot = self.production.purchases.entries.insert(purchase);
        self.production.purchases.by_id.insert(purchase.id, slot);
        self.changes.mark(Table::Purchase, slot);
        self.emit(EventBody::PurchasePlanned(Box::new(PurchasePlanned { purchase })), effects);
    }

    /// More may come than was planned; then nothing is to come any more.
    pub(crate) fn receive_purchase(
        &mut self,
        receive: &ReceivePurchase,
        effects: &mut Effects,
    ) -> Result<(), Rejection> {
        let slot = self.known_purchase(receive.purchase)?;
        let mut purchase = self.production.purchases.entries[slot];
        let received = purchase.received.0.checked_add(receive.quantity.0).map(Quantity);
        let received = received.filter(|&sum| receive.quantity > Quantity(0) && fits(sum));
        purchase.received = received.ok_or(Rejection::Overflow)?;
        if let Some(receipt) = receive.receipt {
            let (location, asset, quantity) = (purchase.location, purchase.item, receive.quantity);
            let (from, lot) = (receipt.from, receipt.lot);
            self.receive_stock(&ReceiveStock { location, asset, quantity, from, lot }, effects)?;
        }

        self.put_received(slot, purchase, receive.quantity, effects);
        Ok(())
    }

    pub(crate) fn close_purchase(&mut self, close: &ClosePurchase, effects: &mut Effects) -> Result<(), Rejection> {
        let slot = self.known_purchase(close.purchase)?;
        let purchase = self.production.purchases.entries[slot];
        self.forget_purchase(slot);
        self.changes.mark(Table::Purchase, slot);
        self.emit(EventBody::PurchaseClosed(Box::new(PurchaseClosed { purchase })), effects);
        Ok(())
    }

    /// An order that is not accepted buys nothing, so that it is linked when it is. Nor does it take the purchase
    /// from an open order, whose trades would then be receipts of nothing: only [`LinkPurchase`] does, by its name.
    pub(crate) fn buy_purchase(
        &mut self,
        id: CommandId,
        buy: &BuyPurchase,
        history: &impl History,
        effects: &mut Effects,
    ) -> Result<(), Rejection> {
        let slot = self.known_purchase(buy.purchase)?;
        let BuyPurchase { order: NewOrder { account, market, side, .. }, .. } = buy;
        self.check_buys(slot, *account, *market, *side)?;
        self.check_unlinked(slot, Some(id))?;
        let Purchase { location, order: before, .. } = self.production.purchases.entries[slot];
        if before.is_some_and(|order| self.find_open(location, OrderRef::ClientOrderId(order), history).is_ok()) {
            return Err(Rejection::PurchaseLinked);
        }
        self.new_order(id, &buy.order, Some(slot), effects)
    }

    pub(crate) fn link_purchase(
        &mut self,
        link: &LinkPurchase,
        history: &impl History,
        effects: &mut Effects,
    ) -> Result<(), Rejection> {
        let slot = self.known_purchase(link.purchase)?;
        self.check_unlinked(slot, link.order)?;
        if let Some(id) = link.order {
            let location = self.production.purchases.entries[slot].location;
            let at = self.find_open(location, OrderRef::ClientOrderId(id), history)?;
            let Order { account, market, side, .. } = self.orders.entries[at].order;
            self.check_buys(slot, account, market, side)?;
        }
        self.set_link(slot, link.order, effects);
        Ok(())
    }

    /// Refuses an order that does not bring what the purchase is of to where it is to come in.
    fn check_buys(&self, slot: Slot, account: AccountId, market: MarketId, side: Side) -> Result<(), Rejection> {
        let Purchase { location, item, .. } = self.production.purchases.entries[slot];
        let base = self.markets.find(market).ok_or(Rejection::UnknownMarket)?.market.base;
        let buys = (account, side, base) == (location, Side::Buy, item);
        if buys { Ok(()) } else { Err(Rejection::NotThePurchase) }
    }

    /// Refuses an order that buys another purchase.
    fn check_unlinked(&self, slot: Slot, order: Option<CommandId>) -> Result<(), Rejection> {
        let purchases = &self.production.purchases;
        let location = purchases.entries[slot].location;
        let other = order.and_then(|order| purchases.by_order.get(&(location, order)));
        if other.is_some_and(|&other| other != slot) { Err(Rejection::OrderLinked) } else { Ok(()) }
    }

    /// Says which order buys a purchase, none any more without one.
    pub(crate) fn set_link(&mut self, slot: Slot, order: Option<CommandId>, effects: &mut Effects) {
        let purchases = &mut self.production.purchases;
        let mut purchase = purchases.entries[slot];
        let key = |order| (purchase.location, order);
        purchase.order.map(|order| purchases.by_order.remove(&key(order)));
        order.map(|order| purchases.by_order.insert(key(order), slot));
        purchase.order = order;
        purchases.entries[slot] = purchase;
        self.changes.mark(Table::Purchase, slot);
        self.emit(EventBody::PurchaseLinked(Box::new(PurchaseLinked { purchase })), effects);
    }

    /// A trade was told: what it brought is a receipt, where the buyer's order buys a planned purchase.
    /// Answers whether it was one.
    pub(crate) fn receive_bought(
        &mut self,
        (buyer, order): (AccountId, CommandId),
        asset: AssetId,
        quantity: Quantity,
        effects: &mut Effects,
    ) -> bool {
        let purchases = &self.production.purchases;
        let Some(&slot) = purchases.by_order.get(&(buyer, order)) else {
            return false;
        };
        let mut purchase = purchases.entries[slot];
        if purchase.item != asset {
            return false;
        }
        // Less than the whole was received, and a trade is of 63 bits.
        purchase.received.0 += quantity.0;
        self.put_received(slot, purchase, quantity, effects);
        true
    }

    fn put_received(&mut self, slot: Slot, purchase: Purchase, quantity: Quantity, effects: &mut Effects) {
        self.production.purchases.entries[slot] = purchase;
        self.changes.mark(Table::Purchase, slot);
        if purchase.outstanding() == 0 {
            self.forget_purchase(slot);
        }
        self.emit(EventBody::PurchaseReceived(Box::new(PurchaseReceived { purchase, quantity })), effects);
    }

    fn forget_purchase(&mut self, slot: Slot) {
        let purchases = &mut self.production.purchases;
        let purchase = purchases.entries.remove(slot);
        purchases.by_id.remove(&purchase.id);
        purchase.order.map(|order| purchases.by_order.remove(&(purchase.location, order)));
    }

    fn known_purchase(&self, id: PurchaseId) -> Result<Slot, Rejection> {
        self.production.purchases.by_id.get(&id).copied().ok_or(Rejection::UnknownPurchase)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Body, CreatePlan, FirmPlan, NewOrder, OrderToFirm, PurchaseReceipt, ReleaseWorkOrder};
    use crate::fixture::{ANN, BOB, ISSUER, USD, limit, transfer};
    use crate::shop::{PLANT, SHELF, SUPPLIER, Shop, WHEEL, cart, code};
    use crate::types::{Day, MarketId, OverIssue, PlanId, Side};

    fn planned(shop: &mut Shop, quantity: u64) -> PurchaseId {
        let record = shop.send(Body::CreatePlan(CreatePlan { plant: PLANT, name: code("SPRING") }));
        let (release, due, pegs) = (Day(1), Day(3), Vec::new());
        let order = OrderToFirm { item: WHEEL, version: None, quantity: Quantity(quantity), release, due, pegs };
        let firm = shop.send(Body::FirmPlan(FirmPlan {
            plan: PlanId(record.sequence.0),
            computed_at: record.sequence,
            location: SHELF,
            output: SHELF,
            backflush: false,
            over_issue: OverIssue::Refuse,
            orders: vec![order],
            more: false,
        }));
        PurchaseId(firm.sequence.0)
    }

    fn receive(purchase: PurchaseId, quantity: u64, from: Option<crate::types::AccountId>) -> Body {
        let receipt = from.map(|from| PurchaseReceipt { from, lot: None });
        Body::ReceivePurchase(ReceivePurchase { purchase, quantity: Quantity(quantity), receipt })
    }

    #[test]
    fn a_purchase_comes_in_parts_until_all_of_it_came() {
        let mut shop = Shop::new();
        let purchase = planned(&mut shop, 10);
        shop.accept(receive(purchase, 4, Some(SUPPLIER)));
        assert_eq!(shop.ledger.purchase(purchase).map(Purchase::outstanding), Some(6));
        let stock = shop.ledger.item_stock(PLANT, WHEEL);
        assert_eq!((stock.on_hand, stock.on_order), (4, 6));
        // Nobody gives what he has not; then nothing has come.
        assert_eq!(shop.refuse(receive(purchase, 7, Some(ANN))), Rejection::InsufficientAvailable);
        shop.accept(receive(purchase, 7, Some(SUPPLIER)));
        let stock = shop.ledger.item_stock(PLANT, WHEEL);
        assert_eq!((stock.on_hand, stock.on_order), (11, 0), "one too much came");
        assert_eq!(shop.refuse(receive(purchase, 1, None)), Rejection::UnknownPurchase);
    }

    #[test]
    fn what_is_bought_on_a_market_is_reserved_by_an_order() {
        let mut shop = Shop::stocked();
        let market = shop.open_market(WHEEL);
        let order = shop.create(cart(6));
        let purchase = planned(&mut shop, 4);
        shop.accept(Body::Transfer(transfer(ISSUER, ANN, WHEEL, 4)));
        shop.accept(Body::Transfer(transfer(ISSUER, SHELF, USD, 100)));
        shop.accept(Body::NewOrder(NewOrder { market, ..limit(ANN, Side::Sell, 4, 5) }));
        shop.accept(Body::NewOrder(NewOrder { market, ..limit(SHELF, Side::Buy, 4, 5) }));
        shop.accept(receive(purchase, 4, None));
        shop.accept(Body::ReleaseWorkOrder(ReleaseWorkOrder { work_order: order, partial: false }));
        assert_eq!(shop.balance(SHELF, WHEEL), (24, 24));
        assert_eq!(shop.ledger.purchase(purchase), None);
    }

    fn link(purchase: PurchaseId, order: Option<CommandId>) -> Body {
        Body::LinkPurchase(LinkPurchase { purchase, order })
    }

    fn buy(purchase: PurchaseId, order: NewOrder) -> Body {
        Body::BuyPurchase(BuyPurchase { purchase, order })
    }

    /// A shop where Ann offers ten wheels at five, and the shelf has money.
    fn with_offers() -> (Shop, MarketId) {
        let mut shop = Shop::new();
        let market = shop.open_market(WHEEL);
        shop.accept(Body::Transfer(transfer(ISSUER, ANN, WHEEL, 30)));
        shop.accept(Body::Transfer(transfer(ISSUER, SHELF, USD, 1_000)));
        shop.accept(Body::NewOrder(NewOrder { market, ..limit(ANN, Side::Sell, 10, 5) }));
        (shop, market)
    }

    #[test]
    fn trades_of_the_order_that_buys_a_purchase_are_its_receipts() {
        let (mut shop, market) = with_offers();
        let purchase = planned(&mut shop, 14);
        let sell = |quantity| Body::NewOrder(NewOrder { market, ..limit(ANN, Side::Sell, quantity, 5) });
        let stock = |shop: &Shop| {
            let stock = shop.ledger.item_stock(PLANT, WHEEL);
            (stock.on_hand, stock.on_order)
        };
        // Ten come with its entry, as the taker's; three more when somebody sells to it.
        let events = shop.accept(buy(purchase, NewOrder { market, ..limit(SHELF, Side::Buy, 20, 5) }));
        assert!(matches!(&events[1], EventBody::PurchaseLinked(_)), "{events:?}");
        assert!(matches!(&events[3], EventBody::PurchaseReceived(came) if came.quantity == Quantity(10)), "{events:?}");
        assert_eq!(stock(&shop), (10, 4));
        shop.accept(sell(3));
        assert_eq!(stock(&shop), (13, 1));
        // One too many is a receipt as well; then nothing is to come, and a trade is a trade.
        shop.accept(sell(2));
        assert_eq!((shop.ledger.purchase(purchase), stock(&shop)), (None, (15, 0)));
        assert!(matches!(shop.accept(sell(1)).last(), Some(EventBody::Trade(_))));
        shop.ledger.check_invariants().expect("sound");
    }

    #[test]
    fn an_order_buys_one_purchase_of_its_own_location_and_item() {
        let (mut shop, market) = with_offers();
        let (first, second) = (planned(&mut shop, 5), planned(&mut shop, 5));
        let rest = |price| NewOrder { market, ..limit(SHELF, Side::Buy, 1, price) };
        let [one, other] = [1, 2].map(|price| {
            let id = shop.id_of_next(1);
            shop.accept(Body::NewOrder(rest(price)));
            id
        });
        assert_eq!(shop.refuse(link(PurchaseId(9_999), Some(one))), Rejection::UnknownPurchase);
        shop.accept(link(first, Some(one)));
        shop.accept(link(first, Some(one)));
        assert_eq!(shop.refuse(link(second, Some(one))), Rejection::OrderLinked);
        shop.accept(link(first, Some(other)));
        shop.accept(link(second, Some(one)));
        shop.accept(link(first, None));
        shop.accept(Body::ClosePurchase(ClosePurchase { purchase: second }));
        shop.accept(link(first, Some(one)));
        shop.ledger.check_invariants().expect("sound");
    }

    #[test]
    fn an_order_that_does_not_buy_the_purchase_is_not_linked() {
        let (mut shop, market) = with_offers();
        let purchase = planned(&mut shop, 5);
        let wheels = |account, side| NewOrder { market, ..limit(account, side, 1, 1) };
        let (sold, of_bob, of_bolts) =
            (wheels(SHELF, Side::Sell), wheels(BOB, Side::Buy), limit(SHELF, Side::Buy, 1, 1));
        for order in [&sold, &of_bob, &of_bolts] {
            assert_eq!(shop.refuse(buy(purchase, order.clone())), Rejection::NotThePurchase);
        }
        // Refused for what it is itself, and on no market.
        let dear = NewOrder { market, ..limit(SHELF, Side::Buy, 1, 100_000) };
        assert_eq!(shop.refuse(buy(purchase, dear)), Rejection::InsufficientAvailable);
        let nowhere = NewOrder { market: MarketId(99), ..limit(SHELF, Side::Buy, 1, 1) };
        assert_eq!(shop.refuse(buy(purchase, nowhere)), Rejection::UnknownMarket);
        shop.accept(Body::Transfer(transfer(ISSUER, SHELF, WHEEL, 1)));
        let dearer = NewOrder { market, ..limit(SHELF, Side::Sell, 1, 9) };
        for (order, reason) in [(dearer, Rejection::NotThePurchase), (of_bolts, Rejection::NotThePurchase)] {
            let id = shop.id_of_next(1);
            shop.accept(Body::NewOrder(order));
            assert_eq!(shop.refuse(link(purchase, Some(id))), reason);
        }
        assert_eq!(shop.refuse(link(purchase, Some(CommandId(77_777)))), Rejection::UnknownOrder);
        let id = shop.id_of_next(1);
        shop.accept(Body::NewOrder(NewOrder { market, ..limit(SHELF, Side::Buy, 1, 5) }));
        assert_eq!(shop.refuse(link(purchase, Some(id))), Rejection::OrderNotOpen, "it was filled");
        assert_eq!(shop.ledger.purchase(purchase).expect("to come").order, None);
    }

    #[test]
    fn a_purchase_that_is_given_up_is_not_on_order() {
        let mut shop = Shop::new();
        let purchase = planned(&mut shop, 10);
        for quantity in [0, u64::MAX] {
            assert_eq!(shop.refuse(receive(purchase, quantity, None)), Rejection::Overflow);
        }
        shop.accept(Body::ClosePurchase(ClosePurchase { purchase }));
        assert_eq!(shop.ledger.item_stock(PLANT, WHEEL).on_order, 0);
        let close = Body::ClosePurchase(ClosePurchase { purchase });
        assert_eq!(shop.refuse(close), Rejection::UnknownPurchase);
    }
}
