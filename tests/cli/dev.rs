//! A whole cluster by `counterfoil dev`, used through `ctl`, `replay` and `bench`, with its leader killed.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use serde_json::Value;

use crate::cluster::{Dev, free_ports};
use crate::recording::Recording;

const BUY: [&str; 11] =
    ["order", "place", "--account", "1001", "--market", "AAPL/USD", "--side", "buy", "--quantity", "10", "--limit"];
const SELL: [&str; 11] =
    ["order", "place", "--account", "1002", "--market", "AAPL/USD", "--side", "sell", "--quantity", "4", "--limit"];

#[test]
fn a_cluster_is_brought_up_traded_on_killed_at_and_picked_up_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_ports();
    let mut dev = Dev::start(folder.path(), port);
    trades_settle(&dev);
    refusals_are_told(&dev);
    recorded_flow_is_reproduced_while_the_leader_dies(&mut dev, folder.path());
    load_is_measured(&dev);

    let before = dev.ctl(&["balance", "list", "--account", "1001"]);
    dev.stop();
    let (code, report, _) = dev.run(&["verify", folder.path().join("node-1").to_str().expect("a plain path")]);
    assert_eq!(code, 0, "{report}");
    let dev = Dev::start(folder.path(), port);
    assert_eq!(dev.ctl(&["balance", "list", "--account", "1001"])["balances"], before["balances"]);
}

fn trades_settle(dev: &Dev) {
    let bought = dev.ctl(&[&BUY[..], &["187.23", "--id", "b1"]].concat());
    assert_eq!(bought["order"]["status"], "NEW");
    let sold = dev.ctl(&[&SELL[..], &["187.20", "--id", "51"]].concat());
    assert_eq!((&sold["order"]["status"], &sold["order"]["filled"]), (&Value::from("FILLED"), &Value::from(4)));
    assert_eq!(sold["order"]["filled_notional"], 4 * 18_723, "at the maker's price");
    let again = dev.ctl(&[&SELL[..], &["187.20", "--id", "51"]].concat());
    assert_eq!((&again["duplicate"], &again["order"]), (&Value::from(true), &sold["order"]));
    let (code, table, _) = dev.run(&["ctl", "book", "AAPL/USD"]);
    assert!(code == 0 && table.contains("187.23") && table.contains("AAPL/USD at sequence"), "{table}");
    let (_, trades, _) = dev.run(&["ctl", "trade", "list", "--market", "AAPL/USD"]);
    assert!(trades.contains("187.23") && trades.contains("sell"), "{trades}");
    let order = dev.ctl(&["order", "get", "c:b1", "--account", "1001"]);
    assert_eq!(order["order"]["open"], 6);
    let until = sold["position"]["sequence"].to_string();
    let (_, events, _) = dev.run(&["ctl", "watch", "--from", "1", "--to", &until, "--market", "AAPL/USD"]);
    assert!(events.contains("order accepted"), "{events}");
}

fn refusals_are_told(dev: &Dev) {
    let (code, _, error) = dev.run(&[&["ctl"], &BUY[..], &["187.231"]].concat());
    assert!(code == 2 && error.contains("--limit"), "excess digits: {error}");
    let (code, _, error) = dev.run(&[&["ctl"], &BUY[..], &["187.24", "--id", "b1"]].concat());
    assert!(code == 3 && error.contains("ID_REUSED"), "{error}");
    let (code, _, error) = dev.run(&["ctl", "asset", "get", "NONE"]);
    assert!(code == 1 && error.contains("NOT_FOUND"), "{error}");
    let transfer = ["ctl", "transfer", "create", "--debit", "1001", "--credit", "1002", "--asset", "USD", "--amount"];
    let (code, _, error) = dev.run(&[&transfer[..], &["99999999.99"]].concat());
    assert!(code == 3 && error.contains("INSUFFICIENT_AVAILABLE"), "{error}");
}

fn recorded_flow_is_reproduced_while_the_leader_dies(dev: &mut Dev, folder: &Path) {
    let recording = Recording::make(11, 300, 20_000);
    let day = folder.join("day.zip");
    recording.write("TEST", &day);
    let day = day.to_str().expect("a plain path");
    // Slow enough that the leader dies in the middle: a second of the market in a fifth.
    let play = ["replay", "--format", "lobster", "--check", "--output", "json", "--speed", "5", day];
    let leader = dev.ctl(&["cluster", "status"])["leader_id"].as_u64().expect("a leader");
    let pid = dev.pid_of(leader);
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(1_500));
        kill(pid, Signal::SIGKILL).expect("the leader runs");
    });
    let (code, out, error) = dev.run(&play);
    killer.join().expect("the leader was killed");
    assert_eq!(code, 0, "{out}{error}");
    let first: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(first["events"], recording.events, "{first:#}");
    assert_eq!(first["sides_equal"], first["sides_total"], "{first:#}");
    assert_eq!(first["rejected"], 0, "{first:#}");
    assert_eq!(first["assets_sum_to_zero"], true, "{first:#}");
    assert_eq!(first["book_equal"], true, "{first:#}");
    dev.wait_for(&format!("node {leader}: ended"));
    dev.wait_for(&format!("node {leader}: pid"));
    // The same day again is the same commands: every one was answered before, with the same answer.
    let (code, out, error) = dev.run(&["replay", "--format", "lobster", "--check", "--output", "json", day]);
    assert_eq!(code, 0, "{out}{error}");
    let again: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(again["duplicates"], again["commands"], "{again:#}");
    assert_eq!(again["makers_equal"], first["makers_equal"], "{again:#}");
}

fn load_is_measured(dev: &Dev) {
    let postings = ["postings", "--read-from", "followers"];
    for workload in [&["transfers"][..], &["orders"], &["production"], &postings] {
        let bench = ["bench", "--clients", "2", "--seconds", "1", "--warm-up", "0", "--output", "json", "--workload"];
        let (code, out, error) = dev.run(&[&bench[..], workload].concat());
        assert_eq!(code, 0, "{out}{error}");
        let report: Value = serde_json::from_str(&out).expect("JSON");
        assert!(report["commands"].as_u64() > Some(0), "{report:#}");
        assert_eq!(report["errors"], 0, "{report:#}");
        assert!(report["latency_us"]["p50"].as_u64() <= report["latency_us"]["max"].as_u64(), "{report:#}");
    }
}
