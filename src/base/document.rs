//! A TOML file read with the place of every value, so that each mistake is told with its line: unknown keys (at any
//! depth, with the nearest known one), wrong types, missing keys. Reading goes on after a mistake; all are collected.
//! Messages never repeat a value that was read, because a value in the wrong place may be a secret.

use std::cell::RefCell;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problems, listed, suggestion};

/// A file's text and what was found wrong in it so far.
#[derive(Debug)]
pub struct Document {
    file: String,
    text: String,
    problems: RefCell<Problems>,
}

/// A table of a document.
#[derive(Clone, Debug)]
pub struct Section<'d> {
    document: &'d Document,
    title: String,
    at: Range<usize>,
    table: &'d DeTable<'d>,
}

/// A value of a document and how to call it.
#[derive(Clone, Debug)]
pub struct Item<'d> {
    document: &'d Document,
    title: String,
    value: &'d Spanned<DeValue<'d>>,
}

impl Document {
    /// A document with the name its problems are told under.
    pub fn new(file: &str, text: &str) -> Self {
        Self { file: file.to_owned(), text: text.to_owned(), problems: RefCell::default() }
    }

    /// The tables of the text; `None` where it is not TOML.
    pub fn parse(&self) -> Option<Spanned<DeTable<'_>>> {
        let (table, errors) = DeTable::parse_recoverable(&self.text);
        for error in &errors {
            // Only the first words: toml's own rendering shows the line, which may hold a secret.
            self.problem(error.span().unwrap_or(0..0), format!("this is not TOML: {}", one_line(error.message())));
        }
        errors.is_empty().then_some(table)
    }

    /// The root of a parsed document, with the keys it may have.
    pub fn root<'d>(&'d self, table: &'d Spanned<DeTable<'d>>, known: &[&str]) -> Section<'d> {
        let root = Section { document: self, title: String::new(), at: 0..0, table: table.get_ref() };
        root.refuse_unknown(known);
        root
    }

    /// Notes a problem at a place.
    pub fn problem(&self, at: Range<usize>, message: impl Into<String>) {
        self.problems.borrow_mut().add(&self.file, self.line(at.start), message);
    }

    /// Everything found wrong.
    pub fn into_problems(self) -> Problems {
        self.problems.into_inner()
    }

    fn line(&self, byte: usize) -> u32 {
        let before = &self.text.as_bytes()[..byte.min(self.text.len())];
        u32::try_from(before.iter().filter(|b| **b == b'\n').count()).map_or(u32::MAX, |n| n.saturating_add(1))
    }
}

impl<'d> Section<'d> {
    /// The line of its header.
    pub fn line(&self) -> u32 {
        self.document.line(self.at.start)
    }

    /// Notes a problem with the section as a whole.
    pub fn problem(&self, message: impl Into<String>) {
        self.document.problem(self.at.clone(), message);
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<Item<'d>> {
        let value = self.table.get(key)?;
        let is_header = self.title.is_empty() && value.get_ref().is_table();
        let title = if is_header { format!("[{key}]") } else { format!("`{key}`") };
        Some(Item { document: self.document, title, value })
    }

    /// The value of a key; its absence is a problem.
    pub fn required(&self, key: &str) -> Option<Item<'d>> {
        let item = self.get(key);
        if item.is_none() {
            self.problem(format!("`{key}` is missing{}", self.within()));
        }
        item
    }

    /// The tables of `[[key]]`, none where it is absent.
    pub fn sections(&self, key: &str, known: &[&str]) -> Vec<Self> {
        let Some(item) = self.get(key) else { return Vec::new() };
        let within = self.title.trim_matches(['[', ']']);
        let title = if within.is_empty() { format!("[[{key}]]") } else { format!("[[{within}.{key}]]") };
        match item.value.get_ref() {
            DeValue::Array(values) if values.iter().all(|value| value.get_ref().is_table()) => values
                .iter()
                .filter_map(|value| Item { title: title.clone(), value, ..item.clone() }.section(known))
                .collect(),
            _ => {
                item.problem(format!("write {title}, with two brackets: there can be several"));
                Vec::new()
            }
        }
    }

    /// Every key with its value, by key.
    pub fn entries(&self) -> impl Iterator<Item = (&'d str, Item<'d>)> {
        self.table.iter().map(|(key, value)| {
            let key = key.get_ref().as_ref();
            (key, Item { document: self.document, title: format!("`{key}`"), value })
        })
    }

    fn within(&self) -> String {
        if self.title.is_empty() { String::new() } else { format!(" in {}", self.title) }
    }

    fn refuse_unknown(&self, known: &[&str]) {
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                let near = suggestion(name, known.iter().copied());
                self.document.problem(key.span(), format!("unknown key `{name}`{}{near}", self.within()));
            }
        }
    }
}

impl<'d> Item<'d> {
    /// Its line.
    pub fn line(&self) -> u32 {
        self.document.line(self.value.span().start)
    }

    /// Notes a problem with this value.
    pub fn problem(&self, message: impl Into<String>) {
        self.document.problem(self.value.span(), message);
    }

    /// What the value is, in words.
    pub fn type_name(&self) -> &'static str {
        match self.value.get_ref() {
            DeValue::String(_) => "text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        }
    }

    /// Notes that it should have been something else.
    pub fn wrong_type(&self, wanted: &str) {
        self.problem(format!("{} must be {wanted}, not {}", self.title, self.type_name()));
    }

    /// Its text, where it is text.
    pub fn as_text(&self) -> Option<&'d str> {
        self.value.get_ref().as_str()
    }

    /// Its text; not empty.
    pub fn text(&self) -> Option<&'d str> {
        match self.as_text() {
            Some(text) if text.trim().is_empty() => {
                self.problem(format!("{} is empty", self.title));
                None
            }
            Some(text) => Some(text),
            None => {
                self.wrong_type("text in quotes");
                None
            }
        }
    }

    /// One of the words given.
    pub fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.problem(format!("{} must be one of {}", self.title, listed(&names)));
        }
        found
    }

    /// A whole number from `range`.
    pub fn integer(&self, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let DeValue::Integer(digits) = self.value.get_ref() else {
            self.wrong_type("a whole number");
            return None;
        };
        let number = i64::from_str_radix(digits.as_str(), digits.radix()).ok().filter(|n| range.contains(n));
        if number.is_none() {
            self.problem(format!("{} must lie between {} and {}", self.title, range.start(), range.end()));
        }
        number
    }

    /// `true` or `false`.
    pub fn boolean(&self) -> Option<bool> {
        let value = self.value.get_ref().as_bool();
        if value.is_none() {
            self.wrong_type("true or false");
        }
        value
    }

    /// A date or instant, bare or in quotes, as text.
    pub fn moment(&self) -> Option<String> {
        match self.value.get_ref() {
            DeValue::Datetime(at) => Some(at.to_string()),
            DeValue::String(text) => Some(text.to_string()),
            _ => {
                self.wrong_type("a date such as 2026-10-01");
                None
            }
        }
    }

    /// Text, whole number or truth value as the text it has in a `dimensions` column.
    pub fn plain(&self) -> Option<String> {
        match self.value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Integer(_) => self.integer(i64::MIN..=i64::MAX).map(|n| n.to_string()),
            DeValue::Boolean(value) => Some(value.to_string()),
            _ => {
                self.wrong_type("text, a whole number, or true or false");
                None
            }
        }
    }

    /// Its members, where it is a list.
    pub fn as_list(&self) -> Option<Vec<Self>> {
        let values = self.value.get_ref().as_array()?;
        let member = |value| Self { document: self.document, title: format!("a member of {}", self.title), value };
        Some(values.iter().map(member).collect())
    }

    /// Its members.
    pub fn list(&self) -> Option<Vec<Self>> {
        let members = self.as_list();
        if members.is_none() {
            self.wrong_type("a list");
        }
        members
    }

    /// Its members; a single value is a list of one.
    pub fn one_or_more(&self) -> Vec<Self> {
        self.as_list().unwrap_or_else(|| vec![self.clone()])
    }

    /// Whether it is a table.
    pub fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    /// The table it is, with the keys it may have.
    pub fn section(&self, known: &[&str]) -> Option<Section<'d>> {
        let section = self.any_section()?;
        section.refuse_unknown(known);
        Some(section)
    }

    /// The table it is, with any keys.
    pub fn any_section(&self) -> Option<Section<'d>> {
        match self.value.get_ref() {
            DeValue::Table(table) => {
                Some(Section { document: self.document, title: self.title.clone(), at: self.value.span(), table })
            }
            _ => {
                self.wrong_type("a table");
                None
            }
        }
    }
}

fn one_line(message: &str) -> String {
    message.lines().map(str::trim).collect::<Vec<_>>().join(", ")
}
