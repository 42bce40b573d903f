//! Why a command of the command line failed.

use std::path::PathBuf;

use crate::client::ClientError;
use crate::config::ConfigError;
use crate::core::decimal::DecimalError;

/// What went wrong, in words for people.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The cluster gave no answer, or refused the request.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The ledger refused the command.
    #[error("refused: {0}")]
    Rejected(String),
    /// A value of the command line makes no sense.
    #[error("{option}: {reason}")]
    Usage {
        /// The option.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A number of the command line is not one, or has too many decimal places.
    #[error("{option} {text:?}: {source}")]
    Decimal {
        /// The option.
        option: &'static str,
        /// What was given.
        text: String,
        /// What is wrong with it.
        source: DecimalError,
    },
    /// The configuration is bad.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A node stopped on a fault.
    #[error("the node stopped: {0}")]
    Node(String),
    /// A file or folder cannot be used.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A process or a runtime cannot be started.
    #[error("cannot start: {0}")]
    Start(std::io::Error),
    /// Standard output cannot be written.
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
    /// A recorded day cannot be read.
    #[error("{path}: {source}")]
    Recording {
        /// The file.
        path: PathBuf,
        /// Why.
        source: super::replay::lobster::LobsterError,
    },
    /// A file of parts or stock cannot be used.
    #[error("{path}: {source}")]
    Csv {
        /// The file.
        path: PathBuf,
        /// Why.
        source: super::csv::CsvError,
    },
    /// Something that was checked is not as it should be.
    #[error("{0}")]
    Check(String),
}

impl CliError {
    /// See the module's list.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. } | Self::Decimal { .. } => 2,
            Self::Rejected(_) => 3,
            _ => 1,
        }
    }
}
