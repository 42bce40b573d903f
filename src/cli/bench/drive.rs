//! One client of a load: how it asks, and what it measures.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::workload::Traffic;
use crate::cli::CliError;
use crate::client::{Answer, Client, ClientError, Session, SessionOptions};

/// Latencies are kept from 1 µs to a minute, with three digits.
const LATENCY_US_MAX: u64 = 60_000_000;

/// When is measured, and how much is asked at once.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Measuring begins.
    pub start: Instant,
    /// Measuring ends, and asking.
    pub end: Instant,
    /// Requests that one client keeps under way.
    pub in_flight: u32,
    /// Commands of a request.
    pub batch: u32,
}

/// What was measured.
#[derive(Debug)]
pub struct Measured {
    /// One for each command.
    pub latencies: Histogram<u64>,
    /// Commands, or reads.
    pub commands: u64,
    /// Those that were refused.
    pub errors: u64,
}

impl Measured {
    /// Nothing yet.
    pub fn new() -> Result<Self, CliError> {
        let latencies = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3);
        let latencies = latencies.map_err(|error| CliError::Check(format!("no histogram: {error}")))?;
        Ok(Self { latencies, commands: 0, errors: 0 })
    }

    /// Adds what another client measured.
    pub fn add(&mut self, other: &Self) {
        self.commands += other.commands;
        self.errors += other.errors;
        // Both have the same bounds.
        let _ = self.latencies.add(&other.latencies);
    }

    fn note(&mut self, plan: &Plan, asked: Instant, commands: u64, errors: u64) {
        let now = Instant::now();
        if now >= plan.start && now < plan.end {
            let latency = u64::try_from(now.saturating_duration_since(asked).as_micros()).unwrap_or(u64::MAX);
            self.latencies.saturating_record_n(latency.max(1), commands);
            self.commands += commands;
            self.errors += errors;
        }
    }

    fn note_answer(
        &mut self,
        plan: &Plan,
        asked: Option<Instant>,
        answer: Option<Answer>,
        traffic: &mut Traffic,
    ) -> Result<(), CliError> {
        let (answer, asked) = answer.zip(asked).ok_or(ClientError::SessionEnded)?;
        let results = answer.results.map_err(|refusal| CliError::Check(format!("a batch was refused: {refusal}")))?;
        let refused = traffic.learn(&results);
        self.note(plan, asked, results.len() as u64, refused);
        Ok(())
    }
}

/// Keeps requests under way in a session: sends the next one when one is answered.
pub async fn closed(client: &Client, plan: Plan, mut traffic: Traffic) -> Result<Measured, CliError> {
    let options = SessionOptions { in_flight: plan.in_flight as usize, ..SessionOptions::default() };
    let Session { mut sender, mut receiver } = client.session(options);
    let mut asked = VecDeque::with_capacity(options.in_flight);
    let mut measured = Measured::new()?;
    for _ in 0..plan.in_flight {
        asked.push_back(Instant::now());
        sender.send(traffic.batch(plan.batch)).await?;
    }
    while !asked.is_empty() {
        let answer = receiver.next().await?;
        measured.note_answer(&plan, asked.pop_front(), answer, &mut traffic)?;
        if Instant::now() < plan.end {
            asked.push_back(Instant::now());
            sender.send(traffic.batch(plan.batch)).await?;
        }
    }
    Ok(measured)
}

/// Sends a request every `interval`, whether or not the ones before are answered. A latency counts from the
/// moment at which the request was due: a stall delays all that were due meanwhile, and they all tell of it.
pub async fn open(
    client: &Client,
    plan: Plan,
    first: Instant,
    interval: Duration,
    mut traffic: Traffic,
) -> Result<Measured, CliError> {
    let options = SessionOptions { in_flight: plan.in_flight as usize, ..SessionOptions::default() };
    let Session { mut sender, mut receiver } = client.session(options);
    let mut asked = VecDeque::with_capacity(options.in_flight);
    let mut measured = Measured::new()?;
    let mut due = first;
    loop {
        let sends = due < plan.end;
        if !sends && asked.is_empty() {
            return Ok(measured);
        }
        tokio::select! {
            biased;
            answer = receiver.next(), if !asked.is_empty() => {
                measured.note_answer(&plan, asked.pop_front(), answer?, &mut traffic)?;
            }
            () = tokio::time::sleep_until(due.into()), if sends && asked.len() < options.in_flight => {
                asked.push_back(due);
                sender.send(traffic.batch(plan.batch)).await?;
                due += interval;
            }
        }
    }
}

/// Asks one command after the other, each by a call of its own.
pub async fn calls(client: &Client, plan: Plan, mut traffic: Traffic) -> Result<Measured, CliError> {
    let mut measured = Measured::new()?;
    while Instant::now() < plan.end {
        let command = traffic.batch(1).pop().ok_or_else(|| CliError::Check("no command".to_owned()))?;
        let asked = Instant::now();
        let result = client.execute(command).await?;
        let refused = traffic.learn(&[result]);
        measured.note(&plan, asked, 1, refused);
    }
    Ok(measured)
}

/// Reads, one call after the other.
pub async fn reads(plan: Plan, mut read: impl AsyncFnMut() -> Result<(), ClientError>) -> Result<Measured, CliError> {
    let mut measured = Measured::new()?;
    while Instant::now() < plan.end {
        let asked = Instant::now();
        read().await?;
        measured.note(&plan, asked, 1, 0);
    }
    Ok(measured)
}
