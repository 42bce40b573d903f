//! The clients of a drill: steady writers, by whose answers pauses are measured, traders, makers, a
//! pipelined session, and readers of every consistency on every node.

mod makers;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::command::Body;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use super::ground::{self, BANK_ACCOUNTS, MARKET, MONEY, SHARE, TRADERS_MAX};
use super::recorder::Recorder;
use crate::checker::{ReadKind, ReadLevel};
use crate::cli::CliError;
use crate::cli::random::Random;
use crate::client::{Client, ClientOptions, Session, SessionOptions, api, id_to_bytes};
use crate::core::types::CommandId;

/// How long a client tries one command.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long a reader tries one node.
const READ_DEADLINE: Duration = Duration::from_secs(2);
/// Between two steps of a trader and of the session.
const TRADE_PERIOD: Duration = Duration::from_millis(20);
/// Between two reads of a reader.
const READ_PERIOD: Duration = Duration::from_millis(10);
/// Of a hundred commands of a steady writer, those that are sent again after their answer.
const RESENT_PERCENT: u64 = 2;
/// How long a pending transfer lives that is not ended before.
pub const PENDING_LIFE: Duration = Duration::from_secs(2);
/// Requests of the session under way.
const SESSION_IN_FLIGHT: usize = 8;
/// Levels of a book that is read.
const BOOK_DEPTH: u32 = 50;
/// How many makers there can be.
const MAKERS_MAX: u64 = 8;
/// The price that orders are placed around, and how far from it.
const PRICE: u64 = 10_000;
const SPREAD: u64 = 20;

/// What clients do besides the steady transfers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Workload {
    /// Orders, pending transfers and chains
    Trading,
    /// Stock and work orders, and sales of what they make
    Inventory,
    /// Both at once
    All,
}

impl Workload {
    fn traders(self) -> u64 {
        if self == Self::Inventory { 0 } else { TRADERS_MAX / 2 }
    }

    fn makers(self) -> u64 {
        match self {
            Self::Trading => 0,
            Self::Inventory => MAKERS_MAX,
            Self::All => MAKERS_MAX / 2,
        }
    }

    /// Events that a run must have seen.
    pub fn events(self) -> impl Iterator<Item = &'static str> {
        let trading = (self != Self::Inventory).then_some(TRADING_EVENTS).into_iter().flatten();
        let inventory = (self != Self::Trading).then_some(INVENTORY_EVENTS).into_iter().flatten();
        trading.chain(inventory)
    }
}

const TRADING_EVENTS: [&str; 5] = ["trade", "order_cancelled", "pending_posted", "pending_expired", "rejected"];
const INVENTORY_EVENTS: [&str; 9] = [
    "stock_moved",
    "lots_moved",
    "work_order_created",
    "work_order_released",
    "work_order_changed",
    "materials_issued",
    "materials_returned",
    "work_order_completed",
    "trade",
];

/// How much traffic there is.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions {
    /// What is done besides.
    pub workload: Workload,
    /// Steady writers.
    pub writers: u32,
    /// Commands of all steady writers in a second; 0 is as many as are answered.
    pub rate: u32,
    /// How long one node may take for a command before another is asked.
    pub attempt: Duration,
}

/// The running clients.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

/// What each client has.
#[derive(Debug)]
struct Trader {
    client: Client,
    recorder: Recorder,
    random: Random,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// Starts all clients.
    pub fn start(endpoints: &[String], recorder: &Recorder, options: LoadOptions) -> Result<Self, CliError> {
        let stop = Arc::new(AtomicBool::new(false));
        let patience = ClientOptions { deadline: DEADLINE, attempt: options.attempt };
        let mut tasks = JoinSet::new();
        let trader = || -> Result<Trader, CliError> {
            Ok(Trader {
                client: Client::new(endpoints, patience)?,
                recorder: recorder.clone(),
                random: Random::fresh(),
                stop: Arc::clone(&stop),
            })
        };
        let period = match options.rate {
            0 => Duration::ZERO,
            rate => Duration::from_secs(u64::from(options.writers)) / rate,
        };
        for _ in 0..options.writers {
            tasks.spawn(trader()?.write_steadily(period));
        }
        for number in 0..options.workload.traders() {
            tasks.spawn(trader()?.trade(number));
        }
        for number in 0..options.workload.makers() {
            tasks.spawn(trader()?.make(number));
        }
        tasks.spawn(trader()?.pipeline());
        for endpoint in endpoints {
            let patience = ClientOptions { deadline: READ_DEADLINE, attempt: options.attempt };
            let client = Client::new(&[endpoint], patience)?;
            tasks.spawn(Trader { client, ..trader()? }.read());
        }
        Ok(Self { stop, tasks })
    }

    /// Lets every client finish what it is at.
    pub async fn stop(self) -> Result<(), CliError> {
        self.stop.store(true, Ordering::Relaxed);
        let mut tasks = self.tasks;
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|error| CliError::Check(format!("a client of the drill: {error}")))?;
        }
        Ok(())
    }
}

fn pace(period: Duration) -> Option<Interval> {
    if period.is_zero() {
        return None;
    }
    let mut interval = interval(period);
    // After a pause there is no rush.
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Some(interval)
}

impl Trader {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn command(&mut self, body: Body) -> api::Command {
        api::Command { id: id_to_bytes(CommandId(self.random.id())), linked: false, body: Some(body) }
    }

    fn transfer(&mut self) -> Body {
        let from = self.random.below(BANK_ACCOUNTS);
        let to = from + 1 + self.random.below(BANK_ACCOUNTS - 1);
        Body::Transfer(api::Transfer {
            debit_account_id: ground::bank_account(from),
            credit_account_id: ground::bank_account(to),
            asset_id: MONEY,
            amount: 1 + self.random.below(100),
            ..api::Transfer::default()
        })
    }

    /// Sends one command at a time, again and again.
    async fn write_steadily(mut self, period: Duration) {
        let mut pace = pace(period);
        while self.goes_on() {
            if let Some(pace) = &mut pace {
                pace.tick().await;
            }
            let body = self.transfer();
            let command = self.command(body);
            let times = if self.random.below(100) < RESENT_PERCENT { 2 } else { 1 };
            for _ in 0..times {
                let operations = self.recorder.sent(std::slice::from_ref(&command));
                match self.client.execute(command.clone()).await {
                    Ok(result) => {
                        self.recorder.answered(&operations, &[result]);
                        self.recorder.heartbeat();
                    }
                    Err(error) => self.recorder.failed(&error),
                }
            }
        }
    }

    async fn submit(&mut self, commands: Vec<api::Command>) -> Vec<api::CommandResult> {
        let operations = self.recorder.sent(&commands);
        match self.client.submit(api::SubmitRequest { commands }).await {
            Ok(answer) => {
                self.recorder.answered(&operations, &answer.results);
                answer.results
            }
            Err(error) => {
                self.recorder.failed(&error);
                Vec::new()
            }
        }
    }

    /// Orders, replaces, cancels; pending transfers, and chains of transfers.
    async fn trade(mut self, number: u64) {
        let account_id = ground::trader(number);
        let mut orders: Vec<u64> = Vec::new();
        let mut pending: Vec<bytes::Bytes> = Vec::new();
        while self.goes_on() {
            let results = match self.random.below(10) {
                0..=4 => {
                    let commands = (0..1 + self.random.below(3)).map(|_| self.order(account_id)).collect();
                    self.submit(commands).await
                }
                5 | 6 => {
                    let body = self.change_order(account_id, &mut orders);
                    let command = self.command(body);
                    self.submit(vec![command]).await
                }
                7 => {
                    let commands = self.pending_transfers(account_id);
                    pending.extend(commands.iter().map(|command| command.id.clone()));
                    self.submit(commands).await
                }
                8 => {
                    let body = self.end_pending(&mut pending);
                    let command = self.command(body);
                    self.submit(vec![command]).await
                }
                _ => {
                    let commands = self.chain();
                    self.submit(commands).await
                }
            };
            let open = results.iter().filter_map(|result| result.order).filter(|order| order.open > 0);
            orders.extend(open.map(|order| order.order_id));
            sleep(TRADE_PERIOD).await;
        }
    }

    fn order(&mut self, account_id: u64) -> api::Command {
        let side = if self.random.below(2) == 0 { api::Side::Buy } else { api::Side::Sell };
        let price = PRICE - SPREAD + self.random.below(2 * SPREAD + 1);
        let time_in_force = match self.random.below(4) {
            0 => api::TimeInForce::ImmediateOrCancel,
            _ => api::TimeInForce::GoodTillCancel,
        };
        let body = Body::NewOrder(api::NewOrder {
            account_id,
            market_id: MARKET,
            side: side.into(),
            quantity: 1 + self.random.below(100),
            pricing: Some(api::new_order::Pricing::LimitPrice(price)),
            time_in_force: time_in_force.into(),
            self_trade_prevention: api::SelfTradePrevention::CancelOldest.into(),
            ..api::NewOrder::default()
        });
        self.command(body)
    }

    fn change_order(&mut self, account_id: u64, orders: &mut Vec<u64>) -> Body {
        if orders.is_empty() || self.random.below(20) == 0 {
            orders.clear();
            return Body::MassCancel(api::MassCancel { account_id, ..api::MassCancel::default() });
        }
        let place = self.random.below(orders.len() as u64) as usize;
        let reference = api::order_reference::Reference::OrderId(orders[place]);
        let order = Some(api::OrderReference { reference: Some(reference) });
        if self.random.below(2) == 0 {
            orders.swap_remove(place);
            return Body::CancelOrder(api::CancelOrder { account_id, order });
        }
        let limit_price = PRICE - SPREAD + self.random.below(2 * SPREAD + 1);
        let quantity = 1 + self.random.below(100);
        Body::ReplaceOrder(api::ReplaceOrder { account_id, order, quantity, limit_price })
    }

    fn pending_transfers(&mut self, account: u64) -> Vec<api::Command> {
        let transfer = |trader: &mut Self, expires_at| {
            let body = Body::Transfer(api::Transfer {
                debit_account_id: account,
                credit_account_id: ground::bank_account(trader.random.next()),
                asset_id: SHARE,
                amount: 1 + trader.random.below(50),
                pending: true,
                expires_at,
                ..api::Transfer::default()
            });
            trader.command(body)
        };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let soon = u64::try_from((now + PENDING_LIFE).as_nanos()).unwrap_or_default();
        vec![transfer(self, 0), transfer(self, soon)]
    }

    fn end_pending(&mut self, pending: &mut Vec<bytes::Bytes>) -> Body {
        let transfer_id = match pending.is_empty() {
            true => id_to_bytes(CommandId(self.random.id())),
            false => pending.swap_remove(self.random.below(pending.len() as u64) as usize),
        };
        match self.random.below(2) {
            0 => Body::PostPending(api::PostPending { transfer_id, amount: self.random.below(3) }),
            _ => Body::VoidPending(api::VoidPending { transfer_id }),
        }
    }

    /// Two transfers that happen both or not at all; one chain in four fails.
    fn chain(&mut self) -> Vec<api::Command> {
        let bodies = [self.transfer(), self.transfer()];
        let mut commands: Vec<_> = bodies.into_iter().map(|body| self.command(body)).collect();
        commands[0].linked = true;
        if self.random.below(4) == 0
            && let Some(Body::Transfer(transfer)) = &mut commands[1].body
        {
            transfer.amount = u64::from(u32::MAX) << 16;
        }
        commands
    }

    /// Batches of transfers in a pipeline, in order.
    async fn pipeline(mut self) {
        while self.goes_on() {
            let options =
                SessionOptions { in_flight: SESSION_IN_FLIGHT, stall: Duration::from_secs(1), deadline: DEADLINE };
            let Session { mut sender, mut receiver } = self.client.session(options);
            let mut under_way = std::collections::VecDeque::new();
            let mut pace = interval(TRADE_PERIOD);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while self.goes_on() || !under_way.is_empty() {
                let answer = tokio::select! {
                    _ = pace.tick(), if self.goes_on() && under_way.len() < SESSION_IN_FLIGHT => {
                        let bodies: Vec<_> = (0..3).map(|_| self.transfer()).collect();
                        let commands: Vec<_> = bodies.into_iter().map(|body| self.command(body)).collect();
                        under_way.push_back(self.recorder.sent(&commands));
                        if sender.send(commands).await.is_err() {
                            break;
                        }
                        continue;
                    }
                    answer = receiver.next(), if !under_way.is_empty() => answer,
                    // Told to stop between two looks.
                    else => break,
                };
                match (answer, under_way.pop_front()) {
                    (Ok(Some(answer)), Some(operations)) => match answer.results {
                        Ok(results) => self.recorder.answered(&operations, &results),
                        Err(refusal) => self.recorder.failed(&crate::client::ClientError::Refused(refusal)),
                    },
                    (Err(error), _) => {
                        self.recorder.failed(&error);
                        break;
                    }
                    _ => break,
                }
            }
        }
    }

    /// Reads accounts and the book from one node, at every consistency.
    async fn read(mut self) {
        use api::consistency::Level;
        while self.goes_on() {
            let (level, wire) = match self.random.below(4) {
                0 => (ReadLevel::Stale, Level::Stale(true)),
                1 => {
                    let sequence = self.recorder.last_sequence();
                    (ReadLevel::AtLeast(sequence), Level::AtLeastSequence(sequence))
                }
                _ => (ReadLevel::Linearizable, Level::Linearizable(true)),
            };
            let consistency = Some(api::Consistency { level: Some(wire) });
            let sent = self.recorder.now();
            let saw = if self.random.below(4) == 0 {
                let request = api::GetBookRequest { market_id: MARKET, depth: BOOK_DEPTH, consistency };
                let book = self.client.get_book(request).await;
                book.map(|book| ReadKind::Book { market: MARKET, depth: BOOK_DEPTH, book })
            } else {
                let accounts = ground::accounts();
                let account_id = accounts[self.random.below(accounts.len() as u64) as usize];
                self.client.get_account(api::GetAccountRequest { account_id, consistency }).await.map(ReadKind::Account)
            };
            // A read that fails proves nothing; nodes that are down or cut off cannot answer.
            if let Ok(saw) = saw {
                self.recorder.read(level, sent, saw);
            }
            sleep(READ_PERIOD).await;
        }
    }
}
