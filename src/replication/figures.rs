//! What a node measures of its cluster: signs of life, time without a leader, how long a peer that
//! came back took until it was in sync, copies in sync.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::detector::{Detector, Sign};
use super::types::NodeId;
use crate::store::log::SyncTimes;

/// How far behind the leader's log a copy may be and still be in sync, in entries.
pub const IN_SYNC_LAG_MAX: u64 = 100;

/// How long a new leader waits for a follower's first answer before it counts as away.
const FIRST_WORD: Duration = Duration::from_secs(1);

/// How often something happened, and how long it took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spans {
    /// How often.
    pub count: u64,
    /// How long it took last.
    pub last: Duration,
    /// How long altogether.
    pub total: Duration,
}

impl Spans {
    fn add(&mut self, span: Duration) {
        self.count += 1;
        self.last = span;
        self.total += span;
    }
}

/// One peer's signs of life, as this node sees them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Life {
    /// Since the last one.
    pub silence: Duration,
    /// How surely it is gone: −log₁₀ of the probability that a live peer is silent for so long. `None`
    /// while there are too few signs to judge by.
    pub phi: Option<f64>,
}

/// What a node measured since it started.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    /// Times without a leader: silences that outlast a leader's lease, and changes of the leader.
    pub leaderless: Spans,
    /// For how long there is no leader now, if there is none: none was heard for longer than its lease.
    pub leaderless_now: Option<Duration>,
    /// Peers that were away and came back, from their return until they were in sync. Measured by the
    /// leader.
    pub resyncs: Spans,
    /// Members whose copy of the log is in sync, this node's too. Known to the leader.
    pub copies_in_sync: Option<usize>,
    /// Members.
    pub copies_wanted: usize,
    /// The peers that gave signs of life.
    pub peers: BTreeMap<NodeId, Life>,
    /// Syncs of the log to disk.
    pub log_syncs: SyncTimes,
}

/// How a leader sees a follower at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    /// It answered within the time that a majority has to.
    pub reachable: bool,
    /// How many entries it lacks.
    pub behind: u64,
}

/// Where a follower is on its way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Not heard of since this node leads, or since the follower was added.
    New(Instant),
    InSync,
    Away,
    Back(Instant),
}

impl Way {
    /// The next step, and how long a return took that ends with it.
    fn next(self, sample: Sample, now: Instant) -> (Self, Option<Duration>) {
        let near = sample.reachable && sample.behind <= IN_SYNC_LAG_MAX;
        match self {
            Self::New(since) if !sample.reachable && now.saturating_duration_since(since) < FIRST_WORD => (self, None),
            // Who is in sync when it is first heard of was not away.
            Self::New(_) if near => (Self::InSync, None),
            _ if !sample.reachable => (Self::Away, None),
            Self::New(_) | Self::Away if !near => (Self::Back(now), None),
            Self::Away => (Self::InSync, Some(Duration::ZERO)),
            Self::Back(since) if near => (Self::InSync, Some(now.saturating_duration_since(since))),
            way => (way, None),
        }
    }
}

#[derive(Debug)]
struct Inner {
    peers: BTreeMap<NodeId, Detector>,
    /// Who led last.
    leader: Option<NodeId>,
    /// When it was last known to lead; the start, before there was one.
    led: Instant,
    leaderless: Spans,
    ways: BTreeMap<NodeId, Way>,
    resyncs: Spans,
    copies_in_sync: Option<usize>,
    copies_wanted: usize,
}

/// Measures. Shared by whatever sees signs.
#[derive(Debug)]
pub(super) struct Figures {
    /// A silence longer than this is one without a leader.
    lease: Duration,
    /// How long signs of the better kind may be missing.
    patience: Duration,
    inner: Mutex<Inner>,
}

impl Figures {
    pub fn new(lease: Duration, patience: Duration) -> Self {
        let inner = Inner {
            peers: BTreeMap::new(),
            leader: None,
            led: Instant::now(),
            leaderless: Spans::default(),
            ways: BTreeMap::new(),
            resyncs: Spans::default(),
            copies_in_sync: None,
            copies_wanted: 0,
        };
        Self { lease, patience, inner: Mutex::new(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A peer gave a sign of life.
    pub fn heard(&self, peer: NodeId, sign: Sign) {
        let now = Instant::now();
        let mut inner = self.lock();
        inner.peers.entry(peer).or_insert_with(|| Detector::new(sign, now)).heard(sign, now, self.patience);
    }

    /// Somebody leads: this node, or the one whose heartbeat came.
    pub fn led_by(&self, leader: NodeId) {
        self.led_by_at(leader, Instant::now());
    }

    fn led_by_at(&self, leader: NodeId, now: Instant) {
        let mut inner = self.lock();
        let silence = now.saturating_duration_since(std::mem::replace(&mut inner.led, now));
        let before = inner.leader.replace(leader);
        if before.is_some_and(|before| before != leader || silence > self.lease) {
            inner.leaderless.add(silence);
        }
    }

    /// How this node as the leader sees its followers; `None` when it does not lead.
    pub fn sample(&self, followers: Option<&BTreeMap<NodeId, Sample>>, members: usize) {
        self.sample_at(followers, members, Instant::now());
    }

    fn sample_at(&self, followers: Option<&BTreeMap<NodeId, Sample>>, members: usize, now: Instant) {
        let mut inner = self.lock();
        inner.copies_wanted = members;
        let Some(followers) = followers else {
            inner.copies_in_sync = None;
            inner.ways.clear();
            return;
        };
        let Inner { ways, resyncs, .. } = &mut *inner;
        ways.retain(|id, _| followers.contains_key(id));
        let mut in_sync = 1;
        for (id, sample) in followers {
            in_sync += usize::from(sample.reachable && sample.behind <= IN_SYNC_LAG_MAX);
            let way = ways.entry(*id).or_insert(Way::New(now));
            let (next, took) = way.next(*sample, now);
            *way = next;
            took.into_iter().for_each(|took| resyncs.add(took));
        }
        inner.copies_in_sync = Some(in_sync);
    }

    /// Everything, now.
    pub fn measured(&self) -> Measured {
        self.measured_at(Instant::now())
    }

    fn measured_at(&self, now: Instant) -> Measured {
        let inner = self.lock();
        let silence = now.saturating_duration_since(inner.led);
        Measured {
            leaderless: inner.leaderless,
            leaderless_now: (silence > self.lease).then_some(silence),
            resyncs: inner.resyncs,
            copies_in_sync: inner.copies_in_sync,
            copies_wanted: inner.copies_wanted,
            peers: inner
                .peers
                .iter()
                .map(|(id, detector)| (*id, Life { silence: detector.silence(now), phi: detector.phi(now) }))
                .collect(),
            log_syncs: SyncTimes::default(),
        }
    }

    /// Forgets peers that are no members any more.
    pub fn keep(&self, is_member: impl Fn(NodeId) -> bool) {
        self.lock().peers.retain(|id, _| is_member(*id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        Figures::new(Duration::from_millis(300), Duration::from_secs(3))
    }

    #[test]
    fn a_long_silence_and_a_new_leader_are_times_without_one() {
        let figures = figures();
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        for (leader, millis) in [(1, 0), (1, 50), (1, 100), (2, 180), (2, 230), (2, 1_230)] {
            figures.led_by_at(leader, at(millis));
        }
        let gone = |millis| figures.measured_at(at(millis)).leaderless_now.map(|gone| gone.as_millis());
        assert_eq!((gone(1_530), gone(1_531)), (None, Some(301)), "a leader is one for as long as its lease");
        let leaderless = figures.measured().leaderless;
        assert_eq!((leaderless.count, leaderless.last.as_millis(), leaderless.total.as_millis()), (2, 1_000, 1_080));
    }

    #[test]
    fn before_the_first_leader_there_is_none() {
        let figures = figures();
        let gone = |millis| figures.measured_at(Instant::now() + Duration::from_millis(millis)).leaderless_now;
        assert!(gone(0).is_none(), "one may just not have been heard yet");
        assert!(gone(301).is_some());
        assert_eq!(figures.measured().leaderless, Spans::default());
    }

    #[test]
    fn a_return_is_measured_until_the_copy_is_in_sync() {
        let figures = figures();
        let start = Instant::now();
        let look = |millis, reachable, behind| {
            let followers =
                BTreeMap::from([(2, Sample { reachable, behind }), (3, Sample { reachable: true, behind: 5 })]);
            figures.sample_at(Some(&followers), 3, start + Duration::from_millis(millis));
            let measured = figures.measured();
            (measured.copies_in_sync, measured.resyncs.count)
        };
        assert_eq!(look(0, false, 9), (Some(2), 0), "not heard of yet");
        assert_eq!(look(20, true, 0), (Some(3), 0), "in sync from the beginning is no return");
        assert_eq!(look(50, true, 5_000), (Some(2), 0), "a lag alone is none either");
        assert_eq!(look(100, true, 0), (Some(3), 0));
        assert_eq!(look(1_000, false, 0), (Some(2), 0));
        assert_eq!(look(2_000, true, 5_000), (Some(2), 0));
        assert_eq!(look(2_400, true, 90), (Some(3), 1));
        assert_eq!(figures.measured().resyncs.last, Duration::from_millis(400));
        figures.sample_at(None, 3, start);
        assert_eq!((figures.measured().copies_in_sync, figures.measured().copies_wanted), (None, 3));
    }
}
