//! A made-up trading day in LOBSTER's form: a full book with price-time priority is traded at random,
//! and recorded through a window of a few levels, as the real files are.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};
use std::path::Path;

/// Levels per side that are recorded.
pub const DEPTH: usize = 3;
const ABSENT_ASK: i64 = 9_999_999_999;

#[derive(Clone, Copy)]
struct Order {
    number: u64,
    buy: bool,
    price: u64,
    size: u64,
}

/// The two files' text.
#[derive(Default)]
pub struct Recording {
    pub messages: String,
    pub books: String,
    pub events: u64,
    pub executions: u64,
}

/// The traded book: orders oldest first.
struct Market {
    orders: Vec<Order>,
    next_number: u64,
    random: u64,
}

impl Market {
    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    fn levels(&self, buy: bool) -> Vec<(u64, u64)> {
        let mut levels = BTreeMap::<u64, u64>::new();
        for order in self.orders.iter().filter(|order| order.buy == buy) {
            *levels.entry(order.price).or_default() += order.size;
        }
        let mut levels: Vec<_> = levels.into_iter().collect();
        if buy {
            levels.reverse();
        }
        levels.truncate(DEPTH);
        levels
    }

    fn shows(&self, buy: bool, price: u64) -> bool {
        let levels = self.levels(buy);
        levels.len() < DEPTH || levels.iter().any(|level| level.0 == price) || {
            let worst = levels[DEPTH - 1].0;
            if buy { price > worst } else { price < worst }
        }
    }

    fn best(&self, buy: bool) -> Option<u64> {
        self.levels(buy).first().map(|level| level.0)
    }

    /// A new order that does not trade.
    fn enter(&mut self) -> Order {
        let buy = self.below(2) == 0;
        let distance = 1 + self.below(8);
        let price = match (buy, self.best(!buy)) {
            (true, Some(ask)) => ask - distance,
            (false, Some(bid)) => bid + distance,
            (true, None) => 10_000 - distance,
            (false, None) => 10_000 + distance,
        };
        self.next_number += 1 + self.below(3);
        let order = Order { number: self.next_number, buy, price, size: (1 + self.below(5)) * 10 };
        self.orders.push(order);
        order
    }

    /// Takes `size` off the order at this place.
    fn take(&mut self, place: usize, size: u64) -> Order {
        let order = Order { size, ..self.orders[place] };
        self.orders[place].size -= size;
        if self.orders[place].size == 0 {
            self.orders.remove(place);
        }
        order
    }

    /// One event: its type and what it did.
    fn step(&mut self) -> (u8, Order) {
        let buy = self.below(2) == 0;
        match self.below(10) {
            0..=4 => (1, self.enter()),
            5..=7 if self.orders.len() > 12 => {
                let place = self.below(self.orders.len() as u64) as usize;
                let whole = self.orders[place].size;
                if self.below(4) == 0 && whole > 10 { (2, self.take(place, 10)) } else { (3, self.take(place, whole)) }
            }
            8..=9 if self.orders.len() > 12 && self.best(buy).is_some() => {
                let best = self.best(buy);
                let oldest = self.orders.iter().position(|order| order.buy == buy && Some(order.price) == best);
                let place = oldest.expect("the best level holds an order");
                let size = (1 + self.below(5)) * 10;
                (4, self.take(place, size.min(self.orders[place].size)))
            }
            _ => (1, self.enter()),
        }
    }
}

impl Recording {
    /// Trades at random until `events` events were recorded. The market is `before` events old then.
    pub fn make(seed: u64, before: u64, events: u64) -> Self {
        let mut market = Market { orders: Vec::new(), next_number: 0, random: seed };
        for _ in 0..before {
            market.step();
        }
        let mut recording = Self::default();
        let mut nanoseconds = 34_200_000_000_000_u64;
        while recording.events < events {
            let shown_before: Vec<_> = [true, false].map(|buy| market.levels(buy)).into();
            let (kind, order) = market.step();
            let was_shown = shown_before[usize::from(!order.buy)].iter().any(|level| level.0 == order.price);
            nanoseconds += 1_000_003;
            // As the real window: what happens outside of it is left out.
            if was_shown || market.shows(order.buy, order.price) {
                recording.record(&market, nanoseconds, kind, order);
            }
        }
        recording
    }

    fn record(&mut self, market: &Market, nanoseconds: u64, kind: u8, order: Order) {
        let (seconds, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
        let Order { number, buy, price, size } = order;
        let direction = if buy { 1 } else { -1 };
        self.messages += &format!("{seconds}.{rest:09},{kind},{number},{size},{price},{direction}\r\n");
        let (bids, asks) = (market.levels(true), market.levels(false));
        let level = |levels: &[(u64, u64)], place: usize, absent: i64| match levels.get(place) {
            Some((price, size)) => format!("{price},{size}"),
            None => format!("{absent},0"),
        };
        let row: Vec<String> =
            (0..DEPTH).flat_map(|place| [level(&asks, place, ABSENT_ASK), level(&bids, place, -ABSENT_ASK)]).collect();
        self.books += &format!("{}\r\n", row.join(","));
        self.events += 1;
        self.executions += u64::from(kind == 4);
    }

    /// The zip that holds both files.
    pub fn zip(&self, ticker: &str) -> Vec<u8> {
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (part, text) in [("message", &self.messages), ("orderbook", &self.books)] {
            let name = format!("{ticker}_2012-06-21_34200000_57600000_{part}_{DEPTH}.csv");
            archive.start_file(name, zip::write::SimpleFileOptions::default()).expect("a file in the zip");
            archive.write_all(text.as_bytes()).expect("its content");
        }
        archive.finish().expect("a zip").into_inner()
    }

    /// Writes the zip to `path`.
    pub fn write(&self, ticker: &str, path: &Path) {
        std::fs::write(path, self.zip(ticker)).expect("a file");
    }
}
