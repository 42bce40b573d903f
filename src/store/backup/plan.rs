//! Which backups make up a point: the newest image before it, the journal up to the image, and journal
//! and log from there on.
//!
//! Backups are pieces of one history, and pieces may overlap. So a chain is not followed from child to
//! parent; it is laid anew from the pieces that there are, the longest one that fits first. A piece that
//! is gone can be made up for by others.

use super::BackupError;
use super::manifest::{Manifest, Mark};
use crate::core::types::{LogIndex, Sequence, Timestamp};

/// The point that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// The newest that there is.
    Newest,
    /// Where this backup ends.
    Backup(String),
    /// Behind the command or time-out that made this event, or its linked chain.
    Sequence(Sequence),
    /// Behind the last event at or before this time.
    Time(Timestamp),
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Newest => write!(f, "the newest point"),
            Self::Backup(id) => write!(f, "the end of backup {id}"),
            Self::Sequence(sequence) => write!(f, "event {sequence}"),
            Self::Time(time) => write!(f, "the time {}", super::time_text(*time)),
        }
    }
}

/// What a restore reads, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan<'a> {
    /// The backup whose image it begins with; `None` to begin before the first command.
    pub image: Option<&'a Manifest>,
    /// What has the journal up to the image.
    pub journal: Vec<&'a Manifest>,
    /// What has the log from the image on.
    pub log: Vec<&'a Manifest>,
    /// What has the journal from the image on.
    pub records: Vec<&'a Manifest>,
    /// Where it ends.
    pub until: Until,
}

/// Where a restore ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// With this entry.
    Entry(LogIndex),
    /// With the record of this event.
    Sequence(Sequence),
    /// Before the first record behind this time.
    Time(Timestamp),
}

impl Plan<'_> {
    /// Where it begins.
    #[must_use]
    pub fn start(&self) -> Mark {
        self.image.and_then(|manifest| manifest.image.as_ref()).map_or_else(Mark::default, |image| image.at)
    }

    /// Bytes of the backups that are read, at most.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let mut seen = std::collections::BTreeMap::new();
        for manifest in self.image.iter().chain(&self.journal).chain(&self.log).chain(&self.records) {
            seen.insert(&manifest.id, manifest.bytes());
        }
        seen.values().sum()
    }
}

/// Pieces that lead from `start` to `end` without a gap, as few as possible, and with as little behind the end;
/// where the gap is, if there is one.
fn cover<'a>(pieces: &[(u64, u64, &'a Manifest)], start: u64, end: u64) -> Result<Vec<&'a Manifest>, u64> {
    let mut chosen = Vec::new();
    let mut at = start;
    while at < end {
        let next = pieces
            .iter()
            .filter(|(after, upto, _)| *after <= at && *upto > at)
            .max_by_key(|(_, upto, _)| (*upto.min(&end), std::cmp::Reverse(*upto)));
        let Some((_, upto, manifest)) = next else { return Err(at) };
        chosen.push(*manifest);
        at = *upto;
    }
    Ok(chosen)
}

/// The complete backups of one cluster.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// In the order of their ends.
    pub backups: Vec<Manifest>,
}

impl Catalogue {
    /// Puts backups in order.
    #[must_use]
    pub fn new(mut backups: Vec<Manifest>) -> Self {
        backups.sort_by(|one, other| (one.end.next_index(), &one.id).cmp(&(other.end.next_index(), &other.id)));
        Self { backups }
    }

    /// The one that ends last.
    #[must_use]
    pub fn newest(&self) -> Option<&Manifest> {
        self.backups.last()
    }

    /// The full one that ends last.
    #[must_use]
    pub fn newest_full(&self) -> Option<&Manifest> {
        self.backups.iter().rfind(|manifest| manifest.kind == super::manifest::Kind::Full)
    }

    /// The one of this name.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&Manifest> {
        self.backups.iter().find(|manifest| manifest.id == id)
    }

    /// The same without one.
    #[must_use]
    pub fn without(&self, id: &str) -> Self {
        Self { backups: self.backups.iter().filter(|manifest| manifest.id != id).cloned().collect() }
    }

    /// The same without those that are `damaged`, and without those that lead nowhere without them.
    #[must_use]
    pub fn sound(&self, damaged: impl Fn(&str) -> bool) -> Self {
        let whole = |manifest: &&Manifest| !damaged(&manifest.id);
        let rest = Self { backups: self.backups.iter().filter(whole).cloned().collect() };
        if rest.backups.len() == self.backups.len() {
            return rest;
        }
        let leads = |manifest: &&Manifest| {
            let goal = Goal::Backup(manifest.id.clone());
            rest.try_plan(&goal).is_ok() || self.try_plan(&goal).is_err()
        };
        Self { backups: rest.backups.iter().filter(leads).cloned().collect() }
    }

    /// Backups that others go on from and that are not there: none is ever removed before those.
    pub fn missing(&self) -> impl Iterator<Item = (&str, &Manifest)> {
        self.backups.iter().filter_map(|manifest| {
            let parent = manifest.parent.as_deref()?;
            self.find(parent).is_none().then_some((parent, manifest))
        })
    }

    fn log_pieces(&self) -> Vec<(u64, u64, &Manifest)> {
        let piece = |manifest: &'_ Manifest| (manifest.log_after.next_index().0, manifest.end.next_index().0);
        self.backups.iter().map(|manifest| (piece(manifest).0, piece(manifest).1, manifest)).collect()
    }

    fn journal_pieces(&self) -> Vec<(u64, u64, &Manifest)> {
        self.backups.iter().map(|manifest| (manifest.journal_after, manifest.end.sequence, manifest)).collect()
    }

    /// The newest point that a chain leads to.
    #[must_use]
    pub fn newest_restorable(&self) -> Option<Mark> {
        let ends = self.backups.iter().rev();
        ends.map(|manifest| (manifest, Until::Entry(LogIndex(manifest.end.next_index().0 - 1))))
            .find(|(manifest, until)| self.lay(manifest, *until).is_ok())
            .map(|(manifest, _)| manifest.end)
    }

    /// What leads to the goal.
    ///
    /// # Errors
    /// [`BackupError::Unknown`], [`BackupError::NotRestorable`].
    pub fn plan(&self, goal: &Goal) -> Result<Plan<'_>, BackupError> {
        self.try_plan(goal).map_err(|mut reason| {
            for (parent, child) in self.missing() {
                reason += &format!(
                    ", and {}, which {} goes on from, is missing or damaged",
                    Manifest::object(parent),
                    child.id
                );
            }
            let newest = super::mark_text(self.newest_restorable().as_ref());
            BackupError::NotRestorable { asked: goal.to_string(), reason, newest }
        })
    }

    fn try_plan(&self, goal: &Goal) -> Result<Plan<'_>, String> {
        let entry = |manifest: &Manifest| Until::Entry(LogIndex(manifest.end.next_index().0 - 1));
        match goal {
            Goal::Newest => {
                let newest = self.newest().ok_or_else(|| "there is no backup".to_owned())?;
                self.lay(newest, entry(newest))
            }
            Goal::Backup(id) => {
                let manifest = self.find(id).ok_or_else(|| format!("there is no backup {id}"))?;
                self.lay(manifest, entry(manifest))
            }
            Goal::Sequence(sequence) => {
                let ends = |manifest: &&Manifest| manifest.end.sequence() >= *sequence;
                self.lay_first(ends, Until::Sequence(*sequence), "the backups end before it")
            }
            Goal::Time(time) => {
                let ends = |manifest: &&Manifest| manifest.end.time() >= *time;
                self.lay_first(ends, Until::Time(*time), "the backups end before it")
            }
        }
    }

    /// The first chain to one of the backups that end late enough.
    fn lay_first(&self, ends: impl Fn(&&Manifest) -> bool, until: Until, none: &str) -> Result<Plan<'_>, String> {
        let mut reason = none.to_owned();
        for manifest in self.backups.iter().filter(ends) {
            match self.lay(manifest, until) {
                Ok(plan) => return Ok(plan),
                Err(missing) => reason = missing,
            }
        }
        Err(reason)
    }

    /// A chain that leads to `until`, which lies before the end of `last`.
    fn lay(&self, last: &Manifest, until: Until) -> Result<Plan<'_>, String> {
        let before = |at: &Mark| match until {
            Until::Entry(index) => at.next_index().0 <= index.0 + 1,
            Until::Sequence(sequence) => at.sequence() <= sequence,
            Until::Time(time) => at.time() <= time,
        };
        let images = self.backups.iter().rev().filter_map(|manifest| Some((manifest, manifest.image.as_ref()?.at)));
        let mut starts: Vec<(Option<&Manifest>, Mark)> =
            images.filter(|(_, at)| before(at)).map(|(manifest, at)| (Some(manifest), at)).collect();
        // The newest image first: the less there is to be applied again.
        starts.sort_by_key(|(_, at)| std::cmp::Reverse(at.next_index()));
        starts.push((None, Mark::default()));
        let mut reason = None;
        for (image, start) in starts {
            match self.lay_from(image, start, last, until) {
                Ok(plan) => return Ok(plan),
                Err(missing) => reason = reason.or(Some(missing)),
            }
        }
        Err(reason.unwrap_or_default())
    }

    fn lay_from<'a>(
        &'a self,
        image: Option<&'a Manifest>,
        start: Mark,
        last: &Manifest,
        until: Until,
    ) -> Result<Plan<'a>, String> {
        let gap = |what: &'static str| move |at: u64| format!("no backup has {what} {at}");
        let (log, journal) = (self.log_pieces(), self.journal_pieces());
        Ok(Plan {
            image,
            journal: cover(&journal, 0, start.sequence).map_err(|at| gap("event")(at + 1))?,
            log: cover(&log, start.next_index().0, last.end.next_index().0).map_err(gap("log entry"))?,
            records: cover(&journal, start.sequence, last.end.sequence).map_err(|at| gap("event")(at + 1))?,
            until,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::manifest::{ImageFacts, Place, sample};
    use super::*;

    fn mark(index: u64) -> Mark {
        Mark { entry: Some(Place { term: 1, index }), sequence: 10 * index, time: 100 * index }
    }

    fn backup(id: &str, image: Option<u64>, after: Option<u64>, journal_after: u64, end: u64) -> Manifest {
        let facts = |index| ImageFacts { at: mark(index), digest: String::new(), records: 0, bytes: 0 };
        Manifest {
            image: image.map(facts),
            log_after: after.map_or_else(Mark::default, mark),
            journal_after,
            end: mark(end),
            ..sample(id)
        }
    }

    /// A full one, three incremental ones, a differential one over two of them, a full one that goes on.
    fn catalogue() -> Catalogue {
        Catalogue::new(vec![
            backup("full-1", Some(8), Some(8), 0, 10),
            backup("inc-1", None, Some(10), 100, 20),
            backup("inc-2", None, Some(20), 200, 30),
            backup("diff", None, Some(10), 100, 30),
            backup("inc-3", None, Some(30), 300, 40),
            backup("full-2", Some(45), Some(40), 0, 50),
        ])
    }

    fn ids(manifests: &[&Manifest]) -> Vec<String> {
        manifests.iter().map(|manifest| manifest.id.clone()).collect()
    }

    #[test]
    fn the_fewest_pieces_lead_to_a_point() {
        let catalogue = catalogue();
        let plan = catalogue.plan(&Goal::Sequence(Sequence(305))).expect("there is one");
        assert_eq!(plan.image.map(|manifest| manifest.id.as_str()), Some("full-1"));
        assert_eq!(ids(&plan.journal), ["full-1"]);
        assert_eq!(ids(&plan.log), ["full-1", "diff", "inc-3"]);
        let newest = catalogue.plan(&Goal::Newest).expect("there is one");
        assert_eq!((ids(&newest.log), newest.start()), (vec!["full-2".to_owned()], mark(45)));
        let between = catalogue.plan(&Goal::Time(Timestamp(4_200))).expect("there is one");
        assert_eq!(ids(&between.log), ["full-1", "diff", "inc-3", "full-2"], "the newer image lies behind it");
    }

    #[test]
    fn a_lost_piece_is_made_up_for_or_named() {
        let catalogue = catalogue();
        let detour = catalogue.without("diff");
        let plan = detour.plan(&Goal::Sequence(Sequence(305))).expect("there is another way");
        assert_eq!(ids(&plan.log), ["full-1", "inc-1", "inc-2", "inc-3"]);
        let broken = detour.without("inc-2");
        let error = broken.plan(&Goal::Sequence(Sequence(305))).expect_err("a gap").to_string();
        assert!(error.contains("no backup has log entry 21"), "{error}");
        assert!(error.contains("event 500"), "the newest restorable point: {error}");
        let before = catalogue.plan(&Goal::Sequence(Sequence(70))).expect_err("before the image").to_string();
        assert!(before.contains("no backup has log entry 0"), "{before}");
        let behind = catalogue.plan(&Goal::Time(Timestamp(5_001))).expect_err("behind the end").to_string();
        assert!(behind.contains("end before it"), "{behind}");
        assert!(Catalogue::default().plan(&Goal::Newest).is_err());
        assert!(catalogue.plan(&Goal::Backup("none".to_owned())).is_err());
    }
}
