//! The order of a session's requests, kept over refusals.
//!
//! Requests of one session are sent without waiting for answers. When one of them is refused because
//! the node does not lead for a moment, those behind it must not be carried out in its stead: its
//! sender will send it again, and it would come late. So a lane holds for one term of one leader,
//! and is closed by its first such refusal. Of what is proposed already, tickets keep the order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::core::planted::{self, Mistake};
use crate::core::types::Term;

/// A session's place in the sequencer. Clones share it.
#[derive(Debug, Clone)]
pub struct Lane {
    term: Term,
    closed: Arc<AtomicBool>,
}

impl Lane {
    /// A lane for requests to the leader of this term.
    #[must_use]
    pub fn new(term: Term) -> Self {
        Self { term, closed: Arc::default() }
    }

    /// Whether requests may still be carried out, under the leader of `term`.
    #[must_use]
    pub fn is_open(&self, term: Term) -> bool {
        self.term == term && !self.closed.load(Ordering::Acquire)
    }

    /// Lets nothing through any more.
    pub fn close(&self) {
        self.closed.store(!planted::is(Mistake::SessionGoesOn), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_ends_with_its_term_or_its_first_refusal() {
        let lane = Lane::new(Term(3));
        assert!(lane.is_open(Term(3)) && !lane.is_open(Term(4)) && !lane.is_open(Term(2)));
        lane.clone().close();
        assert!(!lane.is_open(Term(3)));
    }
}
