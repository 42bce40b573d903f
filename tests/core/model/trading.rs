//! Orders. The book is a list; the next maker is found by looking at all of it.

use counterfoil_core::Rejection;
use counterfoil_core::command::{CreateMarket, MassCancel, NewOrder, Pricing, ReplaceOrder};
use counterfoil_core::event::{
    EventBody, MassCancelled, OrderAccepted, OrderCancelled, OrderReduced, OrderReplaced, Trade,
};
use counterfoil_core::types::{Phase, Price, PurchaseId, SelfTradePrevention, Side, TimeInForce};

use super::{AccountId, Amount, AssetId, CancelReason, CommandId, Model, OrderId, OrderRef, Quantity, Sequence};

/// An order that is open.
#[derive(Debug, Clone)]
pub struct Order {
    pub id: OrderId,
    pub client_id: CommandId,
    pub new: NewOrder,
    pub filled: i128,
    pub open: i128,
    /// Price × quantity of its fills.
    pub spent: i128,
    /// Fees of its fills before rounding, in millionths.
    pub fee_exact: i128,
    pub fee_paid: i128,
    pub held: i128,
    pub priority: Sequence,
}

const MILLION: i128 = 1_000_000;

/// Division that rounds up.
fn up(number: i128) -> i128 {
    let whole = number / MILLION;
    if number > 0 && number % MILLION != 0 { whole + 1 } else { whole }
}

impl Order {
    fn limit(&self) -> Option<Price> {
        match self.new.pricing {
            Pricing::Limit(price) | Pricing::MarketToPrice(price) => Some(price),
            Pricing::MarketForBudget(_) => None,
        }
    }

    fn accepts(&self, price: Price) -> bool {
        match (self.limit(), self.new.side) {
            (None, _) => true,
            (Some(limit), Side::Buy) => price <= limit,
            (Some(limit), Side::Sell) => price >= limit,
        }
    }

    /// What a fill of this notional adds to the fees that are due.
    fn fee_due(&self, notional: i128, rate: i32) -> i128 {
        up(self.fee_exact + notional * i128::from(rate)) - self.fee_paid
    }
}

/// Price × quantity. The model is for amounts that fit.
fn notional(price: Price, quantity: i128, scale: u8) -> i128 {
    let product = i128::from(price.0) * quantity;
    let unit = 10_i128.pow(scale.into());
    assert_eq!(product % unit, 0, "exact by construction");
    product / unit
}

impl Model {
    fn terms_of(&self, order: &Order) -> (CreateMarket, u8) {
        let (market, _) = self.market(order.new.market).expect("an order's market exists");
        (market.clone(), self.scale(market.base))
    }

    fn asset_held(&self, order: &Order) -> AssetId {
        let (market, _) = self.terms_of(order);
        if order.new.side == Side::Buy { market.quote } else { market.base }
    }

    /// The most that the open rest of an order can cost: a sell its stock; a buy its limit and the
    /// higher of both fees; an order with a budget the rest of it.
    fn worst_case(&self, order: &Order) -> i128 {
        let (market, scale) = self.terms_of(order);
        match (order.new.side, order.new.pricing) {
            _ if order.open == 0 => 0,
            (Side::Sell, _) => order.open,
            (Side::Buy, Pricing::MarketForBudget(budget)) => i128::from(budget.0) - order.spent - order.fee_paid,
            (Side::Buy, Pricing::Limit(price) | Pricing::MarketToPrice(price)) => {
                let most = notional(price, order.open, scale);
                let rate = market.maker_fee.0.max(market.taker_fee.0).max(0);
                most + order.fee_due(most, rate).max(0)
            }
        }
    }

    /// Reserves what the order needs now, and no more.
    fn hold(&mut self, order: &mut Order) {
        let needed = self.worst_case(order);
        let asset = self.asset_held(order);
        self.change(order.new.account, asset, 0, needed - order.held);
        order.held = needed;
    }

    fn check_terms(&self, market: &CreateMarket, quantity: Quantity, pricing: Pricing, no: &mut Vec<Rejection>) {
        if !quantity.0.is_multiple_of(market.lot.0) {
            no.push(Rejection::QuantityNotInLots);
        }
        if quantity > market.quantity_max {
            no.push(Rejection::QuantityAboveMax);
        }
        let size = match pricing {
            Pricing::MarketForBudget(budget) => budget.0.into(),
            Pricing::Limit(price) | Pricing::MarketToPrice(price) => {
                if !price.0.is_multiple_of(market.tick.0) {
                    no.push(Rejection::PriceNotOnTick);
                }
                i128::from(price.0) * i128::from(quantity.0) / 10_i128.pow(self.scale(market.base).into())
            }
        };
        if size > i128::from(market.notional_max.0) {
            no.push(Rejection::NotionalAboveMax);
        }
    }

    /// An order as it would come in.
    fn draft(&self, client_id: CommandId, new: &NewOrder) -> Order {
        Order {
            id: OrderId(self.sequence + 1),
            client_id,
            new: new.clone(),
            filled: 0,
            open: new.quantity.0.into(),
            spent: 0,
            fee_exact: 0,
            fee_paid: 0,
            held: 0,
            priority: Sequence(self.sequence + 1),
        }
    }

    pub(super) fn check_new_order(&self, new: &NewOrder, no: &mut Vec<Rejection>) {
        self.check_active(new.account, no);
        let Some((market, phase)) = self.market(new.market) else {
            return no.push(Rejection::UnknownMarket);
        };
        no.extend(phase_refusal(*phase));
        self.check_terms(market, new.quantity, new.pricing, no);
        no.extend(new.expires_at.filter(|at| *at <= self.time).map(|_| Rejection::AlreadyExpired));
        self.check_allowed(new.account, if new.side == Side::Buy { market.base } else { market.quote }, no);
        if no.is_empty() {
            self.check_entry(&self.draft(CommandId(0), new), no);
        }
    }

    /// What is asked of an order that comes in, or comes in anew; `held` is what it can reserve already.
    fn check_entry(&self, order: &Order, no: &mut Vec<Rejection>) {
        let (asset, more) = (self.asset_held(order), self.worst_case(order) - order.held);
        if more > 0 {
            self.check_spend(order.new.account, asset, more, no);
        }
        if order.new.post_only && self.best_maker(order).is_some() {
            no.push(Rejection::PostOnlyWouldTrade);
        }
        if order.new.time_in_force == TimeInForce::FillOrKill {
            // Try it on a copy: whatever is left over, or was taken off, was not filled.
            let (mut copy, mut order, quantity) = (self.clone(), order.clone(), order.new.quantity);
            copy.hold(&mut order);
            copy.execute(&mut order, &mut Vec::new());
            if order.filled != i128::from(quantity.0) {
                no.push(Rejection::NotFillable);
            }
        }
    }

    pub(super) fn enter(&mut self, id: CommandId, new: &NewOrder, purchase: Option<PurchaseId>) -> Vec<EventBody> {
        let mut order = self.draft(id, new);
        let mut events = vec![EventBody::OrderAccepted(OrderAccepted { id, order: new.clone() })];
        events.extend(purchase.map(|purchase| self.link(purchase, Some(id))));
        self.hold(&mut order);
        self.execute(&mut order, &mut events);
        events
    }

    /// Matches an order, then lets its rest stay or cancels it.
    fn execute(&mut self, order: &mut Order, events: &mut Vec<EventBody>) {
        while order.open > 0 {
            let Some(maker) = self.best_maker(order) else { break };
            let quantity = self.affordable(order, &maker);
            if quantity == 0 {
                break;
            }
            if maker.new.account == order.new.account {
                self.prevent_self_trade(order, maker.id, events);
            } else {
                self.trade(order, maker.id, quantity, events);
            }
        }
        if order.open == 0 {
            return;
        }
        let stays = matches!(order.new.time_in_force, TimeInForce::GoodTillCancel | TimeInForce::GoodTillDate);
        if stays {
            self.orders.push(order.clone());
        } else {
            self.end(order, CancelReason::NotFilled, events);
        }
    }

    /// The order that the incoming one meets next: the best price it accepts, then the oldest.
    fn best_maker(&self, taker: &Order) -> Option<Order> {
        let others = self.orders.iter().filter(|order| {
            let price = order.limit().expect("what rests has a limit");
            order.new.market == taker.new.market && order.new.side != taker.new.side && taker.accepts(price)
        });
        let rank = |order: &Order| {
            let price = i128::from(order.limit().expect("what rests has a limit").0);
            (if order.new.side == Side::Sell { price } else { -price }, order.priority)
        };
        others.min_by_key(|order| rank(order)).cloned()
    }

    /// How much of the maker the taker can have: lot by lot, as long as the budget pays.
    fn affordable(&self, taker: &Order, maker: &Order) -> i128 {
        let most = taker.open.min(maker.open);
        let Pricing::MarketForBudget(budget) = taker.new.pricing else { return most };
        let (market, scale) = self.terms_of(taker);
        let left = i128::from(budget.0) - taker.spent - taker.fee_paid;
        let price = maker.limit().expect("what rests has a limit");
        let mut quantity = 0;
        while quantity < most {
            let paid = notional(price, quantity + i128::from(market.lot.0), scale);
            if paid + taker.fee_due(paid, market.taker_fee.0).max(0) > left {
                break;
            }
            quantity += i128::from(market.lot.0);
        }
        quantity
    }

    fn take(&mut self, id: OrderId) -> Order {
        let place = self.orders.iter().position(|order| order.id == id).expect("the order is open");
        self.orders.remove(place)
    }

    /// Cancels an order of the book.
    pub(super) fn cancel(&mut self, id: OrderId, reason: CancelReason, events: &mut Vec<EventBody>) {
        let mut order = self.take(id);
        self.end(&mut order, reason, events);
    }

    /// Ends an order that is in no book.
    fn end(&mut self, order: &mut Order, reason: CancelReason, events: &mut Vec<EventBody>) {
        let open = std::mem::take(&mut order.open);
        self.hold(order);
        let NewOrder { account, market, .. } = order.new;
        let open = Quantity(open as u64);
        events.push(EventBody::OrderCancelled(OrderCancelled { order: order.id, account, market, open, reason }));
    }

    fn reduce(&mut self, order: &mut Order, by: i128, events: &mut Vec<EventBody>) {
        order.open -= by;
        self.hold(order);
        let NewOrder { account, market, .. } = order.new;
        let (reduced, open) = (Quantity(by as u64), Quantity(order.open as u64));
        events.push(EventBody::OrderReduced(OrderReduced { order: order.id, account, market, reduced, open }));
    }

    fn prevent_self_trade(&mut self, taker: &mut Order, maker: OrderId, events: &mut Vec<EventBody>) {
        let reason = CancelReason::SelfTrade;
        match taker.new.self_trade_prevention {
            SelfTradePrevention::CancelNewest => self.end(taker, reason, events),
            SelfTradePrevention::CancelOldest => self.cancel(maker, reason, events),
            SelfTradePrevention::CancelBoth => {
                self.cancel(maker, reason, events);
                self.end(taker, reason, events);
            }
            SelfTradePrevention::Decrement => {
                let mut maker = self.take(maker);
                let common = maker.open.min(taker.open);
                if maker.open == common {
                    self.end(&mut maker, reason, events);
                } else {
                    self.reduce(&mut maker, common, events);
                    self.orders.push(maker);
                }
                if taker.open == common {
                    self.end(taker, reason, events);
                } else {
                    self.reduce(taker, common, events);
                }
            }
        }
    }

    fn trade(&mut self, taker: &mut Order, maker: OrderId, quantity: i128, events: &mut Vec<EventBody>) {
        let mut maker = self.take(maker);
        let (market, scale) = self.terms_of(taker);
        let price = maker.limit().expect("what rests has a limit");
        let paid = notional(price, quantity, scale);
        let taker_fee = taker.fee_due(paid, market.taker_fee.0).max(0);
        // A rebate comes out of what the taker pays for this trade.
        let maker_fee = maker.fee_due(paid, market.maker_fee.0).max(-taker_fee);
        for (order, fee, rate) in
            [(&mut *taker, taker_fee, market.taker_fee), (&mut maker, maker_fee, market.maker_fee)]
        {
            order.filled += quantity;
            order.open -= quantity;
            order.spent += paid;
            order.fee_exact += paid * i128::from(rate.0);
            order.fee_paid += fee;
            self.hold(order);
        }
        let sides = [(&*taker, taker_fee), (&maker, maker_fee)];
        let [buyer, seller] = if taker.new.side == Side::Buy { sides } else { [sides[1], sides[0]] };
        // Both give before anybody gets.
        self.change(seller.0.new.account, market.base, -quantity, 0);
        self.change(buyer.0.new.account, market.quote, -paid - buyer.1, 0);
        self.change(buyer.0.new.account, market.base, quantity, 0);
        self.change(seller.0.new.account, market.quote, paid - seller.1, 0);
        self.change(market.fee_account, market.quote, taker_fee + maker_fee, 0);
        let trade = EventBody::Trade(Trade {
            market: market.market,
            price,
            quantity: Quantity(quantity as u64),
            notional: Amount(paid as i64),
            taker_side: taker.new.side,
            maker: maker.id,
            maker_account: maker.new.account,
            taker: taker.id,
            taker_account: taker.new.account,
            maker_fee: Amount(maker_fee as i64),
            taker_fee: Amount(taker_fee as i64),
            maker_open: Quantity(maker.open as u64),
            taker_open: Quantity(taker.open as u64),
        });
        let bought_by = (buyer.0.new.account, buyer.0.client_id);
        self.tell(events, trade);
        let (account, order) = bought_by;
        events.extend(self.bought(account, order, market.base, Quantity(quantity as u64)));
        if maker.open > 0 {
            self.orders.push(maker);
        }
    }

    pub(super) fn find_order(&self, account: AccountId, named: OrderRef) -> Option<&Order> {
        self.orders.iter().find(|order| {
            order.new.account == account
                && match named {
                    OrderRef::OrderId(id) => order.id == id,
                    OrderRef::ClientOrderId(id) => order.client_id == id,
                }
        })
    }

    pub(super) fn not_open(&self, account: AccountId, named: OrderRef) -> Vec<Rejection> {
        match self.find_order(account, named) {
            Some(_) => Vec::new(),
            // The core cannot tell for every id whether there was such an order once.
            None => vec![Rejection::UnknownOrder, Rejection::OrderNotOpen],
        }
    }

    /// The order as the replace wants it. Its total is the new quantity, what is filled included.
    fn replaced(&self, old: &Order, replace: &ReplaceOrder) -> Order {
        let mut order = old.clone();
        order.new.quantity = replace.quantity;
        order.open = (i128::from(replace.quantity.0) - order.filled).max(0);
        if let Some(price) = replace.price {
            order.new.pricing = Pricing::Limit(price);
        }
        order
    }

    /// Only a lower quantity at the same price keeps the place in the queue.
    fn keeps_priority(old: &Order, new: &Order) -> bool {
        old.new.pricing == new.new.pricing && new.open <= old.open
    }

    pub(super) fn check_replace(&self, replace: &ReplaceOrder, no: &mut Vec<Rejection>) {
        self.check_active(replace.account, no);
        let Some(old) = self.find_order(replace.account, replace.order) else {
            return no.extend(self.not_open(replace.account, replace.order));
        };
        let (market, phase) = self.market(old.new.market).expect("an order's market exists");
        no.extend(phase_refusal(*phase));
        let order = self.replaced(old, replace);
        self.check_terms(market, replace.quantity, order.new.pricing, no);
        if !no.is_empty() || order.open == 0 || Self::keeps_priority(old, &order) {
            return;
        }
        self.check_allowed(order.new.account, if order.new.side == Side::Buy { market.base } else { market.quote }, no);
        self.check_entry(&order, no);
    }

    pub(super) fn replace(&mut self, replace: &ReplaceOrder) -> Vec<EventBody> {
        let old = self.find_order(replace.account, replace.order).expect("checked").clone();
        let mut order = self.replaced(&old, replace);
        let mut events = Vec::new();
        if order.open == 0 {
            self.cancel(old.id, CancelReason::Requested, &mut events);
            return events;
        }
        self.take(old.id);
        let kept = Self::keeps_priority(&old, &order);
        self.hold(&mut order);
        events.push(EventBody::OrderReplaced(OrderReplaced {
            order: order.id,
            account: order.new.account,
            market: order.new.market,
            side: order.new.side,
            quantity: order.new.quantity,
            price: order.limit().expect("what rests has a limit"),
            open: Quantity(order.open as u64),
            priority_kept: kept,
        }));
        if kept {
            self.orders.push(order);
        } else {
            order.priority = Sequence(self.sequence + 1);
            self.execute(&mut order, &mut events);
        }
        events
    }

    pub(super) fn mass_cancel(&mut self, mass: &MassCancel) -> Vec<EventBody> {
        let named = self.orders.iter().filter(|order| {
            order.new.account == mass.account
                && mass.market.is_none_or(|market| market == order.new.market)
                && mass.side.is_none_or(|side| side == order.new.side)
        });
        let mut named: Vec<OrderId> = named.map(|order| order.id).collect();
        named.sort_unstable();
        let mut events = Vec::new();
        named.iter().for_each(|id| self.cancel(*id, CancelReason::MassCancel, &mut events));
        let MassCancel { account, market, side } = *mass;
        events.push(EventBody::MassCancelled(MassCancelled { account, market, side, count: named.len() as u32 }));
        events
    }
}

fn phase_refusal(phase: Phase) -> Option<Rejection> {
    match phase {
        Phase::Continuous => None,
        Phase::Halted => Some(Rejection::MarketHalted),
        Phase::Closed => Some(Rejection::MarketClosed),
    }
}
