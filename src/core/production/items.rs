//! Items: how assets are planned, and where they are used.

use super::records::Item;
use crate::command::DefineItem;
use crate::event::{Effects, EventBody};
use crate::ledger::Ledger;
use crate::ledger::slots::Keyed;
use crate::rejection::Rejection;
use crate::state::Table;
use crate::table::Slot;
use crate::types::{AssetId, LotRule, Quantity};

/// An item in memory.
#[derive(Debug)]
pub struct ItemEntry {
    /// The record.
    pub item: Item,
    /// The versions of its bill of materials, in the order of their definition.
    pub boms: Vec<Slot>,
    /// The versions of others that have it as a component, in the order of their definition.
    pub used_in: Vec<Slot>,
    /// The most levels below it, over all versions of all bills of materials.
    pub levels: u32,
}

impl ItemEntry {
    /// An item that nothing is known of but its record.
    pub fn new(item: Item) -> Self {
        Self { item, boms: Vec::new(), used_in: Vec::new(), levels: 0 }
    }
}

impl Keyed for ItemEntry {
    type Key = AssetId;

    fn key(&self) -> AssetId {
        self.item.asset
    }
}

/// Whether a quantity, as a number of units, fits a balance.
pub fn fits(quantity: Quantity) -> bool {
    i64::try_from(quantity.0).is_ok()
}

impl Item {
    /// Whether this is an item that can be.
    pub fn is_whole(&self) -> bool {
        let rule = match self.lot_rule {
            LotRule::LotForLot => true,
            LotRule::Fixed(quantity) => quantity.0 > 0 && fits(quantity),
            LotRule::Multiple { minimum, multiple } => multiple.0 > 0 && fits(minimum) && fits(multiple),
        };
        rule && fits(self.safety_stock) && fits(self.reorder_point)
    }
}

impl Ledger {
    pub(crate) fn define_item(&mut self, new: &DefineItem, effects: &mut Effects) -> Result<(), Rejection> {
        let asset = self.known_asset(new.asset)?;
        self.known_asset(new.currency)?;
        let item = Item {
            asset: new.asset,
            source: new.source,
            lead_days: new.lead_days,
            lot_rule: new.lot_rule,
            safety_stock: new.safety_stock,
            reorder_point: new.reorder_point,
            standard_cost: new.standard_cost,
            currency: new.currency,
            phantom: new.phantom,
            lot_tracked: new.lot_tracked,
        };
        if !item.is_whole() {
            return Err(Rejection::Overflow);
        }
        let known = self.production.items.slot(new.asset);
        let slot = match known {
            Some(slot) => {
                let old = &mut self.production.items[slot].item;
                if (old.currency, old.lot_tracked) != (item.currency, item.lot_tracked) {
                    return Err(Rejection::ItemFixed);
                }
                *old = item;
                slot
            }
            None if item.lot_tracked && !self.balances.track_lots(asset) => return Err(Rejection::AssetInUse),
            None => self.production.items.push(ItemEntry::new(item)),
        };
        self.changes.mark(Table::Item, slot);
        self.header.planning_changed = self.next_sequence();
        self.emit(EventBody::ItemDefined(new.clone()), effects);
        Ok(())
    }

    /// The slot of an item.
    pub(super) fn known_item(&self, asset: AssetId) -> Result<Slot, Rejection> {
        self.production.items.slot(asset).ok_or(Rejection::UnknownItem)
    }
}

#[cfg(test)]
mod tests {
    use crate::command::{Body, DefineItem};
    use crate::fixture::{BOLT, Exchange, USD};
    use crate::rejection::Rejection;
    use crate::shop::{GLUE, Shop, WHEEL, item};
    use crate::types::{AssetId, LotRule, Price, Quantity};

    #[test]
    fn an_item_changes_but_for_its_currency_and_its_tracking() {
        let mut shop = Shop::new();
        shop.accept(Body::DefineItem(DefineItem { standard_cost: Price(9), ..item(WHEEL) }));
        assert_eq!(shop.ledger.item(WHEEL).map(|item| item.standard_cost), Some(Price(9)));
        let other_currency = DefineItem { currency: GLUE, ..item(WHEEL) };
        assert_eq!(shop.refuse(Body::DefineItem(other_currency)), Rejection::ItemFixed);
        let tracked = DefineItem { lot_tracked: true, ..item(WHEEL) };
        assert_eq!(shop.refuse(Body::DefineItem(tracked)), Rejection::ItemFixed);
    }

    #[test]
    fn lots_are_tracked_from_the_first_unit_or_not_at_all() {
        let mut exchange = Exchange::new();
        let tracked = DefineItem { lot_tracked: true, ..item(BOLT) };
        assert_eq!(exchange.refuse(Body::DefineItem(tracked)), Rejection::AssetInUse);
        exchange.accept(Body::DefineItem(item(BOLT)));
    }

    #[test]
    fn an_item_is_a_known_asset_with_a_rule_that_can_be_kept() {
        let mut exchange = Exchange::new();
        for (new, reason) in [
            (DefineItem { asset: AssetId(99), ..item(BOLT) }, Rejection::UnknownAsset),
            (DefineItem { currency: AssetId(99), ..item(BOLT) }, Rejection::UnknownAsset),
            (DefineItem { lot_rule: LotRule::Fixed(Quantity(0)), ..item(BOLT) }, Rejection::Overflow),
            (DefineItem { safety_stock: Quantity(u64::MAX), ..item(BOLT) }, Rejection::Overflow),
        ] {
            assert_eq!(exchange.refuse(Body::DefineItem(new)), reason);
        }
        exchange.accept(Body::DefineItem(DefineItem { currency: USD, ..item(USD) }));
    }
}
