//! Which field set records are of, as far as their values tell. Goes in: the first records of an object. Comes out:
//! whether they can be of the configured set, and if not, the set that they fit: one of the well-known ones, or the
//! configured one with a field or two more, fewer or exchanged. Only values that CloudFront itself writes speak against
//! a set: a caller must not be able to stop an object. What callers write may only speak for one.

use std::net::IpAddr;

use super::ObjectError;
use super::edge_rows::{Cells, cell};
use super::fields::{FIELDS, Layout};
use super::text::{decimal, epoch_seconds, integer};

/// Records looked at.
const RECORDS_MAX: usize = 64;
/// Longer records are not kept.
const RECORD_BYTES_MAX: usize = 16 << 10;
/// A field is not the one configured if so many of its values, and all of them, do not fit it.
const MISFITS_MIN: usize = 10;
/// Sets that fit equally well are all named, up to so many.
const NAMED_MAX: usize = 3;

/// The first records of an object.
#[derive(Default)]
pub(super) struct Sample {
    lines: Vec<Vec<u8>>,
    seen: usize,
}

impl Sample {
    pub(super) fn wants_more(&self) -> bool {
        self.seen < RECORDS_MAX
    }

    pub(super) fn keep(&mut self, line: &[u8]) {
        self.seen += 1;
        if line.len() <= RECORD_BYTES_MAX {
            self.lines.push(line.to_vec());
        }
    }

    /// An error where the records have the columns of the sets, but can be of none.
    pub(super) fn misfit(&self, layouts: &[&Layout]) -> Option<ObjectError> {
        let first = layouts.iter().find_map(|layout| Some((self.misfit_of(layout)?, *layout)));
        let (field, layout) = first?;
        let possible = |layout: &&Layout| self.table(layout.columns).records > 0 && self.misfit_of(layout).is_none();
        if layouts.iter().any(possible) {
            return None;
        }
        Some(ObjectError::FieldsMisfit { field, likely: self.likely(layout, layout.columns) })
    }

    /// The first field of the set that no value fits.
    fn misfit_of(&self, layout: &Layout) -> Option<&'static str> {
        let table = self.table(layout.columns);
        let never = |&(at, column): &(usize, usize)| {
            let cell = table.cell(at, column);
            cell.fits == 0 && cell.misfits >= MISFITS_MIN
        };
        layout.fields().find(never).map(|(at, _)| FIELDS[at])
    }

    /// In words, the sets of so many columns that every record fits, best first.
    pub(super) fn likely(&self, configured: &Layout, columns: usize) -> Option<String> {
        let table = self.table(columns);
        if table.records == 0 {
            return None;
        }
        let configured: Vec<usize> = configured.fields().map(|(at, _)| at).collect();
        let mut fitting: Vec<_> = candidates(&configured, columns)
            .into_iter()
            .filter_map(|candidate| Some((table.fits(&candidate.fields)?, candidate)))
            .filter(|(fits, _)| *fits > 0)
            .collect();
        // Stable: of equals those with the fewest changes come first, as they were made.
        fitting.sort_by_key(|(fits, _)| std::cmp::Reverse(*fits));
        let best = fitting.first()?.0;
        let mut named: Vec<String> = Vec::new();
        let mut kept: Vec<Vec<usize>> = Vec::new();
        let changes = fitting[0].1.changes;
        for (_, candidate) in fitting.into_iter().take_while(|(fits, _)| *fits == best) {
            if candidate.changes == changes && !kept.contains(&candidate.fields) {
                named.push(candidate.name);
                kept.push(candidate.fields);
            }
        }
        let more = named.len().saturating_sub(NAMED_MAX);
        named.truncate(NAMED_MAX);
        let text = named.join(", or ");
        Some(if more > 0 { format!("{text}, or {more} more") } else { text })
    }

    /// How the values of records with so many columns fit each field.
    fn table(&self, columns: usize) -> Table {
        let mut table = Table { columns, cells: vec![Cell::default(); FIELDS.len() * columns], records: 0 };
        let mut cells = Cells::default();
        for line in &self.lines {
            cells.split(line);
            if cells.count != columns || columns > FIELDS.len() {
                continue;
            }
            table.records += 1;
            for column in 0..columns {
                let value = &line[cell(&cells.ends, column)];
                if matches!(value, b"" | b"-") {
                    continue;
                }
                for (at, name) in FIELDS.iter().enumerate() {
                    let place = &mut table.cells[at * columns + column];
                    match fit(name, value) {
                        Fit::Surely => place.fits += 2,
                        Fit::Yes => place.fits += 1,
                        Fit::Perhaps => {}
                        Fit::No => place.misfits += 1,
                    }
                }
            }
        }
        table
    }
}

/// For each field and column, how many values are such as the field has.
struct Table {
    columns: usize,
    cells: Vec<Cell>,
    records: usize,
}

#[derive(Clone, Copy, Default)]
struct Cell {
    /// Values that fit, those that hardly fit another field twice.
    fits: usize,
    misfits: usize,
}

impl Table {
    fn cell(&self, field: usize, column: usize) -> Cell {
        self.cells[field * self.columns + column]
    }

    /// How much speaks for a set; none where one speaks against it.
    fn fits(&self, fields: &[usize]) -> Option<usize> {
        let cells = fields.iter().enumerate().map(|(column, &field)| self.cell(field, column));
        cells.map(|cell| (cell.misfits == 0).then_some(cell.fits)).sum()
    }
}

/// A set that records might be of: places in [`FIELDS`], rising.
struct Candidate {
    fields: Vec<usize>,
    name: String,
    changes: usize,
}

/// All sets of so many columns that come to mind, those with the fewest changes first.
fn candidates(configured: &[usize], columns: usize) -> Vec<Candidate> {
    let others: Vec<usize> = (0..FIELDS.len()).filter(|at| !configured.contains(at)).collect();
    let mut made = Vec::new();
    let mut make = |more: &[usize], fewer: &[usize]| {
        let kept = configured.iter().filter(|at| !fewer.contains(at));
        let mut fields: Vec<usize> = kept.chain(more).copied().collect();
        fields.sort_unstable();
        let list =
            |fields: &[usize]| fields.iter().map(|&at| format!("`{}`", FIELDS[at])).collect::<Vec<_>>().join(" and ");
        let changed = match (more, fewer) {
            (more, []) => format!("with {} added", list(more)),
            ([], fewer) => format!("without {}", list(fewer)),
            (more, fewer) => format!("with {} in place of {}", list(more), list(fewer)),
        };
        let name = format!("the configured set {changed}");
        made.push(Candidate { fields, name, changes: more.len() + fewer.len() });
    };
    let pairs = |of: &[usize]| {
        let of = of.to_vec();
        (0..of.len())
            .flat_map(move |a| (a + 1..of.len()).map(|b| [of[a], of[b]]).collect::<Vec<_>>())
            .collect::<Vec<_>>()
    };
    match columns.cast_signed() - configured.len().cast_signed() {
        0 => others.iter().for_each(|&more| configured.iter().for_each(|&fewer| make(&[more], &[fewer]))),
        1 => others.iter().for_each(|&more| make(&[more], &[])),
        2 => pairs(&others).iter().for_each(|more| make(more, &[])),
        -1 => configured.iter().for_each(|&fewer| make(&[], &[fewer])),
        -2 => pairs(configured).iter().for_each(|fewer| make(&[], fewer)),
        _ => {}
    }
    for (name, without, end) in KNOWN {
        let fields: Vec<usize> = (0..*end).filter(|&at| !without.contains(&FIELDS[at])).collect();
        if fields.len() == columns {
            // Farther from what was meant than any change of a field or two.
            made.push(Candidate { fields, name: (*name).to_owned(), changes: 3 });
        }
    }
    made
}

/// Sets that are in use: what they are called, which of the first so many fields they lack, and how many those are.
const KNOWN: &[(&str, &[&str], usize)] = &[
    ("all 71 fields", &[], 71),
    ("the 40 fields of 2020 (up to `cs-headers-count`, without `s-ip`)", &["s-ip"], 41),
    ("the first 41 fields (up to `cs-headers-count`)", &[], 41),
    (
        "the 44 fields up to `asn` without the two of continuous deployment (`primary-distribution-…`)",
        &["primary-distribution-id", "primary-distribution-dns-name"],
        46,
    ),
    ("the 46 fields up to `asn`", &[], 46),
    ("the 64 fields up to `cmcd-version`", &[], 64),
];

/// Whether a value is such as a field has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fit {
    /// And hardly any other field has such values.
    Surely,
    Yes,
    Perhaps,
    No,
}

/// Compares a value with a field of real-time logs.
pub(super) fn fit(field: &str, value: &[u8]) -> Fit {
    let only = |fits: bool| if fits { Fit::Surely } else { Fit::No };
    let must = |fits: bool| if fits { Fit::Yes } else { Fit::No };
    let may = |fits: bool| if fits { Fit::Yes } else { Fit::Perhaps };
    let all = |test: fn(&u8) -> bool| value.iter().all(test);
    match field {
        "timestamp" => only(epoch_seconds(value).is_some()),
        "c-ip" | "s-ip" => only(std::str::from_utf8(value).is_ok_and(|text| text.parse::<IpAddr>().is_ok())),
        "time-to-first-byte" | "time-taken" | "origin-fbl" | "origin-lbl" => must(decimal(value, 3).is_some()),
        "sc-status" => only(value.len() == 3 && integer(value).is_some()),
        "sc-bytes" | "cs-bytes" | "cs-headers-count" | "asn" | "fle-encrypted-fields" => must(integer(value).is_some()),
        "c-port" => must(integer(value).is_some_and(|port| port <= 65_535)),
        "x-edge-mqcs" => must(integer(value).is_some_and(|score| score <= 100)),
        "cs-protocol" => must(value.len() <= 8 && all(u8::is_ascii_lowercase)),
        "cs-protocol-version" => only(value.starts_with(b"HTTP/")),
        "c-ip-version" => only(value.starts_with(b"IPv")),
        "x-edge-location" => {
            must(value.len() <= 24 && value[0].is_ascii_uppercase() && all(|b| b.is_ascii_alphanumeric() || *b == b'-'))
        }
        "x-edge-result-type" | "x-edge-response-result-type" | "x-edge-detailed-result-type" => {
            must(value.len() >= 3 && value[0].is_ascii_uppercase() && all(u8::is_ascii_alphabetic))
        }
        "c-country" => only(value.len() == 2 && all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())),
        // Each header has a colon, and it stands before the escape that ends the header.
        "cs-headers" => only(first_header(value).contains(&b':')),
        "cs-header-names" => may(value.ends_with(b"%0A") && !value.contains(&b':')),
        "x-edge-request-id" => may(value.len() == 56 && value.ends_with(b"==")),
        "x-host-header" => may(value.ends_with(b".cloudfront.net")),
        "ssl-protocol" => may(value.starts_with(b"TLSv") || value.starts_with(b"SSLv")),
        "cs-method" => may(value.len() <= 8 && all(u8::is_ascii_uppercase)),
        "cs-uri-stem" => may(value.starts_with(b"/")),
        "cache-behavior-path-pattern" => may(value == b"*" || value.ends_with(b"*")),
        "sc-content-len" | "sc-range-start" | "sc-range-end" => may(integer(value).is_some()),
        "sr-reason" => may(value.starts_with(b"Failover:")),
        _ => Fit::Perhaps,
    }
}

fn first_header(list: &[u8]) -> &[u8] {
    let end = memchr::memmem::find(list, b"%0A").unwrap_or(list.len());
    &list[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::FieldSet;

    /// What CloudFront writes under a field.
    fn usual(field: &str) -> &'static str {
        match field {
            "timestamp" => "1764000000.123",
            "c-ip" => "203.0.113.9",
            "s-ip" => "192.0.2.7",
            "time-to-first-byte" | "time-taken" | "origin-fbl" | "origin-lbl" => "0.253",
            "sc-status" => "200",
            "cs-method" => "GET",
            "cs-protocol" => "https",
            "cs-uri-stem" => "/v1/items",
            "x-edge-location" => "SFO53-P9",
            "cs-protocol-version" => "HTTP/2.0",
            "c-ip-version" => "IPv4",
            "cs-user-agent" => "curl/8.7.1",
            "x-edge-result-type" | "x-edge-response-result-type" | "x-edge-detailed-result-type" => "Miss",
            "c-country" => "DE",
            "cs-headers" => "host:a.example%0A",
            "cs-header-names" => "host%0A",
            "x-host-header" => "d111111abcdef8.cloudfront.net",
            "ssl-protocol" => "TLSv1.3",
            "sc-bytes" | "cs-bytes" | "cs-headers-count" | "asn" | "c-port" => "1532",
            _ => "-",
        }
    }

    fn layout(fields: &[&str]) -> Layout {
        Layout::new(&FieldSet { from: None, fields: fields.iter().map(|&name| name.to_owned()).collect() }).unwrap()
    }

    fn sample(fields: &[&str]) -> Sample {
        let line = fields.iter().map(|field| usual(field)).collect::<Vec<_>>().join("\t");
        let mut sample = Sample::default();
        (0..20).for_each(|_| sample.keep(line.as_bytes()));
        sample
    }

    #[test]
    fn every_usual_value_fits_its_own_field() {
        for field in FIELDS {
            let value = usual(field).as_bytes();
            assert!(value == b"-" || fit(field, value) != Fit::No, "{field}");
        }
    }

    #[test]
    fn the_change_of_a_field_or_two_is_named() {
        let some = ["timestamp", "c-ip", "sc-status", "sc-bytes", "cs-method", "cs-uri-stem", "x-edge-location"];
        let with = |more: &[&'static str]| {
            FIELDS.into_iter().filter(|name| some.contains(name) || more.contains(name)).collect::<Vec<_>>()
        };
        let likely = |of: &[&str]| sample(of).likely(&layout(&some), of.len());
        assert_eq!(likely(&with(&["s-ip"])).unwrap(), "the configured set with `s-ip` added");
        let two = likely(&with(&["c-ip-version", "c-country"])).unwrap();
        assert_eq!(two, "the configured set with `c-ip-version` and `c-country` added");
        assert_eq!(likely(&some[1..]).unwrap(), "the configured set without `timestamp`");
        assert_eq!(likely(&some[2..]).unwrap(), "the configured set without `timestamp` and `c-ip`");
        let other = ["timestamp", "c-ip", "sc-status", "sc-bytes", "cs-method", "cs-uri-stem", "cs-protocol-version"];
        assert_eq!(
            likely(&other).unwrap(),
            "the configured set with `cs-protocol-version` in place of `x-edge-location`"
        );
        assert_eq!(likely(&FIELDS).unwrap(), "all 71 fields");
        assert_eq!(sample(&["cs-method"; 9]).likely(&layout(&some), 9), None);
    }

    #[test]
    fn values_that_never_fit_stop_the_object_and_a_callers_do_not() {
        let some = ["timestamp", "c-ip", "sc-status", "cs-method", "cs-uri-stem", "cs-user-agent", "c-country"];
        let right = layout(&some);
        assert_eq!(sample(&some).misfit(&[&right]), None);
        let wrong =
            layout(&["timestamp", "c-ip", "sc-status", "sc-bytes", "cs-uri-stem", "cs-user-agent", "c-country"]);
        let Some(ObjectError::FieldsMisfit { field: "sc-bytes", likely: Some(likely) }) =
            sample(&some).misfit(&[&wrong])
        else {
            panic!("no error")
        };
        assert_eq!(likely, "the configured set with `cs-method` in place of `sc-bytes`");
        assert_eq!(sample(&some).misfit(&[&wrong, &right]), None, "a neighbouring set may be the right one");
        // All that a caller writes may be anything.
        let mut hostile = Sample::default();
        (0..20).for_each(|_| hostile.keep(b"1764000000.1\t203.0.113.9\t400\t%22\tx\t1.2.3.4\tDE"));
        assert_eq!(hostile.misfit(&[&right]), None);
    }

    #[test]
    fn a_few_odd_values_are_rejects_and_no_wrong_set() {
        let right = layout(&["timestamp", "sc-status"]);
        let mut sample = Sample::default();
        (0..9).for_each(|_| sample.keep(b"1764000000.1\tx"));
        assert_eq!(sample.misfit(&[&right]), None);
        sample.keep(b"1764000000.1\t200");
        (0..20).for_each(|_| sample.keep(b"1764000000.1\tx"));
        assert_eq!(sample.misfit(&[&right]), None);
    }
}
