//! What a file tells of an order only later: that it is still there, or that it was there before.
//!
//! What happens outside of a file's window is never shown. But an order that a later message names
//! was alive until then, and one that no message names any more has gone when its level comes back
//! into sight changed. Nasdaq numbers orders as they come, so that the number of an order that was
//! never shown entering tells its age.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::lobster::{Day, Kind, NasdaqOrder};
use crate::core::types::{Price, Side};

/// What later messages take off an order: event and size.
type Mentions = Vec<(u32, u64)>;

/// See the module.
#[derive(Debug)]
pub struct Foresight {
    last_mention: HashMap<NasdaqOrder, u32>,
    /// The orders of each level that the file never shows entering, oldest first.
    unseen: HashMap<(Side, Price), BTreeMap<NasdaqOrder, Mentions>>,
    /// The first number given after the file begins.
    first_new: NasdaqOrder,
}

impl Foresight {
    /// Reads the day to its end.
    #[must_use]
    pub fn new(day: &Day) -> Self {
        let entering = || day.messages.iter().filter(|message| message.kind == Kind::Enter);
        let entered: HashSet<NasdaqOrder> = entering().map(|message| message.order).collect();
        let mut last_mention = HashMap::new();
        let mut unseen = HashMap::<_, BTreeMap<_, Mentions>>::new();
        for (message, event) in day.messages.iter().zip(0..).filter(|(message, _)| message.kind != Kind::Outside) {
            last_mention.insert(message.order, event);
            if !entered.contains(&message.order) {
                let level = unseen.entry((message.side, message.price)).or_default();
                level.entry(message.order).or_default().push((event, message.size.0));
            }
        }
        // At its first instant a file shows orders of any age.
        let opening = entering().next().map(|message| message.time);
        let first_new = entering().find(|message| Some(message.time) != opening);
        Self { last_mention, unseen, first_new: first_new.map_or(NasdaqOrder(0), |message| message.order) }
    }

    /// The first number given after the file begins: orders with lower ones are older than it.
    #[must_use]
    pub fn first_new(&self) -> NasdaqOrder {
        self.first_new
    }

    /// Whether a message after `event` names the order.
    #[must_use]
    pub fn is_mentioned_after(&self, order: NasdaqOrder, event: u32) -> bool {
        self.last_mention.get(&order).is_some_and(|&last| last > event)
    }

    /// The orders of a level that are older than `newest`, are never shown entering, and are named
    /// after `event`; oldest first, with what the messages after `event` take off them.
    pub fn unseen(
        &self,
        side: Side,
        price: Price,
        newest: NasdaqOrder,
        event: u32,
    ) -> impl Iterator<Item = (NasdaqOrder, u64)> {
        let level = self.unseen.get(&(side, price)).into_iter().flatten();
        level.take_while(move |(order, _)| **order < newest).filter_map(move |(order, mentions)| {
            let later = mentions.iter().filter(|(mention, _)| *mention > event);
            let size: u64 = later.map(|(_, size)| size).sum();
            (size > 0).then_some((*order, size))
        })
    }
}
