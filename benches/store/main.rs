//! What the store costs, part by part: `cargo bench --bench store`.
//!
//! On the disk that holds the scratch folder, each write synced where the store syncs it. The journal and the index are
//! kept by two threads of a node; here by one, so that a time is all that they cost.

#[path = "../core/flow.rs"]
#[allow(dead_code)]
mod flow;
mod parts;
#[path = "../../tests/core/support/rng.rs"]
#[allow(dead_code)]
mod rng;

use std::cell::LazyCell;
use std::hint::black_box;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use counterfoil::core::command::{CommandKey, Scope};
use counterfoil::core::types::{AccountId, CommandId};
use counterfoil::store::engine::{Engine, EngineOptions};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use flow::PER_PROPOSAL;
use parts::{Index, Journaling, Node, RunningLog, transfers};

/// Proposals that are made ahead; a longer run starts again in a new folder.
const AHEAD: usize = 3_000;

/// Entries of the log as a node's are: one transfer, a hundred, and as many as a proposal may hold.
const ENTRIES: [(&str, usize); 3] = [("1 transfer", 140), ("100 transfers", 11_000), ("800 transfers", 88_000)];

/// How many entries wait for the disk at once, when they do.
const UNDER_WAY: u64 = 16;

/// From the call to the sync that makes an entry durable.
fn log(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log");
    group.throughput(Throughput::Elements(1));
    for (name, bytes) in ENTRIES {
        for under_way in [1, UNDER_WAY] {
            group.bench_function(format!("append {name}, {under_way} under way"), |bencher| {
                bencher.iter_custom(|entries| {
                    let mut log = RunningLog::new(bytes);
                    let (done, synced) = mpsc::channel();
                    let begin = Instant::now();
                    for number in 0..entries {
                        log.append(done.clone());
                        if number >= under_way - 1 {
                            synced.recv().expect("the log thread runs").expect("synced");
                        }
                    }
                    for _ in 0..entries.min(under_way - 1) {
                        synced.recv().expect("the log thread runs").expect("synced");
                    }
                    begin.elapsed()
                });
            });
        }
    }
}

/// Times proposals of transfers, in order, each by `work` on what `new` makes; begins anew when they are used up.
fn rounds<T>(commands: u64, new: impl Fn() -> T, mut work: impl FnMut(&mut T, usize)) -> Duration {
    let mut left = commands.div_ceil(PER_PROPOSAL as u64) as usize;
    let rounded = left * PER_PROPOSAL;
    let mut spent = Duration::ZERO;
    while left > 0 {
        let mut made = new();
        let count = left.min(AHEAD);
        let begin = Instant::now();
        (0..count).for_each(|place| work(&mut made, place));
        spent += begin.elapsed();
        left -= count;
    }
    spent.mul_f64(commands as f64 / rounded as f64)
}

fn journal(criterion: &mut Criterion) {
    let (opening, transfers) = transfers(AHEAD);
    let new = || Journaling::after(&opening);
    let mut group = criterion.benchmark_group("journal");
    group.throughput(Throughput::Elements(1));
    group.bench_function("append a transfer, pack it and write it", |bencher| {
        let append = |journal: &mut Journaling, place: usize| {
            journal.append(&transfers[place]);
            journal.write_out();
        };
        bencher.iter_custom(|commands| rounds(commands, new, append));
    });
}

fn index(criterion: &mut Criterion) {
    let (opening, transfers) = transfers(AHEAD);
    let new = || Index::after(&opening);
    let mut group = criterion.benchmark_group("index");
    group.throughput(Throughput::Elements(1));
    group.bench_function("note a transfer", |bencher| {
        let note = |index: &mut Index, place: usize| index.note(&transfers[place]);
        bencher.iter_custom(|commands| rounds(commands, new, note));
    });
    group.bench_function("note a transfer, write it and merge it", |bencher| {
        let note = |index: &mut Index, place: usize| {
            index.note(&transfers[place]);
            index.write();
        };
        bencher.iter_custom(|commands| rounds(commands, new, note));
    });
    let mut index = new();
    for applied in &transfers {
        index.note(applied);
        index.write();
    }
    let used = (AHEAD * PER_PROPOSAL) as u128;
    for (name, first) in [("an id that was used", used / 2), ("an id above all", used * 2)] {
        let mut asked = 0;
        group.bench_function(format!("find {name}"), |bencher| {
            bencher.iter(|| {
                asked += 1;
                let id = CommandId(first + asked % (used / 4));
                let key = CommandKey { scope: Scope::Transfer, account: AccountId(0), id };
                black_box(index.find(&key))
            });
        });
    }
}

/// What the apply thread does with a proposal; the persister has a thread beside it.
fn engine(criterion: &mut Criterion) {
    let (opening, transfers) = transfers(AHEAD);
    let mut group = criterion.benchmark_group("engine");
    group.throughput(Throughput::Elements(1));
    group.bench_function("apply a transfer", |bencher| {
        let apply = |node: &mut Node, place: usize| node.apply(&transfers[place]);
        bencher.iter_custom(|commands| rounds(commands, || Node::after(&opening), apply));
    });
    let folder = LazyCell::new(|| Node::after(opening.iter().chain(&transfers)).close());
    group.bench_function(format!("open after {} transfers", AHEAD * PER_PROPOSAL), |bencher| {
        bencher.iter_custom(|times| {
            let mut spent = Duration::ZERO;
            for _ in 0..times {
                let begin = Instant::now();
                let opened = Engine::open(folder.path(), EngineOptions::default()).expect("opens");
                spent += begin.elapsed();
                drop(opened);
            }
            spent
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_secs(1));
    targets = log, journal, index, engine
}
criterion_main!(benches);
