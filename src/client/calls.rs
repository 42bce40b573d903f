//! Single calls: every request of the API, retried on other nodes until the deadline.

use std::sync::Arc;
use std::time::Duration;

use tonic::{Request, Response};

use super::api;
use super::api::backup_service_client::BackupServiceClient;
use super::api::cluster_service_client::ClusterServiceClient;
use super::api::command_service_client::CommandServiceClient;
use super::api::market_data_service_client::MarketDataServiceClient;
use super::api::production_service_client::ProductionServiceClient;
use super::api::query_service_client::QueryServiceClient;
use super::connect::{ClientOptions, MESSAGE_BYTES_MAX, Nodes, retry};
use super::error::ClientError;
use super::session::{Session, SessionOptions};
use super::watch::Watch;
use crate::net::{Dial, dial_tcp};

/// A client of one cluster. Cheap to clone; clones share their connections and what they know of
/// the leader.
#[derive(Debug, Clone)]
pub struct Client {
    pub(super) nodes: Arc<Nodes>,
    pub(super) options: ClientOptions,
}

/// A request that tells the node how long it may take, so that it does not work for nobody.
fn within<T>(message: T, patience: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(patience);
    request
}

macro_rules! calls {
    ($($(#[$doc:meta])* $service:ident $name:ident($request:ident) -> $response:ident;)*) => {
        impl Client {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// When a node refuses it, or the deadline passes.
            pub async fn $name(&self, request: api::$request) -> Result<api::$response, ClientError> {
                retry(&self.nodes, &self.options, |channel, patience| {
                    let request = within(request.clone(), patience);
                    async move {
                        let mut node = $service::new(channel)
                            .max_decoding_message_size(MESSAGE_BYTES_MAX)
                            .max_encoding_message_size(MESSAGE_BYTES_MAX);
                        node.$name(request).await.map(Response::into_inner)
                    }
                })
                .await
            }
        )*}
    };
}

calls! {
    /// An asset by id or code.
    QueryServiceClient get_asset(GetAssetRequest) -> GetAssetResponse;
    /// Every asset, page by page.
    QueryServiceClient list_assets(ListAssetsRequest) -> ListAssetsResponse;
    /// A market by id or symbol.
    QueryServiceClient get_market(GetMarketRequest) -> GetMarketResponse;
    /// Every market, page by page.
    QueryServiceClient list_markets(ListMarketsRequest) -> ListMarketsResponse;
    /// An account, its balances, and what holds its reservations.
    QueryServiceClient get_account(GetAccountRequest) -> GetAccountResponse;
    /// Every account, page by page.
    QueryServiceClient list_accounts(ListAccountsRequest) -> ListAccountsResponse;
    /// Balances of an account, now or after a past event.
    QueryServiceClient list_balances(ListBalancesRequest) -> ListBalancesResponse;
    /// An order with its fills.
    QueryServiceClient get_order(GetOrderRequest) -> GetOrderResponse;
    /// Orders of an account or a market.
    QueryServiceClient list_orders(ListOrdersRequest) -> ListOrdersResponse;
    /// Trades of an account or a market.
    QueryServiceClient list_trades(ListTradesRequest) -> ListTradesResponse;
    /// Postings of an account.
    QueryServiceClient list_postings(ListPostingsRequest) -> ListPostingsResponse;
    /// A transfer, pending or ended.
    QueryServiceClient get_transfer(GetTransferRequest) -> GetTransferResponse;
    /// The answer that a command got.
    QueryServiceClient get_command_result(GetCommandResultRequest) -> GetCommandResultResponse;
    /// A plant with its calendar.
    ProductionServiceClient get_plant(GetPlantRequest) -> GetPlantResponse;
    /// Every plant, page by page.
    ProductionServiceClient list_plants(ListPlantsRequest) -> ListPlantsResponse;
    /// How an asset is planned.
    ProductionServiceClient get_item(GetItemRequest) -> GetItemResponse;
    /// Every item, page by page.
    ProductionServiceClient list_items(ListItemsRequest) -> ListItemsResponse;
    /// A version of a bill of materials.
    ProductionServiceClient get_bom(GetBomRequest) -> GetBomResponse;
    /// The versions of a product's bill of materials.
    ProductionServiceClient list_boms(ListBomsRequest) -> ListBomsResponse;
    /// Where an item is a component.
    ProductionServiceClient list_where_used(ListWhereUsedRequest) -> ListWhereUsedResponse;
    /// All that goes into a product.
    ProductionServiceClient explode_bom(ExplodeBomRequest) -> ExplodeBomResponse;
    /// What a product costs, rolled up level by level.
    ProductionServiceClient roll_up_cost(RollUpCostRequest) -> RollUpCostResponse;
    /// What a plant has of each item.
    ProductionServiceClient list_stock(ListStockRequest) -> ListStockResponse;
    /// What a plant is to reorder.
    ProductionServiceClient list_reorder(ListReorderRequest) -> ListReorderResponse;
    /// The lots of an account, or the holders of a lot.
    ProductionServiceClient list_lots(ListLotsRequest) -> ListLotsResponse;
    /// A work order with its parts, open or ended.
    ProductionServiceClient get_work_order(GetWorkOrderRequest) -> GetWorkOrderResponse;
    /// A plant's open work orders.
    ProductionServiceClient list_work_orders(ListWorkOrdersRequest) -> ListWorkOrdersResponse;
    /// Where a lot came from, or what became of it.
    ProductionServiceClient trace_lot(TraceLotRequest) -> TraceLotResponse;
    /// The state of a plant's production at one sequence.
    ProductionServiceClient get_production_state(GetProductionStateRequest) -> GetProductionStateResponse;
    /// A production plan with its lines.
    ProductionServiceClient get_plan(GetPlanRequest) -> GetPlanResponse;
    /// Production plans that are not closed.
    ProductionServiceClient list_plans(ListPlansRequest) -> ListPlansResponse;
    /// A planned purchase of which something is still to come.
    ProductionServiceClient get_purchase(GetPurchaseRequest) -> GetPurchaseResponse;
    /// Planned purchases of which something is still to come.
    ProductionServiceClient list_purchases(ListPurchasesRequest) -> ListPurchasesResponse;
    /// The book by price.
    MarketDataServiceClient get_book(GetBookRequest) -> GetBookResponse;
    /// The book by order.
    MarketDataServiceClient get_order_book(GetOrderBookRequest) -> GetOrderBookResponse;
    /// How the first node that answers sees the cluster.
    ClusterServiceClient get_status(GetStatusRequest) -> GetStatusResponse;
    /// Moves leadership to another voter.
    ClusterServiceClient transfer_leadership(TransferLeadershipRequest) -> TransferLeadershipResponse;
    /// Adds a member without a vote.
    ClusterServiceClient add_member(AddMemberRequest) -> AddMemberResponse;
    /// Gives a member a vote.
    ClusterServiceClient promote_member(PromoteMemberRequest) -> PromoteMemberResponse;
    /// Removes a member.
    ClusterServiceClient remove_member(RemoveMemberRequest) -> RemoveMemberResponse;
    /// Gives the vote of one member to another, and removes the one.
    ClusterServiceClient replace_member(ReplaceMemberRequest) -> ReplaceMemberResponse;
    /// Changes where a member is reached.
    ClusterServiceClient set_member_address(SetMemberAddressRequest) -> SetMemberAddressResponse;
    /// Begins a backup.
    BackupServiceClient run_backup(RunBackupRequest) -> RunBackupResponse;
    /// The complete backups.
    BackupServiceClient list_backups(ListBackupsRequest) -> ListBackupsResponse;
    /// Begins a check of a backup.
    BackupServiceClient check_backup(CheckBackupRequest) -> CheckBackupResponse;
    /// How the first node that answers sees the backups.
    BackupServiceClient get_backup_status(GetBackupStatusRequest) -> GetBackupStatusResponse;
    /// Carries out a batch of commands, each exactly once.
    CommandServiceClient submit(SubmitRequest) -> SubmitResponse;
}

impl Client {
    /// A client of the cluster that has nodes at these endpoints; one is enough to find the others.
    /// Connects when it is first used.
    ///
    /// # Errors
    /// When one is not an endpoint.
    pub fn new<S: AsRef<str>>(endpoints: &[S], options: ClientOptions) -> Result<Self, ClientError> {
        Self::over(dial_tcp(), endpoints, options)
    }

    /// A client whose connections are made by `dial`.
    ///
    /// # Errors
    /// When one is not an endpoint.
    pub fn over<S: AsRef<str>>(dial: Dial, endpoints: &[S], options: ClientOptions) -> Result<Self, ClientError> {
        Ok(Self { nodes: Arc::new(Nodes::new(endpoints, dial)?), options })
    }

    /// Carries out one command, exactly once, and returns what became of it; a rejection is a result.
    ///
    /// # Errors
    /// When a node refuses it as malformed, or the deadline passes.
    pub async fn execute(&self, command: api::Command) -> Result<api::CommandResult, ClientError> {
        let answer = retry(&self.nodes, &self.options, |channel, patience| {
            let request = within(api::ExecuteRequest { command: Some(command.clone()) }, patience);
            async move { CommandServiceClient::new(channel).execute(request).await.map(Response::into_inner) }
        });
        let result = answer.await?.result;
        result.ok_or_else(|| ClientError::Protocol("an answer without a result".to_owned()))
    }

    /// What has to be made and bought. A calculation can take seconds: one node may take the whole of the
    /// deadline for it.
    ///
    /// # Errors
    /// When a node refuses it, or the deadline passes.
    pub async fn get_requirements(
        &self,
        request: api::GetRequirementsRequest,
    ) -> Result<api::GetRequirementsResponse, ClientError> {
        let options = ClientOptions { attempt: self.options.deadline, ..self.options };
        retry(&self.nodes, &options, |channel, patience| {
            let request = within(request.clone(), patience);
            async move {
                let mut node = ProductionServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
                node.get_requirements(request).await.map(Response::into_inner)
            }
        })
        .await
    }

    /// Opens a pipelined session.
    #[must_use]
    pub fn session(&self, options: SessionOptions) -> Session {
        Session::open(Arc::clone(&self.nodes), options)
    }

    /// Every record from a sequence on, in order, over failures of nodes.
    #[must_use]
    pub fn watch(&self, from_sequence: u64, filter: Option<api::EventFilter>) -> Watch {
        Watch::new(Arc::clone(&self.nodes), self.options, from_sequence, filter)
    }
}
