//! What a process says about itself on standard error: structured log lines.

use tracing_subscriber::EnvFilter;

use crate::config::{ConfigError, LogFormat, TelemetryConfig};

/// Starts logging, once per process.
///
/// # Errors
/// When the filter cannot be read.
pub fn start(config: &TelemetryConfig) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(&config.log_filter)
        .map_err(|error| ConfigError::BadValue { key: "telemetry.log_filter".to_owned(), reason: error.to_string() })?;
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(is_terminal);
    // A second start (tests run many nodes in one process) keeps the first one's settings.
    let _ = match config.log_format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    Ok(())
}
