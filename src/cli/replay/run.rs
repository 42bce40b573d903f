//! Plays a day through a session, and checks it against the cluster's own records.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;

use super::check::Checker;
use super::lobster::Day;
use super::plan::{Planned, Planner};
use super::stage::Stage;
use crate::cli::CliError;
use crate::client::{Client, Session, SessionOptions, SessionReceiver, SessionSender, Watch, api};

/// Commands of one request: about one log entry's worth.
const REQUEST_COMMANDS: usize = 100;
/// Requests under way.
const IN_FLIGHT: usize = 128;
/// How long the cluster may be without an answer: longer than any failover.
const DEADLINE: Duration = Duration::from_secs(60);

/// How a day is played.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Compare with the record.
    pub check: bool,
    /// How many times faster than the market was; as fast as the cluster takes it when `None`.
    pub speed: Option<u32>,
}

/// One entry of what is done with the answers.
enum Item {
    /// The next result answers this.
    Command(Planned),
    /// All commands of this event are done.
    EndOfEvent(u32),
}

/// What one request holds, for the answers' side.
#[derive(Default)]
struct Batch {
    items: Vec<Item>,
    commands: Vec<api::Command>,
}

/// Plays `day` on `stage`, whose market was created at `created`.
pub async fn play<'a>(
    client: &Client,
    day: &'a Day,
    stage: &Stage,
    created: u64,
    options: Options,
    bar: &'a ProgressBar,
) -> Result<Checker<'a>, CliError> {
    let session = SessionOptions { in_flight: IN_FLIGHT, deadline: DEADLINE, ..SessionOptions::default() };
    let Session { sender, receiver } = client.session(session);
    let (batches, planned) = mpsc::channel(IN_FLIGHT);
    let filter = api::EventFilter { market_ids: vec![stage.market_id()], ..api::EventFilter::default() };
    let records = options.check.then(|| Records::new(client.watch(created + 1, Some(filter))));
    let judge = Judge { checker: Checker::new(day), receiver, records, last: created, bar };
    let ((), checker) = tokio::try_join!(send(day, stage, options.speed, sender, batches), judge.run(planned))?;
    Ok(checker)
}

/// A progress bar on standard error, hidden where there is no terminal.
pub fn progress(day: &Day) -> ProgressBar {
    let bar = ProgressBar::new(day.messages.len() as u64);
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} events {per_sec} {eta} {msg}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.with_prefix(day.ticker.clone())
}

/// Plans and sends, as far ahead of the answers as the session lets it.
async fn send(
    day: &Day,
    stage: &Stage,
    speed: Option<u32>,
    mut sender: SessionSender,
    batches: mpsc::Sender<Batch>,
) -> Result<(), CliError> {
    let (mut planner, mut batch) = (Planner::new(day), Batch::default());
    let (started, first) = (Instant::now(), day.messages.first().map_or(0, |message| message.time));
    for (event, message) in (0..).zip(&day.messages) {
        if let Some(speed) = speed {
            let recorded = Duration::from_nanos(message.time.saturating_sub(first));
            let due = recorded / speed.max(1);
            if due > started.elapsed() {
                flush(&mut batch, &mut sender, &batches).await?;
                tokio::time::sleep_until((started + due).into()).await;
            }
        }
        for planned in planner.next_event().unwrap_or_default() {
            batch.commands.push(stage.command(planned));
            batch.items.push(Item::Command(*planned));
            if batch.commands.len() == REQUEST_COMMANDS {
                flush(&mut batch, &mut sender, &batches).await?;
            }
        }
        batch.items.push(Item::EndOfEvent(event));
    }
    flush(&mut batch, &mut sender, &batches).await
}

async fn flush(batch: &mut Batch, sender: &mut SessionSender, batches: &mpsc::Sender<Batch>) -> Result<(), CliError> {
    let Batch { items, commands } = std::mem::take(batch);
    let asks = !commands.is_empty();
    let to_check = Batch { items, commands: Vec::new() };
    // When the other side is gone it has failed, and its error is the one to tell.
    if batches.send(to_check).await.is_err() {
        return std::future::pending().await;
    }
    if asks && sender.send(commands).await.is_err() {
        return std::future::pending().await;
    }
    Ok(())
}

/// Takes the answers in, in order, each with its record.
struct Judge<'a> {
    checker: Checker<'a>,
    receiver: SessionReceiver,
    records: Option<Records>,
    /// The sequence of the last answer.
    last: u64,
    bar: &'a ProgressBar,
}

impl<'a> Judge<'a> {
    async fn run(mut self, mut planned: mpsc::Receiver<Batch>) -> Result<Checker<'a>, CliError> {
        while let Some(batch) = planned.recv().await {
            let asked = batch.items.iter().any(|item| matches!(item, Item::Command(_)));
            let results = if asked { self.answer().await? } else { Vec::new() };
            let mut results = results.into_iter();
            for item in batch.items {
                match (item, &mut results) {
                    (Item::EndOfEvent(event), _) => {
                        self.checker.tally.events += 1;
                        if self.records.is_some() {
                            self.checker.end_of_event(event);
                        }
                    }
                    (Item::Command(planned), results) => match results.next() {
                        Some(result) => self.result(&planned, &result).await?,
                        None => return Err(CliError::Check("a command got no result".to_owned())),
                    },
                }
            }
            self.bar.set_position(self.checker.tally.events);
        }
        Ok(self.checker)
    }

    async fn answer(&mut self) -> Result<Vec<api::CommandResult>, CliError> {
        match self.receiver.next().await? {
            Some(answer) => answer.results.map_err(|refusal| {
                CliError::Check(format!("request {} was refused: {refusal}", answer.request_number))
            }),
            None => Err(CliError::Check("the session ended before all was answered".to_owned())),
        }
    }

    async fn result(&mut self, planned: &Planned, result: &api::CommandResult) -> Result<(), CliError> {
        self.checker.answer(planned, result);
        let sequence = result.position.map_or(0, |position| position.sequence);
        if sequence <= self.last {
            let event = planned.step.event + 1;
            let last = self.last;
            return Err(CliError::Check(format!(
                "event {event}: a command was applied at sequence {sequence}, the one before it at {last}"
            )));
        }
        self.last = sequence;
        let Some(records) = &mut self.records else { return Ok(()) };
        if result.rejection == 0 {
            let record = records.at(sequence, &mut self.checker).await?;
            self.checker.record(planned, &record);
        }
        Ok(())
    }
}

/// The market's records, in order.
struct Records {
    watch: Watch,
    queue: VecDeque<api::Record>,
    through: u64,
}

impl Records {
    fn new(watch: Watch) -> Self {
        Self { watch, queue: VecDeque::new(), through: 0 }
    }

    /// The record that begins at `sequence`; what comes before it is not the replay's.
    async fn at(&mut self, sequence: u64, checker: &mut Checker<'_>) -> Result<api::Record, CliError> {
        loop {
            while let Some(record) = self.queue.pop_front() {
                let first = record.position.map_or(0, |position| position.sequence);
                match first.cmp(&sequence) {
                    std::cmp::Ordering::Less => checker.foreign(&record),
                    std::cmp::Ordering::Equal => return Ok(record),
                    std::cmp::Ordering::Greater => return Err(missing(sequence)),
                }
            }
            if self.through >= sequence {
                return Err(missing(sequence));
            }
            let response = self.watch.next().await?;
            self.through = response.through_sequence;
            self.queue.extend(response.records);
        }
    }
}

fn missing(sequence: u64) -> CliError {
    CliError::Check(format!("the record of the command at sequence {sequence} is not in the stream of events"))
}
