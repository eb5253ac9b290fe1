//! A lake as it is published from: one state of its usage, in which everything derived follows from everything applied, and the
//! totals of a month made from it.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{Digest, Micros};
use crate::billing::{BillingDay, BillingMonth};
use crate::lake::{Lake, LakeTable, Receipt};
use crate::model::Engine;
use crate::schema::Table;

use super::super::JobError;
use super::super::derive::{Derivation, first_stale};
use super::super::rows::Rows;
use super::Months;
use super::hours::Hours;
use super::table::Stamp;
use super::total::{self, MonthTotals, Total, TotalName, TotalRules, UsageRow};

const SECOND_MICROS: i64 = 1_000_000;

/// A lake in which everything derived follows from everything applied.
pub(super) struct View {
    pub(super) stamp: Stamp,
    usage: LakeTable,
    engine: Engine,
    hours: Hours,
}

/// What opening a lake gave.
pub(super) enum Opened {
    Whole(View),
    NoUsage,
    /// A build was at work.
    Changing,
}

impl View {
    /// Opens the newest state; a part that is stale is [`JobError::Stale`].
    pub(super) async fn open(lake: &Lake, with: &Derivation, now: Micros) -> Result<Opened, JobError> {
        let Some(usage) = lake.existing_table(Table::UsageDaily).await? else { return Ok(Opened::NoUsage) };
        let coverage = lake.existing_table(Table::CoverageHourly).await?;
        let waiting: Vec<Receipt> = lake.receipts().await?;
        if let Some((table, part)) = first_stale(lake, with).await? {
            return Err(JobError::Stale { table, part });
        }
        // Nothing was stale while these stood, so what coverage knows of, usage has.
        for seen in [Some(&usage), coverage.as_ref()].into_iter().flatten() {
            let newest = lake.existing_table(seen.table()).await?.map(|table| table.version());
            if newest != Some(seen.version()) {
                return Ok(Opened::Changing);
            }
        }
        let engine = Engine::new(with.engine)?;
        engine.see(&usage).await?;
        if let Some(coverage) = &coverage {
            engine.see(coverage).await?;
        }
        let hours = Hours::read(&engine, &waiting).await?;
        let key = u128::from_be_bytes(lake.fingerprint_key());
        let stamp = Stamp {
            lake: format!("{} {}", lake.url(), Digest::of(["lake", &format!("{key:032x}")]).short()),
            version: usage.version(),
            as_of: Micros(now.0 - now.0.rem_euclid(SECOND_MICROS)),
        };
        Ok(Opened::Whole(Self { stamp, usage, engine, hours }))
    }

    /// Whether the lake has other usage by now.
    pub(super) async fn is_overtaken(&self, lake: &Lake) -> Result<bool, JobError> {
        let newest = lake.existing_table(Table::UsageDaily).await?;
        Ok(newest.is_some_and(|newest| newest.version() != self.stamp.version))
    }

    /// The months wished for, or all that have usage or had some when they were published.
    pub(super) fn months(&self, wished: &[BillingMonth], known: &Months) -> BTreeSet<BillingMonth> {
        if !wished.is_empty() {
            return wished.iter().copied().collect();
        }
        let days = self.usage.files().into_iter().filter_map(|file| file.day);
        days.map(|day| BillingDay(day.0).month()).chain(known.keys().copied()).collect()
    }

    /// How the rows of a month become totals.
    pub(super) fn rules(&self, with: &Derivation, month: BillingMonth) -> TotalRules {
        let meters = with.meters_of(month);
        let bounds = with.zone.month_bounds(month);
        let complete_until =
            |sources: &mut dyn Iterator<Item = &str>| self.hours.complete_until(sources, bounds, self.stamp.as_of);
        TotalRules {
            month,
            has_customers: with.config_of(month).customers.num_rows() > 0,
            of_customer: meters.iter().filter(|m| m.value.is_of_customer()).map(|m| m.name.clone()).collect(),
            complete_until: meters
                .iter()
                .map(|meter| (meter.name.clone(), complete_until(&mut meter.sources.iter().map(String::as_str))))
                .collect(),
            complete_until_else: complete_until(&mut meters.iter().flat_map(|m| m.sources.iter().map(String::as_str))),
            provisional: !with.closed.contains_key(&month),
        }
    }

    /// The digest of what the totals of a month are made from.
    pub(super) fn inputs(&self, rules: &TotalRules) -> String {
        let of_month = |day: i32| BillingDay(day).month() == rules.month;
        let files = self.usage.files().into_iter().filter(|file| file.day.is_some_and(|day| of_month(day.0)));
        let mut parts: Vec<String> = files.map(|file| format!("{} {}", file.slot, file.digest)).collect();
        parts.extend(rules.of_customer.iter().map(|meter| format!("of customers {meter}")));
        parts.push(format!("customers {} provisional {}", rules.has_customers, rules.provisional));
        parts.push(total::FORMAT.to_owned());
        parts.sort_unstable();
        Digest::of(parts.iter().map(String::as_str)).to_string()
    }

    /// The totals of a month, and how many are left out.
    pub(super) async fn totals(&self, rules: &TotalRules) -> Result<(BTreeMap<TotalName, Total>, usize), JobError> {
        let day = |day: BillingDay| format!("DATE '{day}'");
        let sql = include_str!("../../../sql/report/month_totals.sql")
            .replace("$first_day", &day(rules.month.first_day()))
            .replace("$last_day", &day(rules.month.last_day()));
        let mut totals = MonthTotals::new(rules.clone());
        let mut found = self.engine.query(&sql).await?;
        while let Some(batch) = found.next().await? {
            let rows = Rows { batch: &batch, of: Table::UsageDaily.name() };
            let texts =
                [rows.texts("customer_id")?, rows.texts("key_ref")?, rows.texts("meter")?, rows.texts("attribution")?];
            let [mut customers, mut keys, mut meters, mut attributions] = texts.map(Vec::into_iter);
            let (days, quantities, events) = (rows.days("day")?, rows.wholes("quantity")?, rows.bigints("events")?);
            for ((day, quantity), events) in days.into_iter().zip(quantities).zip(events) {
                let (customer_id, key_ref) = (customers.next().flatten(), keys.next().flatten());
                let (meter, attribution) = (meters.next().flatten(), attributions.next().flatten());
                let (Some(day), Some(meter), Some(attribution)) = (day, meter, attribution) else { continue };
                let quantity = quantity.unwrap_or_default();
                let events = i128::from(events);
                totals.add(&UsageRow { day, customer_id, key_ref, meter, attribution, quantity, events });
            }
        }
        Ok(totals.finish())
    }
}
