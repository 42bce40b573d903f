//! Comma-separated values as RFC 4180 describes them: a header, then rows of as many fields; a field with
//! a comma, a quote or a line break stands in quotes.

use std::path::Path;

use crate::cli::CliError;

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Why a file is not what was expected. Lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CsvError {
    /// More than is read into memory.
    #[error("is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge,
    /// No text.
    #[error("is no UTF-8 text")]
    NotText,
    /// Not even a header.
    #[error("is empty")]
    Empty,
    /// A quote opens in the middle of a field, or never closes.
    #[error("line {line}: a quote that does not belong there")]
    Quote {
        /// The line on which the row begins.
        line: usize,
    },
    /// Another number of fields than the header has.
    #[error("line {line}: {found} fields, and the header has {expected}")]
    Fields {
        /// The line on which the row begins.
        line: usize,
        /// What it has.
        found: usize,
        /// What the header has.
        expected: usize,
    },
    /// A header that is none of the known ones.
    #[error("has the columns {0}, which are those of no known file")]
    UnknownColumns(String),
    /// A field that cannot be used.
    #[error("line {line}, {column}: {reason}")]
    Value {
        /// The line on which the row begins.
        line: usize,
        /// The column's name.
        column: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// A file of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    /// The columns' names.
    pub header: Vec<String>,
    /// The rows behind it.
    pub rows: Vec<Row>,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The line on which it begins.
    pub line: usize,
    /// As many as the header has.
    pub fields: Vec<String>,
}

/// Reads a file; answers its bytes too, which tell one import from another.
pub fn read(path: &Path) -> Result<(Sheet, Vec<u8>), CliError> {
    let file = |source| CliError::File { path: path.to_owned(), source };
    let csv = |source| CliError::Csv { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(file)?.len() > FILE_BYTES_MAX {
        return Err(csv(CsvError::TooLarge));
    }
    let bytes = std::fs::read(path).map_err(file)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| csv(CsvError::NotText))?;
    let sheet = sheet(text).map_err(csv)?;
    Ok((sheet, bytes))
}

fn sheet(text: &str) -> Result<Sheet, CsvError> {
    let mut rows = rows(text.strip_prefix('\u{feff}').unwrap_or(text))?.into_iter();
    let header = rows.next().ok_or(CsvError::Empty)?.fields;
    let rows: Vec<Row> = rows.collect();
    match rows.iter().find(|row| row.fields.len() != header.len()) {
        Some(row) => Err(CsvError::Fields { line: row.line, found: row.fields.len(), expected: header.len() }),
        None => Ok(Sheet { header, rows }),
    }
}

/// Where the reader is within a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    /// At its beginning.
    Start,
    /// In a field without quotes.
    Plain,
    /// Behind the opening quote.
    Quoted,
    /// Behind a quote that closes the field, or is the first of two that stand for one.
    Closed,
}

fn rows(text: &str) -> Result<Vec<Row>, CsvError> {
    let mut rows = Vec::new();
    let mut fields = Vec::new();
    let mut field = String::new();
    let (mut within, mut line, mut begun) = (Within::Start, 1, 1);
    // A last line needs no break behind it.
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    for letter in text.chars().chain(end.chars()) {
        line += usize::from(letter == '\n');
        match (within, letter) {
            (Within::Quoted, '"') => within = Within::Closed,
            (Within::Quoted, letter) => field.push(letter),
            (Within::Closed, '"') => {
                field.push('"');
                within = Within::Quoted;
            }
            (_, ',') => {
                fields.push(std::mem::take(&mut field));
                within = Within::Start;
            }
            (_, '\n') => {
                let ended = if within == Within::Plain { field.trim_end_matches('\r') } else { &field };
                fields.push(ended.to_owned());
                field.clear();
                let row = Row { line: begun, fields: std::mem::take(&mut fields) };
                // A line without anything is no row; an empty field in quotes is one.
                if row.fields != [""] || within == Within::Closed {
                    rows.push(row);
                }
                (within, begun) = (Within::Start, line);
            }
            (Within::Start, '"') => within = Within::Quoted,
            (Within::Closed, '\r') => {}
            (Within::Closed, _) | (Within::Plain, '"') => return Err(CsvError::Quote { line: begun }),
            (_, letter) => {
                field.push(letter);
                within = Within::Plain;
            }
        }
    }
    if within == Within::Start && fields.is_empty() { Ok(rows) } else { Err(CsvError::Quote { line: begun }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Vec<Vec<String>> {
        rows(text).expect("rows").into_iter().map(|row| row.fields).collect()
    }

    #[test]
    fn fields_are_told_apart_quoted_or_not() {
        assert_eq!(fields("a,b\r\n1,\"2, 3\"\n"), [["a", "b"], ["1", "2, 3"]]);
        assert_eq!(fields("\"say \"\"so\"\"\",\n\n,x"), [["say \"so\"", ""], ["", "x"]]);
        assert_eq!(fields("\"two\nlines\",b\r\n"), [["two\nlines", "b"]]);
        assert_eq!(sheet("\u{feff}a\n\"\"\n").expect("a sheet").rows.len(), 1, "an empty field in quotes is a row");
    }

    #[test]
    fn rows_know_their_lines() {
        let lines: Vec<usize> = rows("a\n\"b\nc\"\n\nd\n").expect("rows").iter().map(|row| row.line).collect();
        assert_eq!(lines, [1, 2, 5]);
    }

    #[test]
    fn what_is_no_table_is_refused_by_line() {
        assert_eq!(sheet(""), Err(CsvError::Empty));
        for (bad, line) in [("a\n\"b", 2), ("a\nb\"c\n", 2), ("\"a\"b\n", 1)] {
            assert_eq!(sheet(bad), Err(CsvError::Quote { line }), "{bad:?}");
        }
        assert_eq!(sheet("a,b\n1,2\n3\n"), Err(CsvError::Fields { line: 3, found: 1, expected: 2 }));
    }
}
