//! A small plant for commands that drive a cluster: two parts, a product made of them, two locations. The
//! ids are fixed, so that a later run finds what an earlier one made.

use super::CliError;
use crate::client::{Client, api, derived_id, id_to_bytes};
use api::command::Body;

/// The plant, its items and its accounts.
#[derive(Debug, Clone, Copy)]
pub struct Works {
    /// What it is for; names and command ids are made of it.
    pub purpose: &'static str,
    /// The plant.
    pub plant: u32,
    /// What costs are counted in.
    pub money: u32,
    /// A part whose units are followed by lot number; two go into a product.
    pub tracked: u32,
    /// A part whose units are not; three and a loss of 10 % go into a product.
    pub plain: u32,
    /// What is made, followed by lot number.
    pub product: u32,
    /// The issuer of production, scrap and differences.
    pub issuer: u64,
    /// The issuer that parts come from.
    pub supplier: u64,
    /// Where parts are.
    pub shelf: u64,
    /// Where products go.
    pub yard: u64,
    /// How much of both parts there is at the beginning.
    pub parts: u64,
}

impl Works {
    /// Makes it, or finds it made. The currency has to be there.
    pub async fn prepare(&self, client: &Client) -> Result<(), CliError> {
        let command = |(name, body): (&str, Body)| {
            let id = id_to_bytes(derived_id(&[b"works", self.purpose.as_bytes(), name.as_bytes()]));
            api::Command { id, linked: false, body: Some(body) }
        };
        let commands = self.bodies().into_iter().map(command).collect();
        let answer = client.submit(api::SubmitRequest { commands }).await?;
        match answer.results.iter().find(|result| result.rejection != 0) {
            Some(result) => {
                Err(CliError::Rejected(format!("preparing the plant: {}", result.rejection().as_str_name())))
            }
            None => Ok(()),
        }
    }

    fn bodies(&self) -> Vec<(&'static str, Body)> {
        let prefix = self.purpose.to_uppercase();
        let asset = |asset_id, what: &str, kind: api::AssetKind| {
            let code = format!("{prefix}-{what}");
            Body::CreateAsset(api::CreateAsset { asset_id, code, scale: 0, kind: kind.into() })
        };
        let account = |account_id, issuer| {
            Body::CreateAccount(api::CreateAccount { account_id, issuer, ..api::CreateAccount::default() })
        };
        let item = |asset_id, source: api::Source, lot_tracked| {
            Body::DefineItem(api::DefineItem {
                asset_id,
                source: source.into(),
                standard_cost: 7,
                currency_asset_id: self.money,
                lot_tracked,
                ..api::DefineItem::default()
            })
        };
        let line = |component_id, quantity, attrition| api::BomLine {
            component_id,
            quantity,
            attrition,
            ..api::BomLine::default()
        };
        let bom = api::DefineBom {
            product_id: self.product,
            version: 1,
            output: 1,
            lines: vec![line(self.tracked, 2, 0), line(self.plain, 3, 100_000)],
            ..api::DefineBom::default()
        };
        let plant = api::DefinePlant {
            plant_id: self.plant,
            name: format!("{prefix}-WORKS"),
            production_account_id: self.issuer,
            scrap_account_id: self.issuer,
            adjustment_account_id: self.issuer,
            location_ids: vec![self.shelf, self.yard],
        };
        vec![
            ("tracked", asset(self.tracked, "PART-A", api::AssetKind::Material)),
            ("plain", asset(self.plain, "PART-B", api::AssetKind::Material)),
            ("product", asset(self.product, "PRODUCT", api::AssetKind::Product)),
            ("issuer", account(self.issuer, true)),
            ("supplier", account(self.supplier, true)),
            ("shelf", account(self.shelf, false)),
            ("yard", account(self.yard, false)),
            ("item tracked", item(self.tracked, api::Source::Buy, true)),
            ("item plain", item(self.plain, api::Source::Buy, false)),
            ("item product", item(self.product, api::Source::Make, true)),
            ("plant", Body::DefinePlant(plant)),
            ("bom", Body::DefineBom(bom)),
            ("parts tracked", self.receive(self.tracked, self.parts)),
            ("parts plain", self.receive(self.plain, self.parts)),
        ]
    }

    /// Parts come in.
    pub fn receive(&self, asset_id: u32, quantity: u64) -> Body {
        let (location_id, from_account_id, lot) = (self.shelf, self.supplier, String::new());
        Body::ReceiveStock(api::ReceiveStock { location_id, asset_id, quantity, from_account_id, lot })
    }

    /// A work order, from the shelf into the yard.
    pub fn create(&self, quantity: u64, backflush: bool) -> Body {
        Body::CreateWorkOrder(api::CreateWorkOrder {
            plant_id: self.plant,
            product_id: self.product,
            quantity,
            location_id: self.shelf,
            output_id: self.yard,
            start_day: 1,
            due_day: 2,
            backflush,
            ..api::CreateWorkOrder::default()
        })
    }

    /// Good units of a work order.
    pub fn complete(work_order_id: u64, good: u64) -> Body {
        Body::CompleteWorkOrder(api::CompleteWorkOrder { work_order_id, good, ..api::CompleteWorkOrder::default() })
    }

    /// A work order held, ended and the like.
    pub fn set(work_order_id: u64, change: api::WorkOrderChange) -> Body {
        Body::SetWorkOrder(api::SetWorkOrder { work_order_id, change: change.into() })
    }
}
