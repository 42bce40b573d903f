//! Commands of others, made up from what they did: a cluster may have served before the run, and may
//! serve others meanwhile.
//!
//! A record that changed something says enough to do the same again. A refusal does not say what was
//! refused, but it changed nothing: a command that is sure to be refused stands for it.

use crate::client::api;
use api::command::Body;
use api::event::Body as Event;

/// A market that nobody can have: ids of markets are chosen by people.
const NO_MARKET: u32 = u32::MAX;

/// A command that makes the events of this record again; none for what time brought about.
pub(super) fn command_of(record: &api::Record) -> Option<api::Command> {
    if record.command_id.is_empty() {
        return None;
    }
    let mut bodies = record.events.iter().filter_map(|event| event.body.as_ref());
    let body = bodies.clone().find_map(|last| with_others(last, record));
    let body = body.or_else(|| bodies.clone().find_map(by_itself)).or_else(|| bodies.find_map(cancel));
    let body = body.or_else(|| record.events.first().map(|_| refused()))?;
    Some(api::Command { id: record.command_id.clone(), linked: false, body: Some(body) })
}

/// Whether the record is a refusal, whose reason the stand-in does not share.
pub(super) fn is_refusal(record: &api::Record) -> bool {
    matches!(record.events.as_slice(), [event] if matches!(event.body, Some(Event::Rejected(_))))
}

fn refused() -> Body {
    Body::SetMarketPhase(api::SetMarketPhase { market_id: NO_MARKET, phase: api::Phase::Halted.into() })
}

/// The command of which this event is the sign.
fn by_itself(event: &Event) -> Option<Body> {
    Some(match event.clone() {
        Event::AssetCreated(it) => Body::CreateAsset(it),
        Event::AccountCreated(it) => Body::CreateAccount(it),
        Event::AccountStateSet(it) => Body::SetAccountState(it),
        Event::AccountAssetSet(it) => Body::SetAccountAsset(it),
        Event::MarketCreated(it) => Body::CreateMarket(it),
        Event::MarketPhaseSet(it) => Body::SetMarketPhase(it),
        Event::Transferred(it) => Body::Transfer(it.transfer?),
        Event::PendingPosted(it) => {
            Body::PostPending(api::PostPending { transfer_id: it.transfer_id, amount: it.amount })
        }
        Event::PendingVoided(it) => Body::VoidPending(api::VoidPending { transfer_id: it.transfer_id }),
        Event::OrderAccepted(it) => Body::NewOrder(it.order?),
        Event::OrderReplaced(it) => Body::ReplaceOrder(api::ReplaceOrder {
            account_id: it.account_id,
            order: by_order_id(it.order_id),
            quantity: it.quantity,
            limit_price: it.limit_price,
        }),
        Event::MassCancelled(it) => {
            Body::MassCancel(api::MassCancel { account_id: it.account_id, market_id: it.market_id, side: it.side })
        }
        Event::PlantDefined(it) => Body::DefinePlant(it),
        Event::CalendarSet(it) => Body::SetCalendar(it),
        Event::ItemDefined(it) => Body::DefineItem(it),
        Event::BomDefined(it) => Body::DefineBom(it),
        Event::StockMoved(it) => return stock(it),
        Event::WorkOrderCreated(it) => create_work_order(it.work_order?),
        Event::WorkOrderReleased(it) => {
            // What was reserved whole could have been reserved beyond what there is, by a credit limit.
            let partial = it.lines.iter().any(|line| line.issued + line.reserved < line.required);
            Body::ReleaseWorkOrder(api::ReleaseWorkOrder { work_order_id: it.work_order?.work_order_id, partial })
        }
        Event::WorkOrderChanged(it) => {
            Body::SetWorkOrder(api::SetWorkOrder { work_order_id: it.work_order?.work_order_id, change: it.change })
        }
        Event::MaterialsIssued(it) => Body::IssueMaterials(api::IssueMaterials {
            work_order_id: it.work_order?.work_order_id,
            materials: it.materials.into_iter().map(material).collect(),
        }),
        Event::MaterialsReturned(it) => Body::ReturnMaterials(api::ReturnMaterials {
            work_order_id: it.work_order?.work_order_id,
            material: it.material.map(material),
        }),
        Event::OperationReported(it) => Body::ReportOperation(api::ReportOperation {
            work_order_id: it.work_order?.work_order_id,
            operation: it.operation,
            good: it.good,
            scrap: it.scrap,
        }),
        Event::WorkOrderCompleted(it) => Body::CompleteWorkOrder(api::CompleteWorkOrder {
            work_order_id: it.work_order?.work_order_id,
            good: it.good,
            scrap: it.scrap,
            loss: it.loss,
            lot: it.lot,
        }),
        Event::PlanCreated(it) => {
            let plan = it.plan?;
            Body::CreatePlan(api::CreatePlan { plant_id: plan.plant_id, name: plan.name })
        }
        Event::PlanLinesSet(it) => Body::SetPlanLines(it),
        Event::PlanClosed(it) => Body::ClosePlan(api::ClosePlan { plan_id: it.plan?.plan_id }),
        Event::PurchaseClosed(it) => Body::ClosePurchase(api::ClosePurchase { purchase_id: it.purchase?.purchase_id }),
        Event::PurchaseLinked(it) => {
            let purchase = it.purchase?;
            let (purchase_id, client_order_id) = (purchase.purchase_id, purchase.client_order_id);
            Body::LinkPurchase(api::LinkPurchase { purchase_id, client_order_id })
        }
        Event::PlanFirmed(_)
        | Event::PurchasePlanned(_)
        | Event::PurchaseReceived(_)
        | Event::Rejected(_)
        | Event::LotsMoved(_)
        | Event::PendingExpired(_)
        | Event::Trade(_)
        | Event::OrderReduced(_)
        | Event::OrderCancelled(_) => return None,
    })
}

fn material(moved: api::MaterialMoved) -> api::Material {
    api::Material { component_id: moved.component_id, quantity: moved.quantity, lot: moved.lot }
}

/// The command of which this event is the sign, together with the record's others.
fn with_others(event: &Event, record: &api::Record) -> Option<Body> {
    match event {
        Event::PlanFirmed(firmed) => firm_plan(firmed, record),
        // An order that buys a purchase is linked when it is accepted.
        Event::PurchaseLinked(it) => {
            let accepted = record.events.iter().find_map(|event| match event.body.as_ref()? {
                Event::OrderAccepted(it) => it.order,
                _ => None,
            });
            let order = Some(accepted?);
            Some(Body::BuyPurchase(api::BuyPurchase { purchase_id: it.purchase.as_ref()?.purchase_id, order }))
        }
        // A trade that is a receipt is told by the order's own events.
        Event::PurchaseReceived(_) if record.events.iter().any(is_trade) => None,
        Event::PurchaseReceived(it) => {
            let receipt = record.events.iter().find_map(|event| match event.body.as_ref()? {
                Event::StockMoved(moved) => {
                    let (from_account_id, lot) = (moved.from_account_id, moved.lot.clone());
                    Some(api::PurchaseReceipt { from_account_id, lot })
                }
                _ => None,
            });
            let purchase_id = it.purchase.as_ref()?.purchase_id;
            Some(Body::ReceivePurchase(api::ReceivePurchase { purchase_id, quantity: it.quantity, receipt }))
        }
        _ => None,
    }
}

fn is_trade(event: &api::Event) -> bool {
    matches!(event.body, Some(Event::Trade(_)))
}

fn firm_plan(firmed: &api::PlanFirmed, record: &api::Record) -> Option<Body> {
    let plan = firmed.plan.as_ref()?;
    let mut firm = api::FirmPlan {
        plan_id: plan.plan_id,
        computed_at: firmed.computed_at,
        location_id: firmed.location_id,
        output_id: firmed.output_id,
        more: plan.firming_computed_at != 0,
        ..api::FirmPlan::default()
    };
    for event in &record.events {
        let pegs = firmed.pegs.iter().filter(|peg| peg.order_id == event.sequence);
        let pegs =
            pegs.map(|peg| api::DemandPeg { plan_id: peg.plan_id, line_id: peg.line_id, quantity: peg.quantity });
        let pegs = pegs.collect();
        match event.body.as_ref()? {
            Event::WorkOrderCreated(created) => {
                let order = created.work_order.as_ref()?;
                (firm.backflush, firm.over_issue) = (order.backflush, order.over_issue);
                firm.orders.push(api::OrderToFirm {
                    item_id: order.product_id,
                    version: Some(order.version),
                    quantity: order.quantity,
                    release_day: order.start_day,
                    due_day: order.due_day,
                    pegs,
                });
            }
            Event::PurchasePlanned(planned) => {
                let purchase = planned.purchase.as_ref()?;
                firm.orders.push(api::OrderToFirm {
                    item_id: purchase.item_id,
                    version: None,
                    quantity: purchase.quantity,
                    release_day: purchase.release_day,
                    due_day: purchase.due_day,
                    pegs,
                });
            }
            _ => {}
        }
    }
    Some(Body::FirmPlan(firm))
}

fn create_work_order(order: api::WorkOrder) -> Body {
    Body::CreateWorkOrder(api::CreateWorkOrder {
        plant_id: order.plant_id,
        product_id: order.product_id,
        quantity: order.quantity,
        version: Some(order.version),
        location_id: order.location_id,
        output_id: order.output_id,
        start_day: order.start_day,
        due_day: order.due_day,
        backflush: order.backflush,
        optional: order.optional,
        over_issue: order.over_issue,
    })
}

/// The command that moved this stock.
fn stock(moved: api::StockMoved) -> Option<Body> {
    use api::StockMoveKind as Kind;
    let api::StockMoved { location_id, asset_id, quantity, lot, reason, .. } = moved;
    Some(match Kind::try_from(moved.kind).ok()? {
        Kind::Receipt => {
            let from_account_id = moved.from_account_id;
            Body::ReceiveStock(api::ReceiveStock { location_id, asset_id, quantity, from_account_id, lot })
        }
        Kind::Issue => {
            let to_account_id = moved.to_account_id;
            Body::IssueStock(api::IssueStock { location_id, asset_id, quantity, to_account_id, lot })
        }
        Kind::Adjustment => {
            let amount = i64::try_from(quantity).ok()?;
            let difference = if moved.to_account_id == location_id { amount } else { -amount };
            Body::AdjustStock(api::AdjustStock { location_id, asset_id, difference, lot, reason })
        }
        Kind::Count => {
            let counted = moved.counted;
            Body::CountStock(api::CountStock { location_id, asset_id, counted, lot, reason })
        }
        Kind::Scrap => Body::ScrapStock(api::ScrapStock { location_id, asset_id, quantity, lot, reason }),
        Kind::Move => {
            let (from_location_id, to_location_id) = (moved.from_account_id, moved.to_account_id);
            Body::MoveStock(api::MoveStock { from_location_id, to_location_id, asset_id, quantity, lot })
        }
        Kind::Unspecified => return None,
    })
}

/// A cancelled order is the command's own when nothing else is.
fn cancel(event: &Event) -> Option<Body> {
    match event {
        Event::OrderCancelled(it) => {
            Some(Body::CancelOrder(api::CancelOrder { account_id: it.account_id, order: by_order_id(it.order_id) }))
        }
        _ => None,
    }
}

fn by_order_id(order: u64) -> Option<api::OrderReference> {
    Some(api::OrderReference { reference: Some(api::order_reference::Reference::OrderId(order)) })
}
