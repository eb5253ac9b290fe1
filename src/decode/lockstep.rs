//! Records read in lockstep with their format. Nearly every record is the format's own text with plain values in place
//! of its variables; such a record need not be parsed: the fixed text is compared, and each value ends at the next quote.
//! Within a CloudWatch Logs envelope, where every quote is escaped, the same comparison unescapes the record.
//!
//! Whatever is odd (a quote, backslash or line end in a value, another order of keys, other white space) does not match
//! and is left to the JSON reader. What does match means the same to both: no value can end but at its own quote.

use super::template::SIGIL;

/// Where a value stands in a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Span {
    /// The place of its variable among the format's.
    pub(super) slot: u32,
    pub(super) from: u32,
    pub(super) to: u32,
}

impl Span {
    fn new(slot: usize, from: usize, to: usize) -> Option<Self> {
        Some(Self { slot: slot.try_into().ok()?, from: from.try_into().ok()?, to: to.try_into().ok()? })
    }
}

/// A format as text between variables. Only formats whose variables each stand alone between quotes have one.
#[derive(Debug)]
pub(super) struct Lockstep {
    /// The fixed text before each variable, and its place among the format's variables.
    steps: Vec<(Fixed, usize)>,
    /// What follows the last variable.
    tail: Fixed,
}

/// Text of the format, as it stands in a record and within an envelope.
#[derive(Debug)]
struct Fixed {
    plain: Vec<u8>,
    escaped: Vec<u8>,
}

impl Fixed {
    fn new(text: &[u8]) -> Self {
        let mut escaped = Vec::new();
        for &byte in text {
            if byte == b'"' {
                escaped.push(b'\\');
            }
            escaped.push(byte);
        }
        Self { plain: text.to_vec(), escaped }
    }
}

impl Lockstep {
    /// Reads a format that is known to be well-formed. `slot` gives a variable's place by its name without `$context.`.
    pub(super) fn new(format: &str, slot: impl Fn(&str) -> Option<usize>) -> Option<Self> {
        // Text with escapes has more than one spelling, and an envelope's sign would make records look like one.
        if format.contains(['\\', '\n']) || format.contains("\"logEvents\"") {
            return None;
        }
        let mut rest = format.trim().as_bytes();
        let mut steps = Vec::new();
        while let Some(at) = memchr::memmem::find(rest, SIGIL) {
            let (fixed, after) = (&rest[..at], &rest[at + SIGIL.len()..]);
            let end = memchr::memchr(b'"', after)?;
            let slot = slot(std::str::from_utf8(&after[..end]).ok()?)?;
            if !fixed.ends_with(b"\"") {
                return None;
            }
            steps.push((Fixed::new(fixed), slot));
            rest = &after[end..];
        }
        Some(Self { steps, tail: Fixed::new(rest) })
    }

    /// Reads the record that `text` begins with: appends where in it its values stand, and gives its length.
    pub(super) fn read(&self, text: &[u8], spans: &mut Vec<Span>) -> Option<usize> {
        let first = spans.len();
        let length = self.spans(text, spans);
        if length.is_none() {
            spans.truncate(first);
        }
        length
    }

    fn spans(&self, text: &[u8], spans: &mut Vec<Span>) -> Option<usize> {
        let mut at = 0;
        for (fixed, slot) in &self.steps {
            if !text[at..].starts_with(&fixed.plain) {
                return None;
            }
            at += fixed.plain.len();
            let end = at + memchr::memchr3(b'"', b'\\', b'\n', &text[at..])?;
            spans.push(Span::new(*slot, at, end)?);
            at = end;
        }
        text[at..].starts_with(&self.tail.plain).then(|| at + self.tail.plain.len())
    }

    /// Appends to `out` the record that stands, escaped, at the beginning of `text`, and to `spans` where in the record its
    /// values stand. Gives its length in `text`.
    pub(super) fn unescape(&self, text: &[u8], out: &mut Vec<u8>, spans: &mut Vec<Span>) -> Option<usize> {
        let (start, first) = (out.len(), spans.len());
        let length = self.unescaped(text, out, spans);
        if length.is_none() {
            out.truncate(start);
            spans.truncate(first);
        }
        length
    }

    fn unescaped(&self, text: &[u8], out: &mut Vec<u8>, spans: &mut Vec<Span>) -> Option<usize> {
        let (start, mut at) = (out.len(), 0);
        for (fixed, slot) in &self.steps {
            if !text[at..].starts_with(&fixed.escaped) {
                return None;
            }
            at += fixed.escaped.len();
            out.extend_from_slice(&fixed.plain);
            // The backslash before the quote that ends the value: the fixed text that follows begins with both.
            let end = at + memchr::memchr3(b'\\', b'"', b'\n', &text[at..])?;
            let from = out.len() - start;
            out.extend_from_slice(&text[at..end]);
            spans.push(Span::new(*slot, from, out.len() - start)?);
            at = end;
        }
        if !text[at..].starts_with(&self.tail.escaped) {
            return None;
        }
        out.extend_from_slice(&self.tail.plain);
        Some(at + self.tail.escaped.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: &str = r#"{"id":"$context.requestId","v":1,"who":{"ip":"$context.ip"}}"#;

    fn lockstep(format: &str) -> Option<Lockstep> {
        Lockstep::new(format, |name| ["requestId", "ip"].iter().position(|known| *known == name))
    }

    fn values<'a>(record: &'a str, spans: &[Span]) -> Vec<&'a str> {
        let mut values = vec![""; 2];
        spans.iter().for_each(|s| values[s.slot as usize] = &record[s.from as usize..s.to as usize]);
        values
    }

    fn read(record: &str) -> Option<(Vec<&str>, &str)> {
        let mut spans = Vec::new();
        let length = lockstep(FORMAT)?.read(record.as_bytes(), &mut spans);
        assert!(length.is_some() || spans.is_empty(), "nothing is left behind");
        Some((values(record, &spans), &record[length?..]))
    }

    #[test]
    fn values_end_at_their_own_quotes() {
        assert_eq!(read(r#"{"id":"a b","v":1,"who":{"ip":""}}{"#), Some((vec!["a b", ""], "{")));
        for odd in [
            r#"{"id":"a","v":1,"who":{"ip":"b"}"#,
            r#"{"id":"a","v":2,"who":{"ip":"b"}}"#,
            r#"{"id":"a\n","v":1,"who":{"ip":"b"}}"#,
            r#"{"id":"a","id":"x","v":1,"who":{"ip":"b"}}"#,
            r#"{"v":1,"id":"a","who":{"ip":"b"}}"#,
            "{\"id\":\"a\n\",\"v\":1,\"who\":{\"ip\":\"b\"}}",
            "",
        ] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }

    #[test]
    fn an_escaped_record_is_unescaped() {
        let lockstep = lockstep(FORMAT).unwrap();
        let (mut out, mut spans) = (b"before".to_vec(), Vec::new());
        let text = br#"{\"id\":\"a\",\"v\":1,\"who\":{\"ip\":\"b\"}}","next":1"#;
        assert_eq!(lockstep.unescape(text, &mut out, &mut spans), Some(text.len() - 10));
        assert_eq!(out, br#"before{"id":"a","v":1,"who":{"ip":"b"}}"#);
        assert_eq!(values(std::str::from_utf8(&out[6..]).unwrap(), &spans), ["a", "b"]);
        assert_eq!(lockstep.unescape(br#"{\"id\":\"a\\\"b\",\"v\":1,"#, &mut out, &mut spans), None);
        assert_eq!(lockstep.unescape(br#"{\"id\":\"a","v":1"#, &mut out, &mut spans), None);
        assert!(out.ends_with(b"}") && spans.len() == 2, "nothing is left behind");
    }

    #[test]
    fn some_formats_have_none() {
        for format in [
            r#"{"id":$context.requestId}"#,
            r#"{"id":"x$context.requestId"}"#,
            r#"{"id":"$context.requestId $context.ip"}"#,
            r#"{"i\u0064":"$context.requestId"}"#,
            r#"{"logEvents":"$context.requestId"}"#,
            "{\n\"id\":\"$context.requestId\"}",
        ] {
            assert!(lockstep(format).is_none(), "{format}");
        }
    }
}
