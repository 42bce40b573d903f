//! When a run was too quiet to prove anything.

use std::collections::BTreeMap;

use super::report::Report;

/// What a run must show before its silence counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Demands {
    /// Commands that must have been acknowledged.
    pub acknowledged: u64,
    /// Reads that must have been answered.
    pub reads: u64,
    /// Events that must have been seen at least once; named as the report names them.
    pub events: Vec<&'static str>,
    /// Kinds of fault that must have been inflicted, each with the least number.
    pub faults: BTreeMap<String, u64>,
    /// Changes of leader.
    pub leader_changes: u64,
}

/// What happened in a run besides what clients saw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// Faults inflicted, by kind.
    pub faults: BTreeMap<String, u64>,
    /// Changes of leader.
    pub leader_changes: u64,
    /// Every account was read on every node after the last fault was over.
    pub final_reads: bool,
}

impl Demands {
    /// What was missing, in words; nothing when the run counts.
    #[must_use]
    pub fn unmet(&self, report: &Report, seen: &Seen) -> Vec<String> {
        let mut unmet = Vec::new();
        let mut need = |what: &str, least: u64, is: u64| {
            if is < least {
                unmet.push(format!("{what}: {is}, at least {least} are needed"));
            }
        };
        need("acknowledged commands", self.acknowledged, report.acknowledged);
        need("reads", self.reads, report.reads);
        for kind in &self.events {
            need(&format!("events {kind}"), 1, report.seen(kind));
        }
        for (kind, least) in &self.faults {
            need(&format!("faults {kind}"), *least, seen.faults.get(kind).copied().unwrap_or_default());
        }
        need("changes of leader", self.leader_changes, seen.leader_changes);
        if !seen.final_reads {
            unmet.push("the final reads are not complete".to_owned());
        }
        unmet
    }
}
