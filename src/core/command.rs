//! What a client can ask of the ledger.
//!
//! A command that cannot be valid in any state (a zero id, an amount below one) is not built at
//! all: the service's conversion checks the shape. What depends on the state is the ledger's to
//! refuse, as a [`Rejection`](super::Rejection).

mod plan;
mod production;

use super::codec::{Decode, DecodeError, Encode, Input, Output, Reader, numbered, record, tagged};
use super::digest::hash64;
use super::types::{
    AccountId, AccountState, Amount, AssetId, AssetKind, Code, CommandId, FeeRate, MarketId, OrderId, Phase, Price,
    Quantity, SelfTradePrevention, Side, Term, TimeInForce, Timestamp,
};

pub use plan::{
    BuyPurchase, ClosePlan, ClosePurchase, CreatePlan, DemandLine, DemandPeg, FirmPlan, LinkPurchase, OrderToFirm,
    PurchaseReceipt, ReceivePurchase, SetPlanLines,
};
pub use production::{
    AdjustStock, BomLine, ByProduct, CompleteWorkOrder, CountStock, CreateWorkOrder, DefineBom, DefineItem,
    DefinePlant, IssueMaterials, IssueStock, Material, MoveStock, Operation, ReceiveStock, ReleaseWorkOrder,
    ReportOperation, ReturnMaterials, ScrapStock, SetCalendar, SetWorkOrder,
};

record! {
    /// One command with its idempotency key.
    pub struct Command {
        /// Unique within its scope for ever; see [`Command::key`].
        pub id: CommandId,
        /// Chained to the next command of the same batch: the chain is applied whole or not at all.
        /// Only transfers, posts and voids can be chained.
        pub linked: bool,
        /// What is asked.
        pub body: Body,
    }
}

tagged! {
    /// What a command asks.
    pub enum Body {
        /// Adds an asset.
        1 => CreateAsset(CreateAsset),
        /// Adds an account.
        2 => CreateAccount(CreateAccount),
        /// Freezes, unfreezes or closes an account.
        3 => SetAccountState(SetAccountState),
        /// Allows an account an asset, and sets how far it may go below zero in it.
        4 => SetAccountAsset(SetAccountAsset),
        /// Adds a market.
        5 => CreateMarket(CreateMarket),
        /// Moves a market to another trading phase.
        6 => SetMarketPhase(SetMarketPhase),
        /// Moves an amount between two accounts, at once or pending.
        10 => Transfer(Transfer),
        /// Settles a pending transfer, whole or in part.
        11 => PostPending(PostPending),
        /// Gives a pending transfer's reservation back.
        12 => VoidPending(VoidPending),
        /// Enters an order (FIX NewOrderSingle).
        20 => NewOrder(NewOrder),
        /// Changes price or quantity of an open order (FIX OrderCancelReplaceRequest).
        21 => ReplaceOrder(ReplaceOrder),
        /// Cancels an open order (FIX OrderCancelRequest).
        22 => CancelOrder(CancelOrder),
        /// Cancels open orders of an account (FIX OrderMassCancelRequest).
        23 => MassCancel(MassCancel),
        /// Enters an order that buys a planned purchase.
        24 => BuyPurchase(BuyPurchase),
        /// Defines a plant.
        30 => DefinePlant(DefinePlant),
        /// Sets the days on which a plant works.
        31 => SetCalendar(SetCalendar),
        /// Defines how an asset is planned.
        32 => DefineItem(DefineItem),
        /// Adds a version of a bill of materials.
        33 => DefineBom(DefineBom),
        /// Takes goods in.
        40 => ReceiveStock(ReceiveStock),
        /// Gives goods out.
        41 => IssueStock(IssueStock),
        /// Books a known difference.
        42 => AdjustStock(AdjustStock),
        /// Books the difference to what was counted.
        43 => CountStock(CountStock),
        /// Throws goods away.
        44 => ScrapStock(ScrapStock),
        /// Moves goods between locations.
        45 => MoveStock(MoveStock),
        /// Adds a work order.
        50 => CreateWorkOrder(CreateWorkOrder),
        /// Reserves a work order's materials.
        51 => ReleaseWorkOrder(ReleaseWorkOrder),
        /// Starts, holds, resumes or ends a work order.
        52 => SetWorkOrder(SetWorkOrder),
        /// Issues materials to a work order.
        53 => IssueMaterials(IssueMaterials),
        /// Takes materials of a work order back.
        54 => ReturnMaterials(ReturnMaterials),
        /// Reports work on an operation.
        55 => ReportOperation(ReportOperation),
        /// Completes products of a work order.
        56 => CompleteWorkOrder(CompleteWorkOrder),
        /// Adds a production plan.
        60 => CreatePlan(CreatePlan),
        /// Sets and removes lines of a plan's demand.
        61 => SetPlanLines(SetPlanLines),
        /// Makes planned orders of what was calculated for a plan.
        62 => FirmPlan(FirmPlan),
        /// Ends a plan.
        63 => ClosePlan(ClosePlan),
        /// Says that goods of a planned purchase came.
        64 => ReceivePurchase(ReceivePurchase),
        /// Ends a planned purchase.
        65 => ClosePurchase(ClosePurchase),
        /// Says which order buys a planned purchase.
        66 => LinkPurchase(LinkPurchase),
    }
}

record! {
    /// Adds an asset.
    pub struct CreateAsset {
        /// The new asset's id.
        pub asset: AssetId,
        /// Its unique code.
        pub code: Code,
        /// Decimal places of a whole unit, 0 to [`CreateAsset::SCALE_MAX`].
        pub scale: u8,
        /// What it is.
        pub kind: AssetKind,
    }
}

impl CreateAsset {
    /// More decimal places would leave no room for whole units in 63 bits.
    pub const SCALE_MAX: u8 = 12;
}

record! {
    /// Adds an account.
    pub struct CreateAccount {
        /// The new account's id.
        pub account: AccountId,
        /// May go below zero in every asset: where value enters the books.
        pub issuer: bool,
        /// May hold only assets that [`SetAccountAsset`] allows.
        pub restricted: bool,
        /// A number of the client's own, such as a customer's in another system.
        pub user_data: u128,
    }
}

record! {
    /// Freezes, unfreezes or closes an account.
    pub struct SetAccountState {
        /// The account.
        pub account: AccountId,
        /// Its new state. Closing needs every balance at zero; a closed account stays closed.
        pub state: AccountState,
    }
}

record! {
    /// Sets an account's terms for one asset.
    pub struct SetAccountAsset {
        /// The account.
        pub account: AccountId,
        /// The asset.
        pub asset: AssetId,
        /// Whether a restricted account may hold it.
        pub allowed: bool,
        /// How far below zero its available balance may go; zero or more.
        pub credit_limit: Amount,
    }
}

record! {
    /// Adds a market, which opens in the phase it names.
    pub struct CreateMarket {
        /// The new market's id.
        pub market: MarketId,
        /// Its unique symbol.
        pub symbol: Code,
        /// What is traded.
        pub base: AssetId,
        /// What it is traded for.
        pub quote: AssetId,
        /// Prices are multiples of this.
        pub tick: Price,
        /// Quantities are multiples of this. `tick × lot` divides by 10^base-scale.
        pub lot: Quantity,
        /// What the resting side of a trade pays, of the notional.
        pub maker_fee: FeeRate,
        /// What the incoming side of a trade pays, of the notional; with the maker's never below zero.
        pub taker_fee: FeeRate,
        /// The account that fees go to.
        pub fee_account: AccountId,
        /// The largest quantity of one order.
        pub quantity_max: Quantity,
        /// The largest price × quantity of one order.
        pub notional_max: Amount,
        /// The phase it opens in.
        pub phase: Phase,
    }
}

record! {
    /// Moves a market to another trading phase.
    pub struct SetMarketPhase {
        /// The market.
        pub market: MarketId,
        /// Its new phase.
        pub phase: Phase,
    }
}

record! {
    /// Moves an amount of one asset from the debit to the credit account.
    pub struct Transfer {
        /// Gives.
        pub debit: AccountId,
        /// Receives.
        pub credit: AccountId,
        /// What is moved.
        pub asset: AssetId,
        /// How much, at least 1.
        pub amount: Amount,
        /// Whether it settles at once.
        pub mode: TransferMode,
        /// A number of the client's own.
        pub user_data: u128,
        /// A reason of the client's own.
        pub code: u32,
    }
}

/// Whether a transfer settles at once or waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferMode {
    /// Settles at once.
    Immediate,
    /// Reserves the amount until it is posted, voided, or expires.
    Pending {
        /// Gives the reservation back at this time; never, when `None`.
        expires_at: Option<Timestamp>,
    },
}

impl Encode for TransferMode {
    fn encode<O: Output>(&self, out: &mut O) {
        match self {
            Self::Immediate => out.put(&[0]),
            Self::Pending { expires_at } => {
                out.put(&[1]);
                expires_at.encode(out);
            }
        }
    }
}

impl Decode for TransferMode {
    const BYTES_MIN: usize = 1;

    fn decode<I: Input>(input: &mut I) -> Result<Self, DecodeError> {
        match u8::decode(input)? {
            0 => Ok(Self::Immediate),
            1 => Ok(Self::Pending { expires_at: Option::decode(input)? }),
            tag => Err(DecodeError::UnknownTag("TransferMode", tag)),
        }
    }
}

record! {
    /// Settles a pending transfer.
    pub struct PostPending {
        /// The pending transfer's id.
        pub transfer: CommandId,
        /// How much of it; all of it when `None`. The rest of the reservation is given back.
        pub amount: Option<Amount>,
    }
}

record! {
    /// Gives a pending transfer's reservation back.
    pub struct VoidPending {
        /// The pending transfer's id.
        pub transfer: CommandId,
    }
}

tagged! {
    /// What bounds the price of an order (FIX tag 40).
    #[derive(Copy)]
    pub enum Pricing {
        /// Trades at this price or better, and rests at it.
        1 => Limit(Price),
        /// Trades at this price or better; the rest is cancelled.
        2 => MarketToPrice(Price),
        /// Buys for at most this much of the quote asset, fees included; the rest is cancelled.
        3 => MarketForBudget(Amount),
    }
}

record! {
    /// Enters an order. The command's id is the client order id.
    pub struct NewOrder {
        /// Who trades.
        pub account: AccountId,
        /// Where.
        pub market: MarketId,
        /// Which way.
        pub side: Side,
        /// How much of the base asset; for [`Pricing::MarketForBudget`] the most.
        pub quantity: Quantity,
        /// At what price.
        pub pricing: Pricing,
        /// For how long. Market orders are [`TimeInForce::ImmediateOrCancel`] or [`TimeInForce::FillOrKill`].
        pub time_in_force: TimeInForce,
        /// When a [`TimeInForce::GoodTillDate`] order ends; `None` for every other.
        pub expires_at: Option<Timestamp>,
        /// Refused when it would trade on entry.
        pub post_only: bool,
        /// What to do before it trades with its own account.
        pub self_trade_prevention: SelfTradePrevention,
    }
}

tagged! {
    /// How a command names an open order.
    #[derive(Copy)]
    pub enum OrderRef {
        /// By the ledger's id (FIX tag 37).
        1 => OrderId(OrderId),
        /// By the client order id it was entered with (FIX tag 41).
        2 => ClientOrderId(CommandId),
    }
}

record! {
    /// Changes price or quantity of an open order. The order keeps its ids; it keeps its priority
    /// only when the price stays and the quantity does not grow.
    pub struct ReplaceOrder {
        /// Whose order.
        pub account: AccountId,
        /// Which order.
        pub order: OrderRef,
        /// The new total quantity, what is filled already included; what was filled meanwhile is
        /// netted, and an order that it fills whole or more ends.
        pub quantity: Quantity,
        /// The new limit price; unchanged when `None`.
        pub price: Option<Price>,
    }
}

record! {
    /// Cancels an open order.
    pub struct CancelOrder {
        /// Whose order.
        pub account: AccountId,
        /// Which order.
        pub order: OrderRef,
    }
}

record! {
    /// Cancels every open order of an account, of one market and side where they are named.
    pub struct MassCancel {
        /// Whose orders.
        pub account: AccountId,
        /// Of this market alone.
        pub market: Option<MarketId>,
        /// Of this side alone.
        pub side: Option<Side>,
    }
}

numbered! {
    /// Which commands share a space of ids.
    pub enum Scope {
        /// Assets, accounts, markets and their terms.
        Admin = 1,
        /// Transfers, posts and voids.
        Transfer = 2,
        /// Orders, replaces and cancels of one account.
        Trading = 3,
        /// Plants, items, bills of materials, stock, work orders, plans, purchases.
        Production = 4,
    }
}

record! {
    /// A command's idempotency key: its id within its scope.
    #[derive(Copy, PartialOrd, Ord, Hash)]
    pub struct CommandKey {
        /// The space of ids.
        pub scope: Scope,
        /// The account, in [`Scope::Trading`]; otherwise zero.
        pub account: AccountId,
        /// The client's id.
        pub id: CommandId,
    }
}

impl Command {
    /// The key that makes this command take effect once, however often it is sent.
    #[must_use]
    pub fn key(&self) -> CommandKey {
        let (scope, account) = match &self.body {
            Body::CreateAsset(_)
            | Body::CreateAccount(_)
            | Body::SetAccountState(_)
            | Body::SetAccountAsset(_)
            | Body::CreateMarket(_)
            | Body::SetMarketPhase(_) => (Scope::Admin, AccountId(0)),
            Body::Transfer(_) | Body::PostPending(_) | Body::VoidPending(_) => (Scope::Transfer, AccountId(0)),
            Body::NewOrder(order) => (Scope::Trading, order.account),
            Body::BuyPurchase(buy) => (Scope::Trading, buy.order.account),
            Body::ReplaceOrder(replace) => (Scope::Trading, replace.account),
            Body::CancelOrder(cancel) => (Scope::Trading, cancel.account),
            Body::MassCancel(cancel) => (Scope::Trading, cancel.account),
            Body::DefinePlant(_)
            | Body::SetCalendar(_)
            | Body::DefineItem(_)
            | Body::DefineBom(_)
            | Body::ReceiveStock(_)
            | Body::IssueStock(_)
            | Body::AdjustStock(_)
            | Body::CountStock(_)
            | Body::ScrapStock(_)
            | Body::MoveStock(_)
            | Body::CreateWorkOrder(_)
            | Body::ReleaseWorkOrder(_)
            | Body::SetWorkOrder(_)
            | Body::IssueMaterials(_)
            | Body::ReturnMaterials(_)
            | Body::ReportOperation(_)
            | Body::CompleteWorkOrder(_)
            | Body::CreatePlan(_)
            | Body::SetPlanLines(_)
            | Body::FirmPlan(_)
            | Body::ClosePlan(_)
            | Body::ReceivePurchase(_)
            | Body::ClosePurchase(_)
            | Body::LinkPurchase(_) => (Scope::Production, AccountId(0)),
        };
        CommandKey { scope, account, id: self.id }
    }

    /// A digest of the whole content: tells a command sent again from another one under its id.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        hash64(&self.to_bytes())
    }
}

record! {
    /// What the leader puts into one log entry: commands of any number of clients, and the time.
    /// Without commands it is a tick, which ends what is due.
    pub struct Proposal {
        /// The leader's clock.
        pub time: Timestamp,
        /// Its place among the leader's proposals; without one it follows whatever came before.
        pub ticket: Option<Ticket>,
        /// In the order of their arrival. A chain of linked commands is never cut.
        pub commands: Vec<Command>,
    }
}

impl Proposal {
    /// A proposal that follows whatever came before.
    #[must_use]
    pub const fn new(time: Timestamp, commands: Vec<Command>) -> Self {
        Self { time, ticket: None, commands }
    }

    /// The proposal that fills `bytes`, and the fingerprints of its commands, made of the bytes they stand in.
    ///
    /// # Errors
    /// When the bytes are not those of a proposal.
    pub fn from_bytes_fingerprinted(bytes: &[u8]) -> Result<(Self, Vec<u64>), DecodeError> {
        let mut input = Reader::new(bytes);
        let (time, ticket) = (Timestamp::decode(&mut input)?, Option::decode(&mut input)?);
        let count = u32::decode(&mut input)? as usize;
        let mut commands = Vec::with_capacity(count.min(input.room_for(Command::BYTES_MIN)));
        let mut fingerprints = Vec::with_capacity(commands.capacity());
        for _ in 0..count {
            let before = input.remaining();
            commands.push(Command::decode(&mut input)?);
            let len = before.len() - input.remaining().len();
            fingerprints.push(hash64(&before[..len]));
        }
        input.finish()?;
        Ok((Self { time, ticket, commands }, fingerprints))
    }

    /// The fingerprints of its commands.
    #[must_use]
    pub fn fingerprints(&self) -> Vec<u64> {
        let mut bytes = Vec::new();
        let fingerprint = |command: &Command| {
            bytes.clear();
            command.encode(&mut bytes);
            hash64(&bytes)
        };
        self.commands.iter().map(fingerprint).collect()
    }
}

record! {
    /// A proposal's place among those of one leader.
    ///
    /// A leader proposes without waiting for what it proposed before, and Raft may refuse one and
    /// take the next. Commands must not overtake one another so: a proposal whose predecessor is
    /// missing is void. After a refusal the leader begins another run.
    #[derive(Copy)]
    pub struct Ticket {
        /// The run, which is higher than the leader's runs before.
        pub run: u64,
        /// The place in the run, from 0.
        pub number: u64,
    }
}

impl Ticket {
    /// Whether a proposal of this ticket in `term` may come after one of the `last` ticket.
    #[must_use]
    pub fn follows(&self, term: Term, last: Option<(Term, Self)>) -> bool {
        match last {
            Some((last_term, last)) if (last_term, last.run) == (term, self.run) => self.number == last.number + 1,
            Some((last_term, last)) => self.number == 0 && (term, self.run) > (last_term, last.run),
            None => self.number == 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_the_same_from_bytes_as_from_commands() {
        let commands = [(7, None), (u128::MAX, Some(Amount(5)))].map(|(id, amount)| Command {
            id: CommandId(id),
            linked: amount.is_some(),
            body: Body::PostPending(PostPending { transfer: CommandId(3), amount }),
        });
        let proposal =
            Proposal { ticket: Some(Ticket { run: 2, number: 9 }), ..Proposal::new(Timestamp(4), commands.into()) };
        let bytes = proposal.to_bytes();
        let fingerprints = proposal.fingerprints();
        assert_eq!(fingerprints, [&proposal.commands[0], &proposal.commands[1]].map(Command::fingerprint));
        assert_ne!(fingerprints[0], fingerprints[1]);
        assert_eq!(Proposal::from_bytes_fingerprinted(&bytes), Ok((proposal, fingerprints)));
        let mut longer = bytes.clone();
        longer.push(0);
        for wrong in [&bytes[..bytes.len() - 1], &longer] {
            assert_eq!(Proposal::from_bytes_fingerprinted(wrong).err(), Proposal::from_bytes(wrong).err());
        }
    }

    #[test]
    fn a_run_has_no_gap_and_none_comes_back() {
        let ticket = |run, number| Ticket { run, number };
        let last = Some((Term(2), ticket(5, 3)));
        assert!(ticket(0, 0).follows(Term(1), None) && !ticket(0, 1).follows(Term(1), None));
        assert!(ticket(5, 4).follows(Term(2), last));
        assert!(!ticket(5, 5).follows(Term(2), last), "one is missing");
        assert!(!ticket(5, 3).follows(Term(2), last), "it was there");
        assert!(ticket(6, 0).follows(Term(2), last) && !ticket(6, 1).follows(Term(2), last));
        assert!(!ticket(4, 0).follows(Term(2), last), "an earlier run");
        assert!(ticket(1, 0).follows(Term(3), last), "another leader counts for itself");
        assert!(!ticket(5, 4).follows(Term(3), last));
    }
}
