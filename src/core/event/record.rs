//! The record of one command, and its bytes.
//!
//! ```text
//! sequence, term, index, time, origin, count of events
//! per event: its body, count of postings, the postings
//! ```
//!
//! All in [dense](crate::codec::dense) bytes: the journal keeps them for ever.

use super::{EventBody, Posting};
use crate::codec::dense::{DenseOutput, DenseReader};
use crate::codec::{Decode, DecodeError, Encode, Input, record};
use crate::command::CommandKey;
use crate::types::{Sequence, Stamp};

/// One event of a record: what happened, and where its postings end in the record's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub body: EventBody,
    /// The end of this event's postings; they begin where the event before ends.
    pub postings_end: u32,
}

impl Event {
    /// The least dense bytes: those of a body without integers, such as a rejection's, and a count of no postings.
    const BYTES_MIN: usize = EventBody::BYTES_MIN + 1;
}

record! {
    /// Which command a record answers.
    #[derive(Copy)]
    pub struct Origin {
        /// Its idempotency key.
        pub key: CommandKey,
        /// Its content's digest; see [`Command::fingerprint`](crate::command::Command::fingerprint).
        pub fingerprint: u64,
    }
}

/// All that one command did; a time-out (an expiry) makes a record without an origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The number of its first event; the others follow without gaps.
    pub sequence: Sequence,
    /// Where in the log, and when.
    pub stamp: Stamp,
    /// The command, or `None` for what time brought about.
    pub origin: Option<Origin>,
    /// What happened, in order. Never empty.
    pub events: Vec<Event>,
    /// The postings of all events, in order.
    pub postings: Vec<Posting>,
}

/// A [`Record`] that borrows its lists from the [`Effects`](super::Effects) it is part of.
#[derive(Debug, Clone, Copy)]
pub struct RecordView<'a> {
    /// See [`Record::sequence`].
    pub sequence: Sequence,
    /// See [`Record::stamp`].
    pub stamp: Stamp,
    /// See [`Record::origin`].
    pub origin: Option<Origin>,
    pub(super) events: &'a [Event],
    pub(super) postings: &'a [Posting],
    pub(super) postings_start: u32,
}

impl Record {
    /// The same record, borrowed.
    #[must_use]
    pub fn view(&self) -> RecordView<'_> {
        RecordView {
            sequence: self.sequence,
            stamp: self.stamp,
            origin: self.origin,
            events: &self.events,
            postings: &self.postings,
            postings_start: 0,
        }
    }
}

impl<'a> RecordView<'a> {
    /// How many events it holds.
    #[must_use]
    pub fn event_count(&self) -> u64 {
        self.events.len() as u64
    }

    /// The sequence of its last event.
    #[must_use]
    pub fn last_sequence(&self) -> Sequence {
        Sequence(self.sequence.0 + self.event_count() - 1)
    }

    /// Each event with its number and its postings.
    pub fn events(self) -> impl Iterator<Item = (Sequence, &'a EventBody, &'a [Posting])> {
        let mut start = 0;
        self.events.iter().zip(self.sequence.0..).map(move |(event, sequence)| {
            let end = (event.postings_end - self.postings_start) as usize;
            let postings = &self.postings[start..end];
            start = end;
            (Sequence(sequence), &event.body, postings)
        })
    }

    /// The event with this number and its postings, without a walk through those before it.
    #[must_use]
    pub fn event(&self, sequence: Sequence) -> Option<(&'a EventBody, &'a [Posting])> {
        let place = usize::try_from(sequence.0.checked_sub(self.sequence.0)?).ok()?;
        let event = self.events.get(place)?;
        let before = place.checked_sub(1).map_or(self.postings_start, |before| self.events[before].postings_end);
        let (start, end) = (before - self.postings_start, event.postings_end - self.postings_start);
        Some((&event.body, &self.postings[start as usize..end as usize]))
    }

    /// All postings, in order.
    #[must_use]
    pub fn postings(&self) -> &'a [Posting] {
        self.postings
    }

    /// An owned copy.
    #[must_use]
    pub fn to_record(self) -> Record {
        let events = self
            .events
            .iter()
            .map(|event| Event { body: event.body.clone(), postings_end: event.postings_end - self.postings_start });
        Record {
            sequence: self.sequence,
            stamp: self.stamp,
            origin: self.origin,
            events: events.collect(),
            postings: self.postings.to_vec(),
        }
    }

    /// Appends its bytes.
    pub fn encode(self, out: &mut Vec<u8>) {
        let mut out = DenseOutput::at_end_of(out);
        self.sequence.encode(&mut out);
        self.stamp.encode(&mut out);
        self.origin.encode(&mut out);
        (self.events.len() as u32).encode(&mut out);
        for (_, body, postings) in self.events() {
            body.encode(&mut out);
            (postings.len() as u32).encode(&mut out);
            for posting in postings {
                posting.encode(&mut out);
            }
        }
    }

    /// Its bytes alone.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

/// What the first bytes of a record say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHead {
    /// See [`Record::sequence`].
    pub sequence: Sequence,
    /// See [`Record::stamp`].
    pub stamp: Stamp,
    /// See [`Record::origin`].
    pub origin: Option<Origin>,
    /// How many events it holds, at least one.
    pub event_count: u32,
}

impl RecordHead {
    /// Reads the head of the record that begins with these bytes, and nothing behind it.
    ///
    /// # Errors
    /// What keeps them from being those of one.
    pub fn read(record: &[u8]) -> Result<Self, DecodeError> {
        Self::decode(&mut DenseReader::new(record))
    }

    /// The sequence of the record's last event.
    #[must_use]
    pub fn last_sequence(&self) -> Sequence {
        Sequence(self.sequence.0 + u64::from(self.event_count) - 1)
    }

    fn decode(input: &mut DenseReader<'_>) -> Result<Self, DecodeError> {
        let sequence = Sequence::decode(input)?;
        let stamp = Stamp::decode(input)?;
        let origin = Option::decode(input)?;
        let event_count = u32::decode(input)?;
        if event_count == 0 || sequence.0.checked_add(u64::from(event_count)).is_none() {
            return Err(DecodeError::UnknownTag("Record", 0));
        }
        Ok(Self { sequence, stamp, origin, event_count })
    }
}

impl Record {
    /// The record that fills `bytes`.
    ///
    /// # Errors
    /// What keeps them from being those of one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = DenseReader::new(bytes);
        let RecordHead { sequence, stamp, origin, event_count } = RecordHead::decode(&mut input)?;
        let mut events = Vec::with_capacity((event_count as usize).min(input.room_for(Event::BYTES_MIN)));
        let mut postings = Vec::new();
        for _ in 0..event_count {
            let body = EventBody::decode(&mut input)?;
            postings.append(&mut Vec::decode(&mut input)?);
            events.push(Event { body, postings_end: postings.len() as u32 });
        }
        input.finish()?;
        Ok(Self { sequence, stamp, origin, events, postings })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Scope, Transfer, TransferMode};
    use crate::event::Transferred;
    use crate::rejection::Rejection;
    use crate::types::{AccountId, Amount, AssetId, CommandId, LogIndex, Term, Timestamp};

    fn transfer() -> Record {
        let id = CommandId(0x0192_1f3c_5a7e_8d3b_11c2_93d4_a5b6_c7d8);
        let key = CommandKey { scope: Scope::Transfer, account: AccountId(0), id };
        let (debit, credit, asset, amount) = (AccountId(4_711), AccountId(815), AssetId(1), Amount(250));
        let posting = |account, amount, posted| Posting {
            account,
            asset,
            amount: Amount(amount),
            hold: Amount(0),
            posted: Amount(posted),
            reserved: Amount(0),
        };
        let transfer = Transfer { debit, credit, asset, amount, mode: TransferMode::Immediate, user_data: 0, code: 0 };
        Record {
            sequence: Sequence(98_765_432),
            stamp: Stamp { term: Term(3), index: LogIndex(123_456), time: Timestamp(1_764_400_000_123_456_789) },
            origin: Some(Origin { key, fingerprint: 0x0123_4567_89ab_cdef }),
            events: vec![Event { body: EventBody::Transferred(Transferred { id, transfer }), postings_end: 2 }],
            postings: vec![posting(debit, -250, -1_000_250), posting(credit, 250, 2_000_250)],
        }
    }

    #[test]
    fn a_record_reads_back_from_its_bytes() {
        let record = transfer();
        let bytes = record.view().to_bytes();
        assert_eq!(bytes.len(), 107, "docs/PERFORMANCE.md names it");
        let head = RecordHead::read(&bytes).expect("a head");
        assert_eq!((head.sequence, head.stamp, head.origin), (record.sequence, record.stamp, record.origin));
        assert_eq!((head.event_count, head.last_sequence()), (1, record.sequence));
        for cut in 0..bytes.len() {
            assert!(Record::from_bytes(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert_eq!(Record::from_bytes(&[&bytes[..], &[0]].concat()), Err(DecodeError::TrailingBytes(1)));
        assert_eq!(Record::from_bytes(&bytes), Ok(record));
    }

    #[test]
    fn a_record_has_an_event_and_its_numbers_do_not_overflow() {
        let mut record = transfer();
        record.sequence = Sequence(u64::MAX - 1);
        let mut bytes = record.view().to_bytes();
        assert_eq!(RecordHead::read(&bytes).map(|head| head.last_sequence()), Ok(record.sequence));
        // The lowest byte of the sequence: its last event could have no successor.
        bytes[1] = u8::MAX;
        assert!(RecordHead::read(&bytes).is_err());
        (record.events, record.postings) = (Vec::new(), Vec::new());
        assert!(Record::from_bytes(&record.view().to_bytes()).is_err());
    }

    #[test]
    fn room_is_made_for_the_events_that_are_there() {
        let refused = Event { body: EventBody::Rejected(Rejection::UnknownAccount), postings_end: 0 };
        for count in [1, 2_000] {
            let record = Record { events: vec![refused.clone(); count], postings: Vec::new(), ..transfer() };
            let decoded = Record::from_bytes(&record.view().to_bytes()).expect("a record");
            assert_eq!(decoded.events.capacity(), count);
            assert_eq!(decoded, record);
        }
    }
}
