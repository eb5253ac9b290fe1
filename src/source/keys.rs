//! Keys as paths of a store, and back. S3 takes any text for a key; a path of `object_store` has neither empty parts nor `.` and
//! `..`. A part that a path cannot have gets a mark in front, so that no key is lost or taken for another: `a//b` and `a/b` are
//! two paths. Whoever talks to S3 takes the mark off again.

use std::borrow::Cow;

use object_store::path::Path;

/// Begins a part that a path could not have; a character that Unicode gives to nobody.
pub(crate) const MARK: char = '\u{E000}';

/// The path of a key: as it is, nothing encoded.
pub(crate) fn to_path(key: &str) -> Result<Path, object_store::path::Error> {
    Path::parse(marked(key))
}

/// The key of a path.
pub(crate) fn of_path(path: &Path) -> String {
    path.as_ref().split('/').map(unmarked).collect::<Vec<_>>().join("/")
}

/// The text of a key with its odd parts marked.
pub(crate) fn marked(key: &str) -> Cow<'_, str> {
    if !key.split('/').any(is_odd) {
        return Cow::Borrowed(key);
    }
    let mark = |part: &str| if is_odd(part) { format!("{MARK}{part}") } else { part.to_owned() };
    Cow::Owned(key.split('/').map(mark).collect::<Vec<_>>().join("/"))
}

fn unmarked(part: &str) -> &str {
    part.strip_prefix(MARK).filter(|rest| is_odd(rest)).unwrap_or(part)
}

/// Whether a path cannot have this part, or it would be taken for a marked one.
fn is_odd(part: &str) -> bool {
    matches!(part, "" | "." | "..") || part.starts_with(MARK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_path_of_its_own() {
        let keys =
            ["a/b", "a//b", "/a/b", "a/b/", "a///b", "a/./b", "a/../b", "\u{E000}", "a/\u{E000}/b", "é +%=&/x", "a"];
        let mut paths: Vec<Path> = keys.iter().map(|key| to_path(key).unwrap()).collect();
        for (key, path) in keys.iter().zip(&paths) {
            assert_eq!(of_path(path), *key);
        }
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), keys.len());
        assert_eq!(to_path("a/b").unwrap().as_ref(), "a/b");
    }
}
