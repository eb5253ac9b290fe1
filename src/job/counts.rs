//! How many requests somebody else counted, hour by hour, beside what the logs brought. Goes in: counts of whole UTC days of
//! a source, from CloudWatch or a file; they take the place of what the lake has of those days. Comes out: the days that
//! changed, and the hours in which requests are missing. When a count was fetched is not kept: the tables are no function of
//! a clock. An hour that is not over is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray};

use crate::base::problem::suggestion;
use crate::base::{Micros, Problems, UtcDay, UtcHour};
use crate::billing::{ConfigFile, Sheet};
use crate::lake::{FileSlot, Lake, Replacement};
use crate::model::Engine;
use crate::schema::Table;
use crate::source::REQUESTS_MAX;

use super::JobError;
use super::attempts::until_unopposed;
use super::rows::Rows;

/// Hours that are left alone after their end: metrics come minutes late, and log objects up to a quarter of an hour.
const SETTLING_HOURS: i32 = 1;

/// Who counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CountedBy {
    /// CloudWatch.
    CloudWatch,
    /// Whoever wrote the file.
    File,
}

/// What the days of sources hold from now on; a day without hours holds nothing any more.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Counts {
    days: BTreeMap<(String, UtcDay), BTreeMap<UtcHour, i64>>,
}

/// An hour with fewer requests than were counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shortfall {
    /// The source.
    pub source: String,
    /// The hour.
    pub hour: UtcHour,
    /// Requests that were counted elsewhere.
    pub expected: i64,
    /// Requests that the logs tell of.
    pub found: i64,
}

impl Counts {
    /// Adds an hour of a source, and with it its day.
    pub fn add(&mut self, source: &str, hour: UtcHour, requests: i64) {
        self.days.entry((source.to_owned(), hour.day())).or_default().insert(hour, requests);
    }

    /// Hours and requests of each source.
    pub fn totals(&self) -> BTreeMap<&str, (u64, i128)> {
        let mut totals = BTreeMap::new();
        for ((source, _), hours) in &self.days {
            let (count, requests): &mut (u64, i128) = totals.entry(source.as_str()).or_default();
            *count += hours.len() as u64;
            *requests += hours.values().map(|requests| i128::from(*requests)).sum::<i128>();
        }
        totals
    }

    /// The days there are counts of.
    pub fn days(&self) -> BTreeSet<UtcDay> {
        self.days.keys().map(|(_, day)| *day).collect()
    }

    /// Reads `source,hour,requests`. Every day of a source that occurs is told of whole: hours that are left out, or have
    /// no `requests`, are not known.
    pub fn read(file: &ConfigFile, sources: &[&str], now: Micros) -> Result<Self, Problems> {
        let mut sheet = Sheet::read(file, &["source", "hour", "requests"], &[]);
        let mut counts = Self::default();
        let mut seen = BTreeSet::new();
        sheet.each(|row| {
            let source = row.required("source")?;
            if !sources.contains(&source) {
                return Err(format!("unknown source `{source}`{}", suggestion(source, sources.iter().copied())));
            }
            let hour: UtcHour = row.required("hour")?.parse().map_err(|error| format!("`hour`: {error}"))?;
            if hour.end() > now {
                return Err(format!("the hour {hour} is not over yet"));
            }
            if !seen.insert((source.to_owned(), hour)) {
                return Err(format!("the hour {hour} of `{source}` appears twice"));
            }
            match row.cell("requests").map(str::parse::<i64>) {
                None => drop(counts.days.entry((source.to_owned(), hour.day())).or_default()),
                Some(Ok(requests @ 0..=REQUESTS_MAX)) => counts.add(source, hour, requests),
                Some(_) => return Err(format!("`requests` must be a whole number from 0 to {REQUESTS_MAX}")),
            }
            Ok(())
        });
        sheet.problems.or(counts)
    }
}

/// The hours of the last `days` UTC days, today included, that have settled; never the current one.
pub fn settled_hours(now: Micros, days: u16) -> (UtcHour, UtcHour) {
    let to = UtcHour(now.hour().0 - SETTLING_HOURS);
    let first = UtcDay(now.day().0 + 1 - i32::from(days));
    (first.first_hour(), to)
}

/// The hour after the first one in which each source has events. What was counted before has no logs to be held against:
/// nobody had switched them on.
pub async fn counted_from(engine: &Engine) -> Result<BTreeMap<String, UtcHour>, JobError> {
    let sql = "SELECT source, min(hour_start) AS hour_start FROM coverage_hourly WHERE events > 0 GROUP BY source";
    let mut first = BTreeMap::new();
    for batch in engine.query(sql).await?.collect().await? {
        let rows = Rows { batch: &batch, of: "coverage_hourly" };
        for (source, hour) in rows.texts("source")?.into_iter().zip(rows.instants("hour_start")?) {
            first.extend(source.zip(hour.map(|hour| hour.hour().next())));
        }
    }
    Ok(first)
}

/// Puts the counts in place of what the lake has of their days; gives the days that changed.
pub async fn store(lake: &Lake, counts: &Counts, by: CountedBy) -> Result<Vec<(String, UtcDay)>, JobError> {
    let mut changed = Vec::new();
    until_unopposed(async || {
        let before = lake.table(Table::RequestCounts).await?;
        let mut replace = Vec::with_capacity(counts.days.len());
        for ((source, day), hours) in &counts.days {
            let slot = FileSlot::source_day(*day, source);
            let rows = (!hours.is_empty()).then(|| rows(source, hours, by)).transpose()?;
            let new = lake.write_file(&before, slot.clone(), rows.into_iter().collect()).await?;
            replace.push(Replacement { slot, new });
        }
        let after = before.commit(replace, "counts").await?.table;
        changed = counts.days.keys().cloned().collect();
        changed.retain(|(source, day): &(String, UtcDay)| {
            let slot = FileSlot::source_day(*day, source);
            before.current(&slot).map(|file| &file.digest) != after.current(&slot).map(|file| &file.digest)
        });
        Ok(())
    })
    .await?;
    Ok(changed)
}

fn rows(source: &str, hours: &BTreeMap<UtcHour, i64>, by: CountedBy) -> Result<RecordBatch, JobError> {
    let by = match by {
        CountedBy::CloudWatch => "cloudwatch",
        CountedBy::File => "file",
    };
    let same = |text: &str| -> ArrayRef { Arc::new(StringViewArray::from_iter_values(hours.keys().map(|_| text))) };
    let starts = TimestampMicrosecondArray::from_iter_values(hours.keys().map(|hour| hour.start().0));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(starts.with_timezone("UTC")),
        same(source),
        Arc::new(Int64Array::from_iter_values(hours.values().copied())),
        same(by),
    ];
    let fault = |source| JobError::Rows { table: Table::RequestCounts.name(), source };
    RecordBatch::try_new(Table::RequestCounts.file_schema(), columns).map_err(fault)
}

/// The hours from a day on that have fewer requests than were counted, beyond what is tolerated.
pub async fn shortfalls(engine: &Engine, from: UtcDay) -> Result<Vec<Shortfall>, JobError> {
    let sql = format!(
        "SELECT source, hour_start, expected, events - conflicts AS found FROM coverage_hourly \
         WHERE state = 'gap' AND expected > events - conflicts AND day >= DATE '{from}' ORDER BY source, hour_start"
    );
    let mut all = Vec::new();
    for batch in engine.query(&sql).await?.collect().await? {
        let rows = Rows { batch: &batch, of: "coverage_hourly" };
        let (sources, hours) = (rows.texts("source")?, rows.instants("hour_start")?);
        let (expected, found) = (rows.bigints("expected")?, rows.bigints("found")?);
        for (row, (source, hour)) in sources.into_iter().zip(hours).enumerate() {
            let (Some(source), Some(hour)) = (source, hour) else { continue };
            all.push(Shortfall { source, hour: hour.hour(), expected: expected[row], found: found[row] });
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Counts, String> {
        let file = ConfigFile { name: "counts.csv".to_owned(), bytes: text.into() };
        let now = "2026-10-29T12:30:00Z".parse().unwrap();
        Counts::read(&file, &["edge", "origin"], now).map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_file_tells_of_whole_days() {
        let counts = read(
            "source,hour,requests\norigin,2026-10-29T09,7\norigin,2026-10-29T11,0\nedge,2026-10-28T05,\nedge,2026-10-29T05,2\n",
        )
        .unwrap();
        assert_eq!(counts.totals(), BTreeMap::from([("edge", (1, 2)), ("origin", (2, 7))]));
        let days: Vec<_> = counts.days.iter().map(|((source, day), h)| format!("{source} {day} {}", h.len())).collect();
        assert_eq!(days, ["edge 2026-10-28 0", "edge 2026-10-29 1", "origin 2026-10-29 2"]);
    }

    #[test]
    fn what_is_no_count_is_told_with_its_line() {
        let wrong = read(
            "source,hour,requests\nedgy,2026-10-29T09,7\nedge,2026-10-29,7\nedge,2026-10-29T12,7\nedge,2026-10-29T09,-1\n\
             edge,2026-10-29T10,1.5\nedge,2026-10-29T11,1\nedge,2026-10-29T11,2\nedge,2026-10-29T08,9007199254740993\n",
        );
        assert_eq!(
            wrong.unwrap_err(),
            "counts.csv:2: unknown source `edgy`; did you mean `edge`?\n\
             counts.csv:3: `hour`: `2026-10-29` is not an hour such as 2026-10-01T05\n\
             counts.csv:4: the hour 2026-10-29T12 is not over yet\n\
             counts.csv:5: `requests` must be a whole number from 0 to 9007199254740992\n\
             counts.csv:6: `requests` must be a whole number from 0 to 9007199254740992\n\
             counts.csv:8: the hour 2026-10-29T11 of `edge` appears twice\n\
             counts.csv:9: `requests` must be a whole number from 0 to 9007199254740992"
        );
    }

    #[test]
    fn the_current_hour_and_the_one_before_are_left_alone() {
        let hours = |now: &str, days| {
            let (from, to) = settled_hours(now.parse().unwrap(), days);
            format!("{from} {to}")
        };
        assert_eq!(hours("2026-10-29T12:59:59Z", 3), "2026-10-27T00 2026-10-29T11");
        // Just after midnight the day before is asked for without its last hour, and nothing of today.
        assert_eq!(hours("2026-10-29T00:10:00Z", 1), "2026-10-29T00 2026-10-28T23");
    }
}
