//! Commands of production and inventory from the wire, with every check of their shape.

use super::shape::{account, amount_or_zero, asset, choice, chosen, code, price, quantity};
use super::{Invalid, Reason};
use crate::core::command::{
    AdjustStock, BomLine, ByProduct, CompleteWorkOrder, CountStock, CreateWorkOrder, DefineBom, DefineItem,
    DefinePlant, IssueMaterials, IssueStock, Material, MoveStock, Operation, ReceiveStock, ReleaseWorkOrder,
    ReportOperation, ReturnMaterials, ScrapStock, SetCalendar, SetWorkOrder,
};
use crate::core::production::EXPLOSION_MAX;
use crate::core::types::{
    Amount, Attrition, BomVersion, Code, Day, LotRule, OverIssue, PlantId, Price, Quantity, Source, WorkOrderChange,
    WorkOrderId,
};
use crate::proto::v1 as pb;

type Checked<T> = Result<T, Invalid>;

/// A plant's id.
pub(super) fn plant(number: u32) -> Checked<PlantId> {
    if number == 0 { Err(Invalid::missing("plant_id")) } else { Ok(PlantId(number)) }
}

/// A work order's id.
pub(super) fn work_order(number: u64) -> Checked<WorkOrderId> {
    if number == 0 { Err(Invalid::missing("work_order_id")) } else { Ok(WorkOrderId(number)) }
}

/// A code that may be left out.
pub(super) fn lot(text: &str, field: &str) -> Checked<Option<Code>> {
    if text.is_empty() { Ok(None) } else { code(text, field).map(Some) }
}

/// A quantity that may be zero.
fn quantity_or_zero(number: u64, field: &str) -> Checked<Quantity> {
    amount_or_zero(number, field).map(|amount| Quantity(amount.0.unsigned_abs()))
}

fn at_most<T>(list: &[T], most: usize, field: &str) -> Checked<()> {
    let too_many = || Invalid::new(field, Reason::TooMany, format!("must have at most {most} items"));
    if list.len() > most { Err(too_many()) } else { Ok(()) }
}

/// A list of so many items at most.
pub(super) fn list<W, T>(wire: &[W], most: usize, field: &str, item: impl Fn(&W) -> Checked<T>) -> Checked<Vec<T>> {
    at_most(wire, most, field)?;
    let items = wire.iter().enumerate().map(|(place, wire)| item(wire).map_err(|e| e.within_item(field, place)));
    items.collect()
}

/// A plant.
pub(super) fn define_plant(wire: &pb::DefinePlant) -> Checked<DefinePlant> {
    at_most(&wire.location_ids, DefinePlant::LOCATIONS_MAX, "location_ids")?;
    let locations = wire.location_ids.iter().map(|number| account(*number, "location_ids"));
    Ok(DefinePlant {
        plant: plant(wire.plant_id)?,
        name: code(&wire.name, "name")?,
        production: account(wire.production_account_id, "production_account_id")?,
        scrap: account(wire.scrap_account_id, "scrap_account_id")?,
        adjustment: account(wire.adjustment_account_id, "adjustment_account_id")?,
        locations: locations.collect::<Checked<_>>()?,
    })
}

/// A calendar.
pub(super) fn set_calendar(wire: &pb::SetCalendar) -> Checked<SetCalendar> {
    at_most(&wire.holidays, SetCalendar::HOLIDAYS_MAX, "holidays")?;
    let out_of_range = |field, message: &str| Invalid::new(field, Reason::OutOfRange, message);
    let weekdays = u8::try_from(wire.weekdays).ok().filter(|days| (1..=SetCalendar::EVERY_DAY).contains(days));
    if !wire.holidays.is_sorted_by(|one, next| one < next) {
        return Err(out_of_range("holidays", "must be in order, each day once"));
    }
    if wire.seconds_per_day == 0 {
        return Err(Invalid::missing("seconds_per_day"));
    }
    Ok(SetCalendar {
        plant: plant(wire.plant_id)?,
        weekdays: weekdays.ok_or_else(|| out_of_range("weekdays", "must be between 1 and 127"))?,
        holidays: wire.holidays.iter().copied().map(Day).collect(),
        seconds_per_day: wire.seconds_per_day,
    })
}

/// An item.
pub(super) fn define_item(wire: &pb::DefineItem) -> Checked<DefineItem> {
    Ok(DefineItem {
        asset: asset(wire.asset_id, "asset_id")?,
        source: chosen(wire.source, Source::from_number, "source")?,
        lead_days: wire.lead_days,
        lot_rule: lot_rule(wire.lot_rule.as_ref()).map_err(|e| e.within("lot_rule"))?,
        safety_stock: quantity_or_zero(wire.safety_stock, "safety_stock")?,
        reorder_point: quantity_or_zero(wire.reorder_point, "reorder_point")?,
        standard_cost: match wire.standard_cost {
            0 => Price(0),
            cost => price(cost, "standard_cost")?,
        },
        currency: asset(wire.currency_asset_id, "currency_asset_id")?,
        phantom: wire.phantom,
        lot_tracked: wire.lot_tracked,
    })
}

fn lot_rule(wire: Option<&pb::LotRule>) -> Checked<LotRule> {
    use pb::lot_rule::Rule;
    match wire.and_then(|wire| wire.rule) {
        None => Ok(LotRule::LotForLot),
        Some(Rule::Fixed(fixed)) => quantity(fixed, "fixed").map(LotRule::Fixed),
        Some(Rule::Multiple(wire)) => Ok(LotRule::Multiple {
            minimum: quantity_or_zero(wire.minimum, "multiple.minimum")?,
            multiple: quantity(wire.multiple, "multiple.multiple")?,
        }),
    }
}

/// A version of a bill of materials.
pub(super) fn define_bom(wire: &pb::DefineBom) -> Checked<DefineBom> {
    Ok(DefineBom {
        product: asset(wire.product_id, "product_id")?,
        version: BomVersion(wire.version),
        from: Day(wire.from_day),
        output: quantity(wire.output, "output")?,
        lines: list(&wire.lines, DefineBom::LINES_MAX, "lines", bom_line)?,
        by_products: list(&wire.by_products, DefineBom::BY_PRODUCTS_MAX, "by_products", by_product)?,
        operations: list(&wire.operations, DefineBom::OPERATIONS_MAX, "operations", operation)?,
    })
}

fn bom_line(wire: &pb::BomLine) -> Checked<BomLine> {
    if wire.attrition > Attrition::UNIT {
        let message = format!("must be at most {}", Attrition::UNIT);
        return Err(Invalid::new("attrition", Reason::OutOfRange, message));
    }
    Ok(BomLine {
        component: asset(wire.component_id, "component_id")?,
        quantity: quantity(wire.quantity, "quantity")?,
        attrition: Attrition(wire.attrition),
        setup: quantity_or_zero(wire.setup, "setup")?,
        multiple: quantity_or_zero(wire.multiple, "multiple")?,
        optional: wire.optional,
    })
}

fn by_product(wire: &pb::ByProduct) -> Checked<ByProduct> {
    Ok(ByProduct { asset: asset(wire.asset_id, "asset_id")?, quantity: quantity(wire.quantity, "quantity")? })
}

fn operation(wire: &pb::Operation) -> Checked<Operation> {
    Ok(Operation {
        work_centre: code(&wire.work_centre, "work_centre")?,
        setup_seconds: wire.setup_seconds,
        run_seconds: wire.run_seconds,
        lead_days: wire.lead_days,
        hourly_cost: amount_or_zero(wire.hourly_cost, "hourly_cost")?,
    })
}

/// A receipt.
pub(super) fn receive_stock(wire: &pb::ReceiveStock) -> Checked<ReceiveStock> {
    Ok(ReceiveStock {
        location: account(wire.location_id, "location_id")?,
        asset: asset(wire.asset_id, "asset_id")?,
        quantity: quantity(wire.quantity, "quantity")?,
        from: account(wire.from_account_id, "from_account_id")?,
        lot: lot(&wire.lot, "lot")?,
    })
}

/// An issue.
pub(super) fn issue_stock(wire: &pb::IssueStock) -> Checked<IssueStock> {
    Ok(IssueStock {
        location: account(wire.location_id, "location_id")?,
        asset: asset(wire.asset_id, "asset_id")?,
        quantity: quantity(wire.quantity, "quantity")?,
        to: account(wire.to_account_id, "to_account_id")?,
        lot: lot(&wire.lot, "lot")?,
    })
}

/// An adjustment.
pub(super) fn adjust_stock(wire: &pb::AdjustStock) -> Checked<AdjustStock> {
    if wire.difference == 0 || wire.difference == i64::MIN {
        return Err(Invalid::new("difference", Reason::OutOfRange, "must be a quantity, not zero"));
    }
    Ok(AdjustStock {
        location: account(wire.location_id, "location_id")?,
        asset: asset(wire.asset_id, "asset_id")?,
        difference: Amount(wire.difference),
        lot: lot(&wire.lot, "lot")?,
        reason: code(&wire.reason, "reason")?,
    })
}

/// A count.
pub(super) fn count_stock(wire: &pb::CountStock) -> Checked<CountStock> {
    Ok(CountStock {
        location: account(wire.location_id, "location_id")?,
        asset: asset(wire.asset_id, "asset_id")?,
        counted: quantity_or_zero(wire.counted, "counted")?,
        lot: lot(&wire.lot, "lot")?,
        reason: code(&wire.reason, "reason")?,
    })
}

/// Scrap.
pub(super) fn scrap_stock(wire: &pb::ScrapStock) -> Checked<ScrapStock> {
    Ok(ScrapStock {
        location: account(wire.location_id, "location_id")?,
        asset: asset(wire.asset_id, "asset_id")?,
        quantity: quantity(wire.quantity, "quantity")?,
        lot: lot(&wire.lot, "lot")?,
        reason: code(&wire.reason, "reason")?,
    })
}

/// A move between locations.
pub(super) fn move_stock(wire: &pb::MoveStock) -> Checked<MoveStock> {
    Ok(MoveStock {
        from: account(wire.from_location_id, "from_location_id")?,
        to: account(wire.to_location_id, "to_location_id")?,
        asset: asset(wire.asset_id, "asset_id")?,
        quantity: quantity(wire.quantity, "quantity")?,
        lot: lot(&wire.lot, "lot")?,
    })
}

/// A new work order.
pub(super) fn create_work_order(wire: &pb::CreateWorkOrder) -> Checked<CreateWorkOrder> {
    let location = account(wire.location_id, "location_id")?;
    if wire.due_day < wire.start_day {
        return Err(Invalid::new("due_day", Reason::OutOfRange, "must not be before start_day"));
    }
    Ok(CreateWorkOrder {
        plant: plant(wire.plant_id)?,
        product: asset(wire.product_id, "product_id")?,
        quantity: quantity(wire.quantity, "quantity")?,
        version: wire.version.map(BomVersion),
        location,
        output: if wire.output_id == 0 { location } else { account(wire.output_id, "output_id")? },
        start: Day(wire.start_day),
        due: Day(wire.due_day),
        backflush: wire.backflush,
        optional: wire.optional,
        over_issue: choice(wire.over_issue, OverIssue::from_number, "over_issue")?.unwrap_or(OverIssue::Refuse),
    })
}

/// A release.
pub(super) fn release_work_order(wire: &pb::ReleaseWorkOrder) -> Checked<ReleaseWorkOrder> {
    Ok(ReleaseWorkOrder { work_order: work_order(wire.work_order_id)?, partial: wire.partial })
}

/// A change of state.
pub(super) fn set_work_order(wire: &pb::SetWorkOrder) -> Checked<SetWorkOrder> {
    Ok(SetWorkOrder {
        work_order: work_order(wire.work_order_id)?,
        change: chosen(wire.change, WorkOrderChange::from_number, "change")?,
    })
}

fn material(wire: &pb::Material) -> Checked<Material> {
    Ok(Material {
        component: asset(wire.component_id, "component_id")?,
        quantity: quantity(wire.quantity, "quantity")?,
        lot: lot(&wire.lot, "lot")?,
    })
}

/// An issue to a work order.
pub(super) fn issue_materials(wire: &pb::IssueMaterials) -> Checked<IssueMaterials> {
    Ok(IssueMaterials {
        work_order: work_order(wire.work_order_id)?,
        materials: list(&wire.materials, EXPLOSION_MAX, "materials", material)?,
    })
}

/// A return from a work order.
pub(super) fn return_materials(wire: &pb::ReturnMaterials) -> Checked<ReturnMaterials> {
    let returned = wire.material.as_ref().ok_or_else(|| Invalid::missing("material"))?;
    Ok(ReturnMaterials {
        work_order: work_order(wire.work_order_id)?,
        material: material(returned).map_err(|e| e.within("material"))?,
    })
}

/// Some of several quantities has to be more than nothing.
fn some(quantities: &[Quantity], field: &str) -> Checked<()> {
    let nothing = quantities.iter().all(|quantity| quantity.0 == 0);
    if nothing { Err(Invalid::new(field, Reason::Missing, "or another quantity is required")) } else { Ok(()) }
}

/// A report of work.
pub(super) fn report_operation(wire: &pb::ReportOperation) -> Checked<ReportOperation> {
    let (good, scrap) = (quantity_or_zero(wire.good, "good")?, quantity_or_zero(wire.scrap, "scrap")?);
    some(&[good, scrap], "good")?;
    let work_order = work_order(wire.work_order_id)?;
    Ok(ReportOperation { work_order, operation: wire.operation, good, scrap })
}

/// A completion.
pub(super) fn complete_work_order(wire: &pb::CompleteWorkOrder) -> Checked<CompleteWorkOrder> {
    let good = quantity_or_zero(wire.good, "good")?;
    let scrap = quantity_or_zero(wire.scrap, "scrap")?;
    let loss = quantity_or_zero(wire.loss, "loss")?;
    some(&[good, scrap, loss], "good")?;
    Ok(CompleteWorkOrder {
        work_order: work_order(wire.work_order_id)?,
        good,
        scrap,
        loss,
        lot: lot(&wire.lot, "lot")?,
    })
}
