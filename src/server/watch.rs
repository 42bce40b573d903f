//! The event service: every record, from any of them on, on any node.

use std::collections::VecDeque;
use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::access::StreamPlace;
use super::convert::event;
use super::convert::request::{Filter, filter};
use super::errors::Refusal;
use super::feed::Feed;
use super::history::History;
use super::limits::{STREAM_MESSAGE_BYTES_MAX, ServerConfig};
use super::progress::{Item, Progress, first_event};
use super::reads::Reads;
use super::stream::AnswerStream;
use crate::core::Record;
use crate::core::command::Transfer;
use crate::core::event::EventBody;
use crate::core::production::records::{Purchase, WorkOrder};
use crate::core::types::{AccountId, AssetId, MarketId, Sequence};
use crate::proto::v1 as pb;

/// The event service of one node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Events {
    reads: Reads,
    history: History,
    config: Arc<ServerConfig>,
}

impl Events {
    /// Events of this history.
    #[must_use]
    pub fn new(reads: Reads, history: History, config: Arc<ServerConfig>) -> Self {
        Self { reads, history, config }
    }

    async fn watch(
        &self,
        asked: pb::WatchRequest,
        place: Option<StreamPlace>,
    ) -> Result<AnswerStream<pb::WatchResponse>, Refusal> {
        let filter = filter(asked.filter)?;
        let from = first_event(&self.reads, Sequence(asked.from_sequence), "from_sequence").await?;
        let feed = Feed::new(self.history.clone(), self.reads.published(), from, self.config.stream_step_bytes);
        let pick = move |record: &Record, items: &mut VecDeque<Item<pb::Record>>| {
            if filter.passes(record) {
                items.extend(parts(record, from));
            }
        };
        let (answers, resume) = Progress::new(feed, pick)
            .answers(|records, through| pb::WatchResponse { records, through_sequence: through.0 });
        Ok(AnswerStream::new(answers, place).with_patience(self.config.slow_reader_timeout, resume))
    }
}

#[tonic::async_trait]
impl pb::event_service_server::EventService for Events {
    type WatchStream = AnswerStream<pb::WatchResponse>;

    async fn watch(&self, request: Request<pb::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let place = StreamPlace::of(&request);
        Ok(Response::new(Events::watch(self, request.into_inner(), place).await?))
    }
}

/// A record from the event `from` on, in parts that fit a message.
fn parts(record: &Record, from: Sequence) -> impl Iterator<Item = Item<pb::Record>> {
    let parts = event::record_parts(record.view(), from, STREAM_MESSAGE_BYTES_MAX - FRAME_BYTES);
    parts.into_iter().map(|(part, bytes)| {
        let through = part.events.last().map_or(Sequence(0), |event| Sequence(event.sequence));
        Item { value: part, bytes: bytes + FRAME_BYTES, through }
    })
}

/// What a message adds to each of its records, at most.
const FRAME_BYTES: usize = 16;

/// What an event is about, besides its postings.
#[derive(Debug, Default)]
struct Subjects {
    accounts: [Option<AccountId>; 2],
    market: Option<MarketId>,
    assets: [Option<AssetId>; 2],
}

impl Filter {
    /// Whether the record passes every list that is not empty.
    #[must_use]
    pub fn passes(&self, record: &Record) -> bool {
        if self.accounts.is_empty() && self.markets.is_empty() && self.assets.is_empty() {
            return true;
        }
        let (mut account, mut market, mut asset) =
            (self.accounts.is_empty(), self.markets.is_empty(), self.assets.is_empty());
        if let Some(origin) = record.origin {
            account |= self.accounts.binary_search(&origin.key.account).is_ok();
        }
        for posting in &record.postings {
            account |= self.accounts.binary_search(&posting.account).is_ok();
            asset |= self.assets.binary_search(&posting.asset).is_ok();
        }
        for event in &record.events {
            let subjects = subjects(&event.body);
            account |= subjects.accounts.iter().flatten().any(|id| self.accounts.binary_search(id).is_ok());
            market |= subjects.market.is_some_and(|id| self.markets.binary_search(&id).is_ok());
            asset |= subjects.assets.iter().flatten().any(|id| self.assets.binary_search(id).is_ok());
        }
        account && market && asset
    }
}

fn of_work_order(order: &WorkOrder) -> Subjects {
    let accounts = [Some(order.location), Some(order.output)];
    Subjects { accounts, assets: [Some(order.product), None], market: None }
}

fn of_purchase(purchase: &Purchase) -> Subjects {
    Subjects { accounts: [Some(purchase.location), None], assets: [Some(purchase.item), None], market: None }
}

fn subjects(body: &EventBody) -> Subjects {
    let of_account = |account| Subjects { accounts: [Some(account), None], ..Subjects::default() };
    let of_order = |account, market| Subjects { market: Some(market), ..of_account(account) };
    match body {
        EventBody::AssetCreated(it) => Subjects { assets: [Some(it.asset), None], ..Subjects::default() },
        EventBody::AccountCreated(it) => of_account(it.account),
        EventBody::AccountStateSet(it) => of_account(it.account),
        EventBody::AccountAssetSet(it) => Subjects { assets: [Some(it.asset), None], ..of_account(it.account) },
        EventBody::MarketCreated(it) => {
            Subjects { market: Some(it.market), assets: [Some(it.base), Some(it.quote)], ..of_account(it.fee_account) }
        }
        EventBody::MarketPhaseSet(it) => Subjects { market: Some(it.market), ..Subjects::default() },
        EventBody::Transferred(it) => {
            let Transfer { debit, credit, asset, .. } = it.transfer;
            Subjects { accounts: [Some(debit), Some(credit)], assets: [Some(asset), None], market: None }
        }
        EventBody::OrderAccepted(it) => of_order(it.order.account, it.order.market),
        EventBody::Trade(it) => Subjects {
            accounts: [Some(it.maker_account), Some(it.taker_account)],
            ..of_order(it.maker_account, it.market)
        },
        EventBody::OrderReplaced(it) => of_order(it.account, it.market),
        EventBody::OrderReduced(it) => of_order(it.account, it.market),
        EventBody::OrderCancelled(it) => of_order(it.account, it.market),
        EventBody::MassCancelled(it) => Subjects { market: it.market, ..of_account(it.account) },
        EventBody::ItemDefined(it) => Subjects { assets: [Some(it.asset), None], ..Subjects::default() },
        EventBody::BomDefined(it) => Subjects { assets: [Some(it.product), None], ..Subjects::default() },
        EventBody::StockMoved(it) => {
            Subjects { accounts: [Some(it.from), Some(it.to)], assets: [Some(it.asset), None], market: None }
        }
        EventBody::WorkOrderCreated(it) => of_work_order(&it.order),
        EventBody::WorkOrderReleased(it) => of_work_order(&it.order),
        EventBody::WorkOrderChanged(it) => of_work_order(&it.order),
        EventBody::MaterialsIssued(it) => of_work_order(&it.order),
        EventBody::MaterialsReturned(it) => of_work_order(&it.order),
        EventBody::OperationReported(it) => of_work_order(&it.order),
        EventBody::WorkOrderCompleted(it) => of_work_order(&it.order),
        EventBody::PurchasePlanned(it) => of_purchase(&it.purchase),
        EventBody::PurchaseReceived(it) => of_purchase(&it.purchase),
        EventBody::PurchaseClosed(it) => of_purchase(&it.purchase),
        EventBody::PurchaseLinked(it) => of_purchase(&it.purchase),
        // These change balances, or nothing: their postings and their command say whose.
        EventBody::Rejected(_)
        | EventBody::PlantDefined(_)
        | EventBody::CalendarSet(_)
        | EventBody::LotsMoved(_)
        | EventBody::PlanCreated(_)
        | EventBody::PlanLinesSet(_)
        | EventBody::PlanFirmed(_)
        | EventBody::PlanClosed(_)
        | EventBody::PendingPosted(_)
        | EventBody::PendingVoided(_)
        | EventBody::PendingExpired(_) => Subjects::default(),
    }
}
