//! A small exchange for the core's unit tests: a ledger with two assets, a few accounts, a market.
//!
//! Every command sent through it checks the invariants of the state that it leaves.

use std::collections::BTreeMap;

use super::command::{
    Body, Command, CommandKey, CreateAccount, CreateAsset, CreateMarket, NewOrder, Pricing, Proposal, Transfer,
    TransferMode,
};
use super::event::{Effects, EventBody, Outcome, Record};
use super::types::{
    AccountId, Amount, AssetId, AssetKind, Code, CommandId, FeeRate, LogIndex, MarketId, OrderId, Phase, Price,
    Quantity, SelfTradePrevention, Side, Stamp, Term, TimeInForce, Timestamp,
};
use super::{History, Ledger, Rejection, StateDigest, Used};

/// The quote asset, with two decimal places.
pub const USD: AssetId = AssetId(1);
/// The base asset, counted in pieces.
pub const BOLT: AssetId = AssetId(2);
/// Where value enters.
pub const ISSUER: AccountId = AccountId(1);
/// The first trader, who has [`FUNDS`].
pub const ANN: AccountId = AccountId(2);
/// The second trader, who has [`FUNDS`].
pub const BOB: AccountId = AccountId(3);
/// Where fees go.
pub const FEES: AccountId = AccountId(9);
/// BOLT for USD, in steps of one.
pub const BOLT_USD: MarketId = MarketId(1);
/// What each trader has of both assets.
pub const FUNDS: i64 = 1_000_000;

/// The ids used so far.
#[derive(Debug, Default, Clone)]
pub struct UsedIds(BTreeMap<CommandKey, Used>);

impl History for UsedIds {
    fn find(&self, key: &CommandKey) -> Option<Used> {
        self.0.get(key).copied()
    }

    fn remember(&mut self, key: CommandKey, used: Used) {
        assert_eq!(self.0.insert(key, used), None, "an id is remembered once");
    }
}

/// A ledger with what is needed to send it commands.
#[derive(Debug, Default)]
pub struct Exchange {
    pub ledger: Ledger,
    pub used: UsedIds,
    pub time: u64,
    effects: Effects,
    last_id: u128,
    last_index: u64,
}

impl Exchange {
    /// The small exchange, with these fees in hundredths of a basis point.
    pub fn with_fees(maker: i32, taker: i32) -> Self {
        let mut exchange = Self::default();
        for (asset, code, scale) in [(USD, "USD", 2), (BOLT, "BOLT", 0)] {
            let code = Code::new(code).expect("a code");
            exchange.accept(Body::CreateAsset(CreateAsset { asset, code, scale, kind: AssetKind::Currency }));
        }
        for account in [ISSUER, ANN, BOB, FEES] {
            let issuer = account == ISSUER;
            exchange.accept(Body::CreateAccount(CreateAccount { account, issuer, restricted: false, user_data: 0 }));
        }
        for (account, asset) in [(ANN, USD), (ANN, BOLT), (BOB, USD), (BOB, BOLT)] {
            exchange.accept(Body::Transfer(transfer(ISSUER, account, asset, FUNDS)));
        }
        exchange.accept(Body::CreateMarket(CreateMarket {
            market: BOLT_USD,
            symbol: Code::new("BOLT/USD").expect("a code"),
            base: BOLT,
            quote: USD,
            tick: Price(1),
            lot: Quantity(1),
            maker_fee: FeeRate(maker),
            taker_fee: FeeRate(taker),
            fee_account: FEES,
            quantity_max: Quantity(u64::MAX),
            notional_max: Amount(i64::MAX),
            phase: Phase::Continuous,
        }));
        exchange
    }

    /// The small exchange, free of fees.
    pub fn new() -> Self {
        Self::with_fees(0, 0)
    }

    /// Sends commands as one proposal, chained where `linked`; answers what each one's record says.
    pub fn propose(&mut self, linked: bool, bodies: Vec<Body>) -> Vec<Record> {
        let last = bodies.len();
        let commands = (1..).zip(bodies).map(|(place, body)| {
            self.last_id += 1;
            Command { id: CommandId(self.last_id), linked: linked && place < last, body }
        });
        let proposal = Proposal::new(Timestamp(self.time), commands.collect());
        self.apply(&proposal);
        let records = self.effects.outcomes.iter().map(|outcome| match outcome {
            Outcome::Applied { record } => self.effects.record(*record as usize).to_record(),
            answered => panic!("a fresh command is answered with {answered:?}"),
        });
        records.collect()
    }

    /// Applies a proposal as it is; answers the outcomes.
    pub fn apply(&mut self, proposal: &Proposal) -> Vec<Outcome> {
        self.last_index += 1;
        self.effects.clear();
        let stamp = Stamp { term: Term(1), index: LogIndex(self.last_index), time: proposal.time };
        self.ledger.apply(stamp, proposal, &mut self.used, &mut self.effects);
        self.ledger.check_invariants().expect("every state holds the invariants");
        self.effects.outcomes.clone()
    }

    /// Lets time pass; answers what it brought about.
    pub fn wait_until(&mut self, time: u64) -> Vec<EventBody> {
        self.time = time;
        self.apply(&Proposal::new(Timestamp(time), Vec::new()));
        self.effects.records().flat_map(|record| record.to_record().events).map(|event| event.body).collect()
    }

    /// Sends a command whose invariants nobody looks at: for many in a row.
    pub fn send_unchecked(&mut self, body: Body) {
        self.last_id += 1;
        self.last_index += 1;
        self.effects.clear();
        let command = Command { id: CommandId(self.last_id), linked: false, body };
        let proposal = Proposal::new(Timestamp(self.time), vec![command]);
        let stamp = Stamp { term: Term(1), index: LogIndex(self.last_index), time: proposal.time };
        self.ledger.apply(stamp, &proposal, &mut self.used, &mut self.effects);
    }

    /// The id that the command gets which is sent as the n-th from now on.
    pub fn id_of_next(&self, place: u128) -> CommandId {
        CommandId(self.last_id + place)
    }

    /// Sends one command; answers its record.
    pub fn send(&mut self, body: Body) -> Record {
        self.propose(false, vec![body]).remove(0)
    }

    /// Sends a command that is accepted; answers its events.
    pub fn accept(&mut self, body: Body) -> Vec<EventBody> {
        let events: Vec<EventBody> = self.send(body).events.into_iter().map(|event| event.body).collect();
        assert!(!matches!(events[0], EventBody::Rejected(_)), "{events:?}");
        events
    }

    /// Sends a command that is refused; answers why. Nothing but its record may have changed.
    pub fn refuse(&mut self, body: Body) -> Rejection {
        let before = self.content();
        let events = self.send(body).events;
        assert_eq!(self.content(), before, "a refused command changes nothing");
        match &events[0].body {
            EventBody::Rejected(reason) => *reason,
            accepted => panic!("accepted: {accepted:?}"),
        }
    }

    /// Enters an order that is accepted; answers its id and the events behind its acceptance.
    pub fn enter(&mut self, order: NewOrder) -> (OrderId, Vec<EventBody>) {
        let record = self.send(Body::NewOrder(order));
        assert!(matches!(record.events[0].body, EventBody::OrderAccepted(_)), "{record:?}");
        (OrderId(record.sequence.0), record.events.into_iter().skip(1).map(|event| event.body).collect())
    }

    /// Posted and reserved of a balance; zero when it is not there.
    pub fn balance(&self, account: AccountId, asset: AssetId) -> (i64, i64) {
        self.ledger.balance(account, asset).map_or((0, 0), |balance| (balance.posted.0, balance.reserved.0))
    }

    /// A digest of every record but the header, which counts events.
    pub fn content(&self) -> StateDigest {
        let mut digest = StateDigest::default();
        let mut bytes = Vec::new();
        for key in self.ledger.records().skip(1) {
            bytes.clear();
            self.ledger.encode_record(key, &mut bytes);
            digest.add(key.table.number(), &bytes);
        }
        digest
    }
}

/// An immediate transfer.
pub fn transfer(debit: AccountId, credit: AccountId, asset: AssetId, amount: i64) -> Transfer {
    Transfer { debit, credit, asset, amount: Amount(amount), mode: TransferMode::Immediate, user_data: 0, code: 0 }
}

/// A pending transfer.
pub fn pending(debit: AccountId, credit: AccountId, asset: AssetId, amount: i64, expires_at: Option<u64>) -> Transfer {
    let mode = TransferMode::Pending { expires_at: expires_at.map(Timestamp) };
    Transfer { mode, ..transfer(debit, credit, asset, amount) }
}

/// A limit order, good till cancel, in the one market.
pub fn limit(account: AccountId, side: Side, quantity: u64, price: u64) -> NewOrder {
    NewOrder {
        account,
        market: BOLT_USD,
        side,
        quantity: Quantity(quantity),
        pricing: Pricing::Limit(Price(price)),
        time_in_force: TimeInForce::GoodTillCancel,
        expires_at: None,
        post_only: false,
        self_trade_prevention: SelfTradePrevention::CancelNewest,
    }
}
