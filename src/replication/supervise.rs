//! What a node watches about itself: whether it may serve, whether Raft lives, whether the log has
//! grown enough for a snapshot.

use std::sync::atomic::Ordering;

use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::{MissedTickBehavior, interval};

use super::fault::Fault;
use super::replica::Replica;
use super::status;

impl Replica {
    /// Watches until the node is shut down. openraft's leader keeps its office when it loses its
    /// majority; here it stops serving then, and whoever waits for it is told.
    ///
    /// # Errors
    /// The fault for which the node has to end.
    pub async fn supervise(&self) -> Result<(), Fault> {
        let shared = &self.shared;
        let config = shared.peers.config();
        let mut servers = shared.raft.server_metrics();
        let mut data = shared.raft.data_metrics();
        let mut tick = interval(config.heartbeat);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            shared.peers.roster().set_members(status::metrics(&shared.raft).membership_config.membership());
            shared.repair.release(&shared.raft);
            let now = status::leadership(&shared.raft, config.quorum_loss);
            let (figures, members) = (shared.peers.figures(), shared.peers.roster().len());
            if now.serving {
                figures.led_by(shared.peers.me());
            }
            figures.keep(|id| shared.peers.roster().node(id).is_some());
            figures.sample(status::followers(&shared.raft, config.quorum_loss).as_ref(), members);
            // A new leader is confirmed by the first answers to its heartbeats: watch for those.
            let unconfirmed = !now.serving && now.leader.as_ref().is_some_and(|(id, _)| *id == shared.peers.me());
            shared.leadership.send_if_modified(|known| {
                let changed = *known != now;
                if changed {
                    let leader = now.leader.as_ref().map(|(id, _)| *id);
                    tracing::info!(term = now.term.0, serving = now.serving, leader, "leadership");
                    *known = now;
                }
                changed
            });
            if let Err(fatal) = status::metrics(&shared.raft).running_state {
                return self.raft_ended(&fatal);
            }
            if shared.apply.bytes_since_snapshot() >= config.snapshot_bytes
                && let Err(fatal) = shared.raft.trigger().snapshot().await
            {
                return self.raft_ended(&fatal);
            }
            tokio::select! {
                fault = shared.apply.faults().wait() => return Err(fault),
                _ = servers.changed() => {}
                _ = data.changed(), if unconfirmed => {}
                _ = tick.tick() => {}
            }
        }
    }

    fn raft_ended(&self, fatal: &dyn std::fmt::Display) -> Result<(), Fault> {
        if self.shared.stopping.load(Ordering::Relaxed) {
            return Ok(());
        }
        let faults = self.shared.apply.faults();
        faults.report(Fault::Raft(fatal.to_string()));
        Err(faults.get().unwrap_or_else(|| Fault::Raft(fatal.to_string())))
    }
}
