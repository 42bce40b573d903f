//! Bills of materials of others, imported through the command line into three nodes: the InvenTree demo data
//! set and the parts of the open-source rover. They are not part of this repository: where they are missing,
//! the test says so and passes.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cluster::{Dev, free_ports};

/// The folder of the files, where it is.
pub fn data() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/bom");
    if folder.exists() {
        return Some(folder);
    }
    eprintln!("SKIPPED: {} is not there; no bill of materials of others was imported", folder.display());
    None
}

/// The parts that are bought for a product, how many units of them in thousandths, and what they cost in cents.
fn needs(dev: &Dev, product: &str, quantity: &str) -> (usize, u64, u64) {
    let explode = ["production", "bom", "explode", product, "--quantity", quantity, "--on", "2026-12-01"];
    let answer = dev.ctl(&explode);
    let bought = |need: &&Value| need["leaf"] == true;
    let leaves: Vec<&Value> = answer["needs"].as_array().expect("needs").iter().filter(bought).collect();
    let units = |need: &&Value| {
        let asset = dev.ctl(&["asset", "get", &need["asset_id"].to_string()]);
        let scale = asset["asset"]["scale"].as_u64().expect("a scale") as u32;
        need["quantity"].as_u64().expect("a quantity") * 1_000 / 10_u64.pow(scale)
    };
    (leaves.len(), leaves.iter().map(units).sum(), answer["cost"].as_u64().expect("a cost"))
}

#[test]
fn bills_of_materials_of_others_are_imported_once_and_add_up() {
    let Some(data) = data() else { return };
    let file = |name: &str| data.join(name).to_str().expect("a plain path").to_owned();
    let folder = tempfile::tempdir().expect("a folder");
    let mut dev = Dev::start(folder.path(), free_ports());
    let import = ["production", "import", "--plant", "DEMO", "--product", "ROVER"];
    let (bom, stock) = (file("inventree_demo_bom.csv"), file("inventree_demo_stock.csv"));
    let rover = file("open_source_rover_bom.csv");
    let files = ["--bom", &bom, "--bom", &rover, "--stock", &stock];
    let first = dev.ctl(&[&import[..], &files].concat());
    let counted = |key: &str| first[key].as_u64().expect("a number");
    assert_eq!((counted("assets_created"), counted("boms_defined"), counted("balances_counted")), (414 + 51, 26, 414));

    // What happens meanwhile stands: the same files are no second count.
    let location = first["location_id"].to_string();
    let issue = ["inventory", "issue", "--location", &location, "--asset", "Doohickey", "--quantity", "2", "--to", "1"];
    dev.ctl(&issue);
    let again = dev.ctl(&[&import[..], &files].concat());
    for nothing in ["assets_created", "items_defined", "boms_defined", "balances_counted"] {
        assert_eq!(again[nothing], 0, "{again:#}");
    }
    let left = dev.ctl(&["inventory", "on-hand", "DEMO", "--asset", "Doohickey"]);
    assert_eq!(left["stock"][0]["on_hand"], 18);

    assert_eq!(needs(&dev, "Master-Assembly", "1"), (72, 3_267_000, 0));
    let (parts, _, cost) = needs(&dev, "ROVER", "1");
    assert_eq!((parts, cost), (45, 125_331));
    assert_eq!(needs(&dev, "ROVER", "25").2, 25 * 125_331);
    let costs = dev.ctl(&["production", "item", "cost", "ROVER", "--on", "2026-12-01"]);
    assert_eq!((&costs["costs"][0]["level"], &costs["costs"][0]["total"]), (&Value::from(0), &Value::from(125_331)));
    dev.stop();
}
