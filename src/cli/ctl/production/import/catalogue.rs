//! What files of parts, bills of materials and stock say, whichever they are.
//!
//! A file is known by its columns: bills of materials and stock as `InvenTree` exports them, where a part
//! is its number there, and a list of a product's parts by assembly with prices, and stock to it, where a
//! part is its part number, or its name where it has none. Numbers stay decimals until the scale of each part is known.

use std::collections::{BTreeMap, BTreeSet};

use crate::cli::csv::{CsvError, Row, Sheet};
use crate::core::decimal::{self, DecimalError};
use crate::core::types::Code;

/// A decimal as it is written, without zeroes at its end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decimal(String);

impl Decimal {
    fn read(text: &str) -> Result<Self, DecimalError> {
        decimal::parse(text, PLACES_MAX)?;
        let shortened = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
        Ok(Self(if shortened.is_empty() { "0".to_owned() } else { shortened.to_owned() }))
    }

    /// Decimal places that it needs.
    pub fn places(&self) -> u32 {
        self.0.split_once('.').map_or(0, |(_, places)| u32::try_from(places.len()).unwrap_or(u32::MAX))
    }

    /// In the smallest unit of a scale.
    pub fn at(&self, scale: u32) -> Result<u64, DecimalError> {
        decimal::parse(&self.0, u8::try_from(scale).unwrap_or(u8::MAX))
    }
}

/// The most decimal places that an asset can have.
const PLACES_MAX: u8 = 12;

/// What one part is known by, in all files of a kind: its kind, and its number or name.
pub type PartKey = (&'static str, String);

/// A material or product.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// As people call it.
    pub name: String,
    /// What one costs.
    pub cost: Option<Decimal>,
    /// When it is to be reordered.
    pub reorder_point: Option<Decimal>,
    /// How much there is.
    pub counted: Option<Decimal>,
    /// Decimal places that its quantities need.
    pub places: u32,
}

/// What goes into an assembly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The component.
    pub component: PartKey,
    /// How much of it.
    pub quantity: Decimal,
    /// Whether it need not.
    pub optional: bool,
}

/// All that the files say.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// By what they are known by.
    pub parts: BTreeMap<PartKey, Part>,
    /// What each assembly needs, in the order of the files.
    pub boms: BTreeMap<PartKey, Vec<Line>>,
    /// The rows of bills of materials so far: one that stands twice was not meant to.
    rows: BTreeSet<Vec<String>>,
}

const INVENTREE: &str = "inventree";
const BY_NUMBER: &str = "part number";
const BY_NAME: &str = "name";

const BOM_COLUMNS: &[&str] =
    &["parent_id", "parent", "child_id", "child", "qty", "optional", "consumable", "reference"];
const STOCK_COLUMNS: &[&str] = &["part_id", "part", "qty", "minimum_stock"];
const PRICED_STOCK_COLUMNS: &[&str] = &["item", "part_no", "qty", "minimum_stock"];
const PRICED_COLUMNS: &[&str] =
    &["assembly", "assembly_multiplier", "item", "part_no", "unit_cost_usd", "qty_per_assembly"];

impl Catalogue {
    /// Takes in a file. The assemblies of a list of one product's parts are those of `product`.
    pub fn add(&mut self, sheet: &Sheet, product: &str) -> Result<(), CsvError> {
        let header: Vec<&str> = sheet.header.iter().map(String::as_str).collect();
        let add = match &header[..] {
            BOM_COLUMNS => Self::add_bom_line,
            STOCK_COLUMNS => Self::add_stock,
            PRICED_STOCK_COLUMNS => Self::add_priced_stock,
            PRICED_COLUMNS => return self.add_priced(sheet, product),
            _ => return Err(CsvError::UnknownColumns(header.join(", "))),
        };
        sheet.rows.iter().try_for_each(|row| add(self, row))
    }

    fn add_bom_line(&mut self, row: &Row) -> Result<(), CsvError> {
        self.once(row, BOM_COLUMNS[0])?;
        let field = |place| field(row, BOM_COLUMNS, place);
        let parent = self.inventree(row, BOM_COLUMNS, 0)?;
        let component = self.inventree(row, BOM_COLUMNS, 2)?;
        let quantity = positive(row, BOM_COLUMNS, 4)?;
        let optional = match field(5)? {
            "True" => true,
            "False" => false,
            other => return Err(value(row, BOM_COLUMNS[5], format!("{other:?} is neither True nor False"))),
        };
        self.need(parent, Line { component, quantity, optional });
        Ok(())
    }

    fn add_stock(&mut self, row: &Row) -> Result<(), CsvError> {
        let key = self.inventree(row, STOCK_COLUMNS, 0)?;
        self.count(row, key)
    }

    fn add_priced_stock(&mut self, row: &Row) -> Result<(), CsvError> {
        let key = self.named_part(row, PRICED_STOCK_COLUMNS, 0)?;
        self.count(row, key)
    }

    /// Takes the counted quantity and the minimum stock, which stand at one place in every file of stock.
    fn count(&mut self, row: &Row, key: PartKey) -> Result<(), CsvError> {
        let (counted, minimum) = (number(row, STOCK_COLUMNS, 2)?, number(row, STOCK_COLUMNS, 3)?);
        let part = self.parts.entry(key).or_default();
        if part.counted.is_some() {
            return Err(value(row, STOCK_COLUMNS[2], "the part was counted already".to_owned()));
        }
        part.places = part.places.max(counted.places()).max(minimum.places());
        (part.counted, part.reorder_point) = (Some(counted), Some(minimum));
        Ok(())
    }

    /// The part whose number and name stand in two neighbouring fields.
    fn inventree(&mut self, row: &Row, columns: &[&'static str], place: usize) -> Result<PartKey, CsvError> {
        let id = field(row, columns, place)?;
        if id.parse::<u64>().is_err() {
            return Err(value(row, columns[place], format!("{id:?} is not a number")));
        }
        self.part(row, columns[place + 1], (INVENTREE, id.to_owned()), field(row, columns, place + 1)?)
    }

    /// The part known by `key`, under the name that every file gives it.
    fn part(&mut self, row: &Row, column: &'static str, key: PartKey, name: &str) -> Result<PartKey, CsvError> {
        let part = self.parts.entry(key.clone()).or_insert_with(|| Part { name: name.to_owned(), ..Part::default() });
        let same = part.name == name || key.0 == BY_NUMBER;
        if same { Ok(key) } else { Err(value(row, column, format!("{name:?} was {:?} before", part.name))) }
    }

    /// Refuses a row of a bill of materials that stands twice, be it in two files.
    fn once(&mut self, row: &Row, column: &'static str) -> Result<(), CsvError> {
        if self.rows.insert(row.fields.clone()) {
            return Ok(());
        }
        Err(value(row, column, "the same row stands before".to_owned()))
    }

    fn need(&mut self, parent: PartKey, line: Line) {
        if let Some(part) = self.parts.get_mut(&line.component) {
            part.places = part.places.max(line.quantity.places());
        }
        self.boms.entry(parent).or_default().push(line);
    }

    fn add_priced(&mut self, sheet: &Sheet, product: &str) -> Result<(), CsvError> {
        let columns = PRICED_COLUMNS;
        let mut multipliers: BTreeMap<String, Decimal> = BTreeMap::new();
        for row in &sheet.rows {
            self.once(row, columns[0])?;
            let product = self.part(row, columns[0], (BY_NAME, product.to_owned()), product)?;
            let name = field(row, columns, 0)?;
            let assembly = self.part(row, columns[0], (BY_NAME, name.to_owned()), name)?;
            let multiplier = positive(row, columns, 1)?;
            match multipliers.get(name) {
                None => {
                    multipliers.insert(name.to_owned(), multiplier.clone());
                    let component = assembly.clone();
                    self.need(product, Line { component, quantity: multiplier, optional: false });
                }
                Some(known) if *known == multiplier => {}
                Some(_) => return Err(value(row, columns[1], format!("differs from the row before of {name}"))),
            }
            let component = self.priced_part(row)?;
            let quantity = positive(row, columns, 5)?;
            self.need(assembly, Line { component, quantity, optional: false });
        }
        Ok(())
    }

    /// The part whose name stands at this place, and its part number, if it has one, behind it.
    fn named_part(&mut self, row: &Row, columns: &[&'static str], place: usize) -> Result<PartKey, CsvError> {
        let (name, part_number) = (field(row, columns, place)?, row.fields[place + 1].trim());
        let key = if part_number.is_empty() { (BY_NAME, name.to_owned()) } else { (BY_NUMBER, part_number.to_owned()) };
        self.part(row, columns[place], key, name)
    }

    fn priced_part(&mut self, row: &Row) -> Result<PartKey, CsvError> {
        let columns = PRICED_COLUMNS;
        let key = self.named_part(row, columns, 2)?;
        let cost = number(row, columns, 4)?;
        let part = self.parts.entry(key.clone()).or_default();
        if part.cost.as_ref().is_some_and(|known| *known != cost) {
            return Err(value(row, columns[4], format!("{} had another price before", part.name)));
        }
        part.cost = Some(cost);
        Ok(key)
    }

    /// A code for each part that has none yet: its name where that can be one and nobody has it, else its
    /// number behind as much of the name as fits. `taken` are the codes that others have.
    pub fn codes(&self, known: &BTreeSet<PartKey>, taken: &BTreeSet<String>) -> BTreeMap<PartKey, String> {
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        for part in self.parts.values() {
            *names.entry(written(&part.name)).or_default() += 1;
        }
        let new = self.parts.iter().filter(|(key, _)| !known.contains(*key));
        let code = |(key, part): (&PartKey, &Part)| {
            let name = written(&part.name);
            let free = names.get(&name) == Some(&1) && !taken.contains(&name) && Code::new(&name).is_some();
            (key.clone(), if free { name } else { with_number(&name, &written(&key.1)) })
        };
        new.map(code).collect()
    }
}

/// A name as a code has it: printable ASCII, no spaces.
pub fn written(name: &str) -> String {
    let letter = |letter: char| match letter {
        ' ' => '-',
        letter if letter.is_ascii_graphic() => letter,
        _ => '_',
    };
    name.trim().chars().map(letter).collect()
}

/// As much of a name as fits in front of a number.
fn with_number(name: &str, number: &str) -> String {
    let number: String = number.chars().take(Code::LEN_MAX - 2).collect();
    let room = Code::LEN_MAX - 1 - number.len();
    format!("{}.{number}", name.chars().take(room).collect::<String>())
}

fn value(row: &Row, column: &'static str, reason: String) -> CsvError {
    CsvError::Value { line: row.line, column, reason }
}

fn field<'a>(row: &'a Row, columns: &[&'static str], place: usize) -> Result<&'a str, CsvError> {
    let text = row.fields[place].trim();
    if text.is_empty() { Err(value(row, columns[place], "is empty".to_owned())) } else { Ok(text) }
}

fn number(row: &Row, columns: &[&'static str], place: usize) -> Result<Decimal, CsvError> {
    Decimal::read(field(row, columns, place)?).map_err(|error| value(row, columns[place], error.to_string()))
}

/// What something is made of is more than nothing.
fn positive(row: &Row, columns: &[&'static str], place: usize) -> Result<Decimal, CsvError> {
    let number = number(row, columns, place)?;
    let nothing = number.0.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    if nothing { Err(value(row, columns[place], "is nothing".to_owned())) } else { Ok(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(columns: &[&str], rows: &[&[&str]]) -> Sheet {
        let own = |fields: &[&str]| fields.iter().map(|field| (*field).to_owned()).collect::<Vec<_>>();
        let rows = rows.iter().enumerate().map(|(place, fields)| Row { line: place + 2, fields: own(fields) });
        Sheet { header: own(columns), rows: rows.collect() }
    }

    #[test]
    fn a_part_is_its_number_in_every_file() {
        let mut catalogue = Catalogue::default();
        let bom = sheet(
            BOM_COLUMNS,
            &[
                &["1", "Table", "2", "Leg", "4.00000", "False", "False", ""],
                &["1", "Table", "3", "Paint", "0.25000", "True", "True", ""],
            ],
        );
        catalogue.add(&bom, "P").expect("a bill");
        let stock = sheet(STOCK_COLUMNS, &[&["3", "Paint", "10.12500", "2.0"], &["4", "Leg", "7", "0"]]);
        catalogue.add(&stock, "P").expect("a stock");
        let paint = &catalogue.parts[&(INVENTREE, "3".to_owned())];
        assert_eq!((paint.places, paint.counted.as_ref().map(|n| n.at(3))), (3, Some(Ok(10_125))));
        assert_eq!(
            catalogue.boms[&(INVENTREE, "1".to_owned())].iter().map(|it| it.optional).collect::<Vec<_>>(),
            [false, true]
        );
        let codes = catalogue.codes(&BTreeSet::new(), &BTreeSet::from(["Table".to_owned()]));
        let codes: Vec<&str> = codes.values().map(String::as_str).collect();
        assert_eq!(codes, ["Table.1", "Leg.2", "Paint", "Leg.4"], "a name of two, or of another, is none's");
        assert!(catalogue.add(&stock, "P").is_err(), "counted twice");
    }

    #[test]
    fn assemblies_stand_in_a_product_as_often_as_the_list_says() {
        let mut catalogue = Catalogue::default();
        let rows: &[&[&str]] = &[
            &["drive wheel", "6", "wheel", "", "25.27", "1"],
            &["drive wheel", "6", "2 Hole U channel", "1120", "4.99", "1"],
            &["body", "1", "2hole Uchannel", "1120", "4.99", "0.5"],
        ];
        catalogue.add(&sheet(PRICED_COLUMNS, rows), "ROVER").expect("a list");
        let rover = &catalogue.boms[&(BY_NAME, "ROVER".to_owned())];
        let needs: Vec<_> = rover.iter().map(|line| (line.component.1.as_str(), line.quantity.at(0))).collect();
        assert_eq!(needs, [("drive wheel", Ok(6)), ("body", Ok(1))]);
        let stock = sheet(PRICED_STOCK_COLUMNS, &[&["wheel", "", "12.5", "0"], &["channel", "1120", "3", "1"]]);
        catalogue.add(&stock, "ROVER").expect("a stock");
        let wheel = &catalogue.parts[&(BY_NAME, "wheel".to_owned())];
        assert_eq!((wheel.places, wheel.counted.as_ref().map(|n| n.at(1))), (1, Some(Ok(125))));
        let channel = &catalogue.parts[&(BY_NUMBER, "1120".to_owned())];
        assert_eq!((channel.places, channel.cost.as_ref().map(|cost| cost.at(2))), (1, Some(Ok(499))));
        for (place, text) in [(1, "5"), (4, "5.00")] {
            let mut fields = ["drive wheel", "6", "2 Hole U channel", "1120", "4.99", "1"];
            fields[place] = text;
            let both = [rows[0], rows[2], &fields[..]];
            let refused = Catalogue::default().add(&sheet(PRICED_COLUMNS, &both), "ROVER").expect_err("differs");
            assert!(matches!(refused, CsvError::Value { line: 4, .. }), "{refused}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused_by_line_and_column() {
        let refused = |place, text: &str| {
            let mut fields = ["1", "Table", "2", "Leg", "4", "False", "False", ""];
            fields[place] = text;
            Catalogue::default().add(&sheet(BOM_COLUMNS, &[&fields]), "P").expect_err("refused").to_string()
        };
        assert_eq!(refused(4, "-1"), "line 2, qty: '-' is not a digit");
        assert_eq!(refused(0, "x"), "line 2, parent_id: \"x\" is not a number");
        assert_eq!(refused(5, "no"), "line 2, optional: \"no\" is neither True nor False");
        assert_eq!(refused(3, " "), "line 2, child: is empty");
        let unknown = Catalogue::default().add(&sheet(&["a", "b"], &[]), "P");
        assert_eq!(unknown, Err(CsvError::UnknownColumns("a, b".to_owned())));
    }

    #[test]
    fn a_long_name_makes_room_for_its_number() {
        assert_eq!(with_number(&written("joint 3hole flat beam 2pack"), "1102-0003-0024"), "joint-3ho.1102-0003-0024");
        assert_eq!(written("Größe 5"), "Gr__e-5");
    }
}
