//! A leader that hears from no majority gives way.
//!
//! openraft's leader keeps its office then, and its heartbeats go on; each linearizable read that it is
//! asked for sends another. Where the network carries them but not the answers, the others would never
//! miss it, and nobody could lead for as long as that lasts. So it falls silent for long enough that
//! they can elect; if they do not, since the network is cut for all, it asks for their answers again.

use super::fault::Fault;
use super::replica::Replica;
use super::status::Leadership;

/// How many of the longest waits for a leader the silence lasts: one for the election to begin, one
/// for it to end.
const SILENCE_WAITS: u32 = 2;

impl Replica {
    /// Watches until the node is shut down.
    ///
    /// # Errors
    /// None; it is watched over like the other parts.
    pub async fn give_way(&self) -> Result<(), Fault> {
        let me = self.shared.peers.me();
        let config = self.shared.peers.config();
        let leads = |now: &Leadership| now.leader.as_ref().is_some_and(|(id, _)| *id == me);
        let mut leadership = self.leadership();
        loop {
            let is_alone = |now: &Leadership| leads(now) && !now.serving;
            if is_alone(&leadership.borrow_and_update()) {
                // A new leader is not confirmed yet, and one that stood still for a moment soon is again:
                // an election would cost more than it mends.
                let regained = leadership.wait_for(|now| !is_alone(now));
                if tokio::time::timeout(config.quorum_loss, regained).await.is_err() {
                    self.fall_silent().await;
                }
            }
            // A node that stops changes nothing more; then this is ended from outside.
            let _ = tokio::time::timeout(config.quorum_loss, leadership.changed()).await;
        }
    }

    async fn fall_silent(&self) {
        tracing::warn!("no majority answers: giving way");
        self.shared.peers.set_silent(true);
        tokio::time::sleep(self.shared.peers.config().election_max * SILENCE_WAITS).await;
        self.shared.peers.set_silent(false);
    }
}
