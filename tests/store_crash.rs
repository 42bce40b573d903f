//! Kills a process that writes log and journal, at random moments, and looks at what it left:
//! nothing that was acknowledged is lost, nothing is there that was never written.
//!
//! The test runs itself again as the process to kill. `COUNTERFOIL_KILLS` sets how often.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use counterfoil::core::event::{Event, EventBody, OrderCancelled, Record};
use counterfoil::core::types::{
    AccountId, CancelReason, LogIndex, MarketId, OrderId, Quantity, Sequence, Stamp, Term, Timestamp,
};
use counterfoil::store::journal::{Journal, JournalOptions};
use counterfoil::store::log::{Done, Log, LogEntry, LogOptions};
use counterfoil::store::{Position, StoreError};

const KILLS_DEFAULT: u64 = 40;
const KILLS_VARIABLE: &str = "COUNTERFOIL_KILLS";
const FOLDER_VARIABLE: &str = "COUNTERFOIL_CRASH_FOLDER";
const KEEP_VARIABLE: &str = "COUNTERFOIL_CRASH_KEEP";
const TERM_VARIABLE: &str = "COUNTERFOIL_CRASH_TERM";
/// A child that was not killed by then ends itself, so that none is left behind.
const CHILD_LIFE: Duration = Duration::from_secs(20);
/// How many of the last events are compared after a kill; all of them after every fiftieth.
const EVENTS_COMPARED: u64 = 20_000;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn from_clock() -> Self {
        Self(SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64))
    }
}

/// Small segments, so that they are sealed, purged and used again all the time.
fn log_options() -> LogOptions {
    LogOptions { segment_bytes: 64 << 10, cache_bytes: 4 << 10, ..LogOptions::default() }
}

fn entry(term: u64, index: u64) -> LogEntry {
    let mut random = Random(term << 40 ^ index);
    let len = random.below(700);
    let bytes: Vec<u8> = (0..len).map(|_| random.below(256) as u8).collect();
    LogEntry { position: Position { term: Term(term), index: LogIndex(index) }, bytes: Bytes::from(bytes) }
}

fn record(sequence: u64) -> Record {
    let mut random = Random(sequence);
    let count = 1 + random.below(3);
    let event = |order| {
        let body = EventBody::OrderCancelled(OrderCancelled {
            order: OrderId(order),
            account: AccountId(1),
            market: MarketId(1),
            open: Quantity(sequence),
            reason: CancelReason::Requested,
        });
        Event { body, postings_end: 0 }
    };
    Record {
        sequence: Sequence(sequence),
        stamp: Stamp { term: Term(1), index: LogIndex(sequence), time: Timestamp(sequence) },
        origin: None,
        events: (0..count).map(|_| event(random.below(1 << 30))).collect(),
        postings: Vec::new(),
    }
}

/// One line to the parent, whole and at once: what is acknowledged, or about to be given up.
fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(format!("\n@{line}\n").as_bytes()).and_then(|()| out.flush());
    if written.is_err() {
        std::process::exit(0);
    }
}

fn variable(name: &str) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or_default()
}

/// The process to kill; does nothing in a usual test run.
#[test]
fn child() {
    let Ok(folder) = std::env::var(FOLDER_VARIABLE) else { return };
    let folder = std::path::PathBuf::from(folder);
    let journal_folder = folder.join("journal");
    std::thread::spawn(move || write_journal(&journal_folder, Sequence(variable(KEEP_VARIABLE))));
    std::thread::spawn(move || write_log(&folder.join("log"), variable(TERM_VARIABLE)));
    std::thread::sleep(CHILD_LIFE);
    std::process::exit(0);
}

fn write_journal(folder: &Path, keep: Sequence) {
    let mut journal = Journal::open(folder, JournalOptions::default(), keep).expect("the journal opens");
    let mut random = Random::from_clock();
    let flusher = journal.flusher();
    loop {
        for _ in 0..random.below(400) {
            journal.append(record(journal.last_sequence().0 + 1).view());
        }
        if random.below(3) == 0 {
            flusher.write_out().expect("written");
        } else {
            let synced = flusher.sync(journal.last_sequence()).expect("synced");
            tell(&format!("journal {synced}"));
        }
    }
}

fn write_log(folder: &Path, life: u64) {
    let (log, writer) = Log::open(folder, log_options()).expect("the log opens");
    std::thread::spawn(move || writer.run().expect("the log runs"));
    let mut random = Random::from_clock();
    let mut next = log.bounds().last.map_or(0, |last| last.index.0 + 1);
    let mut term = life * 1000;
    let mut vote = log.vote().map_or(0, number);
    let (answer, answers) = mpsc::channel();
    loop {
        let mut asked = 0;
        for _ in 0..=random.below(12) {
            asked += 1;
            if random.below(10) == 0 {
                vote += 1;
                log.save_vote(
                    Bytes::copy_from_slice(&vote.to_le_bytes()),
                    acknowledge(&answer, format!("vote {vote}")),
                );
                continue;
            }
            let end = next + 1 + random.below(6);
            let line = format!("entries {next} {end} {term}");
            log.append((next..end).map(|index| entry(term, index)).collect(), acknowledge(&answer, line));
            next = end;
        }
        for _ in 0..asked {
            answers.recv().expect("every call is answered");
        }
        if random.below(8) == 0 {
            give_up_some(&log, &mut random, &mut next, &mut term, acknowledge(&answer, "given up".to_owned()));
            answers.recv().expect("every call is answered");
        }
    }
}

fn acknowledge(answer: &mpsc::Sender<()>, line: String) -> Done {
    let answer = answer.clone();
    Box::new(move |result: Result<(), StoreError>| {
        result.expect("no fault");
        tell(&line);
        let _ = answer.send(());
    })
}

/// Truncates or purges; tells first, since the entries may be gone at any moment from then on.
fn give_up_some(log: &Log, random: &mut Random, next: &mut u64, term: &mut u64, done: Done) {
    let first = log.bounds().purged.map_or(0, |purged| purged.index.0 + 1);
    let held = *next - first;
    if random.below(2) == 0 && held > 20 {
        let last = *next - 1 - random.below(10);
        let position = log.position_of(LogIndex(last)).expect("no fault");
        tell(&format!("truncate {last}"));
        *next = last + 1;
        *term += 1;
        return log.truncate_after(position, done);
    }
    let upto = first + held / 2;
    match log.position_of(LogIndex(upto)).expect("no fault") {
        Some(position) => {
            tell(&format!("purge {upto}"));
            log.purge_to(position, done);
        }
        None => done(Ok(())),
    }
}

fn number(bytes: Bytes) -> u64 {
    bytes[..].try_into().map_or(0, u64::from_le_bytes)
}

/// What the child has promised.
#[derive(Debug, Default)]
struct Promised {
    terms: BTreeMap<u64, u64>,
    purged_max: Option<u64>,
    vote: u64,
    journal: u64,
    lines: u64,
}

impl Promised {
    fn hear(&mut self, line: &str) {
        let mut words = line.split(' ');
        let what = words.next().unwrap_or_default();
        let numbers: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
        self.lines += 1;
        match (what, &numbers[..]) {
            ("entries", &[from, to, term]) => self.terms.extend((from..to).map(|index| (index, term))),
            ("truncate", &[last]) => self.terms.retain(|&index, _| index <= last),
            ("purge", &[upto]) => {
                self.terms.retain(|&index, _| index > upto);
                self.purged_max = self.purged_max.max(Some(upto));
            }
            ("given", &[]) => {}
            ("vote", &[vote]) => self.vote = vote,
            ("journal", &[synced]) => self.journal = synced,
            _ => panic!("the child says {line:?}"),
        }
    }

    fn check_log(&self, folder: &Path) {
        let (log, _writer) = Log::open(folder, log_options()).expect("the log opens");
        assert!(log.vote().map_or(0, number) >= self.vote, "the vote is lost");
        let bounds = log.bounds();
        assert!(bounds.purged.map(|purged| purged.index.0) <= self.purged_max, "{bounds:?}");
        let found = log.read(LogIndex(0), LogIndex(u64::MAX), usize::MAX).expect("read");
        for pair in found.windows(2) {
            assert_eq!(pair[0].position.index.0 + 1, pair[1].position.index.0);
        }
        let found: BTreeMap<u64, LogEntry> = found.into_iter().map(|found| (found.position.index.0, found)).collect();
        for (index, found) in &found {
            assert_eq!(*found, entry(found.position.term.0, *index), "entry {index} is not what was written");
        }
        for (index, term) in &self.terms {
            let found = found.get(index).map(|found| found.position.term.0);
            assert_eq!(found, Some(*term), "entry {index} was acknowledged; {bounds:?}");
        }
    }

    fn check_journal(&self, folder: &Path, whole: bool) {
        let keep = Sequence(self.journal);
        let journal = Journal::open(folder, JournalOptions::default(), keep).expect("the journal opens");
        assert_eq!(journal.last_sequence(), keep);
        let from = if whole { 1 } else { keep.0.saturating_sub(EVENTS_COMPARED).max(1) };
        let reader = journal.reader();
        let mut next = reader.record_at(Sequence(from)).expect("read").map_or(Sequence(1), |record| record.sequence);
        while next <= keep {
            for found in reader.read(next, usize::MAX, 1 << 20).expect("read") {
                assert_eq!(found, record(next.0));
                next = found.view().last_sequence().plus(1);
            }
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_it_acknowledged() {
    let kills = std::env::var(KILLS_VARIABLE).map_or(KILLS_DEFAULT, |kills| kills.parse().expect("a number"));
    let folder = tempfile::tempdir().expect("a folder");
    let mut random = Random::from_clock();
    let mut promised = Promised::default();
    let mut quiet = 0;
    for kill in 1..=kills {
        let before = promised.lines;
        live_and_die(folder.path(), kill, &mut promised, Duration::from_millis(random.below(120)));
        quiet += u64::from(promised.lines == before);
        promised.check_log(&folder.path().join("log"));
        promised.check_journal(&folder.path().join("journal"), kill % 50 == 0 || kill == kills);
    }
    assert!(quiet * 2 < kills, "{quiet} of {kills} were killed before they did anything");
    println!("{kills} kills, {} acknowledgements, {} events", promised.lines, promised.journal);
}

/// Runs the child, and kills it so long after its first word.
fn live_and_die(folder: &Path, life: u64, promised: &mut Promised, delay: Duration) {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "child", "--nocapture", "--test-threads", "1"])
        .env(FOLDER_VARIABLE, folder)
        .env(KEEP_VARIABLE, promised.journal.to_string())
        .env(TERM_VARIABLE, life.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child starts");
    let out = child.stdout.take().expect("a pipe");
    let mut lines = BufReader::new(out).lines();
    // The first line comes from the test runner: now the child is about to open its files.
    let _ = lines.next();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(delay);
        child.kill().expect("killed");
        child.wait().expect("ended")
    });
    for line in lines.map_while(Result::ok) {
        if let Some(line) = line.strip_prefix('@') {
            promised.hear(line);
        }
    }
    let status = killer.join().expect("no panic");
    assert!(status.code().is_none(), "the child ended by itself: {status}");
}
