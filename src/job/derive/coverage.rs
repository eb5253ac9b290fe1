//! `coverage_hourly`: one file per UTC day of which the ledger, the events or the requests counted elsewhere know anything.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};

use crate::base::{Digest, UtcDay};
use crate::lake::{FileSlot, Replacement};
use crate::model::coverage_sql;
use crate::schema::Table;

use super::super::JobError;
use super::{Work, digest_of, text_digest};

pub(super) async fn build(work: &mut Work<'_>) -> Result<(), JobError> {
    let mut days: BTreeMap<UtcDay, Vec<String>> = BTreeMap::new();
    for table in [Table::ObjectHours, Table::OriginRequests, Table::EdgeRequests, Table::RequestCounts] {
        for file in work.tables[&table].files() {
            if let Some(day) = file.day {
                days.entry(day).or_default().push(format!("{}/{}", table.name(), file.path));
            }
        }
    }
    let mut stale: Vec<(UtcDay, Digest)> = Vec::new();
    for (day, mut inputs) in days.clone() {
        inputs.push(text_digest(Table::CoverageHourly));
        inputs.extend(work.with.coverage.facts());
        let inputs = digest_of(inputs);
        if !work.keep(Table::CoverageHourly, &day.to_string(), vec![FileSlot::day(day)], inputs, "") {
            stale.push((day, inputs));
        }
    }
    let gone: BTreeSet<UtcDay> = work.tables[&Table::CoverageHourly].files().iter().filter_map(|f| f.day).collect();
    let gone = gone
        .into_iter()
        .filter(|day| !days.contains_key(day))
        .map(|day| (day.to_string(), Replacement { slot: FileSlot::day(day), new: None }));
    let mut replace: Vec<(String, Replacement)> = gone.collect();
    if let Some((day, _)) = stale.first() {
        work.stale(Table::CoverageHourly, &day.to_string())?;
        let engine = work.engine().await?;
        let this = &*work;
        let made: Vec<_> = futures::stream::iter(stale)
            .map(|(day, inputs)| async move {
                let sql = coverage_sql(day, &this.with.coverage);
                let rows = engine.make(Table::CoverageHourly, &day.to_string(), &sql).await?;
                let count = rows.num_rows();
                let replacement = this.replacement(Table::CoverageHourly, FileSlot::day(day), &[rows]).await?;
                Ok::<_, JobError>((day, inputs, count, replacement))
            })
            .buffered(work.with.engine.partitions.get())
            .try_collect()
            .await?;
        for (day, inputs, rows, replacement) in made {
            work.built.made(Table::CoverageHourly, &day.to_string(), vec![FileSlot::day(day)], inputs, "", rows);
            replace.push((day.to_string(), replacement));
        }
    }
    work.commit(Table::CoverageHourly, replace).await
}
