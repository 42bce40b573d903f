//! What the core costs: `cargo bench -p counterfoil-core --bench core`.
//!
//! Everything is applied as a node applies it, in proposals of a hundred commands, but the lookup of
//! used ids, which is the store's. Times are per command.

mod flow;
#[path = "../../tests/core/support/rng.rs"]
#[allow(dead_code)]
mod rng;

use std::hint::black_box;
use std::time::{Duration, Instant};

use counterfoil_core::command::{Body, Proposal};
use counterfoil_core::types::Side;
use counterfoil_core::{Decode, Encode};
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};

use flow::{Desk, OrderFlow, PER_PROPOSAL, any_side, any_transfer, order};
use rng::Rng;

const ACCOUNTS: u64 = 10_000;
const MARKETS: u32 = 16;
/// Proposals that are made ahead; a longer run starts again with a new ledger.
const AHEAD: usize = 2_000;

/// Times `proposals`, applied in order to what `desk` makes; begins anew when they are used up.
fn replay(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, desk: impl Fn() -> Desk, proposals: &[Proposal]) {
    group.throughput(Throughput::Elements(1));
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|commands| {
            let mut left = commands.div_ceil(PER_PROPOSAL as u64) as usize;
            let rounded = left * PER_PROPOSAL;
            let mut spent = Duration::ZERO;
            while left > 0 {
                let mut desk = desk();
                let now = &proposals[..left.min(proposals.len())];
                let begin = Instant::now();
                for proposal in now {
                    black_box(desk.apply(proposal));
                }
                spent += begin.elapsed();
                left -= now.len();
            }
            spent.mul_f64(commands as f64 / rounded as f64)
        });
    });
}

fn transfers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transfers");
    for accounts in [ACCOUNTS, 1_000_000] {
        let mut rng = Rng::new(1);
        let mut maker = Desk::default();
        let mut proposals = Vec::with_capacity(AHEAD);
        for _ in 0..AHEAD {
            let bodies = (0..PER_PROPOSAL).map(|_| any_transfer(&mut rng, accounts)).collect();
            proposals.push(maker.proposal(bodies));
        }
        replay(&mut group, &format!("{accounts} accounts"), || Desk::new(accounts, 0), &proposals);
    }
}

fn orders(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("orders");
    for markets in [1, MARKETS] {
        let mut flow = OrderFlow::new(1, ACCOUNTS, markets);
        let mut maker = Desk::new(ACCOUNTS, markets);
        let resting = flow.fill(&mut maker, 100);
        let proposals = flow.proposals(&mut maker, AHEAD);
        let desk = || {
            let mut desk = Desk::new(ACCOUNTS, markets);
            for proposal in &resting {
                desk.apply(proposal);
            }
            desk
        };
        replay(&mut group, &format!("45 new, 45 cancel, 10 trade; {markets} markets"), desk, &proposals);
    }
}

/// A book as deep as this many orders, each at a price of its own, to the bottom of which orders are added.
fn depth(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("new order behind");
    for depth in [1_u64, 100, 10_000, 100_000] {
        let resting = |rng: &mut Rng, away| Body::NewOrder(order(rng, ACCOUNTS, 1, Side::Buy, away));
        let desk = || {
            let mut rng = Rng::new(2);
            let mut desk = Desk::new(ACCOUNTS, 1);
            for first in (0..depth).step_by(PER_PROPOSAL) {
                let last = depth.min(first + PER_PROPOSAL as u64);
                let bodies = (first..last).map(|away| resting(&mut rng, 1 + away as i64 % 99_000)).collect();
                let proposal = desk.proposal(bodies);
                desk.apply(&proposal);
            }
            desk
        };
        let mut maker = Desk::default();
        let mut rng = Rng::new(3);
        let proposals: Vec<Proposal> = (0..AHEAD / 10)
            .map(|_| {
                let away = |rng: &mut Rng| 1 + rng.below(depth.min(99_000)) as i64;
                let bodies = (0..PER_PROPOSAL)
                    .map(|_| {
                        let away = away(&mut rng);
                        resting(&mut rng, away)
                    })
                    .collect();
                maker.proposal(bodies)
            })
            .collect();
        replay(&mut group, &format!("{depth} orders"), desk, &proposals);
    }
}

fn bytes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bytes");
    group.throughput(Throughput::Elements(PER_PROPOSAL as u64));
    let mut rng = Rng::new(4);
    let mut desk = Desk::new(ACCOUNTS, 1);
    let transfers = (0..PER_PROPOSAL).map(|_| any_transfer(&mut rng, ACCOUNTS)).collect();
    let orders = (0..PER_PROPOSAL)
        .map(|_| {
            let side = any_side(&mut rng);
            Body::NewOrder(order(&mut rng, ACCOUNTS, 1, side, 5))
        })
        .collect();
    for (name, bodies) in [("transfers", transfers), ("orders", orders)] {
        let proposal = desk.proposal(bodies);
        let encoded = proposal.to_bytes();
        group.bench_function(format!("decode a proposal of {name}"), |bencher| {
            bencher.iter(|| Proposal::from_bytes(black_box(&encoded)));
        });
        group.bench_function(format!("decode a proposal of {name}, with fingerprints"), |bencher| {
            bencher.iter(|| Proposal::from_bytes_fingerprinted(black_box(&encoded)));
        });
        group.bench_function(format!("fingerprints of decoded {name}"), |bencher| {
            bencher.iter(|| black_box(&proposal).fingerprints());
        });
        let effects = desk.apply(&proposal);
        let mut out = Vec::new();
        group.bench_function(format!("encode the records of {name}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                for record in effects.records() {
                    record.encode(&mut out);
                }
                black_box(out.len())
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_secs(1));
    targets = transfers, orders, depth, bytes
}
criterion_main!(benches);
