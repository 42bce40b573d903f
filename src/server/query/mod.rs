//! The query service. What is live comes from the state on the apply thread, what is past from
//! journal and index; one answer shows one point, and says which.

mod balances;
mod fold;
mod orders;
mod paging;
mod reference;
mod trades;
mod transfers;

use tonic::{Request, Response, Status};

use super::history::History;
use super::reads::Reads;
use crate::proto::v1 as pb;

/// The query service of one node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Queries {
    reads: Reads,
    history: History,
}

impl Queries {
    /// Queries of this state and its history.
    #[must_use]
    pub fn new(reads: Reads, history: History) -> Self {
        Self { reads, history }
    }
}

/// Every RPC of the service is a function of the request in one of the files beside this one.
macro_rules! answered_by {
    ($($rpc:ident($request:ident) -> $response:ident;)*) => {
        #[tonic::async_trait]
        impl pb::query_service_server::QueryService for Queries {$(
            async fn $rpc(&self, request: Request<pb::$request>) -> Result<Response<pb::$response>, Status> {
                Ok(Response::new(Queries::$rpc(self, request.into_inner()).await?))
            }
        )*}
    };
}

answered_by! {
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
