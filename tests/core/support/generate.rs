//! Commands that collide: few accounts, prices close together, ids sent again, ids nobody has.

mod planning;
mod production;

use counterfoil_core::command::{
    Body, CancelOrder, Command, CreateAccount, CreateAsset, CreateMarket, MassCancel, NewOrder, OrderRef, PostPending,
    Pricing, ReplaceOrder, SetAccountAsset, SetAccountState, SetMarketPhase, Transfer, TransferMode, VoidPending,
};
use counterfoil_core::types::{
    AccountId, AccountState, Amount, AssetId, AssetKind, Code, CommandId, FeeRate, MarketId, OrderId, Phase, Price,
    Quantity, SelfTradePrevention, Side, TimeInForce, Timestamp,
};

use super::fold::Fold;
use super::rng::Rng;
use super::swarm::{AAPL, BANK, BTC, FIRST_TRADER, HOUSE, Kind, RESTRICTED, Swarm, USD};

/// A generator of proposals for one sequence.
#[derive(Debug)]
pub struct Generator {
    /// What the sequence is made of.
    pub swarm: Swarm,
    /// The time of the last proposal.
    pub now: Timestamp,
    /// Every command that was generated.
    pub sent: Vec<Command>,
    next_id: u128,
}

/// Numbers near the ends of a type and of the products made from them.
const EXTREMES: [u64; 8] = [1, 1 << 20, 1 << 31, 1 << 32, (1 << 43) - 1, 1 << 62, i64::MAX as u64, u64::MAX];

impl Generator {
    /// The generator that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        Self { swarm: Swarm::new(seed), now: Timestamp(1_000), sent: Vec::new(), next_id: 1 }
    }

    /// The commands that come first.
    pub fn preamble(&mut self) -> Vec<Command> {
        self.swarm.preamble().into_iter().map(|body| self.command(body)).collect()
    }

    /// The next proposal: its time and its commands.
    pub fn proposal(&mut self, rng: &mut Rng, fold: &Fold) -> (Timestamp, Vec<Command>) {
        if rng.chance(20) {
            self.now.0 += rng.below(6);
        }
        let mut commands = Vec::new();
        for _ in 0..rng.between(1, self.swarm.batch_max) {
            self.push(rng, fold, &mut commands);
        }
        // A leader's clock may lag behind the last one's; the ledger's time does not.
        let lag = if rng.chance(3) { rng.below(5) } else { 0 };
        (Timestamp(self.now.0 - lag), commands)
    }

    /// A command under the next free id.
    pub fn command(&mut self, body: Body) -> Command {
        let command = Command { id: CommandId(self.next_id), linked: false, body };
        self.next_id += 1;
        self.sent.push(command.clone());
        command
    }

    fn push(&mut self, rng: &mut Rng, fold: &Fold, commands: &mut Vec<Command>) {
        let body = match self.swarm.kind(rng) {
            Kind::Limit => self.limit(rng),
            Kind::MarketToPrice => self.market_to_price(rng),
            Kind::MarketForBudget => self.market_for_budget(rng),
            Kind::Replace => self.replace(rng, fold),
            Kind::Cancel => self.cancel(rng, fold),
            Kind::MassCancel => self.mass_cancel(rng),
            Kind::Transfer => self.transfer(rng, TransferMode::Immediate),
            Kind::Pending => {
                let mode = self.pending(rng);
                self.transfer(rng, mode)
            }
            Kind::Post => self.post(rng, fold),
            Kind::Void => Body::VoidPending(VoidPending { transfer: self.pending_id(rng, fold) }),
            Kind::AccountState => self.account_state(rng),
            Kind::AccountAsset => self.account_asset(rng),
            Kind::Phase => self.phase(rng),
            Kind::Create => self.create(rng),
            Kind::Define => self.define(rng),
            Kind::Stock => self.stock(rng, fold),
            Kind::NewWorkOrder => self.new_work_order(rng),
            Kind::Release => self.release(rng, fold),
            Kind::SetWorkOrder => self.set_work_order(rng, fold),
            Kind::IssueMaterials => self.issue_materials(rng, fold),
            Kind::ReturnMaterials => self.return_materials(rng, fold),
            Kind::ReportOperation => self.report_operation(rng, fold),
            Kind::Complete => self.complete(rng, fold),
            Kind::Planning => self.planning(rng, fold),
            Kind::Tick => {
                self.now.0 += rng.below(12);
                return;
            }
            Kind::Chain => return self.chain(rng, fold, commands),
            Kind::Resend => return commands.push(rng.pick(&self.sent).clone()),
            Kind::ReuseId => {
                let id = rng.pick(&self.sent).id;
                let body = if rng.chance(50) { self.limit(rng) } else { self.transfer(rng, TransferMode::Immediate) };
                return commands.push(Command { id, linked: false, body });
            }
        };
        let command = self.command(body);
        commands.push(command);
    }

    fn chain(&mut self, rng: &mut Rng, fold: &Fold, commands: &mut Vec<Command>) {
        let length = rng.between(2, 4);
        let start = commands.len();
        for _ in 0..length {
            let body = match rng.below(6) {
                0 => self.post(rng, fold),
                1 => Body::VoidPending(VoidPending { transfer: self.pending_id(rng, fold) }),
                2 => {
                    let mode = self.pending(rng);
                    self.transfer(rng, mode)
                }
                _ => self.transfer(rng, TransferMode::Immediate),
            };
            let mut command = self.command(body);
            command.linked = true;
            commands.push(command);
        }
        commands.last_mut().expect("a chain has members").linked = false;
        // A whole chain sent again must be answered as it was the first time; sometimes it is torn.
        if rng.chance(20) {
            let again: Vec<_> = commands[start..].to_vec();
            let keep = if rng.chance(50) { again.len() } else { again.len() - 1 };
            commands.extend(again.into_iter().take(keep));
            commands.last_mut().expect("a chain has members").linked = false;
        }
        let from = self.sent.len() - length as usize;
        self.sent.truncate(from);
    }

    fn account(&self, rng: &mut Rng) -> AccountId {
        match rng.below(100) {
            at if at < self.swarm.typos => AccountId(99),
            at if at < 10 => *rng.pick(&[HOUSE, BANK, RESTRICTED]),
            _ => AccountId(FIRST_TRADER + rng.below(self.swarm.traders)),
        }
    }

    fn asset(&self, rng: &mut Rng) -> AssetId {
        if rng.chance(self.swarm.typos) { AssetId(99) } else { *rng.pick(&[USD, AAPL, BTC]) }
    }

    fn market(&self, rng: &mut Rng) -> CreateMarket {
        let mut market = rng.pick(&self.swarm.markets).clone();
        if rng.chance(self.swarm.typos) {
            market.market = MarketId(99);
        }
        market
    }

    fn price(&self, rng: &mut Rng, market: &CreateMarket) -> Price {
        if self.swarm.huge && rng.chance(30) {
            let price = *rng.pick(&EXTREMES);
            return Price((price - price % market.tick.0).max(market.tick.0));
        }
        let ticks = self.swarm.price_low + rng.below(self.swarm.price_span);
        Price(ticks * market.tick.0 + u64::from(rng.chance(self.swarm.typos)))
    }

    fn quantity(&self, rng: &mut Rng, market: &CreateMarket) -> Quantity {
        if self.swarm.huge && rng.chance(30) {
            let quantity = *rng.pick(&EXTREMES);
            return Quantity((quantity - quantity % market.lot.0).max(market.lot.0));
        }
        let lots = if rng.chance(self.swarm.typos) { 100 } else { rng.between(1, self.swarm.lots_max) };
        Quantity(lots * market.lot.0 + u64::from(rng.chance(self.swarm.typos)))
    }

    fn amount(&self, rng: &mut Rng) -> Amount {
        if self.swarm.huge && rng.chance(50) {
            return Amount((*rng.pick(&EXTREMES)).min(i64::MAX as u64) as i64);
        }
        Amount(*rng.pick(&[1, 5, 40, 250, self.swarm.wealth]) - rng.below(2) as i64).max(Amount(1))
    }

    fn deadline(&self, rng: &mut Rng) -> Timestamp {
        if rng.chance(5) { self.now } else { Timestamp(self.now.0 + rng.between(1, 15)) }
    }

    fn order(&self, rng: &mut Rng, pricing: impl FnOnce(&mut Rng, &CreateMarket) -> Pricing) -> NewOrder {
        let market = self.market(rng);
        NewOrder {
            account: self.account(rng),
            market: market.market,
            side: *rng.pick(&[Side::Buy, Side::Sell]),
            quantity: self.quantity(rng, &market),
            pricing: pricing(rng, &market),
            time_in_force: *rng.pick(&[TimeInForce::ImmediateOrCancel, TimeInForce::FillOrKill]),
            expires_at: None,
            post_only: false,
            self_trade_prevention: *rng.pick(SelfTradePrevention::ALL),
        }
    }

    fn limit(&self, rng: &mut Rng) -> Body {
        let mut order = self.order(rng, |rng, market| Pricing::Limit(self.price(rng, market)));
        match rng.below(10) {
            0..6 => order.time_in_force = TimeInForce::GoodTillCancel,
            6..8 => {
                order.time_in_force = TimeInForce::GoodTillDate;
                order.expires_at = Some(self.deadline(rng));
            }
            _ => return Body::NewOrder(order),
        }
        order.post_only = rng.chance(15);
        Body::NewOrder(order)
    }

    fn market_to_price(&self, rng: &mut Rng) -> Body {
        Body::NewOrder(self.order(rng, |rng, market| Pricing::MarketToPrice(self.price(rng, market))))
    }

    fn market_for_budget(&self, rng: &mut Rng) -> Body {
        let mut order = self.order(rng, |rng, _| Pricing::MarketForBudget(self.amount(rng)));
        order.side = Side::Buy;
        Body::NewOrder(order)
    }

    /// An order to name, mostly an open one and with its owner.
    fn target(&self, rng: &mut Rng, fold: &Fold) -> (AccountId, OrderRef, u64) {
        let open: Vec<OrderId> = fold.open.iter().copied().collect();
        let all: Vec<OrderId> = fold.orders.keys().copied().collect();
        let id = match (open.is_empty(), all.is_empty(), rng.below(10)) {
            (_, true, _) | (_, _, 0) => return (self.account(rng), OrderRef::OrderId(OrderId(7)), 10),
            (true, _, _) | (_, _, 1) => *rng.pick(&all),
            _ => *rng.pick(&open),
        };
        let order = &fold.orders[&id];
        let account = if rng.chance(4) { self.account(rng) } else { order.account };
        let name = if rng.chance(50) { OrderRef::OrderId(id) } else { OrderRef::ClientOrderId(order.id) };
        (account, name, order.quantity)
    }

    fn replace(&self, rng: &mut Rng, fold: &Fold) -> Body {
        let (account, order, quantity) = self.target(rng, fold);
        let market = match order {
            OrderRef::OrderId(id) => fold.orders.get(&id).map(|order| order.market),
            OrderRef::ClientOrderId(_) => None,
        };
        let market = market.and_then(|id| self.swarm.markets.iter().find(|market| market.market == id).cloned());
        let market = market.unwrap_or_else(|| self.market(rng));
        let quantity = match rng.below(4) {
            0 => Quantity(quantity),
            1 => Quantity(quantity.saturating_sub(market.lot.0).max(market.lot.0)),
            _ => self.quantity(rng, &market),
        };
        let price = rng.chance(50).then(|| self.price(rng, &market));
        Body::ReplaceOrder(ReplaceOrder { account, order, quantity, price })
    }

    fn cancel(&self, rng: &mut Rng, fold: &Fold) -> Body {
        let (account, order, _) = self.target(rng, fold);
        Body::CancelOrder(CancelOrder { account, order })
    }

    fn mass_cancel(&self, rng: &mut Rng) -> Body {
        let market = rng.chance(50).then(|| self.market(rng).market);
        let side = rng.chance(50).then(|| *rng.pick(&[Side::Buy, Side::Sell]));
        Body::MassCancel(MassCancel { account: self.account(rng), market, side })
    }

    fn transfer(&self, rng: &mut Rng, mode: TransferMode) -> Body {
        let debit = if rng.chance(25) { *rng.pick(&[BANK, HOUSE]) } else { self.account(rng) };
        Body::Transfer(Transfer {
            debit,
            credit: self.account(rng),
            asset: self.asset(rng),
            amount: self.amount(rng),
            mode,
            user_data: u128::from(rng.next()),
            code: rng.below(3) as u32,
        })
    }

    fn pending(&self, rng: &mut Rng) -> TransferMode {
        TransferMode::Pending { expires_at: rng.chance(60).then(|| self.deadline(rng)) }
    }

    fn pending_id(&self, rng: &mut Rng, fold: &Fold) -> CommandId {
        let pending: Vec<CommandId> = fold.pending.keys().copied().collect();
        match (pending.is_empty(), rng.below(8)) {
            (_, 0) | (true, _) => rng.pick(&self.sent).id,
            _ => *rng.pick(&pending),
        }
    }

    fn post(&self, rng: &mut Rng, fold: &Fold) -> Body {
        let amount = rng.chance(60).then(|| self.amount(rng));
        Body::PostPending(PostPending { transfer: self.pending_id(rng, fold), amount })
    }

    fn account_state(&self, rng: &mut Rng) -> Body {
        let state =
            *rng.pick(&[AccountState::Active, AccountState::Active, AccountState::Frozen, AccountState::Closed]);
        Body::SetAccountState(SetAccountState { account: self.account(rng), state })
    }

    fn account_asset(&self, rng: &mut Rng) -> Body {
        let account = if rng.chance(50) { RESTRICTED } else { self.account(rng) };
        let credit_limit = Amount(*rng.pick(&[0, 0, 20, 500, i64::MAX]));
        Body::SetAccountAsset(SetAccountAsset {
            account,
            asset: self.asset(rng),
            allowed: rng.chance(60),
            credit_limit,
        })
    }

    fn phase(&self, rng: &mut Rng) -> Body {
        let phase = *rng.pick(&[Phase::Continuous, Phase::Continuous, Phase::Halted, Phase::Closed]);
        Body::SetMarketPhase(SetMarketPhase { market: self.market(rng).market, phase })
    }

    /// Something new, or what is there already, or what cannot be.
    fn create(&self, rng: &mut Rng) -> Body {
        let number = rng.between(1, 12) as u32;
        let code = Code::new(&format!("X{number}")).expect("a code");
        match rng.below(3) {
            0 => {
                let kind = AssetKind::Material;
                Body::CreateAsset(CreateAsset { asset: AssetId(number), code, scale: rng.below(13) as u8, kind })
            }
            1 => Body::CreateAccount(CreateAccount {
                account: AccountId(u64::from(number)),
                issuer: false,
                restricted: rng.chance(20),
                user_data: 5,
            }),
            _ => {
                let mut market = self.market(rng);
                market.market = MarketId(number);
                market.symbol = code;
                match rng.below(6) {
                    0 => market.quote = market.base,
                    1 => (market.tick, market.lot, market.base) = (Price(3), Quantity(1), BTC),
                    2 => (market.maker_fee, market.taker_fee) = (FeeRate(-2), FeeRate(1)),
                    3 => market.taker_fee = FeeRate(1_000_001),
                    4 => market.fee_account = self.account(rng),
                    _ => (market.base, market.quote) = (self.asset(rng), self.asset(rng)),
                }
                Body::CreateMarket(market)
            }
        }
    }
}
