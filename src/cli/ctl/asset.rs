//! `ctl asset`.

use super::pages::{PageArgs, pages};
use super::words::{self, AssetKind};
use super::{Context, Fresh, Key, print};
use crate::cli::CliError;
use crate::cli::table::{Column, table};
use crate::client::api;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Add an asset
    Create {
        /// A number of your choice, above 0
        #[arg(long)]
        asset_id: u32,
        /// Its unique code: "USD", "BOLT-M6"
        #[arg(long)]
        code: String,
        /// Decimal places
        #[arg(long, default_value_t = 0)]
        scale: u32,
        /// What it is
        #[arg(long, value_enum)]
        kind: AssetKind,
        #[command(flatten)]
        key: Key,
    },
    /// Show one
    Get {
        /// Code or id
        asset: String,
        #[command(flatten)]
        fresh: Fresh,
    },
    /// List them
    List {
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        fresh: Fresh,
    },
}

pub async fn run(context: &mut Context, verb: Verb) -> Result<(), CliError> {
    match verb {
        Verb::Create { asset_id, code, scale, kind, key } => {
            let asset = api::CreateAsset { asset_id, code, scale, kind: kind.into() };
            context.execute(key, api::command::Body::CreateAsset(asset)).await
        }
        Verb::Get { asset, fresh } => {
            use api::get_asset_request::Key as Name;
            let key = asset.parse().map_or(Name::Code(asset), Name::AssetId);
            let request = api::GetAssetRequest { key: Some(key), consistency: fresh.consistency() };
            let answer = context.client.get_asset(request).await?;
            if context.printed_json(&answer)? { Ok(()) } else { print_assets(answer.asset.as_slice()) }
        }
        Verb::List { page, fresh } => {
            let (client, consistency) = (context.client.clone(), fresh.consistency());
            let answer = pages(&page, async |page| {
                client.list_assets(api::ListAssetsRequest { page: Some(page), consistency }).await
            });
            let answer = answer.await?;
            if context.printed_json(&answer)? { Ok(()) } else { print_assets(&answer.assets) }
        }
    }
}

fn print_assets(assets: &[api::Asset]) -> Result<(), CliError> {
    let rows = assets.iter().map(|asset| {
        vec![asset.asset_id.to_string(), asset.code.clone(), asset.scale.to_string(), words::asset_kind(asset.kind)]
    });
    print(&table(&[Column::Number("id"), Column::Text("code"), Column::Number("scale"), Column::Text("kind")], rows))
}
