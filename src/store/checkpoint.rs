//! What the state is the state of: stored with the pages, in a snapshot's header, and told to Raft.

use bytes::Bytes;

use super::Position;
use crate::core::StateDigest;
use crate::core::codec::{Decode, DecodeError, Encode, Input, Output};
use crate::core::types::{LogIndex, Sequence, Term};

/// How far a state has come, and what its content must add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last log entry applied; `None` before the first.
    pub position: Option<Position>,
    /// The last membership applied, with the entry that set it. Its bytes mean nothing to the store.
    pub membership: Option<(Position, Bytes)>,
    /// The last event.
    pub sequence: Sequence,
    /// The digest of all records.
    pub digest: StateDigest,
    /// How many records there are.
    pub records: u64,
}

impl Checkpoint {
    /// Whether records of this digest and count are those that it is of.
    ///
    /// # Errors
    /// How they differ.
    pub fn check(&self, digest: StateDigest, records: u64) -> Result<(), String> {
        if records != self.records {
            return Err(format!("{records} records, expected {}", self.records));
        }
        if digest != self.digest {
            return Err(format!("the state's digest is {digest}, expected {}", self.digest));
        }
        Ok(())
    }
}

fn encode_position<O: Output>(position: Position, out: &mut O) {
    position.term.encode(out);
    position.index.encode(out);
}

fn decode_position<I: Input>(input: &mut I) -> Result<Position, DecodeError> {
    Ok(Position { term: Term::decode(input)?, index: LogIndex::decode(input)? })
}

impl Encode for Checkpoint {
    fn encode<O: Output>(&self, out: &mut O) {
        self.position.is_some().encode(out);
        if let Some(position) = self.position {
            encode_position(position, out);
        }
        self.membership.is_some().encode(out);
        if let Some((position, bytes)) = &self.membership {
            encode_position(*position, out);
            (bytes.len() as u32).encode(out);
            out.put(bytes);
        }
        self.sequence.encode(out);
        self.digest.to_u128().encode(out);
        self.records.encode(out);
    }
}

impl Decode for Checkpoint {
    const BYTES_MIN: usize = 2 * bool::BYTES_MIN + Sequence::BYTES_MIN + u128::BYTES_MIN + u64::BYTES_MIN;

    fn decode<I: Input>(input: &mut I) -> Result<Self, DecodeError> {
        let position = if bool::decode(input)? { Some(decode_position(input)?) } else { None };
        let membership = if bool::decode(input)? {
            let set_by = decode_position(input)?;
            let len = u32::decode(input)? as usize;
            Some((set_by, Bytes::copy_from_slice(input.take(len, "membership")?)))
        } else {
            None
        };
        Ok(Self {
            position,
            membership,
            sequence: Sequence::decode(input)?,
            digest: StateDigest::from_u128(u128::decode(input)?),
            records: u64::decode(input)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_reads_back() {
        let position = |term, index| Position { term: Term(term), index: LogIndex(index) };
        let full = Checkpoint {
            position: Some(position(3, 99)),
            membership: Some((position(1, 0), Bytes::from_static(b"one, two, three"))),
            sequence: Sequence(1_234),
            digest: StateDigest::from_u128(u128::MAX / 3),
            records: 17,
        };
        for checkpoint in [full, Checkpoint::default()] {
            let bytes = checkpoint.to_bytes();
            assert_eq!(Checkpoint::from_bytes(&bytes), Ok(checkpoint));
            for cut in 0..bytes.len() {
                assert!(Checkpoint::from_bytes(&bytes[..cut]).is_err(), "cut at {cut}");
            }
        }
    }
}
