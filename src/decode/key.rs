//! Where a CloudFront record carries the caller's key, and how sure one can be that it carries none.
//!
//! `cs-headers` is cut at 800 bytes, silently and at a header's end, and callers decide what stands before the key. So
//! "no key in the list" means *anonymous* only if the list is known to be complete; else it is *truncated*, and held.
//! A list is split at the literal `%0A` before anything is decoded, each header at its first `:`, and decoded once:
//! a caller's own `%0A` arrives as `%250A` and can start no header of its own. A key given twice with different
//! values is nobody's: it is treated as truncated, held and billed to no one. All of them are secrets all the same.

use super::privacy::KeyHasher;
use super::redact::{Needle, Scrub};
use super::text::{form_decode, percent_decode};

/// Bytes at which CloudFront cuts header lists and log data.
const CUT_BYTES: usize = 800;
/// A list whose last header lacks its end and that is at least this long was cut within that header.
const CUT_WITHIN_BYTES: usize = CUT_BYTES - 10;
/// Without a header count, a list at least this long may have lost its last headers.
const CUT_PERHAPS_BYTES: usize = 600;

/// What a record says about the key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// There is one, and it is certain.
    Present,
    /// The record certainly carries no key.
    Absent,
    /// There may have been a key, or there were several.
    Truncated,
}

impl Found {
    pub(super) const fn state(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Absent => "absent",
            Self::Truncated => "truncated",
        }
    }
}

/// What stands where the key should.
#[derive(Default)]
pub(super) struct Named {
    /// The values one after another, none of them empty.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Only the last value's start was logged.
    is_cut: bool,
    is_doubtful: bool,
}

impl Named {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        (self.is_cut, self.is_doubtful) = (false, false);
    }

    /// The key, where there is one only.
    pub(super) fn key(&self) -> &[u8] {
        &self.bytes[..self.ends.first().copied().unwrap_or(0)]
    }

    /// Takes one more occurrence of the key: an empty one is none, an equal one changes nothing.
    fn push(&mut self, value: &[u8]) {
        if !value.is_empty() && value != self.key() {
            self.bytes.extend_from_slice(value);
            self.ends.push(self.bytes.len());
        }
    }

    /// Takes the start of a key whose end was cut off.
    fn push_cut(&mut self, start: &[u8]) {
        self.is_doubtful = true;
        // An escape may have been cut too, and says nothing then.
        let start = match start {
            [whole @ .., b'%'] | [whole @ .., b'%', _] => whole,
            whole => whole,
        };
        if !start.is_empty() {
            self.bytes.extend_from_slice(start);
            self.ends.push(self.bytes.len());
            self.is_cut = true;
        }
    }

    fn found(&self) -> Found {
        match self.ends.len() {
            _ if self.is_doubtful => Found::Truncated,
            0 => Found::Absent,
            1 => Found::Present,
            _ => Found::Truncated,
        }
    }

    /// Takes every one of the values out of other fields.
    pub(super) fn scrub(&self, hasher: &KeyHasher) -> Option<Scrub> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        Scrub::of_several(starts.zip(&self.ends).enumerate().map(|(number, (start, &end))| {
            let key = &self.bytes[start..end];
            Needle {
                key,
                replacement: *hasher.uncached(key).as_bytes(),
                is_cut: self.is_cut && number + 1 == self.ends.len(),
            }
        }))
    }
}

/// The header fields of one record, as logged.
#[derive(Clone, Copy, Default)]
pub(super) struct HeaderFields<'a> {
    pub(super) headers: Option<&'a [u8]>,
    pub(super) names: Option<&'a [u8]>,
    pub(super) count: Option<i64>,
    /// A cookie was sent, as another field shows.
    pub(super) cookie: bool,
}

/// Finds the key in a header. `header` is lower case; what stands in its place is left in `key`.
pub(super) fn in_headers(header: &[u8], fields: HeaderFields<'_>, key: &mut Named, scratch: &mut Vec<u8>) -> Found {
    key.clear();
    let list = fields.headers.unwrap_or_default();
    let (mut entries, mut cookie_listed, mut cut_within) = (0_i64, false, false);
    for (entry, closed) in elements(list) {
        entries += 1;
        cut_within = !closed && list.len() >= CUT_WITHIN_BYTES;
        let colon = memchr::memchr(b':', entry).unwrap_or(entry.len());
        let name = decoded(&entry[..colon], scratch);
        cookie_listed |= name.eq_ignore_ascii_case(b"cookie");
        if !name.eq_ignore_ascii_case(header) {
            continue;
        }
        match entry.get(colon + 1..) {
            Some(value) if cut_within => key.push_cut(decoded(value, scratch).trim_ascii()),
            Some(value) => key.push(decoded(value, scratch).trim_ascii()),
            None => key.is_doubtful = true,
        }
    }
    if key.found() != Found::Absent {
        return key.found();
    }
    let (mut named, mut names, mut cookie_named) = (false, 0_i64, fields.cookie);
    for (name, _) in elements(fields.names.unwrap_or_default()) {
        names += 1;
        let name = decoded(name, scratch);
        named |= name.eq_ignore_ascii_case(header);
        cookie_named |= name.eq_ignore_ascii_case(b"cookie");
    }
    // The Cookie header is counted and named, but never in the list: one header may be missing for that reason.
    let complete = entries + i64::from(cookie_named && !cookie_listed);
    let cut = cut_within
        || match fields.count {
            Some(count) => count > complete,
            None => list.len() >= CUT_PERHAPS_BYTES || names > complete,
        };
    // The name alone is no proof where the key was sent empty, and then it stands in the list.
    if cut || named && !lists(header, list, scratch) { Found::Truncated } else { Found::Absent }
}

fn lists(header: &[u8], list: &[u8], scratch: &mut Vec<u8>) -> bool {
    elements(list).any(|(entry, _)| {
        let name = entry.split(|&byte| byte == b':').next().unwrap_or_default();
        decoded(name, scratch).eq_ignore_ascii_case(header)
    })
}

/// Finds the key as the token `name=value` of `viewer-request-log-data`, tokens separated by `;`.
pub(super) fn in_log_data(name: &[u8], raw: Option<&[u8]>, key: &mut Named, scratch: &mut Vec<u8>) -> Found {
    key.clear();
    let Some(raw) = raw else { return Found::Absent };
    let cut = raw.len() >= CUT_BYTES;
    let text = decoded(raw, scratch);
    let last = text.iter().filter(|&&byte| byte == b';').count();
    for (number, token) in text.split(|&byte| byte == b';').enumerate() {
        let Some(value) = token.trim_ascii().strip_prefix(name).and_then(|rest| rest.strip_prefix(b"=")) else {
            continue;
        };
        if cut && number == last {
            key.push_cut(value);
        } else {
            key.push(value);
        }
    }
    if key.found() == Found::Absent && cut { Found::Truncated } else { key.found() }
}

/// Finds the key as a query parameter. `query` is what the viewer sent: decoded once.
pub(super) fn in_query(name: &[u8], query: &[u8], key: &mut Named, scratch: &mut Vec<u8>) -> Found {
    key.clear();
    for parameter in query.split(|&byte| byte == b'&') {
        let equals = memchr::memchr(b'=', parameter).unwrap_or(parameter.len());
        scratch.clear();
        form_decode(&parameter[..equals], scratch);
        if scratch == name && equals < parameter.len() {
            scratch.clear();
            form_decode(&parameter[equals + 1..], scratch);
            key.push(scratch);
        }
    }
    key.found()
}

fn decoded<'a>(raw: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if memchr::memchr(b'%', raw).is_none() {
        return raw;
    }
    scratch.clear();
    percent_decode(raw, scratch);
    scratch
}

/// The elements of a list in which each is followed by `%0A`, and whether it was.
pub(super) fn elements(list: &[u8]) -> impl Iterator<Item = (&[u8], bool)> {
    let mut rest = list;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr_iter(b'%', rest).find(|&at| matches!(rest[at..], [_, b'0', b'A' | b'a', ..]));
        let (element, closed) = end.map_or((rest, false), |end| (&rest[..end], true));
        rest = end.map_or(&[], |end| &rest[end + 3..]);
        Some((element, closed))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(headers: &str, names: &str, count: Option<i64>) -> (Found, String) {
        let (mut key, mut scratch) = (Named::default(), Vec::new());
        let some = |text: &'static str| (text != "-").then_some(text.as_bytes());
        let fields = HeaderFields {
            headers: some(String::leak(headers.to_owned())),
            names: some(String::leak(names.to_owned())),
            count,
            cookie: false,
        };
        let found = in_headers(b"x-api-key", fields, &mut key, &mut scratch);
        (found, sure(found, &key))
    }

    fn sure(found: Found, named: &Named) -> String {
        let key = if found == Found::Present { named.key() } else { b"" };
        String::from_utf8(key.to_vec()).unwrap()
    }

    #[test]
    fn the_name_is_compared_without_case_and_the_value_decoded_once() {
        for name in ["x-api-key", "X-Api-Key", "X-API-KEY", "x%2Dapi-key"] {
            let list = format!("host:a.example%0A{name}:K%253A1:2%0Areferer:https://a/%0A");
            assert_eq!(headers(&list, "-", Some(3)), (Found::Present, "K%3A1:2".to_owned()));
        }
    }

    #[test]
    fn a_forged_line_break_starts_no_header() {
        let list = "host:a%0Ax-foo:a%250Ax-api-key:VICTIM%0A";
        assert_eq!(headers(list, "-", Some(2)), (Found::Absent, String::new()));
        assert_eq!(headers("x-foo:a%250Ax-api-key:VICTIM%0Ax-api-key:ME%0A", "-", Some(2)).1, "ME");
    }

    #[test]
    fn a_list_with_fewer_headers_than_counted_was_cut() {
        assert_eq!(headers("host:a%0Aaccept:*/*%0A", "-", Some(2)).0, Found::Absent);
        assert_eq!(headers("host:a%0Aaccept:*/*%0A", "-", Some(3)).0, Found::Truncated);
        assert_eq!(headers("-", "-", Some(1)).0, Found::Truncated);
        assert_eq!(headers("-", "-", Some(0)).0, Found::Absent);
        assert_eq!(headers("-", "-", None).0, Found::Absent);
    }

    #[test]
    fn a_cookie_explains_one_missing_header_but_not_two() {
        assert_eq!(headers("host:a%0A", "host%0ACookie%0A", Some(2)).0, Found::Absent);
        assert_eq!(headers("host:a%0A", "host%0ACookie%0A", Some(3)).0, Found::Truncated);
        assert_eq!(headers("host:a%0Acookie:b%0A", "host%0Acookie%0A", Some(3)).0, Found::Truncated);
    }

    #[test]
    fn a_key_that_is_named_but_not_listed_was_cut() {
        assert_eq!(headers("host:a%0A", "host%0AX-Api-Key%0A", None).0, Found::Truncated);
        assert_eq!(headers("host:a%0Ax-api-key:%0A", "host%0Ax-api-key%0A", Some(2)).0, Found::Absent);
    }

    #[test]
    fn a_key_cut_in_its_middle_is_not_believed() {
        let padding = "p".repeat(760);
        let list = format!("x-pad:{padding}%0Ax-api-key:ABCDEFGHIJKLMNOP");
        assert_eq!(headers(&list, "-", Some(2)).0, Found::Truncated);
        assert_eq!(headers(&format!("{list}%0A"), "-", Some(2)), (Found::Present, "ABCDEFGHIJKLMNOP".to_owned()));
        assert_eq!(headers(&format!("x-pad:{padding}{}%0Ax-api-", "p".repeat(30)), "-", Some(2)).0, Found::Truncated);
        assert_eq!(headers("x-api-key:short", "-", Some(1)), (Found::Present, "short".to_owned()));
    }

    #[test]
    fn without_a_count_a_long_list_may_have_been_cut() {
        let list = format!("x-pad:{}%0A", "p".repeat(700));
        assert_eq!(headers(&list, "-", None).0, Found::Truncated);
        assert_eq!(headers("x-pad:p%0A", "-", None).0, Found::Absent);
        assert_eq!(headers("x-pad:p%0A", "x-pad%0Ax-other%0A", None).0, Found::Truncated);
    }

    #[test]
    fn two_different_keys_are_nobodys() {
        assert_eq!(headers("x-api-key:A%0Ax-api-key:A%0A", "-", Some(2)), (Found::Present, "A".to_owned()));
        assert_eq!(headers("x-api-key:A%0AX-API-Key:B%0A", "-", Some(2)), (Found::Truncated, String::new()));
        assert_eq!(headers("x-api-key:A%0Ax-api-key:B%0Ax-api-key:A%0A", "-", Some(3)).0, Found::Truncated);
    }

    fn log_data(raw: &str) -> (Found, String) {
        let (mut key, mut scratch) = (Named::default(), Vec::new());
        let found = in_log_data(b"k", Some(raw.as_bytes()), &mut key, &mut scratch);
        (found, sure(found, &key))
    }

    #[test]
    fn log_data_tokens_are_read_after_decoding_once() {
        assert_eq!(log_data("v1;k=cust_42"), (Found::Present, "cust_42".to_owned()));
        assert_eq!(log_data("v1%3Bk%3Dcust%2042;x=1"), (Found::Present, "cust 42".to_owned()));
        assert_eq!(log_data("v1;kk=x"), (Found::Absent, String::new()));
        assert_eq!(log_data("v1;k=a;k=b").0, Found::Truncated);
        assert_eq!(log_data("v1;k=a%4"), (Found::Present, "a%4".to_owned()));
        let long = format!("v1;{};k=abc", "p".repeat(793));
        assert_eq!(log_data(&long).0, Found::Truncated);
        assert_eq!(log_data(&"p".repeat(800)).0, Found::Truncated);
        assert_eq!(log_data(&format!("k=abc;{}", "p".repeat(794))), (Found::Present, "abc".to_owned()));
    }

    #[test]
    fn a_query_parameter_is_decoded_as_forms_are() {
        let (mut key, mut scratch) = (Named::default(), Vec::new());
        assert_eq!(in_query(b"key", b"a=1&k%65y=x%2By+z", &mut key, &mut scratch), Found::Present);
        assert_eq!(key.key(), b"x+y z");
        assert_eq!(in_query(b"key", b"key=a&key=b", &mut key, &mut scratch), Found::Truncated);
        assert_eq!(in_query(b"key", b"key&keys=1&key=", &mut key, &mut scratch), Found::Absent);
    }
}
