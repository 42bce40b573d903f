//! What happened in all sequences of a test: a test of quiet sequences proves nothing.

use std::collections::BTreeMap;

use counterfoil::core::event::{EventBody, Outcome, Record};
use counterfoil::core::types::CancelReason;

/// How often each thing was seen.
#[derive(Debug, Clone, Default)]
pub struct Tally(pub BTreeMap<String, u64>);

impl Tally {
    /// Counts a record.
    pub fn record(&mut self, record: &Record) {
        for event in &record.events {
            let debug = format!("{:?}", event.body);
            let name = debug.split('(').next().unwrap_or_default().to_owned();
            let name = match &event.body {
                EventBody::Rejected(reason) => format!("{name} {reason}"),
                EventBody::OrderCancelled(event) => format!("{name} {:?}", event.reason),
                EventBody::OrderReplaced(event) => format!("{name} kept {}", event.priority_kept),
                EventBody::MassCancelled(event) if event.count == 0 => format!("{name} none"),
                _ => name,
            };
            *self.0.entry(name).or_default() += 1;
        }
    }

    /// Counts an outcome.
    pub fn outcome(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Applied { .. } => {}
            Outcome::Duplicate { .. } => *self.0.entry("Duplicate".to_owned()).or_default() += 1,
            Outcome::IdReused { .. } => *self.0.entry("IdReused".to_owned()).or_default() += 1,
        }
    }

    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.0 {
            *self.0.entry(name.clone()).or_default() += count;
        }
    }

    /// How often `name` was seen.
    pub fn count(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Demands that each of `names` was seen at least `least` times.
    pub fn demand<'a>(&self, least: u64, names: impl IntoIterator<Item = &'a str>) {
        let rare: Vec<_> = names.into_iter().filter(|name| self.count(name) < least).collect();
        assert!(rare.is_empty(), "too rare to prove anything: {rare:?}, of {:#?}", self.0);
    }
}

/// The events that make a sequence worth running, as the tally names them.
pub fn interesting() -> Vec<String> {
    let mut names: Vec<String> = [
        "OrderAccepted",
        "Trade",
        "OrderReplaced kept true",
        "OrderReplaced kept false",
        "OrderReduced",
        "MassCancelled",
        "Transferred",
        "PendingPosted",
        "PendingVoided",
        "PendingExpired",
        "AccountStateSet",
        "AccountAssetSet",
        "MarketPhaseSet",
        "Duplicate",
        "IdReused",
    ]
    .map(str::to_owned)
    .to_vec();
    names.extend(CancelReason::ALL.iter().map(|reason| format!("OrderCancelled {reason:?}")));
    names
}
