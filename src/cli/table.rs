//! Tables for people.

use comfy_table::{Cell, CellAlignment, LineStyle, Table, TableStyle, presets};

use super::dates;
use crate::core::decimal;

/// One line below the headings, and nothing else to look past.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// One column: its heading, and whether it holds numbers, which stand to the right.
#[derive(Debug, Clone, Copy)]
pub enum Column {
    /// Words.
    Text(&'static str),
    /// Numbers.
    Number(&'static str),
}

/// A table of rows under headings.
#[must_use]
pub fn table(columns: &[Column], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(STYLE);
    table.set_header(columns.iter().map(|column| match column {
        Column::Text(heading) => Cell::new(heading),
        Column::Number(heading) => Cell::new(heading).set_alignment(CellAlignment::Right),
    }));
    for row in rows {
        table.add_row(row.into_iter().zip(columns).map(|(text, column)| match column {
            Column::Text(_) => Cell::new(text),
            Column::Number(_) => Cell::new(text).set_alignment(CellAlignment::Right),
        }));
    }
    table.trim_fmt()
}

/// A list of names with their values, without headings.
#[must_use]
pub fn list(rows: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for (name, value) in rows {
        table.add_row([name.to_owned(), value]);
    }
    table.trim_fmt()
}

/// An amount in the smallest unit as a decimal of its asset's scale.
#[must_use]
pub fn amount(number: impl Into<i128>, scale: u32) -> String {
    decimal::format(number.into(), u8::try_from(scale).unwrap_or(0))
}

/// An enum's name in the words of the command line: `SIDE_BUY` is `buy`.
#[must_use]
pub fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).trim_start_matches('_').to_ascii_lowercase().replace('_', "-")
}

/// Nanoseconds since the Unix epoch as a date and time in UTC; empty for 0.
#[must_use]
pub fn time(nanoseconds: u64) -> String {
    if nanoseconds == 0 {
        return String::new();
    }
    let (seconds, milliseconds) = (nanoseconds / 1_000_000_000, nanoseconds / 1_000_000 % 1_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // 2^64 nanoseconds are 213,503 days.
    let date = dates::format(i32::try_from(days).unwrap_or(i32::MAX));
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{date} {hour:02}:{minute:02}:{:02}.{milliseconds:03}", second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_in_utc() {
        assert_eq!(time(0), "");
        assert_eq!(time(1_340_285_400_017_459_617), "2012-06-21 13:30:00.017");
        assert_eq!(time(1_709_164_800_000_000_000), "2024-02-29 00:00:00.000");
    }

    #[test]
    fn numbers_stand_to_the_right() {
        let text = table(&[Column::Text("asset"), Column::Number("posted")], [vec!["USD".into(), "1.50".into()]]);
        assert!(text.contains("asset") && text.lines().any(|line| line.trim_end().ends_with("1.50")), "{text}");
        assert_eq!(word("ORDER_STATUS_PARTIALLY_FILLED", "ORDER_STATUS"), "partially-filled");
    }
}
