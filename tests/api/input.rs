//! Bad input of every kind: each gets a status that names what is wrong, and changes nothing.

use bytes::{Buf, BufMut, Bytes};
use counterfoil::proto::v1 as pb;
use pb::command::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use super::node::{ANN, BOB, MARKET, TestCluster, TestNode, USD, account, buy, command, sell, transfer};

/// The reason and the field that a status names.
fn named(status: &Status) -> (String, String) {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone()).unwrap_or_default();
    let field = details.bad_request().and_then(|bad| bad.field_violations.first().map(|one| one.field.clone()));
    (reason, field.unwrap_or_default())
}

/// Sends bytes as they are.
#[derive(Clone, Default)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// What a method answers to these bytes.
async fn raw(node: &TestNode, method: &'static str, bytes: Bytes) -> Result<Bytes, Status> {
    let mut grpc = tonic::client::Grpc::new(node.channel.clone());
    grpc.ready().await.expect("connected");
    let path = tonic::codegen::http::uri::PathAndQuery::from_static(method);
    grpc.unary(Request::new(bytes), path, RawCodec).await.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_refused_and_the_node_goes_on() {
    let cluster = TestCluster::exchange().await;
    let node = cluster.only();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for length in (0..300).step_by(7) {
        let bytes: Vec<u8> = (0..length)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        for method in [
            "/counterfoil.v1.CommandService/Execute",
            "/counterfoil.v1.CommandService/Submit",
            "/counterfoil.v1.QueryService/ListOrders",
        ] {
            let refused = raw(node, method, Bytes::from(bytes.clone())).await.expect_err("garbage");
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
            assert!(["UNDECODABLE", "MISSING"].contains(&named(&refused).0.as_str()), "{refused}");
        }
    }
    let unknown = raw(node, "/counterfoil.v1.CommandService/Nothing", Bytes::new()).await.expect_err("unknown");
    assert_eq!(unknown.code(), Code::Unimplemented);
    let huge = raw(node, "/counterfoil.v1.CommandService/Submit", Bytes::from(vec![0; 80 << 20])).await;
    assert_eq!(named(&huge.expect_err("huge")).0, "MESSAGE_TOO_LARGE");
    node.accept(buy(BOB, 1, 100)).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_command_names_its_field() {
    let cluster = TestCluster::exchange().await;
    let node = cluster.only();
    let mut bad = super::node::order(BOB, pb::Side::Buy, 0, 100);
    let commands = vec![buy(BOB, 1, 100), account(77, false), command(Body::NewOrder(bad))];
    let refused = node.commands().submit(pb::SubmitRequest { commands }).await.expect_err("a bad command");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(named(&refused), ("OUT_OF_RANGE".to_owned(), "commands[2].new_order.quantity".to_owned()));
    let asked = pb::GetAccountRequest { account_id: 77, consistency: None };
    let missing = node.queries().get_account(asked).await.expect_err("nothing of the batch was done");
    assert_eq!((missing.code(), named(&missing).0.as_str()), (Code::NotFound, "NOT_FOUND"));

    bad.quantity = 1;
    bad.side = 9;
    let command = Some(command(Body::NewOrder(bad)));
    let refused = node.commands().execute(pb::ExecuteRequest { command }).await.expect_err("a bad side");
    assert_eq!(named(&refused), ("UNKNOWN_VALUE".to_owned(), "command.new_order.side".to_owned()));
    let refused = node.commands().execute(pb::ExecuteRequest { command: None }).await.expect_err("nothing");
    assert_eq!(named(&refused), ("MISSING".to_owned(), "command".to_owned()));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_another_cluster_is_refused() {
    let cluster = TestCluster::exchange().await;
    let node = cluster.only();
    let ours = node.status().await.cluster_id;
    for (sent, wanted) in
        [(ours.clone(), None), (ours.to_uppercase(), None), ("12ab".to_owned(), Some("WRONG_CLUSTER"))]
    {
        let move_one = command(Body::Transfer(transfer(ANN, BOB, USD, 1)));
        let mut request = Request::new(pb::ExecuteRequest { command: Some(move_one) });
        request.metadata_mut().insert("counterfoil-cluster-id", sent.parse().expect("ASCII"));
        let refused = node.commands().execute(request).await.err();
        assert_eq!(refused.as_ref().map(|status| named(status).0).as_deref(), wanted);
        assert!(refused.is_none_or(|status| status.code() == Code::FailedPrecondition));
    }
    cluster.stop().await;
}

/// A token holds a number and says which list it belongs to; whoever has one can write another number.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_with_any_number_is_refused_or_answered() {
    let cluster = TestCluster::exchange().await;
    let node = cluster.only();
    for _ in 0..4 {
        node.accept(sell(ANN, 2, 100)).await;
        node.accept(buy(BOB, 1, 100)).await;
    }
    macro_rules! forge {
        ($call:ident, $sequences:expr, $of:expr) => {
            for descending in [false, true] {
                let asked = |token| $of(Some(pb::Page { size: 1, token, descending }));
                let first = node.queries().$call(asked(String::new())).await.expect("a page").into_inner();
                let token = first.next_page_token;
                assert_eq!(token.len(), 32, "there is more than one");
                for key in [0, u64::MAX, u64::MAX - 1, u64::MAX / 2] {
                    for place in [0, u32::MAX] {
                        let forged = format!("{key:016x}{place:08x}{}", &token[24..]);
                        let answer = node.queries().$call(asked(forged)).await;
                        if $sequences && key > 0 {
                            let refused = answer.expect_err("no such event");
                            let expected = ("SEQUENCE_OUT_OF_RANGE".to_owned(), "page.token".to_owned());
                            assert_eq!((refused.code(), named(&refused)), (Code::OutOfRange, expected));
                        } else {
                            answer.expect("some page, or an empty one");
                        }
                    }
                }
            }
        };
    }
    forge!(list_trades, true, |page| pb::ListTradesRequest { market_id: MARKET, page, ..Default::default() });
    let orders = |account_id, include_ended| {
        move |page| pb::ListOrdersRequest { account_id, market_id: MARKET, include_ended, page, ..Default::default() }
    };
    forge!(list_orders, true, orders(ANN, true));
    forge!(list_orders, true, orders(ANN, false));
    forge!(list_orders, true, orders(0, false));
    forge!(list_postings, true, |page| pb::ListPostingsRequest { account_id: BOB, page, ..Default::default() });
    forge!(list_accounts, false, |page| pb::ListAccountsRequest { page, ..Default::default() });
    forge!(list_assets, false, |page| pb::ListAssetsRequest { page, ..Default::default() });
    node.accept(buy(BOB, 1, 100)).await;
    cluster.stop().await;
}

/// Numbers of a client that reach a sequence, a time or a size.
#[tokio::test(flavor = "multi_thread")]
async fn the_largest_numbers_are_answered() {
    let cluster = TestCluster::exchange().await;
    let node = cluster.only();
    let stale = || Some(pb::Consistency { level: Some(pb::consistency::Level::Stale(true)) });
    for number in [u64::MAX, u64::MAX - 1, 1 << 63] {
        let asked = pb::WatchRequest { from_sequence: number, filter: None };
        assert_eq!(node.events().watch(asked).await.expect_err("the future").code(), Code::OutOfRange);
        let asked = pb::StreamTradesRequest { market_id: MARKET, from_sequence: number };
        assert_eq!(node.market().stream_trades(asked).await.expect_err("the future").code(), Code::OutOfRange);
        let asked = pb::ListBalancesRequest { account_id: ANN, at_sequence: number, consistency: None };
        assert_eq!(node.queries().list_balances(asked).await.expect_err("the future").code(), Code::OutOfRange);
        let asked =
            pb::GetOrderRequest { account_id: 0, order: super::node::by_order_id(number), consistency: stale() };
        assert_eq!(node.queries().get_order(asked).await.expect_err("no order").code(), Code::NotFound);
        let pending = pb::Transfer { pending: true, expires_at: number, ..transfer(ANN, BOB, USD, 1) };
        node.accept(command(Body::Transfer(pending))).await;
        node.send(command(Body::Transfer(transfer(ANN, BOB, USD, number >> 1)))).await;
    }
    let mut request = Request::new(pb::ExecuteRequest { command: Some(buy(BOB, 1, 100)) });
    request.metadata_mut().insert("grpc-timeout", "99999999H".parse().expect("ASCII"));
    node.commands().execute(request).await.expect("a long patience is no error");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_queries_name_their_field() {
    let cluster = TestCluster::exchange().await;
    let node = cluster.only();
    let mut queries = node.queries();
    let page = |size, token: &str| Some(pb::Page { size, token: token.to_owned(), descending: false });
    let level = |level| Some(pb::Consistency { level: Some(level) });

    let asked = pb::ListAccountsRequest { page: page(1_001, ""), consistency: None };
    let refused = queries.list_accounts(asked).await.expect_err("a large page");
    assert_eq!(named(&refused), ("OUT_OF_RANGE".to_owned(), "page.size".to_owned()));
    let asked = pb::ListAccountsRequest { page: page(1, "made up"), consistency: None };
    let refused = queries.list_accounts(asked).await.expect_err("a made-up token");
    assert_eq!(named(&refused), ("MALFORMED".to_owned(), "page.token".to_owned()));
    let asked = pb::ListAccountsRequest { page: page(1, ""), consistency: None };
    let token = queries.list_accounts(asked).await.expect("a page").into_inner().next_page_token;
    let asked = pb::ListAssetsRequest { page: page(1, &token), consistency: None };
    let refused = queries.list_assets(asked).await.expect_err("another list's token");
    assert_eq!(named(&refused), ("NOT_ALLOWED_HERE".to_owned(), "page.token".to_owned()));

    let refused = queries.list_orders(pb::ListOrdersRequest::default()).await.expect_err("of nobody");
    assert_eq!(named(&refused), ("MISSING".to_owned(), "account_id".to_owned()));
    let asked = pb::ListOrdersRequest { market_id: MARKET, include_ended: true, ..Default::default() };
    let refused = queries.list_orders(asked).await.expect_err("ended ones of a market");
    assert_eq!(named(&refused).1, "account_id");
    let refused = queries.list_trades(pb::ListTradesRequest::default()).await.expect_err("of nothing");
    assert_eq!(named(&refused).1, "account_id");
    let refused = queries.get_asset(pb::GetAssetRequest::default()).await.expect_err("no key");
    assert_eq!(named(&refused), ("MISSING".to_owned(), "key".to_owned()));

    let asked = pb::ListBalancesRequest { account_id: ANN, at_sequence: 1 << 40, consistency: None };
    let refused = queries.list_balances(asked).await.expect_err("the future");
    assert_eq!(refused.code(), Code::OutOfRange);
    assert_eq!(named(&refused), ("SEQUENCE_OUT_OF_RANGE".to_owned(), "at_sequence".to_owned()));
    let consistency = level(pb::consistency::Level::Stale(false));
    let refused = queries.get_account(pb::GetAccountRequest { account_id: ANN, consistency }).await.expect_err("false");
    assert_eq!(named(&refused).1, "consistency.stale");
    let watched = node.events().watch(pb::WatchRequest { from_sequence: 1 << 40, filter: None }).await;
    assert_eq!(watched.expect_err("the future").code(), Code::OutOfRange);
    let unknown = node.market().get_book(pb::GetBookRequest { market_id: 9, ..Default::default() }).await;
    assert_eq!(unknown.expect_err("no such market").code(), Code::NotFound);
    let deep = pb::GetBookRequest { market_id: MARKET, depth: 1_001, ..Default::default() };
    assert_eq!(named(&node.market().get_book(deep).await.expect_err("too deep")).1, "depth");
    cluster.stop().await;
}
