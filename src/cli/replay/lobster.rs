//! LOBSTER files: a day of one stock on Nasdaq, order by order.
//!
//! A zip holds two CSV files without headers. A row of `…message…` is an event: seconds after
//! midnight, type, order id, size, price × 10,000, direction of the resting order (1 buy, -1 sell).
//! The row of the same number in `…orderbook…` is the book after it: ask price 1, ask size 1, bid
//! price 1, bid size 1, ask price 2 …

use std::io::{Read, Seek};
use std::path::Path;

use crate::core::types::{Price, Quantity, Side};

/// Decimal places of a price in the files.
pub const PRICE_SCALE: u32 = 4;

/// No file inside is unpacked beyond this, in bytes: some ten times the busiest day of ten levels.
const MEMBER_BYTES_MAX: u64 = 1 << 30;

/// What a message says happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Type 1: a limit order entered the book.
    Enter,
    /// Type 2: part of an order was cancelled.
    Reduce,
    /// Type 3: an order was deleted.
    Delete,
    /// Type 4: a visible order was executed.
    Execute,
    /// Type 5, an execution that was not in the book, and all others.
    Outside,
}

/// Nasdaq's number of an order. Unique within a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NasdaqOrder(pub u64);

/// One event of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// When, in nanoseconds after midnight.
    pub time: u64,
    /// What happened.
    pub kind: Kind,
    /// To which order.
    pub order: NasdaqOrder,
    /// How much was entered, taken off or executed.
    pub size: Quantity,
    /// The order's price, of [`PRICE_SCALE`].
    pub price: Price,
    /// The order's side.
    pub side: Side,
}

/// One price of a recorded book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// The price.
    pub price: Price,
    /// The size of all its orders.
    pub size: Quantity,
}

/// A recorded book: best price first, the levels that hold something alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row {
    /// The buyers.
    pub bids: Vec<Level>,
    /// The sellers.
    pub asks: Vec<Level>,
}

impl Row {
    /// One side.
    #[must_use]
    pub fn side(&self, side: Side) -> &[Level] {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }
}

/// A whole day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// The stock's ticker, from the file's name.
    pub ticker: String,
    /// A digest of the messages: names the commands that are made of them.
    pub digest: [u8; 32],
    /// Levels per side of a recorded book.
    pub depth: usize,
    /// The events, in order.
    pub messages: Vec<Message>,
    /// The book after each event.
    pub rows: Vec<Row>,
}

/// Why a file is not a LOBSTER day.
#[derive(Debug, thiserror::Error)]
pub enum LobsterError {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// It is not a zip.
    #[error("not a zip file: {0}")]
    Zip(#[from] zip::result::ZipError),
    /// A CSV file is missing inside.
    #[error("the zip holds no file with {0:?} in its name")]
    Missing(&'static str),
    /// A CSV file inside is larger than any day.
    #[error("{0} unpacks to more than {max} bytes", max = MEMBER_BYTES_MAX)]
    TooLarge(String),
    /// A line is not CSV.
    #[error("{0}")]
    Csv(#[from] csv::Error),
    /// A field is not what it should be.
    #[error("{file} line {line}: {field} is {value:?}")]
    Field {
        /// Which of the two files.
        file: &'static str,
        /// The line, from 1.
        line: usize,
        /// The field's name.
        field: &'static str,
        /// What it holds.
        value: String,
    },
    /// The two files do not belong together.
    #[error("{messages} messages, but {rows} books")]
    Uneven {
        /// Lines of the message file.
        messages: usize,
        /// Lines of the order book file.
        rows: usize,
    },
}

impl Day {
    /// Reads the zip at `path`.
    ///
    /// # Errors
    /// See [`LobsterError`].
    pub fn open(path: &Path) -> Result<Self, LobsterError> {
        Self::read(std::fs::File::open(path)?)
    }

    /// Reads a zip.
    ///
    /// # Errors
    /// See [`LobsterError`].
    pub fn read(zip: impl Read + Seek) -> Result<Self, LobsterError> {
        let mut archive = zip::ZipArchive::new(zip)?;
        let (name, messages) = member(&mut archive, "message")?;
        let (_, books) = member(&mut archive, "orderbook")?;
        let digest = *blake3::hash(&messages).as_bytes();
        let messages = read_messages(&messages)?;
        let (depth, rows) = read_rows(&books)?;
        if messages.len() != rows.len() {
            return Err(LobsterError::Uneven { messages: messages.len(), rows: rows.len() });
        }
        let base = name.rsplit('/').next().unwrap_or(&name);
        let ticker = base.split('_').next().unwrap_or(base).to_owned();
        Ok(Self { ticker, digest, depth, messages, rows })
    }
}

/// The name and content of the file inside whose name contains `part`.
fn member<R: Read + Seek>(
    archive: &mut zip::ZipArchive<R>,
    part: &'static str,
) -> Result<(String, Vec<u8>), LobsterError> {
    let mut name = None;
    for candidate in archive.file_names() {
        let candidate = candidate?;
        if candidate.contains(part) && candidate.ends_with(".csv") {
            name = Some(candidate.into_owned());
        }
    }
    let name = name.ok_or(LobsterError::Missing(part))?;
    let mut bytes = Vec::new();
    archive.by_name(&name)?.take(MEMBER_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MEMBER_BYTES_MAX {
        return Err(LobsterError::TooLarge(name));
    }
    Ok((name, bytes))
}

/// The fields of one line, with where they stand for messages.
struct Fields<'a> {
    file: &'static str,
    line: usize,
    record: &'a csv::StringRecord,
}

impl Fields<'_> {
    fn number(&self, place: usize, field: &'static str) -> Result<i64, LobsterError> {
        let text = self.record.get(place).unwrap_or("");
        text.trim().parse().map_err(|_| self.wrong(field, text))
    }

    fn natural(&self, place: usize, field: &'static str) -> Result<u64, LobsterError> {
        let number = self.number(place, field)?;
        u64::try_from(number).map_err(|_| self.wrong(field, &number.to_string()))
    }

    /// Decimal seconds.
    fn nanoseconds(&self, place: usize, field: &'static str) -> Result<u64, LobsterError> {
        let text = self.record.get(place).unwrap_or("").trim();
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let digits = format!("{whole}{part:0<9.9}");
        digits.parse().map_err(|_| self.wrong(field, text))
    }

    fn wrong(&self, field: &'static str, value: &str) -> LobsterError {
        LobsterError::Field { file: self.file, line: self.line, field, value: value.to_owned() }
    }
}

fn reader(bytes: &[u8]) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().has_headers(false).from_reader(bytes)
}

fn read_messages(bytes: &[u8]) -> Result<Vec<Message>, LobsterError> {
    let mut messages = Vec::new();
    for (place, record) in reader(bytes).into_records().enumerate() {
        let fields = Fields { file: "messages", line: place + 1, record: &record? };
        let kind = match fields.natural(1, "type")? {
            1 => Kind::Enter,
            2 => Kind::Reduce,
            3 => Kind::Delete,
            4 => Kind::Execute,
            _ => Kind::Outside,
        };
        let side = match fields.number(5, "direction")? {
            -1 => Side::Sell,
            1 => Side::Buy,
            other if kind != Kind::Outside => return Err(fields.wrong("direction", &other.to_string())),
            _ => Side::Buy,
        };
        // A halt indicator's price is -1, 0 or 1, and says nothing about a book.
        let price = if kind == Kind::Outside { 0 } else { fields.natural(4, "price")? };
        messages.push(Message {
            time: fields.nanoseconds(0, "time")?,
            kind,
            order: NasdaqOrder(fields.natural(2, "order id")?),
            size: Quantity(fields.natural(3, "size")?),
            price: Price(price),
            side,
        });
    }
    Ok(messages)
}

fn read_rows(bytes: &[u8]) -> Result<(usize, Vec<Row>), LobsterError> {
    let (mut depth, mut rows) = (0, Vec::new());
    for (place, record) in reader(bytes).into_records().enumerate() {
        let fields = Fields { file: "books", line: place + 1, record: &record? };
        depth = fields.record.len() / 4;
        let mut row = Row::default();
        for level in 0..depth {
            for (start, side) in [(level * 4, &mut row.asks), (level * 4 + 2, &mut row.bids)] {
                let price = fields.number(start, "price")?;
                let size = fields.natural(start + 1, "size")?;
                // An absent level has the size 0 and a price that no order can have.
                if let (Ok(price), 1..) = (u64::try_from(price), size) {
                    side.push(Level { price: Price(price), size: Quantity(size) });
                }
            }
        }
        rows.push(row);
    }
    Ok((depth, rows))
}
