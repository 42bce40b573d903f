//! How each kind of fault is inflicted.

use counterfoil::store::testing::Random;

use crate::faults::{Kind, Planned};
use crate::host::Host;
use crate::network_faults::Wrong;
use crate::operator::Order;
use crate::world::{Later, Loss, World};

/// A cluster is not made smaller than that.
const MEMBERS_MIN: usize = 3;
/// What a node says that ends because it was removed.
const REMOVED: &str = "was removed from the cluster";
/// What a node says that ends because its disk is not the one the others know.
const OTHER_DISK: &str = "its data was lost";
/// A node comes back without its disk within this time, in milliseconds.
const LOST_MS_MAX: u64 = 3_000;
/// A leader's lease lasts about this long, in milliseconds.
const LAPSE_MS_MIN: u64 = 270;
/// A lapse lasts up to so much longer, in milliseconds.
const LAPSE_MS_MORE: u64 = 250;
/// How long half a sync takes meanwhile at most, in microseconds.
const LAPSE_SYNC_US: [u64; 3] = [30_000, 100_000, 250_000];
/// Error numbers of the system.
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

impl World<'_> {
    /// Inflicts a fault. Returns whether it could be done now.
    pub fn inflict(&mut self, fault: &Planned) -> bool {
        let mut dice = Random(fault.dice);
        let count = self.hosts.len();
        let up: Vec<usize> = (0..count).filter(|at| !self.lots[*at].down).collect();
        let leader = self.leader.and_then(|(_, id)| up.iter().copied().find(|at| self.hosts[*at].id == id));
        let any = if up.is_empty() { 0 } else { up[dice.below(up.len() as u64) as usize] };
        let victim = leader.filter(|_| fault.leader).unwrap_or(any);
        let others: Vec<usize> = (0..count).filter(|at| *at != victim && !self.lots[*at].is_gone()).collect();
        let other = others[dice.below(others.len() as u64) as usize];
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
            Kind::Isolate => self.cut_off(victim),
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
        if self.lots[victim].down && !matches!(kind, Kind::PowerCut | Kind::PowerCutAll | Kind::ClockJump) {
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
                for at in (0..self.hosts.len()).filter(|at| !self.lots[*at].is_gone()).collect::<Vec<_>>() {
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
                self.lots[victim].blamed = true;
                host.disk.fail_next(if kind == Kind::FullDisk { ENOSPC } else { EIO });
            }
            Kind::ClockJump => {
                let far = [1_000, 60_000, 7_200_000][dice.below(3) as usize];
                host.set_clock(dice.below(2 * far) as i64 - far as i64);
            }
            Kind::Transfer => return self.transfer(),
            Kind::Lapse => return self.lapse(dice),
            Kind::Membership => return self.change_membership(victim, dice),
            Kind::Rot => return self.rot(victim, until, dice),
            Kind::LostDisk => return self.lose_disk(victim, until, dice),
            _ => return false,
        }
        true
    }

    /// A node is killed, and comes back with damaged files. Never two at a time, nor while a disk is lost: what two of
    /// three acknowledged would be gone.
    fn rot(&mut self, victim: usize, until: u64, dice: &mut Random) -> bool {
        let is_member = self.desk.members().contains(&self.hosts[victim].id);
        if !is_member || self.losing || !self.desk.is_free() || self.rotten.is_some() {
            return false;
        }
        self.crash(victim);
        let what = self.hosts[victim].disk.rot(dice);
        self.later.push((until, Later::Start(victim)));
        match what {
            Ok(what) => tracing::info!(node = self.hosts[victim].id, what, "rot"),
            Err(error) => self.wrong.push(format!("the simulation's own disk: {error}")),
        }
        self.rotten = Some(victim);
        true
    }

    /// Whoever leads is asked to let another lead.
    fn transfer(&mut self) -> bool {
        let leads = |host: &&Host| host.replica().is_some_and(|replica| replica.leadership().borrow().serving);
        let Some(host) = self.hosts.iter().find(leads) else { return false };
        host.ask_to_transfer();
        true
    }

    /// Whoever leads hears of no other node for about as long as its lease lasts, while all disks are slow:
    /// it refuses what it is given for a moment, with entries before and behind that are not settled yet.
    fn lapse(&mut self, dice: &mut Random) -> bool {
        let Some((_, leader)) = self.leader else { return false };
        let Some(leader) = self.hosts.iter().position(|host| host.id == leader) else { return false };
        let others = (0..self.hosts.len()).filter(|at| *at != leader);
        let begun = self.links.begin(&mut self.sim, others.map(|at| Wrong::Held(leader, at)).collect());
        let until = self.now_ms() + LAPSE_MS_MIN + dice.below(LAPSE_MS_MORE);
        self.later.push((until, Later::EndLinks(begun)));
        let sync_us = LAPSE_SYNC_US[dice.below(LAPSE_SYNC_US.len() as u64) as usize];
        for at in 0..self.hosts.len() {
            self.hosts[at].disk.set_sync_us(sync_us);
            self.later.push((until + LAPSE_MS_MIN, Later::FastDisk(at)));
        }
        true
    }

    /// A host that has not run yet, unless the last one is to be kept.
    fn spare(&self, keep: usize) -> Option<usize> {
        let mut spares = (0..self.hosts.len()).filter(|at| self.lots[*at].spare);
        let first = spares.next();
        first.filter(|_| spares.count() >= keep)
    }

    /// The victim if it belongs to the cluster, or else one that does; unless a change is under way.
    fn member(&self, victim: usize, dice: &mut Random) -> Option<usize> {
        if self.losing || !self.desk.is_free() || self.rotten.is_some() {
            return None;
        }
        let members = self.desk.members();
        let any = members[dice.below(members.len() as u64) as usize];
        let id = self.hosts[victim].id;
        let chosen = if members.contains(&id) { id } else { any };
        self.hosts.iter().position(|host| host.id == chosen)
    }

    /// A node is added, removed, or gives its place to a new one, while the others go on.
    fn change_membership(&mut self, victim: usize, dice: &mut Random) -> bool {
        let members = self.desk.members();
        let Some(victim) = self.member(victim, dice) else { return false };
        // A lost disk needs a node to take its node's place.
        let spare = self.spare(1);
        let removable = members.len() > MEMBERS_MIN;
        let (joins, leaves) = match (spare, dice.below(3)) {
            (Some(spare), 0) => (Some(spare), None),
            (Some(spare), 1) => (Some(spare), Some(victim)),
            (_, _) if removable => (None, Some(victim)),
            (Some(spare), _) => (Some(spare), None),
            (None, _) => return false,
        };
        if leaves.is_some() {
            self.lots[victim].excused = &[REMOVED];
        }
        self.give_order(joins, leaves);
        true
    }

    /// A node's disk is going to be gone, for good. The node comes back with an empty one, which nobody may
    /// take for the old one; a new node takes its place. It hurts most when of those that are left one
    /// lags behind and the other is away: then the two could elect, if the one were counted.
    fn lose_disk(&mut self, victim: usize, until: u64, dice: &mut Random) -> bool {
        let spare = self.spare(0);
        let Some(victim) = self.member(victim, dice).filter(|_| spare.is_some()) else { return false };
        let mut others: Vec<usize> = (0..self.hosts.len()).filter(|at| *at != victim && !self.lots[*at].down).collect();
        let mut loss = Loss { victim, behind: None, absent: None, away_ms: dice.below(LOST_MS_MAX) };
        if dice.below(2) == 0 && others.len() > 1 {
            let behind = others.swap_remove(dice.below(others.len() as u64) as usize);
            let absent = others[dice.below(others.len() as u64) as usize];
            let wrong = self.cut_off(behind);
            loss.behind = Some(self.links.begin(&mut self.sim, wrong));
            loss.absent = Some((absent, LOST_MS_MAX + dice.below(LOST_MS_MAX)));
            loss.away_ms /= 4;
        }
        self.losing = true;
        self.later.push((until, Later::LoseDisk(loss)));
        true
    }

    /// The disk is gone now.
    pub fn lose_disk_now(&mut self, loss: Loss) {
        let Loss { victim, behind, absent, away_ms } = loss;
        self.losing = false;
        if let Some(behind) = behind {
            self.links.end(&mut self.sim, behind);
        }
        if let Some((absent, for_ms)) = absent {
            let wrong = self.cut_off(absent);
            let begun = self.links.begin(&mut self.sim, wrong);
            self.later.push((self.now_ms() + for_ms, Later::EndLinks(begun)));
        }
        if !self.lots[victim].down {
            self.crash(victim);
        }
        if let Err(error) = self.hosts[victim].disk.lose() {
            self.wrong.push(format!("the simulation's own disk: {error}"));
        }
        self.lots[victim].excused = &[OTHER_DISK, REMOVED];
        self.later.push((self.now_ms() + away_ms, Later::Start(victim)));
        self.give_order(self.spare(0), Some(victim));
    }

    /// What cuts a node off from everybody.
    fn cut_off(&self, at: usize) -> Vec<Wrong> {
        let others = (0..self.links.count()).filter(|other| *other != at);
        others.flat_map(|other| [Wrong::Cut(at, other), Wrong::Cut(other, at)]).collect()
    }

    fn give_order(&mut self, joins: Option<usize>, leaves: Option<usize>) {
        if let Some(spare) = joins {
            self.lots[spare].spare = false;
            self.start(spare);
        }
        let id = |at: usize| self.hosts[at].id;
        let order = Order { joins: joins.map(id), leaves: leaves.map(id) };
        tracing::info!(?order, "ordered");
        self.desk.order(order);
    }
}
