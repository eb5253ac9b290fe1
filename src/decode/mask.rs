//! Text of records for people: excerpts of those that could not be read, and one whole record where somebody asks for it.
//! Everything that could be a key is replaced by `#` and eight hex digits of its keyed hash: every long token, and
//! whatever follows a name that speaks of keys. Equal keys stay recognisable. In an excerpt, of a record whose fields may not be
//! what they should, whatever is assigned to any name with `=` counts as a secret too: cookies are written so.

use std::ops::Range;

use super::privacy::KeyHasher;
use super::text::{escaped_byte, is_control};

/// Characters of an excerpt.
pub(super) const EXCERPT_CHARS_MAX: usize = 300;
/// Bytes of the record that are looked at.
const LOOKED_AT_BYTES_MAX: usize = 2048;
/// A token at least this long is hashed whatever stands before it.
const TOKEN_BYTES_MIN: usize = 16;
/// Names whose values are hashed whatever they look like.
const NAMES: [&[u8]; 13] = [
    b"key",
    b"auth",
    b"bearer",
    b"jwt",
    b"pwd",
    b"cookie",
    b"token",
    b"secret",
    b"password",
    b"passwd",
    b"credential",
    b"session",
    b"signature",
];

/// How a text is looked at.
#[derive(Clone, Copy)]
struct Looks {
    /// Its end is not that of the record.
    cut: bool,
    /// What any name is set to with `=` is a secret.
    assigned_is_secret: bool,
    /// Enough characters.
    chars_max: usize,
}

/// Masks excerpts for one source.
#[derive(Clone, Debug, Default)]
pub(super) struct Masker {
    /// Lower-case names under which the configured key stands: their values are hashed too.
    pub(super) key_names: Vec<Vec<u8>>,
}

impl Masker {
    /// Writes the masked start of `record` to `out`. `secrets` are places that hold secrets whatever they look like, in order.
    pub(super) fn excerpt(&self, record: &[u8], secrets: &[Range<usize>], hasher: &KeyHasher, out: &mut String) {
        out.clear();
        let end = record.len().min(LOOKED_AT_BYTES_MAX);
        // A token that reaches the end of what is looked at may be the start of a longer one.
        let how = Looks { cut: record.len() > end, assigned_is_secret: true, chars_max: EXCERPT_CHARS_MAX };
        self.mask_around(&record[..end], secrets, how, hasher, out);
        if let Some((end, _)) = out.char_indices().nth(EXCERPT_CHARS_MAX) {
            out.truncate(end);
        }
    }

    /// All of `record`, masked. `secrets` are places that hold secrets whatever they look like, in order.
    pub(super) fn text(&self, record: &[u8], secrets: &[Range<usize>], hasher: &KeyHasher) -> String {
        let mut out = String::new();
        let how = Looks { cut: false, assigned_is_secret: false, chars_max: usize::MAX };
        self.mask_around(record, secrets, how, hasher, &mut out);
        out
    }

    /// Appends `text`, masked, with the whole of each secret hashed.
    fn mask_around(&self, text: &[u8], secrets: &[Range<usize>], how: Looks, hasher: &KeyHasher, out: &mut String) {
        let mut at = 0;
        for secret in secrets {
            let (start, end) = (secret.start.clamp(at, text.len()), secret.end.min(text.len()));
            // An empty cell is written as nothing or as `-`.
            if start < end && &text[start..end] != b"-" {
                self.mask(&text[at..start], Looks { cut: false, ..how }, hasher, out);
                push_hash(&text[start..end], hasher, out);
                at = end;
            }
        }
        self.mask(&text[at..], how, hasher, out);
    }

    /// Appends `text`, masked, until enough characters are reached.
    fn mask(&self, text: &[u8], how: Looks, hasher: &KeyHasher, out: &mut String) {
        let Looks { cut, assigned_is_secret, chars_max } = how;
        let mut rest = text;
        let mut chars = 0;
        while !rest.is_empty() && chars < chars_max {
            let before = out.len();
            let token = token_length(rest);
            if token == 0 {
                let taken = separator(rest, out);
                rest = &rest[taken..];
            } else {
                let (word, after) = rest.split_at(token);
                rest = after;
                if token >= TOKEN_BYTES_MIN && !self.is_plain(word) || cut && after.is_empty() {
                    push_hash(word, hasher, out);
                } else {
                    out.push_str(&String::from_utf8_lossy(word));
                }
                if self.speaks_of_keys(word) || assigned_is_secret && is_assigned(rest) {
                    rest = mask_value(rest, hasher, out);
                }
            }
            chars += out[before..].chars().count();
        }
    }

    /// Names of our own vocabulary are long tokens too, and an excerpt without them says little.
    fn is_plain(&self, word: &[u8]) -> bool {
        self.key_names.iter().any(|name| word.eq_ignore_ascii_case(name))
    }

    fn speaks_of_keys(&self, word: &[u8]) -> bool {
        let word = word.to_ascii_lowercase();
        let holds = |name: &[u8]| memchr::memmem::find(&word, name).is_some();
        NAMES.iter().any(|name| holds(name)) || self.key_names.contains(&word)
    }
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'/' | b'.' | b'~') || byte >= 0x80
}

/// What a `%XX` stands for when it separates words: white space, a control character, a quote, `:`, `=`, `&`, `;`, `,`.
fn escaped_separator(bytes: &[u8]) -> Option<u8> {
    escaped_byte(bytes)
        .filter(|&byte| is_control(byte) || matches!(byte, b' ' | b'"' | b'\'' | b':' | b'=' | b'&' | b';' | b','))
}

/// Bytes of the token at the start: escapes count as part of it, unless they are separators; so does `=` at its end.
fn token_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' if escaped_separator(&bytes[at..]).is_none() => at += 1,
            byte if is_token_byte(byte) => at += 1,
            _ => break,
        }
    }
    if at > 0 {
        let padding = bytes[at..].iter().take_while(|&&byte| byte == b'=').count();
        // Base64 ends in at most two; `name=value` has one and goes on.
        if padding == 2 || padding == 1 && !bytes.get(at + 1).is_some_and(|&byte| is_token_byte(byte) || byte == b'%') {
            at += padding;
        }
    }
    at
}

/// Whether an `=` is next, escaped or not.
fn is_assigned(after: &[u8]) -> bool {
    after.first() == Some(&b'=') || escaped_separator(after) == Some(b'=')
}

/// Appends the separator at the start, without control characters, and gives its length.
fn separator(bytes: &[u8], out: &mut String) -> usize {
    match bytes[0] {
        byte if is_control(byte) => {
            out.push(' ');
            1
        }
        b'%' => {
            let taken = bytes.len().min(3);
            out.push_str(&String::from_utf8_lossy(&bytes[..taken]));
            taken
        }
        byte => {
            out.push(byte as char);
            1
        }
    }
}

/// After a name that speaks of keys: passes over `:`, `=`, quotes and blanks and hashes the value up to its end.
fn mask_value<'a>(after: &'a [u8], hasher: &KeyHasher, out: &mut String) -> &'a [u8] {
    let (mut at, mut assigned) = (0, false);
    while at < after.len() {
        let (byte, length) = match escaped_separator(&after[at..]) {
            Some(byte) => (byte, 3),
            None => (after[at], 1),
        };
        match byte {
            b':' | b'=' => assigned = true,
            // As after the name in `"cs(Cookie)":"…"`.
            b' ' | b'"' | b'\'' | b'\\' | b')' => {}
            _ => break,
        }
        at += length;
    }
    if !assigned {
        return after;
    }
    let mut shown = 0;
    while shown < at {
        shown += separator(&after[shown..], out);
    }
    let value = &after[at..];
    // An object or array under the name is all of it the value.
    let mut end = if matches!(value.first(), Some(b'{' | b'[')) { length_of_nested(value) } else { 0 };
    // The end is a line's, a field's or a header's, or a quote that is not escaped: rather too much is hashed than too little.
    while end < value.len() && !matches!(value[0], b'{' | b'[') {
        let closes = value[end] == b'"' && (end == 0 || value[end - 1] != b'\\');
        if closes || escaped_byte(&value[end..]).is_some_and(is_control) || is_control(value[end]) {
            break;
        }
        end += 1;
    }
    if end > 0 && &value[..end] != b"-" {
        push_hash(&value[..end], hasher, out);
    } else {
        out.push_str(&String::from_utf8_lossy(&value[..end]));
    }
    &value[end..]
}

/// Bytes of the object or array that `text` begins with, or all of it where it does not end.
fn length_of_nested(text: &[u8]) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}

fn push_hash(word: &[u8], hasher: &KeyHasher, out: &mut String) {
    out.push('#');
    out.extend(hasher.uncached(word).as_bytes()[..8].iter().map(|&digit| digit as char));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(record: &str) -> String {
        let masker = Masker { key_names: vec![b"k".to_vec(), b"x-customer-id-of-ours".to_vec()] };
        let mut out = String::new();
        masker.excerpt(record.as_bytes(), &[], &KeyHasher::new(b"secret"), &mut out);
        out
    }

    #[test]
    fn long_tokens_and_values_of_keys_are_hashed() {
        let shown = masked("200\t/a/b\tTESTKEY0TESTKEY1TESTKEY2\tx-api-key:SHORT%0Aaccept:*/*%0A");
        assert!(shown.starts_with("200 /a/b #"), "{shown}");
        assert!(!shown.contains("TESTKEY") && !shown.contains("SHORT") && shown.contains("accept:*/*"), "{shown}");
        for secret in [
            "Authorization: Bearer abc def%0A",
            "cookie:a=abc; b=def%0A",
            r#""apiKey": "abc"#,
            "v1;k=abc",
            "k%3Dabc",
            "x-api-key%253Aabc?api_key=abc",
            "%0AX-Customer-Id-Of-Ours:abc",
            "x-api-key:a&b%22c;def%0A",
            r#"{"apiKey":"a\"def"}"#,
            r#"{"cs(Cookie)":"a=abc"}"#,
            "200\tsid=abc;%20x=def\t/v1",
            "sid%3Dabc%253B%20x%3Ddef",
            r#"{"cookies":{"sid":"abc","x":["def"]},"end":1}"#,
            r#"{"cookies":["sid=abc","def"],"end":1}"#,
            r#"{"cookies":{"sid":"a}bc\"","x":"def"#,
            r#""auth":"abc def""#,
            "jwt: abc def",
        ] {
            let shown = masked(secret);
            assert!(!shown.contains("abc") && !shown.contains("def"), "{secret} → {shown}");
        }
    }

    #[test]
    fn what_is_no_secret_stays_readable() {
        assert_eq!(
            masked("GET\t/v1/items\t200\tcurl/8\thost:a%0Aaccept:*/*%0A"),
            "GET /v1/items 200 curl/8 host:a%0Aaccept:*/*%0A"
        );
        let shown = masked(r#"{"cookies":{"sid":"abc"},"status":"200","path":"/v1"}"#);
        assert!(shown.ends_with(r#","status":"200","path":"/v1"}"#), "{shown}");
        assert!(masked("-\tsid=\t200").ends_with(" 200"));
    }

    #[test]
    fn a_place_that_holds_a_secret_is_hashed_whatever_it_looks_like() {
        let mut out = String::new();
        let record = b"200\tabc\t-\t/v1";
        Masker::default().excerpt(record, &[4..7, 8..9, 4_000..5_000], &KeyHasher::new(b"secret"), &mut out);
        assert!(out.starts_with("200 #") && out.ends_with(" - /v1") && !out.contains("abc"), "{out}");
    }

    #[test]
    fn a_whole_record_is_masked_to_its_end() {
        let masker = Masker { key_names: vec![b"k".to_vec()] };
        let filler = "ab,".repeat(2_000);
        let record = format!("sid=a\t{filler}\tk=KEY\tTESTKEY0TESTKEY1\tend");
        let shown = masker.text(record.as_bytes(), &[0..5, 3..5], &KeyHasher::new(b"secret"));
        assert!(shown.starts_with('#') && shown.ends_with(" end") && shown.len() > filler.len(), "{shown}");
        assert!(!shown.contains("sid") && !shown.contains("KEY"), "{shown}");
    }

    #[test]
    fn an_excerpt_is_short_and_has_no_control_characters() {
        let shown = masked(&"a\x1b[31m b\r\n".repeat(500));
        assert_eq!(shown.chars().count(), EXCERPT_CHARS_MAX);
        assert!(!shown.bytes().any(is_control));
    }

    #[test]
    fn a_key_cut_by_the_excerpts_end_is_hashed_too() {
        let filler = "ab,".repeat(682);
        let shown = masked(&format!("{filler}KEYKEYKEYKEYKEYKEY"));
        assert!(!shown.contains("KEY"));
        let long = "0123456789abcdef".repeat(127);
        let shown = masked(&format!("{long},12345678KEYKEYKEYKEYKEYKEY"));
        assert!(!shown.contains("KEY"), "{shown}");
    }
}
