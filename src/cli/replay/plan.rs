//! Which commands replay a day: decided from the file and a copy of the book that the commands make,
//! without waiting for a single answer.
//!
//! The file shows a window of a few levels. Inside it every change of the book is an event of the
//! file, and becomes a command of the same meaning. What happened outside of it, or before the file
//! begins, shows only when the window moves: a level that comes into sight is taken from the record,
//! by a seed order for what is missing, and by cancels for what has gone meanwhile.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::lobster::{Day, Kind, Level, Message, NasdaqOrder, Row};
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
        /// Whether it stands for orders that the file does not show.
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
        /// The order that Nasdaq executed, when the file showed how it was entered.
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

/// An order in the copy of the book.
#[derive(Debug, Clone, Copy)]
struct Resting {
    step: Step,
    /// Which of the file's orders it is; `None` for a seed of which the file tells nothing.
    nasdaq: Option<NasdaqOrder>,
    seed: bool,
    open: u64,
    filled: u64,
}

type Queue = VecDeque<Resting>;

type Unseen = HashMap<(bool, Price), BTreeMap<NasdaqOrder, Vec<(u32, u64)>>>;

fn unseen(day: &Day) -> Unseen {
    let entered: std::collections::HashSet<NasdaqOrder> =
        day.messages.iter().filter(|m| m.kind == Kind::Enter).map(|m| m.order).collect();
    let mut unseen = Unseen::new();
    for (message, event) in day.messages.iter().zip(0..) {
        if message.kind != Kind::Outside && !entered.contains(&message.order) {
            unseen
                .entry((message.side == Side::Buy, message.price))
                .or_default()
                .entry(message.order)
                .or_default()
                .push((event, message.size.0));
        }
    }
    unseen
}

fn newest_at_opening(day: &Day) -> NasdaqOrder {
    let mut enters = day.messages.iter().filter(|m| m.kind == Kind::Enter);
    let Some(first) = enters.next() else { return NasdaqOrder(0) };
    enters.find(|m| m.time != first.time).map_or(NasdaqOrder(0), |m| m.order)
}

/// Makes the plan, event by event.
#[derive(Debug)]
pub struct Planner<'a> {
    day: &'a Day,
    bids: BTreeMap<Price, Queue>,
    asks: BTreeMap<Price, Queue>,
    entered: HashMap<NasdaqOrder, Step>,
    unseen: Unseen,
    newest: NasdaqOrder,
    last_mention: HashMap<NasdaqOrder, u32>,
    event: u32,
    number: u32,
}

impl<'a> Planner<'a> {
    /// Starts before the first event of `day`.
    #[must_use]
    pub fn new(day: &'a Day) -> Self {
        let last_mention = day.messages.iter().zip(0..).map(|(message, event)| (message.order, event)).collect();
        Self {
            day,
            bids: BTreeMap::new(),
            asks: BTreeMap::new(),
            entered: HashMap::new(),
            unseen: unseen(day),
            newest: newest_at_opening(day),
            last_mention,
            event: 0,
            number: 0,
        }
    }

    /// Appends the next event's commands to `plan`, and returns the event's place in the file; `None`
    /// behind the last.
    pub fn next_event(&mut self, plan: &mut Vec<Planned>) -> Option<u32> {
        let place = self.event as usize;
        let (message, row) = (*self.day.messages.get(place)?, self.day.rows.get(place)?);
        self.number = 0;
        let before = match place.checked_sub(1) {
            Some(before) => self.day.rows[before].clone(),
            None => {
                let first = before_first(row, &message);
                self.follow_window(&Row::default(), &first, plan);
                first
            }
        };
        self.play(&message, plan);
        self.follow_window(&before, row, plan);
        self.event += 1;
        Some(self.event - 1)
    }

    /// The event itself.
    fn play(&mut self, message: &Message, plan: &mut Vec<Planned>) {
        let Message { kind, order, size, price, side, .. } = *message;
        match kind {
            Kind::Enter => {
                let step = self.enter(side, price, size, Some(order), false, plan);
                self.entered.insert(order, step);
                self.newest = self.newest.max(order);
                self.requeue_younger(side, price, order, plan);
            }
            Kind::Reduce | Kind::Delete => self.lower(message, plan),
            Kind::Execute => {
                let maker = self.entered.get(&order).copied();
                self.push(Action::Take { side: side.opposite(), price, quantity: size, maker }, plan);
                self.take(side, price, size.0);
            }
            Kind::Outside => {}
        }
    }

    /// Enters an order, which trades first where the copy of the book has drifted so far that it can.
    fn enter(
        &mut self,
        side: Side,
        price: Price,
        quantity: Quantity,
        nasdaq: Option<NasdaqOrder>,
        seed: bool,
        plan: &mut Vec<Planned>,
    ) -> Step {
        let step = self.push(Action::Enter { side, price, quantity, seed }, plan);
        let filled = self.take(side.opposite(), price, quantity.0);
        if filled < quantity.0 {
            let order = Resting { step, nasdaq, seed, open: quantity.0 - filled, filled };
            self.side(side).entry(price).or_default().push_back(order);
        }
        step
    }

    /// Enters what a level that came into sight holds of orders that the file never shows entering.
    /// Those that a later message names are known by it: how much they hold, and by the number
    /// their age, since Nasdaq numbers orders as they come. The rest is one order.
    fn seed(&mut self, side: Side, price: Price, missing: u64, plan: &mut Vec<Planned>) {
        let mut left = missing;
        let unseen = self.unseen.get(&(side == Side::Buy, price));
        let named: Vec<(NasdaqOrder, u64)> = unseen
            .into_iter()
            .flatten()
            .take_while(|(order, _)| **order < self.newest)
            .map(|(order, mentions)| (*order, mentions))
            .map(|(order, mentions)| {
                (order, mentions.iter().filter(|(event, _)| *event > self.event).map(|(_, size)| size).sum())
            })
            .collect();
        for (order, size) in named {
            if size == 0 || size > left || self.open_of(side, price, order).is_some() {
                continue;
            }
            left -= size;
            self.enter(side, price, Quantity(size), Some(order), true, plan);
            self.requeue_younger(side, price, order, plan);
        }
        if left > 0 {
            self.enter(side, price, Quantity(left), None, true, plan);
        }
    }

    /// Moves the seeds of a level that are younger than `order` behind it.
    fn requeue_younger(&mut self, side: Side, price: Price, order: NasdaqOrder, plan: &mut Vec<Planned>) {
        let Some(queue) = self.side(side).get(&price) else { return };
        let younger: Vec<(Step, NasdaqOrder, u64)> = queue
            .iter()
            .filter(|resting| resting.seed)
            .filter_map(|resting| Some((resting.step, resting.nasdaq.filter(|other| *other > order)?, resting.open)))
            .collect();
        for (step, order, open) in younger {
            self.cut(side, price, |resting| resting.step == step, open, plan);
            self.enter(side, price, Quantity(open), Some(order), true, plan);
        }
    }

    /// A cancel, in part or whole. What the named order does not have (any more) belongs to a seed.
    fn lower(&mut self, message: &Message, plan: &mut Vec<Planned>) {
        let Message { order, size, side, price, .. } = *message;
        let mut left = size.0;
        if let Some(open) = self.open_of(side, price, order) {
            let cut = open.min(left);
            self.cut(side, price, |resting| resting.nasdaq == Some(order), cut, plan);
            left = left.saturating_sub(cut);
        }
        if left > 0 {
            self.trim(side, price, left, plan);
        }
    }

    fn open_of(&mut self, side: Side, price: Price, order: NasdaqOrder) -> Option<u64> {
        let queue = self.side(side).get(&price)?;
        queue.iter().find(|resting| resting.nasdaq == Some(order)).map(|resting| resting.open)
    }

    /// Takes `excess` off a level: from seeds, then from orders that the file does not mention again,
    /// then from the newest.
    fn trim(&mut self, side: Side, price: Price, excess: u64, plan: &mut Vec<Planned>) {
        let mut left = excess;
        while left > 0 {
            let event = self.event;
            let Some(queue) = self.side(side).get(&price) else { return };
            let mentions: Vec<(Step, u64, Option<NasdaqOrder>)> =
                queue.iter().map(|resting| (resting.step, resting.open, resting.nasdaq)).collect();
            let rank = |nasdaq: Option<NasdaqOrder>| match nasdaq {
                None => 0,
                Some(order) if self.last_mention.get(&order).is_none_or(|&last| last <= event) => 1,
                Some(_) => 2,
            };
            let worst = mentions.iter().min_by_key(|(step, _, nasdaq)| (rank(*nasdaq), std::cmp::Reverse(*step)));
            let Some(&(step, open, _)) = worst else { return };
            let cut = open.min(left);
            self.cut(side, price, |resting| resting.step == step, cut, plan);
            left -= cut;
        }
    }

    /// Cancels the orders of a level that the file does not mention again.
    fn forget(&mut self, side: Side, price: Price, plan: &mut Vec<Planned>) {
        let event = self.event;
        let Some(queue) = self.side(side).get(&price) else { return };
        let orders: Vec<(Step, u64, Option<NasdaqOrder>)> =
            queue.iter().map(|resting| (resting.step, resting.open, resting.nasdaq)).collect();
        for (step, open, nasdaq) in orders {
            if nasdaq.is_some_and(|order| self.last_mention.get(&order).is_none_or(|&last| last <= event)) {
                self.cut(side, price, |resting| resting.step == step, open, plan);
            }
        }
    }

    /// Takes `size` off the order that `is_it` finds.
    fn cut(&mut self, side: Side, price: Price, is_it: impl Fn(&Resting) -> bool, size: u64, plan: &mut Vec<Planned>) {
        let Some(queue) = self.side(side).get_mut(&price) else { return };
        let Some(place) = queue.iter().position(is_it) else { return };
        let resting = &mut queue[place];
        resting.open -= size.min(resting.open);
        let Resting { step: order, open, filled, .. } = *resting;
        if open == 0 {
            queue.remove(place);
            if queue.is_empty() {
                self.side(side).remove(&price);
            }
            self.push(Action::Cancel { order, side }, plan);
        } else {
            self.push(Action::Reduce { order, side, total: Quantity(open + filled) }, plan);
        }
    }

    /// What an incoming order of `size` takes from the resting `side` at `limit` or better.
    fn take(&mut self, side: Side, limit: Price, size: u64) -> u64 {
        let mut left = size;
        let levels = self.side(side);
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

    /// Takes what came into sight between two recorded books from the second one.
    fn follow_window(&mut self, before: &Row, after: &Row, plan: &mut Vec<Planned>) {
        for side in [Side::Buy, Side::Sell] {
            let shown = |row: &Row| {
                let levels = row.side(side);
                levels.last().filter(|_| levels.len() == self.day.depth).map(|level| level.price)
            };
            // With fewer levels than the window has, the whole side is in sight.
            let edge_before = if before.side(side).is_empty() { None } else { Some(shown(before)) };
            let in_sight_before = |price: Price| match edge_before {
                None => false,
                Some(None) => true,
                Some(Some(edge)) => !worse(side, price, edge),
            };
            let edge_after = shown(after);
            let in_sight = |price: Price| edge_after.is_none_or(|edge| !worse(side, price, edge));
            let appeared = |price: &Price| in_sight(*price) && !in_sight_before(*price);
            let gone: Vec<Price> = self.side(side).keys().copied().filter(appeared).collect();
            for price in gone {
                let recorded = size_at(after.side(side), price);
                self.forget(side, price, plan);
                let have = self.size_at(side, price);
                if have > recorded {
                    self.trim(side, price, have - recorded, plan);
                }
            }
            for level in after.side(side).iter().filter(|level| appeared(&level.price)) {
                let have = self.size_at(side, level.price);
                if have < level.size.0 {
                    self.seed(side, level.price, level.size.0 - have, plan);
                }
            }
        }
    }

    fn size_at(&mut self, side: Side, price: Price) -> u64 {
        self.side(side).get(&price).map_or(0, |queue| queue.iter().map(|resting| resting.open).sum())
    }

    fn side(&mut self, side: Side) -> &mut BTreeMap<Price, Queue> {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }

    fn push(&mut self, action: Action, plan: &mut Vec<Planned>) -> Step {
        let step = Step { event: self.event, number: self.number };
        self.number += 1;
        plan.push(Planned { step, action });
        step
    }
}

/// Whether `price` is further from the market than `other`.
fn worse(side: Side, price: Price, other: Price) -> bool {
    match side {
        Side::Buy => price < other,
        Side::Sell => price > other,
    }
}

fn size_at(levels: &[Level], price: Price) -> u64 {
    levels.iter().find(|level| level.price == price).map_or(0, |level| level.size.0)
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
