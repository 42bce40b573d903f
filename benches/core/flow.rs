//! Commands as markets and payment services send them, made before the clock runs.

use std::collections::HashMap;

use counterfoil_core::command::{
    Body, CancelOrder, Command, CommandKey, CreateAccount, CreateAsset, CreateMarket, NewOrder, OrderRef, Pricing,
    Proposal, Transfer, TransferMode,
};
use counterfoil_core::event::{Effects, EventBody};
use counterfoil_core::types::{
    AccountId, Amount, AssetId, AssetKind, Code, CommandId, FeeRate, LogIndex, MarketId, OrderId, Phase, Price,
    Quantity, SelfTradePrevention, Side, Stamp, Term, TimeInForce, Timestamp,
};
use counterfoil_core::{History, Ledger, RecordKey, Used};

use super::rng::Rng;

/// Commands of one proposal.
pub const PER_PROPOSAL: usize = 100;
/// What every account has of every asset: more than it can lose here.
const FUNDS: i64 = 1 << 48;
/// The first account that trades; the one before it issues.
const FIRST_ACCOUNT: u64 = 10;
const ISSUER: AccountId = AccountId(1);
const QUOTE: AssetId = AssetId(1);
const MID: u64 = 100_000;

/// Ids that were never used: looking them up is the store's cost, measured with the store.
pub struct Fresh;

impl History for Fresh {
    fn find(&self, _: &CommandKey) -> Option<Used> {
        None
    }
    fn remember(&mut self, _: CommandKey, _: Used) {}
}

/// A ledger, and what it needs to be applied to.
#[derive(Default)]
pub struct Desk {
    ledger: Ledger,
    effects: Effects,
    changes: Vec<RecordKey>,
    index: u64,
    last_id: u128,
}

impl Desk {
    /// A ledger with this many accounts, and markets of as many assets for the first one.
    pub fn new(accounts: u64, markets: u32) -> Self {
        let mut desk = Self::default();
        for proposal in desk.opening(accounts, markets) {
            desk.apply(&proposal);
        }
        desk
    }

    /// What makes such a ledger of an empty one.
    pub fn opening(&mut self, accounts: u64, markets: u32) -> Vec<Proposal> {
        let asset = |id: u32| {
            let code = Code::new(&format!("A{id}")).expect("a code");
            Body::CreateAsset(CreateAsset { asset: AssetId(id), code, scale: 0, kind: AssetKind::Currency })
        };
        let account =
            |account, issuer| Body::CreateAccount(CreateAccount { account, issuer, restricted: false, user_data: 0 });
        let mut bodies: Vec<Body> = (1..=markets + 1).map(asset).collect();
        bodies.push(account(ISSUER, true));
        for number in 0..accounts {
            let id = AccountId(FIRST_ACCOUNT + number);
            bodies.push(account(id, false));
            bodies.extend((1..=markets + 1).map(|asset| Body::Transfer(transfer(ISSUER, id, AssetId(asset), FUNDS))));
        }
        bodies.extend((1..=markets).map(|number| Body::CreateMarket(market(number))));
        bodies.chunks(PER_PROPOSAL).map(|part| self.proposal(part.to_vec())).collect()
    }

    /// A proposal of these commands, each with an id of its own.
    pub fn proposal(&mut self, bodies: Vec<Body>) -> Proposal {
        let command = |body| {
            self.last_id += 1;
            Command { id: CommandId(self.last_id), linked: false, body }
        };
        Proposal::new(Timestamp(1), bodies.into_iter().map(command).collect())
    }

    /// Applies a proposal as a node does: effects and changed records are kept until the next one.
    pub fn apply(&mut self, proposal: &Proposal) -> &Effects {
        self.index += 1;
        let stamp = Stamp { term: Term(1), index: LogIndex(self.index), time: proposal.time };
        self.effects.clear();
        self.ledger.apply(stamp, proposal, &mut Fresh, &mut self.effects);
        self.changes.clear();
        self.ledger.take_changes(&mut self.changes);
        &self.effects
    }
}

fn transfer(debit: AccountId, credit: AccountId, asset: AssetId, amount: i64) -> Transfer {
    let mode = TransferMode::Immediate;
    Transfer { debit, credit, asset, amount: Amount(amount), mode, user_data: 0, code: 0 }
}

fn market(number: u32) -> CreateMarket {
    CreateMarket {
        market: MarketId(number),
        symbol: Code::new(&format!("M{number}")).expect("a code"),
        base: AssetId(number + 1),
        quote: QUOTE,
        tick: Price(1),
        lot: Quantity(1),
        maker_fee: FeeRate(-100),
        taker_fee: FeeRate(300),
        fee_account: ISSUER,
        quantity_max: Quantity(1 << 32),
        notional_max: Amount(1 << 56),
        phase: Phase::Continuous,
    }
}

/// A transfer between two of the first `accounts` accounts, each as likely as any other.
pub fn any_transfer(rng: &mut Rng, accounts: u64) -> Body {
    let debit = rng.below(accounts);
    let credit = (debit + 1 + rng.below(accounts - 1)) % accounts;
    let [debit, credit] = [debit, credit].map(|number| AccountId(FIRST_ACCOUNT + number));
    Body::Transfer(transfer(debit, credit, QUOTE, 1 + rng.below(100) as i64))
}

/// An order of good till cancel; `away` ticks from the middle, on its own side of it when positive.
pub fn order(rng: &mut Rng, accounts: u64, market: u32, side: Side, away: i64) -> NewOrder {
    let price = match side {
        Side::Buy => MID.saturating_add_signed(-away),
        Side::Sell => MID.saturating_add_signed(away),
    };
    NewOrder {
        account: AccountId(FIRST_ACCOUNT + rng.below(accounts)),
        market: MarketId(market),
        side,
        quantity: Quantity(1 + rng.below(100)),
        pricing: Pricing::Limit(Price(price)),
        time_in_force: TimeInForce::GoodTillCancel,
        expires_at: None,
        post_only: false,
        self_trade_prevention: SelfTradePrevention::CancelNewest,
    }
}

/// One of the two sides.
pub fn any_side(rng: &mut Rng) -> Side {
    if rng.chance(50) { Side::Buy } else { Side::Sell }
}

/// The flow of an exchange: of a hundred commands 45 enter orders that rest, 45 cancel one, 10 trade.
pub struct OrderFlow {
    rng: Rng,
    accounts: u64,
    markets: u32,
    open: Vec<(OrderId, AccountId)>,
    places: HashMap<OrderId, usize>,
}

impl OrderFlow {
    /// How far from the middle orders rest: most of them near it.
    const DEPTH: u64 = 50;

    /// The flow of so many accounts in so many markets.
    pub fn new(seed: u64, accounts: u64, markets: u32) -> Self {
        Self { rng: Rng::new(seed), accounts, markets, open: Vec::new(), places: HashMap::new() }
    }

    /// Makes proposals and applies them to `desk`, so that cancels name orders that are open.
    pub fn proposals(&mut self, desk: &mut Desk, count: usize) -> Vec<Proposal> {
        (0..count)
            .map(|_| {
                let bodies = (0..PER_PROPOSAL).map(|_| self.next()).collect();
                let proposal = desk.proposal(bodies);
                self.learn(desk.apply(&proposal));
                proposal
            })
            .collect()
    }

    /// Proposals that fill the books with resting orders.
    pub fn fill(&mut self, desk: &mut Desk, count: usize) -> Vec<Proposal> {
        (0..count)
            .map(|_| {
                let bodies = (0..PER_PROPOSAL).map(|_| self.passive()).collect();
                let proposal = desk.proposal(bodies);
                self.learn(desk.apply(&proposal));
                proposal
            })
            .collect()
    }

    fn next(&mut self) -> Body {
        match self.rng.below(100) {
            0..45 => self.passive(),
            45..90 if !self.open.is_empty() => {
                let place = self.rng.below(self.open.len() as u64) as usize;
                let (order, account) = self.take(place);
                Body::CancelOrder(CancelOrder { account, order: OrderRef::OrderId(order) })
            }
            _ => {
                let side = any_side(&mut self.rng);
                let market = self.market();
                let order = order(&mut self.rng, self.accounts, market, side, -2);
                Body::NewOrder(NewOrder { time_in_force: TimeInForce::ImmediateOrCancel, ..order })
            }
        }
    }

    fn passive(&mut self) -> Body {
        let side = any_side(&mut self.rng);
        let away = 1 + self.rng.below(Self::DEPTH).min(self.rng.below(Self::DEPTH)) as i64;
        let market = self.market();
        Body::NewOrder(order(&mut self.rng, self.accounts, market, side, away))
    }

    fn market(&mut self) -> u32 {
        1 + self.rng.below(u64::from(self.markets)) as u32
    }

    fn learn(&mut self, effects: &Effects) {
        for (sequence, body) in effects.records().flat_map(|record| record.events().map(|(at, body, _)| (at, body))) {
            match body {
                EventBody::OrderAccepted(accepted) if accepted.order.time_in_force == TimeInForce::GoodTillCancel => {
                    let id = OrderId(sequence.0);
                    self.places.insert(id, self.open.len());
                    self.open.push((id, accepted.order.account));
                }
                EventBody::Trade(trade) if trade.maker_open == Quantity(0) => {
                    if let Some(&place) = self.places.get(&trade.maker) {
                        self.take(place);
                    }
                }
                _ => {}
            }
        }
    }

    fn take(&mut self, place: usize) -> (OrderId, AccountId) {
        let taken = self.open.swap_remove(place);
        self.places.remove(&taken.0);
        if let Some((moved, _)) = self.open.get(place) {
            self.places.insert(*moved, place);
        }
        taken
    }
}
