//! The way down: item by item in the order of low-level codes, what is needed is netted against what
//! is there, the rest becomes planned orders, and these need what they are made of.
//!
//! Dates are days, not buckets; buckets are a way to look at the result. An item's orders are found
//! in one sweep over its requirements by day:
//!
//! net = needed so far + safety stock − available − receipts and by-products so far − ordered so far
//!
//! The safety stock counts from the day on that a new order could be there, if one were placed on the
//! planning date. Until then it is what it is kept for: an order for it alone would be too late by
//! definition, and hide the orders that are.

use super::calendar::Day;
use super::item::{Overflow, sum};
use super::network::{Network, Node, Version};
use super::order::{Explosion, Flow};
use super::plan::{Lot, NO_ROW, Need, Order, OrderIndex, Origin, Plan, Row, Section};
use super::situation::{Demand, ORDERS_MAX, PlanError, REQUIREMENTS_MAX, Situation};
use crate::types::{AssetId, Quantity};

/// A requirement whose item's turn has not come.
#[derive(Debug, Clone, Copy)]
struct Pending {
    quantity: u64,
    day: Day,
    need: Need,
}

/// A supply that is there without an order for it.
#[derive(Debug, Clone, Copy)]
struct Given {
    quantity: u64,
    day: Day,
    origin: Origin,
}

pub(super) struct Netting<'a> {
    network: &'a Network,
    situation: &'a Situation,
    /// Per item, what is known of it before its turn.
    pending: Vec<Vec<Pending>>,
    given: Vec<Vec<Given>>,
    /// Requirements and by-products, of which memory holds so many.
    count: usize,
    /// The most orders, [`ORDERS_MAX`] but in tests.
    orders_max: usize,
    explosion: Explosion,
    plan: Plan,
}

/// Nets every item. The orders' and supplies' `ready` are left at their planned days.
pub(super) fn net(network: &Network, situation: &Situation) -> Result<Plan, PlanError> {
    let mut netting = Netting::new(network, situation)?;
    for &item in &network.order {
        netting.net_item(item as usize)?;
    }
    Ok(netting.plan)
}

impl<'a> Netting<'a> {
    fn new(network: &'a Network, situation: &'a Situation) -> Result<Self, PlanError> {
        let count = network.nodes.len();
        let section = |(node, level): (&Node, &u32)| Section {
            id: node.id,
            made: node.is_made(),
            level: *level,
            ..Section::default()
        };
        let plan = Plan {
            planning_date: situation.planning_date,
            sections: network.nodes.iter().zip(&network.levels).map(section).collect(),
            rows: Vec::new(),
            lots: Vec::new(),
            orders: Vec::new(),
            demands: situation.demands.clone(),
            demand_rows: vec![NO_ROW; situation.demands.len()],
        };
        let mut netting = Self {
            network,
            situation,
            pending: vec![Vec::new(); count],
            given: vec![Vec::new(); count],
            count: 0,
            orders_max: ORDERS_MAX,
            explosion: Explosion::default(),
            plan,
        };
        netting.take_supplies()?;
        netting.take_demands()?;
        Ok(netting)
    }

    /// Stock, then receipts by day: in this order they are used.
    fn take_supplies(&mut self) -> Result<(), PlanError> {
        let today = self.situation.planning_date;
        let mut stock = vec![0; self.network.nodes.len()];
        for held in &self.situation.available {
            let item = self.place(held.item)?;
            stock[item] = sum(stock[item], held.quantity.0).map_err(|_| PlanError::Overflow(held.item))?;
        }
        for (given, quantity) in self.given.iter_mut().zip(stock).filter(|(_, quantity)| *quantity > 0) {
            given.push(Given { quantity, day: today, origin: Origin::Stock });
        }
        for (index, receipt) in (0..).zip(&self.situation.receipts) {
            let item = self.place(receipt.item)?;
            if receipt.quantity.0 > 0 {
                let day = receipt.due.max(today);
                self.given[item].push(Given { quantity: receipt.quantity.0, day, origin: Origin::Receipt(index) });
            }
        }
        Ok(())
    }

    fn take_demands(&mut self) -> Result<(), PlanError> {
        let mut order: Vec<(u32, &Demand)> = (0..).zip(&self.situation.demands).collect();
        order.sort_by_key(|(_, demand)| (demand.due, demand.id));
        for (index, demand) in order {
            let item = self.place(demand.item)?;
            self.require(item, demand.quantity.0, demand.due, Need::Demand(index))?;
        }
        Ok(())
    }

    fn place(&self, item: AssetId) -> Result<usize, PlanError> {
        self.network.place(item).ok_or(PlanError::UnknownItem(item))
    }

    fn require(&mut self, item: usize, quantity: u64, day: Day, need: Need) -> Result<(), PlanError> {
        if quantity == 0 {
            return Ok(());
        }
        self.count_one(item)?;
        let day = day.max(self.situation.planning_date);
        self.pending[item].push(Pending { quantity, day, need });
        Ok(())
    }

    /// Counts a requirement or a by-product.
    fn count_one(&mut self, item: usize) -> Result<(), PlanError> {
        if self.count == REQUIREMENTS_MAX {
            return Err(PlanError::TooManyRequirements(self.network.nodes[item].id));
        }
        self.count += 1;
        Ok(())
    }

    fn net_item(&mut self, item: usize) -> Result<(), PlanError> {
        let id = self.network.nodes[item].id;
        self.require_safety_stock(item)?;
        let mut needs = std::mem::take(&mut self.pending[item]);
        let mut given = std::mem::take(&mut self.given[item]);
        // Stable: on one day demand comes first, then orders by their number, then the safety stock.
        needs.sort_by_key(|need| need.day);
        given.sort_by_key(|given| (given.day, given.origin));

        let first_order = self.plan.orders.len() as u32;
        let (mut needed, mut supplied) = (0, 0);
        let mut arrived = 0;
        for today in needs.chunk_by(|a, b| a.day == b.day) {
            let day = today[0].day;
            for need in today {
                needed = sum(needed, need.quantity).map_err(|_| PlanError::Overflow(id))?;
            }
            while let Some(supply) = given.get(arrived).filter(|supply| supply.day <= day) {
                supplied = sum(supplied, supply.quantity).map_err(|_| PlanError::Overflow(id))?;
                arrived += 1;
            }
            if needed > supplied {
                let ordered = self.order(item, day, needed - supplied)?;
                supplied = sum(supplied, ordered).map_err(|_| PlanError::Overflow(id))?;
            }
        }
        let orders = first_order..self.plan.orders.len() as u32;
        self.lay_rows(item, &needs);
        self.lay_lots(item, given, orders.clone())?;
        self.plan.sections[item].orders = orders;
        Ok(())
    }

    /// From the day on that an order for it could be there.
    fn require_safety_stock(&mut self, item: usize) -> Result<(), PlanError> {
        let network = self.network;
        let node = &network.nodes[item];
        if node.safety_stock == 0 {
            return Ok(());
        }
        let today = self.situation.planning_date;
        let (_, size) = self.lots(item, node.safety_stock)?;
        let lead_days = self.lead_days(item, size, network.version(item, today))?;
        let day = self.situation.calendar.forward(today, lead_days).ok_or(PlanError::NoSuchDay(node.id))?;
        self.require(item, node.safety_stock, day, Need::SafetyStock)
    }

    fn lots(&self, item: usize, need: u64) -> Result<(u64, Quantity), PlanError> {
        let node = &self.network.nodes[item];
        node.lot.orders_for(Quantity(need)).map_err(|Overflow| PlanError::Overflow(node.id))
    }

    fn lead_days(&self, item: usize, size: Quantity, version: Option<&Version>) -> Result<u32, PlanError> {
        let node = &self.network.nodes[item];
        version.map_or(Ok(node.buy_days), |version| {
            let days = version.work.lead_days(size, version.output, &self.situation.calendar);
            days.map_err(|Overflow| PlanError::NoSuchDay(node.id))
        })
    }

    /// Plans orders that cover the net requirement of a day; gives what they add up to.
    fn order(&mut self, item: usize, day: Day, net: u64) -> Result<u64, PlanError> {
        let (network, calendar) = (self.network, &self.situation.calendar);
        let id = network.nodes[item].id;
        let (count, size) = self.lots(item, net)?;
        let no_such_day = || PlanError::NoSuchDay(id);
        let due = calendar.back(day, 0).ok_or_else(no_such_day)?;
        let version = network.version(item, due);
        let lead_days = self.lead_days(item, size, version)?;
        let release = calendar.back(due, lead_days).ok_or_else(no_such_day)?;
        let mut net_left = net;
        if count > (self.orders_max - self.plan.orders.len()) as u64 {
            return Err(PlanError::TooManyOrders(self.most_ordered(item, count)));
        }
        for _ in 0..count {
            let index = OrderIndex(self.plan.orders.len() as u32);
            let net = net_left.min(size.0);
            net_left -= net;
            self.plan.orders.push(Order {
                quantity: size.0,
                net,
                item: item as u32,
                version: version.map_or(0, |version| version.number),
                lot: 0,
                lead_days,
                release,
                due,
                ready: due,
            });
            if let Some(version) = version {
                self.explode(index, version, size)?;
            }
        }
        let all = u128::from(count) * u128::from(size.0);
        u64::try_from(all).map_err(|_| PlanError::Overflow(id))
    }

    /// The item with the most orders, when `more` are to come of this one, whose turn it is.
    fn most_ordered(&self, item: usize, more: u64) -> AssetId {
        let own = self.plan.orders.iter().rev().take_while(|order| order.item as usize == item).count() as u64;
        let of_item = |section: &Section| (section.orders.len() as u64, section.id);
        let most = self.plan.sections.iter().map(of_item).max().filter(|(count, _)| *count > own + more);
        most.map_or(self.network.nodes[item].id, |(_, id)| id)
    }

    /// What an order takes on its release day and gives besides on its due day.
    fn explode(&mut self, order: OrderIndex, version: &Version, size: Quantity) -> Result<(), PlanError> {
        let Order { release, due, .. } = self.plan.orders[order.0 as usize];
        let mut explosion = std::mem::take(&mut self.explosion);
        explosion.each(self.network, version, size, due, |flow| {
            match flow {
                Flow::Takes { item, quantity } => self.require(item, quantity.0, release, Need::Order(order))?,
                Flow::Gives { by_product, quantity } if by_product.counted => {
                    self.count_one(by_product.item as usize)?;
                    let day = due.max(self.situation.planning_date);
                    let given = Given { quantity: quantity.0, day, origin: Origin::ByProduct(order) };
                    self.given[by_product.item as usize].push(given);
                }
                Flow::Gives { .. } => {}
            }
            Ok(())
        })?;
        self.explosion = explosion;
        Ok(())
    }

    fn lay_rows(&mut self, item: usize, needs: &[Pending]) {
        let first = self.plan.rows.len() as u32;
        let mut start = 0;
        for need in needs {
            self.plan.rows.push(Row { start, day: need.day, item: item as u32, need: need.need });
            start += need.quantity;
        }
        let section = &mut self.plan.sections[item];
        section.rows = first..self.plan.rows.len() as u32;
        section.needed = start;
    }

    /// Lays what is given and what is ordered, both by day, into one order by day.
    fn lay_lots(&mut self, item: usize, given: Vec<Given>, orders: std::ops::Range<u32>) -> Result<(), PlanError> {
        let first = self.plan.lots.len() as u32;
        let mut start = 0;
        let mut given = given.into_iter().peekable();
        let mut orders = orders.peekable();
        loop {
            let due = orders.peek().map(|order| self.plan.orders[*order as usize].due);
            let before = |given: &Given| due.is_none_or(|due| given.day <= due);
            let (quantity, day, origin) = if let Some(given) = given.next_if(before) {
                (given.quantity, given.day, given.origin)
            } else if let Some(index) = orders.next() {
                let order = &mut self.plan.orders[index as usize];
                order.lot = self.plan.lots.len() as u32;
                (order.quantity, order.due, Origin::Order(OrderIndex(index)))
            } else {
                break;
            };
            self.plan.lots.push(Lot { start, day, ready: day, item: item as u32, origin });
            start = sum(start, quantity).map_err(|_| PlanError::Overflow(self.network.nodes[item].id))?;
        }
        let section = &mut self.plan.sections[item];
        section.lots = first..self.plan.lots.len() as u32;
        section.supplied = start;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::production::mrp::{Calendar, Item, LotRule, Source};

    #[test]
    fn the_item_with_too_small_a_lot_is_named_when_there_are_too_many_orders() {
        let bought = |id: u32, lot| Item {
            id: AssetId(id),
            source: Source::Buy { lead_days: 0 },
            lot: LotRule::Fixed(Quantity(lot)),
            safety_stock: Quantity(0),
            phantom: false,
        };
        let network = Network::new(vec![bought(1, 1), bought(2, 10)]).expect("they are items");
        let demand = |id: u32, quantity| Demand {
            id: u64::from(id),
            item: AssetId(id),
            quantity: Quantity(quantity),
            due: Day(3),
        };
        let refused = |one, other| {
            let situation = Situation {
                calendar: Calendar::new([true; 7], &[], 1).expect("all days are worked"),
                planning_date: Day(0),
                available: Vec::new(),
                receipts: Vec::new(),
                demands: vec![demand(1, one), demand(2, other)],
            };
            let mut netting = Netting::new(&network, &situation).expect("they are known");
            netting.orders_max = 10;
            network.order.iter().try_for_each(|&item| netting.net_item(item as usize)).err()
        };
        assert_eq!(refused(6, 40), None);
        assert_eq!(refused(6, 41), Some(PlanError::TooManyOrders(AssetId(1))));
        assert_eq!(refused(4, 100), Some(PlanError::TooManyOrders(AssetId(2))));
        assert_eq!(refused(u64::MAX >> 1, 0), Some(PlanError::TooManyOrders(AssetId(1))), "at once");
    }
}
