//! Production plans, their requirements with pegs down to what they are for, and planned purchases.

use counterfoil::proto::v1 as pb;
use pb::command::Body;
use pb::requirement_peg::Cause;
use tonic::Code;

use super::node::{ISSUER, TestNode, USD, command, transfer};
use super::production::{CART, Client, GLUE, PLANT, SHELF, SUPPLIER, WHEEL, act, client, create, market, shop};

fn line(line_id: u32, product_id: u32, quantity: u64, due_day: i32) -> pb::DemandLine {
    pb::DemandLine { line_id, product_id, quantity, due_day }
}

/// Adds a plan with these lines.
async fn plan(node: &TestNode, name: &str, lines: Vec<pb::DemandLine>) -> u64 {
    let result =
        node.accept(command(Body::CreatePlan(pb::CreatePlan { plant_id: PLANT, name: name.to_owned() }))).await;
    let plan_id = result.position.expect("it was carried out").sequence;
    act(node, Body::SetPlanLines(pb::SetPlanLines { plan_id, set: lines, remove_line_ids: Vec::new() })).await;
    plan_id
}

fn asked(plan_id: u64) -> pb::GetRequirementsRequest {
    pb::GetRequirementsRequest { plan_id, planning_day: 10, bucket_days: 1, ..Default::default() }
}

async fn requirements(client: &mut Client, request: pb::GetRequirementsRequest) -> pb::GetRequirementsResponse {
    client.get_requirements(request).await.expect("they can be calculated").into_inner()
}

fn of_line(plan_id: u64, line_id: u32, quantity: u64) -> pb::RequirementPeg {
    pb::RequirementPeg { cause: Some(Cause::PlanLine(pb::PlanLine { plan_id, line_id })), quantity }
}

/// Whatever is asked: pegs add up, and what is needed comes from stock, from what is under way, or from an
/// order.
fn check(answer: &pb::GetRequirementsResponse) {
    let sum = |pegs: &[pb::RequirementPeg], unpegged: u64| pegs.iter().map(|peg| peg.quantity).sum::<u64>() + unpegged;
    for item in &answer.items {
        let mut left = item.available;
        for bucket in &item.buckets {
            assert_eq!(sum(&bucket.pegs, bucket.unpegged), bucket.gross, "{item:?}");
            left = left + bucket.scheduled + bucket.planned_receipts - bucket.gross;
            assert_eq!(left, bucket.projected, "{item:?}");
        }
        let of_item = answer.orders.iter().filter(|order| order.item_id == item.item_id);
        let ordered: u64 = item.buckets.iter().map(|bucket| bucket.planned_receipts).sum();
        assert_eq!(of_item.map(|order| order.quantity).sum::<u64>(), ordered);
    }
    for order in &answer.orders {
        assert_eq!(sum(&order.pegs, order.unpegged), order.quantity, "{order:?}");
    }
    assert_eq!(answer.position.map(|position| position.sequence), Some(answer.computed_at));
}

fn order_to_firm(order: &pb::PlannedOrder) -> pb::OrderToFirm {
    let line = |peg: &pb::RequirementPeg| match &peg.cause {
        Some(Cause::PlanLine(line)) => {
            Some(pb::DemandPeg { plan_id: line.plan_id, line_id: line.line_id, quantity: peg.quantity })
        }
        _ => None,
    };
    pb::OrderToFirm {
        item_id: order.item_id,
        version: order.version,
        quantity: order.quantity,
        release_day: order.release_day,
        due_day: order.due_day,
        pegs: order.pegs.iter().filter_map(line).collect(),
    }
}

/// Firms all that was calculated for a plan.
async fn firm(node: &TestNode, plan_id: u64, found: &pb::GetRequirementsResponse) {
    let firm = pb::FirmPlan {
        plan_id,
        computed_at: found.computed_at,
        location_id: SHELF,
        orders: found.orders.iter().map(order_to_firm).collect(),
        ..Default::default()
    };
    act(node, Body::FirmPlan(firm)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plan_requires_is_pegged_to_its_lines_and_firmed() {
    let cluster = shop().await;
    let node = cluster.only();
    let mut client = client(node);
    // By the version from day 20 on a cart is three wheels; until then four, and one of glue. There are 40
    // wheels and 8 of glue.
    let plan_id = plan(node, "SPRING", vec![line(1, CART, 9, 15), line(2, CART, 5, 15), line(3, CART, 4, 30)]).await;
    let found = requirements(&mut client, asked(plan_id)).await;
    check(&found);
    let orders: Vec<_> = found.orders.iter().map(|order| (order.item_id, order.version, order.quantity)).collect();
    assert_eq!(
        orders,
        [(CART, Some(1), 14), (CART, Some(2), 4), (WHEEL, None, 16), (WHEEL, None, 12), (GLUE, None, 6)]
    );
    assert_eq!(found.orders[0].pegs, [of_line(plan_id, 1, 9), of_line(plan_id, 2, 5)]);
    let wheels = found.items.iter().find(|item| item.item_id == WHEEL).expect("they are needed");
    assert_eq!((wheels.available, wheels.safety_stock), (40, 0));
    let gross: Vec<_> = wheels.buckets.iter().filter(|bucket| bucket.gross > 0).map(|bucket| bucket.gross).collect();
    assert_eq!(gross, [56, 12]);
    let first = wheels.buckets.iter().find(|bucket| bucket.gross > 0).expect("it is");
    assert_eq!((first.net, &first.pegs[..]), (16, &[of_line(plan_id, 1, 36), of_line(plan_id, 2, 20)][..]));
    assert_eq!(found.shortages, []);

    // The largest cause is told apart, the others are a rest; other items are not shown.
    let narrow = pb::GetRequirementsRequest { pegs_max: 1, item_ids: vec![WHEEL], ..asked(plan_id) };
    let narrow = requirements(&mut client, narrow).await;
    check(&narrow);
    assert_eq!(narrow.items.len(), 1);
    let first = narrow.items[0].buckets.iter().find(|bucket| bucket.gross > 0).expect("it is");
    assert_eq!((&first.pegs[..], first.unpegged), (&[of_line(plan_id, 1, 36)][..], 20));

    firm(node, plan_id, &found).await;
    let after = requirements(&mut client, pb::GetRequirementsRequest { plant_id: PLANT, ..asked(0) }).await;
    check(&after);
    assert_eq!(after.orders, [], "all of it is under way");

    let listed = listed!(
        client,
        list_purchases,
        purchases,
        pb::ListPurchasesRequest { plant_id: PLANT, plan_id, ..Default::default() }
    );
    let bought: Vec<_> = listed.iter().map(|purchase| (purchase.item_id, purchase.quantity)).collect();
    assert_eq!(bought, [(WHEEL, 16), (WHEEL, 12), (GLUE, 6)]);
    let receipt = pb::PurchaseReceipt { from_account_id: SUPPLIER, lot: String::new() };
    let purchase_id = listed[0].purchase_id;
    act(node, Body::ReceivePurchase(pb::ReceivePurchase { purchase_id, quantity: 16, receipt: Some(receipt) })).await;
    let gone = client.get_purchase(pb::GetPurchaseRequest { purchase_id, consistency: None }).await;
    assert_eq!(gone.expect_err("all of it came").code(), Code::NotFound);
    let purchase_id = listed[1].purchase_id;
    let other = client.get_purchase(pb::GetPurchaseRequest { purchase_id, consistency: None }).await;
    assert_eq!(other.expect("it is to come").into_inner().purchase.as_ref(), Some(&listed[1]));
    let of_wheels = pb::ListPurchasesRequest { plant_id: PLANT, item_id: WHEEL, ..Default::default() };
    let left = client.list_purchases(of_wheels).await.expect("a page").into_inner();
    assert_eq!(left.purchases.len(), 1, "what came is no more on order");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_a_plant_has_its_plans_and_what_is_to_be_bought() {
    let cluster = shop().await;
    let node = cluster.only();
    let mut client = client(node);
    let spring = plan(node, "SPRING", vec![line(1, CART, 9, 15), line(4, CART, 9, 16)]).await;
    let found = requirements(&mut client, asked(spring)).await;
    firm(node, spring, &found).await;
    // A draft with more lines than one answer shows.
    let many: Vec<_> = (1..=999).map(|line_id| line(line_id, CART, 1, 15)).collect();
    let draft = plan(node, "SUMMER", many).await;
    create(node, CART, 1, SHELF).await;

    let asked = pb::GetProductionStateRequest { plant_id: PLANT, consistency: None };
    let state = client.get_production_state(asked).await.expect("known").into_inner();
    let [first, second] = &state.plans[..] else { panic!("{:?}", state.plans) };
    let head = |open: &pb::OpenPlan| {
        let plan = open.plan.clone().expect("a plan");
        (plan.plan_id, plan.state(), plan.line_count as usize, open.lines.len(), open.lines_truncated)
    };
    assert_eq!(head(first), (spring, pb::PlanState::Firmed, 2, 2, false));
    assert_eq!(head(second), (draft, pb::PlanState::Draft, 999, 998, true));
    assert_eq!(first.lines[1], line(4, CART, 9, 16));
    let made = found.orders.iter().filter(|order| order.version.is_some()).count() as u64;
    let bought = found.orders.len() as u64 - made;
    assert!(made > 0 && bought > 0, "{:?}", found.orders);
    assert_eq!((first.work_order_count, first.purchase_count), (made, bought));
    assert_eq!((second.work_order_count, second.purchase_count), (0, 0));
    assert_eq!(state.planned_count, made + 1, "one was added by hand");
    assert_eq!(state.purchases.len() as u64, bought);
    assert!(state.purchases.iter().all(|purchase| purchase.plan_id == spring && purchase.quantity > 0));
    assert!(!state.plans_truncated && !state.purchases_truncated);

    act(node, Body::ClosePlan(pb::ClosePlan { plan_id: spring })).await;
    let purchase_id = state.purchases[0].purchase_id;
    act(node, Body::ClosePurchase(pb::ClosePurchase { purchase_id })).await;
    let after = client.get_production_state(asked).await.expect("known").into_inner();
    assert_eq!(after.plans.iter().map(head).collect::<Vec<_>>(), [(draft, pb::PlanState::Draft, 999, 999, false)]);
    assert_eq!(after.purchases, state.purchases[1..]);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trades_of_an_order_that_is_linked_are_receipts_of_its_purchase() {
    let cluster = shop().await;
    let node = cluster.only();
    let mut client = client(node);
    let plan_id = plan(node, "SPRING", vec![line(1, WHEEL, 50, 15)]).await;
    let found = requirements(&mut client, asked(plan_id)).await;
    firm(node, plan_id, &found).await;
    let market_id = 9;
    act(node, market(market_id, "WHEEL/USD", WHEEL)).await;
    act(node, Body::Transfer(transfer(ISSUER, SHELF, USD, 1_000))).await;
    let order = |account_id, side: pb::Side, quantity| {
        Body::NewOrder(pb::NewOrder {
            account_id,
            market_id,
            side: side.into(),
            quantity,
            pricing: Some(pb::new_order::Pricing::LimitPrice(5)),
            ..Default::default()
        })
    };
    act(node, order(SUPPLIER, pb::Side::Sell, 6)).await;
    let of_plan = pb::ListPurchasesRequest { plant_id: PLANT, plan_id, ..Default::default() };
    let purchases = client.list_purchases(of_plan.clone()).await.expect("a page").into_inner().purchases;
    let [purchase] = &purchases[..] else { panic!("{purchases:?}") };
    assert_eq!((purchase.quantity, purchase.client_order_id.len()), (10, 0));
    let purchase_id = purchase.purchase_id;
    let Body::NewOrder(of_shelf) = order(SHELF, pb::Side::Buy, 10) else { unreachable!("it is an order") };
    let buy = command(Body::BuyPurchase(pb::BuyPurchase { purchase_id, order: Some(of_shelf) }));
    let result = node.accept(buy.clone()).await;
    assert_eq!(result.order.map(|order| order.filled), Some(6), "the answer is about the order");
    let get = pb::GetPurchaseRequest { purchase_id, consistency: None };
    let left = client.get_purchase(get).await.expect("it is to come").into_inner().purchase.expect("a purchase");
    assert_eq!((left.received, left.client_order_id), (6, buy.id));
    act(node, order(SUPPLIER, pb::Side::Sell, 4)).await;
    assert_eq!(client.get_purchase(get).await.expect_err("all of it came").code(), Code::NotFound);
    let bad = command(Body::LinkPurchase(pb::LinkPurchase { purchase_id, client_order_id: vec![1; 3].into() }));
    let refused = node.commands().execute(pb::ExecuteRequest { command: Some(bad) }).await;
    assert_eq!(refused.expect_err("an id that is too short").code(), Code::InvalidArgument);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_is_costed_level_by_level() {
    let cluster = shop().await;
    let mut client = client(cluster.only());
    let ask = |product_id| pb::RollUpCostRequest { product_id, on_day: 10, consistency: None };
    let found = client.roll_up_cost(ask(CART)).await.expect("it is an item").into_inner();
    let total = |item| found.costs.iter().find(|cost| cost.asset_id == item).expect("it is below").total;
    assert_eq!(found.costs.first().map(|cost| (cost.asset_id, cost.level)), Some((CART, 0)));
    // By the version of day 10 a cart is four wheels and one of glue.
    let cart = found.costs.first().map(|cost| cost.materials);
    assert_eq!(cart, Some(4 * total(WHEEL) + total(GLUE)));
    assert!(total(WHEEL) > 0 && found.position.is_some());
    assert_eq!(client.roll_up_cost(ask(999)).await.expect_err("no item").code(), Code::NotFound);
    assert_eq!(client.roll_up_cost(ask(0)).await.expect_err("none is named").code(), Code::InvalidArgument);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_are_shown_with_their_lines_until_they_are_closed() {
    let cluster = shop().await;
    let node = cluster.only();
    let mut client = client(node);
    let lines = vec![line(1, CART, 9, 15), line(4, CART, 5, 16)];
    let spring = plan(node, "SPRING", lines.clone()).await;
    let mut ids = vec![spring];
    for name in ["SUMMER", "AUTUMN"] {
        ids.push(plan(node, name, vec![line(1, CART, 1, 15)]).await);
    }
    let listed = listed!(client, list_plans, plans, pb::ListPlansRequest { plant_id: PLANT, ..Default::default() });
    assert_eq!(listed.iter().map(|plan| plan.plan_id).collect::<Vec<_>>(), ids);
    let get = pb::GetPlanRequest { plan_id: spring, consistency: None };
    let shown = client.get_plan(get).await.expect("it is there").into_inner();
    assert_eq!((shown.plan, shown.lines), (Some(listed[0].clone()), lines));
    assert_eq!(listed[0].state, i32::from(pb::PlanState::Draft));
    act(node, Body::ClosePlan(pb::ClosePlan { plan_id: spring })).await;
    assert_eq!(client.get_plan(get).await.expect_err("it is closed").code(), Code::NotFound);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_what_if_says_what_is_short_and_when_it_can_be_had() {
    let cluster = shop().await;
    let node = cluster.only();
    let mut client = client(node);
    let order = create(node, CART, 2, SHELF).await;
    // Two days for what is bought, and a day of work after it; 32 wheels are left.
    let what_if = vec![line(7, CART, 20, 11)];
    let request = pb::GetRequirementsRequest { plant_id: PLANT, what_if, ..asked(0) };
    let found = requirements(&mut client, request.clone()).await;
    check(&found);
    // The work order is planned to begin on day 1: what it takes is overdue on day 10.
    let [wheels, glue, short] = &found.shortages[..] else { panic!("{:?}", found.shortages) };
    for (late, item_id, quantity) in [(wheels, WHEEL, 8), (glue, GLUE, 2)] {
        let demand = pb::RequirementPeg { cause: Some(Cause::WorkOrderId(order)), quantity };
        assert_eq!((late.demand, late.item_id, late.short, late.feasible_day), (Some(demand), item_id, quantity, 10));
    }
    let demand = pb::RequirementPeg { cause: Some(Cause::WhatIfLineId(7)), quantity: 20 };
    assert_eq!((short.demand, short.item_id, short.due_day), (Some(demand), CART, 11));
    assert_eq!(short.short, 18, "two are under way");
    assert!(short.feasible_day > 12, "{short:?}");
    assert_eq!(short.waits_for_item_ids.first(), Some(&CART), "{short:?}");
    let wheels = found.items.iter().find(|item| item.item_id == WHEEL).expect("they are needed");
    let pegs: Vec<_> = wheels.buckets.iter().flat_map(|bucket| &bucket.pegs).collect();
    assert!(pegs.iter().any(|peg| peg.cause == Some(Cause::WorkOrderId(order)) && peg.quantity == 8), "{pegs:?}");
    let parts = vec![pb::RequirementsPart::Shortages.into()];
    let shortages = requirements(&mut client, pb::GetRequirementsRequest { parts, ..request.clone() }).await;
    assert_eq!((shortages.items.len(), shortages.orders.len(), &shortages.shortages), (0, 0, &found.shortages));

    let refused = |request: pb::GetRequirementsRequest| {
        let mut client = client.clone();
        async move { client.get_requirements(request).await.expect_err("refused").code() }
    };
    assert_eq!(refused(asked(0)).await, Code::InvalidArgument);
    assert_eq!(refused(asked(999)).await, Code::NotFound);
    assert_eq!(refused(pb::GetRequirementsRequest { plant_id: 99, ..request.clone() }).await, Code::NotFound);
    let versions = vec![pb::ChosenVersion { product_id: CART, version: 9 }];
    assert_eq!(refused(pb::GetRequirementsRequest { versions, ..request.clone() }).await, Code::FailedPrecondition);
    let what_if = vec![line(1, 999, 1, 15)];
    assert_eq!(refused(pb::GetRequirementsRequest { what_if, ..request }).await, Code::NotFound);
    cluster.stop().await;
}
