//! Who cares for a cluster's backups on one node: looks at the target, gives out work, does it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::super::network::Client;
use super::super::replica::{ReadError, Replica};
use super::super::status::Role;
use super::super::types::{Node, NodeId};
use super::super::wire;
use super::hold::Hold;
use super::log::RaftLog;
use super::schedule::{Schedule, Seen};
use super::work::{Declined, Job, Work, now_ms};
use crate::core::types::Sequence;
use crate::machine::{self, Instant};
use crate::proto::raft::v1 as pb;
use crate::store::Disk;
use crate::store::backup::check::{self, Depth, Finding, Scratch, Survey, check_parts};
use crate::store::backup::plan::Catalogue;
use crate::store::backup::retention::{self, Keep};
use crate::store::backup::vault::{CHECKS, MANIFESTS, Vault};
use crate::store::backup::write::{Order, Origin, Point, write};
use crate::store::backup::{BackupError, Control, Kind, Manifest, read_catalogue};
use crate::store::engine::Readers;
use crate::store::identity::{self, ClusterId};
use crate::store::snapshot::{Outbox, SnapshotMeta};

/// Between two looks at the target.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long the leader waits for what it gave out to appear before it gives it out again.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// A follower further behind than this, in entries, is given no work.
const BEHIND_MAX: u64 = 10_000;

/// How backups are kept.
#[derive(Debug, Clone)]
pub struct KeeperOptions {
    /// Where they go.
    pub vault: Arc<dyn Vault>,
    /// What that is called.
    pub target: String,
    /// When.
    pub schedule: Schedule,
    /// How long they are kept.
    pub keep: Keep,
    /// Bytes a second that are moved at most; as fast as it goes when zero.
    pub bytes_per_second_max: u64,
    /// How much log may wait for a backup, in bytes.
    pub log_bytes_max: u64,
    /// A folder for restores on trial, removed when they end.
    pub scratch: PathBuf,
    /// A state of about so many bytes is not built in memory on trial.
    pub trial_state_bytes_max: u64,
    /// The disk it is on.
    pub disk: Disk,
}

/// Why work is not begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// This node does not take it.
    #[error(transparent)]
    Declined(#[from] Declined),
}

/// How a node sees the backups.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BackupStatus {
    /// Where they go.
    pub target: String,
    /// Complete backups there.
    pub backups: usize,
    /// The newest that was found good, and how long ago it was begun.
    pub newest_good: Option<(String, Duration)>,
    /// The share of events that the last trial gave back.
    pub recovery_rate: Option<f64>,
    /// Why an operator should look.
    pub alarm: Option<String>,
    /// What this node is doing, and how many bytes it has moved for it.
    pub work: Option<(String, u64)>,
    /// What went wrong last on this node.
    pub last_problem: Option<String>,
    /// The first log entry that waits for a backup.
    pub held_from: Option<u64>,
}

/// What is known of the target, and what is being done.
#[derive(Debug, Default)]
struct Known {
    catalogue: Catalogue,
    /// What checks found, with the time it was written.
    findings: BTreeMap<String, (u64, Finding)>,
    /// What is wrong with manifests.
    problems: Vec<String>,
    work: Option<(Work, Arc<Control>)>,
    last_problem: Option<String>,
    /// What was given out last, to whom, and when.
    given: Option<(Work, NodeId, Instant)>,
    /// Whether the target was ever read.
    seen: bool,
    /// Since when it cannot be read, and why.
    unread: Option<(Instant, String)>,
    /// The backups that were there when it was found empty; none of them came back.
    gone: Vec<String>,
}

impl Known {
    fn findings(&self) -> Vec<Finding> {
        self.findings.values().map(|(_, finding)| finding.clone()).collect()
    }

    /// Compares what is there with what was. Retention always leaves something: a target without anything is another one.
    fn compare(&mut self, found: &Catalogue) {
        let old = &self.catalogue.backups;
        if found.backups.is_empty() && !old.is_empty() {
            self.gone = old.iter().map(|manifest| manifest.id.clone()).collect();
        } else if self.gone.iter().any(|id| found.find(id).is_some()) {
            self.gone.clear();
        }
    }

    /// Why an operator should look at the target itself.
    fn target_alarm(&self, grace: Duration) -> Option<String> {
        if let Some(newest) = self.gone.last() {
            let count = self.gone.len();
            return Some(format!(
                "{count} backup(s) that were in the target, to {newest}, are gone: is it still the same?"
            ));
        }
        let (since, reason) = self.unread.as_ref()?;
        (since.elapsed() > grace).then(|| format!("the target cannot be read: {reason}"))
    }
}

#[derive(Debug)]
struct Shared {
    options: KeeperOptions,
    replica: Replica,
    readers: Readers,
    cluster: ClusterId,
    hold: Hold,
    known: Mutex<Known>,
    changed: Notify,
}

/// Cares for the backups. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Keeper {
    shared: Arc<Shared>,
}

impl Keeper {
    /// Begins to take work. The node runs [`Self::look`] and [`Self::work`], and [`Self::tend_log`].
    #[must_use]
    pub fn new(options: KeeperOptions, cluster: ClusterId, replica: Replica, readers: Readers) -> Self {
        replica.desk().open(identity::NodeId(replica.status().node));
        let hold = Hold::new(options.log_bytes_max);
        let (known, changed) = (Mutex::default(), Notify::new());
        Self { shared: Arc::new(Shared { options, replica, readers, cluster, hold, known, changed }) }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.shared.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Purges the log as far as it does not wait for a backup, until the node is stopped.
    ///
    /// # Errors
    /// When Raft has ended.
    pub async fn tend_log(&self) -> Result<(), super::super::Fault> {
        self.shared.replica.tend_log(&self.shared.hold).await
    }

    /// Looks at the target again and again, holds the log for the next backup, and on the leader gives
    /// out what is due.
    pub async fn look(&self) {
        loop {
            let keeper = self.clone();
            match machine::blocking(move || keeper.refresh()).await {
                Ok(Ok(())) => {
                    self.hold();
                    self.pace();
                    self.give_out_what_is_due().await;
                }
                Ok(Err(error)) => {
                    self.complain("look at the backups", &error);
                    self.known().unread.get_or_insert_with(|| (Instant::now(), String::new())).1 = error.to_string();
                }
                // The node is stopping.
                Err(_) => return,
            }
            let _ = timeout(LOOK_EVERY, self.shared.changed.notified()).await;
        }
    }

    fn complain(&self, what: &str, error: &BackupError) {
        let text = format!("{what}: {error}");
        let mut known = self.known();
        if known.last_problem.as_ref() != Some(&text) {
            tracing::error!(%error, what, "a backup failed");
            known.last_problem = Some(text);
        }
    }

    /// Reads what is new in the target. Blocks.
    fn refresh(&self) -> Result<(), BackupError> {
        let vault = self.shared.options.vault.as_ref();
        let old = self.known().catalogue.clone();
        let (catalogue, problems) = read_catalogue(vault, Some(self.shared.cluster), &old)?;
        let mut findings = self.known().findings.clone();
        findings.retain(|id, _| catalogue.find(id).is_some());
        for listed in vault.list(CHECKS)? {
            let Some(id) = listed.name.strip_prefix(CHECKS).and_then(|rest| rest.strip_prefix('/')) else { continue };
            let old = findings.get(id).is_some_and(|(written, _)| *written == listed.written_ms);
            if catalogue.find(id).is_some()
                && !old
                && let Some(finding) = Finding::load(vault, id)?
            {
                findings.insert(id.to_owned(), (listed.written_ms, finding));
            }
        }
        let mut known = self.known();
        known.compare(&catalogue);
        known.unread = None;
        known.problems = problems.iter().map(ToString::to_string).collect();
        known.catalogue = catalogue;
        known.findings = findings;
        known.seen = true;
        Ok(())
    }

    /// Keeps the log from where the newest backup ends.
    fn hold(&self) {
        let next = self.known().catalogue.newest().map(|newest| newest.end.next_index());
        match next.filter(|_| !self.shared.options.schedule.is_empty()) {
            Some(next) => self.shared.hold.keep_from(next),
            // The first backup begins with a snapshot.
            None => self.shared.hold.release(),
        }
    }

    fn log_presses(&self) -> bool {
        self.shared.hold.presses(self.shared.replica.log_bytes())
    }

    /// Lets the work under way hurry while the log that waits for it grows towards its bound.
    fn pace(&self) {
        if let Some((_, control)) = &self.known().work {
            control.hurry(self.log_presses());
        }
    }

    async fn give_out_what_is_due(&self) {
        let published = *self.shared.replica.published().borrow();
        if !self.shared.replica.leadership().borrow().serving || published.sequence == Sequence(0) {
            return;
        }
        let due = {
            let known = self.known();
            let findings = known.findings();
            let log_presses = self.log_presses();
            let seen = Seen { catalogue: &known.catalogue, findings: &findings, log_presses, now_ms: now_ms() };
            let due = self.shared.options.schedule.due(&seen);
            let given = |work: &Work| {
                known.given.as_ref().is_some_and(|(given, _, at)| given == work && at.elapsed() < ASK_AGAIN)
            };
            due.filter(|work| !given(work))
        };
        let Some(work) = due else { return };
        match self.run(work.clone()).await {
            Ok((node, backup)) => {
                tracing::info!(%work, node, backup, "given out");
                self.known().given = Some((work, node, Instant::now()));
            }
            Err(error) => tracing::warn!(%work, %error, "nobody takes it"),
        }
    }

    /// Has work done: by a follower if this node leads and one takes it, here otherwise. Returns by which node,
    /// and the backup that is made or checked.
    ///
    /// # Errors
    /// When nobody takes it.
    pub async fn run(&self, work: Work) -> Result<(NodeId, String), RunError> {
        let status = self.shared.replica.status();
        if status.role == Role::Leader {
            let last = status.last.map_or(0, |last| last.0);
            let near = |matched: Option<u64>| matched.is_some_and(|matched| last.saturating_sub(matched) <= BEHIND_MAX);
            let followers = status.members.iter().filter(|(id, _)| **id != status.node);
            let mut able: Vec<(NodeId, Node)> = followers
                .filter(|(_, peer)| near(peer.matched.map(|matched| matched.0)))
                .map(|(id, peer)| (*id, peer.node.clone()))
                .collect();
            // Who did it last has it at hand, and does not do it twice.
            let before = self.known().given.as_ref().map(|(_, node, _)| *node);
            able.sort_by_key(|(id, _)| (Some(*id) != before, *id));
            for (id, node) in able {
                match self.assign(id, &node, &work).await {
                    Ok(backup) => return Ok((id, backup)),
                    Err(reason) => tracing::info!(node = id, %work, reason, "not taken"),
                }
            }
        }
        match self.shared.replica.desk().put(work, now_ms()) {
            Ok(backup) | Err(Declined::AtIt { backup }) => Ok((status.node, backup)),
            Err(declined) => Err(declined.into()),
        }
    }

    /// Gives work to another node. Returns the backup that is made or checked.
    async fn assign(&self, id: NodeId, node: &Node, work: &Work) -> Result<String, String> {
        let peers = &self.shared.replica.shared.peers;
        let request =
            pb::AssignBackupWorkRequest { header: Some(peers.route(id).header()), work: Some(wire::backup_work(work)) };
        let ask = |mut client: Client| async move { client.assign_backup_work(request).await };
        let answer = peers.ask(id, node, peers.config().call_timeout, ask).await.map_err(|error| error.to_string())?;
        if answer.accepted { Ok(answer.backup_id) } else { Err(answer.reason) }
    }

    /// Does the work that comes to this node, until the node is stopped.
    pub async fn work(&self) {
        loop {
            let job = self.shared.replica.desk().next().await;
            let work = job.work.clone();
            let control = Arc::new(Control::paced(self.shared.options.bytes_per_second_max));
            self.known().work = Some((work.clone(), control.clone()));
            let begun = Instant::now();
            let done = self.carry_out(job, control.clone()).await;
            self.known().work = None;
            match done {
                Some(Ok(())) => {
                    let (bytes, took) = (control.bytes(), begun.elapsed());
                    tracing::info!(%work, bytes, ?took, "done");
                    self.known().last_problem = None;
                }
                Some(Err(error)) => self.complain(&work.to_string(), &error),
                None => return,
            }
            self.shared.changed.notify_one();
            // Work that fails at once must not come round and round.
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Tells the work to end, for a node that is stopping.
    pub fn stop(&self) {
        if let Some((_, control)) = &self.known().work {
            control.stop();
        }
    }

    /// What is applied now: everything that was committed before.
    async fn point(&self) -> Result<Point, ReadError> {
        self.shared.replica.barrier().await?;
        let feature_level = self.shared.replica.state().read(crate::core::Ledger::feature_level).await?;
        let (applied, digest) = self.shared.replica.digest().await?;
        let position = applied.position.unwrap_or_default();
        Ok(Point { position, sequence: applied.sequence, digest, feature_level })
    }

    /// Does one piece of work; nothing when the node is stopping.
    async fn carry_out(&self, job: Job, control: Arc<Control>) -> Option<Result<(), BackupError>> {
        let keeper = self.clone();
        let kind = match job.work {
            Work::BackUp(kind) => kind,
            Work::Check(id, depth) => {
                let check = move || keeper.check(&keeper.read_catalogue()?, &id, depth, &control);
                return machine::blocking(check).await.ok();
            }
        };
        // The log stays, then the image is opened, then the end is chosen: there is all from the one to the other.
        let _writing = self.shared.hold.write();
        let snapshots = self.shared.replica.shared.apply.snapshots().clone();
        let image = match machine::blocking(move || snapshots.send_latest()).await.ok()? {
            Ok(image) => image,
            Err(error) => return Some(Err(error.into())),
        };
        let point = match self.point().await {
            Ok(point) => point,
            Err(error) => return Some(Err(BackupError::NotCaughtUp { reason: error.to_string() })),
        };
        let work = move || keeper.back_up((kind, &job.backup), image.as_ref(), point, &control);
        machine::blocking(work).await.ok()
    }

    fn read_catalogue(&self) -> Result<Catalogue, BackupError> {
        let known = self.known().catalogue.clone();
        let (catalogue, _) = read_catalogue(self.shared.options.vault.as_ref(), Some(self.shared.cluster), &known)?;
        self.known().compare(&catalogue);
        Ok(catalogue)
    }

    /// Makes a backup, checks it, and removes those that are too old.
    fn back_up(
        &self,
        (kind, id): (Kind, &str),
        image: Option<&(SnapshotMeta, Outbox)>,
        end: Point,
        control: &Control,
    ) -> Result<(), BackupError> {
        let (catalogue, findings) = (self.read_catalogue()?, self.known().findings());
        let seen = Seen { catalogue: &catalogue, findings: &findings, log_presses: false, now_ms: now_ms() };
        let made = self.write(&seen.sound(), (kind, id), image, end, control)?;
        let catalogue = self.read_catalogue()?;
        self.check(&catalogue, &made.id, Depth::Parts, control)?;
        self.retire(&catalogue)
    }

    fn write(
        &self,
        catalogue: &Catalogue,
        (kind, id): (Kind, &str),
        image: Option<&(SnapshotMeta, Outbox)>,
        end: Point,
        control: &Control,
    ) -> Result<Manifest, BackupError> {
        let Shared { options, replica, readers, cluster, .. } = self.shared.as_ref();
        let node = identity::NodeId(replica.status().node);
        let log = RaftLog(replica.shared.log.clone());
        let origin = Origin { cluster: *cluster, node, image, journal: &readers.journal, log: &log };
        let order = |kind| Order {
            id: id.to_owned(),
            kind,
            newest: catalogue.newest(),
            full: catalogue.newest_full(),
            end,
            now_ms,
        };
        match write(options.vault.as_ref(), &origin, &order(kind), control) {
            Err(error @ BackupError::LogGone { .. }) if kind == Kind::Incremental => {
                tracing::warn!(%error, "a differential backup is made instead");
                write(options.vault.as_ref(), &origin, &order(Kind::Differential), control)
            }
            made => made,
        }
    }

    /// Checks a backup, and stores what is found.
    fn check(&self, catalogue: &Catalogue, id: &str, depth: Depth, control: &Control) -> Result<(), BackupError> {
        let KeeperOptions { vault, scratch, disk, trial_state_bytes_max, .. } = &self.shared.options;
        let vault = vault.as_ref();
        let manifest = catalogue.find(id).ok_or_else(|| BackupError::Unknown { id: id.to_owned() })?;
        let begun = Instant::now();
        let checked = match depth {
            Depth::Parts => check_parts(vault, manifest, control).map(|()| false),
            Depth::Trial => {
                let scratch = Scratch { folder: scratch, disk, state_bytes_max: *trial_state_bytes_max };
                check::trial(vault, catalogue, id, scratch, control)
            }
        };
        let log_applied = matches!(checked, Ok(true));
        let (problem, kept) = match checked {
            Ok(_) => (None, manifest.end.sequence),
            Err(error) if error.is_damage() || matches!(error, BackupError::NotRestorable { .. }) => {
                let survey = check::survey(vault, catalogue, control)?;
                self.note(catalogue, &survey)?;
                (Some(error), survey.newest.map_or(0, |mark| mark.sequence))
            }
            Err(error) => return Err(error),
        };
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let finding = Finding { took_ms, log_applied, ..finding(manifest, depth, problem.as_ref(), kept) };
        finding.store(vault)?;
        problem.map_or(Ok(()), Err)
    }

    /// Stores of each damaged backup what is wrong with it, so that none goes on from it.
    fn note(&self, catalogue: &Catalogue, survey: &Survey) -> Result<(), BackupError> {
        let kept = survey.newest.map_or(0, |mark| mark.sequence);
        for (id, problem) in &survey.damaged {
            if let Some(manifest) = catalogue.find(id) {
                finding(manifest, Depth::Parts, Some(problem), kept).store(self.shared.options.vault.as_ref())?;
            }
        }
        Ok(())
    }

    /// Removes what is too old.
    fn retire(&self, catalogue: &Catalogue) -> Result<(), BackupError> {
        let vault = self.shared.options.vault.as_ref();
        let mut good = Vec::new();
        for manifest in &catalogue.backups {
            if Finding::load(vault, &manifest.id)?.is_some_and(|finding| finding.problem.is_none()) {
                good.push(manifest.id.clone());
            }
        }
        let found_good = |manifest: &Manifest| good.contains(&manifest.id);
        for manifest in retention::expired(catalogue, found_good, self.shared.options.keep, now_ms()) {
            tracing::info!(backup = manifest.id, "removed, since it is too old");
            retention::remove(vault, manifest)?;
        }
        let listed: Vec<String> = vault.list(MANIFESTS)?.into_iter().map(|listed| listed.name).collect();
        let is_listed = |id: &str| listed.contains(&Manifest::object(id));
        retention::remove_unfinished(vault, is_listed, now_ms()).map(drop)
    }

    /// The complete backups with what checks found, and what is wrong with manifests. Reads the target.
    ///
    /// # Errors
    /// See [`BackupError`].
    pub async fn list(&self) -> Result<(Vec<(Manifest, Option<Finding>)>, Vec<String>), BackupError> {
        let keeper = self.clone();
        machine::blocking(move || keeper.refresh()).await.unwrap_or(Err(BackupError::Stopped))?;
        let known = self.known();
        let found = |manifest: &Manifest| known.findings.get(&manifest.id).map(|(_, finding)| finding.clone());
        let backups = known.catalogue.backups.iter().map(|manifest| (manifest.clone(), found(manifest))).collect();
        Ok((backups, known.problems.clone()))
    }

    /// How the backups are doing, by what was last read of the target.
    #[must_use]
    pub fn status(&self) -> BackupStatus {
        let known = self.known();
        let Known { catalogue, work, last_problem, problems, .. } = &*known;
        let (findings, now_ms) = (known.findings(), now_ms());
        let seen = Seen { catalogue, findings: &findings, log_presses: false, now_ms };
        let found_good = |id: &str| findings.iter().any(|finding| finding.backup == id && finding.problem.is_none());
        let sound = seen.sound();
        let newest_good = sound.backups.iter().rev().find(|manifest| found_good(&manifest.id));
        let age = |begun_ms: u64| Duration::from_millis(now_ms.saturating_sub(begun_ms));
        let trials = findings.iter().filter(|finding| finding.depth == Depth::Trial);
        // Before anything happened there is nothing to be late with.
        let begun = known.seen && self.shared.replica.published().borrow().sequence > Sequence(0);
        let alarm = begun.then(|| self.shared.options.schedule.alarm(&seen)).flatten();
        BackupStatus {
            target: self.shared.options.target.clone(),
            backups: catalogue.backups.len(),
            newest_good: newest_good.map(|manifest| (manifest.id.clone(), age(manifest.begun_ms))),
            recovery_rate: trials.max_by_key(|finding| finding.at_ms).map(Finding::recovery_rate),
            alarm: known.target_alarm(self.shared.options.schedule.grace).or(problems.first().cloned()).or(alarm),
            work: work.as_ref().map(|(work, control)| (work.to_string(), control.bytes())),
            last_problem: last_problem.clone(),
            held_from: self.shared.hold.from().map(|from| from.0),
        }
    }
}

/// What was found of a backup just now, when everything up to the event `kept` can be had back.
fn finding(manifest: &Manifest, depth: Depth, problem: Option<&BackupError>, kept: u64) -> Finding {
    Finding {
        backup: manifest.id.clone(),
        depth,
        at_ms: now_ms(),
        took_ms: 0,
        problem: problem.map(ToString::to_string),
        log_applied: false,
        events: manifest.end.sequence,
        events_lost: manifest.end.sequence.saturating_sub(kept),
    }
}
