//! Lists: as many pages as are asked for.

use crate::cli::CliError;
use crate::client::{ClientError, api};

/// Entries of one page, the most that the API gives.
const PAGE_SIZE: u32 = 1_000;

#[derive(Debug, Clone, clap::Args)]
pub struct PageArgs {
    /// How many entries; 0 is all
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    limit: u32,
    /// Newest first
    #[arg(long)]
    newest_first: bool,
    /// Go on where an earlier list ended: its next_page_token
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    page_token: String,
}

/// An answer that is one page of a list.
pub trait Paged {
    /// How many entries it has.
    fn count(&self) -> usize;
    /// Where the next page begins; empty for none.
    fn next(&self) -> &str;
    /// Adds the next page.
    fn append(&mut self, next: Self);
}

macro_rules! paged {
    ($($response:ident.$entries:ident),*) => {$(
        impl Paged for api::$response {
            fn count(&self) -> usize {
                self.$entries.len()
            }
            fn next(&self) -> &str {
                &self.next_page_token
            }
            fn append(&mut self, mut next: Self) {
                self.$entries.append(&mut next.$entries);
                self.next_page_token = next.next_page_token;
                self.position = next.position;
            }
        }
    )*};
}
paged!(
    ListAssetsResponse.assets,
    ListMarketsResponse.markets,
    ListAccountsResponse.accounts,
    ListOrdersResponse.orders,
    ListTradesResponse.trades,
    ListPostingsResponse.postings,
    ListPlantsResponse.plants,
    ListItemsResponse.items,
    ListBomsResponse.boms,
    ListWhereUsedResponse.uses,
    ListStockResponse.stock,
    ListReorderResponse.stock,
    ListLotsResponse.lots,
    ListWorkOrdersResponse.work_orders,
    ListPlansResponse.plans,
    ListPurchasesResponse.purchases
);

/// Fetches pages until there are enough entries, or no more.
pub async fn pages<R: Paged>(
    args: &PageArgs,
    mut fetch: impl AsyncFnMut(api::Page) -> Result<R, ClientError>,
) -> Result<R, CliError> {
    let limit = if args.limit == 0 { u32::MAX } else { args.limit };
    let page = |token: String, have: usize| api::Page {
        size: limit.saturating_sub(u32::try_from(have).unwrap_or(u32::MAX)).min(PAGE_SIZE),
        token,
        descending: args.newest_first,
    };
    let mut all = fetch(page(args.page_token.clone(), 0)).await?;
    while !all.next().is_empty() && all.count() < limit as usize {
        let next = fetch(page(all.next().to_owned(), all.count())).await?;
        all.append(next);
    }
    if !all.next().is_empty() {
        // Who takes a part for the whole decides wrongly.
        eprintln!("counterfoil: there is more; --limit 0 lists all, --page-token {} what follows", all.next());
    }
    Ok(all)
}
