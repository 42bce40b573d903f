//! A planner beside the load: a plant of thousands of items, whose requirements are calculated again and again.
//! What that costs those who trade shows in their latencies.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::workload::MONEY_ASSET;
use crate::cli::CliError;
use crate::cli::random::Random;
use crate::client::{Client, api, derived_id, id_to_bytes};
use api::command::Body;

/// Items of the plant.
const ITEMS: u64 = 5_000;
/// Levels of bills of materials below its products.
const DEPTH: u64 = 10;
const PER_LEVEL: u64 = ITEMS / (DEPTH + 1);
/// The first item, of those that no other load has.
const FIRST_ITEM: u32 = 920_000;
const PLANT: u32 = 900_002;
const SHELF: u64 = 899_904;
const WORKS: u64 = 899_905;
/// Commands of one request.
const BATCH: usize = 500;
/// Lines of one command, and of one plan, the most that the API takes.
const COMMAND_LINES: u32 = 1_000;
const PLAN_LINES: u32 = 10_000;
/// The days on which demand is due; the planning day is 0.
const DUE: std::ops::Range<u64> = 20..365;

/// A plant with plans.
#[derive(Debug)]
pub struct Planner {
    client: Client,
    lines: u32,
}

/// What the planner met.
#[derive(Debug, Clone, Serialize)]
pub struct Planned {
    /// Lines of demand of each calculation.
    pub lines: u32,
    /// Calculations that began while it was measured.
    pub calculations: u32,
    /// The longest, from asking to the whole answer, in milliseconds.
    pub longest_ms: u64,
}

impl Planner {
    /// Makes the plant with firmed plans of so many lines, or finds them made.
    pub async fn prepare(client: Client, lines: u32) -> Result<Self, CliError> {
        let planner = Self { client, lines };
        planner.define().await?;
        for (number, first) in (0_u32..).zip((0..lines).step_by(PLAN_LINES as usize)) {
            planner.plan(number, PLAN_LINES.min(lines - first)).await?;
        }
        Ok(planner)
    }

    /// Calculates everything that the plans require, again and again until then.
    pub async fn run(&self, start: Instant, end: Instant) -> Result<Planned, CliError> {
        let mut planned = Planned { lines: self.lines, calculations: 0, longest_ms: 0 };
        while Instant::now() < end {
            let begin = Instant::now();
            self.client.get_requirements(api::GetRequirementsRequest { plant_id: PLANT, ..Default::default() }).await?;
            if begin >= start {
                planned.calculations += 1;
                planned.longest_ms = planned.longest_ms.max(milliseconds(begin.elapsed()));
            }
        }
        Ok(planned)
    }

    async fn define(&self) -> Result<(), CliError> {
        let account =
            |account_id, issuer| Body::CreateAccount(api::CreateAccount { account_id, issuer, ..Default::default() });
        let plant = api::DefinePlant {
            plant_id: PLANT,
            name: "BENCH-PLANNED".to_owned(),
            production_account_id: WORKS,
            scrap_account_id: WORKS,
            adjustment_account_id: WORKS,
            location_ids: vec![SHELF],
        };
        let mut bodies = vec![account(SHELF, false), account(WORKS, true), Body::DefinePlant(plant)];
        let mut random = Random::new(1);
        bodies.extend((0..ITEMS).map(|number| {
            Body::CreateAsset(api::CreateAsset {
                asset_id: id_of(number),
                code: format!("BENCH-ITEM-{number}"),
                scale: 0,
                kind: api::AssetKind::Material.into(),
            })
        }));
        bodies.extend((0..ITEMS).map(|number| Body::DefineItem(item(number, &mut random))));
        // What is used is defined before what it is used in.
        let made = (0..PER_LEVEL * DEPTH).rev();
        bodies.extend(made.map(|number| Body::DefineBom(bom(number, &mut random))));
        let named: Vec<(String, Body)> =
            (0..).zip(bodies).map(|(place, body): (u32, _)| (place.to_string(), body)).collect();
        for part in named.chunks(BATCH) {
            self.send(part).await?;
        }
        Ok(())
    }

    async fn plan(&self, number: u32, lines: u32) -> Result<(), CliError> {
        let name = |part: &str| format!("plan {number} of {} {part}", self.lines);
        let create = api::CreatePlan { plant_id: PLANT, name: format!("BENCH-{number}") };
        let plan_id = self.send(&[(name("create"), Body::CreatePlan(create))]).await?;
        let mut random = Random::new(u64::from(number) + 2);
        let mut computed_at = plan_id;
        for first in (0..lines).step_by(COMMAND_LINES as usize) {
            let of_command = first..lines.min(first + COMMAND_LINES);
            let set = of_command.map(|line| demand(line, &mut random)).collect();
            let set = api::SetPlanLines { plan_id, set, remove_line_ids: Vec::new() };
            computed_at = self.send(&[(name(&first.to_string()), Body::SetPlanLines(set))]).await?;
        }
        // Without any order: its demand counts from now on.
        let firm = api::FirmPlan { plan_id, computed_at, location_id: SHELF, ..Default::default() };
        self.send(&[(name("firm"), Body::FirmPlan(firm))]).await.map(drop)
    }

    /// Sends commands, each under an id of its name; returns the first one's sequence.
    async fn send(&self, named: &[(String, Body)]) -> Result<u64, CliError> {
        let command = |(name, body): &(String, Body)| api::Command {
            id: id_to_bytes(derived_id(&[b"bench planner", name.as_bytes()])),
            linked: false,
            body: Some(body.clone()),
        };
        let commands = named.iter().map(command).collect();
        let answer = self.client.submit(api::SubmitRequest { commands }).await?;
        if let Some(result) = answer.results.iter().find(|result| result.rejection != 0) {
            return Err(CliError::Rejected(format!("preparing the plans: {}", result.rejection().as_str_name())));
        }
        let first = answer.results.first().and_then(|result| result.position);
        Ok(first.map_or(0, |position| position.sequence))
    }
}

fn id_of(number: u64) -> u32 {
    FIRST_ITEM + u32::try_from(number).unwrap_or_default()
}

fn item(number: u64, random: &mut Random) -> api::DefineItem {
    let is_made = number < PER_LEVEL * DEPTH;
    let source = if is_made { api::Source::Make } else { api::Source::Buy };
    let lead_days = 1 + random.below(20);
    api::DefineItem {
        asset_id: id_of(number),
        source: source.into(),
        lead_days: if is_made { 0 } else { u32::try_from(lead_days).unwrap_or_default() },
        safety_stock: random.below(50),
        standard_cost: 1,
        currency_asset_id: MONEY_ASSET,
        ..Default::default()
    }
}

/// One component of the next level keeps the depth, the others come from anywhere below.
fn bom(number: u64, random: &mut Random) -> api::DefineBom {
    let next_level = (number / PER_LEVEL + 1) * PER_LEVEL;
    let mut lines = Vec::new();
    for place in 0..2 + random.below(4) {
        let range = if place == 0 { PER_LEVEL } else { ITEMS - next_level };
        let component_id = id_of(next_level + random.below(range));
        lines.push(api::BomLine { component_id, quantity: 1 + random.below(3), ..Default::default() });
    }
    let operation = api::Operation {
        work_centre: "CELL".to_owned(),
        setup_seconds: 1_800,
        run_seconds: u32::try_from(random.below(60)).unwrap_or_default(),
        lead_days: 1,
        ..Default::default()
    };
    api::DefineBom {
        product_id: id_of(number),
        version: 1,
        output: 1,
        lines,
        operations: vec![operation],
        ..Default::default()
    }
}

/// Of ten lines nine are for products, the others for spare parts.
fn demand(line: u32, random: &mut Random) -> api::DemandLine {
    let number = if random.below(10) < 9 { random.below(PER_LEVEL) } else { random.below(ITEMS) };
    let due = DUE.start + random.below(DUE.end - DUE.start);
    api::DemandLine {
        line_id: line,
        product_id: id_of(number),
        quantity: 1 + random.below(20),
        due_day: i32::try_from(due).unwrap_or_default(),
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
