//! Options that say several things at once: `ITEM=QUANTITY,name=value,flag`.

use crate::cli::CliError;

/// Names with values behind an item's quantity; a flag has an empty one.
pub type Settings<'a> = Vec<(&'a str, &'a str)>;

/// The parts of `name=quantity,key=value,flag`.
pub fn split<'a>(option: &'static str, text: &'a str) -> Result<(&'a str, &'a str, Settings<'a>), CliError> {
    let (head, rest) = text.split_once(',').map_or((text, None), |(head, rest)| (head, Some(rest)));
    let (name, quantity) = head
        .split_once('=')
        .ok_or_else(|| CliError::Usage { option, reason: format!("{text:?} is not written as ITEM=QUANTITY") })?;
    Ok((name, quantity, settings(rest)))
}

/// The settings of `key=value,flag`.
pub fn settings(rest: Option<&str>) -> Settings<'_> {
    let parts = rest.into_iter().flat_map(|rest| rest.split(','));
    parts.map(|part| part.split_once('=').unwrap_or((part, ""))).collect()
}

/// The refusal of a setting that there is not.
pub fn unknown(option: &'static str, name: &str) -> CliError {
    CliError::Usage { option, reason: format!("{name:?} is not among what can be set") }
}

/// A whole number.
pub fn number(option: &'static str, text: &str) -> Result<u32, CliError> {
    text.parse().map_err(|_| CliError::Usage { option, reason: format!("{text:?} is not a number") })
}
