//! Build: the receipts that wait are applied to the event tables, then to the ledger, then deleted. The events of each unit
//! (source, UTC hour, part) become the union of what the table holds and what is staged: one new file, one commit per table.
//! A crash between any two steps leaves receipts behind; applying them again changes nothing.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};

use crate::base::{Digest, HalfOpen, UtcDay, UtcHour};
use crate::lake::{
    KnownObject, KnownObjects, LakeTable, Ledger, LedgerChange, ObjectRow, ObjectState, Receipt, ReceiptId,
    Replacement, StagedInput, Unit, UniteRules, United, unite,
};
use crate::schema::Table;

use super::attempts::until_unopposed;
use super::renew::{hours_spanned, renew};
use super::{Job, JobError, Progress};

/// Every day there is.
pub(crate) const ALL_DAYS: HalfOpen<UtcDay> = HalfOpen { from: UtcDay(i32::MIN / 64), to: None };

/// What a build did to the event tables.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct UnionReport {
    /// Rows per source.
    pub sources: BTreeMap<String, UnionCounts>,
    /// The hours whose events changed, per source.
    pub changed: BTreeMap<String, BTreeSet<UtcHour>>,
    /// Receipts applied.
    pub receipts: u64,
}

/// Rows of the units of one source.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct UnionCounts {
    /// Units looked at.
    pub units: u64,
    /// Rows read: events there before and staged rows.
    pub rows_in: u64,
    /// Events after.
    pub rows_out: u64,
    /// Rows dropped because their identity was there already.
    pub duplicates: u64,
    /// Events that are held because another has the same unforgeable id.
    pub conflicts: u64,
}

/// What a unit is made from.
#[derive(Clone, Default, Debug)]
pub(crate) struct UnitPlan {
    /// The staged files.
    pub(crate) staged: Vec<StagedInput>,
    /// Forget what the table holds: the staged files are all there is.
    pub(crate) anew: bool,
}

/// The units of each table and what they are made from.
pub(crate) type Plan = BTreeMap<Table, BTreeMap<Unit, UnitPlan>>;

/// A change to the lake's events: conversions to apply, versions to withdraw, and hours to make anew in any case.
#[derive(Default, Debug)]
pub(crate) struct Change {
    /// Conversions whose events come in.
    pub(crate) receipts: Vec<Receipt>,
    /// Versions whose events go, in their new state.
    pub(crate) withdrawn: Vec<ObjectRow>,
    /// Versions that are applied again under the same id and gave something else before, as the ledger has them.
    pub(crate) given_otherwise: Vec<ObjectRow>,
    /// Hours of a source that are made from their objects alone, whatever the table holds.
    pub(crate) renewed: BTreeSet<(String, UtcHour)>,
}

/// Applies every waiting receipt to the event tables and the ledger.
pub async fn build_events(job: &Job, progress: &dyn Progress) -> Result<UnionReport, JobError> {
    let waiting = job.lake.receipts().await?;
    if waiting.is_empty() {
        return Ok(UnionReport::default());
    }
    let ledger = Ledger::open(&job.lake).await?;
    let known = ledger.known(None, None).await?;
    let (receipts, idle) = applicable(waiting, &known);
    // A newer version of a key, or the same decoded anew, takes the place of what was applied before.
    let replaced: BTreeSet<Digest> = receipts
        .iter()
        .flat_map(|receipt| versions(&known, receipt).iter().map(move |version| (receipt, version)))
        .filter(|(receipt, v)| v.state == ObjectState::Applied && v.object_id != receipt.object_id)
        .map(|(_, version)| version.object_id)
        .collect();
    let withdrawn = in_state(&ledger, &replaced, ObjectState::Superseded, None).await?;
    let given_otherwise = applied_otherwise(&ledger, &known, &receipts).await?;
    let renewed = hours_fed(&ledger, &given_otherwise).await?;
    let change = Change { receipts, withdrawn, given_otherwise, renewed };
    let report = apply(job, &change, progress).await?;
    job.lake.delete_receipts(&idle).await?;
    Ok(report)
}

/// Which receipts a build applies, and which it deletes.
///
/// A withdrawn version stays withdrawn, however often it is delivered. Of several versions of a key one is applied: the last
/// written; if it is not the one that lies there now, the next run sees to it.
pub(crate) fn applicable(waiting: Vec<Receipt>, known: &KnownObjects) -> (Vec<Receipt>, Vec<ReceiptId>) {
    let mut newest: BTreeMap<(String, String), Receipt> = BTreeMap::new();
    let mut idle = Vec::new();
    for receipt in waiting {
        let same = |v: &KnownObject| v.state == ObjectState::Retracted && v.etag == receipt.object.etag;
        if versions(known, &receipt).iter().any(same) {
            idle.push(receipt.id());
            continue;
        }
        let written = |receipt: &Receipt| (receipt.object.written_at, receipt.object_id);
        match newest.entry((receipt.object.source.clone(), receipt.object.key.clone())) {
            Entry::Occupied(other) if written(other.get()) > written(&receipt) => {
                idle.push(receipt.id());
            }
            Entry::Occupied(mut other) => idle.push(other.insert(receipt).id()),
            Entry::Vacant(place) => drop(place.insert(receipt)),
        }
    }
    (newest.into_values().collect(), idle)
}

/// The ledger's rows of versions that were applied before under the id they have now, and gave something else. A receipt that is
/// applied again after a crash gave the same, and is nothing to make anything anew for.
async fn applied_otherwise(
    ledger: &Ledger,
    known: &KnownObjects,
    receipts: &[Receipt],
) -> Result<Vec<ObjectRow>, JobError> {
    let is_applied = |receipt: &&Receipt| {
        versions(known, receipt).iter().any(|v| v.object_id == receipt.object_id && v.state == ObjectState::Applied)
    };
    let now: BTreeMap<Digest, ObjectRow> =
        receipts.iter().filter(is_applied).map(|r| (r.object_id, ObjectRow::applied(r))).collect();
    let rows = in_state(ledger, &now.keys().copied().collect(), ObjectState::Applied, None).await?;
    let gave = |row: &ObjectRow| (row.records, row.staged, row.rejects, row.control, row.event_times);
    Ok(rows.into_iter().filter(|row| now.get(&row.object_id).is_some_and(|now| gave(now) != gave(row))).collect())
}

/// The hours that these versions gave records to.
pub(crate) async fn hours_fed(ledger: &Ledger, rows: &[ObjectRow]) -> Result<BTreeSet<(String, UtcHour)>, JobError> {
    let Some(hours) = hours_spanned(rows, &BTreeSet::new()) else { return Ok(BTreeSet::new()) };
    let ids: BTreeSet<Digest> = rows.iter().map(|row| row.object_id).collect();
    let fed = ledger.object_hours(hours).await?.into_iter().filter(|row| ids.contains(&row.object_id));
    Ok(fed.map(|row| (row.source, row.hour)).collect())
}

/// What the ledger knows of a receipt's key.
fn versions<'a>(known: &'a KnownObjects, receipt: &Receipt) -> &'a [KnownObject] {
    known.get(&(receipt.object.source.clone(), receipt.object.key.clone())).map_or(&[], Vec::as_slice)
}

/// The ledger's rows of these object ids, in a new state.
pub(crate) async fn in_state(
    ledger: &Ledger,
    ids: &BTreeSet<Digest>,
    state: ObjectState,
    reason: Option<&str>,
) -> Result<Vec<ObjectRow>, JobError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = ledger.objects(ALL_DAYS).await?;
    let rows = rows.into_iter().filter(|row| ids.contains(&row.object_id));
    Ok(rows.map(|row| ObjectRow { state, reason: reason.map(str::to_owned), ..row }).collect())
}

/// Carries a change out: events first, then the ledger, then the receipts go.
pub(crate) async fn apply(job: &Job, change: &Change, progress: &dyn Progress) -> Result<UnionReport, JobError> {
    let mut report = UnionReport { receipts: change.receipts.len() as u64, ..Default::default() };
    until_unopposed(async || unite_all(job, change, &mut report, progress).await).await?;
    let ledger_change = LedgerChange {
        applied: change.receipts.clone(),
        withdrawn: change.withdrawn.clone(),
        renewed: change.given_otherwise.clone(),
    };
    until_unopposed(async || Ok(Ledger::open(&job.lake).await?.commit(&ledger_change, "build").await?)).await?;
    job.lake.delete_receipts(&change.receipts.iter().map(Receipt::id).collect::<Vec<_>>()).await?;
    Ok(report)
}

/// Adds the staged files of a receipt to the units they belong to.
pub(crate) fn add_to_plan(job: &Job, receipt: &Receipt, plan: &mut Plan) -> Result<(), JobError> {
    let split = job.source(&receipt.object.source)?.split;
    let units = plan.entry(receipt.table).or_default();
    for hour in &receipt.hours {
        let input = StagedInput { path: hour.path.clone(), object: receipt.object.key.clone(), rows: hour.rows };
        for part in 0..split {
            let unit = Unit { source: receipt.object.source.clone(), hour: hour.hour, part, split };
            units.entry(unit).or_default().staged.push(input.clone());
        }
    }
    Ok(())
}

/// Makes every unit that a change touches and commits each table once.
///
/// The tables are opened before it is looked up what feeds them: what another build commits to them later is a conflict, and
/// what it has committed is in the ledger or waits. So a unit that is made anew from what feeds it loses nothing.
async fn unite_all(
    job: &Job,
    change: &Change,
    report: &mut UnionReport,
    progress: &dyn Progress,
) -> Result<(), JobError> {
    let mut tables = BTreeMap::new();
    for table in job.sources.iter().map(|source| source.plan.table()).collect::<BTreeSet<_>>() {
        tables.insert(table, job.lake.table(table).await?);
    }
    let mut plan = Plan::new();
    for receipt in &change.receipts {
        add_to_plan(job, receipt, &mut plan)?;
    }
    renew(job, change, &mut plan).await?;
    report.sources.clear();
    progress.begin("unite", plan.values().map(|units| units.len() as u64).sum());
    for (table, units) in &plan {
        let Some(at) = tables.get(table) else { continue };
        for (unit, united, changed) in unite_table(job, at, units, progress).await? {
            report.count(&unit, &united, changed);
        }
    }
    progress.end();
    Ok(())
}

/// Makes the units of one table and commits them together.
async fn unite_table(
    job: &Job,
    at: &LakeTable,
    units: &BTreeMap<Unit, UnitPlan>,
    progress: &dyn Progress,
) -> Result<Vec<(Unit, United, bool)>, JobError> {
    let made: Vec<(Unit, United)> = futures::stream::iter(units)
        .map(|(unit, plan)| async move {
            let unforgeable = job.source(&unit.source)?.plan.id_is_unforgeable();
            let rules = UniteRules { unforgeable, rebuild: plan.anew, ..Default::default() };
            let united = unite(at, unit, &plan.staged, &rules).await?;
            progress.step();
            Ok::<_, JobError>((unit.clone(), united))
        })
        .buffer_unordered(job.parallel)
        .try_collect()
        .await?;
    let replace = made.iter().map(|(unit, united)| Replacement { slot: unit.slot(), new: united.new.clone() });
    let done = at.commit(replace.collect(), "build").await?;
    let digest = |table: &LakeTable, unit: &Unit| table.current(&unit.slot()).map(|file| file.digest.clone());
    let changed = |unit: &Unit| digest(at, unit) != digest(&done.table, unit);
    Ok(made.into_iter().map(|(unit, united)| (unit.clone(), united, changed(&unit))).collect())
}

impl UnionReport {
    fn count(&mut self, unit: &Unit, united: &United, changed: bool) {
        let counts = self.sources.entry(unit.source.clone()).or_default();
        counts.units += 1;
        counts.rows_in += united.rows_in;
        counts.rows_out += united.rows_out;
        counts.duplicates += united.duplicates;
        counts.conflicts += united.conflicts;
        if changed {
            self.changed.entry(unit.source.clone()).or_default().insert(unit.hour);
        }
    }
}
