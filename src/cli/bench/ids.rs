//! Command ids that rise with time.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::cli::random::Random;
use crate::core::types::CommandId;

/// Bits behind the time.
const RANDOM_BITS: u32 = 80;

/// Ids as ULID and UUID version 7 (RFC 9562) build them: milliseconds, then chance. A node tells at once
/// that an id above all that it has was not used; chance keeps those of many clients apart.
#[derive(Debug)]
pub struct Ids {
    last: u128,
}

impl Ids {
    /// Ids that begin now.
    pub const fn fresh() -> Self {
        Self { last: 0 }
    }

    /// The next id: above the one before, whatever the clock does.
    pub fn next(&mut self, random: &mut Random) -> CommandId {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        if now > self.last >> RANDOM_BITS {
            self.last = now << RANDOM_BITS | random.id() >> (u128::BITS - RANDOM_BITS);
        } else {
            // Within a millisecond they count on from where chance put the first.
            self.last += 1;
        }
        CommandId(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_and_two_sources_do_not_meet() {
        let (mut random, mut other) = (Random::new(1), Random::new(2));
        let (mut ids, mut others) = (Ids::fresh(), Ids::fresh());
        let mine: Vec<CommandId> = (0..10_000).map(|_| ids.next(&mut random)).collect();
        assert!(mine.is_sorted_by(|one, next| one < next));
        assert!((0..10_000).map(|_| others.next(&mut other)).all(|id| mine.binary_search(&id).is_err()));
    }
}
