//! Which faults a seed inflicts, and when.
//!
//! Each seed leaves some kinds out: a mix of all in every run finds less (Groce et al., "Swarm
//! testing", 2012). Each fault begins at some time and is over after another.

use counterfoil::store::testing::Random;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// One node is cut off from all others, and from the clients.
    Isolate,
    /// Two nodes cannot reach each other; others reach both.
    PartPartition,
    /// One node is heard by nobody, or hears nobody.
    OneWay,
    /// Messages are lost at random, some for a while.
    Loss,
    /// Messages to and from a node take long.
    Delay,
    /// Messages to and from a node stand still, and all come in the end.
    Stall,
    /// A process is killed, and started again later.
    Kill,
    /// A machine loses power: what was not synced is lost, torn or mixed.
    PowerCut,
    /// All machines lose power at once.
    PowerCutAll,
    /// A node is stopped in order, and started again later.
    Restart,
    /// Syncs take long.
    SlowDisk,
    /// A write or sync fails with EIO.
    BrokenDisk,
    /// A write fails with ENOSPC.
    FullDisk,
    /// The wall clock jumps.
    ClockJump,
    /// The leader is asked to hand its office over.
    Transfer,
    /// The leader is not answered for about as long as its lease lasts, while all disks are slow.
    Lapse,
    /// A node is added, removed, or takes the place of another one.
    Membership,
    /// Files of a killed node's log or journal are damaged or gone. The others repair it.
    Rot,
    /// A disk is lost. Its node comes back with an empty one, and another node takes its place.
    LostDisk,
}

impl Kind {
    /// All of them, with their weight in a mix.
    const ALL: [(Self, u64); 19] = [
        (Self::Isolate, 4),
        (Self::PartPartition, 3),
        (Self::OneWay, 4),
        (Self::Loss, 2),
        (Self::Delay, 2),
        (Self::Stall, 2),
        (Self::Kill, 5),
        (Self::PowerCut, 5),
        (Self::PowerCutAll, 1),
        (Self::Restart, 2),
        (Self::SlowDisk, 2),
        (Self::BrokenDisk, 2),
        (Self::FullDisk, 1),
        (Self::ClockJump, 2),
        (Self::Transfer, 2),
        (Self::Lapse, 4),
        (Self::Membership, 2),
        (Self::Rot, 3),
        (Self::LostDisk, 1),
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Isolate => "isolate",
            Self::PartPartition => "part_partition",
            Self::OneWay => "one_way",
            Self::Loss => "loss",
            Self::Delay => "delay",
            Self::Stall => "stall",
            Self::Kill => "kill",
            Self::PowerCut => "power_cut",
            Self::PowerCutAll => "power_cut_all",
            Self::Restart => "restart",
            Self::SlowDisk => "slow_disk",
            Self::BrokenDisk => "broken_disk",
            Self::FullDisk => "full_disk",
            Self::ClockJump => "clock_jump",
            Self::Transfer => "transfer",
            Self::Lapse => "lapse",
            Self::Membership => "membership",
            Self::Rot => "rot",
            Self::LostDisk => "lost_disk",
        }
    }
}

/// A fault that is to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// When it begins, in milliseconds.
    pub at_ms: u64,
    /// How long it lasts, in milliseconds.
    pub for_ms: u64,
    /// What.
    pub kind: Kind,
    /// At the leader, if there is one then.
    pub leader: bool,
    /// Chooses the victim and the rest.
    pub dice: u64,
}

/// The shortest time between the beginnings of two faults, in milliseconds.
const PAUSE_MS_MIN: u64 = 300;

/// The faults of a seed, in the order of their time, from `from_ms` until `to_ms`; and the kinds in its mix.
pub fn plan(random: &mut Random, from_ms: u64, to_ms: u64) -> (Vec<Planned>, Vec<Kind>) {
    let mut mix = Kind::ALL.to_vec();
    mix.retain(|_| random.below(100) < 55);
    if mix.is_empty() {
        mix.push((Kind::Kill, 1));
    }
    let busy_ms = [1_000, 3_000, 8_000][random.below(3) as usize];
    let mut planned = Vec::new();
    let mut at_ms = from_ms;
    // Each kind of the mix once, so that no run is void for lack of it; then by weight.
    let mut due: Vec<Kind> = mix.iter().map(|(kind, _)| *kind).collect();
    loop {
        at_ms += PAUSE_MS_MIN + random.below(busy_ms);
        if at_ms >= to_ms {
            break;
        }
        let kind = if due.is_empty() {
            by_weight(&mix, random)
        } else {
            due.swap_remove(random.below(due.len() as u64) as usize)
        };
        let longest = [300, 1_500, 6_000][random.below(3) as usize];
        planned.push(Planned {
            at_ms,
            for_ms: 20 + random.below(longest),
            kind,
            leader: random.below(2) == 0,
            dice: random.next(),
        });
    }
    (planned, mix.into_iter().map(|(kind, _)| kind).collect())
}

fn by_weight(mix: &[(Kind, u64)], random: &mut Random) -> Kind {
    let mut at = random.below(mix.iter().map(|(_, weight)| weight).sum());
    for (kind, weight) in mix {
        match at.checked_sub(*weight) {
            Some(rest) => at = rest,
            None => return *kind,
        }
    }
    mix[0].0
}
