//! Many seeds: one process each, a few at a time; first the check that a seed always does the same.

use std::collections::VecDeque;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use counterfoil::checker::Verdict;
use serde_json::{Value, json};

use crate::Arguments;
use crate::world::{Outcome, told};

/// Seeds of the check of determinism, each run twice.
const TWICE: u64 = 3;
/// How long those runs last, in simulated seconds.
const TWICE_SECONDS: u64 = 15;
/// A process that takes longer in real time for a simulated second stands still, in milliseconds.
const PATIENCE_PER_SECOND_MS: u64 = 3_000;
/// What a process may take besides, in milliseconds.
const PATIENCE_MS: u64 = 60_000;
/// Between two looks at the processes.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Makes the product make this mistake. Returns whether there is such a one in this build.
#[cfg(feature = "planted")]
pub fn plant(name: &str) -> bool {
    counterfoil::core::planted::plant(name)
}

/// Makes the product make this mistake: this build has none.
#[cfg(not(feature = "planted"))]
pub fn plant(_: &str) -> bool {
    false
}

fn mistakes() -> Vec<&'static str> {
    if cfg!(feature = "planted") { counterfoil::core::planted::names() } else { Vec::new() }
}

/// Prints what became of one seed, as one line of JSON. The exit status says whether it is ok.
pub fn tell(seed: u64, outcome: &Outcome, trace: (u64, u64), took: Duration) -> ExitCode {
    let verdict = outcome.verdict();
    let report = &outcome.report;
    let found: Vec<String> = report.kept.iter().map(ToString::to_string).collect();
    let line = json!({
        "seed": seed,
        "verdict": verdict.to_string(),
        "wrong": outcome.wrong,
        "violations": found,
        "quiet": outcome.quiet,
        "acknowledged": report.acknowledged,
        "unknown": report.unknown,
        "reads": report.reads,
        "records": report.records,
        "faults": outcome.seen.faults.values().sum::<u64>(),
        "kinds": told(&outcome.seen.faults),
        "leader_changes": outcome.seen.leader_changes,
        "simulated_ms": outcome.simulated_ms,
        "real_ms": took.as_millis() as u64,
        "trace": format!("{:016x}", trace.0),
        "events": trace.1,
    });
    println!("{line}");
    if verdict == Verdict::Ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One seed's process.
struct Running {
    seed: u64,
    core: usize,
    child: Child,
    until: Instant,
    /// What it prints and what it says besides, read as it comes: a full pipe would hold it up.
    texts: [JoinHandle<String>; 2],
}

/// What became of a seed.
struct Done {
    seed: u64,
    /// The line it printed; null when it did not come so far.
    line: Value,
    /// What it said besides, in its end.
    said: String,
}

impl Done {
    fn verdict(&self) -> &str {
        self.line["verdict"].as_str().unwrap_or("died")
    }

    fn is_ok(&self) -> bool {
        self.verdict() == "ok"
    }

    fn why(&self) -> String {
        let words =
            |key: &str| self.line[key].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        let all: Vec<String> = words("wrong").chain(words("violations")).take(3).collect();
        let all = if all.is_empty() { words("quiet").collect() } else { all };
        if self.line.is_null() { self.said.clone() } else { all.join("; ") }
    }

    fn number(&self, key: &str) -> u64 {
        self.line[key].as_u64().unwrap_or(0)
    }
}

/// The arguments of one seed's process.
fn words(seed: u64, seconds: u64, planted: Option<&str>) -> Vec<String> {
    let mut words = vec!["--seed".to_owned(), seed.to_string(), "--seconds".to_owned(), seconds.to_string()];
    if let Some(name) = planted {
        words.extend(["--planted".to_owned(), name.to_owned()]);
    }
    words
}

fn start(seed: u64, core: usize, seconds: u64, planted: Option<&str>, messages: bool) -> std::io::Result<Running> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(words(seed, seconds, planted))
        .args(["--quiet", "--core", &core.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if messages {
        command.arg("--messages");
    }
    // A process that panicked says why in its last lines; the stack is not needed for that.
    let mut child = command.env("RUST_BACKTRACE", "0").spawn()?;
    let texts = [read(child.stdout.take()), read(child.stderr.take())];
    let patience = Duration::from_millis(PATIENCE_MS + seconds * PATIENCE_PER_SECOND_MS);
    Ok(Running { seed, core, child, until: Instant::now() + patience, texts })
}

/// Reads a pipe to its end, on a thread.
fn read(pipe: Option<impl std::io::Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn finish(running: Running) -> Done {
    let [out, said] = running.texts.map(|text| text.join().unwrap_or_default());
    let line = out.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or(Value::Null);
    // The first panic is the cause of those behind it.
    let said = said.lines().skip_while(|line| !line.contains("panicked at")).take(3).collect::<Vec<_>>().join(" ");
    Done { seed: running.seed, line, said }
}

/// Runs these seeds, `jobs` at a time, and hands over each as it ends, until `enough` says so.
fn run_all(
    seeds: impl Iterator<Item = u64>,
    jobs: usize,
    start: impl Fn(u64, usize) -> std::io::Result<Running>,
    mut enough: impl FnMut(Done) -> bool,
) {
    let mut waiting: VecDeque<u64> = seeds.collect();
    let mut running: Vec<Running> = Vec::new();
    let mut stop = false;
    while !(running.is_empty() && (waiting.is_empty() || stop)) {
        while running.len() < jobs
            && !stop
            && let Some(seed) = waiting.pop_front()
        {
            let free = (0..jobs).find(|core| running.iter().all(|other| other.core != *core));
            match start(seed, free.unwrap_or(0)) {
                Ok(begun) => running.push(begun),
                Err(error) => stop = enough(Done { seed, line: Value::Null, said: error.to_string() }),
            }
        }
        let mut at = 0;
        while at < running.len() {
            let ended = matches!(running[at].child.try_wait(), Ok(Some(_)) | Err(_));
            if !ended && (stop || Instant::now() > running[at].until) {
                let _ = running[at].child.kill();
                let _ = running[at].child.wait();
                let stood = running.swap_remove(at);
                if !stop {
                    stop = enough(Done { seed: stood.seed, line: Value::Null, said: "it stood still".to_owned() });
                }
            } else if ended {
                stop |= enough(finish(running.swap_remove(at)));
            } else {
                at += 1;
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn jobs(arguments: &Arguments) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    arguments.jobs.unwrap_or(processors).max(1)
}

/// Runs all seeds of the arguments.
pub fn run(arguments: &Arguments) -> ExitCode {
    if !is_deterministic(arguments) {
        return ExitCode::FAILURE;
    }
    match arguments.planted.as_deref() {
        Some("all") => table(arguments),
        planted => seeds(arguments, planted),
    }
}

/// Runs a few seeds twice. Without this the rest means nothing.
fn is_deterministic(arguments: &Arguments) -> bool {
    let mut traces: Vec<(u64, String)> = Vec::new();
    let mut died = None;
    let twice = (0..TWICE).flat_map(|seed| [arguments.first + seed; 2]);
    run_all(
        twice,
        jobs(arguments),
        |seed, core| start(seed, core, TWICE_SECONDS, None, true),
        |done| {
            match done.line["trace"].as_str() {
                Some(trace) => traces.push((done.seed, trace.to_owned())),
                None => died = Some(format!("seed {}: {}", done.seed, done.said)),
            }
            false
        },
    );
    if let Some(died) = died {
        println!("FAILED  {died}");
        return false;
    }
    traces.sort();
    let differ: Vec<u64> = traces.chunks(2).filter(|pair| pair[0] != pair[1]).map(|pair| pair[0].0).collect();
    if differ.is_empty() {
        println!("deterministic: {TWICE} seeds of {TWICE_SECONDS} s twice, equal traces");
    } else {
        println!("FAILED  the same seed did not do the same: {differ:?}");
    }
    differ.is_empty()
}

fn seeds(arguments: &Arguments, planted: Option<&str>) -> ExitCode {
    let began = Instant::now();
    let (mut all, mut ok, mut simulated_ms) = (0, 0, 0);
    let mut sums = std::collections::BTreeMap::new();
    let seeds = arguments.first..arguments.first + arguments.seeds;
    run_all(
        seeds,
        jobs(arguments),
        |seed, core| start(seed, core, arguments.seconds, planted, false),
        |done| {
            all += 1;
            simulated_ms += done.number("simulated_ms");
            for key in ["acknowledged", "reads", "faults", "leader_changes", "unknown"] {
                *sums.entry(key).or_insert(0) += done.number(key);
            }
            if done.is_ok() {
                ok += 1;
            } else {
                println!("{:7} seed {}: {}", done.verdict().to_uppercase(), done.seed, done.why());
                println!("        again: cargo sim {}", words(done.seed, arguments.seconds, planted).join(" "));
            }
            if all % 10 == 0 {
                let rate = simulated_ms as f64 / began.elapsed().as_millis() as f64;
                println!("{all} of {} seeds, {ok} ok, {rate:.1} simulated seconds a second", arguments.seeds);
            }
            false
        },
    );
    let rate = simulated_ms as f64 / began.elapsed().as_millis() as f64;
    println!(
        "{ok} of {all} seeds ok in {:.0} s ({rate:.1} simulated seconds a second): {sums:?}",
        began.elapsed().as_secs_f64()
    );
    if ok == all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How many seeds each planted mistake takes to be found.
fn table(arguments: &Arguments) -> ExitCode {
    let mistakes = mistakes();
    if mistakes.is_empty() {
        println!("this build has no planted mistakes: `cargo sim-planted`");
        return ExitCode::FAILURE;
    }
    println!("| mistake | seeds | how it was found |\n| --- | --- | --- |");
    let mut all_found = true;
    for name in mistakes {
        let mut tried = 0;
        let mut found: Option<Done> = None;
        let seeds = arguments.first..arguments.first + arguments.seeds;
        // One at a time, so that the number is the number of seeds and not of processes.
        run_all(
            seeds,
            1,
            |seed, core| start(seed, core, arguments.seconds, Some(name), false),
            |done| {
                tried += 1;
                if done.verdict() == "failed" || done.verdict() == "died" {
                    found = Some(done);
                }
                found.is_some()
            },
        );
        match found {
            Some(done) => println!(
                "| {name} | {tried} | {} |",
                done.why().replace('|', "/").chars().take(160).collect::<String>()
            ),
            None => {
                all_found = false;
                println!("| {name} | not in {tried} | |");
            }
        }
    }
    if all_found { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
