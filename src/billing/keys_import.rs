//! Keys that a gateway knows become rows of `keys.csv`. Rows that are there stay as they are, to the byte; a key that no row names
//! is added at the end, for the customer it is tagged with, from when it was made. What cannot be added is told with its
//! reason. The new content is checked as the file is when it is read, so an import never leaves a file that cannot be used.

use std::collections::BTreeSet;

use crate::base::{Micros, Problems};

use super::customers::Customers;
use super::keys::{Key, Keys};
use super::sheet::ConfigFile;
use super::zone::BillingZone;

/// A key as a gateway knows it, without its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OfferedKey {
    /// Its id, which logs carry.
    pub id: String,
    /// Its name for people.
    pub name: Option<String>,
    /// The keyed hash of its value; none: nothing is hashed.
    pub fingerprint: Option<String>,
    /// Whose it is, by its tag.
    pub customer_id: Option<String>,
    /// When it was made: it was nobody's before.
    pub created_at: Micros,
}

/// What becomes of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// A row is added.
    Added,
    /// A row has its id.
    Known,
    /// The row of this line has its id and another fingerprint: made with another secret, or of another value.
    OtherFingerprint {
        /// The line.
        line: u32,
    },
    /// The row of this line has its fingerprint under another id, or under none.
    OtherId {
        /// The line.
        line: u32,
    },
    /// It is not tagged with a customer.
    NoCustomer,
    /// It is tagged with a customer that is not in the customers file.
    UnknownCustomer,
}

/// An import, to be shown or carried out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeysImport {
    /// Every key with what becomes of it, in the order given.
    pub keys: Vec<(OfferedKey, Verdict)>,
    /// What the file becomes; none: nothing is added.
    pub content: Option<Vec<u8>>,
}

impl KeysImport {
    /// Holds keys against the file and the customers.
    pub fn plan(
        file: &ConfigFile,
        zone: BillingZone,
        customers: &Customers,
        offered: Vec<OfferedKey>,
    ) -> Result<Self, Problems> {
        let known = Keys::parse(file, zone)?;
        let customers: BTreeSet<&str> = customers.rows().iter().map(|row| &*row.customer_id).collect();
        let verdicts = offered.into_iter().map(|key| {
            let verdict = verdict(&key, known.rows(), &customers);
            (key, verdict)
        });
        let keys: Vec<_> = verdicts.collect();
        let added: Vec<&OfferedKey> = keys.iter().filter(|(_, v)| *v == Verdict::Added).map(|(key, _)| key).collect();
        let content = if added.is_empty() { None } else { Some(with_rows(file, zone, &added)?) };
        Ok(Self { keys, content })
    }
}

fn verdict(key: &OfferedKey, rows: &[Key], customers: &BTreeSet<&str>) -> Verdict {
    let of_id: Vec<&Key> = rows.iter().filter(|row| row.api_key_id.as_ref() == Some(&key.id)).collect();
    if let Some(first) = of_id.first() {
        let prints: Vec<&String> = of_id.iter().filter_map(|row| row.key_fingerprint.as_ref()).collect();
        return match &key.fingerprint {
            Some(print) if !prints.is_empty() && !prints.contains(&print) => {
                Verdict::OtherFingerprint { line: first.line }
            }
            _ => Verdict::Known,
        };
    }
    if let Some(row) = rows.iter().find(|row| key.fingerprint.is_some() && row.key_fingerprint == key.fingerprint) {
        return Verdict::OtherId { line: row.line };
    }
    match key.customer_id.as_deref().map(str::trim).filter(|id| !id.is_empty()) {
        None => Verdict::NoCustomer,
        Some(id) if !customers.contains(id) => Verdict::UnknownCustomer,
        Some(_) => Verdict::Added,
    }
}

/// The file with rows at its end, checked.
fn with_rows(file: &ConfigFile, zone: BillingZone, added: &[&OfferedKey]) -> Result<Vec<u8>, Problems> {
    let header = header(file)?;
    let mut needed = vec!["api_key_id"];
    if added.iter().any(|key| key.fingerprint.is_some()) {
        needed.push("key_fingerprint");
    }
    let mut problems = Problems::default();
    for name in needed.into_iter().filter(|name| !header.iter().any(|column| column == name)) {
        problems.add(&file.name, 1, format!("column `{name}` is missing: an import fills it"));
    }
    problems.or(())?;
    let fault = |error: &dyn std::fmt::Display| {
        let mut problems = Problems::default();
        problems.add(&file.name, 1, format!("a row cannot be added: {error}"));
        problems
    };
    let is_windows = file.bytes.split(|b| *b == b'\n').next().is_some_and(|line| line.ends_with(b"\r"));
    let terminator = if is_windows { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
    let mut rows = csv::WriterBuilder::new().terminator(terminator).from_writer(Vec::new());
    for key in added {
        rows.write_record(header.iter().map(|column| cell(key, column))).map_err(|error| fault(&error))?;
    }
    let rows = rows.into_inner().map_err(|error| fault(&error))?;
    let mut bytes = file.bytes.clone();
    if !bytes.ends_with(b"\n") {
        bytes.extend_from_slice(if is_windows { b"\r\n" } else { b"\n" });
    }
    bytes.extend_from_slice(&rows);
    let content = ConfigFile { name: file.name.clone(), bytes };
    Keys::parse(&content, zone)?;
    Ok(content.bytes)
}

/// The names of the columns, in their order. The file was read before, so it has them.
fn header(file: &ConfigFile) -> Result<Vec<String>, Problems> {
    let bytes = file.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&file.bytes);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    match reader.records().next() {
        Some(Ok(names)) => Ok(names.iter().map(|name| name.trim().to_owned()).collect()),
        _ => {
            let mut problems = Problems::default();
            problems.add(&file.name, 1, "the first line does not name the columns");
            Err(problems)
        }
    }
}

fn cell(key: &OfferedKey, column: &str) -> String {
    let one_line = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    match column {
        "customer_id" => key.customer_id.as_deref().unwrap_or_default().trim().to_owned(),
        "api_key_id" => key.id.clone(),
        "key_fingerprint" => key.fingerprint.clone().unwrap_or_default(),
        "label" => one_line(key.name.as_deref().unwrap_or_default()).trim().to_owned(),
        "valid_from" => key.created_at.to_string(),
        _ => String::new(),
    }
}
