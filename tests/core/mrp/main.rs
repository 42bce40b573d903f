//! Material requirements planning: examples on paper, a slow and obvious reference that agrees, and
//! what holds of every plan.
//!
//! `PROPTEST_CASES` sets how many networks are generated. A failure is shrunk to the fewest items and
//! lines of demand, and printed as a [`Shape`].

mod bills;
mod check;
mod examples;
mod generate;
mod reference;
#[path = "../support/rng.rs"]
mod rng;
mod shop;

use std::cell::RefCell;
use std::collections::BTreeMap;

use counterfoil_core::production::mrp::{Network, NetworkError, Origin, Plan, calculate};
use counterfoil_core::types::AssetId;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use check::Checker;
use generate::{Case, Shape};

/// Networks per property.
const CASES: u32 = 10_000;
const ITEMS_MAX: u64 = 14;
const DEMANDS_MAX: u64 = 8;

/// Runs `property` over generated networks.
fn for_all_networks(rules: bool, property: impl Fn(&Case, &Network, &Plan)) {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(CASES);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let shapes = (any::<u64>(), 1..=ITEMS_MAX, 0..=DEMANDS_MAX);
    let result = TestRunner::new(config).run(&shapes, |(seed, items, demands)| {
        let case = Case::new(Shape { seed, items, demands, rules });
        let network = Network::new(case.items.clone()).expect("a generated network has no cycle");
        let plan = calculate(&network, &case.situation).expect("generated numbers are small");
        property(&case, &network, &plan);
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

fn full_run() -> bool {
    std::env::var_os("PROPTEST_CASES").is_none()
}

/// Where no lot rule, loss, set-up or rounding binds.
#[test]
fn a_slow_and_obvious_planner_agrees() {
    let depths = RefCell::new(BTreeMap::<u32, u32>::new());
    for_all_networks(false, |case, network, plan| {
        let mut orders = reference::Orders::new();
        for (_, order) in plan.orders() {
            *orders.entry((order.item, order.release, order.due)).or_default() += i128::from(order.quantity.0);
        }
        assert_eq!(orders, reference::orders(&case.items, &case.situation));
        Checker::new(case, network, plan).check();
        let depth = plan.items().map(|(_, level)| level).max().unwrap_or_default();
        *depths.borrow_mut().entry(depth).or_default() += 1;
    });
    if full_run() {
        let depths = depths.into_inner();
        assert!((0..=8).all(|depth| depths.get(&depth).is_some_and(|count| *count >= 50)), "{depths:?}");
    }
}

/// What was met, so that no property holds for want of something to hold of.
#[derive(Debug, Default)]
struct Seen {
    orders: usize,
    past_due: usize,
    short: usize,
    by_products: usize,
    surplus: usize,
    shared: usize,
}

/// Where all rules bind.
#[test]
fn every_plan_keeps_its_rules() {
    let seen = RefCell::new(Seen::default());
    for_all_networks(true, |case, network, plan| {
        Checker::new(case, network, plan).check();
        let mut seen = seen.borrow_mut();
        seen.orders += plan.order_count();
        seen.past_due += plan.past_due_orders().count();
        seen.short += plan.shortages().count();
        for item in network.items() {
            let by_product = |origin| matches!(origin, Origin::ByProduct(_));
            let supplies = plan.supplies_of(item).filter(|(_, supply)| by_product(supply.origin));
            seen.by_products += supplies.filter(|(index, _)| plan.pegs_of_supply(*index).next().is_some()).count();
            seen.shared += usize::from(network.where_used(item).is_ok_and(|uses| uses.count() > 1));
        }
        seen.surplus += plan.orders().filter(|(_, order)| order.net < order.quantity).count();
    });
    if full_run() {
        let seen = seen.into_inner();
        let all = [seen.orders, seen.past_due, seen.short, seen.by_products, seen.surplus, seen.shared];
        assert!(all.iter().all(|count| *count >= 200), "{seen:?}");
    }
}

/// The same items and lines, written down in another order, make the same plan.
#[test]
fn a_plan_does_not_depend_on_the_order_of_its_input() {
    for_all_networks(true, |case, _, plan| {
        let other = case.shuffled(7);
        let network = Network::new(other.items).expect("the same network");
        let again = calculate(&network, &other.situation).expect("the same plan");
        assert!(plan.orders().eq(again.orders()));
        assert!(plan.items().eq(again.items()));
        let promises = |plan: &Plan| {
            let mut promises: Vec<_> = plan.promises().map(|promise| (promise.demand.id, promise)).collect();
            promises.sort_by_key(|(id, _)| *id);
            promises
        };
        assert_eq!(promises(plan), promises(&again));
    });
}

/// A component is made to contain what it goes into, at any distance.
#[test]
fn a_cycle_is_found_and_told() {
    let found = RefCell::new(0);
    for_all_networks(true, |case, network, _| {
        let Some(lowest) = network.items().max_by_key(|item| network.level(*item)) else {
            return;
        };
        let above = network.where_used_at_all(lowest).expect("an item of the network");
        for (_, parent) in above.into_iter().chain([(0, lowest)]) {
            let mut items = case.items.clone();
            let item = items.iter_mut().find(|item| item.id == lowest).expect("an item of the case");
            *item = shop::made(lowest.0, 0, &[(parent.0, 1)]);
            let Err(NetworkError::Cycle(path)) = Network::new(items.clone()) else {
                panic!("{lowest} contains {parent}");
            };
            let contains = |parent: AssetId, child: AssetId| {
                items.iter().any(|item| item.id == parent && reference::components(item).contains(&child))
            };
            assert!(path.contains(&lowest));
            assert!(path.iter().zip(path.iter().cycle().skip(1)).all(|(parent, child)| contains(*parent, *child)));
            *found.borrow_mut() += 1;
        }
    });
    assert!(found.into_inner() > 0);
}
