//! A CSV file with named columns in any order: known ones are read, `x_…` ones are carried along, others are a
//! problem with the nearest known name. Every row knows its line. Cells are trimmed; an empty cell is no value.

use crate::base::problem::{Problems, suggestion};
use crate::base::{HalfOpen, Micros, UtcDay};

use super::zone::{BillingDay, BillingZone};

/// A configuration file as it was read.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    /// Its name in problems, as the user would type it.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A sheet's columns, rows and problems so far.
pub(crate) struct Sheet<'f> {
    file: &'f ConfigFile,
    header: Vec<String>,
    /// Rows are read only under a right header.
    header_is_right: bool,
    rows: Vec<(u32, Vec<String>)>,
    pub(crate) problems: Problems,
}

/// One row.
#[derive(Clone, Copy)]
pub(crate) struct Row<'s> {
    header: &'s [String],
    cells: &'s [String],
    /// Where it begins.
    pub(crate) line: u32,
}

/// What the intervals of a sheet may begin with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grain {
    /// Whole billing days only.
    Day,
    /// Any instant.
    Instant,
}

impl<'f> Sheet<'f> {
    /// Reads a file whose header must have `required` and may have `optional` columns.
    pub(crate) fn read(file: &'f ConfigFile, required: &[&str], optional: &[&str]) -> Self {
        let mut sheet =
            Self { file, header: Vec::new(), header_is_right: false, rows: Vec::new(), problems: Problems::default() };
        let bytes = file.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&file.bytes);
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
        let mut record = csv::ByteRecord::new();
        let mut place = Place { bytes, at: 0, line: 1 };
        loop {
            match reader.read_byte_record(&mut record) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    sheet.problem(place.line, format!("this is not CSV: {error}"));
                    break;
                }
            }
            let line = place.advance(record.position().map_or(0, csv::Position::byte));
            sheet.take(line, &record, required, optional);
        }
        if sheet.header.is_empty() && sheet.problems.is_empty() {
            sheet.problem(1, format!("the first line must name the columns: {}", required.join(",")));
        }
        sheet
    }

    /// Notes a problem.
    pub(crate) fn problem(&mut self, line: u32, message: impl Into<String>) {
        self.problems.add(&self.file.name, line, message);
    }

    /// Calls `read` for each row; a message it returns is a problem of that row.
    pub(crate) fn each<T>(&mut self, mut read: impl FnMut(Row<'_>) -> Result<T, String>) -> Vec<T> {
        let mut values = Vec::with_capacity(self.rows.len());
        for (line, cells) in &self.rows {
            match read(Row { header: &self.header, cells, line: *line }) {
                Ok(value) => values.push(value),
                Err(message) => self.problems.add(&self.file.name, *line, message),
            }
        }
        values
    }

    fn take(&mut self, line: u32, record: &csv::ByteRecord, required: &[&str], optional: &[&str]) {
        let mut cells = Vec::with_capacity(record.len());
        for cell in record {
            match std::str::from_utf8(cell) {
                Ok(cell) => cells.push(cell.trim().to_owned()),
                Err(_) => return self.problem(line, "this line is not UTF-8; save the file as UTF-8"),
            }
        }
        if cells.iter().any(|cell| cell.chars().any(char::is_control)) {
            return self.problem(line, "a cell holds a control character or line break; is a quote not closed?");
        }
        if self.header.is_empty() {
            self.check_header(line, &cells, required, optional);
            self.header_is_right = self.problems.is_empty();
            self.header = cells;
        } else if self.header_is_right && cells.len() != self.header.len() {
            let (wanted, found) = (self.header.len(), cells.len());
            self.problem(line, format!("this row has {found} columns where the header has {wanted}"));
        } else if self.header_is_right && cells.iter().any(|cell| !cell.is_empty()) {
            self.rows.push((line, cells));
        }
    }

    fn check_header(&mut self, line: u32, names: &[String], required: &[&str], optional: &[&str]) {
        if let [only] = names
            && let Some(separator) = [';', '\t'].into_iter().find(|c| only.contains(*c))
        {
            return self.problem(
                line,
                format!("columns must be separated by commas, not by `{}`", separator.escape_default()),
            );
        }
        for (at, name) in names.iter().enumerate() {
            let known = required.iter().chain(optional).copied();
            if names[..at].contains(name) {
                self.problem(line, format!("column `{name}` appears twice"));
            } else if !name.starts_with("x_") && !known.clone().any(|column| column == name) {
                let near = suggestion(name, known);
                self.problem(line, format!("unknown column `{name}`{near} (columns of your own begin with `x_`)"));
            }
        }
        for name in required.iter().filter(|name| !names.iter().any(|column| column == *name)) {
            self.problem(line, format!("column `{name}` is missing"));
        }
    }
}

impl<'s> Row<'s> {
    /// The cell of a column; `None` where it is empty or absent.
    pub(crate) fn cell(&self, column: &str) -> Option<&'s str> {
        let at = self.header.iter().position(|name| name == column)?;
        self.cells.get(at).map(String::as_str).filter(|cell| !cell.is_empty())
    }

    /// The cell of a column that may not be empty.
    pub(crate) fn required(&self, column: &str) -> Result<&'s str, String> {
        self.cell(column).ok_or_else(|| format!("`{column}` is empty"))
    }

    /// The columns the user added, with their values.
    pub(crate) fn extra(&self) -> Vec<(String, String)> {
        let own = self.header.iter().zip(self.cells).filter(|(name, _)| name.starts_with("x_"));
        own.map(|(name, cell)| (name.clone(), cell.clone())).collect()
    }

    /// The interval of `valid_from` and `valid_to`.
    pub(crate) fn valid(&self, zone: BillingZone, grain: Grain) -> Result<HalfOpen<Micros>, String> {
        let instant =
            |column: &str, text: &str| parse_instant(zone, grain, text).map_err(|e| format!("`{column}`: {e}"));
        let from = self.required("valid_from")?;
        let to = self.cell("valid_to");
        let range =
            HalfOpen { from: instant("valid_from", from)?, to: to.map(|text| instant("valid_to", text)).transpose()? };
        HalfOpen::new(range.from, range.to)
            .ok_or_else(|| format!("`valid_to` ({}) must be later than `valid_from` ({from})", to.unwrap_or_default()))
    }
}

/// An instant or day as a person writes it; a day is the start of that billing day.
pub(crate) fn parse_instant(zone: BillingZone, grain: Grain, text: &str) -> Result<Micros, String> {
    if let Ok(day) = text.parse::<UtcDay>() {
        return Ok(zone.start(BillingDay(day.0)));
    }
    let wanted = match grain {
        Grain::Day => "a day such as 2026-10-01",
        Grain::Instant => "a day such as 2026-10-01 or an instant such as 2026-10-01T12:30:00Z",
    };
    let at: Micros = text.parse().map_err(|_| format!("`{text}` is not {wanted}"))?;
    if grain == Grain::Day && !zone.is_start(at) {
        return Err(format!("`{text}` is not the start of a day in {}; write {wanted}", zone.name()));
    }
    Ok(at)
}

/// Counts lines up to where records begin. csv's own count is off after `\r\n` and blank lines.
struct Place<'f> {
    bytes: &'f [u8],
    at: usize,
    line: u32,
}

impl Place<'_> {
    fn advance(&mut self, to: u64) -> u32 {
        let to = usize::try_from(to).unwrap_or(usize::MAX).min(self.bytes.len());
        let blank = self.bytes[to..].iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let lines = self.bytes[self.at..to + blank].iter().filter(|b| **b == b'\n').count();
        self.at = to + blank;
        self.line = self.line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        self.line
    }
}
