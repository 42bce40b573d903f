//! A plan over bills of materials of others, held against an explosion that is written down here: every line of
//! demand alone, depth first, from the files themselves.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::cluster::{Dev, free_ports};
use crate::imports::data;

/// Quantities of the files, and of assets of whatever scale, in hundred-thousandths.
const PLACES: u32 = 5;

/// What the files say, by the number or name that they know a part by.
#[derive(Default)]
struct Files {
    names: BTreeMap<String, String>,
    /// What one of a part takes.
    lines: BTreeMap<String, Vec<(String, u64)>>,
    stock: BTreeMap<String, u64>,
    /// In cents.
    costs: BTreeMap<String, u64>,
}

/// A decimal of the files without its point.
fn fixed(text: &str, places: u32) -> u64 {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part = part.trim_end_matches('0');
    let digits = format!("{whole}{part}{}", "0".repeat(places as usize - part.len()));
    digits.parse().expect("a decimal")
}

impl Files {
    fn read(folder: &std::path::Path) -> Self {
        let rows = |name: &str| -> Vec<Vec<String>> {
            let mut file = csv::Reader::from_path(folder.join(name)).expect("a file");
            let rows =
                file.records().map(|row| row.expect("a row").iter().map(|cell| cell.trim().to_owned()).collect());
            rows.collect()
        };
        let mut files = Self::default();
        for row in rows("inventree_demo_bom.csv") {
            files.names.insert(row[0].clone(), row[1].clone());
            files.names.insert(row[2].clone(), row[3].clone());
            files.lines.entry(row[0].clone()).or_default().push((row[2].clone(), fixed(&row[4], PLACES)));
        }
        for row in rows("inventree_demo_stock.csv") {
            files.names.insert(row[0].clone(), row[1].clone());
            files.stock.insert(row[0].clone(), fixed(&row[2], PLACES));
        }
        files.names.insert("ROVER".to_owned(), "ROVER".to_owned());
        for row in rows("open_source_rover_bom.csv") {
            let part = if row[3].is_empty() { row[2].clone() } else { row[3].clone() };
            files.names.entry(part.clone()).or_insert(row[2].clone());
            files.names.insert(row[0].clone(), row[0].clone());
            files.costs.insert(part.clone(), fixed(&row[4], 2));
            let assemblies = files.lines.entry("ROVER".to_owned()).or_default();
            if assemblies.iter().all(|(name, _)| *name != row[0]) {
                assemblies.push((row[0].clone(), fixed(&row[1], PLACES)));
            }
            files.lines.entry(row[0].clone()).or_default().push((part, fixed(&row[5], PLACES)));
        }
        files
    }

    /// The code of each part's asset: its name, or as much of it as fits before its number where several have it.
    fn codes(&self, assets: &BTreeMap<String, (u64, u32)>) -> BTreeMap<String, String> {
        let written = |text: &str| text.replace(' ', "-").replace(|letter: char| !letter.is_ascii_graphic(), "_");
        let code = |(part, name): (&String, &String)| {
            let numbered = assets.keys().find(|code| code.ends_with(&format!(".{}", written(part))));
            let code = numbered.cloned().unwrap_or_else(|| written(name));
            assert!(assets.contains_key(&code), "{part} {name} is none of the assets");
            (part.clone(), code)
        };
        let codes: BTreeMap<String, String> = self.names.iter().map(code).collect();
        let mut all: Vec<&String> = codes.values().collect();
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[0] != pair[1]), "each part is an asset of its own");
        codes
    }

    /// Takes a quantity of a part for a line of demand: what is left in stock first, the rest is made or bought.
    fn take(&self, part: &str, quantity: u64, line: u64, taken: &mut Taken) {
        *taken.needed.entry((part.to_owned(), line)).or_default() += quantity;
        let left = taken.left.entry(part.to_owned()).or_insert_with(|| self.stock.get(part).copied().unwrap_or(0));
        let to_order = quantity - quantity.min(*left);
        *left -= quantity.min(*left);
        if to_order == 0 {
            return;
        }
        *taken.ordered.entry((part.to_owned(), line)).or_default() += to_order;
        for (component, each) in self.lines.get(part).into_iter().flatten() {
            let needed = u128::from(to_order) * u128::from(*each);
            assert_eq!(needed % 10_u128.pow(PLACES), 0, "{component} of {part} would have to be rounded");
            self.take(component, (needed / 10_u128.pow(PLACES)) as u64, line, taken);
        }
    }

    fn is_made(&self, part: &str) -> bool {
        self.lines.contains_key(part)
    }
}

/// What lines of demand take, by part and line.
#[derive(Default)]
struct Taken {
    needed: BTreeMap<(String, u64), u64>,
    ordered: BTreeMap<(String, u64), u64>,
    left: BTreeMap<String, u64>,
}

/// Every asset by code: its id and scale.
fn assets(dev: &Dev) -> BTreeMap<String, (u64, u32)> {
    let all = dev.ctl(&["asset", "list", "--limit", "0"]);
    let all = all["assets"].as_array().expect("assets").iter();
    let code = |asset: &Value| asset["code"].as_str().expect("a code").to_owned();
    all.map(|asset| (code(asset), (number(&asset["asset_id"]), number(&asset["scale"]) as u32))).collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().expect("a list")
}

/// What pegs say, by the plan's line; they must add up, and all be told apart.
fn by_line(pegs: &Value, plan: u64, whole: u64) -> BTreeMap<u64, u64> {
    let mut lines = BTreeMap::new();
    for peg in list(pegs) {
        assert_eq!(number(&peg["plan_line"]["plan_id"]), plan, "{peg}");
        *lines.entry(number(&peg["plan_line"]["line_id"])).or_default() += number(&peg["quantity"]);
    }
    assert_eq!(lines.values().sum::<u64>(), whole, "pegs add up: {pegs}");
    lines
}

const ROVERS: u64 = 25;
const MASTERS: u64 = 10;
const MASTER: &str = "113";
/// 2027-02-01 and 2027-03-01, a Monday each, in days since 1970.
const DUE: [u64; 2] = [20_850, 20_878];

#[test]
fn a_plan_over_bills_of_others_requires_what_a_slow_explosion_says() {
    let Some(folder) = data() else { return };
    let files = Files::read(&folder);
    let file = |name: &str| folder.join(name).to_str().expect("a plain path").to_owned();
    let scratch = tempfile::tempdir().expect("a folder");
    let mut dev = Dev::start(scratch.path(), free_ports());
    let (bom, stock) = (file("inventree_demo_bom.csv"), file("inventree_demo_stock.csv"));
    let rover = file("open_source_rover_bom.csv");
    let import = ["production", "import", "--plant", "DEMO", "--product", "ROVER", "--lead-days", "5"];
    let imported = dev.ctl(&[&import[..], &["--bom", &bom, "--bom", &rover, "--stock", &stock]].concat());
    let location = imported["location_id"].to_string();
    let assets = assets(&dev);
    let codes = files.codes(&assets);

    // What one of each takes, whatever is there.
    let mut alone = Taken::default();
    let without = Files { stock: BTreeMap::new(), ..Files::read(&folder) };
    without.take(MASTER, 10_u64.pow(PLACES), 1, &mut alone);
    let parts = alone.needed.iter().filter(|((part, _), _)| !files.is_made(part));
    let units: Vec<u64> = parts.map(|(_, quantity)| *quantity).collect();
    assert_eq!((units.len(), units.iter().sum::<u64>()), (72, 3_267 * 10_u64.pow(PLACES)));

    // The plan: masters first, then rovers and more masters on one day.
    let created = dev.ctl(&["production", "plan", "create", "--plant", "DEMO", "--name", "SPRING"]);
    let plan = number(&created["position"]["sequence"]);
    let demand = [(1, MASTER, MASTERS - 4, DUE[0]), (2, "ROVER", ROVERS, DUE[1]), (3, MASTER, 4, DUE[1])];
    let dates = BTreeMap::from([(DUE[0], "2027-02-01"), (DUE[1], "2027-03-01")]);
    let mut add = vec!["production".to_owned(), "plan".to_owned(), "add".to_owned(), "SPRING".to_owned()];
    for (line, part, quantity, due) in demand {
        add.extend(["--demand".to_owned(), format!("{}={quantity},due={},line={line}", codes[part], dates[&due])]);
    }
    dev.ctl(&add.iter().map(String::as_str).collect::<Vec<_>>());
    let mut taken = Taken::default();
    for (line, part, quantity, _) in demand {
        files.take(part, quantity * 10_u64.pow(PLACES), line, &mut taken);
    }

    let ask = ["production", "plan", "requirements", "SPRING", "--on", "2027-01-04"];
    let found = dev.ctl(&ask);
    assert!(!["items_truncated", "orders_truncated"].iter().any(|key| found[key] == true));
    assert_eq!(list(&found["shortages"]).len(), 0, "there is time enough");
    let mut needed = BTreeMap::new();
    let mut ordered = BTreeMap::new();
    let part_of: BTreeMap<u64, (&String, u32)> =
        codes.iter().map(|(part, code)| (assets[code].0, (part, assets[code].1))).collect();
    for item in list(&found["items"]) {
        let (part, scale) = part_of[&number(&item["item_id"])];
        let unit = 10_u64.pow(PLACES - scale);
        assert_eq!(number(&item["available"]) * unit, files.stock.get(part).copied().unwrap_or(0), "{part}");
        let mut left = number(&item["available"]);
        for bucket in list(&item["buckets"]) {
            assert_eq!(number(&bucket["unpegged"]), 0, "{part}");
            for (line, quantity) in by_line(&bucket["pegs"], plan, number(&bucket["gross"])) {
                *needed.entry((part.clone(), line)).or_default() += quantity * unit;
            }
            assert_eq!(number(&bucket["net"]), number(&bucket["gross"]).saturating_sub(left), "{part}");
            assert_eq!(number(&bucket["net"]), number(&bucket["planned_receipts"]), "{part}");
            left = left + number(&bucket["planned_receipts"]) - number(&bucket["gross"]);
            assert_eq!(number(&bucket["projected"]), left, "{part}");
        }
    }
    for order in list(&found["orders"]) {
        let (part, scale) = part_of[&number(&order["item_id"])];
        assert_eq!(order["version"].is_u64(), files.is_made(part), "{part}");
        let lead = number(&order["due_day"]) - number(&order["release_day"]);
        assert_eq!(lead, if files.is_made(part) { 0 } else { 5 }, "{part}");
        for (line, quantity) in by_line(&order["pegs"], plan, number(&order["quantity"])) {
            assert_eq!(number(&order["due_day"]), demand[line as usize - 1].3, "{part}");
            *ordered.entry((part.clone(), line)).or_default() += quantity * 10_u64.pow(PLACES - scale);
        }
    }
    assert_eq!(needed, taken.needed);
    assert_eq!(ordered, taken.ordered);
    // Stock covered some of it whole and some in part, of what is bought and of what is made.
    let covered = |made: bool, whole: bool| {
        let of_kind = taken.needed.iter().filter(|((part, _), _)| files.is_made(part) == made);
        let left = of_kind.map(|(key, needed)| (*needed, taken.ordered.get(key).copied().unwrap_or(0)));
        left.filter(|(needed, ordered)| if whole { *ordered == 0 } else { 0 < *ordered && ordered < needed }).count()
    };
    let kinds = [covered(true, true), covered(true, false), covered(false, true), covered(false, false)];
    assert!(kinds.iter().all(|count| *count > 0), "{kinds:?}");
    // What is bought for the rovers is what they cost.
    let cost = |(part, line): &(String, u64), quantity: u64| match files.costs.get(part) {
        Some(cost) if *line == 2 => u128::from(quantity) * u128::from(*cost),
        _ => 0,
    };
    let cents: u128 = ordered.iter().map(|(key, quantity)| cost(key, *quantity)).sum();
    assert_eq!(cents, 10_u128.pow(PLACES) * u128::from(ROVERS) * 125_331);

    // Firmed, all of it is under way, and the plan's purchases are what was to be bought.
    let firm = ["production", "plan", "firm", "SPRING", "--on", "2027-01-04", "--location", &location, "--id", "f1"];
    let firmed = dev.ctl(&firm);
    assert_eq!(dev.ctl(&firm)["position"], firmed["position"], "sent again it is answered, not done again");
    assert_eq!(list(&dev.ctl(&ask)["orders"]).len(), 0);
    let purchases = dev.ctl(&["production", "purchase", "list", "DEMO", "--plan", "SPRING", "--limit", "0"]);
    let mut bought = BTreeMap::new();
    for purchase in list(&purchases["purchases"]) {
        let (part, scale) = part_of[&number(&purchase["item_id"])];
        *bought.entry(part.clone()).or_default() += number(&purchase["quantity"]) * 10_u64.pow(PLACES - scale);
    }
    let mut to_buy = BTreeMap::<String, u64>::new();
    for ((part, _), quantity) in taken.ordered.iter().filter(|((part, _), _)| !files.is_made(part)) {
        *to_buy.entry(part.clone()).or_default() += quantity;
    }
    assert_eq!(bought, to_buy);
    let made = list(&found["orders"]).iter().filter(|order| order["version"].is_u64()).count() as u64;
    assert_eq!(number(&dev.ctl(&["production", "state", "DEMO"])["planned_count"]), made);
    firms_more_orders_than_one_command_takes(&dev, &codes[MASTER], &location);
    dev.stop();
}

/// A product a day, for so many days that its orders take several commands; they are one firming all the same.
fn firms_more_orders_than_one_command_takes(dev: &Dev, product: &str, location: &str) {
    dev.ctl(&["production", "plan", "create", "--plant", "DEMO", "--name", "SUMMER"]);
    let due = |day: u32| format!("{product}=1,due=2027-{:02}-{:02}", 6 + day / 28, 1 + day % 28);
    let demand: Vec<String> = (0..84).flat_map(|day| ["--demand".to_owned(), due(day)]).collect();
    let demand: Vec<&str> = demand.iter().map(String::as_str).collect();
    dev.ctl(&[&["production", "plan", "add", "SUMMER"], &demand[..]].concat());
    let shown = dev.ctl(&["production", "plan", "show", "SUMMER"]);
    let lines: Vec<u64> = list(&shown["lines"]).iter().map(|line| number(&line["line_id"])).collect();
    assert_eq!(lines, (1..=84).collect::<Vec<_>>(), "lines number themselves");

    let ask = ["production", "plan", "requirements", "SUMMER", "--on", "2027-04-01", "--buckets", "1"];
    let to_order = list(&dev.ctl(&ask)["orders"]).len();
    assert!(to_order > 2_000, "{to_order} orders");
    let before = number(&dev.ctl(&["production", "state", "DEMO"])["planned_count"]);
    let firm = ["production", "plan", "firm", "SUMMER", "--on", "2027-04-01", "--location", location, "--id", "f2"];
    let (code, said, error) = dev.run(&[&["ctl"], &firm[..]].concat());
    let (made, bought) = said.lines().last().and_then(|line| line.split_once(" to make, ")).expect("a sum");
    let made: usize = made.trim().parse().expect("a number");
    let bought: usize = bought.trim_end_matches(" to buy").parse().expect("a number");
    assert_eq!((code, made + bought), (0, to_order), "{said}{error}");
    assert_eq!(number(&dev.ctl(&["production", "state", "DEMO"])["planned_count"]), before + made as u64);
    assert_eq!(list(&dev.ctl(&ask)["orders"]).len(), 0);
    assert_eq!(dev.ctl(&firm)["rejection"], Value::Null, "sent again it is answered as before");
    let listed = dev.ctl(&["production", "plan", "list", "--plant", "DEMO"]);
    let states: Vec<&Value> = list(&listed["plans"]).iter().map(|plan| &plan["state"]).collect();
    assert_eq!(states, ["FIRMED", "FIRMED"]);
    assert!(list(&listed["plans"]).iter().all(|plan| plan["firming_computed_at"] == 0), "none is firmed in part");
}
