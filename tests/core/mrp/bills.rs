//! Bills of materials alone: explosion, indented bills, where-used and standard cost, of a workshop of
//! our own and, where the folder is there, of real ones.

use std::collections::BTreeMap;
use std::path::Path;

use counterfoil_core::decimal;
use counterfoil_core::production::mrp::{
    ByProduct, CostError, Day, IndentedLine, Item, LotRule, Network, NetworkError, Operation, OrderContent, PlanError,
    Presence, PurchaseCost, Source,
};
use counterfoil_core::types::{Amount, AssetId, Quantity};

use crate::shop::{bill, bom, bought, every_day, line, made, network};

const LAMP: u32 = 1;
const SHADE: u32 = 2;
const STAND: u32 = 3;
const WIRE: u32 = 4;
const SCREW: u32 = 5;

/// A lamp has a shade, a stand and two metres of wire; both sub-assemblies have screws, which come in
/// bags of ten.
fn lamps() -> Vec<Item> {
    let mut screws = line(SCREW, 4);
    screws.multiple = Quantity(10);
    let mut stand = made(STAND, 1, &[(WIRE, 1)]);
    bill(&mut stand).lines.push(screws);
    vec![
        made(LAMP, 1, &[(SHADE, 1), (STAND, 1), (WIRE, 2)]),
        made(SHADE, 1, &[(SCREW, 3)]),
        stand,
        bought(WIRE, 1),
        bought(SCREW, 1),
    ]
}

#[test]
fn an_explosion_sums_what_is_shared() {
    let network = network(&lamps());
    let of = |lamps| -> Vec<(u32, u64, bool)> {
        let needs = network.explode(AssetId(LAMP), Quantity(lamps), Day(0)).expect("a lamp");
        needs.iter().map(|need| (need.item.0, need.quantity.0, need.leaf)).collect()
    };
    assert_eq!(of(1), [(LAMP, 1, false), (SHADE, 1, false), (STAND, 1, false), (WIRE, 3, true), (SCREW, 13, true)]);
    assert_eq!(of(5)[4], (SCREW, 15 + 20, true), "the bags of five stands are rounded once");
    let too_many = network.explode(AssetId(LAMP), Quantity(i64::MAX as u64), Day(0));
    assert_eq!(too_many, Err(PlanError::Overflow(AssetId(WIRE))));
    assert_eq!(network.explode(AssetId(9), Quantity(1), Day(0)), Err(PlanError::UnknownItem(AssetId(9))));
}

#[test]
fn an_indented_bill_shows_every_level_and_use() {
    let network = network(&lamps());
    let told = |depth_max| -> Vec<String> {
        let lines = network.indented(AssetId(LAMP), Quantity(10), Day(0), depth_max).expect("a lamp");
        let lines: Result<Vec<IndentedLine>, PlanError> = lines.collect();
        let tell =
            |line: &IndentedLine| format!("{}{} of {}", "  ".repeat(line.depth as usize), line.quantity, line.item);
        lines.expect("small quantities").iter().map(tell).collect()
    };
    assert_eq!(told(1), ["10 of 1", "  10 of 2", "  10 of 3", "  20 of 4"]);
    assert_eq!(
        told(u32::MAX),
        ["10 of 1", "  10 of 2", "    30 of 5", "  10 of 3", "    10 of 4", "    40 of 5", "  20 of 4"]
    );
    let mut too_many = network.indented(AssetId(LAMP), Quantity(i64::MAX as u64), Day(0), 9).expect("a lamp");
    assert_eq!(too_many.next(), Some(Err(PlanError::Overflow(AssetId(WIRE)))));
    assert_eq!(too_many.next(), None);
}

#[test]
fn where_used_goes_up_one_level_or_all() {
    let network = network(&lamps());
    let uses = network.where_used(AssetId(SCREW)).expect("a screw");
    assert_eq!(uses.map(|of| (of.parent.0, of.quantity.0)).collect::<Vec<_>>(), [(SHADE, 3), (STAND, 4)]);
    let all = |item| -> Vec<(u32, u32)> {
        let found = network.where_used_at_all(AssetId(item)).expect("an item");
        found.iter().map(|(levels, item)| (*levels, item.0)).collect()
    };
    assert_eq!(all(SCREW), [(1, SHADE), (1, STAND), (2, LAMP)]);
    assert_eq!(all(WIRE), [(1, LAMP), (1, STAND)], "a lamp has wire of its own");
    assert!(all(LAMP).is_empty());
}

#[test]
fn an_order_says_what_it_takes_and_gives() {
    let mut items = lamps();
    items[1].phantom = true;
    bill(&mut items[0]).by_products = vec![ByProduct { item: AssetId(WIRE), quantity: Quantity(1) }];
    bill(&mut items[0]).output = Quantity(4);
    let network = network(&items);
    let content = network.order_content(AssetId(LAMP), Quantity(10), Day(0), &every_day());
    let pair = |item, quantity| (AssetId(item), Quantity(quantity));
    assert_eq!(
        content,
        Ok(Some(OrderContent {
            version: 1,
            // A quarter of each for a lamp; three shades are nine screws.
            materials: vec![pair(STAND, 3), pair(WIRE, 5), pair(SCREW, 9)],
            by_products: vec![pair(WIRE, 2)],
            lead_days: 1,
        }))
    );
    assert_eq!(network.order_content(AssetId(SCREW), Quantity(1), Day(0), &every_day()), Ok(None));
}

fn purchases(costs: &[(u32, i64, u64)]) -> Vec<PurchaseCost> {
    let cost = |(item, amount, per): &(u32, i64, u64)| PurchaseCost {
        item: AssetId(*item),
        amount: Amount(*amount),
        per: Quantity(*per),
    };
    costs.iter().map(cost).collect()
}

#[test]
fn standard_cost_is_rolled_up_level_by_level() {
    let mut items = lamps();
    // An hour to set up and ten minutes a stand, at 36.00 an hour; stands are made by fives.
    let turning = Operation { setup_seconds: 3_600, run_seconds: 600, lead_days: 0, cost_per_hour: Amount(3_600) };
    bill(&mut items[2]).operations = vec![turning];
    items[2].lot = LotRule::Fixed(Quantity(5));
    let network = network(&items);
    // A metre of wire is 0.90; a hundred screws are 1.00.
    let costs = network.roll_up(&purchases(&[(WIRE, 90, 1), (SCREW, 100, 100)]), Day(0)).expect("small costs");
    let of = |item: u32| costs[item as usize - 1].expect("all costs are known");
    assert_eq!(of(SCREW).total.of(Quantity(1)), Ok(Amount(1)));
    assert_eq!(of(SHADE).total.fraction(), (3, 1));
    // Five stands: 5 m of wire and 20 screws are 4.70; 110 minutes are 66.00.
    assert_eq!(of(STAND).lot, Quantity(5));
    assert_eq!(of(STAND).materials.fraction(), (94, 1));
    assert_eq!(of(STAND).operations.fraction(), (1_320, 1));
    assert_eq!(of(LAMP).total.of(Quantity(1)), Ok(Amount(3 + 1_414 + 180)));
    // Nobody knows what a lamp costs without the wire.
    let unknown = network.roll_up(&purchases(&[(SCREW, 100, 100)]), Day(0)).expect("small costs");
    let known: Vec<bool> = unknown.iter().map(Option::is_some).collect();
    assert_eq!(known, [false, true, false, false, true]);
    let bad = |costs| network.roll_up(&purchases(costs), Day(0)).err();
    assert_eq!(bad(&[(SCREW, -1, 1)]), Some(CostError::BadPurchaseCost(AssetId(SCREW))));
    assert_eq!(bad(&[(SCREW, 1, 0)]), Some(CostError::BadPurchaseCost(AssetId(SCREW))));
    assert_eq!(bad(&[(9, 1, 1)]), Some(CostError::UnknownItem(AssetId(9))));
}

#[test]
fn what_is_no_network_is_refused() {
    let error = |items: Vec<Item>| Network::new(items).err();
    let id = AssetId;
    assert_eq!(error(vec![bought(1, 0), bought(1, 0)]), Some(NetworkError::DuplicateItem(id(1))));
    let unknown = NetworkError::UnknownItem { parent: id(1), named: id(2) };
    assert_eq!(error(vec![made(1, 0, &[(2, 1)])]), Some(unknown));
    let cycle = vec![made(1, 0, &[(2, 1)]), made(2, 0, &[(3, 1)]), made(3, 0, &[(2, 1), (4, 1)]), bought(4, 0)];
    let Some(NetworkError::Cycle(path)) = error(cycle) else {
        panic!("2 and 3 contain one another");
    };
    assert!(path == [id(2), id(3)] || path == [id(3), id(2)], "{path:?}");
    assert_eq!(error(vec![made(1, 0, &[(1, 1)])]), Some(NetworkError::Cycle(vec![id(1)])));
    // A line that is left out today can be chosen tomorrow.
    let mut left_out = made(1, 0, &[(1, 1)]);
    bill(&mut left_out).lines[0].presence = Presence::LeftOut;
    assert_eq!(error(vec![left_out]), Some(NetworkError::Cycle(vec![id(1)])));
    let with = |change: &dyn Fn(&mut Item)| {
        let mut item = made(1, 0, &[]);
        change(&mut item);
        error(vec![item])
    };
    assert_eq!(with(&|item| item.source = Source::Make(Vec::new())), Some(NetworkError::NoBom(id(1))));
    assert_eq!(with(&|item| bill(item).output = Quantity(0)), Some(NetworkError::NoOutput(id(1))));
    assert_eq!(with(&|item| item.lot = LotRule::Fixed(Quantity(0))), Some(NetworkError::EmptyLot(id(1))));
    let step = LotRule::Multiple { minimum: Quantity(1), multiple: Quantity(0) };
    assert_eq!(with(&|item| item.lot = step), Some(NetworkError::EmptyLot(id(1))));
    let too_large = Some(NetworkError::QuantityTooLarge(id(1)));
    assert_eq!(with(&|item| item.safety_stock = Quantity(1 << 63)), too_large);
    assert_eq!(with(&|item| bill(item).output = Quantity(1 << 63)), too_large);
    let twice = Source::Make(vec![bom(0, Vec::new()), bom(1, Vec::new())]);
    assert_eq!(with(&|item| item.source = twice.clone()), Some(NetworkError::SameEffectiveDay(id(1), Day(i32::MIN))));
    assert_eq!(
        with(&|item| bill(item).operations[0].cost_per_hour = Amount(-1)),
        Some(NetworkError::NegativeCost(id(1)))
    );
    assert_eq!(error(vec![Item { phantom: true, ..bought(1, 0) }]), Some(NetworkError::BoughtPhantom(id(1))));
}

/// A chain of more items than any stack has room for.
#[test]
fn no_network_is_too_deep() {
    const DEEP: u32 = 300_000;
    let mut items: Vec<Item> = (1..DEEP).map(|id| made(id, 0, &[(id + 1, 1)])).collect();
    items.push(bought(DEEP, 0));
    let network = network(&items);
    assert_eq!(network.level(AssetId(DEEP)), Some(DEEP - 1));
    let needs = network.explode(AssetId(1), Quantity(2), Day(0)).expect("small quantities");
    assert_eq!(needs.last().map(|need| (need.item.0, need.quantity.0)), Some((DEEP, 2)));
    items[DEEP as usize - 1] = made(DEEP, 0, &[(1, 1)]);
    assert!(matches!(Network::new(items), Err(NetworkError::Cycle(path)) if path.len() == DEEP as usize));
}

/// Quantities of the real bills: so many decimal places.
const PLACES: u8 = 5;

fn shared(file: &str) -> Option<Vec<BTreeMap<String, String>>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/bom");
    let text = std::fs::read_to_string(folder.join(file)).ok()?;
    let mut rows = text.lines().map(fields);
    let names = rows.next().expect("a line of names");
    Some(rows.map(|row| names.iter().cloned().zip(row).collect()).collect())
}

/// The fields of a line; a comma between quotes does not divide.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            _ => fields.last_mut().expect("there is a field").push(letter),
        }
    }
    fields
}

#[test]
fn a_master_assembly_has_72_kinds_of_parts() {
    let Some(rows) = shared("inventree_demo_bom.csv") else {
        return;
    };
    let mut bills: BTreeMap<u32, Vec<(u32, u64)>> = BTreeMap::new();
    let mut master = None;
    for row in &rows {
        let id = |name: &str| row[name].parse::<u32>().expect("a part number");
        bills.entry(id("child_id")).or_default();
        let quantity = decimal::parse(&row["qty"], PLACES).expect("a decimal number");
        bills.entry(id("parent_id")).or_default().push((id("child_id"), quantity));
        if row["parent"] == "Master Assembly" {
            master = Some(id("parent_id"));
        }
    }
    let unit = 10_u64.pow(PLACES.into());
    let items: Vec<Item> = bills
        .iter()
        .map(|(id, lines)| {
            let mut item = if lines.is_empty() { bought(*id, 0) } else { made(*id, 0, lines) };
            if item.source != (Source::Buy { lead_days: 0 }) {
                bill(&mut item).output = Quantity(unit);
            }
            item
        })
        .collect();
    let made = items.iter().filter(|item| matches!(item.source, Source::Make(_))).count();
    assert_eq!((rows.len(), made), (228, 20));
    let network = network(&items);
    let master = AssetId(master.expect("a master assembly"));
    let needs = network.explode(master, Quantity(unit), Day(0)).expect("small quantities");
    let leaves: Vec<u64> = needs.iter().filter(|need| need.leaf).map(|need| need.quantity.0).collect();
    assert_eq!((leaves.len(), leaves.iter().sum::<u64>()), (72, 3_267 * unit));
}

#[test]
fn a_rover_costs_1_253_dollars_and_31_cents() {
    let Some(rows) = shared("open_source_rover_bom.csv") else {
        return;
    };
    let unit = 10_u64.pow(PLACES.into());
    let mut numbers: BTreeMap<String, u32> = BTreeMap::new();
    let mut assemblies: BTreeMap<String, (u64, Vec<(u32, u64)>)> = BTreeMap::new();
    let mut costs = Vec::new();
    for row in &rows {
        let next = numbers.len() as u32 + 100;
        let part = *numbers.entry(format!("{} {}", row["item"], row["part_no"])).or_insert(next);
        let cents = decimal::parse(&row["unit_cost_usd"], 2).expect("dollars and cents");
        costs.push((part, cents as i64, unit));
        let quantity = decimal::parse(&row["qty_per_assembly"], PLACES).expect("a decimal number");
        let multiplier = decimal::parse(&row["assembly_multiplier"], PLACES).expect("a decimal number");
        assemblies.entry(row["assembly"].clone()).or_insert((multiplier, Vec::new())).1.push((part, quantity));
    }
    assert_eq!(assemblies.len(), 5);
    let mut items: Vec<Item> = numbers.values().map(|part| bought(*part, 0)).collect();
    let mut rover = Vec::new();
    for (id, (multiplier, lines)) in (2..).zip(assemblies.values()) {
        items.push(made(id, 0, lines));
        rover.push((id, *multiplier));
    }
    items.push(made(1, 0, &rover));
    for item in items.iter_mut().filter(|item| item.id.0 < 100) {
        bill(item).output = Quantity(unit);
    }
    let costs = network(&items).roll_up(&purchases(&costs), Day(0)).expect("small costs");
    let rover = costs.iter().flatten().find(|cost| cost.item == AssetId(1)).expect("all costs are known");
    assert_eq!(rover.total.of(Quantity(unit)), Ok(Amount(125_331)));
}
