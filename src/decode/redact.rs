//! Takes keys out of text that is stored: parameters of a query by name, and a key that was found wherever else it stands.

use super::text::{as_clean, form_decode};

/// Shorter keys are not looked for in other fields: they would be found in half of all words.
const SCRUB_KEY_BYTES_MIN: usize = 16;
/// How often a parameter's name is decoded before it is compared: nobody gets past with `%2563f_api_key`.
const NAME_DECODINGS: usize = 3;

/// Appends `query` without the parameters of those (lower-case) names.
pub(super) fn push_without(query: &[u8], names: &[Vec<u8>], scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    let mut first = true;
    for parameter in query.split(|&byte| byte == b'&') {
        let name = parameter.split(|&byte| byte == b'=').next().unwrap_or_default();
        if is_named(name, names, scratch) {
            continue;
        }
        if !std::mem::replace(&mut first, false) {
            out.push(b'&');
        }
        out.extend_from_slice(parameter);
    }
}

fn is_named(name: &[u8], names: &[Vec<u8>], scratch: &mut Vec<u8>) -> bool {
    let matches = |name: &[u8]| names.iter().any(|wanted| name.trim_ascii().eq_ignore_ascii_case(wanted));
    if matches(name) {
        return true;
    }
    scratch.clear();
    scratch.extend_from_slice(name);
    for _ in 0..NAME_DECODINGS {
        if !scratch.iter().any(|byte| matches!(byte, b'%' | b'+')) {
            break;
        }
        let start = scratch.len();
        let encoded = std::mem::take(scratch);
        scratch.reserve(start);
        form_decode(&encoded, scratch);
        if matches(scratch) {
            return true;
        }
    }
    false
}

/// Replaces one key in other fields.
pub(super) struct Scrub {
    /// None for a key so short that it may stand anywhere by accident.
    finder: Option<memchr::memmem::Finder<'static>>,
    replacement: Vec<u8>,
}

impl Scrub {
    pub(super) fn new(key: &[u8], replacement: &[u8]) -> Self {
        let long = key.len() >= SCRUB_KEY_BYTES_MIN;
        let finder = long.then(|| memchr::memmem::Finder::new(key).into_owned());
        Self { finder, replacement: replacement.to_vec() }
    }

    /// Whether the key is stored as it was sent: then it can be found in what is stored.
    pub(super) fn survives_cleaning(&self) -> bool {
        self.finder.as_ref().is_none_or(|finder| as_clean(finder.needle()).is_some())
    }

    /// `text` with the key replaced, where it stands in it.
    pub(super) fn scrubbed(&self, text: &[u8]) -> Option<Vec<u8>> {
        let finder = self.finder.as_ref().filter(|finder| finder.needle().len() <= text.len())?;
        let mut at = finder.find(text)?;
        let (mut out, mut rest) = (Vec::with_capacity(text.len()), text);
        loop {
            out.extend_from_slice(&rest[..at]);
            out.extend_from_slice(&self.replacement);
            rest = &rest[at + finder.needle().len()..];
            match finder.find(rest) {
                Some(next) => at = next,
                None => break,
            }
        }
        out.extend_from_slice(rest);
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(query: &str) -> String {
        let (mut scratch, mut out) = (Vec::new(), Vec::new());
        push_without(query.as_bytes(), &[b"cf_api_key".to_vec(), b"x-api-key".to_vec()], &mut scratch, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn named_parameters_go_however_they_are_spelled() {
        assert_eq!(without("a=1&cf_api_key=S&b=2"), "a=1&b=2");
        assert_eq!(without("CF_API_KEY=S"), "");
        assert_eq!(without("cf%5Fapi%5fkey=S&x"), "x");
        assert_eq!(without("cf%255Fapi_key=S&x=%20"), "x=%20");
        assert_eq!(without("X-Api-Key=S&=&y"), "=&y");
        assert_eq!(without("my_cf_api_key=1"), "my_cf_api_key=1");
    }

    #[test]
    fn a_long_key_is_found_anywhere() {
        let key = b"TESTKEY0TESTKEY1";
        let scrub = Scrub::new(key, b"#");
        assert_eq!(scrub.scrubbed(b"/a/TESTKEY0TESTKEY1/TESTKEY0TESTKEY1").unwrap(), b"/a/#/#");
        assert_eq!(scrub.scrubbed(b"/a"), None);
        assert_eq!(Scrub::new(b"K1", b"#").scrubbed(b"K1/K1"), None);
    }
}
