//! Values at known places of a JSON object: each place is a path of keys from the outermost object inwards. A key that
//! stands twice in an object that is looked into is refused, whether its value is wanted or not: a caller who can break
//! out of a string would send one. So is an object or array where a value is wanted. Other keys are passed over.

use std::ops::Range;

use hashbrown::HashMap;

use super::error::Reject;
use super::json::{Scalar, Scanner, UnknownKeys};

/// The places, by number.
#[derive(Debug)]
pub(super) struct Paths {
    /// The objects looked into, the outermost first.
    objects: Vec<HashMap<Box<[u8]>, Member>>,
    slots: usize,
    keys: usize,
}

/// What stands under a key.
#[derive(Clone, Copy, Debug)]
struct Member {
    /// Its number among all keys.
    number: usize,
    target: Target,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Target {
    /// A wanted value, by its number.
    Slot(usize),
    /// An object, by its place.
    Object(usize),
}

/// One path leads through the value of another, or is empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Clash;

impl Paths {
    pub(super) fn new() -> Self {
        Self { objects: vec![HashMap::new()], slots: 0, keys: 0 }
    }

    /// Adds a path and gives its value's number; equal paths have the same.
    pub(super) fn add<'k>(&mut self, path: impl IntoIterator<Item = &'k str>) -> Result<usize, Clash> {
        let mut path = path.into_iter().peekable();
        let mut object = 0;
        loop {
            let key = path.next().filter(|key| !key.is_empty()).ok_or(Clash)?.as_bytes();
            let last = path.peek().is_none();
            let target = match self.objects[object].get(key) {
                Some(member) => member.target,
                None => {
                    let target = if last { Target::Slot(self.slots) } else { Target::Object(self.objects.len()) };
                    match target {
                        Target::Slot(_) => self.slots += 1,
                        Target::Object(_) => self.objects.push(HashMap::new()),
                    }
                    self.objects[object].insert(key.into(), Member { number: self.keys, target });
                    self.keys += 1;
                    target
                }
            };
            match target {
                Target::Slot(slot) if last => return Ok(slot),
                Target::Object(inner) if !last => object = inner,
                _ => return Err(Clash),
            }
        }
    }
}

/// The values of one record by number.
#[derive(Default)]
pub(super) struct Found {
    cells: Vec<Cell>,
    /// Number of the record in which a key was last seen, by the key's number.
    seen: Vec<u64>,
    turn: u64,
    /// Strings that had escapes.
    unescaped: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Cell {
    Missing,
    Null,
    /// Within the record.
    Record(usize, usize),
    /// Within `unescaped`; in the record, with escapes, it stands there.
    Unescaped((usize, usize), (usize, usize)),
}

impl Found {
    /// Reads a record.
    pub(super) fn read(&mut self, record: &[u8], paths: &Paths) -> Result<(), Reject> {
        self.cells.clear();
        self.cells.resize(paths.slots, Cell::Missing);
        self.seen.resize(paths.keys, 0);
        self.turn += 1;
        self.unescaped.clear();
        let mut scanner = Scanner::new(record);
        self.object(&mut scanner, paths, 0)?;
        Ok(scanner.end()?)
    }

    fn object(&mut self, scanner: &mut Scanner<'_>, paths: &Paths, object: usize) -> Result<(), Reject> {
        let mut unknown = UnknownKeys::default();
        let mut meant = Vec::new();
        scanner.object(|scanner, key| {
            let name = if key.escaped {
                meant.clear();
                key.unescape(&mut meant);
                &meant
            } else {
                key.raw
            };
            let Some(&Member { number, target }) = paths.objects[object].get(name) else {
                unknown.add(key, "too many keys that no column is read from")?;
                return Ok(scanner.skip()?);
            };
            if std::mem::replace(&mut self.seen[number], self.turn) == self.turn {
                return Err(Reject::duplicate_key());
            }
            match (target, scanner.peek()) {
                (Target::Object(inner), Some(b'{')) => self.object(scanner, paths, inner),
                // A part that is not there; anything else would be a value that nobody looks at.
                (Target::Object(_), _) if scanner.rest().starts_with(b"null") => Ok(scanner.skip()?),
                (Target::Slot(slot), Some(b)) if !matches!(b, b'{' | b'[') => {
                    self.cells[slot] = self.cell(scanner.scalar()?);
                    Ok(())
                }
                _ => {
                    let wanted = if matches!(target, Target::Slot(_)) { "a value" } else { "an object" };
                    let key = String::from_utf8_lossy(name).into_owned();
                    Err(Reject::new("keys", format!("under key `{key}` stands something other than {wanted}")))
                }
            }
        })
    }

    fn cell(&mut self, scalar: Scalar<'_>) -> Cell {
        match scalar {
            Scalar::Null => Cell::Null,
            Scalar::Text(text) if text.escaped => {
                let start = self.unescaped.len();
                text.unescape(&mut self.unescaped);
                Cell::Unescaped((start, self.unescaped.len()), (text.at, text.at + text.raw.len()))
            }
            Scalar::Text(text) => Cell::Record(text.at, text.at + text.raw.len()),
            Scalar::Literal(at, literal) => Cell::Record(at, at + literal.len()),
        }
    }

    /// A value; `-` and an empty one are none.
    pub(super) fn get<'a>(&'a self, record: &'a [u8], slot: usize) -> Option<&'a [u8]> {
        let value = match self.cells[slot] {
            Cell::Missing | Cell::Null => return None,
            Cell::Record(start, end) => &record[start..end],
            Cell::Unescaped((start, end), _) => &self.unescaped[start..end],
        };
        (!matches!(value, b"" | b"-")).then_some(value)
    }

    /// Whether its key was there, whatever stood under it.
    pub(super) fn is_there(&self, slot: usize) -> bool {
        !matches!(self.cells[slot], Cell::Missing)
    }

    /// Where in the record just read the value stands.
    pub(super) fn place(&self, slot: usize) -> Option<Range<usize>> {
        match self.cells.get(slot)? {
            Cell::Missing | Cell::Null => None,
            Cell::Record(start, end) | Cell::Unescaped(_, (start, end)) => Some(*start..*end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(list: &[&[&str]]) -> Result<Paths, Clash> {
        let mut paths = Paths::new();
        for (number, path) in list.iter().enumerate() {
            assert_eq!(paths.add(path.iter().copied())?, number);
        }
        Ok(paths)
    }

    fn read(record: &str) -> Result<Vec<String>, &'static str> {
        let paths = paths(&[&["id"], &["http", "status"], &["http", "url"]]).unwrap();
        let mut found = Found::default();
        found.read(record.as_bytes(), &paths).map_err(|reject| reject.reason)?;
        let show = |slot| match (found.get(record.as_bytes(), slot), found.is_there(slot)) {
            (Some(value), _) => String::from_utf8_lossy(value).into_owned(),
            (None, there) => if there { "none" } else { "missing" }.to_owned(),
        };
        Ok((0..3).map(show).collect())
    }

    #[test]
    fn values_are_found_whatever_stands_around_them() {
        assert_eq!(
            read(r#"{"x":[{"id":1}],"http":{"url":"/a\"b","status":200,"id":9},"id":"A"}"#).unwrap(),
            ["A", "200", "/a\"b"]
        );
        assert_eq!(read(r#"{"id":"-","http":null}"#).unwrap(), ["none", "missing", "missing"]);
        assert_eq!(read(r#"{"\u0069d":true,"http":{}}"#).unwrap(), ["true", "missing", "missing"]);
    }

    #[test]
    fn no_key_stands_twice() {
        for record in [
            r#"{"id":"A","id":"B"}"#,
            r#"{"id":"A","\u0069d":"B"}"#,
            r#"{"http":{"status":1},"http":{"url":"/"}}"#,
            r#"{"http":{"status":1,"status":1}}"#,
            r#"{"http":{"x":1,"x":1}}"#,
            r#"{"y":1,"id":"A","\u0079":2}"#,
        ] {
            assert_eq!(read(record), Err("duplicate_key"), "{record}");
        }
        let many: Vec<_> = (0..300).map(|number| format!("\"k{number}\":1")).collect();
        assert_eq!(read(&format!("{{{}}}", many.join(","))), Err("bad_json"));
    }

    #[test]
    fn a_value_of_another_kind_is_no_null() {
        for record in [r#"{"id":{}}"#, r#"{"id":["A"]}"#, r#"{"http":"/"}"#, r#"{"http":[]}"#] {
            assert_eq!(read(record), Err("keys"), "{record}");
        }
        assert_eq!(read(r#"{"id":"A"} x"#), Err("bad_json"));
    }

    #[test]
    fn paths_do_not_lead_through_values() {
        assert!(paths(&[&["a"], &["b", "c"]]).is_ok());
        assert_eq!(paths(&[&["a"], &["a", "b"]]).unwrap_err(), Clash);
        assert_eq!(paths(&[&["a", "b"], &["a"]]).unwrap_err(), Clash);
        assert_eq!(paths(&[&["a", ""]]).unwrap_err(), Clash);
        let mut paths = Paths::new();
        assert_eq!((paths.add(["a", "b"]), paths.add(["a", "b"])), (Ok(0), Ok(0)));
    }
}
