//! The backup service: what operators see and ask of the backups. The work itself is replication's and the
//! store's; here it is begun and looked at.

use std::time::Duration;

use tonic::{Request, Response, Status};

use super::convert::{Invalid, Reason};
use super::errors::Refusal;
use crate::proto::v1 as pb;
use crate::replication::backup::work::Declined;
use crate::replication::backup::{Keeper, RunError, Work};
use crate::store::backup::check::{Depth, Finding};
use crate::store::backup::{BackupError, Kind, Manifest};

/// The backup service of one node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Backups {
    keeper: Option<Keeper>,
}

impl Backups {
    /// The backups that `keeper` cares for; `None` on a node without a target.
    #[must_use]
    pub fn new(keeper: Option<Keeper>) -> Self {
        Self { keeper }
    }

    fn keeper(&self) -> Result<&Keeper, Refusal> {
        self.keeper.as_ref().ok_or_else(|| RunError::from(Declined::NoTarget).into())
    }
}

impl From<RunError> for Refusal {
    fn from(error: RunError) -> Self {
        let RunError::Declined(declined) = error;
        match declined {
            Declined::Busy => Self::Overloaded("pieces of work with backups"),
            Declined::NoTarget | Declined::AtIt { .. } => Self::BackupRefused(declined.to_string()),
        }
    }
}

impl From<BackupError> for Refusal {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Stopped => Self::ShuttingDown,
            error => Self::BackupRefused(error.to_string()),
        }
    }
}

fn kind(wire: i32) -> Result<Kind, Invalid> {
    match pb::BackupKind::try_from(wire) {
        Ok(pb::BackupKind::Full) => Ok(Kind::Full),
        Ok(pb::BackupKind::Differential) => Ok(Kind::Differential),
        Ok(pb::BackupKind::Incremental) => Ok(Kind::Incremental),
        Ok(pb::BackupKind::Unspecified) => Err(Invalid::missing("kind")),
        Err(_) => Err(Invalid::new("kind", Reason::UnknownValue, "is no kind of backup")),
    }
}

fn kind_to_wire(kind: Kind) -> pb::BackupKind {
    match kind {
        Kind::Full => pb::BackupKind::Full,
        Kind::Differential => pb::BackupKind::Differential,
        Kind::Incremental => pb::BackupKind::Incremental,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn check(finding: &Finding) -> pb::BackupCheck {
    pb::BackupCheck {
        at_ms: finding.at_ms,
        took_ms: finding.took_ms,
        trial: finding.depth == Depth::Trial,
        problem: finding.problem.clone().unwrap_or_default(),
        recovery_rate: finding.recovery_rate(),
        log_applied: finding.log_applied,
    }
}

fn backup(manifest: &Manifest, finding: Option<&Finding>) -> pb::Backup {
    pb::Backup {
        backup_id: manifest.id.clone(),
        kind: kind_to_wire(manifest.kind).into(),
        parent_id: manifest.parent.clone().unwrap_or_default(),
        node_id: manifest.node,
        begun_ms: manifest.begun_ms,
        ended_ms: manifest.ended_ms,
        bytes: manifest.bytes(),
        first_sequence: manifest.log_after.sequence,
        last_sequence: manifest.end.sequence,
        last_time: manifest.end.time,
        last_index: manifest.end.entry.map_or(0, |entry| entry.index),
        state_digest: manifest.end_digest.clone(),
        check: finding.map(check),
    }
}

#[tonic::async_trait]
impl pb::backup_service_server::BackupService for Backups {
    async fn run_backup(
        &self,
        request: Request<pb::RunBackupRequest>,
    ) -> Result<Response<pb::RunBackupResponse>, Status> {
        let kind = kind(request.into_inner().kind)?;
        let (node_id, backup_id) = self.keeper()?.run(Work::BackUp(kind)).await.map_err(Refusal::from)?;
        Ok(Response::new(pb::RunBackupResponse { node_id, backup_id }))
    }

    async fn list_backups(
        &self,
        _request: Request<pb::ListBackupsRequest>,
    ) -> Result<Response<pb::ListBackupsResponse>, Status> {
        let (backups, problems) = self.keeper()?.list().await.map_err(Refusal::from)?;
        let backups = backups.iter().map(|(manifest, finding)| backup(manifest, finding.as_ref())).collect();
        Ok(Response::new(pb::ListBackupsResponse { backups, problems }))
    }

    async fn check_backup(
        &self,
        request: Request<pb::CheckBackupRequest>,
    ) -> Result<Response<pb::CheckBackupResponse>, Status> {
        let pb::CheckBackupRequest { backup_id, trial } = request.into_inner();
        let keeper = self.keeper()?;
        let (backups, _) = keeper.list().await.map_err(Refusal::from)?;
        if !backups.iter().any(|(manifest, _)| manifest.id == backup_id) {
            return Err(Refusal::NotFound { what: "backup", key: backup_id }.into());
        }
        let depth = if trial { Depth::Trial } else { Depth::Parts };
        let (node_id, _) = keeper.run(Work::Check(backup_id, depth)).await.map_err(Refusal::from)?;
        Ok(Response::new(pb::CheckBackupResponse { node_id }))
    }

    async fn get_backup_status(
        &self,
        _request: Request<pb::GetBackupStatusRequest>,
    ) -> Result<Response<pb::GetBackupStatusResponse>, Status> {
        let Some(keeper) = &self.keeper else { return Ok(Response::new(pb::GetBackupStatusResponse::default())) };
        let status = keeper.status();
        let (newest_good_id, age) = status.newest_good.unwrap_or_default();
        let (work, work_bytes) = status.work.unwrap_or_default();
        Ok(Response::new(pb::GetBackupStatusResponse {
            target: status.target,
            backups: status.backups as u64,
            newest_good_id,
            newest_good_age_ms: millis(age),
            alarm: status.alarm.unwrap_or_default(),
            work,
            work_bytes,
            last_problem: status.last_problem.unwrap_or_default(),
            held_from_index: status.held_from.unwrap_or(0),
        }))
    }
}
