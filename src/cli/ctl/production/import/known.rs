//! What the ledger has of parts, looked at before anything is sent.

use std::collections::{BTreeMap, BTreeSet};

use crate::cli::CliError;
use crate::client::{Client, api};

/// What there is.
#[derive(Debug, Default)]
pub struct Known {
    /// Assets, by id.
    pub assets: BTreeMap<u32, api::Asset>,
    /// Items, by asset.
    pub items: BTreeMap<u32, api::Item>,
    /// Plants.
    pub plants: Vec<api::Plant>,
    /// Versions of bills of materials, by product, of what is made and was looked at.
    boms: BTreeMap<u32, Vec<api::Bom>>,
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

impl Known {
    /// Looks at everything but bills of materials.
    pub async fn look(client: &Client) -> Result<Self, CliError> {
        Ok(Self {
            assets: every_asset(client).await?,
            items: every_item(client).await?,
            plants: every_plant(client).await?,
            boms: BTreeMap::new(),
        })
    }

    /// Looks at the bills of materials of `products`, and of what else of `items` and below them is made.
    pub async fn look_at_boms(
        &mut self,
        client: &Client,
        products: &BTreeSet<u32>,
        items: impl Iterator<Item = u32>,
    ) -> Result<(), CliError> {
        let mut open: Vec<u32> = items.collect();
        while let Some(product_id) = open.pop() {
            let is_made = |item: &api::Item| item.source() == api::Source::Make || item.phantom;
            let wanted = |item: &api::Item| is_made(item) || products.contains(&product_id);
            if self.boms.contains_key(&product_id) || !self.items.get(&product_id).is_some_and(wanted) {
                continue;
            }
            let boms = every_bom(client, product_id).await?;
            open.extend(boms.iter().flat_map(|bom| &bom.lines).map(|line| line.component_id));
            self.boms.insert(product_id, boms);
        }
        Ok(())
    }

    /// The versions of a product's bill of materials.
    pub fn boms_of(&self, product_id: u32) -> &[api::Bom] {
        self.boms.get(&product_id).map_or(&[], Vec::as_slice)
    }

    /// The asset with this code.
    pub fn asset_of_code(&self, code: &str) -> Option<&api::Asset> {
        self.assets.values().find(|asset| asset.code == code)
    }
}
