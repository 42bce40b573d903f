//! One seed: nodes, clients and faults in simulated time, and the verdict.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use counterfoil::checker::{Checker, Demands, Report, Seen, Verdict};
use counterfoil::store::testing::Random;
use turmoil::{Builder, Sim};

use crate::audit::{Audit, audit};
use crate::disk::SYNC_US;
use crate::faults::{self, Kind, Planned};
use crate::host::{Host, Tuning, name};
use crate::lockstep::{self, Lockstep};
use crate::network_faults::{LATENCY_MS, Links};
use crate::operator::{Desk, operate};
use crate::trace;
use crate::workload::{Habits, Notes, Trader};

/// What a run is.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Everything else follows from it.
    pub seed: u64,
    /// How long clients work and faults come, in simulated seconds.
    pub seconds: u64,
}

/// Faults begin no earlier: a cluster has to form first. In milliseconds.
const FAULTS_FROM_MS: u64 = 2_000;
/// How long all must be well in the end for a cluster to recover, in milliseconds.
const SETTLE_MS_MAX: u64 = 60_000;
/// Before a node that has ended by itself is started again, in milliseconds.
const RESTART_MS: u64 = 500;
/// How often a fault is tried again that could not be inflicted, in milliseconds.
const POSTPONED_MS: u64 = 200;
/// How often the leader is looked at, in milliseconds.
const LOOK_MS: u64 = 10;
/// Messages of one connection that may be under way.
const TCP_CAPACITY: usize = 4_096;
/// Nodes that can be added, where nodes are.
const SPARES: u64 = 3;
/// A link that broke at random is whole again after about this part of the messages.
const REPAIR_RATE: f64 = 0.02;

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// What is wrong beyond the checker's findings; empty when nothing is.
    pub wrong: Vec<String>,
    /// Why it was too quiet to count.
    pub quiet: Vec<String>,
    /// What the checker found.
    pub report: Report,
    /// What happened.
    pub seen: Seen,
    /// Simulated time, in milliseconds.
    pub simulated_ms: u64,
}

impl Outcome {
    /// The verdict.
    pub fn verdict(&self) -> Verdict {
        if self.wrong.is_empty() { self.report.verdict(&self.quiet) } else { Verdict::Failed }
    }
}

/// What is to be done later.
#[derive(Debug)]
pub enum Later {
    EndLinks(u64),
    Start(usize),
    FastDisk(usize),
    LoseDisk(Loss),
}

/// A disk that is about to be lost.
#[derive(Debug, Clone, Copy)]
pub struct Loss {
    /// Whose.
    pub victim: usize,
    /// Lags behind meanwhile: what cuts it off, if one does.
    pub behind: Option<u64>,
    /// Is cut off when the other one is back, for so long, in milliseconds.
    pub absent: Option<(usize, u64)>,
    /// Until the victim comes back, in milliseconds.
    pub away_ms: u64,
}

/// What is with a host.
#[derive(Debug, Clone, Default)]
pub struct Lot {
    /// No node runs there.
    pub down: bool,
    /// Its disk was made to fail in this life.
    pub blamed: bool,
    /// It has not run yet.
    pub spare: bool,
    /// The node may end by itself, with an error that has one of these words.
    pub excused: &'static [&'static str],
    /// The node does not belong to the cluster any more, and is not started again once it has ended.
    pub retired: bool,
}

impl Lot {
    /// Whether no node will run there by itself again.
    pub fn is_gone(&self) -> bool {
        self.spare || (self.retired && self.down)
    }
}

/// A run under way.
pub struct World<'a> {
    pub sim: Sim<'a>,
    pub hosts: Vec<Host>,
    pub lots: Vec<Lot>,
    pub desk: Arc<Desk>,
    /// The first so many nodes form the cluster.
    founders: u64,
    clients: u64,
    pub links: Links,
    pub later: Vec<(u64, Later)>,
    random: Random,
    pub leader: Option<(u64, u64)>,
    pub seen: Seen,
    pub wrong: Vec<String>,
    /// A disk is about to be lost, so that the membership must not change otherwise.
    pub losing: bool,
    /// Faults whose victim was not there.
    postponed: Vec<Planned>,
    /// All members have begun another life, after all was done.
    restarted: bool,
    /// The auditor has begun.
    audited: bool,
    /// What it found.
    found: Arc<Mutex<Option<Audit>>>,
}

/// Runs a seed.
pub fn run(options: Options, lockstep: &Arc<Lockstep>) -> Outcome {
    let mut random = Random(options.seed);
    let folder = folder().expect("a folder for sled's files");
    trace::mask(folder.path());
    let nodes = if random.below(4) == 0 { 5 } else { 3 };
    let tuning = Tuning {
        snapshot_entries: [100, 400, 3_000][random.below(3) as usize],
        kept_entries: [10, 100, 1_000][random.below(3) as usize],
        state_sync_ms: [20, 100, 500][random.below(3) as usize],
    };
    let habits = Habits {
        pause_ms: [20, 60, 120][random.below(3) as usize],
        reads: [20, 40, 60][random.below(3) as usize],
        trades: [10, 50, 80][random.below(3) as usize],
        resends: [2, 10][random.below(2) as usize],
        sessions: [0, 2, 10][random.below(3) as usize],
        session_pause_ms: [10, 40, 250][random.below(3) as usize],
        expiries: [0, 5, 30][random.below(3) as usize],
    };
    let clients = 2 + random.below(3);
    let tick_ms = 1 + random.below(2);
    tracing::info!(nodes, clients, tick_ms, ?tuning, ?habits, "run");
    let end_ms = options.seconds * 1_000;
    let (planned, mix) = faults::plan(&mut random, FAULTS_FROM_MS, end_ms);
    let mut builder = Builder::new();
    builder
        .rng_seed(options.seed)
        .epoch(std::time::UNIX_EPOCH)
        .simulation_duration(Duration::from_millis(end_ms + 2 * SETTLE_MS_MAX))
        .tick_duration(Duration::from_millis(tick_ms))
        .tcp_capacity(TCP_CAPACITY)
        .repair_rate(REPAIR_RATE)
        .max_message_latency(Duration::from_millis(LATENCY_MS));
    let mut sim = builder.build();
    let notes = Arc::new(Notes::default());
    let changes = mix.iter().any(|kind| matches!(kind, Kind::Membership | Kind::LostDisk));
    let all = if changes { nodes + SPARES } else { nodes };
    let host = |id| Host::new(id, nodes, options.seed, &tuning, folder.path(), lockstep).expect("a disk");
    let hosts: Vec<Host> = (1..=all).map(host).collect();
    for host in &hosts {
        let host = host.clone();
        sim.host(name(host.id), move || host.clone().live());
    }
    let mut names: Vec<String> = (1..=all).map(name).collect();
    let desk = Desk::new(1..=nodes);
    for number in 1..=clients {
        let (habits, notes, desk) = (habits.clone(), Arc::clone(&notes), Arc::clone(&desk));
        let client = format!("client{number}");
        sim.client(
            client.as_str(),
            async move { Trader::new(number, all, options.seed, habits, notes, desk)?.run().await },
        );
        names.push(client);
    }
    if changes {
        sim.client("operator", operate(Arc::clone(&desk), all));
        names.push("operator".to_owned());
    }
    let lot = |id| Lot { down: id > nodes, spare: id > nodes, ..Lot::default() };
    for id in nodes + 1..=all {
        sim.crash(name(id));
    }
    let world = World {
        sim,
        lots: (1..=all).map(lot).collect(),
        hosts,
        desk,
        founders: nodes,
        clients,
        links: Links::new(names),
        later: Vec::new(),
        random,
        leader: None,
        seen: Seen::default(),
        wrong: Vec::new(),
        losing: false,
        postponed: Vec::new(),
        restarted: false,
        audited: false,
        found: Arc::default(),
    };
    world.run(options, planned, &mix, &notes)
}

/// A folder in memory, or wherever temporary files go.
fn folder() -> std::io::Result<tempfile::TempDir> {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())
}

impl World<'_> {
    fn run(mut self, options: Options, planned: Vec<Planned>, mix: &[Kind], notes: &Notes) -> Outcome {
        let end_ms = options.seconds * 1_000;
        let mut demands = Demands { acknowledged: options.seconds, reads: options.seconds / 4, ..Demands::default() };
        for fault in &planned {
            demands.faults.insert(fault.kind.name().to_owned(), 1);
        }
        let unseats = |kind: &&Kind| matches!(kind, Kind::Kill | Kind::Isolate | Kind::PowerCut);
        demands.leader_changes = u64::from(mix.iter().any(|kind| unseats(&kind)) && options.seconds >= 60);
        let mut planned = planned.into_iter().peekable();
        let ok = self.chaos(end_ms, &mut planned, notes);
        if ok {
            self.heal();
            notes.stop();
            self.desk.close();
            self.settle(end_ms, notes);
        }
        let audit = self.found.lock().unwrap_or_else(PoisonError::into_inner).take();
        if audit.is_none() && self.wrong.is_empty() {
            let (states, desk) = (self.states(), self.desk.state());
            self.wrong.push(format!("the cluster did not recover within {SETTLE_MS_MAX} ms: {states}; {desk}"));
        }
        let audit = audit.unwrap_or_default();
        self.wrong.extend(audit.wrong);
        self.wrong.extend(notes.take_wrong());
        self.seen.final_reads = audit.complete;
        let mut history = notes.take_history();
        self.wrong.extend(notes.check_sessions(&audit.records));
        audit.reads.into_iter().for_each(|read| history.read(read));
        let mut checker = Checker::new(history);
        audit.records.into_iter().for_each(|record| checker.record(record));
        let report = if audit.complete { checker.finish(&audit.nodes) } else { Report::default() };
        let quiet = demands.unmet(&report, &self.seen);
        Outcome {
            wrong: self.wrong,
            quiet,
            report,
            seen: self.seen,
            simulated_ms: self.sim.elapsed().as_millis() as u64,
        }
    }

    pub fn now_ms(&self) -> u64 {
        self.sim.elapsed().as_millis() as u64
    }

    /// Faults come while clients work. Returns whether the simulation itself went well.
    fn chaos(
        &mut self,
        end_ms: u64,
        planned: &mut std::iter::Peekable<impl Iterator<Item = Planned>>,
        notes: &Notes,
    ) -> bool {
        // A cluster that is slow to form gets its faults later, and as many.
        let mut late_ms = 0;
        while self.now_ms() < end_ms + late_ms && self.now_ms() < end_ms + SETTLE_MS_MAX {
            let now = self.now_ms();
            if !notes.is_ready() {
                late_ms = now.saturating_sub(FAULTS_FROM_MS);
            } else if let Some(fault) = planned.next_if(|fault| fault.at_ms + late_ms <= now)
                && !self.inflict(&fault)
            {
                self.postponed.push(fault);
            }
            if now.is_multiple_of(POSTPONED_MS) {
                let postponed = std::mem::take(&mut self.postponed);
                let still = postponed.into_iter().filter(|fault| !self.inflict(fault)).collect();
                self.postponed = still;
            }
            self.do_later();
            // Once something is wrong, what follows from it says nothing new.
            if !self.step() || !self.wrong.is_empty() {
                return false;
            }
        }
        true
    }

    /// All is well again; waits until the clients and the operator are done, and then for the auditor.
    fn settle(&mut self, end_ms: u64, notes: &Notes) {
        // The chaos may have ended late.
        let latest = self.now_ms().max(end_ms) + SETTLE_MS_MAX;
        while self.now_ms() < latest && self.wrong.is_empty() {
            // What is answered after the nodes were asked could not be found there.
            let done = notes.ended() == self.clients && (self.desk.has_ended() || !self.has_operator());
            if done && !std::mem::replace(&mut self.restarted, true) {
                self.restart_all();
            } else if done && !std::mem::replace(&mut self.audited, true) {
                self.sim.client("auditor", audit(Arc::clone(&self.desk), Arc::clone(&self.found)));
            }
            self.do_later();
            match self.sim.step() {
                Ok(true) if self.audited => return,
                Ok(_) => self.look(),
                Err(error) => return self.wrong.push(format!("in the end: {error}")),
            }
        }
    }

    fn has_operator(&self) -> bool {
        self.hosts.len() as u64 > self.founders
    }

    fn step(&mut self) -> bool {
        match self.sim.step() {
            Ok(_) => {
                self.look();
                true
            }
            Err(error) => {
                self.wrong.push(format!("a client ended: {error}"));
                false
            }
        }
    }

    fn look(&mut self) {
        lockstep::set_elapsed(self.sim.elapsed());
        for at in 0..self.hosts.len() {
            let Some(ended) = self.hosts[at].take_ended() else { continue };
            let told = if ended.is_empty() { "in order" } else { ended.as_str() };
            tracing::info!(node = self.hosts[at].id, why = told, "ended");
            let lot = &self.lots[at];
            let expected = lot.blamed || lot.excused.iter().any(|words| ended.contains(words));
            if !ended.is_empty() && !expected {
                self.wrong.push(format!("node {} ended by itself: {ended}", self.hosts[at].id));
            }
            self.crash(at);
            self.later.push((self.now_ms() + RESTART_MS, Later::Start(at)));
        }
        for order in self.desk.take_carried_out() {
            if let Some(id) = order.leaves {
                self.lots[id as usize - 1].retired = true;
            }
        }
        if self.now_ms().is_multiple_of(LOOK_MS) {
            self.look_for_leader();
        }
    }

    fn look_for_leader(&mut self) {
        let leads = |host: &Host| {
            let leadership = host.replica()?.leadership();
            let now = leadership.borrow();
            now.serving.then_some((now.term.0, host.id))
        };
        let Some(leader) = self.hosts.iter().filter_map(leads).max() else { return };
        if self.leader.is_some_and(|(_, before)| before != leader.1) {
            self.seen.leader_changes += 1;
        }
        self.leader = Some(leader);
    }

    fn states(&self) -> String {
        let state = |host: &Host| {
            let published = host.replica().map(|replica| *replica.published().borrow());
            published.map_or_else(
                || format!("{} is down", host.id),
                |now| format!("{} at {}.{}, event {}", host.id, now.term, now.index, now.sequence),
            )
        };
        self.hosts.iter().map(state).collect::<Vec<_>>().join(", ")
    }

    fn do_later(&mut self) {
        let now = self.now_ms();
        let due: Vec<(u64, Later)>;
        (due, self.later) = std::mem::take(&mut self.later).into_iter().partition(|(at, _)| *at <= now);
        for (_, what) in due {
            match what {
                Later::EndLinks(begun) => self.links.end(&mut self.sim, begun),
                Later::FastDisk(at) => self.hosts[at].disk.set_sync_us(SYNC_US),
                Later::Start(at) => self.start(at),
                Later::LoseDisk(loss) => self.lose_disk_now(loss),
            }
        }
    }

    pub fn crash(&mut self, at: usize) {
        self.hosts[at].cut_off();
        self.sim.crash(name(self.hosts[at].id));
        self.lots[at].down = true;
    }

    pub fn start(&mut self, at: usize) {
        let lot = &mut self.lots[at];
        if lot.down && !lot.spare && !lot.retired {
            (lot.down, lot.blamed) = (false, false);
            self.hosts[at].disk.heal();
            if self.random.below(3) == 0
                && let Err(error) = self.hosts[at].disk.keep_copy()
            {
                self.wrong.push(format!("the simulation's own disk: {error}"));
            }
            self.sim.bounce(name(self.hosts[at].id));
        }
    }

    fn heal(&mut self) {
        self.links.heal(&mut self.sim);
        self.later.clear();
        for at in 0..self.hosts.len() {
            self.hosts[at].disk.heal();
            self.start(at);
        }
    }

    /// Every member loses its process or its power, and comes back: what it told until now, it has to tell from
    /// its disk.
    fn restart_all(&mut self) {
        let members = self.desk.members();
        for at in 0..self.hosts.len() {
            if members.contains(&self.hosts[at].id) && !self.lots[at].down {
                if self.random.below(2) == 0 {
                    self.crash(at);
                } else {
                    self.power_cut(at);
                }
                self.later.push((self.now_ms() + RESTART_MS, Later::Start(at)));
            }
        }
    }

    pub fn power_cut(&mut self, at: usize) {
        if !self.lots[at].down {
            self.crash(at);
        }
        match self.hosts[at].disk.power_cut() {
            Ok(state) => tracing::info!(node = self.hosts[at].id, state, "power cut"),
            Err(error) => self.wrong.push(format!("the simulation's own disk: {error}")),
        }
    }
}

/// Every fault kind that was inflicted, for people.
pub fn told(faults: &BTreeMap<String, u64>) -> String {
    faults.iter().map(|(kind, count)| format!("{kind} {count}")).collect::<Vec<_>>().join(", ")
}
