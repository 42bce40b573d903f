//! Real-time order: what was answered before something else was sent comes before it.

use super::history::{History, Moment, ReadLevel};
use super::report::{Report, Violation};
use crate::core::types::{LogIndex, Sequence};

/// Where a command stands in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    pub index: LogIndex,
    pub sequence: Sequence,
}

/// Walks the log backwards: nothing that stands at or behind a command was answered before it was
/// sent.
pub(super) fn check_commands(history: &History, placed: &[Option<Placed>], report: &mut Report) {
    let operations = history.operations();
    let mut in_log: Vec<(Placed, usize)> =
        placed.iter().enumerate().filter_map(|(operation, placed)| Some(((*placed)?, operation))).collect();
    in_log.sort_unstable_by_key(|(placed, _)| placed.sequence);
    // The earliest answer at or behind the place, and whose it is.
    let mut earliest: Option<(Moment, usize)> = None;
    for entry in in_log.chunk_by(|(one, _), (next, _)| one.index == next.index).rev() {
        for &(_, operation) in entry {
            if let Some((answered, _)) = operations[operation].answered
                && earliest.is_none_or(|(known, _)| answered < known)
            {
                earliest = Some((answered, operation));
            }
        }
        let Some((answered, first)) = earliest else { continue };
        for &(_, operation) in entry {
            if operation != first && answered < operations[operation].sent {
                let (first, second) = (operations[first].id(), operations[operation].id());
                report.add(Violation::Reordered { first, second });
            }
        }
    }
}

/// The highest sequence answered so far, by the time of the answer.
struct HighestByTime(Vec<(Moment, u64)>);

impl HighestByTime {
    fn new(mut answers: Vec<(Moment, u64)>) -> Self {
        answers.sort_unstable();
        let mut highest = 0;
        for (_, sequence) in &mut answers {
            highest = highest.max(*sequence);
            *sequence = highest;
        }
        Self(answers)
    }

    /// Of all that was answered before this moment.
    fn before(&self, moment: Moment) -> u64 {
        let count = self.0.partition_point(|(answered, _)| *answered < moment);
        count.checked_sub(1).map_or(0, |last| self.0[last].1)
    }
}

/// A linearizable read sees what was answered before it was sent; no read sees what was sent after
/// it was answered.
pub(super) fn check_reads(history: &History, placed: &[Option<Placed>], report: &mut Report) {
    let commands = history.operations().iter().zip(placed);
    let answers = commands.clone().filter_map(|(operation, placed)| {
        let (answered, _) = operation.answered.as_ref()?;
        Some((*answered, (*placed)?.sequence.0))
    });
    let linearizable = history.reads().iter().filter(|read| read.level == ReadLevel::Linearizable);
    let reads = linearizable.map(|read| (read.answered, read.position().sequence));
    let known = HighestByTime::new(answers.chain(reads).collect());

    let mut later: Vec<(Moment, u64)> =
        commands.filter_map(|(operation, placed)| Some((operation.sent, (*placed)?.sequence.0))).collect();
    later.sort_unstable();
    let mut lowest = u64::MAX;
    for (_, sequence) in later.iter_mut().rev() {
        lowest = lowest.min(*sequence);
        *sequence = lowest;
    }

    for read in history.reads() {
        let saw = read.position().sequence;
        let needed = match read.level {
            ReadLevel::Linearizable => known.before(read.sent),
            ReadLevel::AtLeast(sequence) => sequence,
            ReadLevel::Stale => 0,
        };
        if saw < needed {
            report.add(Violation::StaleRead { saw: Sequence(saw), needed: Sequence(needed), sent: read.sent });
        }
        let sent_later = later.partition_point(|(sent, _)| *sent <= read.answered);
        if let Some(&(_, sequence)) = later.get(sent_later)
            && sequence <= saw
        {
            report.add(Violation::FutureRead { saw: Sequence(saw), sent_later: Sequence(sequence) });
        }
    }
}
