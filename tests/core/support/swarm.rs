//! What one generated sequence is made of, drawn anew for each: which commands and how often, how
//! many traders, how close the prices, how poor the accounts.
//!
//! Leaving kinds of commands out of a sequence finds more than mixing all of them in every one
//! (Groce et al., "Swarm testing", 2012).

use counterfoil_core::command::{
    Body, CreateAccount, CreateAsset, CreateMarket, SetAccountAsset, Transfer, TransferMode,
};
use counterfoil_core::types::{AccountId, Amount, AssetId, AssetKind, Code, FeeRate, MarketId, Phase, Price, Quantity};

use super::rng::Rng;

/// Money, of two decimal places.
pub const USD: AssetId = AssetId(1);
/// A share, whole.
pub const AAPL: AssetId = AssetId(2);
/// A coin, of three decimal places.
pub const BTC: AssetId = AssetId(3);
/// Where value comes from.
pub const BANK: AccountId = AccountId(1);
/// Where fees go.
pub const HOUSE: AccountId = AccountId(2);
/// May hold allowed assets only.
pub const RESTRICTED: AccountId = AccountId(3);
/// The first of the traders.
pub const FIRST_TRADER: u64 = 4;

/// A kind of command that a sequence can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Limit,
    MarketToPrice,
    MarketForBudget,
    Replace,
    Cancel,
    MassCancel,
    Transfer,
    Pending,
    Post,
    Void,
    Chain,
    AccountState,
    AccountAsset,
    Phase,
    Resend,
    ReuseId,
    Create,
    Tick,
    Define,
    Stock,
    NewWorkOrder,
    Release,
    SetWorkOrder,
    IssueMaterials,
    ReturnMaterials,
    ReportOperation,
    Complete,
    Planning,
}

impl Kind {
    const ALL: [(Self, u64); 18] = [
        (Self::Limit, 30),
        (Self::MarketToPrice, 5),
        (Self::MarketForBudget, 5),
        (Self::Replace, 12),
        (Self::Cancel, 6),
        (Self::MassCancel, 2),
        (Self::Transfer, 6),
        (Self::Pending, 6),
        (Self::Post, 5),
        (Self::Void, 3),
        (Self::Chain, 4),
        (Self::AccountState, 2),
        (Self::AccountAsset, 2),
        (Self::Phase, 2),
        (Self::Resend, 4),
        (Self::ReuseId, 2),
        (Self::Create, 2),
        (Self::Tick, 4),
    ];

    /// The kinds of production, which half of the sequences have. Orders are made and released in all of
    /// those: without them nothing else can be done.
    const PRODUCTION: [(Self, u64); 10] = [
        (Self::NewWorkOrder, 8),
        (Self::Release, 20),
        (Self::Define, 4),
        (Self::Stock, 15),
        (Self::SetWorkOrder, 8),
        (Self::IssueMaterials, 12),
        (Self::ReturnMaterials, 8),
        (Self::ReportOperation, 20),
        (Self::Complete, 30),
        (Self::Planning, 30),
    ];
    const PRODUCTION_ALWAYS: usize = 2;
}

/// The make-up of one sequence.
#[derive(Debug, Clone)]
pub struct Swarm {
    /// Each kind with its weight.
    pub weights: Vec<(Kind, u64)>,
    /// How many traders.
    pub traders: u64,
    /// The markets, as they are created.
    pub markets: Vec<CreateMarket>,
    /// Prices are from `price_low` ticks on,
    pub price_low: u64,
    /// this many ticks apart at most.
    pub price_span: u64,
    /// The most lots an order usually has.
    pub lots_max: u64,
    /// What each trader is given of each asset, in the smallest unit.
    pub wealth: i64,
    /// Draws prices, quantities and amounts near the ends of their types as well.
    pub huge: bool,
    /// How often, of a hundred, an id is one that nobody has.
    pub typos: u64,
    /// Sets up production, from this seed.
    pub production: Option<u64>,
    /// The most commands in one proposal.
    pub batch_max: u64,
}

impl Swarm {
    /// The make-up that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        let rng = &mut Rng::new(seed);
        let huge = rng.chance(10);
        let mut weights = Kind::ALL.to_vec();
        let production = rng.chance(50).then(|| rng.next());
        // Sequences are short: the more kinds, the less comes to its end.
        let kept = if production.is_some() { 25 } else { 60 };
        weights.retain(|(kind, _)| *kind == Kind::Limit || rng.chance(kept));
        if production.is_some() {
            let (always, others) = Kind::PRODUCTION.split_at(Kind::PRODUCTION_ALWAYS);
            weights.extend(always);
            weights.extend(others.iter().filter(|_| rng.chance(75)));
        }
        let tick = *rng.pick(&[1, 1, 5]);
        let lot = *rng.pick(&[1, 1, 10]);
        let fees = [(0, 0), (0, 3_000), (1_000, 2_500), (-700, 1_500), (333_333, 333_333), (-1_000_000, 1_000_000)];
        let mut market = |number: u32, symbol, base, quote, tick, lot| {
            let (maker, taker) = *rng.pick(&fees);
            let (quantity_max, notional_max) = if huge { (u64::MAX, i64::MAX) } else { (lot * 60, 200_000) };
            CreateMarket {
                market: MarketId(number),
                symbol: Code::new(symbol).expect("a code"),
                base,
                quote,
                tick: Price(tick),
                lot: Quantity(lot),
                maker_fee: FeeRate(maker),
                taker_fee: FeeRate(taker),
                fee_account: HOUSE,
                quantity_max: Quantity(quantity_max),
                notional_max: Amount(notional_max),
                phase: Phase::Continuous,
            }
        };
        // The share is stock in one market and money in another, so that holds of both kinds meet.
        let mut markets = vec![
            market(1, "AAPL/USD", AAPL, USD, tick, lot),
            market(2, "BTC/USD", BTC, USD, 100, 10),
            market(3, "BTC/AAPL", BTC, AAPL, 50, 20),
        ];
        markets.truncate(rng.between(1, 3) as usize);
        Self {
            weights,
            traders: rng.between(2, 4),
            markets,
            price_low: rng.between(1, 40),
            price_span: rng.between(1, 8),
            lots_max: rng.between(1, 12),
            wealth: if huge { 1 << 62 } else { *rng.pick(&[300, 3_000, 1_000_000]) },
            huge,
            typos: *rng.pick(&[0, 1, 4]),
            production,
            batch_max: *rng.pick(&[1, 1, 5]),
        }
    }

    /// A kind, by weight.
    pub fn kind(&self, rng: &mut Rng) -> Kind {
        let total = self.weights.iter().map(|(_, weight)| weight).sum();
        let mut at = rng.below(total);
        for (kind, weight) in &self.weights {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return *kind,
            }
        }
        unreachable!("the weights sum to their total")
    }

    /// The commands that every sequence begins with: assets, accounts, markets, and money for all.
    pub fn preamble(&self) -> Vec<Body> {
        let asset = |asset, code, scale, kind| {
            Body::CreateAsset(CreateAsset { asset, code: Code::new(code).expect("a code"), scale, kind })
        };
        let account = |account, issuer, restricted| {
            Body::CreateAccount(CreateAccount { account, issuer, restricted, user_data: 0 })
        };
        let mut bodies = vec![
            asset(USD, "USD", 2, AssetKind::Currency),
            asset(AAPL, "AAPL", 0, AssetKind::Security),
            asset(BTC, "BTC", 3, AssetKind::Currency),
            account(BANK, true, false),
            account(HOUSE, false, false),
            account(RESTRICTED, false, true),
        ];
        let mut rng = Rng::new(self.production.unwrap_or_default());
        if self.production.is_some() {
            bodies.extend(self.production_items(&mut rng));
        }
        let allow = |asset| SetAccountAsset { account: RESTRICTED, asset, allowed: true, credit_limit: Amount(50) };
        bodies.push(Body::SetAccountAsset(allow(USD)));
        bodies.extend(self.markets.iter().cloned().map(Body::CreateMarket));
        for trader in 0..self.traders {
            bodies.push(account(AccountId(FIRST_TRADER + trader), false, false));
        }
        if self.production.is_some() {
            bodies.extend(self.production_plant(&mut rng));
        }
        for trader in 0..self.traders {
            for asset in [USD, AAPL, BTC] {
                // Four times 2^62 would be more than the bank can owe.
                let wealth = if self.huge && trader > 0 { self.wealth / 4 } else { self.wealth };
                bodies.push(Body::Transfer(Transfer {
                    debit: BANK,
                    credit: AccountId(FIRST_TRADER + trader),
                    asset,
                    amount: Amount(wealth),
                    mode: TransferMode::Immediate,
                    user_data: 0,
                    code: 0,
                }));
            }
        }
        bodies
    }
}
