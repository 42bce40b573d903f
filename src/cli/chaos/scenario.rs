//! What is done to the nodes, and what a run must have seen of it.

use std::time::Duration;

use clap::ValueEnum;

use super::target::{Act, Network, Target};

/// How much later everything arrives.
const DELAY: Duration = Duration::from_millis(40);
/// How many bytes a second a slow node sends.
const SLOW_BYTES_PER_SECOND: u32 = 64 << 10;

/// What the user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// SIGKILL of the leader
    KillLeader,
    /// SIGKILL of a follower
    KillFollower,
    /// SIGKILL of any node
    KillAny,
    /// SIGKILL of all nodes at once
    KillAll,
    /// SIGTERM of the leader, which hands its office over first
    TerminateLeader,
    /// SIGTERM and start of each node in turn
    RollingRestart,
    /// The leader stands still for five seconds
    Pause,
    /// The leader, then any node, is cut off from the others
    Partition,
    /// The leader is heard and hears nothing, or hears and is not heard
    OneWay,
    /// A node is cut off and joined again every second
    Flap,
    /// Everything between nodes takes longer
    Delay,
    /// The leader sends slowly
    Slow,
    /// Connections between nodes break again and again
    Break,
    /// Every fault that the target allows, in any order
    All,
}

/// One kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    KillLeader,
    KillFollower,
    KillAny,
    KillAll,
    TerminateLeader,
    RollingRestart,
    Pause,
    Partition,
    Mute,
    Deaf,
    Flap,
    Delay,
    Slow,
    Break,
}

/// Whom a fault meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    Leader,
    Follower,
    Any,
    All,
}

impl Fault {
    const ALL: [Self; 14] = [
        Self::KillLeader,
        Self::KillFollower,
        Self::KillAny,
        Self::KillAll,
        Self::TerminateLeader,
        Self::RollingRestart,
        Self::Pause,
        Self::Partition,
        Self::Mute,
        Self::Deaf,
        Self::Flap,
        Self::Delay,
        Self::Slow,
        Self::Break,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::KillLeader => "kill-leader",
            Self::KillFollower => "kill-follower",
            Self::KillAny => "kill-any",
            Self::KillAll => "kill-all",
            Self::TerminateLeader => "terminate-leader",
            Self::RollingRestart => "rolling-restart",
            Self::Pause => "pause",
            Self::Partition => "partition",
            Self::Mute => "mute",
            Self::Deaf => "deaf",
            Self::Flap => "flap",
            Self::Delay => "delay",
            Self::Slow => "slow",
            Self::Break => "break",
        }
    }

    /// Whom it meets.
    pub fn victim(self) -> Victim {
        match self {
            Self::KillLeader | Self::TerminateLeader | Self::Pause | Self::Mute | Self::Deaf | Self::Slow => {
                Victim::Leader
            }
            Self::KillFollower => Victim::Follower,
            Self::KillAny | Self::Partition | Self::Flap => Victim::Any,
            Self::KillAll | Self::RollingRestart | Self::Delay | Self::Break => Victim::All,
        }
    }

    /// What is done to each victim.
    pub fn act(self) -> Act {
        match self {
            Self::KillLeader | Self::KillFollower | Self::KillAny | Self::KillAll => Act::Kill,
            Self::TerminateLeader | Self::RollingRestart => Act::Terminate,
            Self::Pause => Act::Pause,
            Self::Partition | Self::Flap => Act::Network(Network::Isolated),
            Self::Mute => Act::Network(Network::Mute),
            Self::Deaf => Act::Network(Network::Deaf),
            Self::Delay => Act::Network(Network::Delayed(DELAY)),
            Self::Slow => Act::Network(Network::Slow(SLOW_BYTES_PER_SECOND)),
            Self::Break => Act::Network(Network::Broken),
        }
    }

    /// What makes it good again.
    pub fn mend(self) -> Act {
        match self.act() {
            Act::Kill | Act::Terminate => Act::Start,
            Act::Pause => Act::Resume,
            _ => Act::Heal,
        }
    }

    /// Whether it makes another node lead, by itself.
    pub fn changes_leader(self) -> bool {
        matches!(self, Self::KillLeader | Self::KillAll | Self::TerminateLeader | Self::RollingRestart | Self::Pause)
    }
}

impl Scenario {
    /// Its name in reports.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// The kinds of fault it takes from, in turn. `All` takes what the target allows.
    pub fn faults(self, target: &Target) -> Vec<Fault> {
        match self {
            Self::KillLeader => vec![Fault::KillLeader],
            Self::KillFollower => vec![Fault::KillFollower],
            Self::KillAny => vec![Fault::KillAny],
            Self::KillAll => vec![Fault::KillAll],
            Self::TerminateLeader => vec![Fault::TerminateLeader],
            Self::RollingRestart => vec![Fault::RollingRestart],
            Self::Pause => vec![Fault::Pause],
            Self::Partition => vec![Fault::Partition],
            Self::OneWay => vec![Fault::Mute, Fault::Deaf],
            Self::Flap => vec![Fault::Flap],
            Self::Delay => vec![Fault::Delay],
            Self::Slow => vec![Fault::Slow],
            Self::Break => vec![Fault::Break],
            Self::All => {
                let can = |fault: &Fault| target.can(fault.act()) && target.can(fault.mend());
                Fault::ALL.into_iter().filter(can).collect()
            }
        }
    }

    /// Whether a proxy must stand before the nodes.
    pub fn needs_network(self) -> bool {
        matches!(self, Self::Partition | Self::OneWay | Self::Flap | Self::Delay | Self::Slow | Self::Break | Self::All)
    }
}
