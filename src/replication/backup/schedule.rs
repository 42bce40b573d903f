//! When backups are due: cron words, in UTC, over what the target already has.
//!
//! Nothing is remembered beside the target. A backup is due when the words named a moment since the last
//! one that does as much was begun; so a moment that was missed is made up for, once.

use std::str::FromStr as _;
use std::time::Duration;

use chrono::{DateTime, Utc};
use croner::Cron;

use super::work::Work;
use crate::store::backup::Kind;
use crate::store::backup::check::{Depth, Finding};
use crate::store::backup::plan::Catalogue;

/// Cron words.
#[derive(Debug, Clone)]
pub struct Words(Cron);

impl Words {
    /// Reads cron words: minute, hour, day of the month, month, day of the week.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.split_whitespace().count() != FIELDS && !text.starts_with('@') {
            return Err(format!("cron words are {FIELDS}: minute, hour, day, month, weekday"));
        }
        let cron = Cron::from_str(text).map_err(|error| error.to_string())?;
        let words = Self(cron);
        match words.last_before(DateTime::<Utc>::from_timestamp_millis(REFERENCE_MS).unwrap_or_default()) {
            Some(_) => Ok(words),
            None => Err("they name no moment".to_owned()),
        }
    }

    /// The last moment that they name, at or before `now`.
    fn last_before(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.0.find_previous_occurrence(&now, true).ok()
    }

    /// The same in milliseconds since the Unix epoch.
    fn last_ms(&self, now_ms: u64) -> Option<u64> {
        let now = DateTime::<Utc>::from_timestamp_millis(i64::try_from(now_ms).ok()?)?;
        u64::try_from(self.last_before(now)?.timestamp_millis()).ok()
    }
}

/// How many words there are.
const FIELDS: usize = 5;

/// A moment before which every set of words has named one: 2026.
const REFERENCE_MS: i64 = 1_767_225_600_000;

/// What is done when. What has no words is not done by itself.
#[derive(Debug, Clone, Default)]
pub struct Schedule {
    /// Full backups.
    pub full: Option<Words>,
    /// Differential ones.
    pub differential: Option<Words>,
    /// Incremental ones.
    pub incremental: Option<Words>,
    /// Restores of the newest backup on trial.
    pub trial: Option<Words>,
    /// How long something may be due before that is an alarm.
    pub grace: Duration,
}

/// The state of the backups, as the schedule looks at it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The complete backups.
    pub catalogue: &'a Catalogue,
    /// What checks found of the newest of them; the order does not matter.
    pub findings: &'a [Finding],
    /// Whether the log has grown so far that it should be backed up to be purged.
    pub log_presses: bool,
    /// The time of day, in milliseconds since the Unix epoch.
    pub now_ms: u64,
}

impl Seen<'_> {
    fn finding(&self, id: &str) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.backup == id)
    }

    /// The backups of which a restore can be made, by what is known of them.
    pub fn sound(&self) -> Catalogue {
        self.catalogue.sound(|id| self.finding(id).is_some_and(|finding| finding.problem.is_some()))
    }

    /// When the newest `sound` backup was begun that does at least as much, and is good if that is asked.
    fn newest_ms(&self, sound: &Catalogue, kind: Kind, good: bool) -> Option<u64> {
        let backups = sound.backups.iter().filter(|manifest| manifest.kind <= kind);
        let found_good = |id: &str| self.finding(id).is_some_and(|finding| finding.problem.is_none());
        backups.filter(|manifest| !good || found_good(&manifest.id)).map(|manifest| manifest.begun_ms).max()
    }
}

impl Schedule {
    fn backups(&self) -> [(Kind, Option<&Words>); 3] {
        [
            (Kind::Full, self.full.as_ref()),
            (Kind::Differential, self.differential.as_ref()),
            (Kind::Incremental, self.incremental.as_ref()),
        ]
    }

    /// Whether anything is done by itself.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.backups().iter().all(|(_, words)| words.is_none())
    }

    /// What is due, the most needed first.
    #[must_use]
    pub fn due(&self, seen: &Seen<'_>) -> Option<Work> {
        if self.is_empty() {
            return None;
        }
        // Nothing goes on from what is damaged.
        let sound = seen.sound();
        if sound.newest_full().is_none() {
            return Some(Work::BackUp(Kind::Full));
        }
        let late = self.late(seen, &sound, Duration::ZERO, false).map(Work::BackUp);
        let pressed = || seen.log_presses.then_some(Work::BackUp(Kind::Incremental));
        late.or_else(pressed).or_else(|| self.due_trial(seen, &sound))
    }

    /// The first kind of which none was begun since its words named a moment more than `grace` ago.
    fn late(&self, seen: &Seen<'_>, sound: &Catalogue, grace: Duration, good: bool) -> Option<Kind> {
        let by = seen.now_ms.saturating_sub(u64::try_from(grace.as_millis()).unwrap_or(u64::MAX));
        let late = |(kind, words): &(Kind, Option<&Words>)| {
            let moment = words.and_then(|words| words.last_ms(by));
            moment.is_some_and(|moment| seen.newest_ms(sound, *kind, good).is_none_or(|begun| begun < moment))
        };
        self.backups().into_iter().find(late).map(|(kind, _)| kind)
    }

    fn due_trial(&self, seen: &Seen<'_>, sound: &Catalogue) -> Option<Work> {
        let moment = self.trial.as_ref()?.last_ms(seen.now_ms)?;
        let tried =
            seen.findings.iter().filter(|finding| finding.depth == Depth::Trial).map(|finding| finding.at_ms).max();
        let newest = sound.newest()?;
        (tried.unwrap_or(0) < moment).then(|| Work::Check(newest.id.clone(), Depth::Trial))
    }

    /// Why an operator should look at the backups: one is overdue, or the newest check went wrong.
    #[must_use]
    pub fn alarm(&self, seen: &Seen<'_>) -> Option<String> {
        let sound = seen.sound();
        // A newer one that stands by itself makes good for those that are damaged.
        let is_sound = sound.newest() == seen.catalogue.newest();
        let bad = seen.catalogue.backups.iter().rev().filter(|_| !is_sound).find_map(|manifest| {
            let problem = seen.finding(&manifest.id)?.problem.as_ref()?;
            Some(format!("backup {} is not good: {problem}", manifest.id))
        });
        let late = || {
            let kind = self.late(seen, &sound, self.grace, true)?;
            Some(format!("no good {kind} backup was begun since one was due, more than {:?} ago", self.grace))
        };
        bad.or_else(late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::backup::Manifest;
    use crate::store::backup::manifest::sample;

    const MINUTE: u64 = 60_000;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;

    /// A Thursday, 00:00.
    const START: u64 = 1_767_225_600_000;

    fn schedule() -> Schedule {
        let words = |text| Some(Words::parse(text).expect("cron words"));
        Schedule {
            full: words("0 3 * * sun"),
            differential: words("0 3 * * *"),
            incremental: words("*/10 * * * *"),
            trial: words("0 5 * * *"),
            grace: Duration::from_secs(30 * 60),
        }
    }

    fn backup(id: &str, kind: Kind, begun_ms: u64) -> Manifest {
        Manifest { kind, begun_ms, ..sample(id) }
    }

    fn good(id: &str, depth: Depth, at_ms: u64) -> Finding {
        Finding {
            backup: id.to_owned(),
            depth,
            at_ms,
            took_ms: 1,
            problem: None,
            log_applied: true,
            events: 1,
            events_lost: 0,
        }
    }

    fn due(catalogue: &Catalogue, findings: &[Finding], now_ms: u64) -> Option<Work> {
        schedule().due(&Seen { catalogue, findings, log_presses: false, now_ms })
    }

    #[test]
    fn what_was_missed_is_made_up_for_once_and_more_stands_for_less() {
        let tried = [good("f", Depth::Trial, START + 5 * HOUR)];
        assert_eq!(due(&Catalogue::default(), &[], START), Some(Work::BackUp(Kind::Full)), "the first one");
        let one = |kind, begun| Catalogue::new(vec![backup("f", Kind::Full, START - DAY), backup("x", kind, begun)]);
        let now = START + 6 * HOUR + MINUTE;
        assert_eq!(due(&one(Kind::Full, now), &tried, now + MINUTE), None);
        assert_eq!(due(&one(Kind::Full, now), &tried, now + 9 * MINUTE), Some(Work::BackUp(Kind::Incremental)));
        let old = one(Kind::Incremental, now);
        assert_eq!(due(&old, &tried, now), Some(Work::BackUp(Kind::Differential)), "since three o'clock");
        let sunday = START + 3 * DAY + 4 * HOUR;
        let tried = [good("f", Depth::Trial, sunday)];
        assert_eq!(due(&one(Kind::Differential, sunday), &tried, sunday), Some(Work::BackUp(Kind::Full)));
    }

    #[test]
    fn a_trial_is_due_once_a_day_and_a_log_that_grows_presses() {
        let now = START + 6 * HOUR;
        let catalogue = Catalogue::new(vec![backup("f", Kind::Full, now)]);
        let trial = Some(Work::Check("f".to_owned(), Depth::Trial));
        assert_eq!(due(&catalogue, &[good("f", Depth::Parts, now)], now), trial);
        assert_eq!(due(&catalogue, &[good("f", Depth::Trial, START)], now), trial);
        assert_eq!(due(&catalogue, &[good("f", Depth::Trial, now)], now), None);
        let findings = [good("f", Depth::Trial, now)];
        let seen = Seen { catalogue: &catalogue, findings: &findings, log_presses: true, now_ms: now };
        assert_eq!(schedule().due(&seen), Some(Work::BackUp(Kind::Incremental)));
        assert_eq!(Schedule::default().due(&seen), None, "nothing is done that nobody asked for");
    }

    #[test]
    fn an_alarm_waits_for_its_grace_and_only_good_backups_count() {
        let now = START + 6 * HOUR;
        let catalogue = Catalogue::new(vec![backup("f", Kind::Full, now)]);
        let alarm = |findings: &[Finding], now_ms| {
            schedule().alarm(&Seen { catalogue: &catalogue, findings, log_presses: false, now_ms })
        };
        let fine = [good("f", Depth::Parts, now)];
        assert_eq!(alarm(&fine, now + 25 * MINUTE), None);
        assert!(alarm(&fine, now + 45 * MINUTE).is_some_and(|text| text.contains("incremental")));
        assert!(alarm(&[], now).is_some(), "one that was never checked is not known to be good");
        let bad = [Finding { problem: Some("a bit".to_owned()), ..good("f", Depth::Parts, now) }];
        assert!(alarm(&bad, now).is_some_and(|text| text.contains("a bit")));
    }

    #[test]
    fn what_is_damaged_is_followed_by_a_full_backup_which_ends_the_alarm() {
        let now = START + 6 * HOUR;
        let bad = |id: &str| Finding { problem: Some("a bit".to_owned()), ..good(id, Depth::Trial, now) };
        let one = Catalogue::new(vec![backup("f", Kind::Full, now)]);
        fn seen<'a>(catalogue: &'a Catalogue, findings: &'a [Finding]) -> Seen<'a> {
            Seen { catalogue, findings, log_presses: false, now_ms: START + 6 * HOUR }
        }
        let findings = [bad("f")];
        assert_eq!(due(&one, &findings, now), Some(Work::BackUp(Kind::Full)));
        assert!(schedule().alarm(&seen(&one, &findings)).is_some());
        let two = Catalogue::new(vec![backup("f", Kind::Full, now), backup("g", Kind::Full, now)]);
        let findings = [bad("f"), good("g", Depth::Trial, now)];
        assert_eq!(due(&two, &findings, now), None);
        assert_eq!(schedule().alarm(&seen(&two, &findings)), None);
    }

    #[test]
    fn words_that_are_none_are_refused() {
        for bad in ["", "* * * *", "* * * * * *", "61 * * * *", "0 3 * * funday", "0 0 31 feb *"] {
            assert!(Words::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["0 3 * * sun", "*/10 * * * *", "5,35 8-18 * * mon-fri", "@daily"] {
            assert!(Words::parse(good).is_ok(), "{good:?}");
        }
    }
}
