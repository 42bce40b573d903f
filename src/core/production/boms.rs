//! Bills of materials: their versions, which of them is in effect, and how deep they go.

use std::collections::BTreeMap;

use super::items::fits;
use super::records::{Bom, BomPart, Part};
use crate::command::{BomLine, ByProduct, DefineBom, Operation};
use crate::event::{Effects, EventBody};
use crate::ledger::Ledger;
use crate::ledger::slots::Keyed;
use crate::rejection::Rejection;
use crate::state::Table;
use crate::table::Slot;
use crate::types::{Amount, AssetId, Attrition, BomVersion, Day};

/// A version in memory.
#[derive(Debug)]
pub struct BomEntry {
    /// The record.
    pub bom: Bom,
    /// What one run needs.
    pub lines: Vec<BomLine>,
    /// What one run yields besides.
    pub by_products: Vec<ByProduct>,
    /// What is done.
    pub operations: Vec<Operation>,
}

impl Keyed for BomEntry {
    type Key = (AssetId, BomVersion);

    fn key(&self) -> Self::Key {
        (self.bom.product, self.bom.version)
    }
}

impl BomEntry {
    fn new(new: &DefineBom) -> Self {
        let parts = new.lines.len() + new.by_products.len() + new.operations.len();
        let bom =
            Bom { product: new.product, version: new.version, from: new.from, output: new.output, parts: parts as u32 };
        let (lines, by_products) = (new.lines.clone(), new.by_products.clone());
        Self { bom, lines, by_products, operations: new.operations.clone() }
    }

    /// The part at this place: lines come first, then by-products, then operations.
    pub fn part(&self, place: u32) -> Option<BomPart> {
        let place = place as usize;
        let (lines, by_products) = (self.lines.len(), self.by_products.len());
        let part = if let Some(line) = self.lines.get(place) {
            Part::Line(*line)
        } else if let Some(by_product) = self.by_products.get(place - lines) {
            Part::ByProduct(*by_product)
        } else {
            Part::Operation(*self.operations.get(place - lines - by_products)?)
        };
        Some(BomPart { product: self.bom.product, version: self.bom.version, place: place as u32, part })
    }

    /// The components, each as often as it stands in a line.
    pub fn components(&self) -> impl Iterator<Item = AssetId> {
        self.lines.iter().map(|line| line.component)
    }
}

impl BomLine {
    /// How much of the component an order for `quantity` of the product needs, of which one run makes
    /// `output`; `None` when it does not fit 63 bits. In proportion to the quantity, with the attrition,
    /// rounded up to a whole unit; then once the set-up quantity; then rounded up to the multiple.
    #[must_use]
    pub fn needed(&self, quantity: u64, output: u64) -> Option<u64> {
        let runs = u128::from(self.quantity.0).checked_mul(u128::from(quantity))?;
        let with_loss = runs.checked_mul(u128::from(Attrition::UNIT) + u128::from(self.attrition.0))?;
        let whole = with_loss.div_ceil(u128::from(output) * u128::from(Attrition::UNIT));
        let needed = whole.checked_add(u128::from(self.setup.0))?;
        let rounded = match u128::from(self.multiple.0) {
            0 => needed,
            multiple => needed.checked_next_multiple_of(multiple)?,
        };
        i64::try_from(rounded).ok().map(i64::unsigned_abs)
    }
}

/// Refuses what is not a version whatever the state. The service refuses it by its shape before.
fn check_shape(new: &DefineBom) -> Result<(), Rejection> {
    let line_fits = |line: &BomLine| {
        let quantities = [line.quantity, line.setup, line.multiple];
        line.quantity.0 > 0 && quantities.into_iter().all(fits) && line.attrition.0 <= Attrition::UNIT
    };
    let numbers = new.output.0 > 0
        && fits(new.output)
        && new.lines.iter().all(line_fits)
        && new.by_products.iter().all(|by_product| by_product.quantity.0 > 0 && fits(by_product.quantity))
        && new.operations.iter().all(|operation| operation.hourly_cost >= Amount(0));
    let size = new.lines.len() <= DefineBom::LINES_MAX
        && new.by_products.len() <= DefineBom::BY_PRODUCTS_MAX
        && new.operations.len() <= DefineBom::OPERATIONS_MAX;
    match (numbers, size) {
        (false, _) => Err(Rejection::Overflow),
        (_, false) => Err(Rejection::BomTooLarge),
        _ => Ok(()),
    }
}

impl Ledger {
    pub(crate) fn define_bom(&mut self, new: &DefineBom, effects: &mut Effects) -> Result<(), Rejection> {
        let slot = self.add_bom(new)?;
        self.changes.mark(Table::Bom, slot);
        let end = self.production.bom_parts.len() as Slot;
        for part in end - self.production.boms[slot].bom.parts..end {
            self.changes.mark(Table::BomPart, part);
        }
        self.header.planning_changed = self.next_sequence();
        self.emit(EventBody::BomDefined(Box::new(new.clone())), effects);
        Ok(())
    }

    /// Adds a version, if it is one that can be.
    pub(super) fn add_bom(&mut self, new: &DefineBom) -> Result<Slot, Rejection> {
        check_shape(new)?;
        let product = self.known_item(new.product)?;
        if self.production.boms.slot((new.product, new.version)).is_some() {
            return Err(Rejection::BomExists);
        }
        let boms = &self.production.boms;
        if self.production.items[product].boms.iter().any(|&slot| boms[slot].bom.from == new.from) {
            return Err(Rejection::BomDateTaken);
        }
        let currency = self.production.items[product].item.currency;
        let mut components = Vec::with_capacity(new.lines.len());
        for line in &new.lines {
            let component = self.known_item(line.component)?;
            if self.production.items[component].item.currency != currency {
                return Err(Rejection::CurrencyDiffers);
            }
            components.push(component);
        }
        for (place, by_product) in new.by_products.iter().enumerate() {
            self.known_item(by_product.asset)?;
            let twice = new.by_products[..place].iter().any(|other| other.asset == by_product.asset);
            if twice || by_product.asset == new.product {
                return Err(Rejection::SameAsset);
            }
        }
        components.sort_unstable();
        components.dedup();
        self.check_no_cycle(product, &components)?;
        let raised = self.raised_levels(product, &components)?;

        let entry = BomEntry::new(new);
        let parts = entry.bom.parts;
        let slot = self.production.boms.push(entry);
        self.production.bom_parts.extend((0..parts).map(|place| (slot, place)));
        self.production.items[product].boms.push(slot);
        for component in components {
            self.production.items[component].used_in.push(slot);
        }
        for (item, levels) in raised {
            self.production.items[item].levels = levels;
        }
        Ok(slot)
    }

    /// Refuses components that have the product somewhere below them. An item that has as few levels
    /// below it as the product cannot have the product there, so that most definitions look at nothing.
    fn check_no_cycle(&self, product: Slot, components: &[Slot]) -> Result<(), Rejection> {
        let items = &self.production.items;
        let mut seen = vec![false; items.len() as usize];
        let mut open = components.to_vec();
        while let Some(item) = open.pop() {
            if item == product {
                return Err(Rejection::BomCycle);
            }
            if items[item].levels <= items[product].levels || std::mem::replace(&mut seen[item as usize], true) {
                continue;
            }
            for &bom in &items[item].boms {
                let below = self.production.boms[bom].components();
                open.extend(below.filter_map(|component| items.slot(component)));
            }
        }
        Ok(())
    }

    /// The items that have more levels below them with this version, and how many.
    fn raised_levels(&self, product: Slot, components: &[Slot]) -> Result<BTreeMap<Slot, u32>, Rejection> {
        let items = &self.production.items;
        let below = components.iter().map(|&component| items[component].levels + 1).max().unwrap_or(0);
        let mut raised = BTreeMap::new();
        let mut open = vec![(product, below)];
        while let Some((item, levels)) = open.pop() {
            if levels <= raised.get(&item).copied().unwrap_or(items[item].levels) {
                continue;
            }
            if levels > DefineBom::LEVELS_MAX {
                return Err(Rejection::BomTooDeep);
            }
            raised.insert(item, levels);
            let users = items[item].used_in.iter().map(|&bom| self.production.boms[bom].bom.product);
            open.extend(users.filter_map(|user| items.slot(user)).map(|user| (user, levels + 1)));
        }
        Ok(raised)
    }

    /// The version of an item's bill of materials that is in effect on a day: the last that has begun, or
    /// the first of all where none has.
    pub(super) fn bom_in_effect(&self, item: Slot, day: Day) -> Option<Slot> {
        let from = |slot: &Slot| self.production.boms[*slot].bom.from;
        let versions = &self.production.items[item].boms;
        let begun = versions.iter().copied().filter(|slot| from(slot) <= day).max_by_key(from);
        begun.or_else(|| versions.iter().copied().min_by_key(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Body, CreateAsset, DefineItem};
    use crate::fixture::{BOLT, USD};
    use crate::shop::{AXLE, CART, GLUE, Shop, WHEEL, bom, item, line};
    use crate::types::{AssetKind, Code, Quantity};

    fn part(shop: &mut Shop, number: u32) -> AssetId {
        let asset = AssetId(number);
        let code = Code::new(&format!("P{number}")).expect("a code");
        shop.accept(Body::CreateAsset(CreateAsset { asset, code, scale: 0, kind: AssetKind::Material }));
        shop.accept(Body::DefineItem(item(asset)));
        asset
    }

    #[test]
    fn what_is_needed_is_rounded_once_per_rule() {
        let plain = line(WHEEL, 4);
        assert_eq!(plain.needed(3, 1), Some(12));
        assert_eq!(plain.needed(3, 5), Some(3), "2.4 is a whole third unit");
        let lossy = BomLine { attrition: Attrition(50_000), ..plain };
        assert_eq!(lossy.needed(100, 1), Some(420));
        assert_eq!(lossy.needed(1, 1), Some(5), "4.2");
        let all = BomLine { setup: Quantity(7), multiple: Quantity(25), ..lossy };
        assert_eq!(all.needed(1, 1), Some(25));
        assert_eq!(all.needed(100, 1), Some(450));
        assert_eq!(line(WHEEL, i64::MAX as u64).needed(1, 1), Some(i64::MAX as u64));
        assert_eq!(line(WHEEL, i64::MAX as u64).needed(2, 1), None);
        assert_eq!(line(WHEEL, i64::MAX as u64).needed(u64::MAX, 1), None);
    }

    #[test]
    fn a_product_is_nowhere_below_itself() {
        let mut shop = Shop::new();
        let own = DefineBom { version: BomVersion(9), from: Day(9), ..bom(CART, vec![line(CART, 1)]) };
        assert_eq!(shop.refuse(Body::DefineBom(own)), Rejection::BomCycle);
        assert_eq!(shop.refuse(Body::DefineBom(bom(WHEEL, vec![line(CART, 1)]))), Rejection::BomCycle);
        // By way of a version that is not in effect any more.
        let [one, two] = [50, 51].map(|number| part(&mut shop, number));
        shop.accept(Body::DefineBom(bom(one, vec![line(two, 1)])));
        let later = DefineBom { version: BomVersion(2), from: Day(2), ..bom(one, vec![line(WHEEL, 1)]) };
        shop.accept(Body::DefineBom(later));
        assert_eq!(shop.refuse(Body::DefineBom(bom(two, vec![line(one, 1)]))), Rejection::BomCycle);
    }

    #[test]
    fn levels_are_counted_from_below_in_any_order_of_definition() {
        let mut shop = Shop::new();
        let parts: Vec<AssetId> = (0..=33).map(|number| part(&mut shop, 100 + number)).collect();
        // From the top down: every definition raises all those above.
        for pair in parts[..33].windows(2) {
            shop.accept(Body::DefineBom(bom(pair[0], vec![line(pair[1], 1)])));
        }
        let too_deep = bom(parts[32], vec![line(parts[33], 1)]);
        assert_eq!(shop.refuse(Body::DefineBom(too_deep)), Rejection::BomTooDeep);
        let last = bom(parts[33], vec![line(parts[1], 1)]);
        shop.accept(Body::DefineBom(last));
        let around = bom(parts[32], vec![line(parts[33], 1)]);
        assert_eq!(shop.refuse(Body::DefineBom(around)), Rejection::BomCycle);
    }

    #[test]
    fn every_refusal_has_its_reason() {
        let mut shop = Shop::new();
        let good = || DefineBom { version: BomVersion(7), from: Day(7), ..bom(CART, vec![line(WHEEL, 1)]) };
        let by = |asset| ByProduct { asset, quantity: Quantity(1) };
        let other_currency = DefineItem { currency: BOLT, ..item(BOLT) };
        shop.accept(Body::DefineItem(other_currency));
        for (new, reason) in [
            (DefineBom { version: BomVersion(1), ..good() }, Rejection::BomExists),
            (DefineBom { product: USD, ..good() }, Rejection::UnknownItem),
            (DefineBom { lines: vec![line(USD, 1)], ..good() }, Rejection::UnknownItem),
            (DefineBom { lines: vec![line(BOLT, 1)], ..good() }, Rejection::CurrencyDiffers),
            (DefineBom { lines: vec![line(WHEEL, 0)], ..good() }, Rejection::Overflow),
            (DefineBom { lines: vec![line(WHEEL, 1); DefineBom::LINES_MAX + 1], ..good() }, Rejection::BomTooLarge),
            (DefineBom { by_products: vec![by(CART)], ..good() }, Rejection::SameAsset),
            (DefineBom { by_products: vec![by(GLUE), by(GLUE)], ..good() }, Rejection::SameAsset),
            (DefineBom { output: Quantity(0), ..good() }, Rejection::Overflow),
            (DefineBom { from: Day(1), ..good() }, Rejection::BomDateTaken),
        ] {
            assert_eq!(shop.refuse(Body::DefineBom(new)), reason);
        }
        shop.accept(Body::DefineBom(good()));
    }

    #[test]
    fn the_version_that_began_last_is_in_effect_and_the_first_before_all() {
        let mut shop = Shop::new();
        for (version, from) in [(2, 20), (3, 10)] {
            let (version, from) = (BomVersion(version), Day(from));
            shop.accept(Body::DefineBom(DefineBom { version, from, ..bom(CART, vec![line(AXLE, 1)]) }));
        }
        let version = |day| shop.ledger.bom_on(CART, Day(day)).map(|bom| bom.bom.version.0);
        assert_eq!([-5, 1, 9, 10, 19, 20, 99].map(version), [1, 1, 1, 3, 3, 2, 2].map(Some));
        assert!(shop.ledger.bom_on(USD, Day(1)).is_none());
    }
}
