//! What the command line takes, what it refuses, and with which exit code; no cluster is needed.

use std::path::Path;
use std::process::{Command, Output};

fn counterfoil(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_counterfoil"))
        .args(arguments)
        .env_remove("COUNTERFOIL_ENDPOINT")
        .output()
        .expect("the binary runs")
}

/// Fails with this exit code, and says something that contains `words`.
fn refuses(arguments: &[&str], code: i32, words: &str) {
    let output = counterfoil(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert!(said.contains(words), "{arguments:?}: {said}");
}

#[test]
fn every_subcommand_tells_what_it_takes() {
    for subcommand in ["dev", "serve", "config", "ctl", "replay", "bench", "verify", "completions"] {
        let output = counterfoil(&[subcommand, "--help"]);
        assert!(output.status.success(), "{subcommand}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("Usage: counterfoil"), "{subcommand}");
    }
}

#[test]
fn bad_usage_is_refused_before_anything_happens() {
    refuses(&["ctl", "order", "place", "--account", "one"], 2, "--account");
    refuses(&["ctl", "account", "freeze", "7", "--id", "xyz"], 2, "hexadecimal");
    refuses(&["ctl", "account", "get", "7", "--consistency", "soon"], 2, "linearizable");
    refuses(&["ctl", "order", "cancel", "c:zz", "--account", "1"], 2, "client order id");
    refuses(&["bench", "--batch", "9000"], 2, "8190");
    refuses(&["bench", "--seconds", "18446744073709551615"], 2, "86400");
    refuses(&["bench", "--warm-up", "18446744073709551615"], 2, "86400");
    refuses(&["ctl", "--timeout", "18446744073709551615", "asset", "list"], 2, "86400");
    refuses(&["dev", "--nodes", "0"], 2, "--nodes");
    refuses(&["replay", "--format", "lobster", "--speed", "0", "day.zip"], 2, "--speed");
}

#[test]
fn an_option_that_would_do_nothing_is_refused() {
    for read in [&["ctl", "asset", "list"][..], &["ctl", "order", "get", "1"], &["ctl", "cluster", "status"]] {
        refuses(&[read, &["--id", "5"]].concat(), 2, "--id");
    }
    for other in [&["ctl", "account", "close", "1"][..], &["ctl", "cluster", "status"], &["ctl", "watch"]] {
        refuses(&[other, &["--consistency", "stale"]].concat(), 2, "--consistency");
    }
}

#[test]
fn production_takes_dates_quantities_and_lots_that_are_ones() {
    let plan = |start| {
        let create =
            ["ctl", "production", "work-order", "create", "--plant", "W", "--product", "CART", "--quantity", "1"];
        [&create[..], &["--location", "1", "--start", start, "--due", "2026-12-01"]].concat()
    };
    refuses(&plan("2026-11-31"), 2, "a date is written as");
    refuses(&["ctl", "production", "plant", "calendar", "W", "--weekdays", "mon,day"], 2, "one of mon, tue");
    refuses(&["ctl", "production", "bom", "get", "CART"], 2, "--bom-version");
    refuses(&["ctl", "inventory", "lots", "--asset", "GLUE"], 2, "--location");
    refuses(&["ctl", "inventory", "scrap", "--location", "1", "--asset", "A", "--quantity", "1"], 2, "--reason");
}

#[test]
fn two_prices_of_one_order_are_refused() {
    let place = ["ctl", "order", "place", "--account", "1", "--market", "1", "--side", "buy", "--quantity", "1"];
    refuses(&[&place[..], &["--limit", "1", "--budget", "2"]].concat(), 2, "cannot be used with");
}

#[test]
fn a_cluster_that_is_not_there_is_an_error_in_time() {
    let started = std::time::Instant::now();
    refuses(&["ctl", "--endpoint", "127.0.0.1:1", "--timeout", "1", "cluster", "status"], 1, "no answer within 1s");
    assert!(started.elapsed() < std::time::Duration::from_secs(5));
    for bad in ["http://", "127.0.0.1:7401,garbage", "https://127.0.0.1:7401"] {
        refuses(&["ctl", "--endpoint", bad, "cluster", "status"], 1, "is not an endpoint");
    }
}

#[test]
fn a_missing_file_is_named() {
    refuses(&["replay", "--format", "lobster", "no-such-day.zip"], 1, "no-such-day.zip");
    refuses(&["verify", "no-such-folder"], 1, "no-such-folder");
    refuses(&["serve", "--config", "no-such.toml"], 1, "no-such.toml");
}

#[test]
fn a_configuration_is_checked_and_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("node.toml");
    let path = |file: &Path| file.to_str().expect("a plain path").to_owned();
    std::fs::write(&file, "[raft]\nheartbeat_ms = 20\n").expect("a file");
    assert!(counterfoil(&["config", "check", "--config", &path(&file)]).status.success());
    let shown = counterfoil(&["config", "show", "--config", &path(&file), "--set", "node.runtime_threads=7"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("heartbeat_ms = 20") && shown.contains("runtime_threads = 7"), "{shown}");
    std::fs::write(&file, "[raft]\nheart_beat = 20\n").expect("a file");
    refuses(&["config", "check", "--config", &path(&file)], 1, "heart_beat");
    refuses(&["config", "check", "--set", "raft.heartbeat_ms=never"], 1, "raft.heartbeat_ms");
}

#[test]
fn shells_are_given_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let output = counterfoil(&["completions", shell]);
        assert!(output.status.success() && output.stdout.len() > 1_000, "{shell}");
    }
}
