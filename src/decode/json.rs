//! A reader of one complete JSON object in memory that copies nothing: strings are handed out as they stand and
//! unescaped only on demand, numbers stay text. Beyond JSON it takes a lone `-`, which is how API Gateway writes a
//! missing value into an unquoted place, as null; and raw control characters in strings, which callers could send.
//! Refused: everything else that is not JSON, and objects inside each other beyond a bound.

use super::error::Reject;

/// Objects and arrays inside each other that are read at all; `json_depth_max` may ask for fewer. Logs have four.
pub const JSON_DEPTH_MAX: usize = 64;
/// What is said of more.
pub(super) const TOO_DEEP: &str = "objects and arrays inside each other beyond `json_depth_max` under [limits]";
/// Keys of one object that nobody asks for; more is no log.
const UNKNOWN_KEYS_MAX: usize = 256;

/// Why the text cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct JsonError {
    pub(super) at: usize,
    pub(super) what: &'static str,
}

/// A string as it stands between its quotes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Text<'a> {
    /// Offset in the whole text.
    pub(super) at: usize,
    pub(super) raw: &'a [u8],
    pub(super) escaped: bool,
}

impl From<JsonError> for Reject {
    fn from(error: JsonError) -> Self {
        let reason = if error.what == TOO_DEEP { "too_deep" } else { "bad_json" };
        Self::new(reason, format!("at byte {}: {}", error.at, error.what))
    }
}

/// Whether more than `depth_max` objects and arrays lie inside each other in the JSON that `text` begins with.
pub(super) fn is_deeper(text: &[u8], depth_max: usize) -> bool {
    // Nearly always there are not even so many of them.
    let opened = memchr::memchr2_iter(b'{', b'[', text).nth(depth_max);
    opened.is_some() && Scanner { depth_max, ..Scanner::new(text) }.skip().is_err_and(|error| error.what == TOO_DEEP)
}

/// The keys of one object that nobody asks for. They too may stand only once.
#[derive(Default)]
pub(super) struct UnknownKeys<'a>(Vec<Text<'a>>);

impl<'a> UnknownKeys<'a> {
    /// Takes one more; `too_many` says what is wrong where there are more than any log has.
    pub(super) fn add(&mut self, key: Text<'a>, too_many: &'static str) -> Result<(), Reject> {
        let known = |name: &[u8]| self.0.iter().any(|other| other.is(name));
        let twice = if key.escaped {
            let mut name = Vec::new();
            key.unescape(&mut name);
            known(&name)
        } else {
            known(key.raw)
        };
        if twice {
            return Err(Reject::duplicate_key());
        }
        self.0.push(key);
        if self.0.len() > UNKNOWN_KEYS_MAX { Err(Reject::new("bad_json", too_many)) } else { Ok(()) }
    }
}

/// A value that is no object and no array.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scalar<'a> {
    Null,
    Text(Text<'a>),
    /// A number, `true` or `false`, as written, and its offset.
    Literal(usize, &'a [u8]),
}

impl Text<'_> {
    /// Appends what the string means.
    pub(super) fn unescape(&self, out: &mut Vec<u8>) {
        let mut rest = self.raw;
        while let Some(at) = memchr::memchr(b'\\', rest) {
            out.extend_from_slice(&rest[..at]);
            let Some(&kind) = rest.get(at + 1) else { break };
            rest = &rest[at + 2..];
            let byte = match kind {
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                b'b' => 8,
                b'f' => 12,
                b'u' => {
                    let (char, taken) = utf16(rest);
                    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                    rest = &rest[taken..];
                    continue;
                }
                other => other,
            };
            out.push(byte);
        }
        out.extend_from_slice(rest);
    }

    /// Whether the string means `name`.
    pub(super) fn is(&self, name: &[u8]) -> bool {
        if !self.escaped {
            return self.raw == name;
        }
        let mut meant = Vec::new();
        self.unescape(&mut meant);
        meant == name
    }
}

fn hex4(bytes: &[u8]) -> Option<u32> {
    let digits = bytes.get(..4)?;
    digits.iter().try_fold(0, |value, &digit| Some(value << 4 | (digit as char).to_digit(16)?))
}

/// The character of a `\u` escape, whose digits are next, and the bytes it took. Half a pair means U+FFFD.
fn utf16(rest: &[u8]) -> (char, usize) {
    let Some(first) = hex4(rest) else { return (char::REPLACEMENT_CHARACTER, 0) };
    if (0xd800..0xdc00).contains(&first)
        && rest.get(4..6) == Some(b"\\u")
        && let Some(second @ 0xdc00..0xe000) = hex4(&rest[6..])
    {
        let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 10);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 4)
}

/// Reads values one after another.
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    depth_max: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, depth: 0, depth_max: JSON_DEPTH_MAX }
    }

    /// The whole text.
    pub(super) fn whole(&self) -> &'a [u8] {
        self.bytes
    }

    /// What has not been read.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// Where that begins.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Passes over a string whose bytes up to its closing quote were read from [`Self::rest`], `length` of them; false
    /// where no closing quote follows.
    pub(super) fn close_text(&mut self, length: usize) -> bool {
        let closed = self.bytes.get(self.at + 1 + length) == Some(&b'"');
        if closed {
            self.at += length + 2;
        }
        closed
    }

    pub(super) fn error<T>(&self, what: &'static str) -> Result<T, JsonError> {
        Err(JsonError { at: self.at, what })
    }

    /// The first byte of what comes next.
    pub(super) fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.bytes.get(self.at) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    /// Makes sure that nothing follows.
    pub(super) fn end(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.error("something follows the object"),
        }
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), JsonError> {
        if self.peek() != Some(byte) {
            return self.error(what);
        }
        self.at += 1;
        Ok(())
    }

    /// Reads an object; `on` is called after each key and must read the value.
    pub(super) fn object<E: From<JsonError>>(
        &mut self,
        mut on: impl FnMut(&mut Self, Text<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.enter(b'{', "an object was expected")?;
        if self.peek() == Some(b'}') {
            return self.leave();
        }
        loop {
            let key = self.text()?;
            self.expect(b':', "a colon was expected")?;
            on(self, key)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => return self.leave(),
                _ => return Ok(self.error("a comma or the object's end was expected")?),
            }
        }
    }

    /// Reads an array; `on` is called before each element and must read it.
    pub(super) fn array<E: From<JsonError>>(
        &mut self,
        mut on: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.enter(b'[', "an array was expected")?;
        if self.peek() == Some(b']') {
            return self.leave();
        }
        loop {
            on(self)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => return self.leave(),
                _ => return Ok(self.error("a comma or the array's end was expected")?),
            }
        }
    }

    fn enter(&mut self, open: u8, what: &'static str) -> Result<(), JsonError> {
        self.expect(open, what)?;
        self.depth += 1;
        if self.depth > self.depth_max { self.error(TOO_DEEP) } else { Ok(()) }
    }

    fn leave<E>(&mut self) -> Result<(), E> {
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    /// Reads a string.
    pub(super) fn text(&mut self) -> Result<Text<'a>, JsonError> {
        self.expect(b'"', "a string was expected")?;
        let start = self.at;
        let mut escaped = false;
        loop {
            let rest = &self.bytes[self.at..];
            let Some(offset) = memchr::memchr2(b'"', b'\\', rest) else {
                return self.error("a string is not closed");
            };
            self.at += offset;
            if rest[offset] == b'"' {
                let raw = &self.bytes[start..self.at];
                self.at += 1;
                return Ok(Text { at: start, raw, escaped });
            }
            escaped = true;
            let length = match rest.get(offset + 1) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                Some(b'u') if hex4(&rest[offset + 2..]).is_some() => 6,
                _ => return self.error("a backslash begins no escape"),
            };
            self.at += length;
        }
    }

    /// Reads a value that is no object and no array.
    pub(super) fn scalar(&mut self) -> Result<Scalar<'a>, JsonError> {
        if self.peek() == Some(b'"') {
            return self.text().map(Scalar::Text);
        }
        let rest = &self.bytes[self.at..];
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let length = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
        let literal = &rest[..length];
        let scalar = match literal {
            b"null" | b"-" => Scalar::Null,
            b"true" | b"false" => Scalar::Literal(self.at, literal),
            _ if is_number(literal) => Scalar::Literal(self.at, literal),
            _ => return self.error("a value was expected"),
        };
        self.at += length;
        Ok(scalar)
    }

    /// Passes over any value.
    pub(super) fn skip(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'{') => self.object(|scanner, _| scanner.skip()),
            Some(b'[') => self.array(|scanner| scanner.skip()),
            _ => self.scalar().map(drop),
        }
    }
}

fn is_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut rest = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(rest);
    if whole == 0 || whole > 1 && rest[0] == b'0' {
        return false;
    }
    rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let places = digits(fraction);
        if places == 0 {
            return false;
        }
        rest = &fraction[places..];
    }
    if let Some((b'e' | b'E', exponent)) = rest.split_first() {
        let exponent = exponent.strip_prefix(b"+").or(exponent.strip_prefix(b"-")).unwrap_or(exponent);
        return !exponent.is_empty() && digits(exponent) == exponent.len();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalars(text: &str) -> Result<Vec<(String, String)>, JsonError> {
        let mut scanner = Scanner::new(text.as_bytes());
        let mut out = Vec::new();
        let show = |text: Text<'_>| {
            let mut bytes = Vec::new();
            text.unescape(&mut bytes);
            String::from_utf8(bytes).unwrap()
        };
        scanner.object::<JsonError>(|scanner, key| {
            let value = match scanner.peek() {
                Some(b'{' | b'[') => {
                    scanner.skip()?;
                    "…".to_owned()
                }
                _ => match scanner.scalar()? {
                    Scalar::Null => "null".to_owned(),
                    Scalar::Text(text) => show(text),
                    Scalar::Literal(_, literal) => String::from_utf8(literal.to_vec()).unwrap(),
                },
            };
            out.push((show(key), value));
            Ok(())
        })?;
        scanner.end()?;
        Ok(out)
    }

    #[test]
    fn reads_what_serde_json_reads() {
        let text =
            r#" {"a":"x\"\\\/\n\u00e9\ud83d\ude00","b":-1.50e+3, "c" : [1,{"d":[]}] ,"e":{},"f":true,"g":null} "#;
        let theirs: serde_json::Value = serde_json::from_str(text).unwrap();
        let ours = scalars(text).unwrap();
        assert_eq!(ours[0], ("a".to_owned(), theirs["a"].as_str().unwrap().to_owned()));
        assert_eq!(ours[1].1, "-1.50e+3", "numbers stay text");
        assert_eq!(ours.iter().map(|(key, _)| key.as_str()).collect::<String>(), "abcefg");
        assert_eq!(ours[5].1, "null");
    }

    #[test]
    fn a_lone_dash_is_null() {
        assert_eq!(scalars(r#"{"a":-,"b":"-"}"#).unwrap(), [("a".into(), "null".into()), ("b".into(), "-".into())]);
    }

    #[test]
    fn keys_are_compared_as_they_are_meant() {
        let key = Text { at: 0, raw: br"api\u004beyId", escaped: true };
        assert!(key.is(b"apiKeyId") && !key.is(br"api\u004beyId"));
        assert_eq!(utf16(b"d83d"), ('\u{fffd}', 4));
    }

    #[test]
    fn depth_counts_what_is_open_and_not_what_stands_in_strings() {
        for (text, depth) in [(r#"{"a":[{"b":1}],"c":{}}"#, 3), (r#"{"a":"[[[[{{{{","b":1}"#, 1), ("{}[[[[", 1)] {
            assert!(!is_deeper(text.as_bytes(), depth) && is_deeper(text.as_bytes(), depth - 1), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_json() {
        for text in [
            "",
            "{",
            "{}{}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{a:1}"#,
            r#"{"a":01}"#,
            r#"{"a":1.}"#,
            r#"{"a":+1}"#,
            r#"{"a":"\x"}"#,
            r#"{"a":"\u12"}"#,
            r#"{"a":"b}"#,
            r#"{"a":[1 2]}"#,
            r#"{"a":nul}"#,
            "[]",
        ] {
            assert!(scalars(text).is_err(), "{text}");
            assert!(serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).is_err(), "{text}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100), "]".repeat(100));
        assert_eq!(scalars(&deep).unwrap_err().what, TOO_DEEP);
    }
}
