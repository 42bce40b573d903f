//! One seed: nodes, clients and faults in simulated time, and the verdict.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
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
use crate::network_faults::{LATENCY_MS, Links, Wrong};
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
enum Later {
    EndLinks(u64),
    Start(usize),
    FastDisk(usize),
}

struct World<'a> {
    sim: Sim<'a>,
    hosts: Vec<Host>,
    /// Nodes that do not run.
    down: Vec<bool>,
    /// Nodes whose disk was made to fail in this life.
    blamed: Vec<bool>,
    clients: u64,
    links: Links,
    later: Vec<(u64, Later)>,
    random: Random,
    leader: Option<(u64, u64)>,
    seen: Seen,
    wrong: Vec<String>,
    /// Faults whose victim was not there.
    postponed: Vec<Planned>,
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
    };
    let clients = 2 + random.below(3);
    tracing::info!(nodes, clients, ?tuning, ?habits, "run");
    let end_ms = options.seconds * 1_000;
    let (planned, mix) = faults::plan(&mut random, FAULTS_FROM_MS, end_ms);
    let mut builder = Builder::new();
    builder
        .rng_seed(options.seed)
        .epoch(std::time::UNIX_EPOCH)
        .simulation_duration(Duration::from_millis(end_ms + 2 * SETTLE_MS_MAX))
        .tcp_capacity(TCP_CAPACITY)
        .repair_rate(REPAIR_RATE)
        .max_message_latency(Duration::from_millis(LATENCY_MS));
    let mut sim = builder.build();
    let notes = Arc::new(Notes::default());
    let host = |id| Host::new(id, nodes, options.seed, &tuning, folder.path(), lockstep).expect("a disk");
    let hosts: Vec<Host> = (1..=nodes).map(host).collect();
    for host in &hosts {
        let host = host.clone();
        sim.host(name(host.id), move || host.clone().live());
    }
    let mut names: Vec<String> = (1..=nodes).map(name).collect();
    for number in 1..=clients {
        let (habits, notes) = (habits.clone(), Arc::clone(&notes));
        let client = format!("client{number}");
        sim.client(
            client.as_str(),
            async move { Trader::new(number, nodes, options.seed, habits, notes)?.run().await },
        );
        names.push(client);
    }
    let (go, found) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(None)));
    sim.client("auditor", audit(nodes, Arc::clone(&go), Arc::clone(&found)));
    names.push("auditor".to_owned());
    let world = World {
        sim,
        down: vec![false; hosts.len()],
        blamed: vec![false; hosts.len()],
        hosts,
        clients,
        links: Links::new(names),
        later: Vec::new(),
        random,
        leader: None,
        seen: Seen::default(),
        wrong: Vec::new(),
        postponed: Vec::new(),
    };
    world.run(options, planned, &mix, &notes, &go, &found)
}

/// A folder in memory, or wherever temporary files go.
fn folder() -> std::io::Result<tempfile::TempDir> {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())
}

impl World<'_> {
    fn run(
        mut self,
        options: Options,
        planned: Vec<Planned>,
        mix: &[Kind],
        notes: &Notes,
        go: &AtomicBool,
        found: &Mutex<Option<Audit>>,
    ) -> Outcome {
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
            self.settle(end_ms, notes, go);
        }
        let audit = found.lock().unwrap_or_else(PoisonError::into_inner).take();
        if audit.is_none() && self.wrong.is_empty() {
            self.wrong.push(format!("the cluster did not recover within {SETTLE_MS_MAX} ms: {}", self.states()));
        }
        let audit = audit.unwrap_or_default();
        self.wrong.extend(audit.wrong);
        self.wrong.extend(notes.take_wrong());
        self.seen.final_reads = audit.complete;
        let mut history = notes.take_history();
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

    fn now_ms(&self) -> u64 {
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

    /// All is well again; waits until the clients and the auditor are done.
    fn settle(&mut self, end_ms: u64, notes: &Notes, go: &AtomicBool) {
        // The chaos may have ended late.
        let latest = self.now_ms().max(end_ms) + SETTLE_MS_MAX;
        while self.now_ms() < latest && self.wrong.is_empty() {
            // What is answered after the nodes were asked could not be found there.
            go.store(notes.ended() == self.clients, Ordering::Relaxed);
            self.do_later();
            match self.sim.step() {
                Ok(false) => self.look(),
                Ok(true) => return,
                Err(error) => return self.wrong.push(format!("in the end: {error}")),
            }
        }
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
            if !ended.is_empty() && !self.blamed[at] {
                self.wrong.push(format!("node {} ended by itself: {ended}", self.hosts[at].id));
            }
            self.crash(at);
            self.later.push((self.now_ms() + RESTART_MS, Later::Start(at)));
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
                |now| format!("{} at {}.{} {}", host.id, now.term, now.index, now.digest),
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
            }
        }
    }

    fn crash(&mut self, at: usize) {
        self.hosts[at].cut_off();
        self.sim.crash(name(self.hosts[at].id));
        self.down[at] = true;
    }

    fn start(&mut self, at: usize) {
        if std::mem::take(&mut self.down[at]) {
            self.blamed[at] = false;
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

    fn power_cut(&mut self, at: usize) {
        if !self.down[at] {
            self.crash(at);
        }
        match self.hosts[at].disk.power_cut() {
            Ok(state) => tracing::info!(node = self.hosts[at].id, state, "power cut"),
            Err(error) => self.wrong.push(format!("the simulation's own disk: {error}")),
        }
    }

    /// Inflicts a fault. Returns whether it could be done now.
    fn inflict(&mut self, fault: &Planned) -> bool {
        let mut dice = Random(fault.dice);
        let count = self.hosts.len();
        let up: Vec<usize> = (0..count).filter(|at| !self.down[*at]).collect();
        let leader = self.leader.and_then(|(_, id)| up.iter().copied().find(|at| self.hosts[*at].id == id));
        let any = if up.is_empty() { 0 } else { up[dice.below(up.len() as u64) as usize] };
        let victim = leader.filter(|_| fault.leader).unwrap_or(any);
        let other = (victim + 1 + dice.below(count as u64 - 1) as usize) % count;
        let until = self.now_ms() + fault.for_ms;
        if !self.inflict_on(fault.kind, victim, other, until, &mut dice) {
            return false;
        }
        tracing::info!(kind = fault.kind.name(), victim = self.hosts[victim].id, for_ms = fault.for_ms, "fault");
        *self.seen.faults.entry(fault.kind.name().to_owned()).or_default() += 1;
        true
    }

    /// Returns whether it could be done now.
    fn inflict_on(&mut self, kind: Kind, victim: usize, other: usize, until: u64, dice: &mut Random) -> bool {
        let others: Vec<usize> = (0..self.links.count()).filter(|at| *at != victim).collect();
        let each = |wrong: &dyn Fn(usize) -> Vec<Wrong>| others.iter().flat_map(|at| wrong(*at)).collect::<Vec<_>>();
        let wrong = match kind {
            Kind::Isolate => each(&|at| vec![Wrong::Cut(victim, at), Wrong::Cut(at, victim)]),
            Kind::PartPartition => vec![Wrong::Cut(victim, other), Wrong::Cut(other, victim)],
            Kind::OneWay if dice.below(2) == 0 => each(&|at| vec![Wrong::Cut(victim, at)]),
            Kind::OneWay => each(&|at| vec![Wrong::Cut(at, victim)]),
            Kind::Loss => {
                let rate = [1_000, 10_000][dice.below(2) as usize];
                each(&|at| vec![Wrong::Lossy(victim, at, rate)])
            }
            Kind::Delay => {
                let ms = [20, 100, 400][dice.below(3) as usize];
                each(&|at| vec![Wrong::Slow(victim, at, ms)])
            }
            Kind::Stall => each(&|at| vec![Wrong::Held(victim, at)]),
            _ => return self.inflict_on_node(kind, victim, until, dice),
        };
        let begun = self.links.begin(&mut self.sim, wrong);
        self.later.push((until, Later::EndLinks(begun)));
        true
    }

    fn inflict_on_node(&mut self, kind: Kind, victim: usize, until: u64, dice: &mut Random) -> bool {
        if self.down[victim] && !matches!(kind, Kind::PowerCut | Kind::PowerCutAll | Kind::ClockJump) {
            return false;
        }
        let host = self.hosts[victim].clone();
        match kind {
            Kind::Kill => {
                self.crash(victim);
                self.later.push((until, Later::Start(victim)));
            }
            Kind::PowerCut => {
                self.power_cut(victim);
                self.later.push((until, Later::Start(victim)));
            }
            Kind::PowerCutAll => {
                for at in 0..self.hosts.len() {
                    self.power_cut(at);
                    self.later.push((until, Later::Start(at)));
                }
            }
            Kind::Restart => host.stop(),
            Kind::SlowDisk => {
                host.disk.set_sync_us([10_000, 60_000, 250_000][dice.below(3) as usize]);
                self.later.push((until, Later::FastDisk(victim)));
            }
            Kind::BrokenDisk | Kind::FullDisk => {
                self.blamed[victim] = true;
                host.disk.fail_next(if kind == Kind::FullDisk { ENOSPC } else { EIO });
            }
            Kind::ClockJump => {
                let far = [1_000, 60_000, 7_200_000][dice.below(3) as usize];
                host.set_clock(dice.below(2 * far) as i64 - far as i64);
            }
            Kind::Transfer => return self.transfer(),
            _ => return false,
        }
        true
    }

    /// Whoever leads is asked to let another lead.
    fn transfer(&mut self) -> bool {
        let leads = |host: &&Host| host.replica().is_some_and(|replica| replica.leadership().borrow().serving);
        let Some(host) = self.hosts.iter().find(leads) else { return false };
        host.ask_to_transfer();
        true
    }
}

/// Error numbers of the system.
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// Every fault kind that was inflicted, for people.
pub fn told(faults: &BTreeMap<String, u64>) -> String {
    faults.iter().map(|(kind, count)| format!("{kind} {count}")).collect::<Vec<_>>().join(", ")
}
