//! The footer of a run: what is known of it without its blocks. All but the places of its blocks is small.

use super::key::IdSpans;
use super::run::RunName;
use crate::core::codec::{Decode as _, DecodeError, Encode as _, Reader};

/// Where a block or a page of the filter is.
#[derive(Debug, Clone, Copy)]
pub struct Fence {
    /// Where it begins in the file.
    pub offset: u64,
    /// Its bytes, checksum included.
    pub len: u32,
    key_start: u32,
}

/// Where the blocks of a run are, or the pages of its filter, and with which key each begins: as much of its first
/// entry as tells it from the entry before, since all keys are in memory. What is below a key is found before its
/// block, if anywhere.
#[derive(Debug, Default)]
pub struct Fences {
    fences: Vec<Fence>,
    /// All keys, one behind the other.
    keys: Vec<u8>,
}

impl Fences {
    /// Adds the block or page behind the others.
    pub fn push(&mut self, offset: u64, len: u32, key: &[u8]) {
        self.fences.push(Fence { offset, len, key_start: self.keys.len() as u32 });
        self.keys.extend_from_slice(key);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.fences.len()
    }

    /// Where this one is.
    pub fn get(&self, place: usize) -> Fence {
        self.fences[place]
    }

    /// What this one begins with.
    pub fn key(&self, place: usize) -> &[u8] {
        let end = self.fences.get(place + 1).map_or(self.keys.len(), |next| next.key_start as usize);
        &self.keys[self.fences[place].key_start as usize..end]
    }

    /// How many begin at or below `bound`.
    pub fn count_upto(&self, bound: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.fences.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.key(middle) <= bound {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn encode(&self, out: &mut Vec<u8>) {
        (self.fences.len() as u32).encode(out);
        for (place, fence) in self.fences.iter().enumerate() {
            fence.offset.encode(out);
            fence.len.encode(out);
            (self.key(place).len() as u8).encode(out);
        }
        self.keys.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = u32::decode(input)? as usize;
        let mut fences = Vec::with_capacity(count.min(input.remaining().len()));
        let mut key_start = 0_u32;
        for _ in 0..count {
            let (offset, len) = (u64::decode(input)?, u32::decode(input)?);
            fences.push(Fence { offset, len, key_start });
            let key_len = u32::from(u8::decode(input)?);
            key_start = key_start.checked_add(key_len).ok_or(DecodeError::Truncated("keys of fences"))?;
        }
        let keys: Vec<u8> = Vec::decode(input)?;
        if keys.len() != key_start as usize {
            return Err(DecodeError::Truncated("keys of fences"));
        }
        Ok(Self { fences, keys })
    }
}

/// What is known of a run without its blocks.
#[derive(Debug)]
pub struct Footer {
    /// Which events it indexes.
    pub name: RunName,
    /// How many entries it has.
    pub entries: u64,
    /// How many of them are used commands.
    pub commands: u64,
    /// The last entry.
    pub last: Vec<u8>,
    /// Where its blocks are.
    pub fences: Fences,
    /// Between which ids those of its commands lie.
    pub ids: IdSpans,
    /// Where the pages of its filter are.
    pub filter: Fences,
}

impl Footer {
    /// Where every piece of the run is, and how long.
    #[cfg(any(test, feature = "testing"))]
    pub fn pieces(&self) -> impl Iterator<Item = (u64, u32)> {
        self.fences.fences.iter().chain(&self.filter.fences).map(|fence| (fence.offset, fence.len))
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.name.encode(&mut out);
        self.entries.encode(&mut out);
        self.commands.encode(&mut out);
        self.last.encode(&mut out);
        self.fences.encode(&mut out);
        self.ids.encode(&mut out);
        self.filter.encode(&mut out);
        out
    }

    /// Reads it back.
    ///
    /// # Errors
    /// When the bytes are no footer.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let footer = Self {
            name: RunName::decode(&mut input)?,
            entries: u64::decode(&mut input)?,
            commands: u64::decode(&mut input)?,
            last: Vec::decode(&mut input)?,
            fences: Fences::decode(&mut input)?,
            ids: IdSpans::decode(&mut input)?,
            filter: Fences::decode(&mut input)?,
        };
        input.finish()?;
        Ok(footer)
    }
}
