//! Publish: month-to-date usage per customer and key goes into a table for dashboards and quotas. Totals are written, never
//! increments, so a publish can be repeated, interrupted and overtaken. Of a month nothing is read where what its totals are made
//! from is what it was; else its totals are held against those listed, and the ones that differ are written. Usage that is gone
//! becomes a total of 0. Before the totals of a month are written it is noted that they are being written, so whatever happens
//! then, they are compared again. A lake in the middle of a build is refused: its hours would seem complete before their usage is there.

mod hours;
mod table;
mod total;

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};

use crate::base::{Digest, Micros};
use crate::billing::{BillingDay, BillingMonth};
use crate::lake::{Lake, LakeTable, Receipt};
use crate::model::Engine;
use crate::schema::Table;

use super::JobError;
use super::derive::{Derivation, first_stale};
use super::rows::Rows;

pub use hours::Hours;
pub use table::{Listed, MonthState, Put, Stamp, State, TotalsError, TotalsTable};
pub use total::{Holder, MonthTotals, Total, TotalName, TotalRules, UsageRow};

/// Totals written at once.
const WRITES_AT_ONCE: usize = 16;
/// How often it is begun anew because the lake changed or somebody else published.
const ATTEMPTS_MAX: usize = 5;
const SECOND_MICROS: i64 = 1_000_000;

/// What shall be published.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Wish {
    /// These months; none named: every month that has or had usage.
    pub months: Vec<BillingMonth>,
    /// Compare every total, also where nothing it is made from has changed.
    pub all: bool,
    /// Write nothing.
    pub dry_run: bool,
}

/// What was published, or would be.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct PublishReport {
    /// The state of the lake; none: it has no usage.
    pub stamp: Option<Stamp>,
    /// The months looked at, in order.
    pub months: Vec<MonthReport>,
    /// Whether the item that says what was published was written.
    pub state_written: bool,
}

/// What was published of a month.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MonthReport {
    /// The month.
    pub month: BillingMonth,
    /// How it stands.
    pub state: MonthState,
    /// Totals that are in the table as they should be; none: not looked at, since nothing they are made from has changed.
    pub unchanged: Option<usize>,
    /// Totals written, or to be written.
    pub changes: Vec<Change>,
    /// Totals whose names are too long for the table.
    pub left_out: usize,
}

/// A total that is not in the table as it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// What it is of.
    pub name: TotalName,
    /// The quantity in the table; none: there is no such total.
    pub before: Option<i128>,
    /// The quantity as it should be.
    pub quantity: i128,
}

impl PublishReport {
    /// Totals written, or to be written.
    pub fn changes(&self) -> usize {
        self.months.iter().map(|month| month.changes.len()).sum()
    }
}

/// Brings the table up to date with the lake as it is at `now`.
pub async fn publish(
    lake: &Lake,
    with: &Derivation,
    table: &dyn TotalsTable,
    wish: &Wish,
    now: Micros,
) -> Result<PublishReport, JobError> {
    let (mut done, mut behind) = (None, None);
    let mut written = Written::new();
    for _ in 0..ATTEMPTS_MAX {
        let view = match View::open(lake, with, now).await? {
            Opened::Whole(view) => view,
            Opened::NoUsage => return Ok(PublishReport::default()),
            Opened::Changing => continue,
        };
        match view.publish(with, table, wish, &mut written).await? {
            // A newer state may have been found to be published already, just before this one was written over it.
            Attempt::Done(report) if report.changes() > 0 && view.is_overtaken(lake).await? => done = Some(report),
            Attempt::Done(report) => return Ok(report),
            Attempt::Overtaken { published } => behind = Some((published, view.stamp.version)),
        }
    }
    match (done, behind) {
        // The lake moves faster than it is published; whoever moved it publishes too.
        (Some(report), _) => Ok(report),
        (None, Some((published, ours))) => Err(TotalsError::Behind { published, ours }.into()),
        (None, None) => Err(JobError::Busy { table: Table::UsageDaily.name() }),
    }
}

/// The totals that are missing, differ or are of usage that is gone, each with the quantity in the table, and how many are as
/// they should be.
fn plan(
    mut wanted: BTreeMap<TotalName, Total>,
    listed: Vec<Listed>,
    rules: &TotalRules,
    lake: &str,
) -> Result<(Vec<(Total, Option<i128>)>, usize), TotalsError> {
    let (mut changes, mut unchanged) = (Vec::new(), 0);
    for there in listed {
        if there.lake != lake {
            return Err(TotalsError::OtherLake { theirs: there.lake, ours: lake.to_owned() });
        }
        let total = wanted.remove(&there.name).unwrap_or_else(|| rules.empty(there.name));
        match total.digest().to_string() == there.digest {
            true => unchanged += 1,
            false => changes.push((total, there.quantity)),
        }
    }
    changes.extend(wanted.into_values().map(|total| (total, None)));
    changes.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    Ok((changes, unchanged))
}

/// A month whose totals are being written: no digest is the one of its inputs, and it is complete up to where it was.
fn begun(known: Option<&MonthState>, from: Micros) -> MonthState {
    let nothing = MonthState { inputs: String::new(), complete_until: from, provisional: true };
    MonthState { inputs: String::new(), ..known.cloned().unwrap_or(nothing) }
}

/// A listing with what is known to have been written since.
fn as_written(mut listed: Vec<Listed>, written: &Written) -> Vec<Listed> {
    for there in &mut listed {
        if let Some(digest) = written.get(&there.name) {
            there.digest.clone_from(digest);
        }
    }
    listed
}

/// A lake in which everything derived follows from everything applied.
struct View {
    stamp: Stamp,
    usage: LakeTable,
    engine: Engine,
    hours: Hours,
}

enum Opened {
    Whole(View),
    NoUsage,
    /// A build was at work.
    Changing,
}

enum Attempt {
    Done(PublishReport),
    /// Somebody published a newer state meanwhile; what was written from this one may stand where theirs did not differ.
    Overtaken {
        published: u64,
    },
}

/// What is noted of each month.
type Months = BTreeMap<BillingMonth, MonthState>;

/// Digests of the totals that this publish has written: a listing may not show them yet.
type Written = BTreeMap<TotalName, String>;

impl View {
    async fn open(lake: &Lake, with: &Derivation, now: Micros) -> Result<Opened, JobError> {
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

    async fn publish(
        &self,
        with: &Derivation,
        table: &dyn TotalsTable,
        wish: &Wish,
        written: &mut Written,
    ) -> Result<Attempt, JobError> {
        let before = table.state().await?;
        if let Some(State { stamp, .. }) = &before {
            if stamp.lake != self.stamp.lake {
                return Err(TotalsError::OtherLake { theirs: stamp.lake.clone(), ours: self.stamp.lake.clone() }.into());
            }
            if stamp.version > self.stamp.version {
                return Ok(Attempt::Overtaken { published: stamp.version });
            }
        }
        let known = before.map(|state| state.months).unwrap_or_default();
        let mut noted = known.clone();
        let mut months = known.clone();
        let mut report = PublishReport { stamp: Some(self.stamp.clone()), ..PublishReport::default() };
        for month in self.months(wish, &known) {
            let rules = self.rules(with, month);
            let state = MonthState {
                inputs: self.inputs(&rules),
                complete_until: rules.complete_until_else,
                provisional: rules.provisional,
            };
            let is_as_it_was = known.get(&month).is_some_and(|known| known.inputs == state.inputs)
                && !written.keys().any(|name| name.month == month);
            let mut of_month = MonthReport { month, state, unchanged: None, changes: Vec::new(), left_out: 0 };
            if wish.all || !is_as_it_was {
                let (wanted, left_out) = self.totals(&rules).await?;
                let listed = as_written(table.listed(month).await?, written);
                let (changes, unchanged) = plan(wanted, listed, &rules, &self.stamp.lake)?;
                if !wish.dry_run && !changes.is_empty() {
                    months.insert(month, begun(known.get(&month), with.zone.month_bounds(month).from));
                    if let Put::Newer(published) = self.note(table, &months, &mut noted).await? {
                        return Ok(Attempt::Overtaken { published });
                    }
                    if let Put::Newer(published) = self.write(table, &changes, written).await? {
                        return Ok(Attempt::Overtaken { published });
                    }
                }
                let change = |(total, before): (Total, Option<i128>)| Change {
                    name: total.name,
                    before,
                    quantity: total.quantity,
                };
                let changes = changes.into_iter().map(change).collect();
                of_month = MonthReport { unchanged: Some(unchanged), changes, left_out, ..of_month };
            }
            months.insert(month, of_month.state.clone());
            report.months.push(of_month);
        }
        if !wish.dry_run {
            if let Put::Newer(published) = self.note(table, &months, &mut noted).await? {
                return Ok(Attempt::Overtaken { published });
            }
            report.state_written = report.changes() > 0 || months != known;
        }
        Ok(Attempt::Done(report))
    }

    /// Notes how the months stand, where something else is noted.
    async fn note(&self, table: &dyn TotalsTable, months: &Months, noted: &mut Months) -> Result<Put, JobError> {
        if months == noted {
            return Ok(Put::Written);
        }
        let put = table.put_state(&State { stamp: self.stamp.clone(), months: months.clone() }).await?;
        noted.clone_from(months);
        Ok(put)
    }

    /// Writes every change; tells a write that was refused.
    async fn write(
        &self,
        table: &dyn TotalsTable,
        changes: &[(Total, Option<i128>)],
        written: &mut Written,
    ) -> Result<Put, JobError> {
        let write = async |total| Ok::<_, TotalsError>((total, table.put(total, &self.stamp).await?));
        let mut writes = futures::stream::iter(changes).map(|(total, _)| write(total)).buffer_unordered(WRITES_AT_ONCE);
        let mut all = Put::Written;
        while let Some((total, put)) = writes.try_next().await? {
            match put {
                Put::Written => drop(written.insert(total.name.clone(), total.digest().to_string())),
                Put::Newer(version) => all = Put::Newer(version),
            }
        }
        Ok(all)
    }

    /// Whether the lake has other usage by now.
    async fn is_overtaken(&self, lake: &Lake) -> Result<bool, JobError> {
        let newest = lake.existing_table(Table::UsageDaily).await?;
        Ok(newest.is_some_and(|newest| newest.version() != self.stamp.version))
    }

    /// The months wished for, or all that have usage or had some when they were published.
    fn months(&self, wish: &Wish, known: &Months) -> BTreeSet<BillingMonth> {
        if !wish.months.is_empty() {
            return wish.months.iter().copied().collect();
        }
        let days = self.usage.files().into_iter().filter_map(|file| file.day);
        days.map(|day| BillingDay(day.0).month()).chain(known.keys().copied()).collect()
    }

    fn rules(&self, with: &Derivation, month: BillingMonth) -> TotalRules {
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
    fn inputs(&self, rules: &TotalRules) -> String {
        let of_month = |day: i32| BillingDay(day).month() == rules.month;
        let files = self.usage.files().into_iter().filter(|file| file.day.is_some_and(|day| of_month(day.0)));
        let mut parts: Vec<String> = files.map(|file| format!("{} {}", file.slot, file.digest)).collect();
        parts.extend(rules.of_customer.iter().map(|meter| format!("of customers {meter}")));
        parts.push(format!("customers {} provisional {}", rules.has_customers, rules.provisional));
        parts.push(total::FORMAT.to_owned());
        parts.sort_unstable();
        Digest::of(parts.iter().map(String::as_str)).to_string()
    }

    async fn totals(&self, rules: &TotalRules) -> Result<(BTreeMap<TotalName, Total>, usize), JobError> {
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
