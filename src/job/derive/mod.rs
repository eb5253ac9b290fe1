//! The derived build: coverage, usage and charges are brought up to date with the event tables and the configuration, and
//! only what is stale is made again. What each part was made from, and what came of it, is remembered in `built`, written
//! after the data: a part that another build made otherwise and died before saying so is seen, and made again.
//!
//! All tables are opened before anything is computed, those that come last in the flow first: then a table that another
//! build commits to meanwhile is noticed as a conflict, and the whole is computed again from fresh snapshots.

mod built;
mod charges;
mod config;
mod coverage;
mod reprice;
mod slots;
mod usage;
mod wholes;

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use futures::future::try_join_all;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::base::{Digest, Digester, UtcDay};
use crate::billing::{BillingDay, BillingMonth, BillingZone, ConfigTables, Owner};
use crate::lake::{FileSlot, Lake, LakeTable, Replacement};
use crate::model::{CoverageRules, Engine, EngineOptions, Meter, coverage_sql, slots_sql, sql_text, usage_sql};
use crate::schema::Table;

use super::attempts::until_unopposed;
use super::{JobError, Progress, Silent};

use built::Built;

/// What derived tables are made from besides the lake's tables.
#[derive(Debug)]
pub struct Derivation {
    /// The meters, checked.
    pub meters: Vec<Meter>,
    /// Where billing days begin.
    pub zone: BillingZone,
    /// Usage of earlier days is shown, never charged or held.
    pub start: Option<BillingDay>,
    /// Customers, keys and prices as tables.
    pub config: ConfigTables,
    /// There are prices, so usage without one is held.
    pub has_rates: bool,
    /// What makes an hour a gap.
    pub coverage: CoverageRules,
    /// Closed months, with what each was closed under.
    pub closed: BTreeMap<BillingMonth, ClosedRules>,
    /// What SQL may use.
    pub engine: EngineOptions,
}

/// What a closed month is derived under, whatever the configuration says today.
#[derive(Clone, Debug)]
pub struct ClosedRules {
    /// The meters.
    pub meters: Vec<Meter>,
    /// Usage of earlier days is shown, never charged or held.
    pub start: Option<BillingDay>,
    /// There were prices.
    pub has_rates: bool,
    /// Customers, keys and prices as tables.
    pub config: ConfigTables,
}

/// What the days of a month are derived under.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    /// The month, where it is closed.
    closed: Option<BillingMonth>,
    meters: &'a [Meter],
    start: Option<BillingDay>,
    has_rates: bool,
    config: &'a ConfigTables,
}

impl Derivation {
    /// The meters that count a month.
    pub fn meters_of(&self, month: BillingMonth) -> &[Meter] {
        self.rules(month).meters
    }

    /// The configuration that a month is priced under.
    pub fn config_of(&self, month: BillingMonth) -> &ConfigTables {
        self.rules(month).config
    }

    /// Who owned which key in a month, by source and key.
    pub fn owners(&self, month: BillingMonth) -> Vec<Owner> {
        self.config_of(month).owners()
    }

    /// What a month is derived under: for a closed one what it was closed under.
    pub(super) fn rules(&self, month: BillingMonth) -> Rules<'_> {
        match self.closed.get(&month) {
            Some(ClosedRules { meters, start, has_rates, config }) => {
                Rules { closed: Some(month), meters, start: *start, has_rates: *has_rates, config }
            }
            None => Rules {
                closed: None,
                meters: &self.meters,
                start: self.start,
                has_rates: self.has_rates,
                config: &self.config,
            },
        }
    }
}

/// What a derived build changed.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct DeriveReport {
    rebuilt: BTreeMap<Table, Vec<String>>,
}

impl DeriveReport {
    /// Whether any table changed.
    pub fn changed(&self) -> bool {
        !self.rebuilt.is_empty()
    }

    /// The parts whose content changed, per table, in order.
    pub fn rebuilt(&self) -> &BTreeMap<Table, Vec<String>> {
        &self.rebuilt
    }

    /// The same for machines.
    pub fn json(&self) -> Value {
        Value::Object(self.rebuilt.iter().map(|(table, parts)| (table.name().to_owned(), json!(parts))).collect())
    }
}

/// Brings every derived table up to date.
pub async fn derive(lake: &Lake, with: &Derivation, progress: &dyn Progress) -> Result<DeriveReport, JobError> {
    let mut report = DeriveReport::default();
    until_unopposed(async || attempt(lake, with, &mut report, progress).await).await?;
    Ok(report)
}

/// The text of a derived table as it is run for a day; charges: for its month up to the day. `None`: no derived table.
pub async fn statement(lake: &Lake, with: &Derivation, table: Table, day: UtcDay) -> Result<Option<String>, JobError> {
    let billing_day = BillingDay(day.0);
    Ok(Some(match table {
        Table::CoverageHourly => coverage_sql(day, &with.coverage),
        Table::UsageSlots => {
            let (from, to) = (day.first_hour(), day.next().first_hour());
            let texts = slots::metered(with.rules(billing_day.month()).meters)
                .map(|(source, meter)| Ok(slots_sql(meter, source, from, to)?))
                .collect::<Result<Vec<_>, JobError>>()?;
            texts.join(";\n\n")
        }
        Table::UsageDaily => {
            let mut report = DeriveReport::default();
            let work = Work::open(lake, with, &mut report).await?;
            let rules = with.rules(billing_day.month());
            let terms = config::Terms::read(rules.config)?;
            let keys = usage::keys_seen(&work, &[billing_day]).await?;
            usage_sql(&usage::usage_day(with, &terms, &keys, billing_day), rules.meters)?
        }
        Table::ChargesDaily => charges::statement(with, billing_day),
        _ => return Ok(None),
    }))
}

/// Shows a session the configuration to work under.
pub(super) fn put_config(engine: &Engine, config: &ConfigTables) -> Result<(), JobError> {
    for table in ConfigTables::TABLES {
        engine.put(table, vec![config.of(table).clone()])?;
    }
    Ok(())
}

/// The statements that together price a month to its last day, some customers each. `unpriced_too`: also what no price took so far.
pub async fn charges_statements(
    engine: &Engine,
    with: &Derivation,
    month: BillingMonth,
    unpriced_too: bool,
) -> Result<Vec<String>, JobError> {
    charges::statements(engine, with, month, unpriced_too).await
}

/// The months that have usage.
pub async fn months_with_usage(lake: &Lake) -> Result<BTreeSet<BillingMonth>, JobError> {
    let table = lake.existing_table(Table::UsageDaily).await?;
    let files = table.iter().flat_map(LakeTable::files);
    Ok(files.filter_map(|file| file.day).map(|day| BillingDay(day.0).month()).collect())
}

/// A table that does not follow from the present events and configuration, with the part of it; none: all do.
pub async fn first_stale(lake: &Lake, with: &Derivation) -> Result<Option<(Table, String)>, JobError> {
    let mut report = DeriveReport::default();
    let mut work = Work::open(lake, with, &mut report).await?;
    work.only_look = true;
    match steps(&mut work, &Silent).await {
        Ok(()) => Ok(None),
        Err(JobError::Stale { table, part }) => Ok(Some((table, part))),
        Err(error) => Err(error),
    }
}

async fn attempt(
    lake: &Lake,
    with: &Derivation,
    report: &mut DeriveReport,
    progress: &dyn Progress,
) -> Result<(), JobError> {
    let mut work = Work::open(lake, with, report).await?;
    steps(&mut work, progress).await?;
    work.built.write(lake, &work.tables).await
}

/// Every table in the order of the flow.
async fn steps(work: &mut Work<'_>, progress: &dyn Progress) -> Result<(), JobError> {
    const STEPS: u64 = 5;
    progress.begin("count", STEPS);
    coverage::build(work).await?;
    progress.step();
    slots::build(work).await?;
    progress.step();
    config::build(work).await?;
    progress.step();
    usage::build(work).await?;
    progress.step();
    charges::build(work).await?;
    progress.step();
    progress.end();
    Ok(())
}

/// One attempt: snapshots, what was built before, and what is built now.
struct Work<'a> {
    lake: &'a Lake,
    with: &'a Derivation,
    /// The tables as they were when the attempt began, or as its own commits left them.
    tables: BTreeMap<Table, LakeTable>,
    /// The usage as it was when the attempt began.
    usage_before: LakeTable,
    engine: OnceCell<Engine>,
    /// The sessions of closed months: the same tables, the configuration of their close.
    of_closed: BTreeMap<BillingMonth, OnceCell<Engine>>,
    built: Built,
    /// Nothing is made: the first part that is stale ends the attempt with [`JobError::Stale`].
    only_look: bool,
    /// What this attempt and those before it committed.
    report: &'a mut DeriveReport,
}

/// The tables an attempt opens, the last of the flow first; those of one line are not made from each other.
const OPENED: &[&[Table]] = &[
    &[Table::Built],
    &[Table::ChargesDaily, Table::CoverageHourly],
    &[Table::UsageDaily],
    &[Table::PlanTerms, Table::PriceMatches, Table::Prices, Table::ApiKeys, Table::Customers, Table::UsageSlots],
    &[Table::RequestCounts, Table::ObjectHours, Table::OriginRequests, Table::EdgeRequests],
];

impl<'a> Work<'a> {
    async fn open(lake: &'a Lake, with: &'a Derivation, report: &'a mut DeriveReport) -> Result<Self, JobError> {
        let mut tables = BTreeMap::new();
        for level in OPENED {
            let opened = try_join_all(level.iter().map(|table| lake.table(*table))).await?;
            tables.extend(level.iter().copied().zip(opened));
        }
        let built = Built::read(lake, &tables[&Table::Built]).await?;
        let usage_before = tables[&Table::UsageDaily].clone();
        let of_closed = with.closed.keys().map(|month| (*month, OnceCell::new())).collect();
        Ok(Self {
            lake,
            with,
            tables,
            usage_before,
            engine: OnceCell::new(),
            of_closed,
            built,
            only_look: false,
            report,
        })
    }

    /// Whether a part was made from these inputs and is as it was left; then it stays.
    fn keep(&mut self, table: Table, part: &str, slots: Vec<FileSlot>, inputs: Digest, config: &str) -> bool {
        self.built.keep(&self.tables[&table], part, slots, inputs, config)
    }

    /// Ends an attempt that only looks: this part is stale.
    fn stale(&self, table: Table, part: &str) -> Result<(), JobError> {
        match self.only_look {
            true => Err(JobError::Stale { table, part: part.to_owned() }),
            false => Ok(()),
        }
    }

    /// The session, opened when the first statement needs it; it sees every table as this attempt does.
    async fn engine(&self) -> Result<&Engine, JobError> {
        self.engine.get_or_try_init(|| self.session(&self.with.config)).await
    }

    /// The session for a month: where it is closed, with the configuration of its close.
    async fn engine_of(&self, month: BillingMonth) -> Result<&Engine, JobError> {
        match self.of_closed.get(&month) {
            Some(session) => session.get_or_try_init(|| self.session(self.with.rules(month).config)).await,
            None => self.engine().await,
        }
    }

    async fn session(&self, config: &ConfigTables) -> Result<Engine, JobError> {
        let engine = Engine::new(self.with.engine)?;
        for at in self.tables.values() {
            engine.see(at).await?;
        }
        put_config(&engine, config)?;
        Ok(engine)
    }

    /// Rows, with or without `day`, become the content of a slot once committed.
    async fn replacement(&self, table: Table, slot: FileSlot, rows: &[RecordBatch]) -> Result<Replacement, JobError> {
        let schema = table.file_schema();
        let columns = |batch: &RecordBatch| {
            let wanted = schema.fields().iter().filter_map(|field| batch.schema().index_of(field.name()).ok());
            batch.project(&wanted.collect::<Vec<_>>())
        };
        let rows = rows.iter().map(columns).collect::<Result<Vec<_>, _>>().map_err(arrow_fault(table))?;
        let new = self.lake.write_file(&self.tables[&table], slot.clone(), rows).await?;
        Ok(Replacement { slot, new })
    }

    /// Commits slots of a table, notes which changed under the names of their parts, and shows the session the result.
    async fn commit(&mut self, table: Table, replace: Vec<(String, Replacement)>) -> Result<(), JobError> {
        if let Some((part, _)) = replace.first() {
            self.stale(table, part)?;
        }
        let before = self.tables[&table].clone();
        let (parts, replace): (Vec<String>, Vec<Replacement>) = replace.into_iter().unzip();
        let slots: Vec<FileSlot> = replace.iter().map(|replacement| replacement.slot.clone()).collect();
        let done = before.commit(replace, "derive").await?;
        if !done.changed() {
            return Ok(());
        }
        let digest = |at: &LakeTable, slot| at.current(slot).map(|file| file.digest.clone());
        let changed = slots.iter().zip(parts).filter(|(slot, _)| digest(&before, slot) != digest(&done.table, slot));
        let told = self.report.rebuilt.entry(table).or_default();
        told.extend(changed.map(|(_, part)| part));
        told.sort_unstable();
        told.dedup();
        let opened = self.of_closed.values().chain([&self.engine]).filter_map(OnceCell::get);
        for engine in opened {
            engine.see(&done.table).await?;
        }
        self.tables.insert(table, done.table);
        Ok(())
    }
}

/// The digest of the text of a table's statement, before a part's values are filled in.
fn text_digest(table: Table) -> String {
    Digest::of([sql_text(table).unwrap_or_default()]).to_string()
}

/// The digest of names and other texts, whatever their order.
fn digest_of(mut parts: Vec<String>) -> Digest {
    parts.sort_unstable();
    let mut digester = Digester::default();
    parts.iter().for_each(|part| {
        digester.part(part.as_bytes());
    });
    digester.finish()
}

/// An arrow error here means that a statement's rows do not have the table's shape.
fn arrow_fault(table: Table) -> impl Fn(arrow::error::ArrowError) -> JobError {
    move |source| JobError::Rows { table: table.name(), source }
}

/// Whether the table of charges holds the month to its last day, so that nothing is missing but what comes late.
pub async fn is_stored_whole(lake: &Lake, month: BillingMonth) -> Result<bool, JobError> {
    Ok(months_with_usage(lake).await?.into_iter().any(|later| later > month))
}
