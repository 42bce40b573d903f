//! Brings a catalogue into the ledger: what it has is looked at, what is missing or differs is sent.
//!
//! Nothing is sent before everything is checked that can be ([`check`](super::check)). What the ledger refuses
//! all the same is told with what was done until then; the same files again take up where it ended.

use std::collections::{BTreeMap, BTreeSet};

use api::command::Body;
use prost::Message as _;

use super::catalogue::{Catalogue, Decimal, Line, Part, PartKey, written};
use super::check;
use super::known::Known;
use crate::cli::{CliError, dates};
use crate::client::{Client, ClientError, api, derived_id, id_to_bytes, random_id};
use crate::core::decimal::DecimalError;
use crate::core::types::{Code, CommandId};

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

/// What was done, or is to be done.
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

impl Counts {
    fn done(&self) -> String {
        format!(
            "{} assets created, {} items defined, {} bills of materials defined, {} balances counted",
            self.assets, self.items, self.boms, self.counted
        )
    }
}

/// A command and what it is about, for people.
struct Step {
    about: String,
    id: CommandId,
    body: Body,
}

/// All that is to be sent, in this order.
struct Work {
    /// The currency and the plant with its accounts, where there are none.
    ground: Vec<Step>,
    assets: Vec<Step>,
    items: Vec<Step>,
    boms: Vec<Step>,
    stock: Vec<Step>,
    counts: Counts,
}

impl Step {
    fn new(about: impl Into<String>, body: Body) -> Self {
        Self { about: about.into(), id: random_id(), body }
    }

    /// The same under the next key: each key has one answer for ever.
    fn anew(&self) -> Self {
        let id = derived_id(&[b"anew", &self.id.0.to_le_bytes()]);
        Self { about: self.about.clone(), id, body: self.body.clone() }
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

/// What the parts of the files are in the ledger.
#[derive(Debug)]
pub struct Parts {
    /// The asset of each.
    pub ids: BTreeMap<PartKey, u32>,
    /// Its decimal places.
    pub scales: BTreeMap<PartKey, u32>,
}

impl Parts {
    /// A part is the asset of the id that follows from what it is known by, as an import before made it; else
    /// the one of its name that somebody made by hand; else a new one.
    fn find(catalogue: &Catalogue, known: &Known) -> Result<Self, CliError> {
        let mut parts = Self { ids: BTreeMap::new(), scales: BTreeMap::new() };
        for (key, part) in &catalogue.parts {
            let (own, name) = (asset_of(key), written(&part.name));
            let by_hand = known.asset_of_code(&name).filter(|asset| asset.asset_id & DERIVED == 0);
            let found = known.assets.get(&own).or(by_hand);
            if let Some(asset) = found.filter(|asset| asset.asset_id != own) {
                let same = catalogue.parts.values().filter(|other| written(&other.name) == name).count();
                if same > 1 {
                    let reason = format!("{same} parts of the files are called {name}, and there is one asset {name}");
                    return Err(CliError::Check(format!("{reason}: give them names of their own")));
                }
                if asset.kind == currency_kind() {
                    return Err(CliError::Check(format!("{name} is a currency, and a part of the files")));
                }
            }
            parts.ids.insert(key.clone(), found.map_or(own, |asset| asset.asset_id));
            parts.scales.insert(key.clone(), found.map_or(part.places, |asset| asset.scale));
        }
        Ok(parts)
    }
}

impl Wanted {
    /// Brings it all into the ledger.
    pub async fn bring(&self, client: &Client, catalogue: &Catalogue) -> Result<Counts, CliError> {
        let mut known = Known::look(client).await?;
        let parts = Parts::find(catalogue, &known)?;
        let products = catalogue.boms.keys().map(|key| parts.ids[key]).collect();
        known.look_at_boms(client, &products, parts.ids.values().copied()).await?;
        self.prepare(catalogue, &parts, &known)?.carry_out(client).await
    }

    /// What there is to be done, checked.
    fn prepare(&self, catalogue: &Catalogue, parts: &Parts, known: &Known) -> Result<Work, CliError> {
        let mut ground = Vec::new();
        let currency = self.currency(known, &mut ground);
        let plant = self.plant(known, &mut ground)?;
        let location_id = match self.location {
            None => plant.location_ids.first().copied().unwrap_or_default(),
            Some(location) if plant.location_ids.contains(&location) => location,
            Some(location) => {
                let reason = format!("account {location} is no location of plant {}", plant.name);
                return Err(CliError::Usage { option: "--location", reason });
            }
        };
        let mut counts = Counts { plant_id: plant.plant_id, location_id, ..Counts::default() };
        let assets = assets(catalogue, parts, known);
        let items = self.items(catalogue, parts, known, &currency)?;
        counts.unchanged += catalogue.parts.len() - items.len();
        let boms = self.boms(catalogue, parts, known, &mut counts)?;
        check::bills(catalogue, parts, known, &boms)?;
        check::currencies(catalogue, parts, known, &currency)?;
        let define = |(about, bom)| Step::new(format!("the bill of materials of {about}"), Body::DefineBom(bom));
        let boms = boms.into_iter().map(define).collect();
        let stock = self.count(catalogue, parts, location_id)?;
        Ok(Work { ground, assets, items, boms, stock, counts })
    }

    /// The currency, added where there is none.
    fn currency(&self, known: &Known, ground: &mut Vec<Step>) -> api::Asset {
        let id: Option<u32> = self.currency.parse().ok();
        let named = |asset: &&api::Asset| id.map_or(asset.code == self.currency, |id| asset.asset_id == id);
        if let Some(asset) = known.assets.values().find(named) {
            return asset.clone();
        }
        let (asset_id, code, kind) = (number(&["currency", &self.currency]), self.currency.clone(), currency_kind());
        let new = api::CreateAsset { asset_id, code: code.clone(), scale: CURRENCY_SCALE, kind };
        ground.push(Step::new(&code, Body::CreateAsset(new)));
        api::Asset { asset_id, code, scale: CURRENCY_SCALE, kind }
    }

    /// The plant, added with accounts of its own where there is none.
    fn plant(&self, known: &Known, ground: &mut Vec<Step>) -> Result<api::Plant, CliError> {
        let id: Option<u32> = self.plant.parse().ok();
        let named = |plant: &&api::Plant| id.map_or(plant.name == self.plant, |id| plant.plant_id == id);
        if let Some(plant) = known.plants.iter().find(named) {
            return Ok(plant.clone());
        }
        let name = self.plant.as_str();
        if id.is_some() || Code::new(name).is_none() {
            let reason = format!("there is no plant {name}, and none can have that name");
            return Err(CliError::Usage { option: "--plant", reason });
        }
        let [production, scrap, adjustment, location] =
            ["production", "scrap", "adjustment", "location"].map(|what| u64::from(number(&["account", name, what])));
        // Each has a key of its own, so that an import which ended between them can go on.
        let account = |account_id: u64, issuer| {
            let id = derived_id(&[b"import account", &account_id.to_le_bytes()]);
            let account = api::CreateAccount { account_id, issuer, ..api::CreateAccount::default() };
            Step { about: format!("account {account_id}"), id, body: Body::CreateAccount(account) }
        };
        let plant = api::DefinePlant {
            plant_id: number(&["plant", name]),
            name: name.to_owned(),
            production_account_id: production,
            scrap_account_id: scrap,
            adjustment_account_id: adjustment,
            location_ids: vec![location],
        };
        let issuers = [production, scrap, adjustment].map(|id| account(id, true));
        ground.extend(issuers.into_iter().chain([account(location, false)]));
        let (plant_id, location_ids) = (plant.plant_id, plant.location_ids.clone());
        ground.push(Step::new(name, Body::DefinePlant(plant)));
        Ok(api::Plant { plant_id, name: name.to_owned(), location_ids, ..api::Plant::default() })
    }

    /// The items that are not as the files say.
    fn items(
        &self,
        catalogue: &Catalogue,
        parts: &Parts,
        known: &Known,
        currency: &api::Asset,
    ) -> Result<Vec<Step>, CliError> {
        let mut steps = Vec::new();
        for (key, part) in &catalogue.parts {
            let before = known.items.get(&parts.ids[key]);
            let item = self.item(key, part, catalogue, before, parts, currency)?;
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
        parts: &Parts,
        currency: &api::Asset,
    ) -> Result<api::DefineItem, CliError> {
        let made = catalogue.boms.contains_key(key);
        let fresh = api::DefineItem {
            asset_id: parts.ids[key],
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
            item.reorder_point = decimal(&part.name, reorder_point, parts.scales[key])?;
        }
        Ok(item)
    }

    /// A version for every bill of materials that is not as the files say, with its product's name.
    fn boms(
        &self,
        catalogue: &Catalogue,
        parts: &Parts,
        known: &Known,
        counts: &mut Counts,
    ) -> Result<Vec<(String, api::DefineBom)>, CliError> {
        let mut boms = Vec::new();
        for (key, lines) in &catalogue.boms {
            let output = 10_u64.pow(parts.scales[key]);
            let name = &catalogue.parts[key].name;
            let wanted = lines.iter().map(|line| bom_line(name, line, parts)).collect::<Result<Vec<_>, _>>()?;
            let product_id = parts.ids[key];
            let before = known.boms_of(product_id);
            let in_effect = before.iter().filter(|bom| bom.from_day <= self.from_day).max_by_key(|bom| bom.from_day);
            if in_effect.is_some_and(|bom| (bom.output, &bom.lines) == (output, &wanted)) {
                counts.unchanged += 1;
                continue;
            }
            if before.iter().any(|bom| bom.from_day == self.from_day) {
                let day = dates::format(self.from_day);
                let reason = format!("a version of the bill of materials of {name} begins on {day}: name another day");
                return Err(CliError::Usage { option: "--from", reason });
            }
            let version = before.iter().map(|bom| bom.version).max().map_or(1, |last| last + 1);
            let (from_day, lines) = (self.from_day, wanted);
            let bom = api::DefineBom { product_id, version, from_day, output, lines, ..api::DefineBom::default() };
            boms.push((name.clone(), bom));
        }
        Ok(boms)
    }

    /// Counts what the files say is there.
    fn count(&self, catalogue: &Catalogue, parts: &Parts, location_id: u64) -> Result<Vec<Step>, CliError> {
        let mut steps = Vec::new();
        for (key, part) in &catalogue.parts {
            let Some(counted) = &part.counted else { continue };
            let count = api::CountStock {
                location_id,
                asset_id: parts.ids[key],
                counted: decimal(&part.name, counted, parts.scales[key])?,
                lot: String::new(),
                reason: "IMPORT".to_owned(),
            };
            let id = derived_id(&[b"count", &self.counts_key, &count.encode_to_vec()]);
            steps.push(Step { about: part.name.clone(), id, body: Body::CountStock(count) });
        }
        Ok(steps)
    }
}

impl Work {
    async fn carry_out(self, client: &Client) -> Result<Counts, CliError> {
        let mut counts = self.counts;
        send(client, self.ground, &mut counts, |_, _| ()).await?;
        send(client, self.assets, &mut counts, |counts, _| counts.assets += 1).await?;
        send(client, self.items, &mut counts, |counts, _| counts.items += 1).await?;
        send(client, self.boms, &mut counts, |counts, _| counts.boms += 1).await?;
        let count = |counts: &mut Counts, before| if before { counts.unchanged += 1 } else { counts.counted += 1 };
        send(client, self.stock, &mut counts, count).await?;
        Ok(counts)
    }
}

/// The assets that are not there.
fn assets(catalogue: &Catalogue, parts: &Parts, known: &Known) -> Vec<Step> {
    let is_there = |key: &&PartKey| known.assets.contains_key(&parts.ids[*key]);
    let there: BTreeSet<PartKey> = catalogue.parts.keys().filter(is_there).cloned().collect();
    let taken: BTreeSet<String> = known.assets.values().map(|asset| asset.code.clone()).collect();
    let codes = catalogue.codes(&there, &taken);
    let new = |(key, code): (&PartKey, &String)| {
        let made = catalogue.boms.contains_key(key);
        let kind = if made { api::AssetKind::Product } else { api::AssetKind::Material }.into();
        let (asset_id, scale) = (parts.ids[key], parts.scales[key]);
        let new = api::CreateAsset { asset_id, code: code.clone(), scale, kind };
        Step::new(&catalogue.parts[key].name, Body::CreateAsset(new))
    };
    codes.iter().map(new).collect()
}

fn currency_kind() -> i32 {
    api::AssetKind::Currency.into()
}

fn bom_line(product: &str, line: &Line, parts: &Parts) -> Result<api::BomLine, CliError> {
    let quantity = decimal(product, &line.quantity, parts.scales[&line.component])?;
    let component_id = parts.ids[&line.component];
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

/// Sends commands in their order; of each that was carried out `count` learns whether it had been before.
async fn send(
    client: &Client,
    mut steps: Vec<Step>,
    counts: &mut Counts,
    count: impl Fn(&mut Counts, bool),
) -> Result<(), CliError> {
    while !steps.is_empty() {
        let mut refused_before = Vec::new();
        for steps in steps.chunks(BATCH) {
            refused_before.extend(send_once(client, steps, counts, &count).await?);
        }
        steps = refused_before;
    }
    Ok(())
}

/// Sends commands once. Those whose answer is an earlier import's refusal are given back, to be sent anew: what
/// was refused may have been mended since.
async fn send_once(
    client: &Client,
    steps: &[Step],
    counts: &mut Counts,
    count: impl Fn(&mut Counts, bool),
) -> Result<Vec<Step>, CliError> {
    let command = |step: &Step| api::Command { id: id_to_bytes(step.id), linked: false, body: Some(step.body.clone()) };
    let commands = steps.iter().map(command).collect();
    let results = client.submit(api::SubmitRequest { commands }).await;
    let results = results.map_err(|error| interrupted(&error.to_string(), counts))?.results;
    if results.len() != steps.len() {
        return Err(ClientError::Protocol("an answer with another number of results".to_owned()).into());
    }
    // Those behind one that was refused were carried out as well: they are no chain.
    let (mut refused, mut refused_before) = (None, Vec::new());
    for (step, result) in steps.iter().zip(results) {
        if result.rejection == 0 {
            count(counts, result.duplicate);
        } else if result.duplicate {
            refused_before.push(step.anew());
        } else {
            refused = refused.or(Some((&step.about, result.rejection())));
        }
    }
    if let Some((about, reason)) = refused {
        let reason = reason.as_str_name().trim_start_matches("REJECTION_");
        return Err(CliError::Rejected(format!("{about}: {reason}; {}", resume(counts))));
    }
    Ok(refused_before)
}

fn interrupted(error: &str, counts: &Counts) -> CliError {
    CliError::Check(format!("{error}; {}", resume(counts)))
}

/// What to do when an import ended in the middle.
fn resume(counts: &Counts) -> String {
    format!("until then: {}. The same files again go on from there, once what is refused is mended", counts.done())
}
