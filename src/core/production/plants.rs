//! Plants and their calendars.

use super::records::{Calendar, Plant};
use crate::command::{DefinePlant, SetCalendar};
use crate::event::{Effects, EventBody};
use crate::ledger::Ledger;
use crate::ledger::slots::Keyed;
use crate::rejection::Rejection;
use crate::state::Table;
use crate::table::Slot;
use crate::types::{AccountId, PlantId};

/// A plant in memory.
#[derive(Debug)]
pub struct PlantEntry {
    /// The record.
    pub plant: Plant,
    /// Its calendar, a record of its own in the same slot.
    pub calendar: Calendar,
}

impl Keyed for PlantEntry {
    type Key = PlantId;

    fn key(&self) -> PlantId {
        self.plant.id
    }
}

impl Calendar {
    /// The working time of a day where nobody has set one: eight hours.
    const SECONDS_PER_DAY: u32 = 8 * 60 * 60;

    /// The calendar of a plant that was given none: it works every day.
    pub fn every_day(plant: PlantId) -> Self {
        let seconds_per_day = Self::SECONDS_PER_DAY;
        Self { plant, weekdays: SetCalendar::EVERY_DAY, holidays: Vec::new(), seconds_per_day }
    }

    /// Whether this is a calendar that can be.
    pub fn is_whole(&self) -> bool {
        let some_day = (1..=SetCalendar::EVERY_DAY).contains(&self.weekdays);
        let in_order = self.holidays.is_sorted_by(|one, next| one < next);
        some_day && in_order && self.holidays.len() <= SetCalendar::HOLIDAYS_MAX && self.seconds_per_day > 0
    }
}

impl Ledger {
    /// A plant defined anew may get another name, other accounts and more locations; those it has stay. People
    /// name plants, so that no two have one name.
    pub(crate) fn define_plant(&mut self, new: &DefinePlant, effects: &mut Effects) -> Result<(), Rejection> {
        for account in [new.production, new.scrap, new.adjustment] {
            let slot = self.active_account(account)?;
            if !self.accounts[slot].account.issuer {
                return Err(Rejection::NotAnIssuer);
            }
        }
        for location in &new.locations {
            self.active_account(*location)?;
        }
        let plant = Plant {
            id: new.plant,
            name: new.name,
            production: new.production,
            scrap: new.scrap,
            adjustment: new.adjustment,
            locations: new.locations.clone(),
        };
        let known = self.production.plants.slot(new.plant);
        if self.production.plant_names.get(&new.name).is_some_and(|&of| Some(of) != known) {
            return Err(Rejection::PlantNameTaken);
        }
        self.check_locations(&plant, known)?;
        let kept = known.map_or(&[][..], |slot| &self.production.plants[slot].plant.locations);
        if kept.iter().any(|location| !plant.locations.contains(location)) {
            return Err(Rejection::LocationInUse);
        }

        let slot = match known {
            Some(slot) => {
                self.put_plant(slot, plant);
                slot
            }
            None => self.add_plant(plant),
        };
        self.changes.mark(Table::Plant, slot);
        self.changes.mark(Table::Calendar, slot);
        self.emit(EventBody::PlantDefined(new.clone()), effects);
        Ok(())
    }

    /// Refuses locations that are not stock, stand twice, or are another plant's.
    pub(super) fn check_locations(&self, plant: &Plant, slot: Option<Slot>) -> Result<(), Rejection> {
        if plant.locations.len() > DefinePlant::LOCATIONS_MAX {
            return Err(Rejection::Overflow);
        }
        for (place, location) in plant.locations.iter().enumerate() {
            let owner = self.known_account(*location)?;
            if self.accounts[owner].account.issuer {
                return Err(Rejection::IssuerAsLocation);
            }
            let others = self.production.locations.get(location).is_some_and(|&of| Some(of) != slot);
            if others || plant.locations[..place].contains(location) {
                return Err(Rejection::LocationInUse);
            }
        }
        Ok(())
    }

    /// Adds a plant that works every day.
    pub(super) fn add_plant(&mut self, plant: Plant) -> Slot {
        let (name, locations) = (plant.name, plant.locations.clone());
        let calendar = Calendar::every_day(plant.id);
        let slot = self.production.plants.push(PlantEntry { plant, calendar });
        self.production.plant_names.insert(name, slot);
        self.production.locations.extend(locations.into_iter().map(|location| (location, slot)));
        slot
    }

    fn put_plant(&mut self, slot: Slot, plant: Plant) {
        let locations = plant.locations.iter().map(|location| (*location, slot));
        self.production.locations.extend(locations);
        self.production.plant_names.remove(&self.production.plants[slot].plant.name);
        self.production.plant_names.insert(plant.name, slot);
        self.production.plants[slot].plant = plant;
    }

    /// Takes effect for what is planned from now on.
    pub(crate) fn set_calendar(&mut self, set: &SetCalendar, effects: &mut Effects) -> Result<(), Rejection> {
        let slot = self.known_plant(set.plant)?;
        let SetCalendar { plant, weekdays, seconds_per_day, .. } = *set;
        let calendar = Calendar { plant, weekdays, holidays: set.holidays.clone(), seconds_per_day };
        if !calendar.is_whole() {
            return Err(Rejection::Overflow);
        }
        self.production.plants[slot].calendar = calendar;
        self.changes.mark(Table::Calendar, slot);
        self.header.planning_changed = self.next_sequence();
        self.emit(EventBody::CalendarSet(set.clone()), effects);
        Ok(())
    }

    /// The slot of a plant.
    pub(super) fn known_plant(&self, id: PlantId) -> Result<Slot, Rejection> {
        self.production.plants.slot(id).ok_or(Rejection::UnknownPlant)
    }

    /// The plant that an account is a location of.
    pub(super) fn plant_of(&self, location: AccountId) -> Result<&Plant, Rejection> {
        self.known_account(location)?;
        let slot = self.production.locations.get(&location).ok_or(Rejection::NotALocation)?;
        Ok(&self.production.plants[*slot].plant)
    }
}

#[cfg(test)]
mod tests {
    use crate::command::{Body, CreateAccount, DefinePlant, SetCalendar};
    use crate::fixture::{ANN, Exchange, ISSUER};
    use crate::rejection::Rejection;
    use crate::shop::{PLANT, SHELF, Shop, WORKS};
    use crate::types::{AccountId, Code, Day, PlantId};

    fn plant(id: u32, locations: &[AccountId]) -> DefinePlant {
        let name = Code::new("EAST").expect("a code");
        let locations = locations.to_vec();
        DefinePlant { plant: PlantId(id), name, production: WORKS, scrap: WORKS, adjustment: WORKS, locations }
    }

    #[test]
    fn a_location_belongs_to_one_plant_and_stays_there() {
        let mut shop = Shop::new();
        assert_eq!(shop.refuse(Body::DefinePlant(plant(2, &[SHELF]))), Rejection::LocationInUse);
        assert_eq!(shop.refuse(Body::DefinePlant(plant(PLANT.0, &[]))), Rejection::LocationInUse, "taken away");
        assert_eq!(shop.refuse(Body::DefinePlant(plant(2, &[ANN, ANN]))), Rejection::LocationInUse, "twice");
        assert_eq!(shop.refuse(Body::DefinePlant(plant(2, &[ISSUER]))), Rejection::IssuerAsLocation);
        shop.accept(Body::DefinePlant(plant(2, &[ANN])));
        let more = AccountId(77);
        let account = CreateAccount { account: more, issuer: false, restricted: false, user_data: 0 };
        shop.accept(Body::CreateAccount(account));
        shop.accept(Body::DefinePlant(plant(2, &[more, ANN])));
    }

    #[test]
    fn no_two_plants_have_one_name() {
        let mut shop = Shop::new();
        let named = |id, name| DefinePlant { name: Code::new(name).expect("a code"), ..plant(id, &[]) };
        shop.accept(Body::DefinePlant(named(2, "EAST")));
        assert_eq!(shop.refuse(Body::DefinePlant(named(3, "EAST"))), Rejection::PlantNameTaken);
        shop.accept(Body::DefinePlant(named(2, "EAST")));
        // A name that was given up is free.
        shop.accept(Body::DefinePlant(named(2, "NORTH")));
        shop.accept(Body::DefinePlant(named(3, "EAST")));
        assert_eq!(shop.refuse(Body::DefinePlant(named(2, "EAST"))), Rejection::PlantNameTaken);
    }

    #[test]
    fn value_goes_through_issuers_alone() {
        let mut exchange = Exchange::new();
        let mut new = plant(1, &[]);
        (new.production, new.scrap, new.adjustment) = (ISSUER, ANN, ISSUER);
        assert_eq!(exchange.refuse(Body::DefinePlant(new.clone())), Rejection::NotAnIssuer);
        new.scrap = AccountId(99);
        assert_eq!(exchange.refuse(Body::DefinePlant(new)), Rejection::UnknownAccount);
    }

    #[test]
    fn a_calendar_says_on_which_days_a_plant_works() {
        let mut shop = Shop::new();
        let calendar = |weekdays, holidays: &[i32]| {
            let (plant, seconds_per_day) = (PLANT, 28_800);
            let holidays = holidays.iter().map(|day| Day(*day)).collect();
            Body::SetCalendar(SetCalendar { plant, weekdays, holidays, seconds_per_day })
        };
        for bad in [calendar(0, &[]), calendar(0x80, &[]), calendar(1, &[5, 5]), calendar(1, &[6, 5])] {
            assert_eq!(shop.refuse(bad), Rejection::Overflow);
        }
        // Monday to Friday; 15,512 is a Thursday off, 15,514 a Saturday anyway.
        shop.accept(calendar(0b1_1111, &[15_512, 15_514]));
        let calendar = shop.ledger.calendar(PLANT).expect("it has one");
        let works: Vec<bool> = (15_511..15_517).map(|day| calendar.works(Day(day))).collect();
        assert_eq!(works, [true, false, true, false, false, true]);
    }
}
