//! What clients do: they move money, trade, read, send again what they sent before, and write
//! everything down for the checker.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use counterfoil::checker::{History, Moment, OperationId, Read, ReadKind, ReadLevel};
use counterfoil::client::{
    Client, ClientError, ClientOptions, Session, SessionOptions, SessionReceiver, SessionSender, api, id_to_bytes,
    id_to_hex,
};
use counterfoil::core::types::CommandId;
use counterfoil::store::testing::Random;

use api::command::Body;

use crate::host::{CLIENT_PORT, name};
use crate::lockstep;
use crate::network::dial;
use crate::operator::Desk;

/// Where value comes from.
const ISSUER: u64 = 1;
/// The first of the traders; fees go to the issuer.
const FIRST_TRADER: u64 = 2;
/// How many traders there are.
const TRADERS: u64 = 6;
/// Assets: money and a share.
const ASSETS: [(u32, &str); 2] = [(1, "USD"), (2, "AAPL")];
/// What each trader is given of each asset. Little, so that they run out now and then.
const WEALTH: u64 = 20_000;
/// The market.
const MARKET: u32 = 1;
/// Levels of the book that are asked for.
const DEPTH: u32 = 20;

/// What all clients of a run share.
#[derive(Debug, Default)]
pub struct Notes {
    history: Mutex<History>,
    /// Orders the run's events: by it the checker knows what came before what.
    moment: AtomicU64,
    /// Assets, accounts and the market are there.
    ready: AtomicBool,
    /// Nothing new is begun.
    stopped: AtomicBool,
    /// Clients that have ended.
    ended: AtomicU64,
    wrong: Mutex<Vec<String>>,
    /// The ids of the commands of each session, in their order.
    sessions: Mutex<Vec<Vec<Vec<u8>>>>,
}

impl Notes {
    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Moment {
        Moment(self.moment.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Lets clients begin nothing more.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// How many clients have ended: nothing of theirs is under way any more.
    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    /// Whether the books are set up.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// A session's commands are carried out in their order, and none behind one that is not. Returns what is wrong.
    pub fn check_sessions(&self, records: &[api::Record]) -> Vec<String> {
        let sequence = |record: &api::Record| record.position.unwrap_or_default().sequence;
        let carried_out: BTreeMap<&[u8], u64> =
            records.iter().map(|record| (&record.command_id[..], sequence(record))).collect();
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wrong = Vec::new();
        for ids in sessions.iter() {
            let (mut last, mut missing) = (0, None);
            for id in ids {
                match carried_out.get(&id[..]) {
                    None => missing = missing.or(Some(id)),
                    Some(here) if *here < last => {
                        wrong.push(format!(
                            "a session's command at {here} overtook one that was sent before, at {last}"
                        ));
                    }
                    Some(here) => {
                        last = *here;
                        if let Some(missing) = missing {
                            let missing = id_to_hex(missing);
                            wrong.push(format!(
                                "a session went on at {here}, behind command {missing} that was not carried out"
                            ));
                        }
                    }
                }
            }
        }
        wrong
    }

    /// What clients found wrong by themselves.
    pub fn take_wrong(&self) -> Vec<String> {
        std::mem::take(&mut *self.wrong.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Everything that was written down.
    pub fn take_history(&self) -> History {
        std::mem::take(&mut *self.history())
    }
}

/// How often clients do what; chosen by the seed.
#[derive(Debug, Clone)]
pub struct Habits {
    /// Pause between two operations, up to this long, in milliseconds.
    pub pause_ms: u64,
    /// Of a hundred operations, how many are reads.
    pub reads: u64,
    /// Of a hundred commands, how many trade.
    pub trades: u64,
    /// Of a hundred commands, how many are sent again later.
    pub resends: u64,
    /// Of a hundred operations that are no reads, how many are whole sessions.
    pub sessions: u64,
    /// Pause between two commands of a session, up to this long, in milliseconds.
    pub session_pause_ms: u64,
    /// Of a hundred orders and pending transfers, how many expire by themselves.
    pub expiries: u64,
}

/// One client.
pub struct Trader {
    number: u64,
    random: Random,
    habits: Habits,
    notes: Arc<Notes>,
    /// Follows the leader over all nodes.
    cluster: Client,
    /// Ask one node each.
    nodes: BTreeMap<u64, Client>,
    /// Says which nodes belong to the cluster.
    desk: Arc<Desk>,
    next_id: u64,
    /// The last commands, to be sent again, posted or cancelled.
    sent: Vec<api::Command>,
}

/// Commands of one session.
const SESSION_COMMANDS: usize = 40;
/// What expires does so within this time, in milliseconds.
const EXPIRY_MS_MAX: u64 = 5_000;
/// How many of its commands a client remembers.
const REMEMBERED: usize = 32;

/// A client of these nodes alone.
///
/// # Errors
/// When a name is no endpoint.
pub fn client(nodes: &[u64]) -> Result<Client, ClientError> {
    let endpoints: Vec<String> = nodes.iter().map(|id| format!("http://{}:{CLIENT_PORT}", name(*id))).collect();
    let options = ClientOptions { deadline: Duration::from_secs(8), attempt: Duration::from_millis(1_200) };
    Client::over(dial(), &endpoints, options)
}

impl Trader {
    /// Client `number`, of a cluster that has or will have nodes among the first `nodes`.
    ///
    /// # Errors
    /// When a name is no endpoint.
    pub fn new(
        number: u64,
        nodes: u64,
        seed: u64,
        habits: Habits,
        notes: Arc<Notes>,
        desk: Arc<Desk>,
    ) -> Result<Self, ClientError> {
        let ids: Vec<u64> = (0..nodes).map(|at| (at + number) % nodes + 1).collect();
        Ok(Self {
            number,
            random: Random(seed ^ (number << 32)),
            habits,
            notes,
            cluster: client(&ids)?,
            nodes: ids.iter().map(|id| Ok((*id, client(&[*id])?))).collect::<Result<_, _>>()?,
            desk,
            next_id: 0,
            sent: Vec::new(),
        })
    }

    /// Works until it is stopped. The first client sets the books up before.
    ///
    /// # Errors
    /// When an answer makes no sense.
    pub async fn run(mut self) -> turmoil::Result {
        if self.number == 1 {
            for body in preamble() {
                let command = self.command(body);
                while !self.execute(&command).await? {}
            }
            self.notes.ready.store(true, Ordering::Relaxed);
        }
        while !self.notes.is_ready() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        while !self.notes.stopped.load(Ordering::Relaxed) {
            let pause = self.random.below(self.habits.pause_ms + 1);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            if self.chance(self.habits.reads) {
                self.read().await?;
            } else if self.chance(self.habits.sessions) {
                self.session().await?;
            } else {
                let command = self.next_command();
                self.execute(&command).await?;
            }
        }
        self.notes.ended.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.random.below(100) < percent
    }

    fn command(&mut self, body: Body) -> api::Command {
        self.next_id += 1;
        let id = CommandId(u128::from(self.number) << 64 | u128::from(self.next_id));
        api::Command { id: id_to_bytes(id), linked: false, body: Some(body) }
    }

    fn next_command(&mut self) -> api::Command {
        if !self.sent.is_empty() && self.chance(self.habits.resends) {
            let at = self.random.below(self.sent.len() as u64) as usize;
            return self.sent[at].clone();
        }
        let body = if self.chance(self.habits.trades) { self.trade() } else { self.transfer() };
        let command = self.command(body);
        if self.sent.len() == REMEMBERED {
            self.sent.remove(0);
        }
        self.sent.push(command.clone());
        command
    }

    fn trader(&mut self) -> u64 {
        FIRST_TRADER + self.random.below(TRADERS)
    }

    /// One of the commands sent lately that `fits`.
    fn earlier(&mut self, fits: impl Fn(&Body) -> bool) -> Option<api::Command> {
        let found: Vec<&api::Command> = self.sent.iter().filter(|sent| sent.body.as_ref().is_some_and(&fits)).collect();
        if found.is_empty() {
            return None;
        }
        Some(found[self.random.below(found.len() as u64) as usize].clone())
    }

    fn transfer(&mut self) -> Body {
        let pending = |body: &Body| matches!(body, Body::Transfer(transfer) if transfer.pending);
        match self.random.below(10) {
            0..=1 => {
                if let Some(command) = self.earlier(pending) {
                    return Body::PostPending(api::PostPending { transfer_id: command.id, amount: 0 });
                }
            }
            2 => {
                if let Some(command) = self.earlier(pending) {
                    return Body::VoidPending(api::VoidPending { transfer_id: command.id });
                }
            }
            _ => {}
        }
        let (debit, credit) = (self.trader(), self.trader());
        let pending = self.chance(30);
        let expires_at = if pending { self.expiry() } else { 0 };
        Body::Transfer(api::Transfer {
            debit_account_id: if self.chance(15) { ISSUER } else { debit },
            credit_account_id: credit,
            asset_id: ASSETS[self.random.below(2) as usize].0,
            amount: 1 + self.random.below(WEALTH / 10),
            pending,
            expires_at,
            ..api::Transfer::default()
        })
    }

    fn trade(&mut self) -> Body {
        let earlier = self.earlier(|body| matches!(body, Body::NewOrder(_)));
        let (account_id, reference) = match &earlier {
            Some(api::Command { id, body: Some(Body::NewOrder(order)), .. }) => {
                let reference = api::order_reference::Reference::ClientOrderId(id.clone());
                (order.account_id, Some(api::OrderReference { reference: Some(reference) }))
            }
            _ => (self.trader(), None),
        };
        match self.random.below(20) {
            0..=2 if reference.is_some() => Body::CancelOrder(api::CancelOrder { account_id, order: reference }),
            3..=4 if reference.is_some() => Body::ReplaceOrder(api::ReplaceOrder {
                account_id,
                order: reference,
                quantity: 1 + self.random.below(30),
                limit_price: 90 + self.random.below(20),
            }),
            5 => Body::MassCancel(api::MassCancel { account_id, ..api::MassCancel::default() }),
            _ => {
                let expires_at = self.expiry();
                let dated =
                    if expires_at == 0 { api::TimeInForce::Unspecified } else { api::TimeInForce::GoodTillDate };
                Body::NewOrder(api::NewOrder {
                    account_id: self.trader(),
                    market_id: MARKET,
                    side: if self.chance(50) { api::Side::Buy } else { api::Side::Sell }.into(),
                    quantity: 1 + self.random.below(30),
                    pricing: Some(api::new_order::Pricing::LimitPrice(90 + self.random.below(20))),
                    time_in_force: dated.into(),
                    expires_at,
                    ..api::NewOrder::default()
                })
            }
        }
    }

    /// When something ends by itself, in nanoseconds since the Unix epoch; 0 is never.
    fn expiry(&mut self) -> u64 {
        if !self.chance(self.habits.expiries) {
            return 0;
        }
        let after = Duration::from_millis(self.random.below(EXPIRY_MS_MAX));
        u64::try_from((lockstep::true_time() + after).as_nanos()).unwrap_or(0)
    }

    /// Sends a command until it is answered or the patience is at its end. Returns whether it was answered.
    async fn execute(&mut self, command: &api::Command) -> turmoil::Result<bool> {
        let operation = {
            let at = self.notes.now();
            self.notes.history().sent(command, at)
        };
        let answer = self.cluster.execute(command.clone()).await;
        let at = self.notes.now();
        match answer {
            Ok(result) => {
                tell(&result);
                self.notes.history().answered(operation, &result, at);
                Ok(true)
            }
            Err(ClientError::Refused(refusal)) => {
                tracing::warn!(?refusal, "refused");
                self.notes.history().refused(operation);
                Ok(true)
            }
            Err(ClientError::Deadline { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends many commands without waiting for answers. They must be carried out in their order.
    async fn session(&mut self) -> turmoil::Result {
        let options = SessionOptions {
            in_flight: SESSION_COMMANDS,
            stall: Duration::from_millis(800),
            deadline: Duration::from_secs(8),
        };
        let Session { sender, receiver } = self.cluster.session(options);
        let mut plan = Vec::new();
        for _ in 0..SESSION_COMMANDS {
            let body = self.transfer();
            plan.push((self.random.below(self.habits.session_pause_ms), self.command(body)));
        }
        let ids = plan.iter().map(|(_, command)| command.id.to_vec()).collect();
        self.notes.sessions.lock().unwrap_or_else(PoisonError::into_inner).push(ids);
        let operations = Mutex::new(Vec::new());
        let (sent, answered) = tokio::join!(
            send_all(sender, plan, &self.notes, &operations),
            take_all(receiver, &self.notes, &operations)
        );
        // When the session has ended, both know; the answers say why.
        let _ = sent;
        match answered {
            Ok(()) | Err(ClientError::Deadline { .. } | ClientError::Refused(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn read(&mut self) -> turmoil::Result {
        let members = self.desk.members();
        let at = self.random.below(members.len() as u64) as usize;
        let node = self.nodes[&members[at]].clone();
        let (level, consistency) = if self.chance(75) {
            (ReadLevel::Linearizable, api::consistency::Level::Linearizable(true))
        } else {
            (ReadLevel::Stale, api::consistency::Level::Stale(true))
        };
        let consistency = Some(api::Consistency { level: Some(consistency) });
        let account_id = self.trader();
        let sent = self.notes.now();
        let saw = if self.chance(70) {
            node.get_account(api::GetAccountRequest { account_id, consistency }).await.map(ReadKind::Account)
        } else {
            let request = api::GetBookRequest { market_id: MARKET, depth: DEPTH, consistency };
            let book = node.get_book(request).await;
            book.map(|book| ReadKind::Book { market: MARKET, depth: DEPTH, book })
        };
        let answered = self.notes.now();
        match saw {
            Ok(saw) => {
                self.notes.history().read(Read { level, sent, answered, saw });
                Ok(())
            }
            // A stale node may not know the account or the market yet.
            Err(ClientError::Deadline { .. } | ClientError::Refused(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn tell(result: &api::CommandResult) {
    let api::Position { term, index, sequence } = result.position.unwrap_or_default();
    tracing::debug!(id = id_to_hex(&result.id), term, index, sequence, again = result.duplicate, "answered");
}

/// Sends each command after its pause, so that a session lasts long enough for something to happen.
async fn send_all(
    mut sender: SessionSender,
    plan: Vec<(u64, api::Command)>,
    notes: &Notes,
    operations: &Mutex<Vec<OperationId>>,
) -> Result<(), ClientError> {
    for (pause_ms, command) in plan {
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        let at = notes.now();
        let operation = notes.history().sent(&command, at);
        operations.lock().unwrap_or_else(PoisonError::into_inner).push(operation);
        sender.send(vec![command]).await?;
    }
    Ok(())
}

/// Takes the answers of a session: they stand in the journal in the order of the requests.
async fn take_all(
    mut receiver: SessionReceiver,
    notes: &Notes,
    operations: &Mutex<Vec<OperationId>>,
) -> Result<(), ClientError> {
    let (mut last, mut count) = (0, 0);
    while let Some(answer) = receiver.next().await? {
        let at = notes.now();
        let operation = operations.lock().unwrap_or_else(PoisonError::into_inner)[count];
        count += 1;
        let Ok(results) = answer.results else { break };
        for result in results {
            let here = result.position.unwrap_or_default().sequence;
            if here <= last {
                let what = format!("a session's command at {here} overtook one that was sent before, at {last}");
                notes.wrong.lock().unwrap_or_else(PoisonError::into_inner).push(what);
            }
            last = here;
            tell(&result);
            notes.history().answered(operation, &result, at);
        }
    }
    Ok(())
}

/// Assets, accounts, a market, and something for every trader.
fn preamble() -> Vec<Body> {
    let kind = api::AssetKind::Currency.into();
    let asset = |(asset_id, code): (u32, &str)| api::CreateAsset { asset_id, code: code.to_owned(), scale: 0, kind };
    let mut bodies: Vec<Body> = ASSETS.into_iter().map(asset).map(Body::CreateAsset).collect();
    for account_id in ISSUER..FIRST_TRADER + TRADERS {
        let issuer = account_id == ISSUER;
        bodies.push(Body::CreateAccount(api::CreateAccount { account_id, issuer, ..Default::default() }));
    }
    bodies.push(Body::CreateMarket(api::CreateMarket {
        market_id: MARKET,
        symbol: "AAPL/USD".to_owned(),
        base_asset_id: 2,
        quote_asset_id: 1,
        tick: 1,
        lot: 1,
        maker_fee: 1_000,
        taker_fee: 2_000,
        fee_account_id: ISSUER,
        quantity_max: 1_000,
        notional_max: 10_000_000,
        ..Default::default()
    }));
    for account in FIRST_TRADER..FIRST_TRADER + TRADERS {
        for (asset_id, _) in ASSETS {
            bodies.push(Body::Transfer(api::Transfer {
                debit_account_id: ISSUER,
                credit_account_id: account,
                asset_id,
                amount: WEALTH,
                ..Default::default()
            }));
        }
    }
    bodies
}

/// The accounts, for the final reads.
pub fn accounts() -> impl Iterator<Item = u64> {
    ISSUER..FIRST_TRADER + TRADERS
}
