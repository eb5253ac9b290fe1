//! Publish: month-to-date usage per customer and key goes into a table for dashboards and quotas. Totals are written, never
//! increments, so a publish can be repeated, interrupted and overtaken. Of a month nothing is read where what its totals are made
//! from is what it was; else its totals are held against those listed, and the ones that differ are written. Usage that is gone
//! becomes a total of 0. Before the totals of a month are written it is noted that they are being written, so whatever happens
//! then, they are compared again. A lake in the middle of a build is refused: its hours would seem complete before their usage is there.

mod hours;
mod plan;
mod table;
mod total;
mod view;

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};

use crate::base::Micros;
use crate::billing::BillingMonth;
use crate::lake::Lake;
use crate::schema::Table;

use super::JobError;
use super::derive::Derivation;

use plan::{Plan, Write, Written};
use view::{Opened, View};

pub use hours::Hours;
pub use table::{Listed, MonthState, Put, Stamp, State, TotalsError, TotalsTable};
pub use total::{Holder, MonthTotals, Total, TotalName, TotalRules, UsageRow};

/// Totals written at once.
const WRITES_AT_ONCE: usize = 16;
/// How often it is begun anew because the lake changed or somebody else published.
const ATTEMPTS_MAX: usize = 5;

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
        match attempt(&view, with, table, wish, &mut written).await {
            // A newer state may have been found to be published already, just before this one was written over it.
            Ok(report) if report.changes() > 0 && view.is_overtaken(lake).await? => done = Some(report),
            Ok(report) => return Ok(report),
            Err(Stop::Overtaken { published }) => behind = Some((published, view.stamp.version)),
            Err(Stop::Failed(error)) => return Err(error),
        }
    }
    match (done, behind) {
        // The lake moves faster than it is published; whoever moved it publishes too.
        (Some(report), _) => Ok(report),
        (None, Some((published, ours))) => Err(TotalsError::Behind { published, ours }.into()),
        (None, None) => Err(JobError::Busy { table: Table::UsageDaily.name() }),
    }
}

/// Why an attempt ended early.
enum Stop {
    /// A newer state was published meanwhile; what was written from this one may stand where that did not differ.
    Overtaken {
        published: u64,
    },
    Failed(JobError),
}

impl From<JobError> for Stop {
    fn from(error: JobError) -> Self {
        Self::Failed(error)
    }
}

impl From<TotalsError> for Stop {
    fn from(error: TotalsError) -> Self {
        Self::Failed(error.into())
    }
}

/// Goes on only after a write that was taken.
fn taken(put: Put) -> Result<(), Stop> {
    match put {
        Put::Written => Ok(()),
        Put::Newer(published) => Err(Stop::Overtaken { published }),
    }
}

/// Publishes one state of the lake.
async fn attempt(
    view: &View,
    with: &Derivation,
    table: &dyn TotalsTable,
    wish: &Wish,
    written: &mut Written,
) -> Result<PublishReport, Stop> {
    let before = table.state().await?;
    if let Some(State { stamp, .. }) = &before {
        if stamp.lake != view.stamp.lake {
            return Err(TotalsError::OtherLake { theirs: stamp.lake.clone(), ours: view.stamp.lake.clone() }.into());
        }
        if stamp.version > view.stamp.version {
            return Err(Stop::Overtaken { published: stamp.version });
        }
    }
    let known = before.map(|state| state.months).unwrap_or_default();
    let mut pass = Pass { view, table, wish, written, months: known.clone(), noted: known.clone() };
    let mut months = Vec::new();
    for month in view.months(&wish.months, &known) {
        months.push(pass.month(with, month).await?);
    }
    pass.note().await?;
    let state_written = !wish.dry_run && (pass.noted != known || months.iter().any(|month| !month.changes.is_empty()));
    Ok(PublishReport { stamp: Some(view.stamp.clone()), months, state_written })
}

/// What is noted of each month.
type Months = BTreeMap<BillingMonth, MonthState>;

/// One way through the months.
struct Pass<'a> {
    view: &'a View,
    table: &'a dyn TotalsTable,
    wish: &'a Wish,
    written: &'a mut Written,
    /// How the months stand.
    months: Months,
    /// How the table says that they stand.
    noted: Months,
}

impl Pass<'_> {
    /// Brings a month up to date.
    async fn month(&mut self, with: &Derivation, month: BillingMonth) -> Result<MonthReport, Stop> {
        let rules = self.view.rules(with, month);
        let state = MonthState {
            inputs: self.view.inputs(&rules),
            complete_until: rules.complete_until_else,
            provisional: rules.provisional,
        };
        let known = self.months.insert(month, state.clone());
        let is_as_it_was = known.as_ref().is_some_and(|known| known.inputs == state.inputs)
            && !self.written.keys().any(|name| name.month == month);
        if is_as_it_was && !self.wish.all {
            return Ok(MonthReport { month, state, unchanged: None, changes: Vec::new(), left_out: 0 });
        }
        let (wanted, left_out) = self.view.totals(&rules).await?;
        let listed = self.table.listed(month).await?;
        let Plan { writes, unchanged } = Plan::new(wanted, listed, self.written, &rules, &self.view.stamp.lake)?;
        if !writes.is_empty() && !self.wish.dry_run {
            self.months.insert(month, begun(known, with.zone.month_bounds(month).from));
            self.note().await?;
            self.write(&writes).await?;
            self.months.insert(month, state.clone());
        }
        let change = |Write { total, before }| Change { name: total.name, before, quantity: total.quantity };
        let changes = writes.into_iter().map(change).collect();
        Ok(MonthReport { month, state, unchanged: Some(unchanged), changes, left_out })
    }

    /// Notes how the months stand, where something else is noted.
    async fn note(&mut self) -> Result<(), Stop> {
        if self.months == self.noted || self.wish.dry_run {
            return Ok(());
        }
        let state = State { stamp: self.view.stamp.clone(), months: self.months.clone() };
        taken(self.table.put_state(&state).await?)?;
        self.noted = state.months;
        Ok(())
    }

    /// Writes totals. Where one is refused the others are still written: all of them are looked at again.
    async fn write(&mut self, writes: &[Write]) -> Result<(), Stop> {
        let (table, stamp) = (self.table, &self.view.stamp);
        let write = async |total| Ok::<_, TotalsError>((total, table.put(total, stamp).await?));
        let mut done = futures::stream::iter(writes).map(|one| write(&one.total)).buffer_unordered(WRITES_AT_ONCE);
        let mut all = Put::Written;
        while let Some((total, put)) = done.try_next().await? {
            match put {
                Put::Written => drop(self.written.insert(total.name.clone(), total.digest().to_string())),
                Put::Newer(version) => all = Put::Newer(version),
            }
        }
        taken(all)
    }
}

/// A month whose totals are being written: no digest is the one of its inputs, and it is complete up to where it was.
fn begun(known: Option<MonthState>, from: Micros) -> MonthState {
    let nothing = MonthState { inputs: String::new(), complete_until: from, provisional: true };
    MonthState { inputs: String::new(), ..known.unwrap_or(nothing) }
}
