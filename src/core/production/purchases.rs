//! Planned purchases: what is to be bought, until it is there.
//!
//! A planned purchase holds nothing, and is no order on a market. It is known to every calculation as
//! goods that will come; when they have, by a receipt or by a trade, it has to be told.

use std::collections::BTreeMap;

use super::items::fits;
use super::records::Purchase;
use crate::command::{ClosePurchase, ReceivePurchase, ReceiveStock};
use crate::event::{Effects, EventBody, PurchaseClosed, PurchasePlanned, PurchaseReceived};
use crate::ledger::Ledger;
use crate::ledger::slots::Slab;
use crate::rejection::Rejection;
use crate::state::Table;
use crate::table::Slot;
use crate::types::{PurchaseId, Quantity};

/// Every purchase of which something is still to come.
#[derive(Debug, Default)]
pub struct Purchases {
    /// The purchases.
    pub entries: Slab<Purchase>,
    /// By id.
    pub by_id: BTreeMap<PurchaseId, Slot>,
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

        self.production.purchases.entries[slot] = purchase;
        self.changes.mark(Table::Purchase, slot);
        if purchase.outstanding() == 0 {
            self.forget_purchase(slot);
        }
        let quantity = receive.quantity;
        self.emit(EventBody::PurchaseReceived(Box::new(PurchaseReceived { purchase, quantity })), effects);
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

    fn forget_purchase(&mut self, slot: Slot) {
        let purchase = self.production.purchases.entries.remove(slot);
        self.production.purchases.by_id.remove(&purchase.id);
    }

    fn known_purchase(&self, id: PurchaseId) -> Result<Slot, Rejection> {
        self.production.purchases.by_id.get(&id).copied().ok_or(Rejection::UnknownPurchase)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Body, CreatePlan, FirmPlan, NewOrder, OrderToFirm, PurchaseReceipt, ReleaseWorkOrder};
    use crate::fixture::{ANN, ISSUER, USD, limit, transfer};
    use crate::shop::{PLANT, SHELF, SUPPLIER, Shop, WHEEL, cart, code};
    use crate::types::{Day, OverIssue, PlanId, Side};

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
