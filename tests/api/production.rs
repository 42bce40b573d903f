//! Queries of production: what is defined, in stock and at work; ended orders; traces of lots.

use counterfoil::proto::v1 as pb;
use pb::command::Body;
use pb::production_service_client::ProductionServiceClient;
use tonic::Code;
use tonic::transport::Channel;

use super::node::{ANN, BOB, ISSUER, TestCluster, TestNode, USD, account, command, transfer};

pub const PLANT: u32 = 1;
pub const SHELF: u64 = 100;
pub const YARD: u64 = 101;
pub const WORKS: u64 = 102;
pub const SUPPLIER: u64 = 103;
pub const CART: u32 = 10;
pub const WHEEL: u32 = 11;
pub const GLUE: u32 = 12;
const FLEET: u32 = 13;
const LOTS_MARKET: u32 = 2;

pub type Client = ProductionServiceClient<Channel>;

pub fn client(node: &TestNode) -> Client {
    ProductionServiceClient::new(node.channel.clone())
}

fn bom(product_id: u32, version: u32, from_day: i32, lines: &[(u32, u64)]) -> pb::DefineBom {
    let line = |&(component_id, quantity): &(u32, u64)| pb::BomLine { component_id, quantity, ..Default::default() };
    let lines = lines.iter().map(line).collect();
    pb::DefineBom { product_id, version, from_day, output: 1, lines, ..Default::default() }
}

/// A plant with two locations that makes carts of wheels and glue, and fleets of carts. Lots of glue and
/// of what it goes into are tracked.
pub async fn shop() -> TestCluster {
    let cluster = TestCluster::exchange().await;
    let node = cluster.only();
    for (id, issuer) in [(SHELF, false), (YARD, false), (WORKS, true), (SUPPLIER, true)] {
        node.accept(account(id, issuer)).await;
    }
    for (asset_id, code, source) in [
        (CART, "CART", pb::Source::Make),
        (WHEEL, "WHEEL", pb::Source::Buy),
        (GLUE, "GLUE", pb::Source::Buy),
        (FLEET, "FLEET", pb::Source::Make),
    ] {
        let kind = pb::AssetKind::Material.into();
        let (code, scale) = (code.to_owned(), 0);
        node.accept(command(Body::CreateAsset(pb::CreateAsset { asset_id, code, scale, kind }))).await;
        let item = pb::DefineItem {
            asset_id,
            source: source.into(),
            lead_days: 2,
            standard_cost: 150,
            currency_asset_id: USD,
            reorder_point: if asset_id == WHEEL { 12 } else { 0 },
            lot_tracked: asset_id != WHEEL,
            ..Default::default()
        };
        node.accept(command(Body::DefineItem(item))).await;
    }
    let plant = pb::DefinePlant {
        plant_id: PLANT,
        name: "WEST".to_owned(),
        production_account_id: WORKS,
        scrap_account_id: WORKS,
        adjustment_account_id: WORKS,
        location_ids: vec![SHELF, YARD],
    };
    node.accept(command(Body::DefinePlant(plant))).await;
    let operation = |work_centre: &str| pb::Operation {
        work_centre: work_centre.to_owned(),
        run_seconds: 60,
        ..Default::default()
    };
    let cart = pb::DefineBom {
        operations: vec![operation("SAW"), operation("PAINT")],
        ..bom(CART, 1, 1, &[(WHEEL, 4), (GLUE, 1)])
    };
    node.accept(command(Body::DefineBom(cart))).await;
    node.accept(command(Body::DefineBom(bom(CART, 2, 20, &[(WHEEL, 3)])))).await;
    node.accept(command(Body::DefineBom(bom(FLEET, 1, 1, &[(CART, 2), (WHEEL, 1)])))).await;
    for (asset_id, quantity, lot) in [(WHEEL, 40, ""), (GLUE, 3, "G-1"), (GLUE, 5, "G-2")] {
        let (location_id, from_account_id, lot) = (SHELF, SUPPLIER, lot.to_owned());
        let goods = pb::ReceiveStock { location_id, asset_id, quantity, from_account_id, lot };
        node.accept(command(Body::ReceiveStock(goods))).await;
    }
    cluster
}

/// Adds a work order, from the shelf into the yard.
pub async fn create(node: &TestNode, product_id: u32, quantity: u64, location_id: u64) -> u64 {
    let order = pb::CreateWorkOrder {
        plant_id: PLANT,
        product_id,
        quantity,
        location_id,
        output_id: YARD,
        start_day: 1,
        due_day: 9,
        ..Default::default()
    };
    let result = node.accept(command(Body::CreateWorkOrder(order))).await;
    result.work_order.expect("it is about one").work_order_id
}

/// A market where goods are bought and sold for dollars.
pub fn market(market_id: u32, symbol: &str, base_asset_id: u32) -> Body {
    Body::CreateMarket(pb::CreateMarket {
        market_id,
        symbol: symbol.to_owned(),
        base_asset_id,
        quote_asset_id: USD,
        tick: 1,
        lot: 1,
        fee_account_id: ISSUER,
        quantity_max: 100,
        notional_max: 1_000_000,
        ..Default::default()
    })
}

pub async fn act(node: &TestNode, body: Body) {
    node.accept(command(body)).await;
}

fn release(work_order_id: u64) -> Body {
    Body::ReleaseWorkOrder(pb::ReleaseWorkOrder { work_order_id, partial: false })
}

fn issue(work_order_id: u64) -> Body {
    Body::IssueMaterials(pb::IssueMaterials { work_order_id, materials: Vec::new() })
}

fn complete(work_order_id: u64, good: u64, lot: &str) -> Body {
    let lot = lot.to_owned();
    Body::CompleteWorkOrder(pb::CompleteWorkOrder { work_order_id, good, lot, ..Default::default() })
}

fn set(work_order_id: u64, change: pb::WorkOrderChange) -> Body {
    Body::SetWorkOrder(pb::SetWorkOrder { work_order_id, change: change.into() })
}

async fn detail(client: &mut Client, work_order_id: u64) -> pb::WorkOrderDetail {
    let asked = pb::GetWorkOrderRequest { work_order_id, consistency: None };
    client.get_work_order(asked).await.expect("known").into_inner().work_order.expect("an order")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_defined_is_shown_as_it_was_defined() {
    let cluster = shop().await;
    let mut client = client(cluster.only());
    let asked = pb::GetPlantRequest { plant_id: PLANT, consistency: None };
    let plant = client.get_plant(asked).await.expect("known").into_inner().plant.expect("a plant");
    assert_eq!((plant.name.as_str(), &plant.location_ids[..]), ("WEST", &[SHELF, YARD][..]));
    assert_eq!((plant.weekdays, plant.holidays.len()), (127, 0), "without a calendar it works every day");
    assert_eq!(listed!(client, list_plants, plants, pb::ListPlantsRequest::default()), [plant]);

    let items = listed!(client, list_items, items, pb::ListItemsRequest::default());
    assert_eq!(items.iter().map(|item| item.asset_id).collect::<Vec<_>>(), [CART, WHEEL, GLUE, FLEET]);
    for item in items {
        let asked = pb::GetItemRequest { asset_id: item.asset_id, consistency: None };
        assert_eq!(client.get_item(asked).await.expect("known").into_inner().item, Some(item));
    }

    let of_cart = || pb::ListBomsRequest { product_id: CART, ..Default::default() };
    let boms = listed!(client, list_boms, boms, of_cart());
    assert_eq!(boms.iter().map(|bom| (bom.version, bom.from_day)).collect::<Vec<_>>(), [(1, 1), (2, 20)]);
    assert_eq!(boms[0].operations.iter().map(|o| o.work_centre.as_str()).collect::<Vec<_>>(), ["SAW", "PAINT"]);
    use pb::get_bom_request::Key;
    for (key, place) in [(Key::Version(1), 0), (Key::Version(2), 1), (Key::OnDay(19), 0), (Key::OnDay(20), 1)] {
        let asked = pb::GetBomRequest { product_id: CART, key: Some(key), consistency: None };
        assert_eq!(client.get_bom(asked).await.expect("known").into_inner().bom.as_ref(), Some(&boms[place]));
    }
    let uses = pb::ListWhereUsedRequest { component_id: WHEEL, ..Default::default() };
    let uses = listed!(client, list_where_used, uses, uses.clone());
    let uses: Vec<_> = uses.iter().map(|it| (it.product_id, it.version, it.line.expect("a line").quantity)).collect();
    assert_eq!(uses, [(CART, 1, 4), (CART, 2, 3), (FLEET, 1, 1)]);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_not_is_named() {
    let cluster = shop().await;
    let mut client = client(cluster.only());
    let bom = |key| pb::GetBomRequest { product_id: CART, key, consistency: None };
    use pb::get_bom_request::Key;
    let mut codes = Vec::new();
    codes.push(client.get_plant(pb::GetPlantRequest { plant_id: 9, consistency: None }).await.map(drop));
    codes.push(client.get_item(pb::GetItemRequest { asset_id: USD, consistency: None }).await.map(drop));
    codes.push(client.get_bom(bom(Some(Key::Version(9)))).await.map(drop));
    codes.push(client.list_boms(pb::ListBomsRequest { product_id: USD, ..Default::default() }).await.map(drop));
    codes.push(client.list_stock(pb::ListStockRequest { plant_id: 9, ..Default::default() }).await.map(drop));
    let elsewhere = pb::ListStockRequest { plant_id: PLANT, location_id: ANN, ..Default::default() };
    codes.push(client.list_stock(elsewhere).await.map(drop));
    codes.push(client.get_work_order(pb::GetWorkOrderRequest { work_order_id: 1, consistency: None }).await.map(drop));
    codes
        .push(client.list_work_orders(pb::ListWorkOrdersRequest { plant_id: 9, ..Default::default() }).await.map(drop));
    codes.push(client.trace_lot(trace(GLUE, "NONE", pb::TraceDirection::Forward)).await.map(drop));
    codes.push(
        client.get_production_state(pb::GetProductionStateRequest { plant_id: 9, consistency: None }).await.map(drop),
    );
    for (place, code) in codes.into_iter().enumerate() {
        assert_eq!(code.expect_err("unknown").code(), Code::NotFound, "request {place}");
    }

    let mut codes = Vec::new();
    codes.push(client.get_plant(pb::GetPlantRequest::default()).await.map(drop));
    codes.push(client.get_bom(bom(None)).await.map(drop));
    codes.push(client.list_lots(pb::ListLotsRequest { asset_id: GLUE, ..Default::default() }).await.map(drop));
    codes.push(client.trace_lot(trace(GLUE, "G-1", pb::TraceDirection::Unspecified)).await.map(drop));
    codes.push(client.trace_lot(trace(GLUE, "", pb::TraceDirection::Forward)).await.map(drop));
    let state = pb::ListWorkOrdersRequest { plant_id: PLANT, state: 77, ..Default::default() };
    codes.push(client.list_work_orders(state).await.map(drop));
    for (place, code) in codes.into_iter().enumerate() {
        assert_eq!(code.expect_err("malformed").code(), Code::InvalidArgument, "request {place}");
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_is_shown_by_item_location_and_lot() {
    let cluster = shop().await;
    let node = cluster.only();
    let mut client = client(node);
    let (from_location_id, to_location_id) = (SHELF, YARD);
    let moved = pb::MoveStock { from_location_id, to_location_id, asset_id: WHEEL, quantity: 5, lot: String::new() };
    act(node, Body::MoveStock(moved)).await;
    let order = create(node, CART, 6, SHELF).await;
    act(node, release(order)).await;

    let of_plant = || pb::ListStockRequest { plant_id: PLANT, ..Default::default() };
    let stock = listed!(client, list_stock, stock, of_plant());
    let sums: Vec<_> =
        stock.iter().map(|it| (it.asset_id, it.on_hand, it.reserved, it.available, it.on_order)).collect();
    assert_eq!(sums, [(CART, 0, 0, 0, 6), (WHEEL, 40, 24, 16, 0), (GLUE, 8, 6, 2, 0)]);
    let wheels: Vec<_> = stock[1].locations.iter().map(|it| (it.location_id, it.on_hand, it.available)).collect();
    assert_eq!(wheels, [(SHELF, 35, 11), (YARD, 5, 5)]);
    let in_yard = || pb::ListStockRequest { location_id: YARD, ..of_plant() };
    let yard = listed!(client, list_stock, stock, in_yard());
    assert_eq!(
        yard.iter().map(|it| (it.asset_id, it.on_hand, it.on_order)).collect::<Vec<_>>(),
        [(CART, 0, 6), (WHEEL, 5, 0)]
    );
    let one = pb::ListStockRequest { asset_id: FLEET, ..of_plant() };
    let one = client.list_stock(one).await.expect("an item").into_inner().stock;
    assert_eq!(one.iter().map(|it| (it.asset_id, it.on_hand)).collect::<Vec<_>>(), [(FLEET, 0)]);

    let low = || pb::ListReorderRequest { plant_id: PLANT, ..Default::default() };
    assert!(listed!(client, list_reorder, stock, low()).is_empty(), "sixteen wheels are more than twelve");
    act(node, release(create(node, CART, 1, SHELF).await)).await;
    assert_eq!(listed!(client, list_reorder, stock, low()).iter().map(|it| it.available).collect::<Vec<_>>(), [12]);

    use pb::list_lots_request::Of;
    let lots = |of| pb::ListLotsRequest { asset_id: GLUE, of: Some(of), ..Default::default() };
    let on_shelf = listed!(client, list_lots, lots, lots(Of::AccountId(SHELF)));
    let oldest_first = [("G-1", 3), ("G-2", 5)].map(|(lot, quantity)| (lot.to_owned(), quantity));
    assert_eq!(on_shelf.iter().map(|it| (it.lot.clone(), it.quantity)).collect::<Vec<_>>(), oldest_first);
    let (asset_id, quantity, lot) = (GLUE, 1, "G-2".to_owned());
    act(node, Body::MoveStock(pb::MoveStock { from_location_id, to_location_id, asset_id, quantity, lot })).await;
    let holders = listed!(client, list_lots, lots, lots(Of::Lot("G-2".to_owned())));
    let holders: Vec<_> = holders.iter().map(|it| (it.account_id, it.quantity)).collect();
    assert_eq!(holders, [(SHELF, 4), (YARD, 1)]);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_work_order_is_shown_open_and_ended_alike() {
    let cluster = shop().await;
    let node = cluster.only();
    let mut client = client(node);
    let id = create(node, CART, 4, SHELF).await;
    let planned = detail(&mut client, id).await;
    assert!(planned.lines.is_empty() && planned.operations.is_empty());
    act(node, release(id)).await;
    let lines = detail(&mut client, id).await.lines;
    let lines: Vec<_> = lines.iter().map(|line| (line.component_id, line.required, line.reserved)).collect();
    assert_eq!(lines, [(WHEEL, 16, 16), (GLUE, 4, 4)]);
    act(node, issue(id)).await;
    let returned = pb::Material { component_id: WHEEL, quantity: 1, lot: String::new() };
    let returned = pb::ReturnMaterials { work_order_id: id, material: Some(returned) };
    act(node, Body::ReturnMaterials(returned)).await;
    let report = |operation, good, scrap| {
        Body::ReportOperation(pb::ReportOperation { work_order_id: id, operation, good, scrap })
    };
    act(node, report(0, 3, 1)).await;
    act(node, report(1, 2, 0)).await;
    act(node, complete(id, 2, "C-1")).await;
    let open = detail(&mut client, id).await;
    let order = open.work_order.clone().expect("an order");
    assert_eq!((order.state(), order.completed, order.lost), (pb::WorkOrderState::InProgress, 2, 1));
    let operations: Vec<_> =
        open.operations.iter().map(|it| (it.work_centre.as_str(), it.good, it.scrap, it.waiting)).collect();
    assert_eq!(operations, [("SAW", 3, 1, 0), ("PAINT", 2, 0, 1)]);
    assert_eq!(open.lines.iter().map(|line| line.issued).collect::<Vec<_>>(), [15, 4]);

    act(node, set(id, pb::WorkOrderChange::Close)).await;
    let ended = detail(&mut client, id).await;
    let mut expected = open;
    if let Some(order) = &mut expected.work_order {
        order.state = pb::WorkOrderState::Closed.into();
    }
    expected.lines.iter_mut().for_each(|line| line.reserved = 0);
    assert_eq!(ended, expected);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_orders_are_listed_by_state_and_product_and_summed_up() {
    let cluster = shop().await;
    let node = cluster.only();
    let mut client = client(node);
    let mut ids = Vec::new();
    for quantity in [1, 2, 3, 4, 5] {
        ids.push(create(node, CART, quantity, SHELF).await);
    }
    let fleet = create(node, FLEET, 1, YARD).await;
    act(node, release(ids[0])).await;
    act(node, release(ids[1])).await;
    act(node, issue(ids[1])).await;
    act(node, set(ids[2], pb::WorkOrderChange::Hold)).await;
    act(node, set(ids[4], pb::WorkOrderChange::Cancel)).await;
    act(node, Body::ReleaseWorkOrder(pb::ReleaseWorkOrder { work_order_id: fleet, partial: true })).await;

    let of_plant = || pb::ListWorkOrdersRequest { plant_id: PLANT, ..Default::default() };
    let of = |orders: &[pb::WorkOrder]| orders.iter().map(|order| order.work_order_id).collect::<Vec<_>>();
    let all = listed!(client, list_work_orders, work_orders, of_plant());
    assert_eq!(of(&all), [ids[0], ids[1], ids[2], ids[3], fleet]);
    let planned = || pb::ListWorkOrdersRequest { state: pb::WorkOrderState::Planned.into(), ..of_plant() };
    assert_eq!(of(&listed!(client, list_work_orders, work_orders, planned())), [ids[2], ids[3]]);
    let fleets = || pb::ListWorkOrdersRequest { product_id: FLEET, ..of_plant() };
    assert_eq!(of(&listed!(client, list_work_orders, work_orders, fleets())), [fleet]);
    let ever = || pb::ListWorkOrdersRequest { include_ended: true, ..of_plant() };
    let of_ever = listed!(client, list_work_orders, work_orders, ever());
    assert_eq!(of(&of_ever), [ids.clone(), vec![fleet]].concat());
    let open: Vec<_> = of_ever.iter().filter(|order| order.work_order_id != ids[4]).cloned().collect();
    assert_eq!(open, all, "those that are open are as the state has them");
    let cancelled = || pb::ListWorkOrdersRequest { state: pb::WorkOrderState::Cancelled.into(), ..of_plant() };
    assert_eq!(of(&listed!(client, list_work_orders, work_orders, cancelled())), [ids[4]]);
    let past = detail(&mut client, ids[4]).await.work_order;
    assert_eq!(of_ever.iter().find(|order| order.work_order_id == ids[4]), past.as_ref());
    let held = || pb::ListWorkOrdersRequest { state: pb::WorkOrderState::Planned.into(), ..ever() };
    assert_eq!(of(&listed!(client, list_work_orders, work_orders, held())), [ids[2], ids[3]]);
    let newest = pb::Page { size: 2, descending: true, ..Default::default() };
    let newest = pb::ListWorkOrdersRequest { page: Some(newest), ..ever() };
    let newest = client.list_work_orders(newest).await.expect("a page").into_inner();
    assert_eq!((of(&newest.work_orders), newest.next_page_token.is_empty()), (vec![fleet, ids[4]], false));
    let closed = pb::ListWorkOrdersRequest { state: pb::WorkOrderState::Closed.into(), ..of_plant() };
    assert!(client.list_work_orders(closed).await.expect("a page").into_inner().work_orders.is_empty());

    let asked = pb::GetProductionStateRequest { plant_id: PLANT, consistency: None };
    let state = client.get_production_state(asked).await.expect("known").into_inner();
    let counts = (state.planned_count, state.released_count, state.in_progress_count, state.held_count);
    assert_eq!(counts, (2, 2, 1, 1));
    assert_eq!(state.work_orders.len(), 5);
    let short: Vec<_> = state.shortages.iter().map(|it| (it.work_order_id, it.component_id, it.short)).collect();
    assert_eq!(short, [(fleet, CART, 2), (fleet, WHEEL, 1)], "the yard is empty");
    let doing: Vec<_> = state.work_in_progress.iter().map(|it| (it.product_id, it.quantity, it.cost)).collect();
    assert_eq!(doing, [(CART, 2, 150 * (8 + 2))]);
    assert_eq!(state.stock.iter().map(|it| it.asset_id).collect::<Vec<_>>(), [CART, WHEEL, GLUE, FLEET]);
    assert!(state.position.is_some_and(|at| at.sequence > 0) && !state.work_orders_truncated);
    cluster.stop().await;
}

fn trace(asset_id: u32, lot: &str, direction: pb::TraceDirection) -> pb::TraceLotRequest {
    pb::TraceLotRequest { asset_id, lot: lot.to_owned(), direction: direction.into(), consistency: None }
}

/// Glue of two lots goes into carts, one cart goes by a market to Ann, two go into a fleet.
#[tokio::test(flavor = "multi_thread")]
async fn a_lot_is_traced_through_work_orders_and_trades() {
    let cluster = shop().await;
    let node = cluster.only();
    let mut client = client(node);
    let first = create(node, CART, 4, SHELF).await;
    act(node, release(first)).await;
    act(node, issue(first)).await;
    for operation in [0, 1] {
        let report = pb::ReportOperation { work_order_id: first, operation, good: 4, scrap: 0 };
        act(node, Body::ReportOperation(report)).await;
    }
    act(node, complete(first, 1, "C-1")).await;
    act(node, complete(first, 3, "C-2")).await;
    let fleet = create(node, FLEET, 1, YARD).await;
    let (from_location_id, to_location_id, asset_id) = (SHELF, YARD, WHEEL);
    let quantity = 1;
    act(
        node,
        Body::MoveStock(pb::MoveStock { from_location_id, to_location_id, asset_id, quantity, lot: String::new() }),
    )
    .await;
    act(node, market(LOTS_MARKET, "CART/USD", CART)).await;
    for (account_id, side) in [(YARD, pb::Side::Sell), (ANN, pb::Side::Buy)] {
        let order = pb::NewOrder {
            account_id,
            market_id: LOTS_MARKET,
            side: side.into(),
            quantity: 1,
            pricing: Some(pb::new_order::Pricing::LimitPrice(500)),
            ..Default::default()
        };
        act(node, Body::NewOrder(order)).await;
    }
    let gift = command(Body::Transfer(transfer(ANN, BOB, CART, 1)));
    node.accept(gift.clone()).await;
    act(node, release(fleet)).await;
    act(node, issue(fleet)).await;
    act(node, complete(fleet, 1, "F-1")).await;

    let mut found = async |asset_id, lot: &str, direction| {
        let answer = client.trace_lot(trace(asset_id, lot, direction)).await.expect("known").into_inner();
        assert!(!answer.truncated);
        answer.lots
    };
    let names = |lots: &[pb::TracedLot]| {
        lots.iter().map(|it| (it.lot.clone(), it.depth, it.by_work_order_id)).collect::<Vec<_>>()
    };
    let named = |lot: &str, depth, by| (lot.to_owned(), depth, by);
    let forward = found(GLUE, "G-1", pb::TraceDirection::Forward).await;
    assert_eq!(
        names(&forward),
        [named("G-1", 0, 0), named("C-1", 1, first), named("C-2", 1, first), named("F-1", 2, fleet)]
    );
    use pb::traced_move::Cause;
    let moves = |lot: &pb::TracedLot| {
        lot.moves.iter().map(|it| (it.from_account_id, it.to_account_id, it.quantity)).collect::<Vec<_>>()
    };
    assert_eq!(moves(&forward[0]), [(SUPPLIER, SHELF, 3), (SHELF, WORKS, 3)]);
    assert_eq!(forward[0].moves[0].cause, Some(Cause::StockMove(pb::StockMoveKind::Receipt.into())));
    assert_eq!(forward[0].moves[1].cause, Some(Cause::WorkOrderId(first)));
    assert_eq!(moves(&forward[1]), [(WORKS, YARD, 1), (YARD, ANN, 1), (ANN, BOB, 1)]);
    assert!(matches!(forward[1].moves[1].cause, Some(Cause::TradeId(_))));
    assert_eq!(forward[1].moves[2].cause, Some(Cause::TransferId(gift.id)));
    assert_eq!(moves(&forward[2]), [(WORKS, YARD, 3), (YARD, WORKS, 2)]);

    let backward = found(FLEET, "F-1", pb::TraceDirection::Backward).await;
    assert_eq!(
        names(&backward),
        [named("F-1", 0, 0), named("C-2", 1, fleet), named("G-1", 2, first), named("G-2", 2, first)]
    );
    let nothing_below = found(GLUE, "G-2", pb::TraceDirection::Backward).await;
    assert_eq!(names(&nothing_below), [named("G-2", 0, 0)]);
    cluster.stop().await;
}
