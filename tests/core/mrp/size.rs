//! How long a large plan takes: `cargo bench -p counterfoil-core --bench mrp_size`.
//!
//! 5,000 items on ten levels below the products, most parts shared by several assemblies, 100,000
//! lines of demand over a year. A fixed lot is what an item needs for some days or weeks, as a planner sets it: each
//! lot is an order, so that lots of a thousandth of that would be millions. It measures; it promises nothing.

#[path = "../support/rng.rs"]
#[allow(dead_code)]
mod rng;
#[path = "size_ledger.rs"]
mod size_ledger;

use std::time::Instant;

use counterfoil_core::production::mrp::{
    Bom, Calendar, Day, Demand, Item, Line, LotRule, Network, Operation, Plan, Presence, Receipt, Situation, Source,
    Stock, calculate,
};
use counterfoil_core::types::{Amount, AssetId, Quantity};

use rng::Rng;

const ITEMS: u32 = 5_000;
const DEPTH: u32 = 10;
const DEMANDS: u64 = 100_000;
const ROUNDS: u32 = 5;

fn main() {
    for (name, lots) in [("lot for lot", false), ("with lot rules", true)] {
        let mut rng = Rng::new(1);
        let mut items: Vec<Item> = (0..ITEMS).map(|number| item(number, &mut rng)).collect();
        let situation = situation(&mut rng);
        if lots {
            set_lots(&mut items, &situation, &mut rng);
        }
        let begin = Instant::now();
        let network = Network::new(items.clone()).expect("items of higher levels go into those of lower ones");
        let compiled = begin.elapsed();
        let mut best = None;
        let mut last: Option<Plan> = None;
        for _ in 0..ROUNDS {
            let begin = Instant::now();
            let plan = calculate(&network, &situation).expect("a plan");
            let took = begin.elapsed();
            best = best.min(Some(took)).or(Some(took));
            last = Some(plan);
        }
        let plan = last.expect("a round was run");
        let begin = Instant::now();
        let short = plan.shortages().count();
        let promised = begin.elapsed();
        let begin = Instant::now();
        let downward = plan.downward();
        let indexed = begin.elapsed();
        let begin = Instant::now();
        let parts = downward.contributions(0).len();
        let traced_down = begin.elapsed();
        let deepest = plan.orders().last().map(|(index, _)| index).expect("some orders");
        let begin = Instant::now();
        let causes = plan.causes_of_order(deepest).len();
        let traced_up = begin.elapsed();
        println!("{name}: {} items, depth {DEPTH}, {} lines of demand", network.len(), plan.demands().len());
        println!("  network {compiled:?}, plan {:?} (best of {ROUNDS})", best.unwrap_or_default());
        println!("  {} requirements, {} orders, {short} lines short", plan.requirement_count(), plan.order_count());
        println!("  promises {promised:?}; index downward {indexed:?}");
        println!("  one line's {parts} parts {traced_down:?}; the last order's {causes} causes {traced_up:?}");
        size_ledger::measure(&items, &situation, &plan, ROUNDS);
    }
}

/// Gives each item a lot rule that fits what is needed of it in the year.
fn set_lots(items: &mut [Item], situation: &Situation, rng: &mut Rng) {
    let network = Network::new(items.to_vec()).expect("items of higher levels go into those of lower ones");
    let plan = calculate(&network, situation).expect("a plan");
    for item in items {
        let needed: u64 = plan.requirements_of(item.id).map(|(_, requirement)| requirement.quantity.0).sum();
        item.lot = match rng.below(3) {
            0 => LotRule::Fixed(Quantity((needed / rng.between(10, 100)).max(1))),
            1 => LotRule::Multiple { minimum: Quantity(needed / 1_000), multiple: Quantity(10) },
            _ => LotRule::LotForLot,
        };
    }
}

fn item(number: u32, rng: &mut Rng) -> Item {
    let per_level = ITEMS / (DEPTH + 1);
    let level = (number / per_level).min(DEPTH);
    let source = if level == DEPTH {
        Source::Buy { lead_days: rng.between(1, 20) as u32 }
    } else {
        // One component of the next level keeps the depth, the others come from anywhere below.
        let first = (level + 1) * per_level;
        let count = rng.between(2, 5);
        let line = |place: u64, rng: &mut Rng| {
            let last = if place == 0 { first + per_level - 1 } else { ITEMS - 1 };
            Line {
                component: AssetId(rng.between(first.into(), last.into()) as u32 + 1),
                quantity: Quantity(rng.between(1, 3)),
                attrition: if rng.chance(20) { 20_000 } else { 0 },
                setup: Quantity(0),
                multiple: Quantity(0),
                presence: Presence::Required,
            }
        };
        let lines = (0..count).map(|place| line(place, rng)).collect();
        let operations = vec![Operation {
            setup_seconds: 1_800,
            run_seconds: rng.below(60) as u32,
            lead_days: rng.below(2) as u32,
            cost_per_hour: Amount(4_000),
        }];
        let by_products = Vec::new();
        Source::Make(vec![Bom {
            version: 1,
            effective_from: Day(0),
            output: Quantity(1),
            lines,
            by_products,
            operations,
        }])
    };
    let lot = LotRule::LotForLot;
    Item { id: AssetId(number + 1), source, lot, safety_stock: Quantity(rng.below(50)), phantom: false }
}

/// A day that a line of demand can be due on.
fn working_day(calendar: &Calendar, rng: &mut Rng) -> Day {
    let any = Day(rng.between(20, 365) as i32);
    calendar.back(any, 0).expect("there are days before it")
}

fn situation(rng: &mut Rng) -> Situation {
    let week = [true, true, true, true, true, false, false];
    let holidays: Vec<Day> = (0..10).map(|_| Day(rng.between(0, 365) as i32)).collect();
    let calendar = Calendar::new(week, &holidays, 8 * 3_600).expect("five days are worked");
    let any = |rng: &mut Rng| AssetId(rng.below(ITEMS.into()) as u32 + 1);
    // Nine lines of ten are for products, the others for spare parts.
    let product = |rng: &mut Rng| AssetId(rng.below((ITEMS / (DEPTH + 1)).into()) as u32 + 1);
    let demand = |id: u64, rng: &mut Rng| Demand {
        id,
        item: if rng.chance(90) { product(rng) } else { any(rng) },
        quantity: Quantity(rng.between(1, 20)),
        due: working_day(&calendar, rng),
    };
    Situation {
        calendar: calendar.clone(),
        planning_date: Day(0),
        available: (0..ITEMS).map(|_| Stock { item: any(rng), quantity: Quantity(rng.below(200)) }).collect(),
        receipts: (0..ITEMS)
            .map(|_| Receipt {
                item: any(rng),
                quantity: Quantity(rng.below(200)),
                due: Day(rng.between(1, 60) as i32),
            })
            .collect(),
        demands: (0..DEMANDS).map(|id| demand(id, rng)).collect(),
    }
}
