//! The fields of CloudFront real-time logs. Whatever order they were configured in, records hold them in this one;
//! so a configured set is only a choice of columns, and its size is the number of columns of every record.

use super::{FieldSet, Micros, SpecError};

/// All fields in the order of a record.
pub(super) const FIELDS: [&str; 71] = [
    "timestamp",
    "c-ip",
    "s-ip",
    "time-to-first-byte",
    "sc-status",
    "sc-bytes",
    "cs-method",
    "cs-protocol",
    "cs-host",
    "cs-uri-stem",
    "cs-bytes",
    "x-edge-location",
    "x-edge-request-id",
    "x-host-header",
    "time-taken",
    "cs-protocol-version",
    "c-ip-version",
    "cs-user-agent",
    "cs-referer",
    "cs-cookie",
    "cs-uri-query",
    "x-edge-response-result-type",
    "x-forwarded-for",
    "ssl-protocol",
    "ssl-cipher",
    "x-edge-result-type",
    "fle-encrypted-fields",
    "fle-status",
    "sc-content-type",
    "sc-content-len",
    "sc-range-start",
    "sc-range-end",
    "c-port",
    "x-edge-detailed-result-type",
    "c-country",
    "cs-accept-encoding",
    "cs-accept",
    "cache-behavior-path-pattern",
    "cs-headers",
    "cs-header-names",
    "cs-headers-count",
    "primary-distribution-id",
    "primary-distribution-dns-name",
    "origin-fbl",
    "origin-lbl",
    "asn",
    "cmcd-encoded-bitrate",
    "cmcd-buffer-length",
    "cmcd-buffer-starvation",
    "cmcd-content-id",
    "cmcd-object-duration",
    "cmcd-deadline",
    "cmcd-measured-throughput",
    "cmcd-next-object-request",
    "cmcd-next-range-request",
    "cmcd-object-type",
    "cmcd-playback-rate",
    "cmcd-requested-maximum-throughput",
    "cmcd-streaming-format",
    "cmcd-session-id",
    "cmcd-stream-type",
    "cmcd-startup",
    "cmcd-top-bitrate",
    "cmcd-version",
    "r-host",
    "sr-reason",
    "x-edge-mqcs",
    "distribution-tenant-id",
    "connection-id",
    "viewer-request-log-data",
    "viewer-response-log-data",
];

/// One of [`FIELDS`], by its place there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Field(usize);

impl Field {
    /// The field of that name; a wrong name does not compile when used in a `const`.
    pub(super) const fn named(name: &str) -> Self {
        let mut at = 0;
        while at < FIELDS.len() {
            if same(FIELDS[at].as_bytes(), name.as_bytes()) {
                return Self(at);
            }
            at += 1;
        }
        panic!("no such CloudFront field")
    }

    pub(super) const fn name(self) -> &'static str {
        FIELDS[self.0]
    }
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// A checked field set: which column holds which field.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) from: Option<Micros>,
    /// Number of columns.
    pub(super) columns: usize,
    /// Column of each field, or [`ABSENT`].
    column: [u8; FIELDS.len()],
}

const ABSENT: u8 = u8::MAX;

impl Layout {
    /// A set of real-time logs.
    pub(super) fn new(set: &FieldSet) -> Result<Self, SpecError> {
        let mut chosen = [false; FIELDS.len()];
        for name in &set.fields {
            let at = FIELDS.iter().position(|field| field == name).ok_or_else(|| SpecError::UnknownField {
                name: name.clone(),
                logs: "real-time",
                nearest: nearest(name, &FIELDS),
            })?;
            if std::mem::replace(&mut chosen[at], true) {
                return Err(SpecError::RepeatedField { name: name.clone() });
            }
        }
        if set.fields.is_empty() {
            return Err(SpecError::Nothing { what: "fields" });
        }
        let mut column = [ABSENT; FIELDS.len()];
        let mut columns = 0;
        for (at, _) in chosen.iter().enumerate().filter(|(_, chosen)| **chosen) {
            column[at] = columns;
            columns += 1;
        }
        Ok(Self { from: set.from, columns: usize::from(columns), column })
    }

    pub(super) fn has(&self, field: Field) -> bool {
        self.column[field.0] != ABSENT
    }

    /// The column of a field, where it is in the set.
    pub(super) fn column(&self, field: Field) -> Option<usize> {
        match self.column[field.0] {
            ABSENT => None,
            column => Some(usize::from(column)),
        }
    }

    /// Records whose column for each field is told.
    pub(super) fn placed(columns: usize, places: impl IntoIterator<Item = (Field, u8)>) -> Self {
        let mut column = [ABSENT; FIELDS.len()];
        for (field, at) in places {
            column[field.0] = at;
        }
        Self { from: None, columns, column }
    }

    /// The fields of the set as places in [`FIELDS`], in their order, with their columns.
    pub(super) fn fields(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let columns = self.column.iter().enumerate();
        columns.filter(|(_, column)| **column != ABSENT).map(|(at, column)| (at, usize::from(*column)))
    }

    /// The names in the order of a record: one spelling per set, whatever order it was configured in.
    pub(super) fn canonical(&self) -> String {
        let names: Vec<_> =
            FIELDS.iter().zip(self.column).filter(|(_, at)| *at != ABSENT).map(|(name, _)| *name).collect();
        names.join(" ")
    }
}

/// The known name spelled most like `name`.
pub(super) fn nearest(name: &str, known: &[&'static str]) -> &'static str {
    let plain = |name: &str| name.trim().to_ascii_lowercase().replace(['_', '(', ')'], "-");
    let name = plain(name);
    let distance = |known: &&&str| strsim::damerau_levenshtein(&plain(known), &name);
    known.iter().min_by_key(distance).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(names: &[&str]) -> Result<Layout, SpecError> {
        Layout::new(&FieldSet { from: None, fields: names.iter().map(|&name| name.to_owned()).collect() })
    }

    #[test]
    fn the_configured_order_does_not_matter() {
        let one = layout(&["sc-status", "timestamp", "viewer-request-log-data"]).unwrap();
        let other = layout(&["viewer-request-log-data", "timestamp", "sc-status"]).unwrap();
        assert_eq!(one.canonical(), "timestamp sc-status viewer-request-log-data");
        assert_eq!(one.canonical(), other.canonical());
        assert_eq!(one.column(Field::named("viewer-request-log-data")), Some(2));
        assert_eq!(one.column(Field::named("c-ip")), None);
    }

    #[test]
    fn fields_stand_where_the_reference_numbers_them() {
        for (number, name) in [(1, "timestamp"), (13, "x-edge-request-id"), (21, "cs-uri-query"), (39, "cs-headers")] {
            assert_eq!(FIELDS[number - 1], name);
        }
        for (number, name) in
            [(46, "asn"), (47, "cmcd-encoded-bitrate"), (64, "cmcd-version"), (70, "viewer-request-log-data")]
        {
            assert_eq!(FIELDS[number - 1], name);
        }
    }

    #[test]
    fn an_unknown_field_names_its_neighbour() {
        let error = layout(&["timestamp", "cs-uri-stam"]).unwrap_err();
        assert_eq!(
            error,
            SpecError::UnknownField { name: "cs-uri-stam".into(), logs: "real-time", nearest: "cs-uri-stem" }
        );
        assert!(matches!(layout(&["CS_Host"]), Err(SpecError::UnknownField { nearest: "cs-host", .. })));
        assert!(matches!(layout(&["c-ip", "c-ip"]), Err(SpecError::RepeatedField { .. })));
    }
}
