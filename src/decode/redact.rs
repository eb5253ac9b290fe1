//! Takes keys out of text that is stored: parameters of a query by name, and keys that were found wherever else they stand.

use aho_corasick::{AhoCorasick, MatchKind};

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

/// Replaces keys in other fields.
#[expect(clippy::large_enum_variant, reason = "nearly all are of one key, and these are shared")]
pub(super) enum Scrub {
    /// A key so short that it may stand anywhere by accident.
    Nothing,
    One {
        finder: memchr::memmem::Finder<'static>,
        replacement: [u8; 32],
    },
    /// The keys of a request that gives several, or one whose end is missing. However many, a text is read once.
    Several {
        finder: AhoCorasick,
        replacements: Vec<[u8; 32]>,
        cut: Option<usize>,
        survive_cleaning: bool,
    },
}

/// A key to be looked for.
pub(super) struct Needle<'a> {
    pub(super) key: &'a [u8],
    pub(super) replacement: [u8; 32],
    /// It is the start of a longer key: what follows it is the rest.
    pub(super) is_cut: bool,
}

impl Scrub {
    pub(super) fn of_one(key: &[u8], replacement: [u8; 32]) -> Self {
        if key.len() < SCRUB_KEY_BYTES_MIN {
            return Self::Nothing;
        }
        Self::One { finder: memchr::memmem::Finder::new(key).into_owned(), replacement }
    }

    /// None where there is nothing to look for.
    pub(super) fn of_several<'a>(needles: impl Iterator<Item = Needle<'a>>) -> Option<Self> {
        let needles: Vec<_> = needles.filter(|needle| needle.key.len() >= SCRUB_KEY_BYTES_MIN).collect();
        if needles.is_empty() {
            return None;
        }
        let keys = needles.iter().map(|needle| needle.key);
        let survive_cleaning = keys.clone().all(|key| as_clean(key).is_some());
        // It fails only where the keys take GiB.
        let finder = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(keys).ok()?;
        let cut = needles.iter().position(|needle| needle.is_cut);
        let replacements = needles.iter().map(|needle| needle.replacement).collect();
        Some(Self::Several { finder, replacements, cut, survive_cleaning })
    }

    /// Whether the keys are stored as they were sent: then they can be found in what is stored.
    pub(super) fn survives_cleaning(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::One { finder, .. } => as_clean(finder.needle()).is_some(),
            Self::Several { survive_cleaning, .. } => *survive_cleaning,
        }
    }

    /// `text` with the keys replaced, where one stands in it.
    pub(super) fn scrubbed(&self, text: &[u8]) -> Option<Vec<u8>> {
        let (mut out, mut rest) = (Vec::new(), text);
        while let Some((start, end, replacement)) = self.find(rest) {
            out.extend_from_slice(&rest[..start]);
            out.extend_from_slice(replacement);
            rest = &rest[end..];
        }
        if rest.len() == text.len() {
            return None;
        }
        out.extend_from_slice(rest);
        Some(out)
    }

    /// The first key: where it starts and ends, and what is stored instead.
    fn find(&self, text: &[u8]) -> Option<(usize, usize, &[u8; 32])> {
        match self {
            Self::Nothing => None,
            Self::One { finder, replacement } => {
                let start = finder.find(text)?;
                Some((start, start + finder.needle().len(), replacement))
            }
            Self::Several { finder, replacements, cut, .. } => {
                let found = finder.find(text)?;
                let number = found.pattern().as_usize();
                let rest = &text[found.end()..];
                let more =
                    if *cut == Some(number) { rest.iter().take_while(|byte| is_of_a_key(**byte)).count() } else { 0 };
                Some((found.start(), found.end() + more, &replacements[number]))
            }
        }
    }
}

/// What the rest of a key is taken to be: a key ends where a word does.
fn is_of_a_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'+' | b'=')
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
        let scrub = Scrub::of_one(key, [b'#'; 32]);
        let told = format!("/a/{0}/{0}", "#".repeat(32));
        assert_eq!(scrub.scrubbed(b"/a/TESTKEY0TESTKEY1/TESTKEY0TESTKEY1").unwrap(), told.as_bytes());
        assert_eq!(scrub.scrubbed(b"/a"), None);
        assert!(Scrub::of_one(b"K1", [b'#'; 32]).scrubbed(b"K1/K1").is_none());
    }

    #[test]
    fn the_longest_of_several_keys_is_taken_and_what_was_cut_ends_with_the_word() {
        let needle = |key, sign, is_cut| Needle { key, replacement: [sign; 32], is_cut };
        let several = |needles: Vec<Needle<'_>>, text: &str| {
            let scrubbed = Scrub::of_several(needles.into_iter())?.scrubbed(text.as_bytes())?;
            Some(String::from_utf8(scrubbed).unwrap().replace(&"#".repeat(32), "#").replace(&"*".repeat(32), "*"))
        };
        let (short, long) = (&b"TESTKEY0TESTKEY1"[..], &b"TESTKEY0TESTKEY1x"[..]);
        let text = "a TESTKEY0TESTKEY1x/TESTKEY0TESTKEY1,TESTKEY0TESTKEY1xyz.";
        let of = |cut| vec![needle(short, b'#', cut), needle(long, b'*', false)];
        assert_eq!(several(of(false), text).unwrap(), "a */#,*yz.");
        assert_eq!(several(vec![needle(short, b'#', true)], text).unwrap(), "a #/#,#");
        assert_eq!(several(vec![needle(b"TESTKEY0", b'#', true)], text), None);
        assert_eq!(several(of(true), "nothing here"), None);
    }
}
