//! A copy of the book that a plan's commands make, kept while the plan is made.
//!
//! Price-time priority in its plainest form. The cluster's book is checked against the recording,
//! never against this copy, which only decides what to send.

use std::collections::{BTreeMap, VecDeque};

use super::lobster::NasdaqOrder;
use super::plan::Step;
use crate::core::types::{Price, Side};

/// A resting order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resting {
    /// The command that entered it.
    pub step: Step,
    /// Which of the file's orders it is; `None` for a seed of which the file tells nothing.
    pub nasdaq: Option<NasdaqOrder>,
    /// Whether it stands for what the file does not show entering.
    pub seed: bool,
    /// What is open.
    pub open: u64,
    /// What was executed.
    pub filled: u64,
}

/// Both sides of a book. No level is empty.
#[derive(Debug, Default)]
pub struct Shadow {
    bids: BTreeMap<Price, VecDeque<Resting>>,
    asks: BTreeMap<Price, VecDeque<Resting>>,
}

impl Shadow {
    fn side(&self, side: Side) -> &BTreeMap<Price, VecDeque<Resting>> {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut BTreeMap<Price, VecDeque<Resting>> {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }

    /// The prices of a side, from the lowest.
    pub fn prices(&self, side: Side) -> impl Iterator<Item = Price> {
        self.side(side).keys().copied()
    }

    /// The orders of a level, first to be executed first.
    pub fn level(&self, side: Side, price: Price) -> impl Iterator<Item = &Resting> {
        self.side(side).get(&price).into_iter().flatten()
    }

    /// What a level holds.
    pub fn size(&self, side: Side, price: Price) -> u64 {
        self.level(side, price).map(|resting| resting.open).sum()
    }

    /// An order of the file, if it is open at this price.
    pub fn find(&self, side: Side, price: Price, order: NasdaqOrder) -> Option<Resting> {
        self.level(side, price).find(|resting| resting.nasdaq == Some(order)).copied()
    }

    /// Puts an order at the end of its level.
    pub fn rest(&mut self, side: Side, price: Price, order: Resting) {
        self.side_mut(side).entry(price).or_default().push_back(order);
    }

    /// Takes up to `size` off an order, and returns what is left of it, which may be nothing.
    pub fn cut(&mut self, side: Side, price: Price, step: Step, size: u64) -> Option<Resting> {
        let levels = self.side_mut(side);
        let queue = levels.get_mut(&price)?;
        let place = queue.iter().position(|resting| resting.step == step)?;
        let resting = queue.get_mut(place)?;
        resting.open = resting.open.saturating_sub(size);
        let left = *resting;
        if left.open == 0 {
            queue.remove(place);
            if queue.is_empty() {
                levels.remove(&price);
            }
        }
        Some(left)
    }

    /// Lets an incoming order take up to `size` from the resting `side` at `limit` or better; returns
    /// how much it took.
    pub fn take(&mut self, side: Side, limit: Price, size: u64) -> u64 {
        let levels = self.side_mut(side);
        let mut left = size;
        while left > 0 {
            let best = match side {
                Side::Buy => levels.last_entry().filter(|level| *level.key() >= limit),
                Side::Sell => levels.first_entry().filter(|level| *level.key() <= limit),
            };
            let Some(mut level) = best else { break };
            let queue = level.get_mut();
            while let Some(front) = queue.front_mut().filter(|_| left > 0) {
                let fill = front.open.min(left);
                front.open -= fill;
                front.filled += fill;
                left -= fill;
                if front.open == 0 {
                    queue.pop_front();
                }
            }
            if queue.is_empty() {
                level.remove();
            }
        }
        size - left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(number: u32, open: u64) -> Resting {
        Resting { step: Step { event: 0, number }, nasdaq: None, seed: false, open, filled: 0 }
    }

    #[test]
    fn the_best_price_goes_first_then_the_oldest() {
        let mut book = Shadow::default();
        book.rest(Side::Sell, Price(101), order(1, 5));
        book.rest(Side::Sell, Price(100), order(2, 5));
        book.rest(Side::Sell, Price(100), order(3, 5));
        assert_eq!(book.take(Side::Sell, Price(100), 7), 7);
        let left: Vec<_> =
            book.level(Side::Sell, Price(100)).map(|resting| (resting.step.number, resting.open)).collect();
        assert_eq!(left, [(3, 3)]);
        assert_eq!(book.take(Side::Sell, Price(100), 7), 3, "the limit holds");
        assert_eq!(book.prices(Side::Sell).collect::<Vec<_>>(), [Price(101)]);
    }

    #[test]
    fn an_order_that_is_cut_whole_is_gone_with_its_level() {
        let mut book = Shadow::default();
        book.rest(Side::Buy, Price(99), order(1, 5));
        let step = Step { event: 0, number: 1 };
        assert_eq!(book.cut(Side::Buy, Price(99), step, 2).map(|left| left.open), Some(3));
        assert_eq!(book.cut(Side::Buy, Price(99), step, 9).map(|left| left.open), Some(0));
        assert_eq!(book.prices(Side::Buy).count(), 0);
        assert_eq!(book.cut(Side::Buy, Price(99), step, 1), None);
    }
}
