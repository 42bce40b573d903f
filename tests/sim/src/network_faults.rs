//! What is wrong with the network now: the sum of the faults that are under way, put into effect link
//! by link.

use std::collections::BTreeMap;
use std::time::Duration;

use turmoil::Sim;

/// One network fault that is under way. Hosts go by their place in [`Links::hosts`].
#[derive(Debug, Clone)]
pub enum Wrong {
    /// Messages from the first to the second are lost.
    Cut(usize, usize),
    /// Messages between the two stand still.
    Held(usize, usize),
    /// Messages between the two take up to this many milliseconds.
    Slow(usize, usize, u64),
    /// Of a million messages between the two, this many break the link for a while.
    Lossy(usize, usize, u64),
}

/// What a link is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Link {
    cut: bool,
    cut_back: bool,
    held: bool,
    latency_ms: u64,
    lossy: u64,
}

/// All links between hosts.
#[derive(Debug)]
pub struct Links {
    hosts: Vec<String>,
    wrong: BTreeMap<u64, Vec<Wrong>>,
    next: u64,
    now: BTreeMap<(usize, usize), Link>,
}

/// The usual longest time of a message, in milliseconds.
pub const LATENCY_MS: u64 = 2;

impl Links {
    /// Links between these hosts, all well.
    pub fn new(hosts: Vec<String>) -> Self {
        Self { hosts, wrong: BTreeMap::new(), next: 0, now: BTreeMap::new() }
    }

    /// How many hosts there are.
    pub fn count(&self) -> usize {
        self.hosts.len()
    }

    /// These faults begin together. Returns what [`Self::end`] wants.
    pub fn begin(&mut self, sim: &mut Sim<'_>, wrong: Vec<Wrong>) -> u64 {
        self.next += 1;
        self.wrong.insert(self.next, wrong);
        self.apply(sim);
        self.next
    }

    /// Faults that began together are over.
    pub fn end(&mut self, sim: &mut Sim<'_>, begun: u64) {
        self.wrong.remove(&begun);
        self.apply(sim);
    }

    /// Nothing is wrong any more.
    pub fn heal(&mut self, sim: &mut Sim<'_>) {
        self.wrong.clear();
        self.apply(sim);
    }

    fn apply(&mut self, sim: &mut Sim<'_>) {
        let good = Link { latency_ms: LATENCY_MS, ..Link::default() };
        for a in 0..self.hosts.len() {
            for b in a + 1..self.hosts.len() {
                let mut link = good;
                for wrong in self.wrong.values().flatten() {
                    match *wrong {
                        Wrong::Cut(from, to) if (from, to) == (a, b) => link.cut = true,
                        Wrong::Cut(from, to) if (from, to) == (b, a) => link.cut_back = true,
                        Wrong::Held(x, y) if same((x, y), (a, b)) => link.held = true,
                        Wrong::Slow(x, y, ms) if same((x, y), (a, b)) => link.latency_ms = link.latency_ms.max(ms),
                        Wrong::Lossy(x, y, rate) if same((x, y), (a, b)) => link.lossy = link.lossy.max(rate),
                        _ => {}
                    }
                }
                let before = self.now.insert((a, b), link).unwrap_or(good);
                if before != link {
                    self.change(sim, a, b, before, link);
                }
            }
        }
    }

    fn change(&self, sim: &mut Sim<'_>, a: usize, b: usize, before: Link, link: Link) {
        let (a, b) = (self.hosts[a].as_str(), self.hosts[b].as_str());
        if before.latency_ms != link.latency_ms {
            sim.set_link_max_message_latency(a, b, Duration::from_millis(link.latency_ms));
        }
        if before.lossy != link.lossy {
            sim.set_link_fail_rate(a, b, link.lossy as f64 / 1e6);
        }
        // Ends what was before, a loss at random included, and lets held messages go.
        sim.release(a, b);
        match link {
            Link { cut: true, cut_back: true, .. } => sim.partition(a, b),
            Link { cut: true, .. } => sim.partition_oneway(a, b),
            Link { cut_back: true, .. } => sim.partition_oneway(b, a),
            Link { held: true, .. } => sim.hold(a, b),
            _ => {}
        }
    }
}

fn same(one: (usize, usize), other: (usize, usize)) -> bool {
    one == other || (one.1, one.0) == other
}
