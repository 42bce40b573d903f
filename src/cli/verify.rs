//! `counterfoil verify`: the offline check of a data folder.

use std::io::Write as _;
use std::path::PathBuf;

use super::CliError;
use super::args::Output;
use super::table::{Column, table};
use crate::store::{Disk, verify};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The data folder of a node that is not running
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// How the report is printed
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

pub fn run(args: &Args) -> Result<(), CliError> {
    if !args.folder.is_dir() {
        let source = std::io::Error::from(std::io::ErrorKind::NotADirectory);
        return Err(CliError::File { path: args.folder.clone(), source });
    }
    let report = verify::verify_folder(&Disk::real(), &args.folder)
        .map_err(|error| CliError::Check(format!("{}: {error}", args.folder.display())))?;
    let mut out = std::io::stdout().lock();
    if args.output == Output::Json {
        writeln!(out, "{:#}", serde_json::to_value(&report).unwrap_or_default())?;
    } else {
        let rows = report.problems.iter().map(|problem| {
            let offset = problem.offset.map(|offset| offset.to_string()).unwrap_or_default();
            vec![problem.file.display().to_string(), offset, problem.reason.clone()]
        });
        if !report.problems.is_empty() {
            writeln!(out, "{}", table(&[Column::Text("file"), Column::Number("byte"), Column::Text("problem")], rows))?;
        }
    }
    match report.problems.len() {
        0 => {
            if args.output == Output::Table {
                writeln!(out, "{}: all is well", args.folder.display())?;
            }
            Ok(())
        }
        count => Err(CliError::Check(format!("{}: {count} problem(s)", args.folder.display()))),
    }
}
