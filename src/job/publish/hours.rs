//! Up to which hour what was delivered is in the tables. Of a source the hour with its newest records may still be coming, so the
//! hours before it are complete; a gap, or an object that is converted and not built, ends that earlier. Of sources that have
//! never delivered anything nothing is said.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{HalfOpen, Micros, UtcHour};
use crate::lake::Receipt;
use crate::model::Engine;

use super::super::JobError;
use super::super::rows::Rows;

/// What is known of the hours of each source.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Hours(BTreeMap<String, SourceHours>);

/// What is known of the hours of one source.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
struct SourceHours {
    /// The newest hour with records.
    last: Option<UtcHour>,
    /// Hours of which something is missing.
    missing: BTreeSet<UtcHour>,
}

impl Hours {
    /// Reads them from `coverage_hourly` and the receipts that wait.
    pub(super) async fn read(engine: &Engine, waiting: &[Receipt]) -> Result<Self, JobError> {
        let mut hours = Self::default();
        let mut found = engine.query(include_str!("../../../sql/report/hours_known.sql")).await?;
        while let Some(batch) = found.next().await? {
            let rows = Rows { batch: &batch, of: "coverage_hourly" };
            let (sources, starts, states) = (rows.texts("source")?, rows.instants("hour_start")?, rows.texts("state")?);
            for ((source, start), state) in sources.into_iter().zip(starts).zip(states) {
                let (Some(source), Some(start)) = (source, start) else { continue };
                match state.as_deref() {
                    Some("ok") => hours.has_records(&source, start.hour()),
                    _ => hours.is_missing(&source, start.hour()),
                }
            }
        }
        for receipt in waiting {
            receipt.hours.iter().for_each(|staged| hours.is_missing(&receipt.object.source, staged.hour));
        }
        Ok(hours)
    }

    /// Notes an hour with records.
    pub fn has_records(&mut self, source: &str, hour: UtcHour) {
        let known = self.0.entry(source.to_owned()).or_default();
        known.last = known.last.max(Some(hour));
    }

    /// Notes an hour of which something is missing.
    pub fn is_missing(&mut self, source: &str, hour: UtcHour) {
        self.0.entry(source.to_owned()).or_default().missing.insert(hour);
    }

    /// Up to when a month is complete as far as these sources go, and not later than `now`: within the month, and its end
    /// where the whole of it is.
    pub fn complete_until<'s>(
        &self,
        sources: impl IntoIterator<Item = &'s str>,
        month: HalfOpen<Micros>,
        now: Micros,
    ) -> Micros {
        let known = sources.into_iter().filter_map(|source| self.0.get(source));
        let ends = known.flat_map(|hours| {
            let missing = hours.missing.range(month.from.hour()..).next();
            [Some(hours.last.map_or(month.from, UtcHour::start)), missing.map(|hour| hour.start())]
        });
        let first = ends.flatten().chain(month.to).chain([now]).min().unwrap_or(month.from);
        first.max(month.from)
    }
}
