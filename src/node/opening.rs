//! What lies in the data folder, opened; and what is done when it is damaged.
//!
//! The store makes good what its own folder can. Beyond that a node that has others to be brought up by begins its
//! repair here, in the same start: see [`crate::store::repair`] for what that is, and [`crate::replication::repair`] for
//! why it is safe. It is done only where its two conditions are certain: that the vote is known, and that there
//! are other voters. Anything else ends the start, with the name of the file and the place.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::NodeError;
use crate::config::Config;
use crate::machine;
use crate::replication::backup::work::now_ms;
use crate::replication::mend::mend_from;
use crate::replication::repair::{Others, Repair, is_newer_vote, is_vote, others};
use crate::replication::{Node, Peers};
use crate::store::engine::{Engine, EngineOptions};
use crate::store::identity::{self, ClusterId, DataFolder, DiskId, Identity, NodeId};
use crate::store::journal::{self, DamagedBlock};
use crate::store::log::{Log, LogOptions, LogWriter};
use crate::store::persister::Persister;
use crate::store::repair::{self, Book, Damage, Scope, Stage};
use crate::store::vote::{self, VoteCopy};
use crate::store::{Disk, Position, StoreError, backup};

/// Rounds of setting aside in one start: the log, then everything, then what else the disk has in store.
const ROUNDS_MAX: usize = 3;

/// What lies in the data folder, open and recovered.
pub(super) struct Store {
    pub folder: DataFolder,
    pub log: Log,
    pub log_writer: LogWriter,
    pub engine: Engine,
    pub persister: Persister,
    pub repair: Repair,
}

/// The folder that is opened, and by whom.
struct Opening<'a> {
    config: &'a Config,
    disk: Disk,
    cluster: ClusterId,
    /// A block of the journal that was found damaged by the run before keeps the folder from being opened.
    heeds_suspicion: bool,
}

/// What of the folder could not be opened.
struct Broken {
    scope: Scope,
    /// The log, when that is whole; it can be read as long as its writer is there.
    log: Option<(Log, LogWriter)>,
    /// Only a block of the journal that nothing needs for now.
    suspected: bool,
    error: StoreError,
}

/// What can be done.
enum Remedy {
    Mend(Vec<DamagedBlock>, BTreeMap<u64, Node>),
    Repair(Damage),
}

/// What came of a start.
pub(super) enum Opened {
    /// The node can run.
    Whole(Box<Store>),
    /// Nothing but blocks of the journal is damaged, and these nodes have them, too.
    Mendable(Vec<DamagedBlock>, BTreeMap<u64, Node>),
}

/// Opens the data folder of this node. Blocks of the journal that are damaged are made good from the other nodes first,
/// which `peers` reaches once this folder's identity is known.
///
/// # Errors
/// When it is somebody else's, in use, or damaged beyond what this node and the others can make good.
pub(super) async fn open(
    config: &Config,
    disk: &Disk,
    cluster: ClusterId,
    peers: impl Fn(Identity) -> Result<Peers, NodeError>,
) -> Result<Store, NodeError> {
    let open = |may_mend| {
        let (config, disk) = (config.clone(), disk.clone());
        machine::blocking(move || open_store(&config, disk, cluster, may_mend))
    };
    let failed = |_| NodeError::Ended("recovery");
    let (blocks, others) = match open(true).await.map_err(failed)?? {
        Opened::Whole(store) => return Ok(*store),
        Opened::Mendable(blocks, others) => (blocks, others),
    };
    if let Some(identity) = identity::read(disk, &config.node.data_dir)? {
        let count = blocks.len();
        tracing::warn!(blocks = count, damage = %blocks[0], "the journal is damaged: asking the other nodes for its records");
        match mend_from(&peers(identity)?, &others, disk, blocks).await {
            Ok(bytes) => tracing::info!(blocks = count, bytes, "the journal is whole again"),
            Err(reason) => tracing::warn!(reason, "the damaged blocks are not made good one by one"),
        }
    }
    match open(false).await.map_err(failed)?? {
        Opened::Whole(store) => Ok(*store),
        Opened::Mendable(..) => Err(NodeError::Ended("recovery")),
    }
}

fn open_store(config: &Config, disk: Disk, cluster: ClusterId, may_mend: bool) -> Result<Opened, NodeError> {
    let dir: &Path = &config.node.data_dir;
    backup::restore::refuse_unfinished(&disk, dir)?;
    let node = NodeId(config.node.id);
    let mut folder = DataFolder::open(&disk, dir)?;
    folder.check(cluster, node)?;
    let mut opening = Opening { config, disk: disk.clone(), cluster, heeds_suspicion: true };
    let mut book = repair::carry_on(&disk, dir, repair::read(&disk, dir)?, opening.segment_bytes())?;
    let mut rounds = 0;
    loop {
        let broken = match opening.open(&mut folder, &book) {
            Ok((log, log_writer, engine, persister)) => {
                let repair = Repair::new(disk, dir, book);
                return Ok(Opened::Whole(Box::new(Store { folder, log, log_writer, engine, persister, repair })));
            }
            Err(broken) => broken,
        };
        rounds += 1;
        if rounds > ROUNDS_MAX || folder.identity.is_none() || !is_lost(&broken.error) {
            return Err(broken.error.into());
        }
        let (error, suspected) = (broken.error.clone(), broken.suspected);
        match opening.remedy(&book, broken, may_mend)? {
            Some(Remedy::Mend(blocks, others)) => return Ok(Opened::Mendable(blocks, others)),
            Some(Remedy::Repair(damage)) => {
                book = repair::begin(&disk, dir, book, &damage, now_ms(), opening.segment_bytes())?;
                tracing::warn!(
                    damage = damage.cause,
                    aside = book.mark.as_ref().map(|mark| mark.case.aside()),
                    "under repair: the damaged files are set aside, and this node neither votes nor leads until the \
                     others have brought it up"
                );
            }
            // Only who reads that part of the history cannot be answered.
            None if suspected => opening.heeds_suspicion = false,
            None => return Err(error.into()),
        }
    }
}

/// Whether what is stored is lost: damaged, gone, or on a place that the disk does not give back.
fn is_lost(error: &StoreError) -> bool {
    match error {
        StoreError::JournalShort { .. } | StoreError::Unrecoverable { .. } => true,
        StoreError::Io { what: "read", source, .. } => {
            source.raw_os_error() == Some(nix::libc::EIO) || error.is_damage()
        }
        error => error.is_damage(),
    }
}

impl Opening<'_> {
    fn dir(&self) -> &Path {
        &self.config.node.data_dir
    }

    fn segment_bytes(&self) -> u64 {
        self.config.store.log_segment_mib << 20
    }

    fn open(&self, folder: &mut DataFolder, book: &Book) -> Result<(Log, LogWriter, Engine, Persister), Box<Broken>> {
        let in_log = |error| Box::new(Broken { scope: Scope::Log, log: None, suspected: false, error });
        let options = LogOptions {
            segment_bytes: self.segment_bytes(),
            cache_bytes: (self.config.store.log_cache_mib << 20) as usize,
            // A folder that was used has a log: one that is missing is a lost vote, not a fresh start.
            create: folder.identity.is_none(),
            vote_copy: Some(VoteCopy { path: self.dir().join(vote::FILE_NAME), newer: is_newer_vote }),
            disk: self.disk.clone(),
            ..LogOptions::default()
        };
        let (log, log_writer) = Log::open(&self.dir().join("log"), options).map_err(in_log)?;
        folder.claim(self.cluster, NodeId(self.config.node.id), DiskId::random()).map_err(in_log)?;
        let bounds = log.bounds();
        // An empty log after a repair began does not say that all began with it: the state goes on before it.
        let empty = bounds.last.is_none() && keeps_state(book);
        let options = EngineOptions {
            disk: self.disk.clone(),
            cluster: self.cluster,
            log_purged: if empty { Some(Position::default()) } else { bounds.purged },
            sync_interval: Duration::from_millis(self.config.store.state_sync_ms),
            ..EngineOptions::default()
        };
        let suspicion = match self.heeds_suspicion {
            true => journal::suspected_damage(&self.disk, &self.dir().join("journal")).transpose(),
            false => None,
        };
        let suspected = suspicion.is_some();
        let opened =
            suspicion.map_or_else(|| Engine::open(self.dir(), options), |damage| Err(damage.unwrap_or_else(|e| e)));
        match opened {
            Ok((engine, persister)) => Ok((log, log_writer, engine, persister)),
            Err(error) => {
                let log = Some((log, log_writer));
                Err(Box::new(Broken { scope: Scope::Everything, log, suspected, error }))
            }
        }
    }

    /// What can be done about what is broken. Why nothing can be is told.
    fn remedy(&self, book: &Book, broken: Box<Broken>, may_mend: bool) -> Result<Option<Remedy>, NodeError> {
        let Broken { scope, log, error, .. } = *broken;
        let stop = |reason: &str| {
            tracing::error!(damage = %error, "{reason}");
            Ok(None)
        };
        let whole = log.as_ref().map(|(log, _)| log);
        let known = others(&self.disk, &self.dir().join("snapshots"), whole, self.config.node.id)?;
        let others = known.unwrap_or_else(|| self.configured_others());
        if !others.values().any(|(_, votes)| *votes) && !self.config.cluster.join {
            return stop("the folder is damaged, and there is no other voter to repair it from");
        }
        if may_mend && log.is_some() && book.mark.is_none() {
            let blocks = journal::damaged_blocks(&self.disk, &self.dir().join("journal"))?;
            if let Some(blocks) = blocks.filter(|blocks| !blocks.is_empty()) {
                return Ok(Some(Remedy::Mend(blocks, others.into_iter().map(|(id, (node, _))| (id, node)).collect())));
            }
        }
        let vote = match whole {
            Some(log) => log.vote(),
            None => match vote::read(&self.disk, &self.dir().join(vote::FILE_NAME)) {
                Ok(vote) => vote,
                Err(StoreError::Corrupt { .. }) => None,
                Err(error) => return Err(error.into()),
            },
        };
        let Some(vote) = vote.filter(|vote| is_vote(vote)) else {
            return stop(
                "the log is damaged, and this node's vote is not known for sure: it might vote twice, so only a new node \
                 can take its place",
            );
        };
        // A log that was begun anew in this repair says nothing of what was acknowledged before.
        let last = whole.and_then(|log| log.bounds().last).filter(|_| book.mark.is_none());
        Ok(Some(Remedy::Repair(Damage { scope, cause: error.to_string(), vote, last })))
    }

    /// The other members, as the configuration has them.
    fn configured_others(&self) -> Others {
        let others = self.config.cluster.members.iter().filter(|member| member.id != self.config.node.id);
        others.map(|member| (member.id, (Node::at(&member.raft_endpoint, &member.client_endpoint), true))).collect()
    }
}

/// Whether a repair is under way that gave up the log alone.
fn keeps_state(book: &Book) -> bool {
    book.mark.as_ref().is_some_and(|mark| mark.stage == Stage::Following && mark.scope == Scope::Log)
}
