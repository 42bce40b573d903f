//! The ledger once more, slow and obvious: lists that are searched from the front, one rule after the
//! other, as SPEC.md says them. It shares nothing with the core but the words.
//!
//! It says which reasons there are to refuse a command (the core may name any of them), what events
//! a command that is not refused causes, and what every balance is afterwards.

mod admin;
mod inventory;
mod lots;
mod planning;
mod trading;
mod work_orders;

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_core::Rejection;
use counterfoil_core::command::{
    Body, Command, CommandKey, CreateAsset, CreateMarket, DefineBom, DefineItem, DefinePlant, OrderRef, PostPending,
    SetCalendar, Transfer, TransferMode,
};
use counterfoil_core::event::{EventBody, PendingEnded, PendingPosted, Transferred};
use counterfoil_core::production::records::Purchase;
use counterfoil_core::types::{
    AccountId, AccountState, Amount, AssetId, CancelReason, Code, CommandId, MarketId, OrderId, Phase, Quantity,
    Sequence, Timestamp,
};

use lots::{Lot, Movement};
use planning::OpenPlan;
use work_orders::OpenOrder;

pub use trading::Order;

/// A balance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Balance {
    pub posted: i128,
    pub reserved: i128,
    pub credit: i128,
    pub allowed: bool,
}

#[derive(Debug, Clone)]
pub struct Account {
    pub state: AccountState,
    pub issuer: bool,
    pub restricted: bool,
}

#[derive(Debug, Clone)]
pub struct Pending {
    pub id: CommandId,
    pub transfer: Transfer,
}

/// The whole state.
#[derive(Debug, Clone, Default)]
pub struct Model {
    pub time: Timestamp,
    pub sequence: u64,
    pub assets: Vec<CreateAsset>,
    pub accounts: BTreeMap<AccountId, Account>,
    pub markets: Vec<(CreateMarket, Phase)>,
    pub balances: BTreeMap<(AccountId, AssetId), Balance>,
    pub pending: Vec<Pending>,
    pub orders: Vec<Order>,
    pub ever_pending: BTreeSet<CommandId>,
    pub plants: Vec<DefinePlant>,
    /// In the order in which they were first defined.
    pub items: Vec<DefineItem>,
    pub boms: Vec<DefineBom>,
    pub calendars: Vec<SetCalendar>,
    pub plans: Vec<OpenPlan>,
    pub purchases: Vec<Purchase>,
    /// The last event that changed what plans are calculated from.
    pub planning_changed: u64,
    pub work_orders: Vec<OpenOrder>,
    pub lots: Vec<Lot>,
    /// What the event that is told next moved, and which lots its command names.
    pub movements: Vec<Movement>,
    pub named: Vec<(AssetId, Code)>,
    /// What comes back of lots that went into production, with the event that brought each into the books.
    pub coming_back: Vec<(AssetId, Code, u64, i128)>,
    /// Every command that was answered, with the first event of its answer.
    pub answered: BTreeMap<CommandKey, (Command, u64)>,
}

/// What the model expects of one command.
#[derive(Debug, Clone)]
pub enum Expected {
    /// It was answered before, there.
    Duplicate(u64),
    /// Its id is taken, there.
    Taken(u64),
    /// It is refused, for one of these reasons.
    Refused(Vec<Rejection>),
    /// It causes these events.
    Done(Vec<EventBody>),
}

impl Model {
    /// What time brings about at `time`: a list of events for each record.
    pub fn pass_time(&mut self, time: Timestamp) -> Vec<Vec<EventBody>> {
        self.time = self.time.max(time);
        let mut records = Vec::new();
        // The earliest deadline first; at one deadline orders by id, then transfers by id.
        while let Some((at, order, transfer)) = self.next_due().filter(|(at, _, _)| *at <= self.time) {
            let _ = at;
            let mut events = Vec::new();
            if order == OrderId(u64::MAX) {
                events.push(EventBody::PendingExpired(self.end_pending(transfer)));
            } else {
                self.cancel(order, CancelReason::Expired, &mut events);
            }
            self.sequence += events.len() as u64;
            records.push(events);
        }
        records
    }

    fn next_due(&self) -> Option<(Timestamp, OrderId, CommandId)> {
        let orders = self.orders.iter().filter_map(|order| Some((order.new.expires_at?, order.id, CommandId(0))));
        let pending = self.pending.iter().filter_map(|pending| match pending.transfer.mode {
            TransferMode::Pending { expires_at } => Some((expires_at?, OrderId(u64::MAX), pending.id)),
            TransferMode::Immediate => None,
        });
        orders.chain(pending).min()
    }

    /// One unlinked command, or one whole chain.
    pub fn apply(&mut self, commands: &[Command]) -> Vec<Expected> {
        let earlier: Vec<Option<Expected>> = commands.iter().map(|command| self.earlier(command)).collect();
        let mut keys: Vec<_> = commands.iter().map(Command::key).collect();
        keys.sort_unstable();
        keys.dedup();
        if commands.len() == 1 && earlier[0].is_none() {
            return vec![self.apply_fresh(&commands[0])];
        }
        if earlier.iter().any(Option::is_some) || keys.len() < commands.len() {
            return self.refuse_chain(commands, None);
        }
        let before = self.clone();
        let mut answers = Vec::new();
        for (place, command) in commands.iter().enumerate() {
            let answer = self.apply_fresh(command);
            if let Expected::Refused(reasons) = answer {
                *self = before;
                return self.refuse_chain(commands, Some((place, reasons)));
            }
            answers.push(answer);
        }
        answers
    }

    fn earlier(&self, command: &Command) -> Option<Expected> {
        let (first, sequence) = self.answered.get(&command.key())?;
        Some(if first == command { Expected::Duplicate(*sequence) } else { Expected::Taken(*sequence) })
    }

    fn refuse_chain(&mut self, commands: &[Command], cause: Option<(usize, Vec<Rejection>)>) -> Vec<Expected> {
        let mut answers = Vec::new();
        for (place, command) in commands.iter().enumerate() {
            answers.push(self.earlier(command).unwrap_or_else(|| {
                let own = cause.as_ref().filter(|(at, _)| *at == place).map(|(_, reasons)| reasons.clone());
                self.answer(command, 1);
                Expected::Refused(own.unwrap_or(vec![Rejection::LinkedChainFailed]))
            }));
        }
        answers
    }

    fn answer(&mut self, command: &Command, events: usize) {
        self.answered.insert(command.key(), (command.clone(), self.sequence + 1));
        self.sequence += events as u64;
    }

    fn apply_fresh(&mut self, command: &Command) -> Expected {
        let reasons = self.reasons_to_refuse(command);
        if !reasons.is_empty() {
            self.answer(command, 1);
            return Expected::Refused(reasons);
        }
        let events = self.carry_out(command);
        self.answer(command, events.len());
        Expected::Done(events)
    }

    fn reasons_to_refuse(&self, command: &Command) -> Vec<Rejection> {
        let mut no = Vec::new();
        match &command.body {
            Body::CreateAsset(new) => self.check_asset(new, &mut no),
            Body::CreateAccount(new) => no.extend(self.accounts.get(&new.account).map(|_| Rejection::AccountExists)),
            Body::SetAccountState(set) => self.check_account_state(set, &mut no),
            Body::SetAccountAsset(set) => self.check_account_asset(set, &mut no),
            Body::CreateMarket(new) => self.check_market(new, &mut no),
            Body::SetMarketPhase(set) => {
                no.extend(self.market(set.market).is_none().then_some(Rejection::UnknownMarket))
            }
            Body::Transfer(transfer) => self.check_transfer(transfer, &mut no),
            Body::PostPending(post) => self.check_post(post, &mut no),
            Body::VoidPending(void) => self.check_pending(void.transfer, &mut no),
            Body::NewOrder(new) => self.check_new_order(new, &mut no),
            Body::BuyPurchase(buy) => {
                self.check_buy(buy, &mut no);
                self.check_new_order(&buy.order, &mut no);
            }
            Body::ReplaceOrder(replace) => self.check_replace(replace, &mut no),
            Body::CancelOrder(cancel) => {
                self.check_known(cancel.account, &mut no);
                no.extend(self.not_open(cancel.account, cancel.order));
            }
            Body::MassCancel(mass) => {
                self.check_known(mass.account, &mut no);
                let unknown = mass.market.is_some_and(|market| self.market(market).is_none());
                no.extend(unknown.then_some(Rejection::UnknownMarket));
            }
            Body::DefinePlant(_) | Body::SetCalendar(_) | Body::DefineItem(_) | Body::DefineBom(_) => {
                self.check_definition(&command.body, &mut no);
            }
            Body::ReceiveStock(_)
            | Body::IssueStock(_)
            | Body::AdjustStock(_)
            | Body::CountStock(_)
            | Body::ScrapStock(_)
            | Body::MoveStock(_) => self.check_stock(&command.body, &mut no),
            Body::CreateWorkOrder(_)
            | Body::ReleaseWorkOrder(_)
            | Body::SetWorkOrder(_)
            | Body::IssueMaterials(_)
            | Body::ReturnMaterials(_)
            | Body::ReportOperation(_)
            | Body::CompleteWorkOrder(_) => self.check_work(&command.body, &mut no),
            Body::CreatePlan(_)
            | Body::SetPlanLines(_)
            | Body::FirmPlan(_)
            | Body::ClosePlan(_)
            | Body::ReceivePurchase(_)
            | Body::ClosePurchase(_)
            | Body::LinkPurchase(_) => self.check_planning(&command.body, &mut no),
        }
        no
    }

    fn carry_out(&mut self, command: &Command) -> Vec<EventBody> {
        match &command.body {
            Body::Transfer(transfer) => {
                let event = self.transfer(command.id, transfer);
                self.told(event)
            }
            Body::PostPending(post) => {
                let event = self.post(post);
                self.told(event)
            }
            Body::VoidPending(void) => vec![EventBody::PendingVoided(self.end_pending(void.transfer))],
            Body::NewOrder(new) => self.enter(command.id, new, None),
            Body::BuyPurchase(buy) => self.enter(command.id, &buy.order, Some(buy.purchase)),
            Body::ReplaceOrder(replace) => self.replace(replace),
            Body::CancelOrder(cancel) => {
                let mut events = Vec::new();
                let id = self.find_order(cancel.account, cancel.order).expect("checked").id;
                self.cancel(id, CancelReason::Requested, &mut events);
                events
            }
            Body::MassCancel(mass) => self.mass_cancel(mass),
            Body::DefinePlant(_) | Body::SetCalendar(_) | Body::DefineItem(_) | Body::DefineBom(_) => {
                vec![self.define(&command.body)]
            }
            Body::ReceiveStock(_)
            | Body::IssueStock(_)
            | Body::AdjustStock(_)
            | Body::CountStock(_)
            | Body::ScrapStock(_)
            | Body::MoveStock(_) => {
                let event = self.move_stock(&command.body);
                self.told(event)
            }
            Body::CreateWorkOrder(_)
            | Body::ReleaseWorkOrder(_)
            | Body::SetWorkOrder(_)
            | Body::IssueMaterials(_)
            | Body::ReturnMaterials(_)
            | Body::ReportOperation(_)
            | Body::CompleteWorkOrder(_) => {
                let event = self.work(command.id, &command.body);
                self.told(event)
            }
            Body::CreatePlan(_)
            | Body::SetPlanLines(_)
            | Body::FirmPlan(_)
            | Body::ClosePlan(_)
            | Body::ReceivePurchase(_)
            | Body::ClosePurchase(_)
            | Body::LinkPurchase(_) => self.plan(command.id, &command.body),
            _ => self.carry_out_admin(command),
        }
    }

    /// The events of a command that causes one, and which lots it moved.
    fn told(&mut self, event: EventBody) -> Vec<EventBody> {
        let mut events = Vec::new();
        self.tell(&mut events, event);
        events
    }

    /// The market of this id, with its phase.
    pub fn market(&self, id: MarketId) -> Option<&(CreateMarket, Phase)> {
        self.markets.iter().find(|(market, _)| market.market == id)
    }

    fn scale(&self, id: AssetId) -> u8 {
        self.assets.iter().find(|asset| asset.asset == id).expect("a market's assets exist").scale
    }

    fn balance(&self, account: AccountId, asset: AssetId) -> Balance {
        self.balances.get(&(account, asset)).copied().unwrap_or_default()
    }

    fn change(&mut self, account: AccountId, asset: AssetId, posted: i128, reserved: i128) {
        let balance = self.balances.entry((account, asset)).or_default();
        if posted != 0 {
            self.movements.push(Movement { account, asset, amount: posted, before: balance.posted });
        }
        balance.posted += posted;
        balance.reserved += reserved;
    }

    fn check_known(&self, account: AccountId, no: &mut Vec<Rejection>) {
        no.extend((!self.accounts.contains_key(&account)).then_some(Rejection::UnknownAccount));
    }

    fn check_active(&self, account: AccountId, no: &mut Vec<Rejection>) {
        no.extend(match self.accounts.get(&account).map(|account| account.state) {
            None => Some(Rejection::UnknownAccount),
            Some(AccountState::Frozen) => Some(Rejection::AccountFrozen),
            Some(AccountState::Closed) => Some(Rejection::AccountClosed),
            Some(AccountState::Active) => None,
        });
    }

    fn check_allowed(&self, account: AccountId, asset: AssetId, no: &mut Vec<Rejection>) {
        let restricted = self.accounts.get(&account).is_some_and(|account| account.restricted);
        if restricted && !self.balance(account, asset).allowed {
            no.push(Rejection::AssetNotAllowed);
        }
    }

    /// Refuses to spend more than is available, credit included; an issuer has no bounds.
    fn check_spend(&self, account: AccountId, asset: AssetId, amount: i128, no: &mut Vec<Rejection>) {
        let issuer = self.accounts.get(&account).is_some_and(|account| account.issuer);
        let balance = self.balance(account, asset);
        if !issuer && balance.posted - balance.reserved + balance.credit < amount {
            no.push(Rejection::InsufficientAvailable);
        }
    }

    fn check_transfer(&self, transfer: &Transfer, no: &mut Vec<Rejection>) {
        if transfer.debit == transfer.credit {
            no.push(Rejection::SameAccount);
        }
        if !self.assets.iter().any(|asset| asset.asset == transfer.asset) {
            no.push(Rejection::UnknownAsset);
        }
        self.check_active(transfer.debit, no);
        self.check_active(transfer.credit, no);
        self.check_allowed(transfer.credit, transfer.asset, no);
        self.check_spend(transfer.debit, transfer.asset, transfer.amount.0.into(), no);
        if let TransferMode::Pending { expires_at: Some(at) } = transfer.mode {
            no.extend((at <= self.time).then_some(Rejection::AlreadyExpired));
        }
    }

    fn transfer(&mut self, id: CommandId, transfer: &Transfer) -> EventBody {
        let amount = i128::from(transfer.amount.0);
        match transfer.mode {
            TransferMode::Immediate => {
                self.change(transfer.debit, transfer.asset, -amount, 0);
                self.change(transfer.credit, transfer.asset, amount, 0);
            }
            TransferMode::Pending { .. } => {
                self.change(transfer.debit, transfer.asset, 0, amount);
                self.ever_pending.insert(id);
                self.pending.push(Pending { id, transfer: transfer.clone() });
            }
        }
        EventBody::Transferred(Transferred { id, transfer: transfer.clone() })
    }

    fn check_pending(&self, id: CommandId, no: &mut Vec<Rejection>) {
        if self.pending.iter().any(|pending| pending.id == id) {
            return;
        }
        no.push(Rejection::TransferNotPending);
        if !self.ever_pending.contains(&id) {
            no.push(Rejection::UnknownTransfer);
        }
    }

    fn check_post(&self, post: &PostPending, no: &mut Vec<Rejection>) {
        self.check_pending(post.transfer, no);
        let Some(Pending { transfer, .. }) = self.pending.iter().find(|pending| pending.id == post.transfer) else {
            return;
        };
        if post.amount.is_some_and(|amount| amount > transfer.amount) {
            no.push(Rejection::AmountExceedsPending);
        }
        self.check_active(transfer.debit, no);
        self.check_active(transfer.credit, no);
        self.check_allowed(transfer.credit, transfer.asset, no);
    }

    fn post(&mut self, post: &PostPending) -> EventBody {
        let place = self.pending.iter().position(|pending| pending.id == post.transfer).expect("checked");
        let Pending { transfer, .. } = self.pending.remove(place);
        let amount = post.amount.unwrap_or(transfer.amount);
        self.change(transfer.debit, transfer.asset, -i128::from(amount.0), -i128::from(transfer.amount.0));
        self.change(transfer.credit, transfer.asset, amount.0.into(), 0);
        EventBody::PendingPosted(PendingPosted { transfer: post.transfer, amount })
    }

    fn end_pending(&mut self, id: CommandId) -> PendingEnded {
        let place = self.pending.iter().position(|pending| pending.id == id).expect("pending");
        let Pending { transfer, .. } = self.pending.remove(place);
        self.change(transfer.debit, transfer.asset, 0, -i128::from(transfer.amount.0));
        PendingEnded { transfer: id, amount: transfer.amount }
    }
}
