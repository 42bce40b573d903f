//! A leader whose disk stalls keeps its heartbeats, and so its office, while nothing is acknowledged.
//! It hands its office over; and a node whose disk does not come back ends.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::fault::Fault;
use super::handover::TransferError;
use super::replica::Replica;
use crate::store::StoreError;

/// Looks at the disk within the time that counts as slow.
const LOOKS: u32 = 4;

/// Between two hand-overs for a slow disk: where all disks are slow, leadership must not circle.
const HANDOVER_PAUSE: Duration = Duration::from_secs(30);

/// What is to be done about the sync that runs now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Nothing,
    HandOver,
    End,
}

fn step(running: Option<Duration>, slow: Duration, hung: Duration, leads: bool, handed_over: Option<Duration>) -> Step {
    match running {
        Some(running) if running >= hung => Step::End,
        Some(running) if running >= slow && leads && handed_over.is_none_or(|ago| ago >= HANDOVER_PAUSE) => {
            Step::HandOver
        }
        _ => Step::Nothing,
    }
}

impl Replica {
    /// Watches the log's syncs until the node is shut down.
    ///
    /// # Errors
    /// When a sync does not come back; the node must stop.
    pub async fn watch_disk(&self) -> Result<(), Fault> {
        let config = self.shared.peers.config();
        let mut tick = interval((config.sync_slow / LOOKS).max(Duration::from_millis(1)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut handed_over: Option<Instant> = None;
        loop {
            tick.tick().await;
            let running = self.shared.log.sync_running();
            let leads = self.shared.raft.is_leader();
            let ago = handed_over.map(|at| at.elapsed());
            match step(running, config.sync_slow, config.sync_hung, leads, ago) {
                Step::Nothing => {}
                Step::HandOver => {
                    tracing::warn!(?running, "the disk is slow; leadership is handed over");
                    handed_over = Some(Instant::now());
                    match self.transfer_leadership(None).await {
                        Ok(leader) => tracing::info!(leader, "leadership moved"),
                        Err(TransferError::ShuttingDown) => return Ok(()),
                        Err(error) => tracing::warn!(%error, "leadership did not move"),
                    }
                }
                Step::End => {
                    let seconds = running.unwrap_or_default().as_secs();
                    let path = self.shared.log.folder().to_owned();
                    let fault = Fault::Store(StoreError::Hung { path, seconds });
                    self.shared.apply.faults().report(fault.clone());
                    return Err(fault);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_disk_costs_the_office_and_a_hung_one_the_node() {
        let (slow, hung) = (Duration::from_secs(1), Duration::from_secs(10));
        let at = |millis, leads, ago| step(Some(Duration::from_millis(millis)), slow, hung, leads, ago);
        assert_eq!(step(None, slow, hung, true, None), Step::Nothing);
        assert_eq!(at(999, true, None), Step::Nothing);
        assert_eq!(at(1_000, true, None), Step::HandOver);
        assert_eq!(at(1_000, false, None), Step::Nothing, "a follower has no office");
        assert_eq!(at(2_000, true, Some(Duration::from_secs(29))), Step::Nothing, "not in circles");
        assert_eq!(at(2_000, true, Some(HANDOVER_PAUSE)), Step::HandOver);
        for leads in [false, true] {
            assert_eq!(at(10_000, leads, None), Step::End);
        }
    }
}
