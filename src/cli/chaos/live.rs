//! The line that tells what happens, on standard error.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::drill::Inflicted;
use super::recorder::Recorder;

/// How often the line changes.
const PERIOD: Duration = Duration::from_millis(250);

/// The line, and the faults above it.
#[derive(Debug, Clone)]
pub struct Live {
    bar: ProgressBar,
}

impl Live {
    /// Begins to tell.
    pub fn start() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {prefix:18} {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(PERIOD);
        Self { bar }
    }

    /// Tells what is being done.
    pub fn stage(&self, what: &str) {
        self.bar.set_prefix(what.to_owned());
        if self.bar.is_hidden() {
            eprintln!("{what}");
        }
    }

    /// Tells a fault that begins.
    pub fn fault(&self, fault: &str, nodes: &[u64]) {
        self.bar.set_prefix(format!("{fault} {}", list(nodes)));
    }

    /// Tells a fault that is over.
    pub fn done(&self, done: &Inflicted) {
        self.bar.set_prefix("calm");
        let line = format!(
            "{:7.1} s  {:16} node {:7} led {}  pause {:5} ms  back in sync {:5} ms, pause {:5} ms",
            done.at_seconds,
            done.fault,
            list(&done.nodes),
            done.leader,
            done.gap_ms,
            done.rejoin_ms,
            done.mend_gap_ms
        );
        // Also where nobody sees the line itself: in a log.
        self.bar.suspend(|| eprintln!("{line}"));
    }

    /// Counts, until it is dropped.
    pub async fn count(self, recorder: Recorder) {
        let mut last = 0;
        loop {
            tokio::time::sleep(PERIOD).await;
            let acknowledged = recorder.acknowledged();
            let rate = (acknowledged - last) * 1_000 / PERIOD.as_millis() as u64;
            last = acknowledged;
            self.bar.set_message(format!("{acknowledged} acknowledged, {rate}/s"));
        }
    }

    /// Takes the line away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn list(nodes: &[u64]) -> String {
    nodes.iter().map(u64::to_string).collect::<Vec<_>>().join(",")
}
