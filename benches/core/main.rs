//! What the core costs: `cargo bench -p counterfoil-core --bench core`.
//!
//! Everything is applied as a node applies it, in proposals of a hundred commands, but the lookup of
//! used ids, which is the store's. Times are per command.

mod cases;
mod flow;
#[path = "../../tests/core/support/rng.rs"]
#[allow(dead_code)]
mod rng;

use std::hint::black_box;
use std::time::{Duration, Instant};

use counterfoil_core::command::{Body, Proposal};
use counterfoil_core::{Decode, Encode};
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};

use cases::{ACCOUNTS, Case};
use flow::{Desk, PER_PROPOSAL, any_side, any_transfer, order};
use rng::Rng;

/// Proposals that are made ahead; a longer run starts again with a new ledger.
const AHEAD: usize = 2_000;

/// Times proposals, applied in order to the case's ledger; begins anew when they are used up.
fn replay(group: &mut BenchmarkGroup<'_, WallTime>, case: &Case) {
    group.throughput(Throughput::Elements(1));
    group.bench_function(&case.name, |bencher| {
        bencher.iter_custom(|commands| {
            let mut left = commands.div_ceil(PER_PROPOSAL as u64) as usize;
            let rounded = left * PER_PROPOSAL;
            let mut spent = Duration::ZERO;
            while left > 0 {
                let mut desk = (case.desk)();
                let now = &case.proposals[..left.min(case.proposals.len())];
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

fn applied(criterion: &mut Criterion) {
    for make in cases::ALL {
        let case = make(AHEAD);
        replay(&mut criterion.benchmark_group(case.group), &case);
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
    targets = applied, bytes
}
criterion_main!(benches);
