//! The streams of a market: its book by price and by order, and its trades.

use std::collections::VecDeque;

use futures::Stream;
use tonic::Status;

use super::book::{BookChange, BookProjection, OrderChange, Resting};
use super::{MarketData, level, no_market};
use crate::core::event::EventBody;
use crate::core::ledger::records::Order;
use crate::core::types::{MarketId, OrderId, Price, Sequence, Side};
use crate::proto::v1 as pb;
use crate::server::access::StreamPlace;
use crate::server::convert::request::Consistency;
use crate::server::convert::{event, request, state};
use crate::server::errors::Refusal;
use crate::server::feed::Feed;
use crate::server::progress::{Progress, first_event};
use crate::server::stream::{AnswerStream, Resume};

/// The live book at one sequence.
struct Snapshot {
    bids: Vec<(OrderId, Resting)>,
    asks: Vec<(OrderId, Resting)>,
    last_price: Option<Price>,
    phase: i32,
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

impl MarketData {
    /// A snapshot of the book and what follows it.
    async fn follow(&self, market: MarketId) -> Result<(Snapshot, pb::Position, BookFeed), Refusal> {
        let look = move |ledger: &crate::core::Ledger| {
            let book = ledger.book(market)?;
            let market = ledger.market(market)?;
            let orders = |side| book.orders(side).map(|order: &Order| (order.id, Resting::of(order))).collect();
            Some(Snapshot {
                bids: orders(Side::Buy),
                asks: orders(Side::Sell),
                last_price: market.last_price,
                phase: i32::from(market.phase.number()),
            })
        };
        // Stale is enough: the stream catches up by itself.
        let seen = self.reads.look(Consistency::Stale, look).await?;
        let snapshot = seen.value.ok_or_else(|| no_market(market))?;
        let book = BookProjection::new(market, snapshot.bids.iter().chain(&snapshot.asks).copied());
        let next = seen.sequence.plus(1);
        let feed = Feed::new(self.history.clone(), self.reads.published(), next, self.config.stream_step_bytes);
        let resume = Resume::default();
        resume.set(next);
        let feed = BookFeed { feed, book, ready: VecDeque::new(), previous: seen.sequence, resume };
        Ok((snapshot, seen.position, feed))
    }

    pub(super) async fn book_stream(
        &self,
        asked: pb::StreamBookRequest,
        place: Option<StreamPlace>,
    ) -> Result<AnswerStream<pb::StreamBookResponse>, Refusal> {
        use pb::stream_book_response::Update;
        let market = request::market_id(asked.market_id, "market_id")?;
        let (snapshot, position, feed) = self.follow(market).await?;
        let levels = |side| feed.book.levels(side).map(level).collect();
        let first = pb::GetBookResponse {
            bids: levels(Side::Buy),
            asks: levels(Side::Sell),
            last_price: snapshot.last_price.map_or(0, |price| price.0),
            phase: snapshot.phase,
            position: Some(position),
        };
        let change = |change: BookChange, previous| Update::Change(book_change(&change, previous));
        let resume = feed.resume.clone();
        let updates = updates(Update::Snapshot(first), feed, change);
        let answers = answers(updates, |update| pb::StreamBookResponse { update: Some(update) });
        Ok(AnswerStream::new(answers, place).with_patience(self.config.slow_reader_timeout, resume))
    }

    pub(super) async fn order_book_stream(
        &self,
        asked: pb::StreamOrderBookRequest,
        place: Option<StreamPlace>,
    ) -> Result<AnswerStream<pb::StreamOrderBookResponse>, Refusal> {
        use pb::stream_order_book_response::Update;
        let market = request::market_id(asked.market_id, "market_id")?;
        let (snapshot, position, feed) = self.follow(market).await?;
        let orders = |orders: &[(OrderId, Resting)]| orders.iter().map(|(id, it)| book_order(*id, it)).collect();
        let first = pb::GetOrderBookResponse {
            bids: orders(&snapshot.bids),
            asks: orders(&snapshot.asks),
            position: Some(position),
        };
        let change = |change: BookChange, previous| Update::Change(order_book_change(&change, previous));
        let resume = feed.resume.clone();
        let updates = updates(Update::Snapshot(first), feed, change);
        let answers = answers(updates, |update| pb::StreamOrderBookResponse { update: Some(update) });
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
        let pick = move |record: &crate::core::Record, trades: &mut Vec<pb::Trade>| {
            for (sequence, body, _) in record.view().events() {
                if let EventBody::Trade(trade) = body
                    && trade.market == market
                    && sequence >= from
                {
                    trades.push(event::trade(sequence, record.stamp.time, trade));
                }
            }
        };
        let (answers, resume) = Progress::new(feed, pick)
            .answers(|trades, through| pb::StreamTradesResponse { trades, through_sequence: through.0 });
        Ok(AnswerStream::new(answers, place).with_patience(self.config.slow_reader_timeout, resume))
    }
}

/// The snapshot, then every change.
fn updates<U: Send + 'static>(
    first: U,
    feed: BookFeed,
    change: impl Fn(BookChange, Sequence) -> U + Send + 'static,
) -> impl Stream<Item = Result<U, Refusal>> + Send + 'static {
    futures::stream::unfold((Some(first), Some(feed), change), async |(first, feed, change)| {
        let mut feed = feed?;
        if let Some(first) = first {
            return Some((Ok(first), (None, Some(feed), change)));
        }
        match feed.next().await {
            Ok((changed, previous)) => Some((Ok(change(changed, previous)), (None, Some(feed), change))),
            Err(refusal) => Some((Err(refusal), (None, None, change))),
        }
    })
}

fn answers<U, T>(
    updates: impl Stream<Item = Result<U, Refusal>> + Send + 'static,
    answer: impl Fn(U) -> T + Send + 'static,
) -> impl Stream<Item = Result<T, Status>> + Send + 'static {
    use futures::StreamExt;
    updates.map(move |update| update.map(&answer).map_err(Status::from))
}

fn book_change(change: &BookChange, previous: Sequence) -> pb::BookChange {
    let of = |side| change.levels.iter().filter(move |(of, _)| *of == side).map(|(_, it)| level(*it)).collect();
    pb::BookChange {
        sequence: change.sequence.0,
        previous_sequence: previous.0,
        bids: of(Side::Buy),
        asks: of(Side::Sell),
        last_price: change.last_price.map_or(0, |price| price.0),
        phase: change.phase.map_or(0, |phase| i32::from(phase.number())),
    }
}

fn order_book_change(change: &BookChange, previous: Sequence) -> pb::OrderBookChange {
    let of = |it: &OrderChange| pb::OrderChange { order: Some(book_order(it.order, &it.now)), requeued: it.requeued };
    pb::OrderBookChange {
        sequence: change.sequence.0,
        previous_sequence: previous.0,
        orders: change.orders.iter().map(of).collect(),
    }
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
