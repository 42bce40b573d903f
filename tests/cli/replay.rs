//! A recorded day against the pure core: the plan's decisions and the check of what came of them.

use std::collections::HashMap;
use std::io::Cursor;

use counterfoil::cli::replay::check::Checker;
use counterfoil::cli::replay::lobster::{Day, LobsterError};
use counterfoil::cli::replay::plan::Planner;
use counterfoil::cli::replay::stage::Stage;
use counterfoil::client::api;
use counterfoil::core::Ledger;
use counterfoil::core::command::{CommandKey, Proposal};
use counterfoil::core::event::Effects;
use counterfoil::core::state::{History, Used};
use counterfoil::core::types::{LogIndex, Stamp, Term, Timestamp};
use counterfoil::server::convert;

use crate::recording::Recording;

#[derive(Default)]
struct Remembered(HashMap<CommandKey, Used>);

impl History for Remembered {
    fn find(&self, key: &CommandKey) -> Option<Used> {
        self.0.get(key).copied()
    }

    fn remember(&mut self, key: CommandKey, used: Used) {
        self.0.insert(key, used);
    }
}

/// A cluster without a network: the core, and the conversions in front of it.
#[derive(Default)]
struct Core {
    ledger: Ledger,
    history: Remembered,
    effects: Effects,
    index: u64,
}

impl Core {
    /// Carries out one command, and returns its record.
    fn apply(&mut self, command: &api::Command) -> api::Record {
        self.index += 1;
        let time = Timestamp(self.index);
        let stamp = Stamp { term: Term(1), index: LogIndex(self.index), time };
        let command = convert::command::command(command).expect("a command of the right shape");
        self.effects.clear();
        let proposal = Proposal::new(time, vec![command]);
        self.ledger.apply(stamp, &proposal, &mut self.history, &mut self.effects);
        self.ledger.take_changes(&mut Vec::new());
        convert::event::record(self.effects.record(0))
    }
}

fn rejection(record: &api::Record) -> i32 {
    record
        .events
        .iter()
        .find_map(|event| match event.body {
            Some(api::event::Body::Rejected(reason)) => Some(reason),
            _ => None,
        })
        .unwrap_or(0)
}

fn day(recording: &Recording) -> Day {
    Day::read(Cursor::new(recording.zip("TEST"))).expect("a day")
}

fn play(day: &Day) -> Checker<'_> {
    let (stage, mut core) = (Stage::new(day, None), Core::default());
    for (name, command) in stage.setup() {
        assert_eq!(rejection(&core.apply(&command)), 0, "{name}");
    }
    let (mut planner, mut checker) = (Planner::new(day), Checker::new(day));
    let mut event = 0;
    while let Some(plan) = planner.next_event() {
        for planned in plan {
            let record = core.apply(&stage.command(planned));
            let result = api::CommandResult { rejection: rejection(&record), ..api::CommandResult::default() };
            checker.answer(planned, &result);
            assert_eq!(result.rejection, 0, "event {event}: {planned:?}");
            checker.record(planned, &record);
        }
        checker.end_of_event(event);
        event += 1;
    }
    checker
}

#[test]
fn a_recorded_day_is_reproduced() {
    for seed in 1..=8 {
        let recording = Recording::make(seed, 300, 3_000);
        let day = day(&recording);
        let tally = play(&day).tally;
        assert_eq!(tally.sides_equal, tally.sides_total, "seed {seed}: {tally:?}");
        assert_eq!(tally.sides_total, 2 * recording.events);
        assert_eq!(tally.executions_known + tally.executions_unknown, recording.executions, "seed {seed}: {tally:?}");
        assert!(tally.executions_known > 100 && tally.seeds > 0, "seed {seed} shows something: {tally:?}");
        assert!(tally.makers_differ * 20 <= tally.executions_known, "seed {seed}: {tally:?}");
    }
}

#[test]
fn the_check_sees_a_book_that_differs_and_a_maker_that_was_jumped() {
    let recording = Recording::make(5, 300, 500);
    let mut day = day(&recording);
    let honest = play(&day).tally;
    // Two orders of one level change places in the record: the market matched the younger one first.
    let swapped = recording.messages.lines().zip(recording.messages.lines().skip(1)).position(|(one, next)| {
        let field = |line: &str, place: usize| line.split(',').nth(place).unwrap_or_default().to_owned();
        let entered =
            |line: &str| recording.messages.lines().any(|m| field(m, 1) == "1" && field(m, 2) == field(line, 2));
        field(one, 1) == "4"
            && field(next, 1) == "4"
            && entered(one)
            && entered(next)
            && field(one, 4) == field(next, 4)
            && field(one, 2) != field(next, 2)
    });
    let swapped = swapped.expect("two orders of one level are executed one after the other");
    let (one, next) = (day.messages[swapped].order, day.messages[swapped + 1].order);
    (day.messages[swapped].order, day.messages[swapped + 1].order) = (next, one);
    day.rows[400].bids[0].size.0 += 1;
    let checker = play(&day);
    assert!(checker.tally.makers_differ > honest.makers_differ, "{:?}", checker.tally);
    assert!(checker.tally.sides_equal < honest.sides_equal, "{:?}", checker.tally);
}

#[test]
fn a_plan_and_its_ids_follow_from_the_file() {
    let recording = Recording::make(7, 300, 200);
    let (first, again) = (day(&recording), day(&recording));
    let plan = |day: &Day| {
        let (stage, mut planner, mut commands) = (Stage::new(day, None), Planner::new(day), Vec::new());
        while let Some(plan) = planner.next_event() {
            commands.extend(plan.iter().map(|planned| stage.command(planned)));
        }
        commands
    };
    let commands = plan(&first);
    assert_eq!(commands, plan(&again));
    let ids: std::collections::BTreeSet<_> = commands.iter().map(|command| command.id.clone()).collect();
    assert_eq!(ids.len(), commands.len(), "each command has an id of its own");
    let other = Stage::new(&first, Some("OTHER"));
    assert_ne!(other.market_id(), Stage::new(&first, None).market_id(), "another market is another replay");
}

#[test]
fn what_is_no_recording_is_refused_by_line_and_field() {
    let read = |messages: &str, books: &str| {
        let recording = Recording { messages: messages.to_owned(), books: books.to_owned(), ..Recording::default() };
        Day::read(Cursor::new(recording.zip("TEST"))).map(|_| ()).expect_err("no day").to_string()
    };
    let row = "10100,50,10000,30,10200,5,9900,1,10300,5,9800,1\n";
    assert_eq!(read("34200.1,1,7,x,10000,1\n", row), r#"messages line 1: size is "x""#);
    assert_eq!(read("34200.1,1,7,20,10000,3\n", row), r#"messages line 1: direction is "3""#);
    assert_eq!(read("34200.1,1,7,20,10000,1\n34200.1,3,7,20,10000,1\n", row), "2 messages, but 1 books");
    assert!(matches!(Day::read(Cursor::new(b"garbage".to_vec())), Err(LobsterError::Zip(_))));
    let mut empty = zip::ZipWriter::new(Cursor::new(Vec::new()));
    empty.start_file("other.csv", zip::write::SimpleFileOptions::default()).expect("a file");
    let empty = empty.finish().expect("a zip").into_inner();
    assert!(matches!(Day::read(Cursor::new(empty)), Err(LobsterError::Missing("message"))));
}
