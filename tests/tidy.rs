//! The rules of the tree that a compiler does not check: which layer may name which, how pure the
//! core is, who touches files, who spawns, how long a file may be. Each rule stands with its reason.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Layers from the bottom up; each may name itself and what stands before it.
const LAYERS: &[(&str, &[&str])] = &[
    ("core", &["core"]),
    ("store", &["machine", "core", "store"]),
    ("replication", &["machine", "net", "core", "store", "replication", "proto"]),
    ("server", &["machine", "net", "core", "store", "replication", "server", "proto"]),
    ("client", &["machine", "net", "core", "client", "proto"]),
    ("checker", &["core", "server", "client", "checker"]),
];

/// What the core never names, since its outcome must follow from its input alone.
const IMPURE: &[&str] = &[
    "tokio",
    "tonic",
    "prost",
    "sled",
    "openraft",
    "tracing",
    "SystemTime",
    "Instant",
    "std::time",
    "std::fs",
    "std::net",
    "std::thread",
    "std::env",
    "std::process",
    "f32",
    "f64",
    "HashMap",
    "HashSet",
    "RandomState",
    "rand",
    "async",
    "unsafe",
    ".unwrap()",
    "println!",
    "static mut",
    "thread_local!",
];

/// Files that may be longer than [`LINES_MAX`], with the reason.
const LONG_FILES: &[(&str, &str)] = &[];

const LINES_MAX: usize = 600;

struct Source {
    /// Relative to the root, with forward slashes.
    path: String,
    text: String,
    /// Without comments and without the tests at the end of the file.
    code: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folders: &[&str]) -> Vec<Source> {
    let mut files = Vec::new();
    for folder in folders {
        walk(&root().join(folder), &mut files);
    }
    files.sort();
    assert!(!files.is_empty(), "the tree was found");
    files.into_iter().map(|file| read(&file)).collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

fn read(file: &Path) -> Source {
    let text = std::fs::read_to_string(file).expect("a source file is text");
    let path = file.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/");
    let product = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let code = product.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    Source { path, text, code }
}

/// Lines of `code` in which `word` stands by itself, not as a part of a longer name.
fn lines_with(code: &str, word: &str) -> Vec<usize> {
    let name = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let alone = |line: &str| {
        line.match_indices(word).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + word.len()..].chars().next();
            let starts = word.starts_with(|c: char| c.is_alphanumeric());
            let ends = word.ends_with(|c: char| c.is_alphanumeric());
            !(starts && name(before) || ends && name(after))
        })
    };
    code.lines().enumerate().filter(|(_, line)| alone(line)).map(|(number, _)| number + 1).collect()
}

fn expect_none(rule: &str, problems: &[String]) {
    let mut message = format!("{rule}\n");
    for problem in problems {
        let _ = writeln!(message, "  {problem}");
    }
    assert!(problems.is_empty(), "{message}");
}

#[test]
fn the_core_is_pure() {
    let mut problems = Vec::new();
    for source in sources(&["src/core"]) {
        for word in IMPURE {
            for line in lines_with(&source.code, word) {
                problems.push(format!("{}:{line} names {word}", source.path));
            }
        }
    }
    expect_none("The core has no clock, randomness, I/O, async, floats or hash order:", &problems);
}

#[test]
fn the_arrows_run_one_way() {
    let modules = [
        "machine",
        "net",
        "core",
        "store",
        "replication",
        "server",
        "client",
        "checker",
        "cli",
        "node",
        "config",
        "telemetry",
        "proto",
    ];
    let mut problems = Vec::new();
    for (layer, may) in LAYERS {
        for source in sources(&[&format!("src/{layer}")]) {
            for module in modules.iter().filter(|module| !may.contains(module)) {
                for line in lines_with(&source.code, &format!("crate::{module}")) {
                    problems.push(format!("{}:{line} names crate::{module}", source.path));
                }
            }
        }
    }
    expect_none("cli → server → replication → store → core, and never back:", &problems);
}

#[test]
fn generated_types_stay_at_the_edge() {
    let edge = ["src/proto.rs", "src/replication/", "src/server/", "src/client/", "src/cli/"];
    let mut problems = Vec::new();
    for source in sources(&["src"]) {
        if !edge.iter().any(|place| source.path.starts_with(place)) {
            for line in lines_with(&source.code, "crate::proto") {
                problems.push(format!("{}:{line}", source.path));
            }
        }
    }
    expect_none("Generated protobuf types are named where messages are read and written, nowhere else:", &problems);
}

#[test]
fn only_the_store_touches_files() {
    // The command line reads what its user names; the daemon's data is the store's alone.
    let allowed = ["src/store/", "src/cli/", "src/config", "src/main.rs"];
    let mut problems = Vec::new();
    for source in sources(&["src"]) {
        if allowed.iter().any(|place| source.path.starts_with(place)) {
            continue;
        }
        for word in ["std::fs", "tokio::fs", "File::open", "File::create", "OpenOptions"] {
            for line in lines_with(&source.code, word) {
                problems.push(format!("{}:{line} names {word}", source.path));
            }
        }
    }
    expect_none("One layer touches files, so that one layer can be given a failing disk:", &problems);
}

#[test]
fn what_can_be_simulated_goes_by_the_machine() {
    // The command line runs on the real machine alone; the store's tests run real threads.
    let allowed = ["src/cli/", "src/machine.rs", "src/main.rs", "src/store/tests/", "src/store/log/tests.rs"];
    let words = ["SystemTime::now", "task::spawn_blocking", "thread::spawn", "thread::Builder", "Condvar"];
    let mut problems = Vec::new();
    for source in sources(&["src"]) {
        if allowed.iter().any(|place| source.path.starts_with(place)) {
            continue;
        }
        for word in words {
            for line in lines_with(&source.code, word) {
                problems.push(format!("{}:{line} names {word}", source.path));
            }
        }
        for (number, line) in (1..).zip(source.code.lines()) {
            if line.contains("std::time") && line.contains("Instant") {
                problems.push(format!("{}:{number} names the system's Instant", source.path));
            }
        }
    }
    expect_none("Threads, waits and clocks are crate::machine's, or a seed does not do the same again:", &problems);
}

#[test]
fn every_queue_has_a_bound() {
    // The spare thread is given one task per segment that the log moves on to, and answers it once.
    let bounded_otherwise = ["src/store/log/writer.rs"];
    let mut problems = Vec::new();
    for source in sources(&["src"]) {
        if bounded_otherwise.contains(&source.path.as_str()) || source.path.ends_with("/tests.rs") {
            continue;
        }
        for word in ["unbounded_channel", "UnboundedSender", "mpsc::channel()", "mpsc::unbounded"] {
            for line in lines_with(&source.code, word) {
                problems.push(format!("{}:{line} uses {word}", source.path));
            }
        }
    }
    expect_none("Overload is answered, never queued without bound:", &problems);
}

#[test]
fn nothing_is_left_open() {
    let words = ["todo!", "unimplemented!", "dbg!", concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let mut problems = Vec::new();
    for source in sources(&["src", "tests"]).iter().filter(|source| source.path != "tests/tidy.rs") {
        for word in words {
            for line in lines_with(&source.text, word) {
                problems.push(format!("{}:{line} has {word}", source.path));
            }
        }
    }
    expect_none("What is named is built:", &problems);
}

#[test]
fn a_file_is_one_room() {
    let mut problems = Vec::new();
    for source in sources(&["src", "tests"]) {
        let lines = source.text.lines().count();
        if lines > LINES_MAX && !LONG_FILES.iter().any(|(path, _)| *path == source.path) {
            problems.push(format!("{} has {lines} lines", source.path));
        }
    }
    expect_none("A file above 600 lines holds more than one purpose:", &problems);
}

#[test]
fn a_file_begins_with_what_it_is_for() {
    let mut problems = Vec::new();
    for source in sources(&["src", "tests"]) {
        if !source.text.starts_with("//!") {
            problems.push(source.path);
        }
    }
    expect_none("The first line of a file says what lives there:", &problems);
}

#[test]
fn a_word_is_found_only_as_a_whole() {
    assert_eq!(lines_with("let operand = 1;\nuse rand::Rng;", "rand"), [2]);
    assert_eq!(lines_with("x.unwrap();\nx.unwrap_or(1);", ".unwrap()"), [1]);
    assert!(lines_with("use crate::core_types;", "crate::core").is_empty());
}
