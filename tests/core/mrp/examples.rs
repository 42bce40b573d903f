//! Examples that a planner can follow with a pencil.

use counterfoil_core::production::mrp::{
    Buckets, ByProduct, Day, Item, LotRule, Operation, OrderIndex, Presence, Situation, Source,
};
use counterfoil_core::types::{Amount, AssetId, Quantity};

use crate::shop::{
    MONDAY, bill, bom, bought, causes, demand, every_day, idle, line, made, network, office, ordered, orders, pegs,
    plan, receipt, shortages, stock,
};

const BIKE: u32 = 1;
const FRAME: u32 = 2;
const WHEEL: u32 = 3;
const SPOKE: u32 = 4;

fn bikes() -> Vec<Item> {
    vec![made(BIKE, 1, &[(FRAME, 1), (WHEEL, 2)]), bought(FRAME, 5), made(WHEEL, 2, &[(SPOKE, 30)]), bought(SPOKE, 3)]
}

#[test]
fn demand_becomes_orders_level_by_level() {
    let situation = Situation { demands: vec![demand(7, BIKE, 10, 20)], ..idle() };
    assert_eq!(
        orders(&plan(&bikes(), &situation)),
        ["make 10 of 1: 19 to 20", "buy 10 of 2: 14 to 19", "make 20 of 3: 17 to 19", "buy 600 of 4: 14 to 17",]
    );
}

#[test]
fn what_is_there_need_not_be_made_of_anything() {
    let situation = Situation {
        available: vec![stock(BIKE, 4), stock(WHEEL, 5), stock(SPOKE, 1)],
        receipts: vec![receipt(WHEEL, 2, 19), receipt(WHEEL, 100, 21)],
        demands: vec![demand(7, BIKE, 10, 20)],
        ..idle()
    };
    let plan = plan(&bikes(), &situation);
    // Six bikes; twelve wheels less five and two, since the hundred come too late; 150 spokes less one.
    assert_eq!((ordered(&plan, BIKE), ordered(&plan, FRAME), ordered(&plan, WHEEL)), (6, 6, 5));
    assert_eq!(ordered(&plan, SPOKE), 149);
    assert_eq!(pegs(&plan, BIKE), ["4 of stock for demand 7", "6 ordered for 20 for demand 7"]);
    assert_eq!(
        pegs(&plan, WHEEL),
        ["5 of stock for 1 on 19", "2 received on 19 for 1 on 19", "5 ordered for 19 for 1 on 19"]
    );
    assert!(shortages(&plan).is_empty());
}

/// A part of three sub-assemblies, of which there are some in stock. One that nets it in each of them
/// by itself, with the stock each time or at the wrong level, orders 33.
#[test]
fn a_part_of_several_assemblies_is_netted_once() {
    let (top, left, right, deep, bolt) = (1, 2, 3, 4, 9);
    let items = [
        made(top, 1, &[(left, 1), (right, 1), (bolt, 3)]),
        made(left, 1, &[(bolt, 10)]),
        made(right, 1, &[(deep, 2)]),
        made(deep, 1, &[(bolt, 10)]),
        bought(bolt, 1),
    ];
    let situation = Situation { available: vec![stock(bolt, 15)], demands: vec![demand(1, top, 1, 30)], ..idle() };
    let plan = plan(&items, &situation);
    assert_eq!(ordered(&plan, bolt), 18, "3 + 10 + 20 are 33, less the 15 that are there");
    // The stock goes to what is needed first, deepest down.
    assert_eq!(
        pegs(&plan, bolt),
        [
            "15 of stock for 4 on 27",
            "5 ordered for 27 for 4 on 27",
            "10 ordered for 28 for 2 on 28",
            "3 ordered for 29 for 1 on 29"
        ]
    );
    assert_eq!(plan.items().map(|(_, level)| level).collect::<Vec<_>>(), [0, 1, 1, 2, 3]);
}

#[test]
fn lot_rules_round_the_net_requirement() {
    let with = |lot| {
        let item = Item { lot, ..bought(1, 1) };
        let situation = Situation { demands: vec![demand(1, 1, 25, 10), demand(2, 1, 8, 12)], ..idle() };
        orders(&plan(&[item], &situation))
    };
    assert_eq!(with(LotRule::LotForLot), ["buy 25 of 1: 9 to 10", "buy 8 of 1: 11 to 12"]);
    assert_eq!(
        with(LotRule::Fixed(Quantity(10))),
        ["buy 10 of 1: 9 to 10", "buy 10 of 1: 9 to 10", "buy 10 of 1: 9 to 10", "buy 10 of 1: 11 to 12"],
        "five are left over, which the three that are missing then do not use up"
    );
    let multiple = |minimum, multiple| LotRule::Multiple { minimum: Quantity(minimum), multiple: Quantity(multiple) };
    assert_eq!(with(multiple(0, 6)), ["buy 30 of 1: 9 to 10", "buy 6 of 1: 11 to 12"]);
    assert_eq!(with(multiple(20, 1)), ["buy 25 of 1: 9 to 10", "buy 20 of 1: 11 to 12"]);
    assert_eq!(with(multiple(31, 6)), ["buy 36 of 1: 9 to 10"], "eleven are left over, enough for the eight");
}

#[test]
fn what_a_lot_rule_adds_is_nobodys_demand() {
    let mut wheel = made(WHEEL, 0, &[(SPOKE, 30)]);
    wheel.lot = LotRule::Fixed(Quantity(8));
    let items = [made(BIKE, 0, &[(WHEEL, 2)]), wheel, bought(SPOKE, 0)];
    let situation = Situation { demands: vec![demand(1, BIKE, 3, 9), demand(2, BIKE, 2, 9)], ..idle() };
    let plan = plan(&items, &situation);
    let (spokes, order) = plan.orders_of(AssetId(SPOKE)).next().expect("spokes are bought");
    assert_eq!(order.quantity, Quantity(480), "for two lots of eight wheels, of which ten are needed");
    assert_eq!(
        causes(&plan, &plan.causes_of_order(spokes)),
        ["180 for demand 1", "120 for demand 2", "180 by the lot rule of 3"]
    );
}

#[test]
fn lead_times_skip_weekends_and_holidays() {
    // The second Tuesday is a holiday.
    let calendar = office(&[Day(MONDAY.0 + 8)]);
    let items = [made(1, 3, &[(2, 1)]), bought(2, 2)];
    let situation = Situation {
        calendar,
        planning_date: MONDAY,
        // The second Saturday: done on the Friday before.
        demands: vec![demand(1, 1, 1, MONDAY.0 + 12)],
        ..idle()
    };
    // Three working days before Friday the 11th: Monday the 7th, over the holiday; two before that: Thursday.
    let day = |days: i32| MONDAY.0 + days;
    assert_eq!(
        orders(&plan(&items, &situation)),
        [format!("make 1 of 1: {} to {}", day(7), day(11)), format!("buy 1 of 2: {} to {}", day(3), day(7))]
    );
}

#[test]
fn operations_take_their_time() {
    let mut item = made(1, 0, &[]);
    bill(&mut item).output = Quantity(10);
    // One hour and then six minutes for ten pieces; then a day at the painter's.
    bill(&mut item).operations = vec![
        Operation { setup_seconds: 3_600, run_seconds: 300, lead_days: 0, cost_per_hour: Amount(0) },
        Operation { setup_seconds: 0, run_seconds: 60, lead_days: 1, cost_per_hour: Amount(0) },
    ];
    let days = |pieces| {
        let situation = Situation { demands: vec![demand(1, 1, pieces, 100)], ..idle() };
        plan(std::slice::from_ref(&item), &situation).orders().next().map(|(_, order)| order.lead_days)
    };
    assert_eq!(days(1), Some(2), "less than a working day, and the painter's");
    assert_eq!(days(700), Some(2), "eight hours to the second");
    assert_eq!(days(701), Some(3));
    assert_eq!(days(70_000), Some(1 + 88), "701 hours are 87.6 days");
}

#[test]
fn a_phantom_is_made_within_its_parents_order() {
    let (car, kit, screw, nut) = (1, 2, 3, 4);
    let mut phantom = made(kit, 9, &[(screw, 4), (nut, 4)]);
    phantom.phantom = true;
    let items = [made(car, 1, &[(kit, 2), (screw, 1)]), phantom, bought(screw, 1), bought(nut, 1)];
    let situation = Situation {
        // Kits that someone packed are not looked for.
        available: vec![stock(kit, 1)],
        demands: vec![demand(1, car, 5, 20)],
        ..idle()
    };
    assert_eq!(
        orders(&plan(&items, &situation)),
        ["make 5 of 1: 19 to 20", "buy 45 of 3: 18 to 19", "buy 40 of 4: 18 to 19"]
    );
    // Demanded for itself it is a product like others.
    let spare = Situation { demands: vec![demand(1, kit, 3, 20)], ..situation };
    assert_eq!(
        orders(&plan(&items, &spare)),
        ["make 2 of 2: 11 to 20", "buy 8 of 3: 10 to 11", "buy 8 of 4: 10 to 11"]
    );
}

#[test]
fn losses_set_up_and_rounding_come_on_top() {
    let mut resistor = line(2, 4);
    resistor.attrition = 25_000;
    resistor.setup = Quantity(50);
    resistor.multiple = Quantity(100);
    let mut board = made(1, 0, &[]);
    bill(&mut board).lines = vec![resistor];
    let needed = |boards, output| {
        let mut board = board.clone();
        bill(&mut board).output = Quantity(output);
        let situation = Situation { demands: vec![demand(1, 1, boards, 9)], ..idle() };
        ordered(&plan(&[board, bought(2, 0)], &situation), 2)
    };
    assert_eq!(needed(10, 1), 100, "40 and 2.5 % are 41; 91 with the set-up");
    assert_eq!(needed(12, 1), 100, "48 and 2.5 % are 49.2, so 50; 100 with the set-up");
    assert_eq!(needed(13, 1), 200, "52 and 2.5 % are 53.3, so 54; 104 with the set-up");
    assert_eq!(needed(48, 4), 100, "a run of four boards takes four");
}

#[test]
fn by_products_serve_who_needs_them() {
    let (board, log, dust, briquette) = (1, 2, 3, 4);
    let mut sawing = made(board, 2, &[(log, 1)]);
    bill(&mut sawing).output = Quantity(8);
    bill(&mut sawing).by_products = vec![ByProduct { item: AssetId(dust), quantity: Quantity(5) }];
    let items = [sawing, bought(log, 1), bought(dust, 4), made(briquette, 1, &[(dust, 10)])];
    let situation = Situation { demands: vec![demand(1, board, 20, 10), demand(2, briquette, 3, 20)], ..idle() };
    let plan = plan(&items, &situation);
    // 20 boards take 2.5 logs and leave 12.5 of dust.
    assert_eq!(ordered(&plan, log), 3);
    assert_eq!(pegs(&plan, dust), ["12 left over from 1 on 10 for 4 on 19", "18 ordered for 19 for 4 on 19"]);
}

/// Swarf of a phantom comes when the order does that the phantom is made in, and that waits for steel.
#[test]
fn what_a_phantom_leaves_is_as_late_as_its_parents_order() {
    let (gear, shaft, steel, swarf, brick) = (1, 2, 3, 4, 5);
    let mut turned = made(shaft, 0, &[]);
    turned.phantom = true;
    bill(&mut turned).by_products = vec![ByProduct { item: AssetId(swarf), quantity: Quantity(2) }];
    let items = [
        made(gear, 1, &[(shaft, 1), (steel, 1)]),
        turned,
        bought(steel, 30),
        bought(swarf, 1),
        made(brick, 1, &[(swarf, 1)]),
    ];
    let situation = Situation { demands: vec![demand(1, gear, 1, 10), demand(2, brick, 2, 20)], ..idle() };
    assert_eq!(
        shortages(&plan(&items, &situation)),
        ["demand 1: 0 of 1 by 10, all by 31", "demand 2: 0 of 2 by 20, all by 32"]
    );
}

/// Two refinings that each leave some of the other's product: no order of netting serves both.
#[test]
fn by_products_of_each_other_are_not_counted_in_advance() {
    let (petrol, diesel, crude) = (1, 2, 3);
    let refine = |product, other| {
        let mut item = made(product, 1, &[(crude, 2)]);
        bill(&mut item).by_products = vec![ByProduct { item: AssetId(other), quantity: Quantity(1) }];
        item
    };
    let items = [refine(petrol, diesel), refine(diesel, petrol), bought(crude, 1)];
    let uncounted: Vec<_> = network(&items).uncounted_by_products().map(|(of, what)| (of.0, what.0)).collect();
    assert_eq!(uncounted, [(petrol, diesel), (diesel, petrol)]);
    let situation = Situation { demands: vec![demand(1, petrol, 5, 9), demand(2, diesel, 5, 9)], ..idle() };
    assert_eq!(ordered(&plan(&items, &situation), crude), 20);
}

#[test]
fn safety_stock_is_kept_from_the_day_it_can_be_there() {
    let item = Item { safety_stock: Quantity(20), ..bought(1, 5) };
    let with = |available, demands| {
        let situation = Situation { available: vec![stock(1, available)], demands, ..idle() };
        plan(std::slice::from_ref(&item), &situation)
    };
    let steady = with(50, vec![demand(1, 1, 25, 10), demand(2, 1, 25, 17)]);
    assert_eq!(orders(&steady), ["buy 20 of 1: 12 to 17"]);
    assert_eq!(
        pegs(&steady, 1),
        [
            "20 of stock for safety stock",
            "25 of stock for demand 1",
            "5 of stock for demand 2",
            "20 ordered for 17 for demand 2"
        ]
    );
    // What comes before a new order could be may use it up; it is filled up again at once.
    let sudden = with(50, vec![demand(1, 1, 45, 2)]);
    assert_eq!(orders(&sudden), ["buy 15 of 1: 0 to 5"]);
    assert!(shortages(&sudden).is_empty());
    assert_eq!(orders(&with(5, vec![])), ["buy 15 of 1: 0 to 5"]);
    assert_eq!(orders(&with(20, vec![])), [""; 0]);
}

#[test]
fn a_shortage_says_how_much_is_there_and_when_the_rest_can_be() {
    let situation = Situation {
        planning_date: Day(15),
        available: vec![stock(BIKE, 3)],
        demands: vec![demand(1, BIKE, 10, 20), demand(2, BIKE, 1, 40)],
        ..idle()
    };
    let plan = plan(&bikes(), &situation);
    assert_eq!(
        orders(&plan),
        [
            "make 7 of 1: 19 to 20, ready 21",
            "make 1 of 1: 39 to 40",
            "buy 7 of 2: 14 to 19, ready 20",
            "buy 1 of 2: 34 to 39",
            "make 14 of 3: 17 to 19, ready 20",
            "make 2 of 3: 37 to 39",
            "buy 420 of 4: 14 to 17, ready 18",
            "buy 60 of 4: 34 to 37",
        ]
    );
    assert_eq!(shortages(&plan), ["demand 1: 3 of 10 by 20, all by 21"]);
    let late: Vec<u32> = plan.past_due_orders().map(|(_, order)| order.item.0).collect();
    assert_eq!(late, [FRAME, SPOKE]);
    let downward = plan.downward();
    let path: Vec<u32> =
        downward.critical_path(0).iter().filter_map(|supply| Some(plan.supply(*supply)?.item.0)).collect();
    assert_eq!(path, [BIKE, WHEEL, SPOKE], "as late as the frames, and last of the bill");
}

/// The order for demand 1 would come on day 20. A receipt that was meant for demand 2 comes before.
#[test]
fn what_is_there_first_goes_to_what_is_needed_first() {
    let situation = Situation {
        receipts: vec![receipt(1, 10, 9)],
        demands: vec![demand(1, 1, 10, 4), demand(2, 1, 10, 30)],
        ..idle()
    };
    let plan = plan(&[bought(1, 20)], &situation);
    assert_eq!(orders(&plan), ["buy 10 of 1: -16 to 4, ready 20"]);
    assert_eq!(pegs(&plan, 1), ["10 received on 9 for demand 1", "10 ordered for 4 for demand 2"]);
    assert_eq!(shortages(&plan), ["demand 1: 0 of 10 by 4, all by 9"]);
}

/// What the order is made of comes on day 20 only; until then the safety stock does.
#[test]
fn safety_stock_serves_demand_that_would_be_late() {
    let items = [Item { safety_stock: Quantity(8), ..made(1, 1, &[(2, 1)]) }, bought(2, 20)];
    let situation = Situation { available: vec![stock(1, 8)], demands: vec![demand(1, 1, 6, 5)], ..idle() };
    let plan = plan(&items, &situation);
    assert_eq!(orders(&plan), ["make 6 of 1: 4 to 5, ready 21", "buy 6 of 2: -16 to 4, ready 20"]);
    assert_eq!(
        pegs(&plan, 1),
        ["6 of stock for demand 1", "2 of stock for safety stock", "6 ordered for 5 for safety stock"]
    );
    assert!(shortages(&plan).is_empty());
}

#[test]
fn what_is_overdue_is_due_now() {
    let situation = Situation {
        planning_date: Day(10),
        available: vec![stock(1, 5)],
        receipts: vec![receipt(1, 3, 4)],
        demands: vec![demand(1, 1, 9, 2)],
        ..idle()
    };
    let plan = plan(&[bought(1, 2)], &situation);
    assert_eq!(orders(&plan), ["buy 1 of 1: 8 to 10, ready 12"]);
    assert_eq!(shortages(&plan), ["demand 1: 0 of 9 by 2, all by 12"]);
}

#[test]
fn the_bill_in_effect_when_the_order_is_due_counts() {
    let (product, old, new) = (1, 2, 3);
    let versions = vec![
        crate::shop::bom(1, vec![line(old, 1)]),
        counterfoil_core::production::mrp::Bom { version: 2, effective_from: Day(15), ..bom(1, vec![line(new, 1)]) },
    ];
    let items = [Item { source: Source::Make(versions), ..bought(product, 0) }, bought(old, 1), bought(new, 1)];
    let situation = Situation { demands: vec![demand(1, product, 1, 14), demand(2, product, 1, 15)], ..idle() };
    let plan = plan(&items, &situation);
    let versions: Vec<_> = plan.orders_of(AssetId(product)).map(|(_, order)| order.version).collect();
    assert_eq!(versions, [Some(1), Some(2)]);
    assert_eq!(orders(&plan)[2..], ["buy 1 of 2: 12 to 13", "buy 1 of 3: 13 to 14"]);
}

#[test]
fn an_optional_line_counts_when_it_is_chosen() {
    let with = |presence| {
        let mut item = made(1, 0, &[(2, 1), (3, 1)]);
        bill(&mut item).lines[1].presence = presence;
        let situation = Situation { demands: vec![demand(1, 1, 6, 9)], ..idle() };
        ordered(&plan(&[item, bought(2, 0), bought(3, 0)], &situation), 3)
    };
    assert_eq!((with(Presence::Required), with(Presence::Chosen), with(Presence::LeftOut)), (6, 6, 0));
}

#[test]
fn every_requirement_leads_to_the_demand_that_caused_it() {
    let situation = Situation {
        available: vec![stock(WHEEL, 6)],
        demands: vec![demand(1, BIKE, 10, 30), demand(2, BIKE, 5, 30), demand(3, WHEEL, 4, 27), demand(4, BIKE, 2, 40)],
        ..idle()
    };
    let plan = plan(&bikes(), &situation);
    let spokes: Vec<OrderIndex> = plan.orders_of(AssetId(SPOKE)).map(|(index, _)| index).collect();
    // The wheels in stock serve demand 3 and the first two for the bikes of day 30.
    assert_eq!(causes(&plan, &plan.causes_of_order(spokes[0])), ["540 for demand 1", "300 for demand 2"]);
    assert_eq!(causes(&plan, &plan.causes_of_order(spokes[1])), ["120 for demand 4"]);
    let downward = plan.downward();
    let taken: Vec<(u32, u64)> = downward
        .contributions(1)
        .iter()
        .filter_map(|part| Some((plan.supply(part.supply)?.item.0, part.quantity.0)))
        .collect();
    assert_eq!(taken, [(BIKE, 5), (FRAME, 5), (WHEEL, 10), (SPOKE, 300)]);
}

#[test]
fn the_record_of_an_item_reads_like_a_table() {
    let item = Item { lot: LotRule::Fixed(Quantity(50)), safety_stock: Quantity(10), ..bought(1, 7) };
    let situation = Situation {
        available: vec![stock(1, 45)],
        receipts: vec![receipt(1, 50, 8)],
        demands: vec![demand(1, 1, 20, 3), demand(2, 1, 40, 10), demand(3, 1, 30, 17), demand(4, 1, 35, 24)],
        ..idle()
    };
    let plan = plan(&[item], &situation);
    let weeks = Buckets::regular(Day(0), 7, 4).expect("four weeks");
    let table: Vec<[u64; 6]> = plan
        .record(AssetId(1), &weeks)
        .expect("an item of the plan")
        .iter()
        .map(|week| {
            let (gross, scheduled, projected) = (week.gross.0, week.scheduled.0, week.projected.0);
            [gross, scheduled, projected, week.net.0, week.planned_receipts.0, week.planned_releases.0]
        })
        .collect();
    let expected = [
        // gross, scheduled, projected, net, planned receipts, planned releases
        [20, 0, 25, 0, 0, 0],
        [40, 50, 35, 0, 0, 50],
        [30, 0, 55, 5, 50, 0],
        [35, 0, 20, 0, 0, 0],
    ];
    assert_eq!(table, expected);
    assert_eq!(plan.record(AssetId(9), &weeks), None);
}

#[test]
fn a_what_if_changes_nothing() {
    let network = network(&bikes());
    let now = Situation { demands: vec![demand(1, BIKE, 10, 20)], ..idle() };
    let calculate = |situation: &Situation| {
        let plan = counterfoil_core::production::mrp::calculate(&network, situation).expect("a plan");
        (orders(&plan), shortages(&plan))
    };
    let before = calculate(&now);
    let sooner = Situation { demands: vec![demand(1, BIKE, 10, 4)], calendar: every_day(), ..idle() };
    assert_eq!(calculate(&sooner).1, ["demand 1: 0 of 10 by 4, all by 6"]);
    assert_eq!(calculate(&now), before);
}
