//! Standard cost rolled up: what a product costs by what is bought for it and what is done, level by level.
//!
//! The items below a product are copied out of the ledger; the calculation needs it no more.

use std::collections::BTreeMap;

use super::mrp::{self, CostError, Network, NetworkError, PurchaseCost};
use crate::ledger::Ledger;
use crate::rejection::Rejection;
use crate::types::{Amount, AssetId, Day, Quantity};

/// All that a product's cost is made of.
#[derive(Debug, Clone)]
pub struct CostInquiry {
    items: Vec<mrp::Item>,
    purchases: Vec<PurchaseCost>,
    /// A whole unit of each item, in order of the items.
    wholes: Vec<Quantity>,
    day: Day,
}

/// What one whole unit of an item costs, in its currency's smallest unit, each rounded up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RolledUpCost {
    /// The item.
    pub item: AssetId,
    /// How many levels of bills of materials lie between it and the product.
    pub level: u32,
    /// The lot that set-up is spread over; of what is bought, what the price is for.
    pub lot: Quantity,
    /// What goes in; of what is bought, its standard cost.
    pub materials: Amount,
    /// What is done.
    pub operations: Amount,
    /// Both, rounded up once.
    pub total: Amount,
}

/// Why a cost cannot be rolled up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CostRefusal {
    /// What is asked for is no item.
    Rejected(Rejection),
    /// The item is costed in another currency than the product.
    OtherCurrency(AssetId),
    /// The items do not make a network.
    Network(NetworkError),
    /// A cost or a quantity of the item is too large.
    TooLarge(AssetId),
}

impl CostRefusal {
    /// In words, with items by the names that `name` has for them.
    #[must_use]
    pub fn told(&self, name: &dyn Fn(AssetId) -> String) -> String {
        match self {
            Self::Rejected(reason) => reason.to_string(),
            Self::Network(error) => error.told(name),
            Self::OtherCurrency(item) => format!("item {} is costed in another currency", name(*item)),
            Self::TooLarge(item) => format!("the cost of item {} is too large", name(*item)),
        }
    }
}

impl std::fmt::Display for CostRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.told(&|id| id.to_string()))
    }
}

impl std::error::Error for CostRefusal {}

impl CostInquiry {
    /// Calculates: the product first, then all that goes into it, by level and item. What cannot be costed, since
    /// it is made of nothing on that day, is left out with all that it goes into.
    ///
    /// # Errors
    /// When a cost is too large, or the items are no network.
    pub fn calculate(self) -> Result<Vec<RolledUpCost>, CostRefusal> {
        let wholes: Vec<(AssetId, Quantity)> = self.items.iter().map(|item| item.id).zip(self.wholes).collect();
        let network = Network::new(self.items).map_err(CostRefusal::Network)?;
        let costs = network.roll_up(&self.purchases, self.day).map_err(|error| match error {
            CostError::UnknownItem(item) | CostError::BadPurchaseCost(item) | CostError::Overflow(item) => {
                CostRefusal::TooLarge(item)
            }
        })?;
        let rolled = |cost: mrp::StandardCost| {
            let (item, lot) = (cost.item, cost.lot);
            let place = wholes.binary_search_by_key(&item, |(id, _)| *id).ok();
            let whole = place.map_or(Quantity(1), |place| wholes[place].1);
            let of = |cost: mrp::Cost| cost.of(whole).map_err(|_| CostRefusal::TooLarge(item));
            let (materials, operations, total) = (of(cost.materials)?, of(cost.operations)?, of(cost.total)?);
            let level = network.level(item).unwrap_or(0);
            Ok(RolledUpCost { item, level, lot, materials, operations, total })
        };
        let mut costs = costs.into_iter().flatten().map(rolled).collect::<Result<Vec<_>, CostRefusal>>()?;
        costs.sort_unstable_by_key(|cost| (cost.level, cost.item));
        Ok(costs)
    }
}

impl Ledger {
    /// Gathers what a product's cost on a day is made of: what the version in effect that day requires, and so
    /// on down to what is bought. It takes time in proportion to what is below it. What is in another version
    /// alone, or optional, is no part of the cost; a by-product carries none ([`mrp`]), and is not gathered.
    ///
    /// # Errors
    /// When it is no item, or something in it is costed in another currency.
    pub fn inquire_cost(&self, product: AssetId, day: Day) -> Result<CostInquiry, CostRefusal> {
        let items = &self.production.items;
        let first = self.known_item(product).map_err(CostRefusal::Rejected)?;
        let currency = items[first].item.currency;
        let mut below = BTreeMap::new();
        let mut open = vec![first];
        while let Some(slot) = open.pop() {
            let entry = &items[slot];
            if below.contains_key(&entry.item.asset) {
                continue;
            }
            if entry.item.currency != currency {
                return Err(CostRefusal::OtherCurrency(entry.item.asset));
            }
            let in_effect = self.bom_in_effect(slot, day);
            let mut planned = self.item_to_plan(entry, in_effect.as_slice());
            if let mrp::Source::Make(boms) = &mut planned.source {
                for bom in boms {
                    bom.by_products.clear();
                    bom.lines.retain(|line| matches!(line.presence, mrp::Presence::Required));
                    open.extend(bom.lines.iter().filter_map(|line| items.slot(line.component)));
                }
            }
            below.insert(entry.item.asset, (planned, entry.item.standard_cost));
        }
        let mut inquiry = CostInquiry { items: Vec::new(), purchases: Vec::new(), wholes: Vec::new(), day };
        for (asset, (planned, price)) in below {
            let whole = self.asset(asset).map_or(1, |asset| 10_u64.pow(asset.scale.into()));
            let amount = i64::try_from(price.0).map_err(|_| CostRefusal::TooLarge(asset))?;
            inquiry.items.push(planned);
            inquiry.wholes.push(Quantity(whole));
            inquiry.purchases.push(PurchaseCost { item: asset, amount: Amount(amount), per: Quantity(whole) });
        }
        Ok(inquiry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Body, BomLine, ByProduct, DefineBom, DefineItem};
    use crate::shop::{AXLE, BENCH, BOX, CART, DUST, GLUE, Shop, WHEEL, bom, item, line, operation};
    use crate::types::{BomVersion, Price};

    #[test]
    fn a_product_costs_what_is_bought_for_it_and_what_is_done() {
        let mut shop = Shop::new();
        for (asset, cost) in [(WHEEL, 250), (AXLE, 400), (GLUE, 80)] {
            shop.accept(Body::DefineItem(DefineItem { standard_cost: Price(cost), ..item(asset) }));
        }
        let hour = crate::command::Operation { run_seconds: 3_600, hourly_cost: Amount(1_800), ..operation(BENCH) };
        let new = DefineBom {
            version: BomVersion(7),
            from: Day(40),
            operations: vec![hour],
            ..bom(CART, vec![line(WHEEL, 4), line(AXLE, 2)])
        };
        shop.accept(Body::DefineBom(new));
        shop.accept(Body::DefineBom(bom(BOX, vec![line(CART, 2), line(WHEEL, 1)])));
        let found = shop.ledger.inquire_cost(BOX, Day(40)).and_then(CostInquiry::calculate).expect("it can be costed");
        let costs: Vec<_> = found
            .iter()
            .map(|cost| (cost.item, cost.level, cost.materials.0, cost.operations.0, cost.total.0))
            .collect();
        // A cart: four wheels and two axles, an hour and a minute. Glue is in its other version alone.
        let cart = 1_800 + 1_830;
        let boxed = 2 * cart + 250;
        assert_eq!(costs[0], (BOX, 0, boxed, 0, boxed));
        assert!(costs.contains(&(CART, 1, 1_800, 1_830, cart)), "{costs:?}");
        assert!(costs.contains(&(WHEEL, 2, 250, 0, 250)), "{costs:?}");
        assert_eq!(costs.len(), 4, "neither glue nor anything else is listed: {costs:?}");
    }

    #[test]
    fn what_a_product_does_not_require_that_day_is_no_part_of_its_cost() {
        let mut shop = Shop::new();
        let optional = BomLine { optional: true, ..line(AXLE, 1) };
        let by_products = vec![ByProduct { asset: DUST, quantity: Quantity(1) }];
        shop.accept(Body::DefineBom(DefineBom { by_products, ..bom(BOX, vec![line(WHEEL, 1), optional]) }));
        let (version, from) = (BomVersion(2), Day(40));
        shop.accept(Body::DefineBom(DefineBom { version, from, ..bom(BOX, vec![line(GLUE, 1)]) }));
        let items = |day| {
            let found = shop.ledger.inquire_cost(BOX, Day(day)).and_then(CostInquiry::calculate).expect("a cost");
            found.iter().map(|cost| cost.item).collect::<Vec<_>>()
        };
        assert_eq!((items(39), items(40)), (vec![BOX, WHEEL], vec![BOX, GLUE]));
    }

    #[test]
    fn what_cannot_be_costed_is_told() {
        let mut shop = Shop::new();
        let refused = |shop: &Shop, asset| shop.ledger.inquire_cost(asset, Day(1)).map(drop);
        assert_eq!(refused(&shop, AssetId(999)), Err(CostRefusal::Rejected(Rejection::UnknownItem)));
        shop.accept(Body::DefineItem(DefineItem { standard_cost: Price(i64::MAX as u64), ..item(WHEEL) }));
        let found = shop.ledger.inquire_cost(CART, Day(1)).and_then(CostInquiry::calculate);
        assert_eq!(found, Err(CostRefusal::TooLarge(CART)));
    }
}
