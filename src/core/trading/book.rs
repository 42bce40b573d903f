//! One market's resting orders by price and time.

use crate::core::ledger::records::Order;
use crate::core::types::{Price, Quantity, Side};

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

/// A market's book, to read.
#[derive(Clone, Copy)]
pub struct BookView<'a> {
    marker: std::marker::PhantomData<&'a ()>,
}

impl<'a> BookView<'a> {
    /// The best price of a side.
    #[must_use]
    pub fn best(self, side: Side) -> Option<Price> {
        let _ = side;
        todo!()
    }

    /// The levels of a side, best price first.
    pub fn levels(self, side: Side) -> impl Iterator<Item = BookLevel> + 'a {
        let _ = side;
        std::iter::empty()
    }

    /// The orders of a side in the order in which they would trade.
    pub fn orders(self, side: Side) -> impl Iterator<Item = &'a Order> + 'a {
        let _ = side;
        std::iter::empty()
    }

    /// How many orders rest on a side.
    #[must_use]
    pub fn order_count(self, side: Side) -> usize {
        let _ = side;
        todo!()
    }
}
