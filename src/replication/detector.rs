//! How sure a node is that another one is gone: the φ accrual failure detector (Hayashibara et al., "The
//! φ accrual failure detector", SRDS 2004).
//!
//! φ = −log₁₀ of the probability that a live peer would have been silent for so long, judged by the
//! times between its last signs of life: at φ = 1 one in ten such silences is of a live peer, at
//! φ = 8 one in a hundred million. It is shown and exported, and never a reason to elect. The
//! published crates for it read the clock themselves, which a simulated node must not.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Times between signs that are kept.
const WINDOW: usize = 200;

/// Fewer say nothing.
const SAMPLES_MIN: usize = 8;

/// The least deviation assumed, as a part of the mean: signs that come like clockwork would make
/// the first late one a catastrophe.
const DEVIATION_MIN_PARTS: f64 = 4.0;

/// The largest φ told; beyond it the arithmetic has no digits left.
pub(super) const PHI_MAX: f64 = 300.0;

/// Where signs of life come from. Each has its own rhythm, so they are not mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sign {
    /// An answer to the regular question for state digests: any pair of nodes.
    Digest,
    /// A heartbeat, or the answer to one: leader and follower.
    Heartbeat,
}

/// The signs of one peer.
#[derive(Debug)]
pub(super) struct Detector {
    sign: Sign,
    last: Instant,
    /// The last times between signs, in seconds, with their sum and the sum of their squares.
    times: VecDeque<f64>,
    sum: f64,
    squares: f64,
}

impl Detector {
    /// Begins with a first sign.
    pub fn new(sign: Sign, at: Instant) -> Self {
        Self { sign, last: at, times: VecDeque::with_capacity(WINDOW), sum: 0.0, squares: 0.0 }
    }

    /// Notes a sign. The better kind takes over at once; the other one when the better has been
    /// missing for longer than `patience`, as after a change of the leader.
    pub fn heard(&mut self, sign: Sign, at: Instant, patience: Duration) {
        if sign != self.sign {
            if sign < self.sign && at.saturating_duration_since(self.last) < patience {
                return;
            }
            *self = Self::new(sign, at);
            return;
        }
        let time = at.saturating_duration_since(self.last).as_secs_f64();
        self.last = at;
        if self.times.len() == WINDOW
            && let Some(oldest) = self.times.pop_front()
        {
            self.sum -= oldest;
            self.squares -= oldest * oldest;
        }
        self.times.push_back(time);
        self.sum += time;
        self.squares += time * time;
    }

    /// Since the last sign.
    pub fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.last)
    }

    /// φ now; `None` as long as there are too few signs to judge by.
    pub fn phi(&self, now: Instant) -> Option<f64> {
        let count = self.times.len();
        if count < SAMPLES_MIN {
            return None;
        }
        let mean = self.sum / count as f64;
        let variance = (self.squares / count as f64 - mean * mean).max(0.0);
        let deviation = variance.sqrt().max(mean / DEVIATION_MIN_PARTS).max(f64::MIN_POSITIVE);
        Some(phi((self.silence(now).as_secs_f64() - mean) / deviation))
    }
}

/// −log₁₀ of the probability that a normally distributed time is more than `y` deviations above the
/// mean, by the logistic approximation of the cumulative distribution (Bowling et al. 2009; error
/// below 0.00014).
fn phi(y: f64) -> f64 {
    let exponent = y * (1.5976 + 0.070_566 * y * y);
    // −log₁₀(1 / (1 + eˣ)), which for a large x is x · log₁₀ e.
    let phi = if exponent > 700.0 {
        exponent * std::f64::consts::LOG10_E
    } else {
        exponent.exp().ln_1p() / std::f64::consts::LN_10
    };
    phi.min(PHI_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAT: Duration = Duration::from_millis(50);
    const PATIENCE: Duration = Duration::from_secs(2);

    fn steady(count: u32) -> (Detector, Instant) {
        let start = Instant::now();
        let mut detector = Detector::new(Sign::Heartbeat, start);
        for beat in 1..=count {
            detector.heard(Sign::Heartbeat, start + BEAT * beat, PATIENCE);
        }
        (detector, start + BEAT * count)
    }

    #[test]
    fn phi_is_the_probability_of_such_a_silence() {
        // Of a normal distribution: half lies above the mean, 2.275 % above two deviations, 0.135 % above three.
        for (y, above) in [(0.0, 0.5), (2.0, 0.022_75), (3.0, 0.001_35)] {
            assert!((phi(y) + f64::log10(above)).abs() < 0.05, "{y}: {}", phi(y));
        }
        assert!(phi(-3.0) < 0.001);
        assert_eq!(phi(1e9), PHI_MAX, "no overflow");
    }

    #[test]
    fn suspicion_grows_with_silence_and_goes_with_a_sign() {
        let (mut detector, last) = steady(300);
        assert!(detector.phi(last + BEAT).expect("enough signs") < 1.0);
        let phis: Vec<f64> = (1..20).map(|beats| detector.phi(last + BEAT * beats).expect("enough signs")).collect();
        assert!(phis.is_sorted() && phis[4] > 8.0, "{phis:?}");
        detector.heard(Sign::Heartbeat, last + BEAT * 4, PATIENCE);
        assert!(detector.phi(last + BEAT * 5).expect("enough signs") < 1.0);
        assert_eq!(steady(5).0.phi(last), None, "too few to judge by");
    }

    #[test]
    fn an_irregular_peer_is_given_more_time() {
        let start = Instant::now();
        let mut irregular = Detector::new(Sign::Heartbeat, start);
        let mut at = start;
        for beat in 0..100 {
            at += if beat % 2 == 0 { BEAT / 10 } else { BEAT * 19 / 10 };
            irregular.heard(Sign::Heartbeat, at, PATIENCE);
        }
        let (regular, last) = steady(100);
        let silence = BEAT * 3;
        assert!(irregular.phi(at + silence).expect("signs") < regular.phi(last + silence).expect("signs"));
    }

    #[test]
    fn the_rhythms_of_two_kinds_of_signs_are_not_mixed() {
        let (mut detector, last) = steady(100);
        detector.heard(Sign::Digest, last + BEAT, PATIENCE);
        assert_eq!(detector.silence(last + BEAT), BEAT, "the heartbeats count");
        detector.heard(Sign::Digest, last + PATIENCE, PATIENCE);
        assert_eq!((detector.silence(last + PATIENCE), detector.phi(last + PATIENCE)), (Duration::ZERO, None));
        detector.heard(Sign::Heartbeat, last + PATIENCE + BEAT, PATIENCE);
        assert_eq!(detector.sign, Sign::Heartbeat);
    }
}
