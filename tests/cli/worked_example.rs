//! The worked example of docs/PRODUCTION.md, run as it stands there: every command of its console blocks
//! in order, against three nodes, with the leader killed where the page does it. What the page shows is what
//! the command line prints, but for random ids, times and places in the log.
//!
//! `UPDATE_GOLDEN=1 cargo test --test cli worked_example` writes what it prints now.

use std::fmt::Write as _;
use std::path::Path;

use crate::cluster::{Dev, free_ports};

/// One command and what is printed below it.
struct Step {
    command: String,
    shown: String,
}

/// The page, in parts: text that stays, and blocks that are run.
enum Part {
    Text(String),
    Console(Vec<Step>),
}

fn page() -> (std::path::PathBuf, Vec<Part>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/PRODUCTION.md");
    let text = std::fs::read_to_string(&path).expect("the page");
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut block: Option<Vec<Step>> = None;
    for line in text.lines() {
        match &mut block {
            None => {
                let _ = writeln!(plain, "{line}");
                if line == "```console" {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                    block = Some(Vec::new());
                }
            }
            Some(_) if line == "```" => {
                parts.extend(block.take().map(Part::Console));
                let _ = writeln!(plain, "{line}");
            }
            Some(steps) => match line.strip_prefix("$ ") {
                Some(command) => steps.push(Step { command: command.to_owned(), shown: String::new() }),
                None => {
                    let step = steps.last_mut().expect("a block begins with a command");
                    if step.command.ends_with('\\') {
                        let _ = write!(step.command, "\n{line}");
                    } else {
                        let _ = writeln!(step.shown, "{line}");
                    }
                }
            },
        }
    }
    assert!(block.is_none(), "a block does not end");
    parts.push(Part::Text(plain));
    (path, parts)
}

/// A line as its words, without what differs from run to run.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    for place in 0..words.len() {
        let word = words[place].as_str();
        let is_id = word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_time = word.len() == 12 && word.matches(':').count() == 2;
        if is_time {
            words[place - 1] = "DATE".to_owned();
        }
        if is_id || is_time || place > 0 && ["term", "index"].contains(&words[place - 1].as_str()) {
            words[place] = "VARIES".to_owned();
        }
    }
    words
}

fn same(shown: &str, printed: &str) -> bool {
    let lines = |text: &str| text.trim_end().lines().map(words).collect::<Vec<_>>();
    lines(shown) == lines(printed)
}

fn print(dev: &Dev, command: &str) -> String {
    let plain = command.replace("\\\n", " ");
    let arguments: Vec<&str> = plain.split_whitespace().collect();
    assert_eq!(arguments[0], "counterfoil", "{command}");
    let (code, out, error) = dev.run(&arguments[1..]);
    let refused = error.starts_with("counterfoil: refused");
    assert_eq!(code, if refused { 3 } else { 0 }, "{command}\n{out}{error}");
    out + &error
}

#[test]
fn the_worked_example_goes_as_the_page_says_although_the_leader_dies() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut dev = Dev::start(folder.path(), free_ports());
    let (path, mut parts) = page();
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let (mut commands, mut killed) = (0, Vec::new());
    for step in parts.iter_mut().flat_map(|part| match part {
        Part::Text(_) => [].iter_mut(),
        Part::Console(steps) => steps.iter_mut(),
    }) {
        if step.command.starts_with("kill -9 ") {
            killed.push(dev.kill_leader());
            continue;
        }
        let printed = print(&dev, &step.command);
        commands += 1;
        // A command that shows nothing is one whose answer is of no interest there.
        if step.shown.is_empty() || same(&step.shown, &printed) {
            continue;
        }
        assert!(update, "{}\nshows\n{}and prints\n{printed}", step.command, step.shown);
        step.shown = format!("{}\n", printed.trim_end());
    }
    assert!(commands > 30 && killed.len() == 1, "the page was read: {commands} commands, killed {killed:?}");
    for node in killed {
        dev.wait_for(&format!("node {node}: ended"));
        dev.wait_for(&format!("node {node}: pid"));
    }
    dev.stop();
    if update {
        let text = parts.iter().fold(String::new(), |mut text, part| {
            match part {
                Part::Text(plain) => text += plain,
                Part::Console(steps) => {
                    for Step { command, shown } in steps {
                        let _ = write!(text, "$ {command}\n{shown}");
                    }
                }
            }
            text
        });
        std::fs::write(path, text).expect("the page is written");
    }
}
