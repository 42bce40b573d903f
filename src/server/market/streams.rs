//! The streams of a market: its book by price and by order, and its trades.

use std::collections::VecDeque;
use std::ops::Range;

use futures::Stream;
use tonic::Status;

use super::book::{BookChange, BookProjection, OrderChange, Resting};
use super::{MarketData, level, no_market};
use crate::core::Ledger;
use crate::core::event::EventBody;
use crate::core::ledger::records::Order;
use crate::core::types::{MarketId, OrderId, Price, Sequence, Side};
use crate::proto::v1 as pb;
use crate::server::access::StreamPlace;
use crate::server::convert::request::Consistency;
use crate::server::convert::{event, request, state};
use crate::server::errors::Refusal;
use crate::server::feed::Feed;
use crate::server::limits::{LOOK_ORDERS_MAX, STREAM_MESSAGE_ITEMS_MAX};
use crate::server::progress::{Item, Progress, first_event};
use crate::server::reads::Seen;
use crate::server::stream::{AnswerStream, Resume};

/// What one look at the live state takes of a market for a snapshot.
struct Look {
    orders: Vec<(OrderId, Resting)>,
    last_price: Option<Price>,
    phase: i32,
    /// The places for orders that are to be gone through still.
    left: Range<u32>,
}

/// The live book at one sequence.
struct Snapshot {
    bids: Vec<(OrderId, Resting)>,
    asks: Vec<(OrderId, Resting)>,
    last_price: Option<Price>,
    phase: i32,
    position: pb::Position,
}

/// A book that follows the journal.
struct BookFeed {
    feed: Feed,
    book: BookProjection,
    ready: VecDeque<BookChange>,
    /// The sequence of what was handed out last.
    previous: Sequence,
    resume: Resume,
}

impl BookFeed {
    /// The next change, and the sequence of the one before.
    async fn next(&mut self) -> Result<(BookChange, Sequence), Refusal> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                let previous = std::mem::replace(&mut self.previous, change.sequence);
                self.resume.set(change.sequence.plus(1));
                return Ok((change, previous));
            }
            for record in self.feed.next().await? {
                self.ready.extend(self.book.take(record.view()));
            }
        }
    }
}

/// A part of a market's orders: all of them at once when they are few, otherwise those in the next places,
/// so that nothing is held up for long.
fn look(ledger: &Ledger, market: MarketId, left: Option<Range<u32>>) -> Option<Look> {
    let book = ledger.book(market)?;
    let known = ledger.market(market)?;
    let taken = |order: &Order| (order.id, Resting::of(order));
    let few = book.order_count(Side::Buy) + book.order_count(Side::Sell) <= LOOK_ORDERS_MAX;
    let (orders, left) = match left {
        None if few => (ledger.market_orders(market).map(taken).collect(), 0..0),
        left => {
            // Places are added at the end alone: what is entered into them comes by the journal.
            let Range { start, end } = left.unwrap_or(0..ledger.order_places());
            let next = start.saturating_add(LOOK_ORDERS_MAX as u32).min(end);
            (ledger.market_orders_in(market, start..next).map(taken).collect(), next..end)
        }
    };
    Some(Look { orders, last_price: known.last_price, phase: i32::from(known.phase.number()), left })
}

impl MarketData {
    /// A snapshot of the book and what follows it.
    ///
    /// A large book is taken in several looks, between which it goes on. An order is as it was at the look
    /// that met it; the records since the first look lead all of them to one point.
    async fn follow(&self, market: MarketId) -> Result<(Snapshot, BookFeed), Refusal> {
        let mut orders = Vec::new();
        let mut left = None;
        let mut first: Option<Sequence> = None;
        let last: Seen<Look> = loop {
            // Stale is enough: the stream catches up by itself.
            let seen = self.reads.look(Consistency::Stale, move |ledger| look(ledger, market, left)).await?;
            let mut value = seen.value.ok_or_else(|| no_market(market))?;
            first.get_or_insert(seen.sequence);
            orders.append(&mut value.orders);
            if value.left.is_empty() {
                break Seen { value, sequence: seen.sequence, position: seen.position };
            }
            left = Some(value.left);
        };
        let next = first.unwrap_or(last.sequence).plus(1);
        let mut feed = Feed::new(self.history.clone(), self.reads.published(), next, self.config.stream_step_bytes);
        let mut book = self.history.read(move |_| Ok(BookProjection::new(market, orders))).await?;
        let Look { mut last_price, mut phase, .. } = last.value;
        while feed.position() <= last.sequence {
            for record in feed.next().await? {
                let Some(change) = book.take(record.view()) else { continue };
                last_price = change.last_price.or(last_price);
                phase = change.phase.map_or(phase, |phase| i32::from(phase.number()));
            }
        }
        let next = feed.position();
        let sequence = Sequence(next.0 - 1);
        let position = pb::Position { sequence: sequence.0, ..last.position };
        let sorted = move |_: &_| {
            let (bids, asks) = (book.queue(Side::Buy), book.queue(Side::Sell));
            Ok((Snapshot { bids, asks, last_price, phase, position }, book))
        };
        let (snapshot, book) = self.history.read(sorted).await?;
        let resume = Resume::default();
        resume.set(next);
        Ok((snapshot, BookFeed { feed, book, ready: VecDeque::new(), previous: sequence, resume }))
    }

    pub(super) async fn book_stream(
        &self,
        asked: pb::StreamBookRequest,
        place: Option<StreamPlace>,
    ) -> Result<AnswerStream<pb::StreamBookResponse>, Refusal> {
        use pb::stream_book_response::Update;
        let market = request::market_id(asked.market_id, "market_id")?;
        let (snapshot, feed) = self.follow(market).await?;
        let levels = |side| feed.book.levels(side).map(level).collect();
        let first = in_parts(levels(Side::Buy), levels(Side::Sell), |bids, asks, continues| {
            Update::Snapshot(pb::GetBookResponse {
                bids,
                asks,
                last_price: snapshot.last_price.map_or(0, |price| price.0),
                phase: snapshot.phase,
                position: Some(snapshot.position),
                continues,
            })
        });
        let change = |change: BookChange, previous| book_change(&change, previous);
        let resume = feed.resume.clone();
        let answers = answers(updates(first, feed, change), |it| pb::StreamBookResponse { update: Some(it) });
        Ok(AnswerStream::new(answers, place).with_patience(self.config.slow_reader_timeout, resume))
    }

    pub(super) async fn order_book_stream(
        &self,
        asked: pb::StreamOrderBookRequest,
        place: Option<StreamPlace>,
    ) -> Result<AnswerStream<pb::StreamOrderBookResponse>, Refusal> {
        use pb::stream_order_book_response::Update;
        let market = request::market_id(asked.market_id, "market_id")?;
        let (snapshot, feed) = self.follow(market).await?;
        let orders = |orders: &[(OrderId, Resting)]| orders.iter().map(|(id, it)| book_order(*id, it)).collect();
        let first = in_parts(orders(&snapshot.bids), orders(&snapshot.asks), |bids, asks, continues| {
            let position = Some(snapshot.position);
            Update::Snapshot(pb::GetOrderBookResponse { bids, asks, position, continues })
        });
        let change = |change: BookChange, previous| order_book_change(&change, previous);
        let resume = feed.resume.clone();
        let answers = answers(updates(first, feed, change), |it| pb::StreamOrderBookResponse { update: Some(it) });
        Ok(AnswerStream::new(answers, place).with_patience(self.config.slow_reader_timeout, resume))
    }

    pub(super) async fn trade_stream(
        &self,
        asked: pb::StreamTradesRequest,
        place: Option<StreamPlace>,
    ) -> Result<AnswerStream<pb::StreamTradesResponse>, Refusal> {
        let market = request::market_id(asked.market_id, "market_id")?;
        let exists = self.reads.look(Consistency::Stale, move |ledger| ledger.market(market).is_some()).await?;
        if !exists.value {
            return Err(no_market(market));
        }
        let from = first_event(&self.reads, Sequence(asked.from_sequence), "from_sequence").await?;
        let feed = Feed::new(self.history.clone(), self.reads.published(), from, self.config.stream_step_bytes);
        let pick = move |record: &crate::core::Record, trades: &mut VecDeque<Item<pb::Trade>>| {
            for (sequence, body, _) in record.view().events() {
                if let EventBody::Trade(trade) = body
                    && trade.market == market
                    && sequence >= from
                {
                    let value = event::trade(sequence, record.stamp.time, trade);
                    let bytes = prost::encoding::message::encoded_len(1, &value);
                    trades.push_back(Item { value, bytes, through: sequence });
                }
            }
        };
        let (answers, resume) = Progress::new(feed, pick)
            .answers(|trades, through| pb::StreamTradesResponse { trades, through_sequence: through.0 });
        Ok(AnswerStream::new(answers, place).with_patience(self.config.slow_reader_timeout, resume))
    }
}

/// The parts of the snapshot, then those of every change.
fn updates<U: Send + 'static>(
    first: Vec<U>,
    feed: BookFeed,
    change: impl Fn(BookChange, Sequence) -> Vec<U> + Send + 'static,
) -> impl Stream<Item = Result<U, Refusal>> + Send + 'static {
    let parts = VecDeque::from(first);
    futures::stream::unfold((parts, Some(feed), change), async |(mut parts, feed, change)| {
        let mut feed = feed?;
        while parts.is_empty() {
            match feed.next().await {
                Ok((changed, previous)) => parts.extend(change(changed, previous)),
                Err(refusal) => return Some((Err(refusal), (parts, None, change))),
            }
        }
        let part = parts.pop_front()?;
        Some((Ok(part), (parts, Some(feed), change)))
    })
}

fn answers<U, T>(
    updates: impl Stream<Item = Result<U, Refusal>> + Send + 'static,
    answer: impl Fn(U) -> T + Send + 'static,
) -> impl Stream<Item = Result<T, Status>> + Send + 'static {
    use futures::StreamExt;
    updates.map(move |update| update.map(&answer).map_err(Status::from))
}

/// Bids and asks in as many messages as it takes for none to hold too many; each but the last says that
/// another one continues it.
fn in_parts<T, U>(bids: Vec<T>, asks: Vec<T>, make: impl Fn(Vec<T>, Vec<T>, bool) -> U) -> Vec<U> {
    let (mut bids, mut asks) = (bids.into_iter(), asks.into_iter());
    let mut parts = Vec::with_capacity(1);
    loop {
        let some_bids: Vec<T> = bids.by_ref().take(STREAM_MESSAGE_ITEMS_MAX).collect();
        let some_asks: Vec<T> = asks.by_ref().take(STREAM_MESSAGE_ITEMS_MAX - some_bids.len()).collect();
        let continues = bids.len() + asks.len() > 0;
        parts.push(make(some_bids, some_asks, continues));
        if !continues {
            return parts;
        }
    }
}

/// What a change's part follows: the first one the change before, the others this one.
fn follows(part: usize, change: &BookChange, previous: Sequence) -> u64 {
    if part == 0 { previous.0 } else { change.sequence.0 }
}

fn book_change(change: &BookChange, previous: Sequence) -> Vec<pb::stream_book_response::Update> {
    let of = |side| change.levels.iter().filter(move |(of, _)| *of == side).map(|(_, it)| level(*it)).collect();
    let parts = in_parts(of(Side::Buy), of(Side::Sell), |bids, asks, continues| pb::BookChange {
        sequence: change.sequence.0,
        previous_sequence: 0,
        bids,
        asks,
        last_price: change.last_price.map_or(0, |price| price.0),
        phase: change.phase.map_or(0, |phase| i32::from(phase.number())),
        continues,
    });
    let parts = parts
        .into_iter()
        .enumerate()
        .map(|(place, part)| pb::BookChange { previous_sequence: follows(place, change, previous), ..part });
    parts.map(pb::stream_book_response::Update::Change).collect()
}

fn order_book_change(change: &BookChange, previous: Sequence) -> Vec<pb::stream_order_book_response::Update> {
    let of = |it: &OrderChange| pb::OrderChange { order: Some(book_order(it.order, &it.now)), requeued: it.requeued };
    let orders = change.orders.iter().map(of).collect();
    let parts = in_parts(orders, Vec::new(), |orders, _, continues| pb::OrderBookChange {
        sequence: change.sequence.0,
        previous_sequence: 0,
        orders,
        continues,
    });
    let parts = parts
        .into_iter()
        .enumerate()
        .map(|(place, part)| pb::OrderBookChange { previous_sequence: follows(place, change, previous), ..part });
    parts.map(pb::stream_order_book_response::Update::Change).collect()
}

fn book_order(id: OrderId, resting: &Resting) -> pb::BookOrder {
    pb::BookOrder {
        order_id: id.0,
        account_id: resting.account.0,
        side: state::side(resting.side),
        price: resting.price.0,
        open: resting.open.0,
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn what_is_large_comes_in_parts_that_fit_any_client() {
        let order =
            |order_id| pb::BookOrder { order_id, account_id: u64::MAX, side: 2, price: u64::MAX, open: u64::MAX };
        let change = |place| pb::OrderChange { order: Some(order(u64::MAX - place)), requeued: true };
        let level = pb::BookLevel { price: u64::MAX, quantity: u64::MAX, order_count: u32::MAX };
        let items = STREAM_MESSAGE_ITEMS_MAX as u64;
        let full = pb::OrderBookChange { orders: (0..items).map(change).collect(), ..Default::default() };
        assert!(full.encoded_len() < super::super::super::limits::STREAM_MESSAGE_BYTES_MAX);
        assert!(level.encoded_len() < order(u64::MAX).encoded_len());

        let asks: Vec<u64> = (0..2 * items).collect();
        let parts = in_parts(vec![7, 8, 9], asks.clone(), |bids, asks, continues| (bids, asks, continues));
        assert_eq!(parts.iter().map(|part| part.2).collect::<Vec<_>>(), [true, true, false]);
        assert!(parts.iter().all(|part| part.0.len() + part.1.len() <= STREAM_MESSAGE_ITEMS_MAX));
        assert_eq!(parts[0].0, [7, 8, 9]);
        assert_eq!(parts.into_iter().flat_map(|part| part.1).collect::<Vec<_>>(), asks);
        let nothing = in_parts(Vec::<u64>::new(), Vec::new(), |_, _, continues| continues);
        assert_eq!(nothing, [false], "nothing is told by one message");
    }
}
