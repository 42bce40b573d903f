//! `counterfoil restore`: a new cluster from a backup.

use std::io::Write as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::CliError;
use super::args::{ConfigSource, Output};
use super::backup::{Target, failed};
use super::table::{list, time};
use crate::config::Config;
use crate::core::types::Sequence;
use crate::node::cluster_id;
use crate::replication::{Node, restore::found};
use crate::store::Disk;
use crate::store::backup::check::survey;
use crate::store::backup::plan::{Catalogue, Goal, Plan};
use crate::store::backup::restore::{RestoreOptions, Restored, restore};
use crate::store::backup::vault::Vault;
use crate::store::backup::{BackupError, Control, Manifest, mark_text, parse_time};
use crate::store::identity::{ClusterId, NodeId};

/// Restores a backup, whole or to a point, as the first node of a new cluster. The configuration is the
/// new node's: a new `cluster.name`, so that old and new can never be mixed up, and a data folder that
/// does not exist. Start the node with it, and add others with `ctl cluster add`. What was broken off goes on
/// where it was when it is run again.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    source: ConfigSource,
    #[command(flatten)]
    point: Point,
    /// Only say what would be read, and what point that is
    #[arg(long)]
    dry_run: bool,
    /// How the outcome is printed
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Which point; the newest when none is named.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct Point {
    /// Behind the command that made this event
    #[arg(long, value_name = "SEQUENCE")]
    to_sequence: Option<u64>,
    /// Behind the last event at or before this time: 2026-05-04T03:02:01Z, or nanoseconds since 1970
    #[arg(long, value_name = "TIME")]
    to_time: Option<String>,
    /// Where this backup ends
    #[arg(long, value_name = "ID")]
    backup: Option<String>,
}

impl Point {
    fn goal(&self) -> Result<Goal, CliError> {
        if let Some(sequence) = self.to_sequence {
            return Ok(Goal::Sequence(Sequence(sequence)));
        }
        if let Some(text) = &self.to_time {
            let reason = format!("{text:?} is neither a time such as 2026-05-04T03:02:01Z nor nanoseconds");
            return parse_time(text).map(Goal::Time).ok_or(CliError::Usage { option: "--to-time", reason });
        }
        Ok(self.backup.clone().map_or(Goal::Newest, Goal::Backup))
    }
}

pub fn run(args: &Args) -> Result<(), CliError> {
    let config = args.source.load()?;
    let member = config.this_member().ok_or(CliError::Usage {
        option: "cluster.members",
        reason: format!("this node, {}, is not among them: it needs its own addresses", config.node.id),
    })?;
    let node = (NodeId(config.node.id), Node::at(&member.raft_endpoint, &member.client_endpoint));
    let vault = args.target.open()?;
    let (catalogue, problems) = args.target.catalogue(vault.as_ref())?;
    for problem in &problems {
        eprintln!("counterfoil: {problem}");
    }
    let cluster = cluster_id(&config);
    check_name(&catalogue, cluster)?;
    let goal = args.point.goal()?;
    if let (Goal::Newest, Some(problem)) = (&goal, problems.first()) {
        let newest = mark_text(catalogue.newest_restorable().as_ref());
        return Err(CliError::Check(format!(
            "{problem}; nothing was restored; the newest restorable point is {newest}: ask for it by --to-sequence or --backup"
        )));
    }
    let plan = catalogue.plan(&goal).map_err(failed)?;
    if args.dry_run {
        return print(args.output, &plan, None, &config);
    }
    let restored = restore_with_progress(vault.as_ref(), &plan, cluster, &config);
    let restored = restored.map_err(|error| with_newest(vault.as_ref(), &catalogue, error))?;
    found(&config.node.data_dir, &restored, cluster, node, config.store.log_segment_mib << 20)
        .map_err(|fault| CliError::Check(fault.to_string()))?;
    print(args.output, &plan, Some(&restored), &config)
}

/// Under the old name the old nodes would take this one for one of theirs.
fn check_name(catalogue: &Catalogue, cluster: ClusterId) -> Result<(), CliError> {
    match catalogue.backups.iter().any(|manifest| manifest.cluster() == Some(cluster)) {
        true => Err(CliError::Usage {
            option: "cluster.name",
            reason: "the backup is of a cluster of this name; the restored one needs a new one".to_owned(),
        }),
        false => Ok(()),
    }
}

/// Says besides what is wrong what can be had in spite of it.
fn with_newest(vault: &dyn Vault, catalogue: &Catalogue, error: BackupError) -> CliError {
    if !error.is_damage() {
        return failed(error);
    }
    match survey(vault, catalogue, &Control::default()) {
        Ok(survey) => {
            let newest = mark_text(survey.newest.as_ref());
            CliError::Check(format!("{error}; nothing was restored; the newest restorable point is {newest}"))
        }
        Err(_) => failed(error),
    }
}

fn restore_with_progress(
    vault: &dyn Vault,
    plan: &Plan<'_>,
    cluster: ClusterId,
    config: &Config,
) -> Result<Restored, BackupError> {
    const LOOK_EVERY: Duration = Duration::from_millis(200);
    let options = RestoreOptions { disk: Disk::real(), cluster };
    let control = Control::default();
    let bar = ProgressBar::new(plan.bytes());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {bytes} restored in {elapsed}") {
        bar.set_style(style);
    }
    std::thread::scope(|threads| {
        let (sender, done) = std::sync::mpsc::sync_channel::<()>(1);
        let (bar, control) = (&bar, &control);
        threads.spawn(move || {
            while done.recv_timeout(LOOK_EVERY) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                bar.set_position(control.bytes());
                bar.tick();
            }
            bar.finish_and_clear();
        });
        let restored = restore(vault, plan, &config.node.data_dir, &options, control);
        drop(sender);
        restored
    })
}

fn print(output: Output, plan: &Plan<'_>, restored: Option<&Restored>, config: &Config) -> Result<(), CliError> {
    let names =
        |manifests: &[&Manifest]| -> Vec<String> { manifests.iter().map(|manifest| manifest.id.clone()).collect() };
    let (image, start) = (plan.image.map(|manifest| manifest.id.clone()), plan.start());
    let mut out = std::io::stdout().lock();
    if output == Output::Json {
        let restored = restored.map(|restored| {
            json!({
                "index": restored.position.map(|position| position.index.0),
                "term": restored.position.map(|position| position.term.0),
                "sequence": restored.sequence.0,
                "time": restored.time.0,
                "state_digest": restored.digest.to_string(),
                "records": restored.records,
            })
        });
        let all = json!({
            "image": image,
            "image_sequence": start.sequence,
            "journal": names(&plan.journal),
            "log": names(&plan.log),
            "cluster_id": format!("{:032x}", cluster_id(config).0),
            "data_dir": config.node.data_dir,
            "restored": restored,
        });
        writeln!(out, "{all:#}")?;
        return Ok(out.flush()?);
    }
    let mut facts = vec![
        ("image", image.unwrap_or_else(|| "none: from the first command on".to_owned())),
        ("log from", names(&plan.log).join(", ")),
        ("data folder", config.node.data_dir.display().to_string()),
    ];
    if let Some(restored) = restored {
        facts.push(("event", restored.sequence.to_string()));
        facts.push(("time", time(restored.time.0)));
        facts.push(("state digest", restored.digest.to_string()));
    }
    writeln!(out, "{}", list(facts))?;
    if restored.is_some() {
        let (node, name) = (config.node.id, &config.cluster.name);
        writeln!(
            out,
            "\ndone: node {node} is the only voter of cluster \"{name}\". Start it with this configuration, look at its \
             books, then add nodes with empty folders (`counterfoil ctl cluster add`)."
        )?;
    }
    Ok(out.flush()?)
}
