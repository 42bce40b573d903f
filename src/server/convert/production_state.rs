//! The live state of production and inventory to the wire.

use super::production_event::{
    bom_line, by_product, lot_rule, operation as bom_operation, order_yield, requirement, work_order,
};
use super::wire_number;
use crate::core::command::BomLine;
use crate::core::ledger::records::Balance;
use crate::core::production::records::{
    Bom, Calendar, Item, Lot, OperationProgress, OrderYield, Plant, Requirement, WorkOrder, cost_rounded,
};
use crate::core::production::{BomView, GrossNeed, ItemStock, Shortage};
use crate::core::types::{AssetId, WorkOrderId};
use crate::proto::v1 as pb;

/// A sum of the item does not fit the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge(pub AssetId);

/// A plant with its calendar.
#[must_use]
pub fn plant(plant: &Plant, calendar: &Calendar) -> pb::Plant {
    pb::Plant {
        plant_id: plant.id.0,
        name: plant.name.to_string(),
        production_account_id: plant.production.0,
        scrap_account_id: plant.scrap.0,
        adjustment_account_id: plant.adjustment.0,
        location_ids: plant.locations.iter().map(|location| location.0).collect(),
        weekdays: calendar.weekdays.into(),
        holidays: calendar.holidays.iter().map(|day| day.0).collect(),
        seconds_per_day: calendar.seconds_per_day,
    }
}

/// An item.
#[must_use]
pub fn item(item: &Item) -> pb::Item {
    pb::Item {
        asset_id: item.asset.0,
        source: wire_number!(item.source),
        lead_days: item.lead_days,
        lot_rule: lot_rule(item.lot_rule),
        safety_stock: item.safety_stock.0,
        reorder_point: item.reorder_point.0,
        standard_cost: item.standard_cost.0,
        currency_asset_id: item.currency.0,
        lot_tracked: item.lot_tracked,
        phantom: item.phantom,
    }
}

/// A version of a bill of materials.
#[must_use]
pub fn bom(view: BomView<'_>) -> pb::Bom {
    pb::Bom {
        product_id: view.bom.product.0,
        version: view.bom.version.0,
        from_day: view.bom.from.0,
        output: view.bom.output.0,
        lines: view.lines.iter().map(bom_line).collect(),
        by_products: view.by_products.iter().map(by_product).collect(),
        operations: view.operations.iter().map(bom_operation).collect(),
    }
}

/// What is needed of an item; `exact_cost` is in 10⁻¹² of the currency's smallest unit.
fn gross_need(need: GrossNeed, exact_cost: i128) -> Result<pb::GrossNeed, TooLarge> {
    let GrossNeed { item, quantity, leaf } = need;
    let cost = i64::try_from(cost_rounded(exact_cost)).map_err(|_| TooLarge(item.asset))?;
    Ok(pb::GrossNeed { asset_id: item.asset.0, quantity: quantity.0, leaf, cost })
}

/// All that goes into a product.
///
/// # Errors
/// When what a part costs, or the product with all its parts, is too large.
pub fn explosion(
    product: AssetId,
    needs: Vec<(GrossNeed, i128)>,
    currency: AssetId,
) -> Result<pb::ExplodeBomResponse, TooLarge> {
    let sum = needs.iter().try_fold(0_i128, |sum, (_, cost)| sum.checked_add(*cost));
    let cost = sum.and_then(|sum| i64::try_from(cost_rounded(sum)).ok()).ok_or(TooLarge(product));
    let needs = needs.into_iter().map(|(need, cost)| gross_need(need, cost)).collect::<Result<_, _>>()?;
    Ok(pb::ExplodeBomResponse { needs, cost: cost?, currency_asset_id: currency.0, position: None })
}

/// A line that needs an item.
#[must_use]
pub fn where_used(bom: &Bom, line: &BomLine) -> pb::WhereUsed {
    pb::WhereUsed {
        product_id: bom.product.0,
        version: bom.version.0,
        from_day: bom.from.0,
        output: bom.output.0,
        line: Some(bom_line(line)),
    }
}

/// What a plant has of an item, in these balances and in all.
///
/// # Errors
/// When a sum over the locations, or of what is on order, does not fit 63 bits.
pub fn stock_level(item: &Item, stock: ItemStock, balances: &[&Balance]) -> Result<pb::StockLevel, TooLarge> {
    let sum = |number: i128| i64::try_from(number).map_err(|_| TooLarge(item.asset));
    Ok(pb::StockLevel {
        asset_id: item.asset.0,
        on_hand: sum(stock.on_hand)?,
        reserved: sum(stock.reserved)?,
        available: sum(stock.available())?,
        on_order: sum(stock.on_order)?,
        safety_stock: item.safety_stock.0,
        reorder_point: item.reorder_point.0,
        locations: balances.iter().map(|balance| location_stock(balance)).collect(),
    })
}

fn location_stock(balance: &Balance) -> pb::LocationStock {
    pb::LocationStock {
        location_id: balance.account.0,
        on_hand: balance.posted.0,
        reserved: balance.reserved.0,
        available: balance.available().0,
    }
}

/// The units of a lot that an account has.
#[must_use]
pub fn lot(lot: &Lot) -> pb::Lot {
    pb::Lot {
        account_id: lot.account.0,
        asset_id: lot.asset.0,
        lot: lot.number.to_string(),
        since_sequence: lot.since.0,
        quantity: lot.quantity.0,
    }
}

/// A work order with its parts. `work_centres` are those of its bill of materials, in order.
#[must_use]
pub fn work_order_detail<'a>(
    order: &WorkOrder,
    lines: impl IntoIterator<Item = &'a Requirement>,
    yields: impl IntoIterator<Item = &'a OrderYield>,
    operations: impl IntoIterator<Item = &'a OperationProgress>,
    work_centres: &[String],
) -> pb::WorkOrderDetail {
    let mut reached = order.quantity.0;
    let operations = operations.into_iter().zip(work_centres).map(|(operation, work_centre)| {
        let reported = operation.good.0 + operation.scrap.0;
        let waiting = reached.saturating_sub(reported);
        reached = operation.good.0;
        let (good, scrap) = (operation.good.0, operation.scrap.0);
        pb::OperationProgress { work_centre: work_centre.clone(), good, scrap, waiting }
    });
    let operations = operations.collect();
    let lines = lines.into_iter().map(requirement).collect();
    let yields = yields.into_iter().map(order_yield).collect();
    pb::WorkOrderDetail { work_order: Some(work_order(order)), lines, operations, yields }
}

/// A component that a work order lacks.
#[must_use]
pub fn shortage(shortage: Shortage) -> pb::MaterialShortage {
    let Shortage { work_order: WorkOrderId(work_order_id), component: AssetId(component_id), short } = shortage;
    pb::MaterialShortage { work_order_id, component_id, short }
}

/// What is being made of a product. `exact_cost` is in 10⁻¹² of the currency's smallest unit.
///
/// # Errors
/// When the sum of the orders, or of what they cost, is too large.
pub fn work_in_progress(
    product: AssetId,
    currency: AssetId,
    quantity: u128,
    exact_cost: i128,
    work_order_count: u64,
) -> Result<pb::WorkInProgress, TooLarge> {
    let quantity = u64::try_from(quantity).map_err(|_| TooLarge(product))?;
    let cost = i64::try_from(cost_rounded(exact_cost)).map_err(|_| TooLarge(product))?;
    let (product_id, currency_asset_id) = (product.0, currency.0);
    Ok(pb::WorkInProgress { product_id, quantity, cost, currency_asset_id, work_order_count })
}
