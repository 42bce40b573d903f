//! `counterfoil backup`: backups without a cluster: make a key, look at a target, check what is there.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Subcommand;
use serde_json::json;

use super::CliError;
use super::args::Output;
use super::table::{Column, table, time};
use crate::node::cluster_id_of;
use crate::store::Disk;
use crate::store::backup::check::{Scratch, check_parts, survey, trial};
use crate::store::backup::objects::{Options, open_vault};
use crate::store::backup::plan::Catalogue;
use crate::store::backup::seal::SealKey;
use crate::store::backup::vault::Vault;
use crate::store::backup::{BackupError, Control, Manifest, mark_text, read_catalogue};

/// Backups, without a cluster: `ctl backup` asks one
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print a fresh key, to be kept in a file that `backup.key_file` names. Without it what is sealed with
    /// it is lost
    Key,
    /// The complete backups in a target
    List {
        #[command(flatten)]
        target: Target,
        /// How they are printed
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Check backups: every part, and with --trial a restore into a scratch folder
    Verify(VerifyArgs),
}

#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    target: Target,
    /// This one alone
    #[arg(long, value_name = "ID")]
    backup: Option<String>,
    /// Restore each on trial, too
    #[arg(long)]
    trial: bool,
    /// How the report is printed
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Where backups lie.
#[derive(Debug, Clone, clap::Args)]
pub struct Target {
    /// The folder or URL that `backup.target` names
    #[arg(long, value_name = "TARGET")]
    pub from: String,
    /// An option of the target, as in `backup.options`
    #[arg(long = "option", value_name = "NAME=VALUE")]
    pub options: Vec<String>,
    /// The key that the backups are sealed with
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// The cluster that made the backups, by its name; needed when several share the target
    #[arg(long, value_name = "NAME")]
    pub of_cluster: Option<String>,
}

/// What went wrong with a backup, for people.
pub(super) fn failed(error: BackupError) -> CliError {
    CliError::Check(error.to_string())
}

impl Target {
    /// A folder, and nothing else is known of it.
    pub(super) fn folder(path: &Path) -> Self {
        Self { from: path.display().to_string(), options: Vec::new(), key_file: None, of_cluster: None }
    }

    pub(super) fn open(&self) -> Result<Arc<dyn Vault>, CliError> {
        let mut options = Options::new();
        for option in &self.options {
            let (name, value) = option.split_once('=').ok_or_else(|| CliError::Usage {
                option: "--option",
                reason: format!("{option:?} is not of the form NAME=VALUE"),
            })?;
            options.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
        let local = !self.from.contains("://");
        if local && !Path::new(&self.from).is_dir() {
            let source = std::io::Error::from(std::io::ErrorKind::NotADirectory);
            return Err(CliError::File { path: PathBuf::from(&self.from), source });
        }
        open_vault(&self.from, &options, self.key_file.as_deref(), std::env::vars()).map_err(failed)
    }

    /// The backups of the one cluster that is meant.
    pub(super) fn catalogue(&self, vault: &dyn Vault) -> Result<(Catalogue, Vec<BackupError>), CliError> {
        let cluster = self.of_cluster.as_deref().map(cluster_id_of);
        let (catalogue, problems) = read_catalogue(vault, cluster, &Catalogue::default()).map_err(failed)?;
        let mut clusters: Vec<&str> = catalogue.backups.iter().map(|manifest| manifest.cluster.as_str()).collect();
        clusters.sort_unstable();
        clusters.dedup();
        if clusters.len() > 1 {
            let reason = format!("there are backups of {} clusters here: say which", clusters.len());
            return Err(CliError::Usage { option: "--of-cluster", reason });
        }
        Ok((catalogue, problems))
    }
}

pub fn run(args: Args) -> Result<(), CliError> {
    match args.verb {
        Verb::Key => {
            let mut out = std::io::stdout().lock();
            out.write_all(SealKey::generate().to_text().as_bytes())?;
            Ok(out.flush()?)
        }
        Verb::List { target, output } => list(&target, output),
        Verb::Verify(args) => verify(&args),
    }
}

fn list(target: &Target, output: Output) -> Result<(), CliError> {
    let vault = target.open()?;
    let (catalogue, problems) = target.catalogue(vault.as_ref())?;
    let mut out = std::io::stdout().lock();
    match output {
        Output::Json => {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            let newest = catalogue.newest_restorable();
            let all = json!({ "backups": catalogue.backups, "problems": problems, "newest_restorable": newest });
            writeln!(out, "{all:#}")?;
        }
        Output::Table => {
            writeln!(out, "{}", backups(&catalogue.backups))?;
            for problem in &problems {
                writeln!(out, "{problem}")?;
            }
        }
    }
    Ok(out.flush()?)
}

fn backups(backups: &[Manifest]) -> String {
    const NANOS_PER_MS: u64 = 1_000_000;
    let columns = [
        Column::Text("backup"),
        Column::Text("goes on from"),
        Column::Text("complete at"),
        Column::Number("bytes"),
        Column::Number("from event"),
        Column::Number("to event"),
        Column::Text("of the time"),
    ];
    let rows = backups.iter().map(|manifest| {
        vec![
            manifest.id.clone(),
            manifest.parent.clone().unwrap_or_default(),
            time(manifest.ended_ms.saturating_mul(NANOS_PER_MS)),
            manifest.bytes().to_string(),
            manifest.log_after.sequence.to_string(),
            manifest.end.sequence.to_string(),
            time(manifest.end.time),
        ]
    });
    table(&columns, rows)
}

/// What was found of one backup.
struct Verified<'a> {
    manifest: &'a Manifest,
    problem: Option<BackupError>,
    seconds: f64,
}

/// Checks every backup of a target, or one.
pub(super) fn verify(args: &VerifyArgs) -> Result<(), CliError> {
    let vault = args.target.open()?;
    let (catalogue, problems) = args.target.catalogue(vault.as_ref())?;
    let control = Control::default();
    let mut found = Vec::new();
    for manifest in catalogue.backups.iter().filter(|manifest| args.backup.as_ref().is_none_or(|id| *id == manifest.id))
    {
        let begun = Instant::now();
        let checked = check_parts(vault.as_ref(), manifest, &control);
        let checked =
            checked.and_then(|()| if args.trial { try_out(vault.as_ref(), &catalogue, manifest) } else { Ok(()) });
        let problem = match checked {
            Ok(()) => None,
            Err(error) if error.is_damage() || matches!(error, BackupError::NotRestorable { .. }) => Some(error),
            Err(error) => return Err(failed(error)),
        };
        found.push(Verified { manifest, problem, seconds: begun.elapsed().as_secs_f64() });
    }
    if let Some(id) = args.backup.as_ref().filter(|_| found.is_empty()) {
        return Err(failed(BackupError::Unknown { id: id.clone() }));
    }
    let newest = survey(vault.as_ref(), &catalogue, &control).map_err(failed)?.newest;
    report(&args.target.from, &found, &problems, &mark_text(newest.as_ref()), args.output)
}

fn try_out(vault: &dyn Vault, catalogue: &Catalogue, manifest: &Manifest) -> Result<(), BackupError> {
    let scratch = tempfile::tempdir()
        .map_err(|error| crate::store::StoreError::io("create a folder in", &std::env::temp_dir(), error))?;
    let folder = scratch.path().join("trial");
    let scratch = Scratch { folder: &folder, disk: &Disk::real(), state_bytes_max: u64::MAX };
    trial(vault, catalogue, &manifest.id, scratch, &Control::default()).map(drop)
}

fn report(
    target: &str,
    found: &[Verified<'_>],
    manifests: &[BackupError],
    newest: &str,
    output: Output,
) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    let bad = found.iter().filter(|verified| verified.problem.is_some()).count() + manifests.len();
    let text = |problem: &BackupError| problem.to_string();
    if output == Output::Json {
        let one = |verified: &Verified<'_>| {
            json!({
                "backup": verified.manifest.id,
                "kind": verified.manifest.kind,
                "bytes": verified.manifest.bytes(),
                "seconds": verified.seconds,
                "problem": verified.problem.as_ref().map(text),
            })
        };
        let all = json!({
            "backups": found.iter().map(one).collect::<Vec<_>>(),
            "problems": manifests.iter().map(text).collect::<Vec<_>>(),
            "newest_restorable": newest,
        });
        writeln!(out, "{all:#}")?;
    } else {
        let columns =
            [Column::Text("backup"), Column::Number("bytes"), Column::Number("seconds"), Column::Text("found")];
        let rows = found.iter().map(|Verified { manifest, problem, seconds }| {
            let found = problem.as_ref().map_or_else(|| "good".to_owned(), text);
            vec![manifest.id.clone(), manifest.bytes().to_string(), format!("{seconds:.1}"), found]
        });
        writeln!(out, "{}", table(&columns, rows))?;
        for problem in manifests {
            writeln!(out, "{problem}")?;
        }
        writeln!(out, "the newest restorable point is {newest}")?;
    }
    out.flush()?;
    match bad {
        0 if found.is_empty() => Err(CliError::Check(format!("{target}: there is no backup"))),
        0 => Ok(()),
        count => Err(CliError::Check(format!("{target}: {count} backup(s) are not good"))),
    }
}

/// Whether a folder holds backups.
pub(super) fn holds_backups(path: &Path) -> bool {
    path.join(crate::store::backup::vault::MANIFESTS).is_dir()
}

/// Checks every backup in a folder.
pub(super) fn verify_in(folder: &Path, output: Output) -> Result<(), CliError> {
    verify(&VerifyArgs { target: Target::folder(folder), backup: None, trial: false, output })
}
