//! Plants, items, bills of materials, and movements of stock.

use counterfoil_core::Rejection;
use counterfoil_core::command::{
    AdjustStock, Body, CountStock, DefineBom, DefineItem, DefinePlant, IssueStock, MoveStock, ReceiveStock, ScrapStock,
};
use counterfoil_core::event::{EventBody, StockMoved};
use counterfoil_core::types::{AccountId, AssetId, Day, PlantId, Quantity, StockMoveKind};

use super::Model;

impl Model {
    pub(super) fn plant(&self, id: PlantId) -> Option<&DefinePlant> {
        self.plants.iter().find(|plant| plant.plant == id)
    }

    /// The plant that an account is a location of.
    pub(super) fn plant_of(&self, location: AccountId) -> Option<&DefinePlant> {
        self.plants.iter().find(|plant| plant.locations.contains(&location))
    }

    pub(super) fn item(&self, asset: AssetId) -> Option<&DefineItem> {
        self.items.iter().find(|item| item.asset == asset)
    }

    pub(super) fn boms_of(&self, product: AssetId) -> impl Iterator<Item = &DefineBom> {
        self.boms.iter().filter(move |bom| bom.product == product)
    }

    /// The version in effect on a day: the last that has begun, or the first of all.
    pub(super) fn bom_on(&self, product: AssetId, day: Day) -> Option<&DefineBom> {
        let begun = self.boms_of(product).filter(|bom| bom.from <= day).max_by_key(|bom| bom.from);
        begun.or_else(|| self.boms_of(product).min_by_key(|bom| bom.from))
    }

    /// How many levels of components lie below an item, by whatever versions.
    pub(super) fn height(&self, item: AssetId) -> u32 {
        let lines = self.boms_of(item).flat_map(|bom| &bom.lines);
        lines.map(|line| self.height(line.component) + 1).max().unwrap_or(0)
    }

    /// Whether `product` is `from`, or somewhere below it.
    fn reaches(&self, from: AssetId, product: AssetId) -> bool {
        let mut lines = self.boms_of(from).flat_map(|bom| &bom.lines);
        from == product || lines.any(|line| self.reaches(line.component, product))
    }

    pub(super) fn check_definition(&self, body: &Body, no: &mut Vec<Rejection>) {
        match body {
            Body::DefinePlant(new) => self.check_plant(new, no),
            Body::SetCalendar(set) => {
                no.extend(self.plant(set.plant).is_none().then_some(Rejection::UnknownPlant));
                let can_be = (1..=127).contains(&set.weekdays) && set.seconds_per_day > 0;
                let in_order = set.holidays.windows(2).all(|pair| pair[0] < pair[1]);
                no.extend((!can_be || !in_order).then_some(Rejection::Overflow));
            }
            Body::DefineItem(new) => self.check_item(new, no),
            Body::DefineBom(new) => self.check_bom(new, no),
            other => unreachable!("{other:?} defines nothing"),
        }
    }

    fn check_plant(&self, new: &DefinePlant, no: &mut Vec<Rejection>) {
        let taken = self.plants.iter().any(|other| other.plant != new.plant && other.name == new.name);
        no.extend(taken.then_some(Rejection::PlantNameTaken));
        for account in [new.production, new.scrap, new.adjustment] {
            self.check_active(account, no);
            let is_issuer = self.accounts.get(&account).is_some_and(|account| account.issuer);
            no.extend((!is_issuer).then_some(Rejection::NotAnIssuer));
        }
        for (place, location) in new.locations.iter().enumerate() {
            self.check_active(*location, no);
            let is_issuer = self.accounts.get(location).is_some_and(|account| account.issuer);
            no.extend(is_issuer.then_some(Rejection::IssuerAsLocation));
            let others = self.plant_of(*location).is_some_and(|plant| plant.plant != new.plant);
            let twice = new.locations[..place].contains(location);
            no.extend((others || twice).then_some(Rejection::LocationInUse));
        }
        let kept = self.plant(new.plant).map_or(&[][..], |plant| &plant.locations);
        let loses = kept.iter().any(|location| !new.locations.contains(location));
        no.extend(loses.then_some(Rejection::LocationInUse));
    }

    fn check_item(&self, new: &DefineItem, no: &mut Vec<Rejection>) {
        for asset in [new.asset, new.currency] {
            let known = self.assets.iter().any(|known| known.asset == asset);
            no.extend((!known).then_some(Rejection::UnknownAsset));
        }
        match self.item(new.asset) {
            Some(old) if (old.currency, old.lot_tracked) != (new.currency, new.lot_tracked) => {
                no.push(Rejection::ItemFixed);
            }
            Some(_) => {}
            None => {
                let had = self.balances.keys().any(|(_, asset)| *asset == new.asset);
                no.extend((new.lot_tracked && had).then_some(Rejection::AssetInUse));
            }
        }
    }

    fn check_bom(&self, new: &DefineBom, no: &mut Vec<Rejection>) {
        let currency = self.item(new.product).map(|item| item.currency);
        no.extend(currency.is_none().then_some(Rejection::UnknownItem));
        let exists = self.boms_of(new.product).any(|bom| bom.version == new.version);
        no.extend(exists.then_some(Rejection::BomExists));
        let taken = self.boms_of(new.product).any(|bom| bom.from == new.from);
        no.extend(taken.then_some(Rejection::BomDateTaken));
        for line in &new.lines {
            match self.item(line.component) {
                None => no.push(Rejection::UnknownItem),
                Some(item) => no.extend((Some(item.currency) != currency).then_some(Rejection::CurrencyDiffers)),
            }
            no.extend(self.reaches(line.component, new.product).then_some(Rejection::BomCycle));
        }
        for (place, by_product) in new.by_products.iter().enumerate() {
            no.extend(self.item(by_product.asset).is_none().then_some(Rejection::UnknownItem));
            let twice = new.by_products[..place].iter().any(|other| other.asset == by_product.asset);
            no.extend((twice || by_product.asset == new.product).then_some(Rejection::SameAsset));
        }
    }

    pub(super) fn define(&mut self, body: &Body) -> EventBody {
        match body {
            Body::DefinePlant(new) => {
                self.plants.retain(|plant| plant.plant != new.plant);
                self.plants.push(new.clone());
                EventBody::PlantDefined(new.clone())
            }
            Body::SetCalendar(set) => {
                self.planning_changed = self.sequence + 1;
                self.calendars.retain(|calendar| calendar.plant != set.plant);
                self.calendars.push(set.clone());
                EventBody::CalendarSet(set.clone())
            }
            Body::DefineItem(new) => {
                self.planning_changed = self.sequence + 1;
                // An item defined anew keeps its place.
                match self.items.iter_mut().find(|item| item.asset == new.asset) {
                    Some(old) => *old = new.clone(),
                    None => self.items.push(new.clone()),
                }
                EventBody::ItemDefined(new.clone())
            }
            Body::DefineBom(new) => {
                self.planning_changed = self.sequence + 1;
                self.boms.push(new.clone());
                EventBody::BomDefined(Box::new(new.clone()))
            }
            other => unreachable!("{other:?} defines nothing"),
        }
    }

    fn check_place(&self, location: AccountId, no: &mut Vec<Rejection>) {
        self.check_known(location, no);
        no.extend(self.plant_of(location).is_none().then_some(Rejection::NotALocation));
    }

    pub(super) fn check_stock(&self, body: &Body, no: &mut Vec<Rejection>) {
        match body {
            Body::MoveStock(MoveStock { from, to, .. }) => {
                self.check_place(*from, no);
                self.check_place(*to, no);
            }
            Body::CountStock(CountStock { location, asset, lot, .. }) => {
                self.check_place(*location, no);
                let known = self.assets.iter().any(|known| known.asset == *asset);
                no.extend((!known).then_some(Rejection::UnknownAsset));
                self.check_tracked(*asset, *lot, no);
            }
            Body::ReceiveStock(ReceiveStock { location, .. })
            | Body::IssueStock(IssueStock { location, .. })
            | Body::AdjustStock(AdjustStock { location, .. })
            | Body::ScrapStock(ScrapStock { location, .. }) => self.check_place(*location, no),
            other => unreachable!("{other:?} moves no stock"),
        }
        if no.is_empty() {
            self.check_goods(&self.stock_move(body), no);
        }
    }

    /// What a command that names known places asks for.
    fn stock_move(&self, body: &Body) -> StockMoved {
        let of = |location| self.plant_of(location).expect("checked");
        let (counted, reason, lot) = (None, None, None);
        let moved = |kind, location, from, to, asset, quantity| StockMoved {
            kind,
            location,
            from,
            to,
            asset,
            quantity,
            counted,
            lot,
            reason,
        };
        match body {
            Body::ReceiveStock(it) => {
                let moved = moved(StockMoveKind::Receipt, it.location, it.from, it.location, it.asset, it.quantity);
                StockMoved { lot: it.lot, ..moved }
            }
            Body::IssueStock(it) => {
                let moved = moved(StockMoveKind::Issue, it.location, it.location, it.to, it.asset, it.quantity);
                StockMoved { lot: it.lot, ..moved }
            }
            Body::ScrapStock(it) => {
                let to = of(it.location).scrap;
                let moved = moved(StockMoveKind::Scrap, it.location, it.location, to, it.asset, it.quantity);
                StockMoved { lot: it.lot, reason: Some(it.reason), ..moved }
            }
            Body::MoveStock(it) => {
                let moved = moved(StockMoveKind::Move, it.from, it.from, it.to, it.asset, it.quantity);
                StockMoved { lot: it.lot, ..moved }
            }
            Body::AdjustStock(it) => {
                let (more, quantity) = (it.difference.0 > 0, Quantity(it.difference.0.unsigned_abs()));
                let (from, to) = self.against(it.location, more);
                let moved = moved(StockMoveKind::Adjustment, it.location, from, to, it.asset, quantity);
                StockMoved { lot: it.lot, reason: Some(it.reason), ..moved }
            }
            Body::CountStock(it) => {
                let all = self.balance(it.location, it.asset).posted;
                let there = it.lot.map_or(all, |lot| self.lot_quantity(it.location, it.asset, lot));
                let difference = i128::from(it.counted.0) - there;
                let (from, to) = self.against(it.location, difference > 0);
                let quantity = Quantity(difference.unsigned_abs() as u64);
                let moved = moved(StockMoveKind::Count, it.location, from, to, it.asset, quantity);
                StockMoved { lot: it.lot, reason: Some(it.reason), counted: Some(it.counted), ..moved }
            }
            other => unreachable!("{other:?} moves no stock"),
        }
    }

    /// Who gives and who gets, where there is more, or less, than the books say.
    fn against(&self, location: AccountId, more: bool) -> (AccountId, AccountId) {
        let adjustment = self.plant_of(location).expect("checked").adjustment;
        if more { (adjustment, location) } else { (location, adjustment) }
    }

    fn check_goods(&self, moved: &StockMoved, no: &mut Vec<Rejection>) {
        let StockMoved { kind, from, to, asset, quantity, lot, .. } = *moved;
        if quantity.0 == 0 {
            // A count that finds what the books say moves nothing.
            return no.extend((kind != StockMoveKind::Count).then_some(Rejection::Overflow));
        }
        no.extend((from == to).then_some(Rejection::SameAccount));
        let known = self.assets.iter().any(|known| known.asset == asset);
        no.extend((!known).then_some(Rejection::UnknownAsset));
        self.check_active(from, no);
        self.check_active(to, no);
        self.check_allowed(to, asset, no);
        self.check_spend(from, asset, quantity.0.into(), no);
        self.check_lot(from, asset, lot, quantity.0.into(), no);
    }

    pub(super) fn move_stock(&mut self, body: &Body) -> EventBody {
        let moved = self.stock_move(body);
        let StockMoved { from, to, asset, quantity, lot, .. } = moved;
        if quantity.0 > 0 {
            self.name_lot(asset, lot);
            self.change(from, asset, -i128::from(quantity.0), 0);
            self.change(to, asset, quantity.0.into(), 0);
        }
        EventBody::StockMoved(Box::new(moved))
    }
}
