//! What alarms look at after a build: whether the usage of the last whole day is like that of the days before it, and whether
//! there are keys that belong to nobody and are new. Read back from `usage_daily` by `sql/report/watch.sql`.

use anyhow::{Context, Result};
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;

use crate::billing::BillingDay;
use crate::job::Job;
use crate::model::Engine;

use super::metrics::Metrics;
use super::settings::Settings;
use super::{Talk, open};

/// So many of the seven days before must have had usage for a day to be compared with them.
const DAYS_MIN: u64 = 3;

/// What was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Watched {
    /// Events of the last whole day in thousandths of the usual; none while nobody knows what is usual.
    pub(crate) usage_per_mille: Option<u64>,
    /// Keys without an owner, first seen yesterday or today.
    pub(crate) new_unmapped_keys: u64,
}

/// Measures it for a log. The build stands: where this fails it is said, and no more.
pub(super) async fn after_build(settings: &Settings, job: &Job, talk: &Talk) {
    if !talk.measures() {
        return;
    }
    let today = settings.zone().day_of(job.now);
    let watched = async { Watched::read(&open::engine(job).await?, today).await };
    match watched.await {
        Ok(watched) => talk.measure(&[Metrics::watched(watched)]),
        Err(error) => talk.warn_of([(format!("what alarms look at could not be read: {error:#}"), error.as_ref())]),
    }
}

impl Watched {
    async fn read(engine: &Engine, today: BillingDay) -> Result<Self> {
        let day = |days_ago: i32| format!("DATE '{}'", BillingDay(today.0 - days_ago));
        let sql = include_str!("../../sql/report/watch.sql")
            .replace("$yesterday", &day(1))
            .replace("$week_before", &day(8))
            .replace("$month_before", &day(31));
        let batches = engine.query(&sql).await?.collect().await?;
        let row = batches.iter().find(|batch| batch.num_rows() > 0).context("a sum has one row")?;
        let number = |name: &str| {
            let column = row.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
            let number = column.with_context(|| format!("{name} is no number"))?.value(0);
            u64::try_from(number).with_context(|| format!("{name} is {number}"))
        };
        let (yesterday, before, days) = (number("events_yesterday")?, number("events_before")?, number("days_before")?);
        let per_mille = |yesterday: u64| u128::from(yesterday) * 1_000 * u128::from(days) / u128::from(before.max(1));
        let is_known = days >= DAYS_MIN && before > 0;
        Ok(Self {
            usage_per_mille: is_known.then(|| u64::try_from(per_mille(yesterday)).unwrap_or(u64::MAX)),
            new_unmapped_keys: number("new_unmapped_keys")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use serde_json::{Value, json};

    use super::*;
    use crate::model::EngineOptions;
    use crate::schema::Table;

    /// Usage of days of October 2026: day, attribution, key, events. Today is the 20th.
    async fn watched(rows: &[(u8, &str, &str, i64)]) -> Watched {
        let rows: Vec<Value> = rows
            .iter()
            .map(|(day, attribution, key, events)| {
                json!({"day": format!("2026-10-{day:02}"), "source": "origin", "meter": "calls", "attribution": attribution,
                    "key_ref": key, "dimensions": "{}", "quantity": events, "events": events})
            })
            .collect();
        let mut decoder =
            arrow::json::ReaderBuilder::new(Table::UsageDaily.schema()).with_strict_mode(true).build_decoder().unwrap();
        decoder.serialize(&rows).unwrap();
        let options = EngineOptions { memory_bytes_max: 64 << 20, partitions: NonZeroUsize::MIN };
        let engine = Engine::new(options).unwrap();
        engine.put(Table::UsageDaily, decoder.flush().unwrap().into_iter().collect()).unwrap();
        let today = BillingDay::from_date(chrono::NaiveDate::from_ymd_opt(2026, 10, 20).unwrap());
        Watched::read(&engine, today).await.unwrap()
    }

    #[tokio::test]
    async fn the_last_whole_day_is_held_against_the_week_before() {
        // Three days of 100 in the week before the 19th, 250 on it; what is older and what is of today does not count.
        let mut rows = vec![
            (11, "mapped", "a", 9_000),
            (12, "mapped", "a", 60),
            (12, "anonymous", "b", 40),
            (15, "mapped", "a", 100),
            (18, "unmapped", "c", 100),
            (19, "mapped", "a", 250),
            (20, "mapped", "a", 7),
        ];
        // `c` was there on the 18th already.
        assert_eq!(watched(&rows).await, Watched { usage_per_mille: Some(2_500), new_unmapped_keys: 0 });
        rows.remove(5);
        assert_eq!(watched(&rows).await.usage_per_mille, Some(0));
        // Two days are no habit.
        rows.remove(3);
        assert_eq!(watched(&rows).await.usage_per_mille, None);
        assert_eq!(watched(&[]).await, Watched { usage_per_mille: None, new_unmapped_keys: 0 });
    }

    #[tokio::test]
    async fn a_key_of_nobody_is_new_for_two_days() {
        let count = async |rows: &[(u8, &str, &str, i64)]| watched(rows).await.new_unmapped_keys;
        assert_eq!(count(&[(19, "unmapped", "a", 1), (20, "unmapped", "b", 1), (20, "unmapped", "a", 1)]).await, 2);
        assert_eq!(count(&[(18, "unmapped", "a", 1), (20, "unmapped", "a", 1)]).await, 0);
        assert_eq!(count(&[(20, "mapped", "a", 1)]).await, 0);
    }
}
