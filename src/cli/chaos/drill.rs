//! The faults, one after the other, with what each did to the clients.

use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::time::sleep;

use super::live::Live;
use super::nodes::Nodes;
use super::recorder::Recorder;
use super::scenario::{Fault, Victim};
use super::target::{Act, Network, Target};
use crate::cli::CliError;
use crate::cli::random::Random;

/// How long a node that was killed stays down at most.
const DOWN_MAX: Duration = Duration::from_secs(2);
/// How long a flapping node is away or there.
const FLAP: Duration = Duration::from_millis(500);
/// Between two breaks of all connections.
const BREAK_PERIOD: Duration = Duration::from_millis(300);

/// How long things last.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Steady writing before and after each fault.
    pub calm: Duration,
    /// How long a node stands still, is cut off, or flaps.
    pub hold: Duration,
}

/// One fault that was inflicted.
#[derive(Debug, Clone, Serialize)]
pub struct Inflicted {
    /// Which kind.
    pub fault: &'static str,
    /// Seconds since the drill began.
    pub at_seconds: f64,
    /// The nodes it met.
    pub nodes: Vec<u64>,
    /// Whether these were seen to be gone, where the fault makes them so; one that was not does not count.
    pub felt: bool,
    /// Who led before.
    pub leader: u64,
    /// The longest time without an answer to a steady writer, from the fault on.
    pub gap_ms: u64,
    /// The longest such time from the mending on.
    pub mend_gap_ms: u64,
    /// From the mending until the nodes had what the leader had committed.
    pub rejoin_ms: u64,
}

/// When the drill ends.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// After so many faults.
    Faults(u64),
    /// When this long has passed.
    Elapsed(Duration),
}

/// A drill under way.
#[derive(Debug)]
pub struct Drill<'a> {
    pub target: &'a mut Target,
    pub nodes: &'a Nodes,
    pub recorder: &'a Recorder,
    pub live: &'a Live,
    pub random: Random,
    pub pace: Pace,
    pub began: Instant,
    pub inflicted: Vec<Inflicted>,
}

impl Drill<'_> {
    /// Inflicts faults of these kinds until it is time. What lasts as long as it may lasts one whole
    /// turn at least, so that each kind is seen.
    pub async fn run(&mut self, faults: &[Fault], until: Until) -> Result<(), CliError> {
        sleep(self.pace.calm).await;
        let (mut left, mut is_first_turn) = (faults.to_vec(), true);
        loop {
            let over = match until {
                Until::Faults(count) => self.inflicted.len() as u64 >= count,
                Until::Elapsed(time) => self.began.elapsed() >= time && !is_first_turn,
            };
            if over {
                return Ok(());
            }
            let place = self.random.below(left.len() as u64) as usize;
            self.round(left.swap_remove(place)).await?;
            if left.is_empty() {
                (left, is_first_turn) = (faults.to_vec(), false);
            }
        }
    }

    async fn round(&mut self, fault: Fault) -> Result<(), CliError> {
        let (leader, status) = self.nodes.leader().await?;
        let victims = self.victims(fault, leader);
        if fault == Fault::RollingRestart {
            for place in victims {
                self.inflict(fault, &[place], status.node_id).await?;
            }
            return Ok(());
        }
        self.inflict(fault, &victims, status.node_id).await
    }

    fn victims(&mut self, fault: Fault, leader: usize) -> Vec<usize> {
        let count = self.target.members().len();
        let others: Vec<usize> = (0..count).filter(|place| *place != leader).collect();
        let one_of = |random: &mut Random, places: &[usize]| match places {
            [] => leader,
            places => places[random.below(places.len() as u64) as usize],
        };
        match fault.victim() {
            Victim::Leader => vec![leader],
            Victim::Follower => vec![one_of(&mut self.random, &others)],
            // Half of the time it is the leader: a drill that spares it proves little.
            Victim::Any if self.random.below(2) == 0 => vec![leader],
            Victim::Any => vec![one_of(&mut self.random, &others)],
            Victim::All => (0..count).collect(),
        }
    }

    async fn inflict(&mut self, fault: Fault, places: &[usize], leader: u64) -> Result<(), CliError> {
        let members = self.target.members();
        let nodes: Vec<u64> = places.iter().map(|place| members[*place].id).collect();
        let at_seconds = self.began.elapsed().as_secs_f64();
        self.live.fault(fault.name(), &nodes);
        self.recorder.take_pause();
        let felt = self.hurt(fault, places).await?;
        // With all of them down there is nothing to wait for.
        let all_down = fault == Fault::KillAll;
        let gap = if all_down { Duration::ZERO } else { self.recorder.take_pause() };
        for place in places {
            self.target.act(*place, fault.mend()).await?;
        }
        let rejoin = self.nodes.in_sync(places).await?;
        sleep(self.pace.calm).await;
        let mend_gap = self.recorder.take_pause();
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let gap = if all_down { mend_gap } else { gap };
        let done = Inflicted {
            fault: fault.name(),
            at_seconds,
            nodes,
            felt,
            leader,
            gap_ms: ms(gap),
            mend_gap_ms: ms(mend_gap),
            rejoin_ms: ms(rejoin),
        };
        self.live.done(&done);
        self.inflicted.push(done);
        Ok(())
    }

    /// Does the harm, and waits as long as it shall last. Returns whether it was seen of the nodes that it silences
    /// or cuts off.
    async fn hurt(&mut self, fault: Fault, places: &[usize]) -> Result<bool, CliError> {
        match fault {
            Fault::Flap => {
                let (started, mut felt) = (Instant::now(), false);
                while started.elapsed() < self.pace.hold * 2 {
                    for act in [fault.act(), Act::Heal] {
                        for place in places {
                            self.target.act(*place, act).await?;
                        }
                        let turn = Instant::now();
                        felt = felt || (act != Act::Heal && self.nodes.were_cut_off(places, FLAP).await);
                        sleep(FLAP.saturating_sub(turn.elapsed())).await;
                    }
                }
                return Ok(felt);
            }
            Fault::Break => {
                let started = Instant::now();
                while started.elapsed() < self.pace.hold {
                    for place in places {
                        self.target.act(*place, fault.act()).await?;
                    }
                    sleep(BREAK_PERIOD).await;
                }
                return Ok(true);
            }
            _ => {}
        }
        for place in places {
            self.target.act(*place, fault.act()).await?;
        }
        let harmed = Instant::now();
        let (lasts, felt) = match fault.act() {
            Act::Kill | Act::Terminate => {
                let lasts = self.pace.hold.min(DOWN_MAX);
                (lasts, self.nodes.fell_silent(places, lasts).await)
            }
            Act::Pause => (self.pace.hold, self.nodes.fell_silent(places, self.pace.hold).await),
            Act::Network(Network::Isolated) => (self.pace.hold, self.nodes.were_cut_off(places, self.pace.hold).await),
            _ => (self.pace.hold, true),
        };
        if fault != Fault::KillAll {
            sleep(lasts.saturating_sub(harmed.elapsed())).await;
        }
        Ok(felt)
    }

    /// Makes everything good that a drill which broke off may have left behind. What was not broken
    /// cannot be mended, so that failures say nothing here.
    pub async fn mend_all(target: &mut Target) {
        for place in 0..target.members().len() {
            for act in [Act::Resume, Act::Heal, Act::Start] {
                if target.can(act) {
                    let _ = target.act(place, act).await;
                }
            }
        }
    }
}
