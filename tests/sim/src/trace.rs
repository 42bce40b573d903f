//! What happened in a run, as one number: equal for equal runs. And, if asked for, as lines of text.
//!
//! The bytes of messages do not count, since they hold what the wall clock says (hyper's `date`
//! header); who sent to whom and when does, and every line that a node logs.

use std::fmt::{Debug, Write as _};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::lockstep;

/// What turmoil calls a message's content.
const PAYLOAD: &str = "protocol";

/// The events of a run.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    hash: Arc<Mutex<(DefaultHasher, u64)>>,
    print: Option<Level>,
    /// Messages count too, which takes time.
    messages: bool,
}

impl Trace {
    /// Begins to take down events; prints those of this level and above.
    pub fn begin(print: Option<Level>, messages: bool) -> Self {
        let trace = Self { print, messages, ..Self::default() };
        tracing_subscriber::registry().with(trace.clone()).init();
        trace
    }

    /// The number, and how many events went into it.
    pub fn number(&self) -> (u64, u64) {
        let hash = self.hash.lock().unwrap_or_else(PoisonError::into_inner);
        (hash.0.finish(), hash.1)
    }
}

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() != PAYLOAD {
            let _ = write!(self.0, " {}={value:?}", field.name());
        }
    }
}

fn is_ours(target: &str) -> bool {
    target.starts_with("counterfoil")
}

/// Where this run keeps its files: another place in each process, and no part of what happens.
static FOLDER: OnceLock<String> = OnceLock::new();

/// Says where this run keeps its files.
pub fn mask(folder: &Path) {
    let _ = FOLDER.set(folder.display().to_string());
}

impl Layer<Registry> for Trace
where
    Registry: Subscriber,
{
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, Registry>) -> bool {
        match metadata.target() {
            // Spans say nothing that the events do not.
            _ if metadata.is_span() => false,
            "turmoil" => self.messages,
            target if target.starts_with("openraft") => *metadata.level() <= Level::WARN,
            target => is_ours(target) && *metadata.level() <= Level::DEBUG,
        }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, Registry>) {
        let metadata = event.metadata();
        let mut line = Line::default();
        event.record(&mut line);
        if let Some(folder) = FOLDER.get() {
            line.0 = line.0.replace(folder, "");
        }
        let ms = lockstep::elapsed_ms();
        if is_ours(metadata.target()) && self.print.is_some_and(|print| *metadata.level() <= print) {
            let text = line.0.trim_start().trim_start_matches("message=");
            eprintln!("{ms:>7} {:5} {}: {text}", metadata.level(), metadata.target());
        }
        // openraft writes times of the real clock into some of its lines: where they stand in its code says enough.
        let told = if metadata.target().starts_with("openraft") { metadata.name() } else { &line.0 };
        let mut hash = self.hash.lock().unwrap_or_else(PoisonError::into_inner);
        (ms, metadata.target(), told).hash(&mut hash.0);
        hash.1 += 1;
    }
}
