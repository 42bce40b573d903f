//! Networks and situations made of a seed. Item `n` is made of items of higher numbers only, so that
//! there is no cycle, and its ids are in no order, so that none is found by accident.

use counterfoil_core::production::mrp::{
    Bom, ByProduct, Calendar, Day, Demand, Item, Line, LotRule, Operation, Presence, Receipt, Situation, Source, Stock,
};
use counterfoil_core::types::{Amount, AssetId, Quantity};

use crate::rng::Rng;

/// The deepest network.
pub const DEPTH_MAX: u64 = 8;

/// How large, and whether rules of lots, losses and rounding bind.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub seed: u64,
    pub items: u64,
    pub demands: u64,
    pub rules: bool,
}

/// A network with its situation.
#[derive(Debug, Clone)]
pub struct Case {
    pub items: Vec<Item>,
    pub situation: Situation,
}

impl Case {
    pub fn new(shape: Shape) -> Self {
        let mut rng = Rng::new(shape.seed);
        let mut maker = Maker::new(&mut rng, shape);
        let items: Vec<Item> = (0..shape.items).map(|place| maker.item(place)).collect();
        let situation = maker.situation();
        Self { items, situation }
    }

    /// The same, written down in another order.
    pub fn shuffled(&self, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut case = self.clone();
        shuffle(&mut case.items, &mut rng);
        shuffle(&mut case.situation.available, &mut rng);
        shuffle(&mut case.situation.demands, &mut rng);
        case
    }
}

fn shuffle<T>(items: &mut [T], rng: &mut Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, rng.below(last as u64 + 1) as usize);
    }
}

struct Maker<'a> {
    rng: &'a mut Rng,
    shape: Shape,
    /// The id of each item, and how many levels stand above it.
    ids: Vec<AssetId>,
    depths: Vec<u64>,
    planning_date: Day,
}

impl<'a> Maker<'a> {
    fn new(rng: &'a mut Rng, shape: Shape) -> Self {
        let mut ids: Vec<AssetId> = (1..=shape.items as u32).map(|number| AssetId(number * 3)).collect();
        shuffle(&mut ids, rng);
        let planning_date = Day(rng.between(0, 13) as i32);
        Self { rng, shape, ids, depths: vec![0; shape.items as usize], planning_date }
    }

    fn quantity(&mut self, max: u64) -> Quantity {
        Quantity(self.rng.between(1, max))
    }

    fn item(&mut self, place: u64) -> Item {
        let id = self.ids[place as usize];
        let below = self.shape.items - 1 - place;
        // The upper ones are mostly made, so that networks grow deep.
        let makes = below > 0 && self.depths[place as usize] < DEPTH_MAX && self.rng.chance(80);
        let source = if makes {
            let versions = if self.rng.chance(15) { 2 } else { 1 };
            let first = self.planning_date.0;
            let boms = (0..versions).map(|version| {
                let from = if version == 0 { Day(i32::MIN) } else { Day(first + self.rng.between(0, 30) as i32) };
                self.bom(place, version, from)
            });
            Source::Make(boms.collect())
        } else {
            Source::Buy { lead_days: self.rng.below(8) as u32 }
        };
        let lot = match self.rng.below(3) {
            _ if !self.shape.rules => LotRule::LotForLot,
            0 => LotRule::LotForLot,
            1 => LotRule::Fixed(self.quantity(40)),
            _ => LotRule::Multiple { minimum: Quantity(self.rng.below(30)), multiple: self.quantity(12) },
        };
        let safety_stock = Quantity(if self.rng.chance(25) { self.rng.below(20) } else { 0 });
        let phantom = makes && self.rng.chance(15);
        Item { id, source, lot, safety_stock, phantom }
    }

    fn bom(&mut self, place: u64, version: u32, effective_from: Day) -> Bom {
        let rules = self.shape.rules;
        let count = self.rng.between(1, 3);
        let lines = (0..count).map(|_| self.line(place)).collect();
        let by_products = if self.rng.chance(40) {
            let item = self.below(place);
            vec![ByProduct { item, quantity: self.quantity(3) }]
        } else {
            Vec::new()
        };
        let operation = |rng: &mut Rng| Operation {
            setup_seconds: rng.below(2) as u32 * 4_000,
            run_seconds: if rules { rng.below(3_000) as u32 } else { 0 },
            lead_days: rng.below(4) as u32,
            cost_per_hour: Amount(0),
        };
        let operations = (0..self.rng.below(3)).map(|_| operation(self.rng)).collect();
        let output = if rules { self.quantity(6) } else { Quantity(1) };
        Bom { version, effective_from, output, lines, by_products, operations }
    }

    fn line(&mut self, place: u64) -> Line {
        let rules = self.shape.rules;
        Line {
            component: self.below(place),
            quantity: self.quantity(4),
            attrition: if rules && self.rng.chance(30) { self.rng.below(200_000) as u32 } else { 0 },
            setup: Quantity(if rules && self.rng.chance(20) { self.rng.below(5) } else { 0 }),
            multiple: Quantity(if rules && self.rng.chance(20) { self.rng.below(10) } else { 0 }),
            presence: *self.rng.pick(&[Presence::Required, Presence::Required, Presence::Chosen, Presence::LeftOut]),
        }
    }

    /// An item of a higher number, mostly a near one.
    fn below(&mut self, place: u64) -> AssetId {
        let last = self.shape.items - 1;
        let far = if self.rng.chance(75) { (place + 3).min(last) } else { last };
        let chosen = self.rng.between(place + 1, far) as usize;
        self.depths[chosen] = self.depths[chosen].max(self.depths[place as usize] + 1);
        self.ids[chosen]
    }

    fn situation(&mut self) -> Situation {
        let week = *self.rng.pick(&[[true; 7], [true, true, true, true, true, false, false]]);
        let holidays: Vec<Day> = (0..self.rng.below(4)).map(|_| self.day(-10, 40)).collect();
        let calendar = Calendar::new(week, &holidays, 8 * 3_600).expect("some days are worked");
        // Half of the situations have time enough.
        let far = if self.rng.chance(50) { 60 } else { 0 };
        let demands: Vec<Demand> = (0..self.shape.demands)
            .map(|id| Demand {
                id,
                item: self.any(),
                quantity: Quantity(self.rng.below(25)),
                due: self.day(far - 2, far + 30),
            })
            .collect();
        let some = |maker: &mut Self| maker.rng.below(maker.shape.items + 1);
        let available =
            (0..some(self)).map(|_| Stock { item: self.any(), quantity: Quantity(self.rng.below(60)) }).collect();
        let receipts = (0..some(self))
            .map(|_| Receipt { item: self.any(), quantity: Quantity(self.rng.below(60)), due: self.day(-3, far + 20) })
            .collect();
        Situation { calendar, planning_date: self.planning_date, available, receipts, demands }
    }

    /// Any item, mostly one of the upper ones.
    fn any(&mut self) -> AssetId {
        let far = if self.rng.chance(60) { self.shape.items.div_ceil(4) } else { self.shape.items };
        self.ids[self.rng.below(far) as usize]
    }

    /// A day relative to the planning date.
    fn day(&mut self, first: i64, last: i64) -> Day {
        Day(self.planning_date.0 + (first + self.rng.below((last - first + 1) as u64) as i64) as i32)
    }
}
