//! Answers to commands, each made of its record alone: of the record that was just made, or for a
//! command sent again of the one in the journal.

use std::collections::HashMap;

use bytes::Bytes;

use super::convert::result;
use super::errors::Refusal;
use super::history::{EventReader, History, Reading};
use super::reads::Reads;
use super::sequencer::Part;
use crate::core::Effects;
use crate::core::event::{Outcome, RecordView};
use crate::core::reply::Summary;
use crate::core::types::Sequence;
use crate::proto::v1 as pb;

/// Makes answers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Answers {
    history: History,
    reads: Reads,
}

impl Answers {
    /// Answers from this history.
    #[must_use]
    pub fn new(history: History, reads: Reads) -> Self {
        Self { history, reads }
    }

    /// The answers to a request's commands; `ids` are those of the commands, in order.
    ///
    /// # Errors
    /// When the record of a duplicate cannot be read.
    pub async fn results(&self, parts: &[Part], ids: Vec<Bytes>) -> Result<Vec<pb::CommandResult>, Refusal> {
        let past = past_sequences(parts);
        let past = if past.is_empty() { HashMap::new() } else { self.past_summaries(past).await? };
        let mut ids = ids.into_iter();
        let mut results = Vec::with_capacity(ids.len());
        for part in parts {
            for outcome in outcomes(part) {
                let id = ids.next().unwrap_or_default();
                results.push(match *outcome {
                    Outcome::Applied { record } => {
                        let summary = Summary::of(part.applied.effects.record(record as usize));
                        result::result(id, &summary, false)
                    }
                    Outcome::Duplicate { sequence } => {
                        let summary = match find(&part.applied.effects, sequence) {
                            Some(record) => Summary::of(record),
                            None => past.get(&sequence).cloned().ok_or(Refusal::Faulty)?,
                        };
                        result::result(id, &summary, true)
                    }
                    Outcome::IdReused { sequence } => result::id_reused(id, sequence),
                });
            }
        }
        Ok(results)
    }

    /// The answers that the journal holds, by the first events of their records.
    async fn past_summaries(&self, mut past: Vec<Sequence>) -> Result<HashMap<Sequence, Summary>, Refusal> {
        past.sort_unstable();
        past.dedup();
        if let Some(last) = past.last() {
            self.reads.reach(*last).await?;
        }
        let read = move |reading: &Reading| {
            let mut events = EventReader::new(reading);
            past.into_iter().map(|sequence| Ok((sequence, Summary::of(events.record(sequence)?.view())))).collect()
        };
        self.history.read(read).await
    }
}

fn outcomes(part: &Part) -> &[Outcome] {
    &part.applied.effects.outcomes[part.first..part.first + part.count]
}

/// The records that answer duplicates and are not part of what was applied now.
fn past_sequences(parts: &[Part]) -> Vec<Sequence> {
    let mut past = Vec::new();
    for part in parts {
        for outcome in outcomes(part) {
            if let Outcome::Duplicate { sequence } = *outcome
                && find(&part.applied.effects, sequence).is_none()
            {
                past.push(sequence);
            }
        }
    }
    past
}

/// The record that begins at this sequence, when it is one of these.
fn find(effects: &Effects, sequence: Sequence) -> Option<RecordView<'_>> {
    let (mut low, mut high) = (0, effects.record_count());
    while low < high {
        let middle = low.midpoint(high);
        if effects.record(middle).sequence < sequence {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    (low < effects.record_count()).then(|| effects.record(low)).filter(|record| record.sequence == sequence)
}
