//! Makers: they receive, move, count and scrap parts, run work orders through all their states, and sell
//! what they made to traders. All of them take from one shelf, so that they race for the same units.

use std::collections::VecDeque;

use api::command::Body;
use tokio::time::sleep;

use super::super::ground::{self, PRODUCT_MARKET, WORKS};
use super::{TRADE_PERIOD, Trader};
use crate::cli::works::Works;
use crate::client::api;

/// Work orders of one maker that have not ended; older ones are cancelled.
const OPEN_ORDERS: usize = 64;
/// What a product is sold for.
const PRODUCT_PRICE: u64 = 100;

impl Trader {
    /// Moves stock, makes products and sells them.
    pub(super) async fn make(mut self, number: u64) {
        let mut orders: VecDeque<u64> = VecDeque::new();
        while self.goes_on() {
            let body = match self.random.below(16) {
                0 | 1 => self.stock(),
                2..=4 => {
                    let (quantity, backflush) = (1 + self.random.below(20), self.random.below(2) == 0);
                    WORKS.create(quantity, backflush)
                }
                5 => self.sale(number),
                _ => self.work(&mut orders),
            };
            let command = self.command(body);
            let results = self.submit(vec![command]).await;
            for order in results.into_iter().filter_map(|result| result.work_order) {
                let ended = [api::WorkOrderState::Closed, api::WorkOrderState::Cancelled].contains(&order.state());
                orders.retain(|known| *known != order.work_order_id);
                if !ended {
                    orders.push_back(order.work_order_id);
                }
            }
            sleep(TRADE_PERIOD).await;
        }
    }

    /// Something that happens to an order that is open.
    fn work(&mut self, orders: &mut VecDeque<u64>) -> Body {
        use api::WorkOrderChange as Change;
        if orders.len() > OPEN_ORDERS
            && let Some(oldest) = orders.pop_front()
        {
            let change = if self.random.below(2) == 0 { Change::Cancel } else { Change::Close };
            return Works::set(oldest, change);
        }
        if orders.is_empty() {
            return WORKS.create(1, true);
        }
        let work_order_id = orders[self.random.below(orders.len() as u64) as usize];
        match self.random.below(12) {
            0..=2 => {
                let partial = self.random.below(2) == 0;
                Body::ReleaseWorkOrder(api::ReleaseWorkOrder { work_order_id, partial })
            }
            3 | 4 => Body::IssueMaterials(api::IssueMaterials { work_order_id, materials: Vec::new() }),
            5..=7 => Works::complete(work_order_id, 1 + self.random.below(8)),
            8 => {
                let (component_id, lot) = (WORKS.plain, String::new());
                let material = Some(api::Material { component_id, quantity: 1 + self.random.below(3), lot });
                Body::ReturnMaterials(api::ReturnMaterials { work_order_id, material })
            }
            9 => Works::set(work_order_id, if self.random.below(2) == 0 { Change::Hold } else { Change::Resume }),
            10 => Works::set(work_order_id, Change::Cancel),
            _ => Works::set(work_order_id, Change::Close),
        }
    }

    /// Something that happens to the parts on the shelf.
    fn stock(&mut self) -> Body {
        let asset_id = if self.random.below(2) == 0 { WORKS.tracked } else { WORKS.plain };
        let quantity = 1 + self.random.below(40);
        let (location_id, lot, reason) = (WORKS.shelf, String::new(), "DRILL".to_owned());
        match self.random.below(6) {
            0 | 1 => WORKS.receive(asset_id, quantity),
            2 => {
                let there = self.random.below(2) == 0;
                let (from_location_id, to_location_id) =
                    if there { (WORKS.shelf, WORKS.yard) } else { (WORKS.yard, WORKS.shelf) };
                Body::MoveStock(api::MoveStock { from_location_id, to_location_id, asset_id, quantity, lot })
            }
            3 => Body::ScrapStock(api::ScrapStock { location_id, asset_id, quantity, lot, reason }),
            4 => {
                let difference = quantity as i64 - 20;
                let difference = if difference == 0 { 1 } else { difference };
                Body::AdjustStock(api::AdjustStock { location_id, asset_id, difference, lot, reason })
            }
            _ => {
                let to_account_id = WORKS.issuer;
                Body::IssueStock(api::IssueStock { location_id, asset_id, quantity, to_account_id, lot })
            }
        }
    }

    /// One side of a sale of products: the yard sells, a trader buys.
    fn sale(&mut self, number: u64) -> Body {
        let (account_id, side) = match self.random.below(2) {
            0 => (WORKS.yard, api::Side::Sell),
            _ => (ground::trader(number), api::Side::Buy),
        };
        Body::NewOrder(api::NewOrder {
            account_id,
            market_id: PRODUCT_MARKET,
            side: side.into(),
            quantity: 1 + self.random.below(5),
            pricing: Some(api::new_order::Pricing::LimitPrice(PRODUCT_PRICE)),
            ..api::NewOrder::default()
        })
    }
}
