//! Log entries made up from a seed: the same for everyone who asks for the same index.

use super::Random;
use crate::core::codec::Encode as _;
use crate::core::command::{
    Body, CancelOrder, Command, CreateAccount, CreateAsset, CreateMarket, NewOrder, OrderRef, PostPending, Pricing,
    Proposal, Transfer, TransferMode,
};
use crate::core::types::{
    AccountId, Amount, AssetId, AssetKind, Code, CommandId, FeeRate, LogIndex, MarketId, Phase, Price, Quantity,
    SelfTradePrevention, Side, Term, TimeInForce, Timestamp,
};
use crate::store::Position;
use crate::store::engine::Payload;

const ACCOUNTS: u64 = 20;
const ISSUER: AccountId = AccountId(100);
const MONEY: AssetId = AssetId(1);
const SHARE: AssetId = AssetId(2);
const MARKET: MarketId = MarketId(1);

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
        let commands = match index {
            1 => setup(),
            _ => (0..numbers.below(8)).map(|place| command(&mut numbers, index, place)).collect(),
        };
        let time = Timestamp(1_000_000 * index);
        Entry { position, bytes: Some(Proposal::new(time, commands).to_bytes()), membership: false }
    }
}

fn plain(id: u128, body: Body) -> Command {
    Command { id: CommandId(id), linked: false, body }
}

fn setup() -> Vec<Command> {
    let asset = |asset: AssetId, code| {
        let code = Code::new(code).expect("a code");
        Body::CreateAsset(CreateAsset { asset, code, scale: 0, kind: AssetKind::Currency })
    };
    let account = |account: AccountId| {
        let issuer = account == ISSUER;
        Body::CreateAccount(CreateAccount { account, issuer, restricted: false, user_data: 0 })
    };
    let mut bodies = vec![asset(MONEY, "USD"), asset(SHARE, "AAPL"), account(ISSUER)];
    bodies.extend((1..=ACCOUNTS).map(|number| account(AccountId(number))));
    bodies.push(Body::CreateMarket(CreateMarket {
        market: MARKET,
        symbol: Code::new("AAPL/USD").expect("a code"),
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

fn command(numbers: &mut Random, index: u64, place: u64) -> Command {
    let id = u128::from(index) << 64 | u128::from(place) << 8 | 1;
    let account = AccountId(1 + numbers.below(ACCOUNTS));
    let other = AccountId(1 + account.0 % ACCOUNTS);
    let amount = 1 + numbers.below(500) as i64;
    let before = u128::from(index - 1 - numbers.below(index.min(20))) << 64 | 1;
    match numbers.below(20) {
        0..=3 => plain(id, Body::Transfer(transfer(account, other, MONEY, amount, TransferMode::Immediate))),
        4 => {
            let expires_at = Some(Timestamp(1_000_000 * (index + numbers.below(30))));
            plain(id, Body::Transfer(transfer(account, other, SHARE, amount, TransferMode::Pending { expires_at })))
        }
        5 => plain(id, Body::PostPending(PostPending { transfer: CommandId(before), amount: None })),
        6 => plain(id, Body::CancelOrder(CancelOrder { account, order: OrderRef::ClientOrderId(CommandId(before)) })),
        // An id that may have been used: a duplicate, or refused.
        7 => plain(before, Body::Transfer(transfer(account, other, MONEY, 5, TransferMode::Immediate))),
        _ => {
            let side = if numbers.below(2) == 0 { Side::Buy } else { Side::Sell };
            let order = NewOrder {
                account,
                market: MARKET,
                side,
                quantity: Quantity(1 + numbers.below(50)),
                pricing: Pricing::Limit(Price(90 + numbers.below(20))),
                time_in_force: TimeInForce::GoodTillCancel,
                expires_at: None,
                post_only: false,
                self_trade_prevention: SelfTradePrevention::CancelNewest,
            };
            plain(id, Body::NewOrder(order))
        }
    }
}
