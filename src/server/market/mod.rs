//! Market data: a book as a snapshot, then every change of it; and trades.
//!
//! A stream is a snapshot of the live state at some sequence and a projection of the journal behind
//! it, so that it has no gap and every node serves it alike.

mod book;
#[cfg(test)]
mod exchange;
mod streams;

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::access::StreamPlace;
use super::convert::{request, state};
use super::errors::Refusal;
use super::history::History;
use super::limits::{BOOK_DEPTH_DEFAULT, BOOK_DEPTH_MAX, BOOK_ORDERS_DEFAULT, BOOK_ORDERS_MAX, ServerConfig};
use super::reads::Reads;
use super::stream::AnswerStream;
use crate::core::Ledger;
use crate::core::ledger::records::Market;
use crate::core::trading::{BookLevel, BookView};
use crate::core::types::{MarketId, Side};
use crate::proto::v1 as pb;

/// The market data service of one node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MarketData {
    reads: Reads,
    history: History,
    config: Arc<ServerConfig>,
}

impl MarketData {
    /// Market data of this state and its history.
    #[must_use]
    pub fn new(reads: Reads, history: History, config: Arc<ServerConfig>) -> Self {
        Self { reads, history, config }
    }

    async fn book(&self, asked: pb::GetBookRequest) -> Result<pb::GetBookResponse, Refusal> {
        let market = request::market_id(asked.market_id, "market_id")?;
        let depth = request::size(asked.depth, "depth", BOOK_DEPTH_DEFAULT, BOOK_DEPTH_MAX)?;
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let seen = self.reads.look(consistency, move |ledger| book_by_price(ledger, market, depth)).await?;
        let book = seen.value.ok_or_else(|| no_market(market))?;
        Ok(pb::GetBookResponse { position: Some(seen.position), ..book })
    }

    async fn order_book(&self, asked: pb::GetOrderBookRequest) -> Result<pb::GetOrderBookResponse, Refusal> {
        let market = request::market_id(asked.market_id, "market_id")?;
        let limit = request::size(asked.limit, "limit", BOOK_ORDERS_DEFAULT, BOOK_ORDERS_MAX)?;
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let seen = self.reads.look(consistency, move |ledger| book_by_order(ledger, market, limit)).await?;
        let book = seen.value.ok_or_else(|| no_market(market))?;
        Ok(pb::GetOrderBookResponse { position: Some(seen.position), ..book })
    }
}

/// The first levels of each side.
fn book_by_price(ledger: &Ledger, market: MarketId, depth: usize) -> Option<pb::GetBookResponse> {
    let book = ledger.book(market)?;
    let Market { last_price, phase, .. } = *ledger.market(market)?;
    let levels = |side| book.levels(side).take(depth).map(level).collect();
    Some(pb::GetBookResponse {
        bids: levels(Side::Buy),
        asks: levels(Side::Sell),
        last_price: last_price.map_or(0, |price| price.0),
        phase: i32::from(phase.number()),
        position: None,
        continues: false,
    })
}

/// The first orders of each side.
fn book_by_order(ledger: &Ledger, market: MarketId, limit: usize) -> Option<pb::GetOrderBookResponse> {
    let book: BookView<'_> = ledger.book(market)?;
    let orders = |side| book.orders(side).take(limit).map(state::book_order).collect();
    Some(pb::GetOrderBookResponse {
        bids: orders(Side::Buy),
        asks: orders(Side::Sell),
        position: None,
        continues: false,
    })
}

fn level(level: BookLevel) -> pb::BookLevel {
    pb::BookLevel { price: level.price.0, quantity: level.quantity.0, order_count: level.orders }
}

fn no_market(id: MarketId) -> Refusal {
    Refusal::NotFound { what: "market", key: id.to_string() }
}

#[tonic::async_trait]
impl pb::market_data_service_server::MarketDataService for MarketData {
    type StreamBookStream = AnswerStream<pb::StreamBookResponse>;
    type StreamOrderBookStream = AnswerStream<pb::StreamOrderBookResponse>;
    type StreamTradesStream = AnswerStream<pb::StreamTradesResponse>;

    async fn get_book(&self, request: Request<pb::GetBookRequest>) -> Result<Response<pb::GetBookResponse>, Status> {
        Ok(Response::new(self.book(request.into_inner()).await?))
    }

    async fn get_order_book(
        &self,
        request: Request<pb::GetOrderBookRequest>,
    ) -> Result<Response<pb::GetOrderBookResponse>, Status> {
        Ok(Response::new(self.order_book(request.into_inner()).await?))
    }

    async fn stream_book(
        &self,
        request: Request<pb::StreamBookRequest>,
    ) -> Result<Response<Self::StreamBookStream>, Status> {
        let place = StreamPlace::of(&request);
        Ok(Response::new(self.book_stream(request.into_inner(), place).await?))
    }

    async fn stream_order_book(
        &self,
        request: Request<pb::StreamOrderBookRequest>,
    ) -> Result<Response<Self::StreamOrderBookStream>, Status> {
        let place = StreamPlace::of(&request);
        Ok(Response::new(self.order_book_stream(request.into_inner(), place).await?))
    }

    async fn stream_trades(
        &self,
        request: Request<pb::StreamTradesRequest>,
    ) -> Result<Response<Self::StreamTradesStream>, Status> {
        let place = StreamPlace::of(&request);
        Ok(Response::new(self.trade_stream(request.into_inner(), place).await?))
    }
}
