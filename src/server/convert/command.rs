//! Commands from the wire, with every check of their shape.

use super::shape::{
    account, amount, amount_or_zero, asset, choice, chosen, code, command_id, market, order, price, quantity, time,
    user_data,
};
use super::{Invalid, Reason, planning, production};
use crate::core::command::{
    Body, BuyPurchase, CancelOrder, Command, CreateAccount, CreateAsset, CreateMarket, MassCancel, NewOrder, OrderRef,
    PostPending, Pricing, ReplaceOrder, SetAccountAsset, SetAccountState, SetMarketPhase, Transfer, TransferMode,
    VoidPending,
};
use crate::core::types::{AccountState, AssetKind, FeeRate, Phase, SelfTradePrevention, Side, TimeInForce};
use crate::proto::v1 as pb;

type Checked<T> = Result<T, Invalid>;

/// One command.
///
/// # Errors
/// The first field that has no meaning.
pub fn command(wire: &pb::Command) -> Checked<Command> {
    let id = command_id(&wire.id, "id")?;
    let body = body(wire.body.as_ref().ok_or_else(|| Invalid::missing("body"))?)?;
    if wire.linked && !matches!(body, Body::Transfer(_) | Body::PostPending(_) | Body::VoidPending(_)) {
        return Err(Invalid::not_allowed("linked", "only transfers, posts and voids can be linked"));
    }
    Ok(Command { id, linked: wire.linked, body })
}

fn body(wire: &pb::command::Body) -> Checked<Body> {
    use pb::command::Body as Wire;
    match wire {
        Wire::CreateAsset(it) => create_asset(it).map(Body::CreateAsset).map_err(|e| e.within("create_asset")),
        Wire::CreateAccount(it) => create_account(it).map(Body::CreateAccount).map_err(|e| e.within("create_account")),
        Wire::SetAccountState(it) => {
            set_account_state(it).map(Body::SetAccountState).map_err(|e| e.within("set_account_state"))
        }
        Wire::SetAccountAsset(it) => {
            set_account_asset(it).map(Body::SetAccountAsset).map_err(|e| e.within("set_account_asset"))
        }
        Wire::CreateMarket(it) => create_market(it).map(Body::CreateMarket).map_err(|e| e.within("create_market")),
        Wire::SetMarketPhase(it) => {
            set_market_phase(it).map(Body::SetMarketPhase).map_err(|e| e.within("set_market_phase"))
        }
        Wire::Transfer(it) => transfer(it).map(Body::Transfer).map_err(|e| e.within("transfer")),
        Wire::PostPending(it) => post_pending(it).map(Body::PostPending).map_err(|e| e.within("post_pending")),
        Wire::VoidPending(it) => command_id(&it.transfer_id, "transfer_id")
            .map(|transfer| Body::VoidPending(VoidPending { transfer }))
            .map_err(|e| e.within("void_pending")),
        Wire::NewOrder(it) => new_order(it).map(Body::NewOrder).map_err(|e| e.within("new_order")),
        Wire::BuyPurchase(it) => buy_purchase(it).map(Body::BuyPurchase).map_err(|e| e.within("buy_purchase")),
        Wire::ReplaceOrder(it) => replace_order(it).map(Body::ReplaceOrder).map_err(|e| e.within("replace_order")),
        Wire::CancelOrder(it) => cancel_order(it).map(Body::CancelOrder).map_err(|e| e.within("cancel_order")),
        Wire::MassCancel(it) => mass_cancel(it).map(Body::MassCancel).map_err(|e| e.within("mass_cancel")),
        Wire::DefinePlant(it) => {
            production::define_plant(it).map(Body::DefinePlant).map_err(|e| e.within("define_plant"))
        }
        Wire::SetCalendar(it) => {
            production::set_calendar(it).map(Body::SetCalendar).map_err(|e| e.within("set_calendar"))
        }
        Wire::DefineItem(it) => production::define_item(it).map(Body::DefineItem).map_err(|e| e.within("define_item")),
        Wire::DefineBom(it) => production::define_bom(it).map(Body::DefineBom).map_err(|e| e.within("define_bom")),
        Wire::ReceiveStock(it) => {
            production::receive_stock(it).map(Body::ReceiveStock).map_err(|e| e.within("receive_stock"))
        }
        Wire::IssueStock(it) => production::issue_stock(it).map(Body::IssueStock).map_err(|e| e.within("issue_stock")),
        Wire::AdjustStock(it) => {
            production::adjust_stock(it).map(Body::AdjustStock).map_err(|e| e.within("adjust_stock"))
        }
        Wire::CountStock(it) => production::count_stock(it).map(Body::CountStock).map_err(|e| e.within("count_stock")),
        Wire::ScrapStock(it) => production::scrap_stock(it).map(Body::ScrapStock).map_err(|e| e.within("scrap_stock")),
        Wire::MoveStock(it) => production::move_stock(it).map(Body::MoveStock).map_err(|e| e.within("move_stock")),
        Wire::CreateWorkOrder(it) => {
            production::create_work_order(it).map(Body::CreateWorkOrder).map_err(|e| e.within("create_work_order"))
        }
        Wire::ReleaseWorkOrder(it) => {
            production::release_work_order(it).map(Body::ReleaseWorkOrder).map_err(|e| e.within("release_work_order"))
        }
        Wire::SetWorkOrder(it) => {
            production::set_work_order(it).map(Body::SetWorkOrder).map_err(|e| e.within("set_work_order"))
        }
        Wire::IssueMaterials(it) => {
            production::issue_materials(it).map(Body::IssueMaterials).map_err(|e| e.within("issue_materials"))
        }
        Wire::ReturnMaterials(it) => {
            production::return_materials(it).map(Body::ReturnMaterials).map_err(|e| e.within("return_materials"))
        }
        Wire::ReportOperation(it) => {
            production::report_operation(it).map(Body::ReportOperation).map_err(|e| e.within("report_operation"))
        }
        Wire::CompleteWorkOrder(it) => production::complete_work_order(it)
            .map(Body::CompleteWorkOrder)
            .map_err(|e| e.within("complete_work_order")),
        Wire::CreatePlan(it) => planning::create_plan(it).map(Body::CreatePlan).map_err(|e| e.within("create_plan")),
        Wire::SetPlanLines(it) => {
            planning::set_plan_lines(it).map(Body::SetPlanLines).map_err(|e| e.within("set_plan_lines"))
        }
        Wire::FirmPlan(it) => planning::firm_plan(it).map(Body::FirmPlan).map_err(|e| e.within("firm_plan")),
        Wire::ClosePlan(it) => planning::close_plan(it).map(Body::ClosePlan).map_err(|e| e.within("close_plan")),
        Wire::ReceivePurchase(it) => {
            planning::receive_purchase(it).map(Body::ReceivePurchase).map_err(|e| e.within("receive_purchase"))
        }
        Wire::LinkPurchase(it) => {
            planning::link_purchase(it).map(Body::LinkPurchase).map_err(|e| e.within("link_purchase"))
        }
        Wire::ClosePurchase(it) => {
            planning::close_purchase(it).map(Body::ClosePurchase).map_err(|e| e.within("close_purchase"))
        }
    }
}

fn create_asset(wire: &pb::CreateAsset) -> Checked<CreateAsset> {
    let too_fine = || {
        let message = format!("must be between 0 and {}", CreateAsset::SCALE_MAX);
        Invalid::new("scale", Reason::OutOfRange, message)
    };
    Ok(CreateAsset {
        asset: asset(wire.asset_id, "asset_id")?,
        code: code(&wire.code, "code")?,
        scale: u8::try_from(wire.scale).ok().filter(|&scale| scale <= CreateAsset::SCALE_MAX).ok_or_else(too_fine)?,
        kind: chosen(wire.kind, AssetKind::from_number, "kind")?,
    })
}

fn create_account(wire: &pb::CreateAccount) -> Checked<CreateAccount> {
    Ok(CreateAccount {
        account: account(wire.account_id, "account_id")?,
        issuer: wire.issuer,
        restricted: wire.restricted,
        user_data: user_data(&wire.user_data, "user_data")?,
    })
}

fn set_account_state(wire: &pb::SetAccountState) -> Checked<SetAccountState> {
    Ok(SetAccountState {
        account: account(wire.account_id, "account_id")?,
        state: chosen(wire.state, AccountState::from_number, "state")?,
    })
}

fn set_account_asset(wire: &pb::SetAccountAsset) -> Checked<SetAccountAsset> {
    Ok(SetAccountAsset {
        account: account(wire.account_id, "account_id")?,
        asset: asset(wire.asset_id, "asset_id")?,
        allowed: wire.allowed,
        credit_limit: amount_or_zero(wire.credit_limit, "credit_limit")?,
    })
}

fn create_market(wire: &pb::CreateMarket) -> Checked<CreateMarket> {
    Ok(CreateMarket {
        market: market(wire.market_id, "market_id")?,
        symbol: code(&wire.symbol, "symbol")?,
        base: asset(wire.base_asset_id, "base_asset_id")?,
        quote: asset(wire.quote_asset_id, "quote_asset_id")?,
        tick: price(wire.tick, "tick")?,
        lot: quantity(wire.lot, "lot")?,
        maker_fee: FeeRate(wire.maker_fee),
        taker_fee: FeeRate(wire.taker_fee),
        fee_account: account(wire.fee_account_id, "fee_account_id")?,
        quantity_max: quantity(wire.quantity_max, "quantity_max")?,
        notional_max: amount(wire.notional_max, "notional_max")?,
        phase: choice(wire.phase, Phase::from_number, "phase")?.unwrap_or(Phase::Continuous),
    })
}

fn set_market_phase(wire: &pb::SetMarketPhase) -> Checked<SetMarketPhase> {
    Ok(SetMarketPhase {
        market: market(wire.market_id, "market_id")?,
        phase: chosen(wire.phase, Phase::from_number, "phase")?,
    })
}

fn transfer(wire: &pb::Transfer) -> Checked<Transfer> {
    let mode = match (wire.pending, time(wire.expires_at)) {
        (true, expires_at) => TransferMode::Pending { expires_at },
        (false, None) => TransferMode::Immediate,
        (false, Some(_)) => return Err(Invalid::not_allowed("expires_at", "is for pending transfers alone")),
    };
    Ok(Transfer {
        debit: account(wire.debit_account_id, "debit_account_id")?,
        credit: account(wire.credit_account_id, "credit_account_id")?,
        asset: asset(wire.asset_id, "asset_id")?,
        amount: amount(wire.amount, "amount")?,
        mode,
        user_data: user_data(&wire.user_data, "user_data")?,
        code: wire.code,
    })
}

fn post_pending(wire: &pb::PostPending) -> Checked<PostPending> {
    let part = if wire.amount == 0 { None } else { Some(amount(wire.amount, "amount")?) };
    Ok(PostPending { transfer: command_id(&wire.transfer_id, "transfer_id")?, amount: part })
}

fn new_order(wire: &pb::NewOrder) -> Checked<NewOrder> {
    let side = chosen(wire.side, Side::from_number, "side")?;
    let pricing = pricing(wire.pricing.as_ref().ok_or_else(|| Invalid::missing("pricing"))?, side)?;
    let time_in_force = time_in_force(wire.time_in_force, &pricing)?;
    let expires_at = time(wire.expires_at);
    match (time_in_force, expires_at) {
        (TimeInForce::GoodTillDate, None) => return Err(Invalid::missing("expires_at")),
        (TimeInForce::GoodTillDate, Some(_)) | (_, None) => {}
        (_, Some(_)) => return Err(Invalid::not_allowed("expires_at", "is for good-till-date orders alone")),
    }
    let rests = matches!(time_in_force, TimeInForce::GoodTillCancel | TimeInForce::GoodTillDate);
    if wire.post_only && !rests {
        return Err(Invalid::not_allowed("post_only", "is for limit orders that can rest alone"));
    }
    let prevention = choice(wire.self_trade_prevention, SelfTradePrevention::from_number, "self_trade_prevention")?;
    Ok(NewOrder {
        account: account(wire.account_id, "account_id")?,
        market: market(wire.market_id, "market_id")?,
        side,
        quantity: quantity(wire.quantity, "quantity")?,
        pricing,
        time_in_force,
        expires_at,
        post_only: wire.post_only,
        self_trade_prevention: prevention.unwrap_or(SelfTradePrevention::CancelNewest),
    })
}

fn buy_purchase(wire: &pb::BuyPurchase) -> Checked<BuyPurchase> {
    let purchase = planning::purchase(wire.purchase_id)?;
    let order = wire.order.as_ref().ok_or_else(|| Invalid::missing("order"))?;
    let order = new_order(order).map_err(|e| e.within("order"))?;
    Ok(BuyPurchase { purchase, order })
}

fn pricing(wire: &pb::new_order::Pricing, side: Side) -> Checked<Pricing> {
    use pb::new_order::Pricing as Wire;
    match *wire {
        Wire::LimitPrice(limit) => price(limit, "limit_price").map(Pricing::Limit),
        Wire::WorstPrice(worst) => price(worst, "worst_price").map(Pricing::MarketToPrice),
        Wire::QuoteBudget(_) if side == Side::Sell => {
            Err(Invalid::not_allowed("quote_budget", "is for buy orders alone"))
        }
        Wire::QuoteBudget(budget) => amount(budget, "quote_budget").map(Pricing::MarketForBudget),
    }
}

fn time_in_force(wire: i32, pricing: &Pricing) -> Checked<TimeInForce> {
    let asked = choice(wire, TimeInForce::from_number, "time_in_force")?;
    if matches!(pricing, Pricing::Limit(_)) {
        return Ok(asked.unwrap_or(TimeInForce::GoodTillCancel));
    }
    match asked.unwrap_or(TimeInForce::ImmediateOrCancel) {
        immediate @ (TimeInForce::ImmediateOrCancel | TimeInForce::FillOrKill) => Ok(immediate),
        TimeInForce::GoodTillCancel | TimeInForce::GoodTillDate => {
            Err(Invalid::not_allowed("time_in_force", "of a market order is immediate-or-cancel or fill-or-kill"))
        }
    }
}

/// An order by either of its names.
///
/// # Errors
/// When there is no name, or one that has no meaning.
pub fn order_reference(wire: Option<&pb::OrderReference>) -> Checked<OrderRef> {
    use pb::order_reference::Reference;
    let reference = wire.and_then(|wire| wire.reference.as_ref()).ok_or_else(|| Invalid::missing("order"))?;
    match reference {
        Reference::OrderId(id) => order(*id, "order_id").map(OrderRef::OrderId),
        Reference::ClientOrderId(id) => command_id(id, "client_order_id").map(OrderRef::ClientOrderId),
    }
    .map_err(|e| e.within("order"))
}

fn replace_order(wire: &pb::ReplaceOrder) -> Checked<ReplaceOrder> {
    let limit = if wire.limit_price == 0 { None } else { Some(price(wire.limit_price, "limit_price")?) };
    Ok(ReplaceOrder {
        account: account(wire.account_id, "account_id")?,
        order: order_reference(wire.order.as_ref())?,
        quantity: quantity(wire.quantity, "quantity")?,
        price: limit,
    })
}

fn cancel_order(wire: &pb::CancelOrder) -> Checked<CancelOrder> {
    Ok(CancelOrder { account: account(wire.account_id, "account_id")?, order: order_reference(wire.order.as_ref())? })
}

fn mass_cancel(wire: &pb::MassCancel) -> Checked<MassCancel> {
    Ok(MassCancel {
        account: account(wire.account_id, "account_id")?,
        market: (wire.market_id != 0).then_some(crate::core::types::MarketId(wire.market_id)),
        side: choice(wire.side, Side::from_number, "side")?,
    })
}
