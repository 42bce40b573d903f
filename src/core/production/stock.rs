//! Movements of stock: receipts, issues, adjustments, counts, scrap, moves.
//!
//! Each is a transfer between a location and another account, with its lots and its reason. What is
//! reserved stays where it is: a movement takes what is available, and no more.

use crate::command::{AdjustStock, CountStock, IssueStock, MoveStock, ReceiveStock, ScrapStock};
use crate::event::{Effects, EventBody, StockMoved};
use crate::ledger::Ledger;
use crate::rejection::Rejection;
use crate::types::{AccountId, AssetId, Code, Quantity, StockMoveKind};

impl Ledger {
    pub(crate) fn receive_stock(&mut self, receive: &ReceiveStock, effects: &mut Effects) -> Result<(), Rejection> {
        let ReceiveStock { location, asset, quantity, from, lot } = *receive;
        self.plant_of(location)?;
        let kind = StockMoveKind::Receipt;
        let reason = None;
        let (to, counted) = (location, None);
        self.move_goods(StockMoved { kind, location, from, to, asset, quantity, counted, lot, reason }, effects)
    }

    pub(crate) fn issue_stock(&mut self, issue: &IssueStock, effects: &mut Effects) -> Result<(), Rejection> {
        let IssueStock { location, asset, quantity, to, lot } = *issue;
        self.plant_of(location)?;
        let kind = StockMoveKind::Issue;
        let reason = None;
        let (from, counted) = (location, None);
        self.move_goods(StockMoved { kind, location, from, to, asset, quantity, counted, lot, reason }, effects)
    }

    pub(crate) fn scrap_stock(&mut self, scrap: &ScrapStock, effects: &mut Effects) -> Result<(), Rejection> {
        let ScrapStock { location, asset, quantity, lot, reason } = *scrap;
        let to = self.plant_of(location)?.scrap;
        let (kind, reason) = (StockMoveKind::Scrap, Some(reason));
        let (from, counted) = (location, None);
        self.move_goods(StockMoved { kind, location, from, to, asset, quantity, counted, lot, reason }, effects)
    }

    pub(crate) fn move_stock(&mut self, moved: &MoveStock, effects: &mut Effects) -> Result<(), Rejection> {
        let MoveStock { from, to, asset, quantity, lot } = *moved;
        self.plant_of(from)?;
        self.plant_of(to)?;
        let (kind, reason) = (StockMoveKind::Move, None);
        let (location, counted) = (from, None);
        self.move_goods(StockMoved { kind, location, from, to, asset, quantity, counted, lot, reason }, effects)
    }

    pub(crate) fn adjust_stock(&mut self, adjust: &AdjustStock, effects: &mut Effects) -> Result<(), Rejection> {
        let AdjustStock { location, asset, difference, lot, reason } = *adjust;
        let kind = StockMoveKind::Adjustment;
        let moved = self.difference(kind, (location, asset), difference.0.into(), None, (lot, reason))?;
        self.move_goods(moved, effects)
    }

    /// What is reserved is not given up by a count: a count that finds less than that is refused, until
    /// what holds it has been cancelled.
    pub(crate) fn count_stock(&mut self, count: &CountStock, effects: &mut Effects) -> Result<(), Rejection> {
        let CountStock { location, asset, counted, lot, reason } = *count;
        self.plant_of(location)?;
        self.known_asset(asset)?;
        self.check_tracked(asset, lot)?;
        let there = self.on_hand(location, asset, lot);
        let found = i64::try_from(counted.0).map_err(|_| Rejection::Overflow)?;
        let difference = i128::from(found) - i128::from(there);
        let kind = StockMoveKind::Count;
        let moved = self.difference(kind, (location, asset), difference, Some(counted), (lot, reason))?;
        if difference == 0 {
            self.emit(EventBody::StockMoved(Box::new(moved)), effects);
            return Ok(());
        }
        self.move_goods(moved, effects)
    }

    /// What an account has of an asset, or of one of its lots.
    fn on_hand(&self, account: AccountId, asset: AssetId, lot: Option<Code>) -> i64 {
        let Some(balance) = self.balances.entries.slot((account, asset)) else {
            return 0;
        };
        match lot {
            None => self.balances.entries[balance].balance.posted.0,
            Some(number) => {
                let slot = self.production.lots.find(balance, number);
                slot.map_or(0, |slot| self.production.lots.entries[slot].quantity.0 as i64)
            }
        }
    }

    /// A movement between a location and its plant's account for differences.
    fn difference(
        &self,
        kind: StockMoveKind,
        (location, asset): (AccountId, AssetId),
        difference: i128,
        counted: Option<Quantity>,
        (lot, reason): (Option<Code>, Code),
    ) -> Result<StockMoved, Rejection> {
        let adjustment = self.plant_of(location)?.adjustment;
        let (from, to) = if difference > 0 { (adjustment, location) } else { (location, adjustment) };
        let quantity = u64::try_from(difference.unsigned_abs()).map(Quantity).map_err(|_| Rejection::Overflow)?;
        Ok(StockMoved { kind, location, from, to, asset, quantity, counted, lot, reason: Some(reason) })
    }

    fn move_goods(&mut self, moved: StockMoved, effects: &mut Effects) -> Result<(), Rejection> {
        let StockMoved { from, to, asset: id, quantity, lot, .. } = moved;
        let amount = i64::try_from(quantity.0).map_err(|_| Rejection::Overflow)?;
        if amount < 1 {
            return Err(Rejection::Overflow);
        }
        if from == to {
            return Err(Rejection::SameAccount);
        }
        let asset = self.known_asset(id)?;
        let giver = self.active_account(from)?;
        let receiver = self.active_account(to)?;
        self.check_allowed(receiver, id)?;
        self.check_spend(giver, asset, amount)?;
        if self.accounts[giver].account.issuer {
            self.check_tracked(id, lot)?;
        } else {
            self.check_lot(from, id, lot, quantity.0)?;
        }

        self.production.lots.name(id, lot);
        let debit = self.balance_slot(giver, asset);
        let credit = self.balance_slot(receiver, asset);
        self.post(debit, -amount, 0, effects);
        self.post(credit, amount, 0, effects);
        self.emit(EventBody::StockMoved(Box::new(moved)), effects);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Body, NewOrder};
    use crate::fixture::{ANN, BOLT, FUNDS, ISSUER, USD, limit, pending, transfer};
    use crate::shop::{GLUE, SHELF, SUPPLIER, Shop, WHEEL, WORKS, YARD, code};
    use crate::types::{Amount, Side};

    fn receive(asset: AssetId, quantity: u64, lot: Option<&str>) -> Body {
        let (location, quantity) = (SHELF, Quantity(quantity));
        Body::ReceiveStock(ReceiveStock { location, asset, quantity, from: SUPPLIER, lot: lot.map(code) })
    }

    fn count(asset: AssetId, counted: u64, lot: Option<&str>) -> Body {
        let (counted, lot, reason) = (Quantity(counted), lot.map(code), code("YEAR-END"));
        Body::CountStock(CountStock { location: SHELF, asset, counted, lot, reason })
    }

    fn lots(shop: &Shop, account: AccountId) -> Vec<(String, u64)> {
        shop.ledger.lots(account, GLUE).map(|lot| (lot.number.to_string(), lot.quantity.0)).collect()
    }

    fn named(lots: &[(&str, u64)]) -> Vec<(String, u64)> {
        lots.iter().map(|(number, quantity)| ((*number).to_owned(), *quantity)).collect()
    }

    #[test]
    fn a_count_books_the_difference_and_only_that() {
        let mut shop = Shop::new();
        shop.accept(receive(WHEEL, 10, None));
        shop.accept(count(WHEEL, 8, None));
        shop.accept(count(WHEEL, 8, None));
        shop.accept(count(WHEEL, 11, None));
        assert_eq!((shop.balance(SHELF, WHEEL), shop.balance(WORKS, WHEEL)), ((11, 0), (-1, 0)));
        assert_eq!(shop.refuse(count(WHEEL, u64::MAX, None)), Rejection::Overflow);
        shop.accept(Body::Transfer(pending(SHELF, ANN, WHEEL, 6, None)));
        assert_eq!(shop.refuse(count(WHEEL, 5, None)), Rejection::InsufficientAvailable);
        shop.accept(count(WHEEL, 6, None));
    }

    #[test]
    fn the_oldest_lot_goes_first_unless_one_is_named() {
        let mut shop = Shop::new();
        for (quantity, lot) in [(5, "A"), (5, "B"), (5, "C")] {
            shop.accept(receive(GLUE, quantity, Some(lot)));
        }
        let (asset, quantity, to) = (GLUE, Quantity(7), ANN);
        shop.accept(Body::IssueStock(IssueStock { location: SHELF, asset, quantity, to, lot: None }));
        assert_eq!(lots(&shop, SHELF), named(&[("B", 3), ("C", 5)]));
        assert_eq!(lots(&shop, ANN), named(&[("A", 5), ("B", 2)]));
        let moved = |quantity, lot| {
            let (quantity, lot) = (Quantity(quantity), Some(code(lot)));
            Body::MoveStock(MoveStock { from: SHELF, to: YARD, asset, quantity, lot })
        };
        assert_eq!(shop.refuse(moved(6, "C")), Rejection::LotTooSmall);
        shop.accept(moved(4, "C"));
        assert_eq!(lots(&shop, YARD), named(&[("C", 4)]));
        shop.accept(count(GLUE, 9, Some("C")));
        assert_eq!(lots(&shop, SHELF), named(&[("B", 3), ("C", 9)]), "what was found too much is of the lot");
        assert_eq!(shop.refuse(receive(WHEEL, 1, Some("A"))), Rejection::NotLotTracked);
    }

    #[test]
    fn trades_and_transfers_take_lots_along_and_issuers_make_new_ones() {
        let mut shop = Shop::new();
        shop.accept(Body::Transfer(transfer(ISSUER, ANN, GLUE, 5)));
        let auto = lots(&shop, ANN);
        assert!(auto[0].0.starts_with('L') && auto[0].1 == 5, "{auto:?}");
        let market = shop.open_market(GLUE);
        shop.accept(Body::Transfer(transfer(ISSUER, SHELF, USD, 1_000)));
        shop.accept(receive(GLUE, 1, Some("Z")));
        shop.accept(Body::NewOrder(NewOrder { market, ..limit(ANN, Side::Sell, 3, 10) }));
        shop.accept(Body::NewOrder(NewOrder { market, ..limit(SHELF, Side::Buy, 2, 10) }));
        assert_eq!(lots(&shop, ANN), vec![(auto[0].0.clone(), 3)]);
        assert_eq!(lots(&shop, SHELF), vec![(auto[0].0.clone(), 2), ("Z".to_owned(), 1)], "oldest first");
    }

    #[test]
    fn what_is_lacking_is_paid_before_lots_are_kept() {
        let mut shop = Shop::new();
        let terms =
            crate::command::SetAccountAsset { account: ANN, asset: GLUE, allowed: true, credit_limit: Amount(9) };
        shop.accept(Body::SetAccountAsset(terms));
        shop.accept(Body::Transfer(transfer(ANN, SHELF, GLUE, 4)));
        assert_eq!((shop.balance(ANN, GLUE), lots(&shop, ANN)), ((-4, 0), vec![]));
        shop.accept(receive(GLUE, 6, Some("A")));
        shop.accept(Body::Transfer(transfer(SHELF, ANN, GLUE, 10)));
        assert_eq!(lots(&shop, ANN), named(&[("A", 6)]));
    }

    #[test]
    fn a_refused_chain_gives_every_lot_back() {
        let mut shop = Shop::new();
        shop.accept(receive(GLUE, 3, Some("A")));
        shop.accept(receive(GLUE, 3, Some("B")));
        let before = shop.content();
        let chain = vec![
            Body::Transfer(transfer(SHELF, ANN, GLUE, 4)),
            Body::Transfer(transfer(ANN, YARD, GLUE, 3)),
            Body::Transfer(transfer(ISSUER, SHELF, GLUE, 2)),
            Body::Transfer(transfer(ANN, SHELF, GLUE, 2)),
        ];
        shop.propose(true, chain);
        assert_eq!(shop.content(), before);
        assert_eq!(lots(&shop, SHELF), named(&[("A", 3), ("B", 3)]));
    }

    #[test]
    fn a_full_balance_counts_what_comes_to_its_youngest_lot() {
        let mut shop = Shop::new();
        for number in 0..super::super::lots::LOTS_MAX {
            shop.send_unchecked(receive(GLUE, 1, Some(&format!("N{number}"))));
        }
        shop.accept(receive(GLUE, 5, Some("MORE")));
        let last = lots(&shop, SHELF).pop();
        assert_eq!(last, Some((format!("N{}", super::super::lots::LOTS_MAX - 1), 6)));
    }

    #[test]
    fn every_refusal_has_its_reason() {
        let mut shop = Shop::new();
        shop.accept(receive(WHEEL, 10, None));
        let (asset, quantity, lot) = (WHEEL, Quantity(1), None);
        let issue = |location, quantity, to| Body::IssueStock(IssueStock { location, asset, quantity, to, lot });
        let scrap = |location| Body::ScrapStock(ScrapStock { location, asset, quantity, lot, reason: code("BROKEN") });
        for (body, reason) in [
            (issue(ANN, quantity, SHELF), Rejection::NotALocation),
            (issue(AccountId(99), quantity, SHELF), Rejection::UnknownAccount),
            (issue(SHELF, quantity, SHELF), Rejection::SameAccount),
            (issue(SHELF, Quantity(0), ANN), Rejection::Overflow),
            (issue(SHELF, Quantity(11), ANN), Rejection::InsufficientAvailable),
            (scrap(ANN), Rejection::NotALocation),
            (Body::MoveStock(MoveStock { from: SHELF, to: ANN, asset, quantity, lot }), Rejection::NotALocation),
            (receive(AssetId(99), 1, None), Rejection::UnknownAsset),
            (count(AssetId(99), 0, None), Rejection::UnknownAsset),
        ] {
            assert_eq!(shop.refuse(body), reason);
        }
        shop.accept(issue(SHELF, Quantity(3), ANN));
        shop.accept(scrap(SHELF));
        let (difference, reason) = (Amount(-2), code("LOST"));
        shop.accept(Body::AdjustStock(AdjustStock { location: SHELF, asset, difference, lot, reason }));
        assert_eq!((shop.balance(SHELF, WHEEL), shop.balance(ANN, WHEEL)), ((4, 0), (3, 0)));
        assert_eq!((shop.balance(ANN, BOLT).0, USD), (FUNDS, USD));
    }
}
