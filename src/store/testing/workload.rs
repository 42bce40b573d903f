//! Log entries made up from a seed: the same for everyone who asks for the same index. They hold every
//! kind of command, and cause every kind of event.

mod planning;
mod production;

use super::Random;
use crate::core::codec::Encode as _;
use crate::core::command::{
    Body, CancelOrder, Command, CreateAccount, CreateAsset, CreateMarket, MassCancel, NewOrder, OrderRef, PostPending,
    Pricing, Proposal, ReplaceOrder, SetAccountAsset, SetAccountState, SetMarketPhase, Transfer, TransferMode,
    VoidPending,
};
use crate::core::types::{
    AccountId, AccountState, Amount, AssetId, AssetKind, Code, CommandId, FeeRate, LogIndex, MarketId, Phase, Price,
    Quantity, SelfTradePrevention, Side, Term, TimeInForce, Timestamp,
};
use crate::store::Position;
use crate::store::engine::Payload;

const ACCOUNTS: u64 = 20;
const ISSUER: AccountId = AccountId(100);
const MONEY: AssetId = AssetId(1);
const SHARE: AssetId = AssetId(2);
const MARKET: MarketId = MarketId(1);

/// After so many entries the market stands still for a moment.
const HALT_EVERY: u64 = 40;

/// The entries of one seed.
#[derive(Debug, Clone, Copy)]
pub struct Workload(pub u64);

/// One log entry.
#[derive(Debug)]
pub struct Entry {
    /// Where it stands.
    pub position: Position,
    bytes: Option<Vec<u8>>,
    membership: bool,
}

impl Entry {
    /// What it holds.
    #[must_use]
    pub fn payload(&self) -> Payload<'_> {
        match &self.bytes {
            None => Payload::Blank,
            Some(bytes) if self.membership => Payload::Membership(bytes),
            Some(bytes) => Payload::Commands(bytes),
        }
    }
}

impl Workload {
    /// The entry at this index: 0 sets the membership, 1 creates what is traded.
    #[must_use]
    pub fn entry(self, index: u64) -> Entry {
        let position = Position { term: Term(1 + index / 1_000), index: LogIndex(index) };
        if index.is_multiple_of(700) {
            let bytes = format!("members of {index}").into_bytes();
            return Entry { position, bytes: Some(bytes), membership: true };
        }
        if index.is_multiple_of(97) {
            return Entry { position, bytes: None, membership: false };
        }
        let mut numbers = Random(self.0 << 32 | index);
        let mut commands: Vec<Command> = match index {
            1 => setup(),
            _ => (0..numbers.below(8)).map(|place| command(&mut numbers, index, place)).collect(),
        };
        if index.is_multiple_of(HALT_EVERY) {
            commands.extend(halt(index));
        }
        let time = Timestamp(1_000_000 * index);
        Entry { position, bytes: Some(Proposal::new(time, commands).to_bytes()), membership: false }
    }
}

fn plain(id: u128, body: Body) -> Command {
    Command { id: CommandId(id), linked: false, body }
}

fn code(text: &str) -> Code {
    Code::new(text).expect("a code")
}

fn asset(asset: AssetId, name: &str) -> Body {
    Body::CreateAsset(CreateAsset { asset, code: code(name), scale: 0, kind: AssetKind::Currency })
}

fn account(account: AccountId) -> Body {
    let issuer = account == ISSUER;
    Body::CreateAccount(CreateAccount { account, issuer, restricted: false, user_data: 0 })
}

fn setup() -> Vec<Command> {
    let mut bodies = production::setup();
    bodies.extend([asset(SHARE, "AAPL")]);
    bodies.extend((1..=ACCOUNTS).map(|number| account(AccountId(number))));
    bodies.push(Body::CreateMarket(CreateMarket {
        market: MARKET,
        symbol: code("AAPL/USD"),
        base: SHARE,
        quote: MONEY,
        tick: Price(1),
        lot: Quantity(1),
        maker_fee: FeeRate(100),
        taker_fee: FeeRate(200),
        fee_account: ISSUER,
        quantity_max: Quantity(1_000_000),
        notional_max: Amount(i64::MAX),
        phase: Phase::Continuous,
    }));
    for number in 1..=ACCOUNTS {
        for asset in [MONEY, SHARE] {
            bodies.push(Body::Transfer(transfer(ISSUER, AccountId(number), asset, 1_000_000, TransferMode::Immediate)));
        }
    }
    bodies.into_iter().zip(1_u128..).map(|(body, id)| plain(id, body)).collect()
}

fn transfer(debit: AccountId, credit: AccountId, asset: AssetId, amount: i64, mode: TransferMode) -> Transfer {
    Transfer { debit, credit, asset, amount: Amount(amount), mode, user_data: 0, code: 0 }
}

/// Nothing trades, and one account does nothing, for as long as it takes to say so.
fn halt(index: u64) -> Vec<Command> {
    let phase = |phase| Body::SetMarketPhase(SetMarketPhase { market: MARKET, phase });
    let state = |state| Body::SetAccountState(SetAccountState { account: AccountId(1), state });
    let terms = SetAccountAsset { account: AccountId(2), asset: MONEY, allowed: true, credit_limit: Amount(10) };
    let bodies = [
        phase(Phase::Halted),
        state(AccountState::Frozen),
        Body::SetAccountAsset(terms),
        state(AccountState::Active),
        phase(Phase::Continuous),
    ];
    let ids = u128::from(index) << 64 | 1 << 32..;
    bodies.into_iter().zip(ids).map(|(body, id)| plain(id, body)).collect()
}

fn command(numbers: &mut Random, index: u64, place: u64) -> Command {
    let id = u128::from(index) << 64 | u128::from(place) << 8 | 1;
    // The first command of an entry is by an account that a later one can name.
    let first_by = |index: u64| AccountId(1 + index % ACCOUNTS);
    let account = if place == 0 { first_by(index) } else { AccountId(1 + numbers.below(ACCOUNTS)) };
    let other = AccountId(1 + account.0 % ACCOUNTS);
    let amount = 1 + numbers.below(500) as i64;
    let earlier = index - 1 - numbers.below(index.min(20));
    let before = CommandId(u128::from(earlier) << 64 | 1);
    let body = match numbers.below(26) {
        0..=3 => Body::Transfer(transfer(account, other, MONEY, amount, TransferMode::Immediate)),
        4..=5 => {
            let expires_at = Some(Timestamp(1_000_000 * (index + numbers.below(30))));
            Body::Transfer(transfer(account, other, SHARE, amount, TransferMode::Pending { expires_at }))
        }
        6 => Body::PostPending(PostPending { transfer: before, amount: None }),
        7 => Body::VoidPending(VoidPending { transfer: before }),
        8 => {
            let order = OrderRef::ClientOrderId(before);
            Body::CancelOrder(CancelOrder { account: first_by(earlier), order })
        }
        9 => {
            let (order, quantity) = (OrderRef::ClientOrderId(before), Quantity(1 + numbers.below(60)));
            let (account, price) = (first_by(earlier), Some(price(numbers)));
            Body::ReplaceOrder(ReplaceOrder { account, order, quantity, price })
        }
        10 if amount < 50 => Body::MassCancel(MassCancel { account, market: None, side: Some(Side::Buy) }),
        // An id that may have been used: a duplicate, or refused.
        11 => {
            let again = Body::Transfer(transfer(account, other, MONEY, 5, TransferMode::Immediate));
            return plain(before.0, again);
        }
        12..=15 => production::body(numbers),
        _ => Body::NewOrder(order(numbers, account)),
    };
    plain(id, body)
}

fn price(numbers: &mut Random) -> Price {
    Price(90 + numbers.below(20))
}

fn order(numbers: &mut Random, account: AccountId) -> NewOrder {
    let prevention = numbers.below(SelfTradePrevention::ALL.len() as u64) as usize;
    NewOrder {
        account,
        market: MARKET,
        side: if numbers.below(2) == 0 { Side::Buy } else { Side::Sell },
        quantity: Quantity(1 + numbers.below(50)),
        pricing: Pricing::Limit(price(numbers)),
        time_in_force: TimeInForce::GoodTillCancel,
        expires_at: None,
        post_only: false,
        self_trade_prevention: SelfTradePrevention::ALL[prevention],
    }
}
