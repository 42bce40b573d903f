//! Ledgers, and what is applied to them, one case for each kind of load.

use counterfoil_core::command::{Body, Proposal};
use counterfoil_core::types::Side;

use super::flow::{Desk, OrderFlow, PER_PROPOSAL, any_transfer, order};
use super::rng::Rng;

pub const ACCOUNTS: u64 = 10_000;
const MARKETS: u32 = 16;

/// A ledger, as often as it is asked for, and the proposals that are applied to it then.
pub struct Case {
    /// Its kind of load, and what varies.
    pub group: &'static str,
    /// What is measured.
    pub name: String,
    /// The ledger before.
    pub desk: Box<dyn Fn() -> Desk>,
    /// What is applied to it.
    pub proposals: Vec<Proposal>,
}

/// Makes each case, with so many proposals, or a tenth of them where a book would soon be another one.
pub const ALL: [fn(usize) -> Case; 8] = [
    |count| transfers(ACCOUNTS, count),
    |count| transfers(1_000_000, count),
    |count| orders(1, count),
    |count| orders(MARKETS, count),
    |count| depth(1, count / 10),
    |count| depth(100, count / 10),
    |count| depth(10_000, count / 10),
    |count| depth(99_000, count / 10),
];

fn transfers(accounts: u64, count: usize) -> Case {
    let mut rng = Rng::new(1);
    let mut maker = Desk::default();
    let proposals = (0..count).map(|_| {
        let bodies = (0..PER_PROPOSAL).map(|_| any_transfer(&mut rng, accounts)).collect();
        maker.proposal(bodies)
    });
    Case {
        group: "transfers",
        name: format!("{accounts} accounts"),
        proposals: proposals.collect(),
        desk: Box::new(move || Desk::new(accounts, 0)),
    }
}

fn orders(markets: u32, count: usize) -> Case {
    let mut flow = OrderFlow::new(1, ACCOUNTS, markets);
    let mut maker = Desk::new(ACCOUNTS, markets);
    let resting = flow.fill(&mut maker, 100);
    let proposals = flow.proposals(&mut maker, count);
    let desk = move || {
        let mut desk = Desk::new(ACCOUNTS, markets);
        for proposal in &resting {
            desk.apply(proposal);
        }
        desk
    };
    let name = format!("45 new, 45 cancel, 10 trade; {markets} markets");
    Case { group: "orders", name, desk: Box::new(desk), proposals }
}

/// A book with so many prices, to which orders are added at any of them.
fn depth(depth: u64, count: usize) -> Case {
    let resting = |rng: &mut Rng, away| Body::NewOrder(order(rng, ACCOUNTS, 1, Side::Buy, away));
    let desk = move || {
        let mut rng = Rng::new(2);
        let mut desk = Desk::new(ACCOUNTS, 1);
        for first in (0..depth).step_by(PER_PROPOSAL) {
            let last = depth.min(first + PER_PROPOSAL as u64);
            let bodies = (first..last).map(|away| resting(&mut rng, 1 + away as i64)).collect();
            let proposal = desk.proposal(bodies);
            desk.apply(&proposal);
        }
        desk
    };
    let mut maker = Desk::default();
    let mut rng = Rng::new(3);
    let proposals = (0..count).map(|_| {
        let bodies = (0..PER_PROPOSAL).map(|_| {
            let away = 1 + rng.below(depth) as i64;
            resting(&mut rng, away)
        });
        maker.proposal(bodies.collect())
    });
    Case {
        group: "new order",
        name: format!("a book of {depth} prices"),
        proposals: proposals.collect(),
        desk: Box::new(desk),
    }
}
