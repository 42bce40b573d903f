//! Brings a catalogue into the ledger: what it has is looked at, what is missing or differs is sent.

use std::collections::{BTreeMap, BTreeSet};

use api::command::Body;
use prost::Message as _;

use super::catalogue::{Catalogue, Decimal, Line, Part, PartKey};
use crate::cli::CliError;
use crate::client::{Client, ClientError, api, derived_id, id_to_bytes, random_id};
use crate::core::decimal::DecimalError;
use crate::core::types::CommandId;

/// Commands of one request.
const BATCH: usize = 500;
/// Decimal places of a currency that is added.
const CURRENCY_SCALE: u32 = 2;
/// Ids that are made of names have this bit, and those that people choose mostly have not.
const DERIVED: u32 = 1 << 30;

/// What is wanted besides what the files say.
#[derive(Debug)]
pub struct Wanted {
    /// The plant's name or id.
    pub plant: String,
    /// Where stock is counted.
    pub location: Option<u64>,
    /// What costs are counted in.
    pub currency: String,
    /// Of what is bought and was not known.
    pub lead_days: u32,
    /// Of items that were not known.
    pub lot_tracked: bool,
    /// Of new bills of materials.
    pub from_day: i32,
    /// What the keys of counts are made of.
    pub counts_key: Vec<u8>,
}

/// What was done.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// The plant.
    pub plant_id: u32,
    /// Where stock is counted.
    pub location_id: u64,
    /// Assets created.
    pub assets: usize,
    /// Items defined, or defined anew.
    pub items: usize,
    /// Versions of bills of materials defined.
    pub boms: usize,
    /// Balances counted.
    pub counted: usize,
    /// What there was already.
    pub unchanged: usize,
}

/// A command and what it is about, for people.
struct Step {
    about: String,
    id: CommandId,
    body: Body,
}

impl Step {
    fn new(about: impl Into<String>, body: Body) -> Self {
        Self { about: about.into(), id: random_id(), body }
    }
}

/// The number that follows from a name.
fn number(parts: &[&str]) -> u32 {
    let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
    derived_id(&parts).0 as u32 & (DERIVED - 1) | DERIVED
}

/// The asset that a part is.
fn asset_of(key: &PartKey) -> u32 {
    number(&["asset", key.0, &key.1])
}

fn decimal(about: &str, number: &Decimal, scale: u32) -> Result<u64, CliError> {
    let wrong = |error: DecimalError| CliError::Check(format!("{about}: {error}"));
    number.at(scale).map_err(wrong)
}

impl Wanted {
    /// Brings it all into the ledger.
    pub async fn bring(&self, client: &Client, catalogue: &Catalogue) -> Result<Counts, CliError> {
        let mut counts = Counts::default();
        let known = every_asset(client).await?;
        let currency = self.currency(client, &known).await?;
        let scales = assets(client, catalogue, &known, &mut counts).await?;
        let plant = self.plant(client).await?;
        counts.plant_id = plant.plant_id;
        counts.location_id = match self.location {
            Some(location) => location,
            None => plant.location_ids.first().copied().unwrap_or_default(),
        };
        let items = self.items(client, catalogue, &scales, &currency).await?;
        counts.unchanged += catalogue.parts.len() - items.len();
        counts.items = items.len();
        send(client, items).await?;
        self.boms(client, catalogue, &scales, &mut counts).await?;
        self.count(client, catalogue, &scales, &mut counts).await?;
        Ok(counts)
    }

    /// The currency, added where there is none.
    async fn currency(&self, client: &Client, known: &BTreeMap<u32, api::Asset>) -> Result<api::Asset, CliError> {
        let id: Option<u32> = self.currency.parse().ok();
        let named = |asset: &&api::Asset| id.map_or(asset.code == self.currency, |id| asset.asset_id == id);
        if let Some(asset) = known.values().find(named) {
            return Ok(asset.clone());
        }
        let (asset_id, code, kind) = (number(&["currency", &self.currency]), self.currency.clone(), currency_kind());
        let new = api::CreateAsset { asset_id, code: code.clone(), scale: CURRENCY_SCALE, kind };
        send(client, vec![Step::new(&code, Body::CreateAsset(new))]).await?;
        Ok(api::Asset { asset_id, code, scale: CURRENCY_SCALE, kind })
    }

    /// The plant, added with accounts of its own where there is none.
    async fn plant(&self, client: &Client) -> Result<api::Plant, CliError> {
        let id: Option<u32> = self.plant.parse().ok();
        let named = |plant: &&api::Plant| id.map_or(plant.name == self.plant, |id| plant.plant_id == id);
        if let Some(plant) = every_plant(client).await?.iter().find(named) {
            return Ok(plant.clone());
        }
        let name = self.plant.as_str();
        let [production, scrap, adjustment, location] =
            ["production", "scrap", "adjustment", "location"].map(|what| u64::from(number(&["account", name, what])));
        let account = |account_id, issuer| {
            let account = api::CreateAccount { account_id, issuer, ..api::CreateAccount::default() };
            Step::new(format!("account {account_id}"), Body::CreateAccount(account))
        };
        let plant = api::DefinePlant {
            plant_id: number(&["plant", name]),
            name: name.to_owned(),
            production_account_id: production,
            scrap_account_id: scrap,
            adjustment_account_id: adjustment,
            location_ids: vec![location],
        };
        let mut steps = vec![account(production, true), account(scrap, true), account(adjustment, true)];
        steps.push(account(location, false));
        let (plant_id, location_ids) = (plant.plant_id, plant.location_ids.clone());
        steps.push(Step::new(name, Body::DefinePlant(plant)));
        send(client, steps).await?;
        Ok(api::Plant { plant_id, location_ids, ..api::Plant::default() })
    }

    /// The items that are not as the files say.
    async fn items(
        &self,
        client: &Client,
        catalogue: &Catalogue,
        scales: &BTreeMap<PartKey, u32>,
        currency: &api::Asset,
    ) -> Result<Vec<Step>, CliError> {
        let known = every_item(client).await?;
        let mut steps = Vec::new();
        for (key, part) in &catalogue.parts {
            let before = known.get(&asset_of(key));
            let item = self.item(key, part, catalogue, before, scales[key], currency)?;
            if before.map(definition).as_ref() != Some(&item) {
                steps.push(Step::new(&part.name, Body::DefineItem(item)));
            }
        }
        Ok(steps)
    }

    /// An item as it is to be: what no file says stays as it was.
    fn item(
        &self,
        key: &PartKey,
        part: &Part,
        catalogue: &Catalogue,
        before: Option<&api::Item>,
        scale: u32,
        currency: &api::Asset,
    ) -> Result<api::DefineItem, CliError> {
        let made = catalogue.boms.contains_key(key);
        let fresh = api::DefineItem {
            asset_id: asset_of(key),
            source: api::Source::Buy.into(),
            lead_days: if made { 0 } else { self.lead_days },
            currency_asset_id: currency.asset_id,
            lot_tracked: self.lot_tracked,
            ..api::DefineItem::default()
        };
        let mut item = before.map_or(fresh, definition);
        if made {
            item.source = api::Source::Make.into();
        }
        if let Some(cost) = &part.cost {
            item.standard_cost = decimal(&part.name, cost, currency.scale)?;
        }
        if let Some(reorder_point) = &part.reorder_point {
            item.reorder_point = decimal(&part.name, reorder_point, scale)?;
        }
        Ok(item)
    }

    /// Adds a version to every bill of materials that is not as the files say.
    async fn boms(
        &self,
        client: &Client,
        catalogue: &Catalogue,
        scales: &BTreeMap<PartKey, u32>,
        counts: &mut Counts,
    ) -> Result<(), CliError> {
        let mut steps = Vec::new();
        for (key, lines) in &catalogue.boms {
            let output = 10_u64.pow(scales[key]);
            let name = &catalogue.parts[key].name;
            let wanted = lines.iter().map(|line| bom_line(name, line, scales)).collect::<Result<Vec<_>, _>>()?;
            let product_id = asset_of(key);
            let last = every_bom(client, product_id).await?.into_iter().max_by_key(|bom| bom.version);
            if last.as_ref().is_some_and(|bom| (bom.output, &bom.lines) == (output, &wanted)) {
                counts.unchanged += 1;
                continue;
            }
            let version = last.map_or(1, |bom| bom.version + 1);
            let (from_day, lines) = (self.from_day, wanted);
            let bom = api::DefineBom { product_id, version, from_day, output, lines, ..api::DefineBom::default() };
            steps.push(Step::new(format!("the bill of materials of {name}"), Body::DefineBom(bom)));
        }
        counts.boms = steps.len();
        send(client, steps).await.map(drop)
    }

    /// Counts what the files say is there.
    async fn count(
        &self,
        client: &Client,
        catalogue: &Catalogue,
        scales: &BTreeMap<PartKey, u32>,
        counts: &mut Counts,
    ) -> Result<(), CliError> {
        let mut steps = Vec::new();
        for (key, part) in &catalogue.parts {
            let Some(counted) = &part.counted else { continue };
            let count = api::CountStock {
                location_id: counts.location_id,
                asset_id: asset_of(key),
                counted: decimal(&part.name, counted, scales[key])?,
                lot: String::new(),
                reason: "IMPORT".to_owned(),
            };
            let id = derived_id(&[b"count", &self.counts_key, &count.encode_to_vec()]);
            steps.push(Step { about: part.name.clone(), id, body: Body::CountStock(count) });
        }
        let sent = steps.len();
        let before = send(client, steps).await?;
        counts.counted = sent - before;
        counts.unchanged += before;
        Ok(())
    }
}

/// Adds the assets that are not there; answers the scale of each part.
async fn assets(
    client: &Client,
    catalogue: &Catalogue,
    known: &BTreeMap<u32, api::Asset>,
    counts: &mut Counts,
) -> Result<BTreeMap<PartKey, u32>, CliError> {
    let there: BTreeSet<PartKey> =
        catalogue.parts.keys().filter(|key| known.contains_key(&asset_of(key))).cloned().collect();
    let taken: BTreeSet<String> = known.values().map(|asset| asset.code.clone()).collect();
    let codes = catalogue.codes(&there, &taken);
    let mut scales = BTreeMap::new();
    let mut steps = Vec::new();
    for (key, part) in &catalogue.parts {
        let asset_id = asset_of(key);
        let scale = known.get(&asset_id).map_or(part.places, |asset| asset.scale);
        scales.insert(key.clone(), scale);
        if let Some(code) = codes.get(key) {
            let made = catalogue.boms.contains_key(key);
            let kind = if made { api::AssetKind::Product } else { api::AssetKind::Material }.into();
            let new = api::CreateAsset { asset_id, code: code.clone(), scale, kind };
            steps.push(Step::new(&part.name, Body::CreateAsset(new)));
        }
    }
    counts.assets = steps.len();
    send(client, steps).await?;
    Ok(scales)
}

fn currency_kind() -> i32 {
    api::AssetKind::Currency.into()
}

fn bom_line(product: &str, line: &Line, scales: &BTreeMap<PartKey, u32>) -> Result<api::BomLine, CliError> {
    let quantity = decimal(product, &line.quantity, scales[&line.component])?;
    let component_id = asset_of(&line.component);
    Ok(api::BomLine { component_id, quantity, optional: line.optional, ..api::BomLine::default() })
}

/// The command that makes an item what it is.
fn definition(item: &api::Item) -> api::DefineItem {
    api::DefineItem {
        asset_id: item.asset_id,
        source: item.source,
        lead_days: item.lead_days,
        lot_rule: item.lot_rule,
        safety_stock: item.safety_stock,
        reorder_point: item.reorder_point,
        standard_cost: item.standard_cost,
        currency_asset_id: item.currency_asset_id,
        lot_tracked: item.lot_tracked,
        phantom: item.phantom,
    }
}

/// Sends commands in their order; answers how many had been carried out before.
async fn send(client: &Client, steps: Vec<Step>) -> Result<usize, CliError> {
    let mut before = 0;
    for steps in steps.chunks(BATCH) {
        let command =
            |step: &Step| api::Command { id: id_to_bytes(step.id), linked: false, body: Some(step.body.clone()) };
        let commands = steps.iter().map(command).collect();
        let results = client.submit(api::SubmitRequest { commands }).await?.results;
        if results.len() != steps.len() {
            return Err(ClientError::Protocol("an answer with another number of results".to_owned()).into());
        }
        for (step, result) in steps.iter().zip(results) {
            if result.rejection != 0 {
                let reason = result.rejection().as_str_name().trim_start_matches("REJECTION_");
                return Err(CliError::Rejected(format!("{}: {reason}", step.about)));
            }
            before += usize::from(result.duplicate);
        }
    }
    Ok(before)
}

/// Every entry of a list, page by page.
macro_rules! every {
    ($client:expr, $call:ident, $items:ident, $request:ident { $($field:ident)? }) => {{
        let mut all = Vec::new();
        let mut token = String::new();
        loop {
            let page = Some(api::Page { size: 1_000, token, descending: false });
            let request = api::$request { $($field,)? page, ..api::$request::default() };
            let mut answer = $client.$call(request).await?;
            all.append(&mut answer.$items);
            token = answer.next_page_token;
            if token.is_empty() {
                break all;
            }
        }
    }};
}

async fn every_asset(client: &Client) -> Result<BTreeMap<u32, api::Asset>, CliError> {
    let all = every!(client, list_assets, assets, ListAssetsRequest {});
    Ok(all.into_iter().map(|asset| (asset.asset_id, asset)).collect())
}

async fn every_item(client: &Client) -> Result<BTreeMap<u32, api::Item>, CliError> {
    let all = every!(client, list_items, items, ListItemsRequest {});
    Ok(all.into_iter().map(|item| (item.asset_id, item)).collect())
}

async fn every_plant(client: &Client) -> Result<Vec<api::Plant>, CliError> {
    Ok(every!(client, list_plants, plants, ListPlantsRequest {}))
}

async fn every_bom(client: &Client, product_id: u32) -> Result<Vec<api::Bom>, CliError> {
    Ok(every!(client, list_boms, boms, ListBomsRequest { product_id }))
}
