//! One market's resting orders by price and time.
//!
//! A price level is a queue that runs through the orders themselves; an order knows its level, so
//! that it leaves in constant time. The prices of a side stand in an ordered map, which is touched
//! only when a level appears or vanishes; the best level is kept at hand.

use std::collections::BTreeMap;

use super::orders::{OF_LEVEL, OrderEntry};
use crate::ledger::records::Order;
use crate::ledger::slots::{List, Slab};
use crate::table::Slot;
use crate::types::{Price, Quantity, Side};

/// One price of a book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BookLevel {
    /// The price.
    pub price: Price,
    /// What is open at it, of all orders.
    pub quantity: Quantity,
    /// How many orders are open at it.
    pub orders: u32,
}

/// A market's resting orders.
#[derive(Debug)]
pub struct Book {
    bids: BookSide,
    asks: BookSide,
}

/// The resting orders of one side.
#[derive(Debug)]
pub struct BookSide {
    side: Side,
    by_price: BTreeMap<Price, Slot>,
    levels: Slab<Level>,
    best: Option<Best>,
    /// What is open in all.
    open: u64,
    orders: u32,
}

#[derive(Debug, Clone, Copy)]
struct Best {
    price: Price,
    level: Slot,
}

#[derive(Debug)]
struct Level {
    price: Price,
    open: u64,
    queue: List<OF_LEVEL>,
}

impl Level {
    fn to_read(&self) -> BookLevel {
        BookLevel { price: self.price, quantity: Quantity(self.open), orders: self.queue.len() }
    }
}

impl Default for Book {
    fn default() -> Self {
        Self { bids: BookSide::new(Side::Buy), asks: BookSide::new(Side::Sell) }
    }
}

impl Book {
    /// One side.
    pub fn side(&self, side: Side) -> &BookSide {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }

    /// One side, to change.
    pub fn side_mut(&mut self, side: Side) -> &mut BookSide {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }

    /// Whether the order would meet another one at once.
    pub fn would_trade(&self, order: &Order) -> bool {
        self.side(order.side.opposite()).best_price().is_some_and(|price| order.accepts(price))
    }
}

impl BookSide {
    fn new(side: Side) -> Self {
        Self { side, by_price: BTreeMap::new(), levels: Slab::default(), best: None, open: 0, orders: 0 }
    }

    /// What is open in all.
    pub fn open(&self) -> u64 {
        self.open
    }

    /// The best price.
    pub fn best_price(&self) -> Option<Price> {
        self.best.map(|best| best.price)
    }

    /// The price and the slot of the order that trades next.
    pub fn first(&self) -> Option<(Price, Slot)> {
        let best = self.best?;
        let head = self.levels[best.level].queue.head().expect("a level has an order");
        Some((best.price, head))
    }

    /// Puts an order behind the others of its price. The caller has checked that [`Self::open`]
    /// stays in 64 bits.
    pub fn insert(&mut self, orders: &mut Slab<OrderEntry>, slot: Slot) {
        let order = &orders[slot].order;
        let price = order.limit().expect("an order that rests has a limit");
        let open = order.open.0;
        let level = self.level_at(price);
        self.open += open;
        self.orders += 1;
        self.levels[level].open += open;
        self.levels[level].queue.push_back(orders, slot);
        orders[slot].level = level;
    }

    /// Takes an order out.
    pub fn remove(&mut self, orders: &mut Slab<OrderEntry>, slot: Slot) {
        let entry = &orders[slot];
        let (place, open) = (entry.level, entry.order.open.0);
        self.open -= open;
        self.orders -= 1;
        let level = &mut self.levels[place];
        level.open -= open;
        level.queue.remove(orders, slot);
        if level.queue.len() == 0 {
            let price = level.price;
            self.levels.remove(place);
            self.by_price.remove(&price);
            if self.best_price() == Some(price) {
                self.best = self.find_best();
            }
        }
    }

    /// Takes quantity off an order of this level, which stays.
    pub fn reduce(&mut self, level: Slot, quantity: Quantity) {
        self.open -= quantity.0;
        self.levels[level].open -= quantity.0;
    }

    fn level_at(&mut self, price: Price) -> Slot {
        if let Some(best) = self.best.filter(|best| best.price == price) {
            return best.level;
        }
        let levels = &mut self.levels;
        let new_level = || levels.insert(Level { price, open: 0, queue: List::default() });
        let level = *self.by_price.entry(price).or_insert_with(new_level);
        if self.best_price().is_none_or(|best| self.is_better(price, best)) {
            self.best = Some(Best { price, level });
        }
        level
    }

    fn is_better(&self, price: Price, other: Price) -> bool {
        match self.side {
            Side::Buy => price > other,
            Side::Sell => price < other,
        }
    }

    fn find_best(&self) -> Option<Best> {
        let first = match self.side {
            Side::Buy => self.by_price.last_key_value(),
            Side::Sell => self.by_price.first_key_value(),
        };
        first.map(|(&price, &level)| Best { price, level })
    }

    /// The levels' slots, best price first.
    fn places(&self) -> impl Iterator<Item = Slot> + '_ {
        let (falling, rising) = match self.side {
            Side::Buy => (Some(self.by_price.values().rev()), None),
            Side::Sell => (None, Some(self.by_price.values())),
        };
        falling.into_iter().flatten().chain(rising.into_iter().flatten()).copied()
    }

    /// The levels, best price first.
    pub fn levels(&self) -> impl Iterator<Item = BookLevel> + '_ {
        self.places().map(|place| self.levels[place].to_read())
    }

    /// The slots of the orders, in the order in which they would trade.
    pub fn slots<'a>(&'a self, orders: &'a Slab<OrderEntry>) -> impl Iterator<Item = Slot> + 'a {
        self.places().flat_map(|place| self.levels[place].queue.iter(orders))
    }
}

impl BookSide {
    /// Checks that the levels and their sums are those of the orders, and the queues in priority.
    pub fn check(&self, orders: &Slab<OrderEntry>) -> Result<(), String> {
        let (mut open, mut count) = (0_u128, 0);
        for (&price, &place) in &self.by_price {
            let level = self.levels.get(place).filter(|level| level.price == price);
            let level = level.ok_or_else(|| format!("price {price} has no level"))?;
            self.check_level(place, level, orders)?;
            open += u128::from(level.open);
            count += level.queue.len();
        }
        if (open, count, self.levels.len()) != (u128::from(self.open), self.orders, self.by_price.len()) {
            return Err(format!("{:?} side: sums differ from the levels", self.side));
        }
        let best = self.find_best().map(|best| (best.price, best.level));
        if best != self.best.map(|best| (best.price, best.level)) {
            return Err(format!("{:?} side: the best price is another", self.side));
        }
        Ok(())
    }

    fn check_level(&self, place: Slot, level: &Level, orders: &Slab<OrderEntry>) -> Result<(), String> {
        let (mut open, mut count, mut last) = (0_u128, 0, None);
        for slot in level.queue.iter(orders) {
            let entry = &orders[slot];
            let order = &entry.order;
            if (order.limit(), order.side, entry.level) != (Some(level.price), self.side, place) {
                return Err(format!("order {} stands at price {}", order.id, level.price));
            }
            if last >= Some(order.priority) {
                return Err(format!("order {} stands behind a younger one", order.id));
            }
            last = Some(order.priority);
            open += u128::from(order.open.0);
            count += 1;
        }
        if (open, count) != (u128::from(level.open), level.queue.len()) || count == 0 {
            return Err(format!("price {}: sums differ from the orders", level.price));
        }
        Ok(())
    }
}

/// A market's book, to read.
#[derive(Clone, Copy)]
pub struct BookView<'a> {
    book: &'a Book,
    orders: &'a Slab<OrderEntry>,
}

impl<'a> BookView<'a> {
    pub(crate) fn new(book: &'a Book, orders: &'a Slab<OrderEntry>) -> Self {
        Self { book, orders }
    }

    /// The best price of a side.
    #[must_use]
    pub fn best(self, side: Side) -> Option<Price> {
        self.book.side(side).best_price()
    }

    /// The levels of a side, best price first.
    pub fn levels(self, side: Side) -> impl Iterator<Item = BookLevel> + 'a {
        self.book.side(side).levels()
    }

    /// The orders of a side in the order in which they would trade.
    pub fn orders(self, side: Side) -> impl Iterator<Item = &'a Order> + 'a {
        self.book.side(side).slots(self.orders).map(|slot| &self.orders[slot].order)
    }

    /// How many orders rest on a side.
    #[must_use]
    pub fn order_count(self, side: Side) -> usize {
        self.book.side(side).orders as usize
    }

    /// What is open on a side, of all orders.
    #[must_use]
    pub fn open(self, side: Side) -> Quantity {
        Quantity(self.book.side(side).open())
    }
}
