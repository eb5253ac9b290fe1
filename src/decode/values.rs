//! Plain bytes in any chunks to JSON objects, one after another, with or without white space between them. Only the
//! structure is followed here: strings, brackets, and what may follow what. That is enough to notice a broken object
//! early (a record cut off, a quote that was not escaped) and to go on after it: at the next line, or at the next `{`
//! that stands where none could. What was passed over is handed on as one reject, never dropped.
//!
//! Behind an object comes a line end or the next one. Where anything else does, a value which the writer did not escape may
//! have closed the object before its end: that is told of it.
//!
//! Where formats that are not JSON are configured, whatever is no JSON object within one line is a record of text: a line.

use super::ObjectError;
use super::json::{JSON_DEPTH_MAX, TOO_DEEP};

/// Bytes kept of what is passed over: enough for a reject's excerpt.
const EXCERPT_BYTES: usize = 4096;

/// What stood in the object next.
pub(super) enum Value<'a> {
    /// One JSON object, balanced but not checked further.
    Whole(&'a [u8]),
    /// The same with something behind it that is neither a line end nor the next object.
    Closed(&'a [u8]),
    /// A line that is no JSON object, where such records are expected; without its end.
    Text(&'a [u8]),
    /// The start of something else, and why it is none.
    Broken { start: &'a [u8], bytes: u64, reason: &'static str, detail: &'static str },
}

/// Who takes what stands in the object.
pub(super) trait Taker {
    /// Takes the value that `rest` begins with, if it is quickly recognised and all there, and gives its length.
    fn at_once(&mut self, rest: &[u8]) -> Result<Option<usize>, ObjectError>;
    /// Takes a value.
    fn value(&mut self, value: Value<'_>) -> Result<(), ObjectError>;
}

/// Splits a stream into its JSON objects.
pub(super) struct Values {
    mode: Mode,
    /// What came in earlier chunks of the value begun: all of it, or its first bytes once it cannot be read.
    carry: Vec<u8>,
    /// Bytes of the value begun that came in earlier chunks.
    bytes: u64,
    bytes_max: usize,
    depth_max: usize,
    /// Lines of text are records too.
    takes_text: bool,
    in_string: bool,
    escaped: bool,
    /// Last significant byte outside strings; `"` for a string's end, `a` for any literal.
    previous: u8,
    /// Bytes of the object that ended last.
    whole: u64,
    depth: usize,
    /// One bit per level, the lowest for the innermost: set for an array.
    arrays: u64,
    reason: (&'static str, &'static str),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Between,
    Inside,
    /// Behind an object, of which what follows decides.
    After,
    /// Behind one that something else follows.
    Closed,
    Skipping,
    /// Within a line of text.
    Text,
}

/// What a byte inside a value means for it.
enum Step {
    Goes,
    /// The value ends with this byte.
    Ends,
    /// The value is broken; a new one may begin with this byte.
    BreaksBefore,
    /// The value is broken and this line end ends what is passed over.
    BreaksAtLineEnd,
    /// The value is broken.
    Breaks,
    /// One more object or array inside the others than may be.
    IsTooDeep,
}

/// What a byte behind an object means for it.
enum After {
    /// Nothing yet.
    Blank,
    /// It has ended.
    Ended,
    /// It had not ended.
    Other,
}

fn after(byte: u8) -> After {
    match byte {
        // Not a tab: a line of text may begin with one.
        b' ' | b'\r' => After::Blank,
        b'\n' | b'{' | 0 => After::Ended,
        _ => After::Other,
    }
}

/// Whether what stands behind an object lets it be one; false also where that cannot be told yet.
pub(super) fn has_ended(rest: &[u8]) -> bool {
    rest.iter()
        .map(|byte| after(*byte))
        .find(|after| !matches!(after, After::Blank))
        .is_some_and(|a| matches!(a, After::Ended))
}

impl Values {
    /// `bytes_max` bounds one value, `depth_max` the objects and arrays inside each other in it. `takes_text`: lines of text
    /// are records too.
    pub(super) fn new(bytes_max: usize, depth_max: usize, takes_text: bool) -> Self {
        Self {
            mode: Mode::Between,
            carry: Vec::new(),
            bytes: 0,
            bytes_max,
            depth_max: depth_max.min(JSON_DEPTH_MAX),
            takes_text,
            in_string: false,
            escaped: false,
            previous: 0,
            whole: 0,
            depth: 0,
            arrays: 0,
            reason: ("", ""),
        }
    }

    /// Hands over every value completed by `chunk`.
    pub(super) fn push(&mut self, chunk: &[u8], on: &mut impl Taker) -> Result<(), ObjectError> {
        // The part of the value begun that lies in this chunk is `chunk[start..at]`.
        let (mut start, mut at) = (0, 0);
        while at < chunk.len() {
            match self.mode {
                Mode::Between => {
                    let byte = chunk[at];
                    // A tab may be where the first value of a line of text is missing.
                    if byte.is_ascii_whitespace() && !(byte == b'\t' && self.takes_text) || byte == 0 {
                        at += 1;
                        continue;
                    }
                    start = at;
                    if byte == b'{' {
                        if let Some(length) = on.at_once(&chunk[at..])? {
                            at += length;
                            continue;
                        }
                        self.begin();
                        at += 1;
                    } else if self.takes_text {
                        self.mode = Mode::Text;
                    } else {
                        self.skip("not_json", "a record begins with something other than `{`");
                    }
                }
                Mode::Text => {
                    let Some(length) = memchr::memchr(b'\n', &chunk[at..]) else { break };
                    at += length;
                    self.hand_over(&chunk[start..at], on)?;
                }
                // A document of the log service has no line ends: this is the end of a line that only looked like one.
                Mode::Inside if self.takes_text && chunk[at] == b'\n' => self.mode = Mode::Text,
                Mode::Inside => {
                    if self.in_string && !self.escaped {
                        match memchr::memchr3(b'"', b'\\', b'\n', &chunk[at..]) {
                            Some(offset) => at += offset,
                            None => break,
                        }
                    }
                    match self.step(chunk[at]) {
                        Step::Goes => at += 1,
                        Step::Ends => {
                            at += 1;
                            self.whole = self.bytes + (at - start) as u64;
                            self.mode = Mode::After;
                        }
                        Step::BreaksBefore | Step::BreaksAtLineEnd | Step::Breaks | Step::IsTooDeep
                            if self.takes_text =>
                        {
                            self.mode = Mode::Text;
                        }
                        Step::BreaksBefore => {
                            self.reason = ("bad_json", "the object is not closed before the next one");
                            self.give_up(&chunk[start..at], on)?;
                        }
                        Step::BreaksAtLineEnd => {
                            self.reason = ("bad_json", "a line ends within a string");
                            self.give_up(&chunk[start..at], on)?;
                            at += 1;
                        }
                        Step::Breaks => self.skip("bad_json", "something stands where it cannot"),
                        Step::IsTooDeep => self.skip("too_deep", TOO_DEEP),
                    }
                }
                Mode::After | Mode::Closed => match after(chunk[at]) {
                    After::Blank => at += 1,
                    After::Ended => self.hand_over(&chunk[start..at], on)?,
                    After::Other => {
                        self.mode = Mode::Closed;
                        self.hand_over(&chunk[start..at], on)?;
                    }
                },
                Mode::Skipping => {
                    let byte = chunk[at];
                    if byte == b'\n' || byte == b'{' && self.previous == b'}' {
                        self.give_up(&chunk[start..at], on)?;
                    } else {
                        if !byte.is_ascii_whitespace() {
                            self.previous = byte;
                        }
                        at += 1;
                    }
                }
            }
        }
        if self.mode != Mode::Between {
            self.keep(&chunk[start..]);
        }
        Ok(())
    }

    /// Hands over what is left: an object that is not closed.
    pub(super) fn finish(&mut self, on: &mut impl Taker) -> Result<(), ObjectError> {
        if self.mode == Mode::Inside {
            self.reason = ("bad_json", "the object ends within a record");
        }
        if self.mode == Mode::Text || self.mode == Mode::Inside && self.takes_text {
            self.mode = Mode::Text;
            return self.hand_over(&[], on);
        }
        match self.mode {
            Mode::Between => Ok(()),
            Mode::After => self.hand_over(&[], on),
            _ => self.give_up(&[], on),
        }
    }

    /// Bytes of the value begun that came in earlier chunks.
    pub(super) fn pending(&self) -> u64 {
        self.bytes
    }

    fn begin(&mut self) {
        self.mode = Mode::Inside;
        (self.in_string, self.escaped, self.previous) = (false, false, b'{');
        (self.depth, self.arrays) = (1, 0);
    }

    fn skip(&mut self, reason: &'static str, detail: &'static str) {
        self.mode = Mode::Skipping;
        self.previous = 0;
        self.reason = (reason, detail);
    }

    /// Follows the structure by one byte.
    fn step(&mut self, byte: u8) -> Step {
        if self.in_string {
            if byte == b'\n' {
                return Step::BreaksAtLineEnd;
            }
            let escaped = std::mem::replace(&mut self.escaped, false);
            if !escaped && byte == b'\\' {
                self.escaped = true;
            } else if !escaped && byte == b'"' {
                self.in_string = false;
                self.previous = b'"';
            }
            return Step::Goes;
        }
        let in_array = self.arrays & 1 == 1;
        let expects_value = match self.previous {
            b':' | b'[' => true,
            b',' => in_array,
            _ => false,
        };
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => return Step::Goes,
            b'"' if expects_value || matches!(self.previous, b'{' | b',') => self.in_string = true,
            b'{' | b'[' if expects_value && self.depth >= self.depth_max => return Step::IsTooDeep,
            b'{' | b'[' if expects_value => {
                self.depth += 1;
                self.arrays = self.arrays << 1 | u64::from(byte == b'[');
            }
            b'{' if !expects_value => return Step::BreaksBefore,
            b'}' | b']' if (byte == b']') == in_array => {
                self.depth -= 1;
                self.arrays >>= 1;
                if self.depth == 0 {
                    return Step::Ends;
                }
                self.previous = b'}';
                return Step::Goes;
            }
            b':' if self.previous == b'"' && !in_array => {}
            b',' if matches!(self.previous, b'"' | b'}' | b'a') => {}
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'+' | b'-' | b'.' if expects_value || self.previous == b'a' => {
                self.previous = b'a';
                return Step::Goes;
            }
            _ => return Step::Breaks,
        }
        self.previous = byte;
        Step::Goes
    }

    fn keep(&mut self, part: &[u8]) {
        self.bytes += part.len() as u64;
        // What is kept is always the value's beginning without gaps: nothing is left out before the excerpt is full.
        let bytes_max = if self.mode == Mode::Skipping { EXCERPT_BYTES } else { EXCERPT_BYTES.max(self.bytes_max + 1) };
        let room = bytes_max.saturating_sub(self.carry.len());
        self.carry.extend_from_slice(&part[..part.len().min(room)]);
    }

    fn hand_over(&mut self, part: &[u8], on: &mut impl Taker) -> Result<(), ObjectError> {
        let length = match self.mode {
            Mode::After | Mode::Closed => self.whole,
            _ => self.bytes + part.len() as u64,
        };
        if length > self.bytes_max as u64 {
            self.reason = ("too_long", "longer than `document_bytes_max` under [limits]");
            return self.give_up(part, on);
        }
        let length = length as usize;
        let value = match std::mem::replace(&mut self.mode, Mode::Between) {
            Mode::Text => Value::Text,
            Mode::Closed => Value::Closed,
            _ => Value::Whole,
        };
        if self.carry.is_empty() {
            return on.value(value(&part[..length]));
        }
        self.carry.extend_from_slice(part);
        self.carry.truncate(length);
        let handed = on.value(value(&self.carry));
        self.carry.clear();
        self.bytes = 0;
        handed
    }

    fn give_up(&mut self, part: &[u8], on: &mut impl Taker) -> Result<(), ObjectError> {
        self.keep(part);
        self.mode = Mode::Between;
        let (reason, detail) = self.reason;
        let start = &self.carry[..self.carry.len().min(EXCERPT_BYTES)];
        let handed = on.value(Value::Broken { start, bytes: self.bytes, reason, detail });
        self.carry.clear();
        self.bytes = 0;
        handed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps what it is given, as text.
    struct Keep(Vec<String>);

    impl Taker for Keep {
        fn at_once(&mut self, _: &[u8]) -> Result<Option<usize>, ObjectError> {
            Ok(None)
        }

        fn value(&mut self, value: Value<'_>) -> Result<(), ObjectError> {
            self.0.push(match value {
                Value::Whole(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Value::Closed(bytes) => format!("closed {}", String::from_utf8_lossy(bytes)),
                Value::Text(bytes) => format!("text {}", String::from_utf8_lossy(bytes)),
                Value::Broken { start, bytes, reason, .. } => {
                    format!("{reason} {bytes} {}", String::from_utf8_lossy(start))
                }
            });
            Ok(())
        }
    }

    fn split_chunks(chunks: &[&[u8]], bytes_max: usize) -> Vec<String> {
        chunks_of(chunks, bytes_max, false)
    }

    fn chunks_of(chunks: &[&[u8]], bytes_max: usize, takes_text: bool) -> Vec<String> {
        let mut values = Values::new(bytes_max, JSON_DEPTH_MAX, takes_text);
        let mut kept = Keep(Vec::new());
        for chunk in chunks {
            values.push(chunk, &mut kept).unwrap();
        }
        values.finish(&mut kept).unwrap();
        kept.0
    }

    /// Splits the text whole, byte by byte and at every place in two: always into the same.
    fn split(text: &str) -> Vec<String> {
        split_as(text, false)
    }

    fn split_as(text: &str, takes_text: bool) -> Vec<String> {
        let whole = chunks_of(&[text.as_bytes()], 1000, takes_text);
        let single: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(chunks_of(&single, 1000, takes_text), whole);
        for at in 0..text.len() {
            assert_eq!(chunks_of(&[&text.as_bytes()[..at], &text.as_bytes()[at..]], 1000, takes_text), whole);
        }
        whole
    }

    #[test]
    fn nothing_but_a_line_end_or_the_next_object_comes_behind_an_object() {
        let split = |text: &str| split_as(text, false);
        assert_eq!(split("{\"a\":1}  {\"a\":2} \r\n{\"a\":3}  "), ["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"]);
        let broken = ["closed {\"a\":1}", "not_json 7 ,\"b\":2}", "closed {\"a\":3}", "not_json 1 x"];
        assert_eq!(split("{\"a\":1} ,\"b\":2}\n{\"a\":3}x"), broken);
    }

    #[test]
    fn lines_of_text_are_records_where_they_are_expected() {
        let split = |text: &str| split_as(text, true);
        assert_eq!(
            split("a {b}\n{\"c\":1} {\"d\":2}\r\n\n\tlast"),
            ["text a {b}", "{\"c\":1}", "{\"d\":2}", "text \tlast"]
        );
        assert_eq!(split("{\"c\":1}after\n"), ["closed {\"c\":1}", "text after"]);
        for open in ["{\"a\":", "{\"a\":\"b", "{]", "{\"a\":1{", "{\"a\":{"] {
            assert_eq!(split(&format!("{open}\nnext\n")), [format!("text {open}"), "text next".to_owned()]);
        }
        assert_eq!(split("{\"a\":")[0], "text {\"a\":");
        assert!(split(&format!("{}\nb", "x".repeat(2000)))[0].starts_with("too_long 2000 x"));
    }

    #[test]
    fn objects_stand_back_to_back_or_in_lines() {
        assert_eq!(split(r#"{"a":"}{\""}{"b":[{},[1,-]]}"#), [r#"{"a":"}{\""}"#, r#"{"b":[{},[1,-]]}"#]);
        assert_eq!(split("{}\r\n\n {\n\"a\" : {\n} } \n"), ["{}", "{\n\"a\" : {\n} }"]);
        assert!(split(" \n").is_empty());
    }

    #[test]
    fn a_broken_object_costs_itself_only() {
        assert_eq!(split("{\"a\":\"cut\n{\"b\":1}"), ["bad_json 9 {\"a\":\"cut", "{\"b\":1}"]);
        assert_eq!(split("{\"a\":1\n{\"b\":1}"), ["bad_json 7 {\"a\":1\n", "{\"b\":1}"]);
        assert_eq!(split(r#"{"a":1,{"b":1}"#), [r#"bad_json 7 {"a":1,"#, r#"{"b":1}"#]);
        assert_eq!(split(r#"{"ua":"x "q" y","z":1}{"b":1}"#), [r#"bad_json 22 {"ua":"x "q" y","z":1}"#, r#"{"b":1}"#]);
        assert_eq!(split("{\"ua\":\"x \"q\" y\"}\n{\"b\":1}"), [r#"bad_json 16 {"ua":"x "q" y"}"#, r#"{"b":1}"#]);
        assert_eq!(split(r#"{"b":1}{"a":"#), [r#"{"b":1}"#, r#"bad_json 5 {"a":"#]);
        assert_eq!(split(r#"{"a":]}{"b":1}"#), [r#"bad_json 7 {"a":]}"#, r#"{"b":1}"#]);
    }

    #[test]
    fn other_text_is_a_reject_per_line() {
        assert_eq!(split("a b\n{\"c\":1}\n[1]\n"), ["not_json 3 a b", "{\"c\":1}", "not_json 3 [1]"]);
    }

    #[test]
    fn too_long_a_value_is_one_reject_and_the_next_is_read() {
        let text = br#"{"a":"0123456789"}{"b":1}"#;
        let expected = [r#"too_long 18 {"a":"0123456789"}"#, r#"{"b":1}"#];
        assert_eq!(split_chunks(&[text], 15), expected);
        let single: Vec<&[u8]> = text.chunks(1).collect();
        let shown = split_chunks(&single, 15);
        assert!(shown[0].starts_with("too_long 18 ") && shown[1] == expected[1], "{shown:?}");
    }

    #[test]
    fn depth_is_bounded() {
        let deep = format!("{{\"a\":{}\n{{\"b\":1}}", "[".repeat(100));
        assert_eq!(split(&deep)[1], "{\"b\":1}");
    }
}
