//! The names of data files. A *slot* is the place of a file within its table: a day, and for events a source, hour and part.
//! At any version a slot holds one file at most. A name adds the generation, so that no path is ever used twice, and the
//! digest of the content, so that equal content is seen without reading it.

use std::fmt;

use crate::base::{Digest, UtcDay, UtcHour};

/// The place of a file within its table; two files of one slot replace each other.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileSlot {
    /// The partition; none in tables that have no partitions.
    pub day: Option<UtcDay>,
    /// The source whose rows the file holds; none: of all.
    pub source: Option<String>,
    /// The hour of the day whose rows the file holds; none: of all.
    pub hour: Option<u32>,
    /// Which part of a unit that is split; 0 where it is not.
    pub part: u32,
}

/// The name of a data file, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileName {
    /// Where it belongs.
    pub slot: FileSlot,
    /// The table version it was written for.
    pub generation: u64,
    /// The first 16 hex digits of its content's digest.
    pub digest: String,
}

impl FileSlot {
    /// The only file of a table without partitions.
    pub fn whole() -> Self {
        Self { day: None, source: None, hour: None, part: 0 }
    }

    /// The only file of a day.
    pub fn day(day: UtcDay) -> Self {
        Self { day: Some(day), ..Self::whole() }
    }

    /// One source's file of a day.
    pub fn source_day(day: UtcDay, source: &str) -> Self {
        Self { source: Some(source.to_owned()), ..Self::day(day) }
    }

    /// A unit, or one part of it.
    pub fn unit(source: &str, hour: UtcHour, part: u32) -> Self {
        Self { source: Some(source.to_owned()), hour: Some(hour.of_day()), part, ..Self::day(hour.day()) }
    }

    /// The UTC hour of a unit.
    pub fn utc_hour(&self) -> Option<UtcHour> {
        Some(UtcHour(self.day?.first_hour().0 + i32::try_from(self.hour?).ok()?))
    }
}

impl fmt::Display for FileSlot {
    /// The path without generation and digest: `day=2026-10-01/origin.h05.p0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(day) = self.day {
            write!(f, "day={day}/")?;
        }
        match (&self.source, self.hour) {
            (Some(source), Some(hour)) => write!(f, "{source}.h{hour:02}.p{}", self.part),
            (Some(source), None) => write!(f, "{source}.day"),
            (None, _) => write!(f, "all"),
        }
    }
}

impl FileName {
    /// The name of content in a slot.
    pub(crate) fn new(slot: FileSlot, generation: u64, content: Digest) -> Self {
        Self { slot, generation, digest: content.short() }
    }

    /// Takes a path within a table apart; `None` where it is not one of ours.
    pub fn parse(path: &str) -> Option<Self> {
        let (day, name) = match path.split_once('/') {
            Some((folder, name)) => (Some(folder.strip_prefix("day=")?.parse().ok()?), name),
            None => (None, path),
        };
        let fields: Vec<&str> = name.strip_suffix(".parquet")?.split('.').collect();
        let (slot, generation, digest) = match fields[..] {
            ["all", generation, digest] => (FileSlot { day, ..FileSlot::whole() }, generation, digest),
            [source, "day", generation, digest] => (FileSlot::source_day(day?, source), generation, digest),
            [source, hour, part, generation, digest] => {
                let hour = hour.strip_prefix('h')?.parse().ok().filter(|hour| *hour < 24)?;
                let part = part.strip_prefix('p')?.parse().ok()?;
                let source = Some(source.to_owned());
                (FileSlot { day: Some(day?), source, hour: Some(hour), part }, generation, digest)
            }
            _ => return None,
        };
        let parsed = Self { slot, generation: generation.strip_prefix('g')?.parse().ok()?, digest: digest.to_owned() };
        // One file has one spelling: `h5` or `g007` would be another path for the same place.
        (parsed.to_string() == path).then_some(parsed)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.g{}.{}.parquet", self.slot, self.generation, self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        let hour: UtcHour = "2026-10-01T05".parse().unwrap();
        let content = Digest::of(["content"]);
        for (slot, shown) in [
            (FileSlot::unit("origin", hour, 0), "day=2026-10-01/origin.h05.p0"),
            (FileSlot::unit("all", hour, 3), "day=2026-10-01/all.h05.p3"),
            (FileSlot::source_day(hour.day(), "all"), "day=2026-10-01/all.day"),
            (FileSlot::day(hour.day()), "day=2026-10-01/all"),
            (FileSlot::whole(), "all"),
        ] {
            let name = FileName::new(slot.clone(), 7, content);
            assert_eq!(name.to_string(), format!("{shown}.g7.{}.parquet", content.short()));
            assert_eq!(FileName::parse(&name.to_string()), Some(name));
        }
        assert_eq!(FileSlot::unit("origin", hour, 0).utc_hour(), Some(hour));
    }

    #[test]
    fn other_names_are_not_ours() {
        for path in [
            "day=2026-10-01/part-0.parquet",
            "day=2026-10-01/a.h5.p0.g1.00.parquet",
            "day=2026-10-01/a.h24.p0.g1.00.parquet",
            "a.h05.p0.g1.00.parquet",
            "all.g1.00.json",
            "x/y/all.g1.00.parquet",
        ] {
            assert_eq!(FileName::parse(path), None, "{path}");
        }
    }
}
