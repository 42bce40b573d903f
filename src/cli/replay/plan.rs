//! Which commands replay a day: decided from the file and a copy of the book that the commands make,
//! without waiting for a single answer.
//!
//! The file shows a window of a few levels. Inside it every change of the book is an event of the
//! file, and becomes a command of the same meaning. What happened outside of it, or before the file
//! begins, shows only when the window moves: a level that comes into sight is taken from the
//! recording, by seed orders for what is missing, and by cancels for what has gone meanwhile. Nothing
//! else is ever corrected: a level that stays in sight is what the events made of it.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::foresight::Foresight;
use super::lobster::{Day, Kind, Level, Message, NasdaqOrder, Row};
use super::shadow::{Resting, Shadow};
use crate::core::types::{Price, Quantity, Side};

/// A command's place in the plan: the event it belongs to, from 0, and its number within that event.
/// An order is known by the command that entered it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Step {
    /// The event's place in the file, from 0.
    pub event: u32,
    /// The command's number within the event's commands, from 0.
    pub number: u32,
}

/// What a command of the plan does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Enters a good-till-cancel limit order.
    Enter {
        /// Its side.
        side: Side,
        /// Its limit.
        price: Price,
        /// Its quantity.
        quantity: Quantity,
        /// Whether it stands for what the file does not show entering.
        seed: bool,
    },
    /// Lowers an order to this total quantity, what is filled included.
    Reduce {
        /// The command that entered it.
        order: Step,
        /// Its side.
        side: Side,
        /// Its new total.
        total: Quantity,
    },
    /// Cancels an order.
    Cancel {
        /// The command that entered it.
        order: Step,
        /// Its side.
        side: Side,
    },
    /// An immediate-or-cancel order against a resting one.
    Take {
        /// The incoming order's side.
        side: Side,
        /// Its limit.
        price: Price,
        /// Its quantity.
        quantity: Quantity,
        /// The order that Nasdaq executed, when the file showed it entering.
        maker: Option<Step>,
    },
}

/// One command of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// Its place.
    pub step: Step,
    /// What it does.
    pub action: Action,
}

/// Makes the plan, event by event.
#[derive(Debug)]
pub struct Planner<'a> {
    day: &'a Day,
    foresight: Foresight,
    book: Shadow,
    /// The commands that entered the file's orders.
    entered: HashMap<NasdaqOrder, Step>,
    /// The highest order number so far: what has a lower one is older than now.
    newest: NasdaqOrder,
    event: u32,
    plan: Vec<Planned>,
}

impl<'a> Planner<'a> {
    /// Starts before the first event of `day`.
    #[must_use]
    pub fn new(day: &'a Day) -> Self {
        let foresight = Foresight::new(day);
        Self {
            day,
            newest: foresight.first_new(),
            foresight,
            book: Shadow::default(),
            entered: HashMap::new(),
            event: 0,
            plan: Vec::new(),
        }
    }

    /// The commands of the next event, which may be none; `None` behind the last event.
    pub fn next_event(&mut self) -> Option<&[Planned]> {
        let place = self.event as usize;
        let (message, row) = (*self.day.messages.get(place)?, self.day.rows.get(place)?);
        self.plan.clear();
        match place.checked_sub(1).and_then(|before| self.day.rows.get(before)) {
            Some(before) => {
                self.play(&message);
                self.follow_window(Some(before), row);
            }
            None => {
                let before = before_first(row, &message);
                self.follow_window(None, &before);
                self.play(&message);
                self.follow_window(Some(&before), row);
            }
        }
        self.event += 1;
        Some(&self.plan)
    }

    /// The event itself.
    fn play(&mut self, message: &Message) {
        let Message { kind, order, size, price, side, .. } = *message;
        match kind {
            Kind::Enter => {
                let step = self.enter(side, price, size, Some(order), false);
                self.entered.insert(order, step);
                self.newest = self.newest.max(order);
                self.requeue_younger(side, price, order);
            }
            Kind::Reduce | Kind::Delete => self.lower(message),
            Kind::Execute => {
                let maker = self.entered.get(&order).copied();
                self.push(Action::Take { side: side.opposite(), price, quantity: size, maker });
                self.book.take(side, price, size.0);
            }
            Kind::Outside => {}
        }
    }

    /// Enters an order, which trades first where the book has drifted so far that it can.
    fn enter(&mut self, side: Side, price: Price, quantity: Quantity, nasdaq: Option<NasdaqOrder>, seed: bool) -> Step {
        let step = self.push(Action::Enter { side, price, quantity, seed });
        let filled = self.book.take(side.opposite(), price, quantity.0);
        if filled < quantity.0 {
            self.book.rest(side, price, Resting { step, nasdaq, seed, open: quantity.0 - filled, filled });
        }
        step
    }

    /// A cancel, in part or whole. What the named order does not have (any more) belongs to another.
    fn lower(&mut self, message: &Message) {
        let Message { order, size, side, price, .. } = *message;
        let mut left = size.0;
        if let Some(resting) = self.book.find(side, price, order) {
            let cut = resting.open.min(left);
            self.cut(side, price, resting.step, cut);
            left -= cut;
        }
        self.trim(side, price, left);
    }

    /// Takes what came into sight between two recorded books from the second one.
    fn follow_window(&mut self, before: Option<&Row>, after: &Row) {
        for side in [Side::Buy, Side::Sell] {
            let sees = |row: &Row, price: Price| in_sight(row.side(side), self.day.depth, side, price);
            let appeared = |price: &Price| sees(after, *price) && !before.is_some_and(|before| sees(before, *price));
            let held: Vec<Price> = self.book.prices(side).filter(&appeared).collect();
            let shown: Vec<Level> = after.side(side).iter().filter(|level| appeared(&level.price)).copied().collect();
            for price in held {
                self.forget(side, price);
                let recorded = shown.iter().find(|level| level.price == price).map_or(0, |level| level.size.0);
                self.trim(side, price, self.book.size(side, price).saturating_sub(recorded));
            }
            for level in shown {
                let missing = level.size.0.saturating_sub(self.book.size(side, level.price));
                self.seed(side, level.price, missing);
            }
        }
    }

    /// Enters what a level holds of orders that the file never shows entering: by name those that a
    /// later message names, oldest first, and the rest as one.
    fn seed(&mut self, side: Side, price: Price, missing: u64) {
        let mut left = missing;
        let unseen: Vec<_> = self.foresight.unseen(side, price, self.newest, self.event).collect();
        for (order, size) in unseen {
            if size <= left && self.book.find(side, price, order).is_none() {
                left -= size;
                self.enter(side, price, Quantity(size), Some(order), true);
                self.requeue_younger(side, price, order);
            }
        }
        if left > 0 {
            self.enter(side, price, Quantity(left), None, true);
        }
    }

    /// Moves the seeds of a level that are younger than `order` behind it.
    fn requeue_younger(&mut self, side: Side, price: Price, order: NasdaqOrder) {
        let younger = |resting: &&Resting| resting.seed && resting.nasdaq.is_some_and(|other| other > order);
        let younger: Vec<Resting> = self.book.level(side, price).filter(younger).copied().collect();
        for resting in younger {
            self.cut(side, price, resting.step, resting.open);
            self.enter(side, price, Quantity(resting.open), resting.nasdaq, true);
        }
    }

    /// Cancels the orders of a level that the file does not name again: they went out of sight.
    fn forget(&mut self, side: Side, price: Price) {
        let gone = |resting: &&Resting| resting.nasdaq.is_some_and(|order| !self.is_named_again(order));
        let gone: Vec<Resting> = self.book.level(side, price).filter(gone).copied().collect();
        for resting in gone {
            self.cut(side, price, resting.step, resting.open);
        }
    }

    /// Takes `excess` off a level: from seeds that the file tells nothing of, then from orders that it
    /// does not name again, then from the newest.
    fn trim(&mut self, side: Side, price: Price, excess: u64) {
        let mut left = excess;
        while left > 0 {
            let rank = |resting: &&Resting| {
                let use_of_it = resting.nasdaq.map_or(0, |order| 1 + u8::from(self.is_named_again(order)));
                (use_of_it, Reverse(resting.step))
            };
            let Some(&resting) = self.book.level(side, price).min_by_key(rank) else { return };
            let cut = resting.open.min(left);
            self.cut(side, price, resting.step, cut);
            left -= cut;
        }
    }

    fn is_named_again(&self, order: NasdaqOrder) -> bool {
        self.foresight.is_mentioned_after(order, self.event)
    }

    /// Takes `size` off an order, by a replace, or by a cancel when nothing is left.
    fn cut(&mut self, side: Side, price: Price, order: Step, size: u64) {
        match self.book.cut(side, price, order, size) {
            Some(Resting { open: 0, .. }) => {
                self.push(Action::Cancel { order, side });
            }
            Some(Resting { open, filled, .. }) => {
                self.push(Action::Reduce { order, side, total: Quantity(open + filled) });
            }
            None => {}
        }
    }

    fn push(&mut self, action: Action) -> Step {
        // The plan of one event is far shorter than 2^32 commands.
        let step = Step { event: self.event, number: self.plan.len() as u32 };
        self.plan.push(Planned { step, action });
        step
    }
}

/// Whether a recorded side of a window of `depth` levels shows this price. With fewer levels than the
/// window has, the whole side is in sight.
fn in_sight(levels: &[Level], depth: usize, side: Side, price: Price) -> bool {
    match levels.last() {
        Some(worst) if levels.len() == depth => match side {
            Side::Buy => price >= worst.price,
            Side::Sell => price <= worst.price,
        },
        _ => true,
    }
}

/// The book before the first event, as far as the book after it tells.
fn before_first(after: &Row, message: &Message) -> Row {
    let mut row = after.clone();
    let levels = match message.side {
        Side::Buy => &mut row.bids,
        Side::Sell => &mut row.asks,
    };
    if let Some(level) = levels.iter_mut().find(|level| level.price == message.price) {
        match message.kind {
            Kind::Enter => level.size.0 = level.size.0.saturating_sub(message.size.0),
            Kind::Reduce | Kind::Delete | Kind::Execute => level.size.0 += message.size.0,
            Kind::Outside => {}
        }
    }
    levels.retain(|level| level.size.0 > 0);
    row
}
