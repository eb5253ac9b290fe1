//! JSON records of which nothing is known, as the values at their paths: what is guessed from goes through here. Bounded
//! in depth and number, so that no record costs more than a log's.

use crate::decode::json::{JsonError, Scalar, Scanner};

/// Values of one record that are looked at.
const LEAVES_MAX: usize = 512;
/// Records' values that are kept of each path.
const VALUES_MAX: usize = 200;
/// Longer values are not kept: no id, time or name is so long.
const VALUE_BYTES_MAX: usize = 2048;

/// A value and the keys that lead to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Leaf {
    /// From the outermost object inwards; a list is a key `[]`.
    pub(super) path: Vec<String>,
    /// None: null.
    pub(super) value: Option<Vec<u8>>,
    /// It stood in quotes.
    pub(super) quoted: bool,
    /// It is an element of a list: no setting can name it.
    pub(super) in_list: bool,
}

impl Leaf {
    /// The keys with dots between; a list is shown as `key[]`.
    pub(super) fn dotted(&self) -> String {
        self.path.join(".").replace(".[]", "[]")
    }

    /// The value, where there is one: `-` and an empty one are none.
    pub(super) fn told(&self) -> Option<&[u8]> {
        self.value.as_deref().filter(|value| !matches!(*value, b"" | b"-"))
    }
}

/// The values of a record in their order.
pub(super) fn leaves(record: &[u8]) -> Result<Vec<Leaf>, JsonError> {
    let mut scanner = Scanner::new(record);
    let (mut found, mut path) = (Vec::new(), Vec::new());
    object(&mut scanner, &mut path, false, &mut found)?;
    scanner.end()?;
    Ok(found)
}

fn object(
    scanner: &mut Scanner<'_>,
    path: &mut Vec<String>,
    in_list: bool,
    found: &mut Vec<Leaf>,
) -> Result<(), JsonError> {
    scanner.object(|scanner, key| {
        let mut name = Vec::new();
        key.unescape(&mut name);
        path.push(String::from_utf8_lossy(&name).into_owned());
        value(scanner, path, in_list, found)?;
        path.pop();
        Ok(())
    })
}

fn value(
    scanner: &mut Scanner<'_>,
    path: &mut Vec<String>,
    in_list: bool,
    found: &mut Vec<Leaf>,
) -> Result<(), JsonError> {
    match scanner.peek() {
        _ if found.len() >= LEAVES_MAX => scanner.skip(),
        Some(b'{') => object(scanner, path, in_list, found),
        Some(b'[') => {
            path.push("[]".to_owned());
            let mut first = true;
            scanner.array(|scanner| {
                // The first tells what the others are.
                if std::mem::replace(&mut first, false) { value(scanner, path, true, found) } else { scanner.skip() }
            })?;
            path.pop();
            Ok(())
        }
        _ => {
            let (value, quoted) = match scanner.scalar()? {
                Scalar::Null => (None, false),
                Scalar::Literal(_, text) => (Some(text.to_vec()), false),
                Scalar::Text(text) => {
                    let mut meant = Vec::new();
                    text.unescape(&mut meant);
                    (Some(meant), true)
                }
            };
            found.push(Leaf { path: path.clone(), value, quoted, in_list });
            Ok(())
        }
    }
}

/// What stands at one path, over many records.
#[derive(Clone, Default, Debug)]
pub(super) struct Seen {
    /// The keys that lead there.
    pub(super) path: Vec<String>,
    /// Records that have the path.
    pub(super) records: usize,
    /// Records in which something is told there.
    pub(super) told: usize,
    /// Values in quotes.
    pub(super) quoted: usize,
    /// Some of the values.
    pub(super) values: Vec<Vec<u8>>,
}

impl Seen {
    /// Whether (nearly) all values are such; none is, too.
    pub(super) fn all(&self, is_such: impl Fn(&[u8]) -> bool) -> bool {
        let such = self.values.iter().filter(|value| is_such(value)).count();
        // A damaged record, or one that somebody pieced together, must not hide what the others are.
        such * 100 >= self.values.len() * 95
    }

    /// Different values among those kept.
    pub(super) fn distinct(&self) -> usize {
        let mut values: Vec<_> = self.values.iter().collect();
        values.sort_unstable();
        values.dedup();
        values.len()
    }
}

/// All paths that some records have, in the order in which they are met.
pub(super) fn survey<'r>(records: impl Iterator<Item = &'r [Leaf]>) -> Vec<Seen> {
    let mut places: hashbrown::HashMap<Vec<String>, usize> = hashbrown::HashMap::new();
    let mut all: Vec<Seen> = Vec::new();
    for leaf in records.flatten().filter(|leaf| !leaf.in_list) {
        let at = *places.entry(leaf.path.clone()).or_insert_with(|| {
            all.push(Seen { path: leaf.path.clone(), ..Seen::default() });
            all.len() - 1
        });
        let seen = &mut all[at];
        seen.records += 1;
        seen.quoted += usize::from(leaf.quoted);
        if let Some(value) = leaf.told() {
            seen.told += 1;
            if seen.values.len() < VALUES_MAX && value.len() <= VALUE_BYTES_MAX {
                seen.values.push(value.to_vec());
            }
        }
    }
    all
}

/// A name without case and punctuation: `request_id`, `requestId` and `request-id` are one.
pub(super) fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_with_their_paths() {
        let found = leaves(br#"{"a":"x","b":{"c":-,"d":[{"e":1},{"e":2}]},"f":null}"#).unwrap();
        let shown: Vec<_> = found.iter().map(|leaf| (leaf.dotted(), leaf.told().map(<[u8]>::to_vec))).collect();
        assert_eq!(
            shown,
            [
                ("a".to_owned(), Some(b"x".to_vec())),
                ("b.c".to_owned(), None),
                ("b.d[].e".to_owned(), Some(b"1".to_vec())),
                ("f".to_owned(), None)
            ]
        );
        assert!(leaves(br#"{"a":"#).is_err() && leaves(b"[]").is_err());
    }

    #[test]
    fn paths_are_counted_over_records() {
        let records = [leaves(br#"{"a":"1","b":"-"}"#).unwrap(), leaves(br#"{"b":"x","c":[1]}"#).unwrap()];
        let seen = survey(records.iter().map(Vec::as_slice));
        let shown: Vec<_> = seen.iter().map(|seen| (seen.path.join("."), seen.records, seen.told)).collect();
        assert_eq!(shown, [("a".to_owned(), 1, 1), ("b".to_owned(), 2, 1)]);
    }
}
