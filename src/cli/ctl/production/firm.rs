//! `ctl production plan firm`: calculates for a plan, and has the orders made.
//!
//! A calculation of more orders than one command takes is firmed by several, of which the last one has the
//! command's id. So the id's answer, where there is one, says that all was done, and sent again nothing is
//! ordered twice: what an attempt before has ordered is under way for the next calculation.
//!
//! Sent again the same calculation would be another command, since the state it is made from is another. So an
//! id that was used is looked up first: when it firmed this plan, that is the answer. When it did anything
//! else, the ledger refuses it as any reused id, before anything is ordered.

use super::super::{Context, Key, print};
use super::day;
use super::requirements::Trial;
use crate::cli::CliError;
use crate::client::{api, derived_id, id_to_bytes, random_id};
use crate::core::types::CommandId;
use api::RequirementsPart as Part;
use api::command::Body;

/// Orders that one command makes, the most that the API takes.
const ORDERS_MAX: usize = 1_000;
/// Lines that each of them can be for, so that all of them together fit the command.
const PEGS_MAX: u32 = 10;

#[derive(Debug, clap::Args)]
pub struct Firm {
    /// Name or id
    plan: String,
    /// The first day on which anything can be done
    #[arg(long, value_parser = day, value_name = "DATE")]
    on: i32,
    /// Order only what has to begin on this day or before
    #[arg(long, value_parser = day, value_name = "DATE")]
    until: Option<i32>,
    /// Work orders take their materials from this location, and purchases come in there
    #[arg(long)]
    location: u64,
    /// Products are put into this one [default: the same]
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    output_location: u64,
    /// Completing products consumes the materials they took
    #[arg(long)]
    backflush: bool,
    /// More can be issued than a work order requires; the event says so
    #[arg(long)]
    allow_over_issue: bool,
    #[command(flatten)]
    trial: Trial,
    #[command(flatten)]
    key: Key,
}

pub async fn run(context: &mut Context, firm: Firm) -> Result<(), CliError> {
    if let Some(result) = context.answered_before(firm.key).await? {
        return if was_this(context, &firm, &result).await? {
            context.print_outcome(&result).await
        } else {
            // Of an id that is used the ledger looks at nothing else.
            let over_issue = api::OverIssue::Refuse.into();
            let (plan_id, computed_at, location_id) = (1, 1, firm.location);
            let other = api::FirmPlan { plan_id, computed_at, location_id, over_issue, ..Default::default() };
            context.execute(firm.key, Body::FirmPlan(other)).await
        };
    }
    let id = firm.key.id.unwrap_or_else(random_id);
    let plan = context.names.plan(&firm.plan).await?;
    let (mut made, mut bought) = (0, 0);
    loop {
        let found = calculate(context, &firm, &plan).await?;
        let mut orders: Vec<api::OrderToFirm> = found.orders.iter().map(to_firm).collect();
        orders.retain(|order| firm.until.is_none_or(|until| order.release_day <= until));
        made += orders.iter().filter(|order| order.version.is_some()).count();
        bought += orders.iter().filter(|order| order.version.is_none()).count();
        let mut parts: Vec<Vec<api::OrderToFirm>> = orders.chunks(ORDERS_MAX).map(<[_]>::to_vec).collect();
        // Without any order it is firmed all the same: from now on its demand counts.
        let last = parts.pop().unwrap_or_default();
        // An answer that is cut and has nothing to order for the days that were asked for would be the same again.
        let is_last = !found.orders_truncated || (parts.is_empty() && last.is_empty());
        for (part, orders) in (0_u64..).zip(parts) {
            send(context, part_id(id, found.computed_at, part), command(&firm, &found, plan.plan_id, orders, true))
                .await?;
        }
        if is_last {
            let last = command(&firm, &found, plan.plan_id, last, false);
            context.execute(Key { id: Some(id) }, Body::FirmPlan(last)).await?;
            if context.prints_json() {
                return Ok(());
            }
            print(&format!("{made} to make, {bought} to buy"))?;
            return if found.orders_truncated {
                print("… and more, which begin later or were not looked at")
            } else {
                Ok(())
            };
        }
        send(context, part_id(id, found.computed_at, u64::MAX), command(&firm, &found, plan.plan_id, last, true))
            .await?;
    }
}

/// Whether an earlier answer is that of firming the plan which is named now. What a command was that was refused
/// is told by its reason alone, and only firming is refused for being outdated.
async fn was_this(context: &Context, firm: &Firm, result: &api::CommandResult) -> Result<bool, CliError> {
    if result.rejection != 0 {
        return Ok(result.rejection() == api::Rejection::PlanOutdated);
    }
    let Some(position) = result.position else { return Ok(false) };
    let events = context.events_from(position.sequence).await?;
    let firmed = events.into_iter().rev().find_map(|event| match event.body {
        Some(api::event::Body::PlanFirmed(firmed)) => firmed.plan,
        _ => None,
    });
    // A plan that is closed by now is in no list of plans.
    Ok(firmed.is_some_and(|plan| firm.plan == plan.name || firm.plan.parse::<u64>() == Ok(plan.plan_id)))
}

async fn calculate(
    context: &mut Context,
    firm: &Firm,
    plan: &api::ProductionPlan,
) -> Result<api::GetRequirementsResponse, CliError> {
    let request = api::GetRequirementsRequest {
        plant_id: plan.plant_id,
        plan_id: plan.plan_id,
        planning_day: firm.on,
        versions: firm.trial.read(context).await?,
        pegs_max: PEGS_MAX,
        parts: vec![Part::Orders.into()],
        ..Default::default()
    };
    Ok(context.client.get_requirements(request).await?)
}

fn command(
    firm: &Firm,
    found: &api::GetRequirementsResponse,
    plan_id: u64,
    orders: Vec<api::OrderToFirm>,
    more: bool,
) -> api::FirmPlan {
    let over_issue = if firm.allow_over_issue { api::OverIssue::Warn } else { api::OverIssue::Refuse };
    api::FirmPlan {
        plan_id,
        computed_at: found.computed_at,
        location_id: firm.location,
        output_id: firm.output_location,
        backflush: firm.backflush,
        over_issue: over_issue.into(),
        orders,
        more,
    }
}

/// What an order is for, as far as that is lines of plans.
fn to_firm(order: &api::PlannedOrder) -> api::OrderToFirm {
    use api::requirement_peg::Cause;
    let of_line = |peg: &api::RequirementPeg| match peg.cause {
        Some(Cause::PlanLine(api::PlanLine { plan_id, line_id })) => {
            Some(api::DemandPeg { plan_id, line_id, quantity: peg.quantity })
        }
        _ => None,
    };
    api::OrderToFirm {
        item_id: order.item_id,
        version: order.version,
        quantity: order.quantity,
        release_day: order.release_day,
        due_day: order.due_day,
        pegs: order.pegs.iter().filter_map(of_line).collect(),
    }
}

fn part_id(id: CommandId, computed_at: u64, part: u64) -> CommandId {
    derived_id(&[b"firm", &id_to_bytes(id), &computed_at.to_le_bytes(), &part.to_le_bytes()])
}

/// Sends a part of a calculation that others follow.
async fn send(context: &mut Context, id: CommandId, firm: api::FirmPlan) -> Result<(), CliError> {
    let command = api::Command { id: id_to_bytes(id), linked: false, body: Some(Body::FirmPlan(firm)) };
    let result = context.client.execute(command).await?;
    match result.rejection {
        0 => Ok(()),
        reason => Err(CliError::Rejected(super::super::words::rejection(reason))),
    }
}
