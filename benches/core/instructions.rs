//! The cases of the benchmark `core` once each, for a machine that is counted instead of timed: `benches/instructions`.
//!
//! `instructions` names the cases, `instructions PLACE` carries one out and prints how many commands it had.

mod cases;
mod flow;
#[path = "../../tests/core/support/rng.rs"]
#[allow(dead_code)]
mod rng;

use std::hint::black_box;

use counterfoil_core::command::Proposal;

use flow::{Desk, PER_PROPOSAL};

/// Proposals of a case: enough that what happens once for many commands has its share.
const COUNT: usize = 200;

fn main() {
    // `cargo bench` adds an option of its own.
    let place = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let Some(place) = place.and_then(|place| place.parse::<usize>().ok()) else {
        for case in cases::ALL.map(|make| make(COUNT)) {
            println!("{}, {}", case.group, case.name);
        }
        return;
    };
    let case = cases::ALL.get(place).expect("a case has this place")(COUNT);
    counted(&mut (case.desk)(), &case.proposals);
    println!("{}", case.proposals.len() * PER_PROPOSAL);
}

/// Instructions count from here on until it returns.
#[inline(never)]
fn counted(desk: &mut Desk, proposals: &[Proposal]) {
    for proposal in proposals {
        black_box(desk.apply(proposal));
    }
}
