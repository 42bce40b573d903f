//! What a user of production meets who makes mistakes: each is refused, says what is wrong, and leaves nothing
//! behind.

use std::path::Path;

use serde_json::Value;

use crate::cluster::{Dev, free_ports};

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Runs `ctl` with what stands in one line.
fn does(dev: &Dev, line: &str) -> Value {
    dev.ctl(&line.split_whitespace().collect::<Vec<_>>())
}

/// The same, which must be refused; answers what is said of it.
fn refused(dev: &Dev, line: &str) -> String {
    let (code, said, error) = dev.run(&["ctl"].into_iter().chain(line.split_whitespace()).collect::<Vec<_>>());
    assert_ne!(code, 0, "{line}: {said}");
    error
}

fn last_event(dev: &Dev) -> u64 {
    number(&does(dev, "asset list")["position"]["sequence"])
}

/// Writes a file of bills of materials.
fn bom(folder: &Path, name: &str, rows: &[&str]) -> String {
    let path = folder.join(name);
    let header = "parent_id,parent,child_id,child,qty,optional,consumable,reference";
    std::fs::write(&path, format!("{header}\n{}\n", rows.join("\n"))).expect("a file");
    path.to_str().expect("a plain path").to_owned()
}

/// A plant that makes carts of wheels, a market of wheels, and a plan.
fn shop(dev: &Dev) {
    for line in [
        "account create --account-id 20",
        "account create --account-id 30 --issuer",
        "account create --account-id 33 --issuer",
        "production plant define --plant-id 1 --name WORKS --production 30 --scrap 30 --adjustment 30 --locations 20",
        "asset create --asset-id 50 --code WHEEL --scale 0 --kind material",
        "asset create --asset-id 51 --code CART --scale 0 --kind product",
        "production item define --asset WHEEL --source buy --currency USD --lot-tracked",
        "production item define --asset CART --source make --currency USD",
        "production bom define --product CART --bom-version 1 --line WHEEL=4",
        "market create --market-id 40 --symbol WHEEL/USD --base WHEEL --quote USD --tick 0.01 --lot 1 --fee-account 2 \
         --quantity-max 1000 --notional-max 100000",
        "inventory receive --location 20 --asset WHEEL --quantity 8 --from 33 --lot W-1",
        "production plan create --plant WORKS --name SPRING --id a1",
        "production plan add SPRING --demand CART=4,due=2027-02-01",
    ] {
        does(dev, line);
    }
}

#[test]
fn mistakes_are_refused_by_name_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut dev = Dev::start(folder.path(), free_ports());
    shop(&dev);
    ids_are_used_once(&dev);
    a_purchase_is_bought_by_an_order_that_buys_it(&dev);
    orders_say_what_was_filled(&dev);
    lots_come_back_to_where_they_came_from(&dev);
    numbers_that_do_not_fit_name_their_item(&dev);
    imports_are_checked_whole(&dev);
    an_import_goes_on_when_what_was_refused_is_mended(&dev);
    dev.stop();
}

fn ids_are_used_once(dev: &Dev) {
    let firm = "production plan firm SPRING --on 2027-01-04 --location 20";
    let before = last_event(dev);
    assert!(refused(dev, &format!("{firm} --id a1")).contains("ID_REUSED"));
    assert_eq!(last_event(dev), before, "nothing was firmed");
    let firmed = does(dev, &format!("{firm} --id a2"));
    assert_eq!(does(dev, &format!("{firm} --id a2"))["position"], firmed["position"], "answered before");
    does(dev, "production plan create --plant WORKS --name OTHER --id a3");
    let other = refused(dev, "production plan firm OTHER --on 2027-01-04 --location 20 --id a2");
    assert!(other.contains("ID_REUSED"), "{other}");
}

fn purchase(dev: &Dev) -> Value {
    does(dev, "production purchase list WORKS")["purchases"][0].clone()
}

fn a_purchase_is_bought_by_an_order_that_buys_it(dev: &Dev) {
    let id = number(&purchase(dev)["purchase_id"]);
    for (terms, reason) in [
        ("--side buy --quantity 1 --limit 9000.00", "INSUFFICIENT_AVAILABLE"),
        ("--side sell --quantity 1 --limit 9.00", "NOT_THE_PURCHASE"),
        ("--side buy --quantity 5000 --limit 0.01", "QUANTITY_ABOVE_MAX"),
    ] {
        let error = refused(dev, &format!("order place --account 20 --market WHEEL/USD {terms} --purchase {id}"));
        assert!(error.contains(reason), "{terms}: {error}");
        assert_eq!(purchase(dev)["client_order_id"], "", "{terms} is no link");
    }
    does(dev, "transfer create --debit 1001 --credit 20 --asset USD --amount 500");
    let buy =
        format!("order place --account 20 --market WHEEL/USD --side buy --quantity 8 --limit 2.00 --purchase {id}");
    does(dev, &format!("{buy} --id b1"));
    assert!(refused(dev, &format!("{buy} --tif ioc --id b2")).contains("PURCHASE_LINKED"));
    assert_eq!(purchase(dev)["client_order_id"], "000000000000000000000000000000b1");
}

fn orders_say_what_was_filled(dev: &Dev) {
    does(dev, "order place --account 33 --market WHEEL/USD --side sell --quantity 3 --limit 2.00");
    let filled = |line: &str| {
        let (code, said, error) = dev.run(&["ctl"].into_iter().chain(line.split_whitespace()).collect::<Vec<_>>());
        assert_eq!(code, 0, "{said}{error}");
        said.lines().find_map(|line| line.trim().strip_prefix("filled ")).expect("a row").trim().to_owned()
    };
    assert_eq!(filled("order replace c:b1 --account 20 --quantity 7"), "3");
    assert_eq!(filled("order cancel c:b1 --account 20"), "3");
}

fn lots_come_back_to_where_they_came_from(dev: &Dev) {
    let dates = "--start 2027-01-11 --due 2027-01-13";
    does(dev, &format!("production work-order create --plant WORKS --product CART --quantity 1 --location 20 {dates}"));
    let list = does(dev, "production work-order list WORKS");
    let orders = list["work_orders"].as_array().expect("orders");
    let id = number(&orders.last().expect("one")["work_order_id"]);
    does(dev, &format!("production work-order release {id}"));
    does(dev, &format!("production work-order issue {id} --material WHEEL=4,lot=W-1"));
    let of = |lot: &str| format!("production work-order return {id} --material WHEEL=1{lot}");
    assert!(refused(dev, &of(",lot=W-9")).contains("LOT_NOT_ISSUED (WHEEL)"));
    does(dev, &of(""));
    let lots = does(dev, "inventory lots --asset WHEEL --location 20");
    assert_eq!(number(&lots["lots"][0]["quantity"]), 5, "{lots}");
    does(dev, &format!("production work-order complete {id} --good 1"));
    let state = does(dev, "production state WORKS");
    let short = state["shortages"].as_array().expect("a list").iter().filter(|it| it["work_order_id"] == id).count();
    assert_eq!(short, 0, "one that is completed lacks nothing: {state:#}");
}

fn numbers_that_do_not_fit_name_their_item(dev: &Dev) {
    let create =
        "production work-order create --plant WORKS --product CART --location 20 --start 2027-01-11 --due 2027-01-13";
    for quantity in ["9223372036854775807", "100000000000000000"] {
        let error = refused(dev, &format!("{create} --quantity {quantity}"));
        assert!(error.contains("OVERFLOW (CART)"), "{quantity}: {error}");
    }
    let error = refused(dev, "production bom explode CART --quantity 9223372036854775807 --on 2027-01-04");
    assert!(error.contains("WHEEL"), "{error}");
    let taken =
        "production plant define --plant-id 2 --name WORKS --production 30 --scrap 30 --adjustment 30 --locations 20";
    assert!(refused(dev, taken).contains("PLANT_NAME_TAKEN"));
}

fn imports_are_checked_whole(dev: &Dev) {
    let folder = tempfile::tempdir().expect("a folder");
    let import = |file: &str| format!("production import --plant WORKS --bom {file}");
    let table = "1,Table,2,Leg,4,False,False,";
    for (rows, wrong) in [
        (vec![table, "2,Leg,1,Table,1,False,False,"], "would need itself"),
        (vec![table, table], "line 3, parent_id: the same row stands before"),
        (vec![table, "1,Table,3,Top,0,False,False,"], "line 3, qty: is nothing"),
        (vec![table, "1,Table,3,WHEEL,0.5,False,False,"], "Table: "),
        (vec![table, "1,Table,3,USD,1,False,False,"], "USD is a currency"),
        // By what the ledger has besides: a cart needs wheels.
        (vec![table, "3,WHEEL,4,CART,1,False,False,"], "would need itself"),
    ] {
        let before = last_event(dev);
        let error = refused(dev, &import(&bom(folder.path(), "bad.csv", &rows)));
        assert!(error.contains(wrong), "{rows:?}: {error}");
        assert_eq!(last_event(dev), before, "{wrong}: nothing was sent");
    }
    // What somebody made by hand is used; the same again changes nothing.
    let file = bom(folder.path(), "good.csv", &[table, "1,Table,3,WHEEL,2,False,False,"]);
    let counts = does(dev, &import(&file));
    assert_eq!((number(&counts["assets_created"]), number(&counts["boms_defined"])), (2, 1), "{counts}");
    assert_eq!(number(&does(dev, "production bom get Table --bom-version 1")["bom"]["lines"][1]["component_id"]), 50);
    assert_eq!(number(&does(dev, &import(&file))["boms_defined"]), 0);
}

/// Of the parts of the import before.
fn an_import_goes_on_when_what_was_refused_is_mended(dev: &Dev) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("stock.csv");
    std::fs::write(&path, "part_id,part,qty,minimum_stock\n2,Leg,5,0\n").expect("a file");
    let import = format!("production import --plant WORKS --location 20 --stock {}", path.display());
    does(dev, "inventory receive --location 20 --asset Leg --quantity 10 --from 33");
    does(dev, "transfer create --debit 20 --credit 33 --asset Leg --amount 8 --pending --id e1");
    let on_hand = || number(&does(dev, "inventory on-hand WORKS --asset Leg")["stock"][0]["on_hand"]);
    for _ in 0..2 {
        assert!(refused(dev, &import).contains("Leg: INSUFFICIENT_AVAILABLE"));
        assert_eq!(on_hand(), 10);
    }
    does(dev, "transfer void e1");
    assert_eq!(number(&does(dev, &import)["balances_counted"]), 1);
    assert_eq!(on_hand(), 5);
    assert_eq!(number(&does(dev, &import)["balances_counted"]), 0, "it was counted before");
}
