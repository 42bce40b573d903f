//! The query services. What is live comes from the state on the apply thread, what is past from
//! journal and index; one answer shows one point, and says which.
//!
//! The files beside this one answer the query service, those under `production` the production service.

mod balances;
mod fold;
mod orders;
mod paging;
mod production;
mod reference;
mod trades;
mod transfers;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::history::History;
use super::limits::CALCULATIONS_MAX;
use super::reads::Reads;
use crate::proto::v1 as pb;

/// The query services of one node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Queries {
    reads: Reads,
    history: History,
    /// Places for calculations of requirements.
    calculations: Arc<Semaphore>,
}

impl Queries {
    /// Queries of this state and its history.
    #[must_use]
    pub fn new(reads: Reads, history: History) -> Self {
        Self { reads, history, calculations: Arc::new(Semaphore::new(CALCULATIONS_MAX)) }
    }
}

/// Every RPC of a service is a function of the request in one of its files.
macro_rules! answered_by {
    ($service:path; $($rpc:ident($request:ident) -> $response:ident;)*) => {
        #[tonic::async_trait]
        impl $service for Queries {$(
            async fn $rpc(&self, request: Request<pb::$request>) -> Result<Response<pb::$response>, Status> {
                Ok(Response::new(Queries::$rpc(self, request.into_inner()).await?))
            }
        )*}
    };
}

answered_by! {
    pb::query_service_server::QueryService;
    get_asset(GetAssetRequest) -> GetAssetResponse;
    list_assets(ListAssetsRequest) -> ListAssetsResponse;
    get_market(GetMarketRequest) -> GetMarketResponse;
    list_markets(ListMarketsRequest) -> ListMarketsResponse;
    get_account(GetAccountRequest) -> GetAccountResponse;
    list_accounts(ListAccountsRequest) -> ListAccountsResponse;
    list_balances(ListBalancesRequest) -> ListBalancesResponse;
    get_order(GetOrderRequest) -> GetOrderResponse;
    list_orders(ListOrdersRequest) -> ListOrdersResponse;
    list_trades(ListTradesRequest) -> ListTradesResponse;
    list_postings(ListPostingsRequest) -> ListPostingsResponse;
    get_transfer(GetTransferRequest) -> GetTransferResponse;
    get_command_result(GetCommandResultRequest) -> GetCommandResultResponse;
}

answered_by! {
    pb::production_service_server::ProductionService;
    get_plant(GetPlantRequest) -> GetPlantResponse;
    list_plants(ListPlantsRequest) -> ListPlantsResponse;
    get_item(GetItemRequest) -> GetItemResponse;
    list_items(ListItemsRequest) -> ListItemsResponse;
    get_bom(GetBomRequest) -> GetBomResponse;
    list_boms(ListBomsRequest) -> ListBomsResponse;
    list_where_used(ListWhereUsedRequest) -> ListWhereUsedResponse;
    explode_bom(ExplodeBomRequest) -> ExplodeBomResponse;
    roll_up_cost(RollUpCostRequest) -> RollUpCostResponse;
    list_stock(ListStockRequest) -> ListStockResponse;
    list_reorder(ListReorderRequest) -> ListReorderResponse;
    list_lots(ListLotsRequest) -> ListLotsResponse;
    get_work_order(GetWorkOrderRequest) -> GetWorkOrderResponse;
    list_work_orders(ListWorkOrdersRequest) -> ListWorkOrdersResponse;
    trace_lot(TraceLotRequest) -> TraceLotResponse;
    get_production_state(GetProductionStateRequest) -> GetProductionStateResponse;
    get_plan(GetPlanRequest) -> GetPlanResponse;
    list_plans(ListPlansRequest) -> ListPlansResponse;
    get_purchase(GetPurchaseRequest) -> GetPurchaseResponse;
    list_purchases(ListPurchasesRequest) -> ListPurchasesResponse;
    get_requirements(GetRequirementsRequest) -> GetRequirementsResponse;
}
