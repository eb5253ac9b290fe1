//! Build: the receipts and withdrawals that wait are applied to the event tables, then to the ledger, then deleted. The events of
//! each unit (source, UTC hour, part) become the union of what the table holds and what is staged: one new file, one commit per
//! table. A crash between any two steps leaves what waited behind; applying it again changes nothing. Of several builds at once
//! each takes its turn: one that was overtaken begins again, from what the other left.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};

use crate::base::{Digest, HalfOpen, Micros, UtcDay, UtcHour};
use crate::lake::{
    KnownObject, KnownObjects, LakeTable, Ledger, LedgerChange, ObjectRow, ObjectState, ObjectVersion, Receipt,
    ReceiptId, Replacement, StagedInput, Unit, UniteRules, United, Withdrawal, unite,
};
use crate::schema::Table;
use crate::source::find;

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

/// A change to the lake's events.
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

/// Applies every waiting receipt to the event tables and the ledger, and carries every waiting withdrawal out.
pub async fn build_events(job: &Job, progress: &dyn Progress) -> Result<UnionReport, JobError> {
    build_anew(job, &BTreeSet::new(), progress).await
}

/// The same, and makes these hours of a source from their objects alone.
pub(crate) async fn build_anew(
    job: &Job,
    hours: &BTreeSet<(String, UtcHour)>,
    progress: &dyn Progress,
) -> Result<UnionReport, JobError> {
    let mut report = UnionReport::default();
    until_unopposed(async || attempt(job, hours, &mut report, progress).await).await?;
    Ok(report)
}

/// One attempt: events first, then the ledger, then what waited goes.
///
/// All of it follows from one look at the lake, and each commit is a conflict if somebody else has committed since. The event
/// tables are opened first, then it is read what waits, then the ledger: so whatever is in the tables either waits or is in the
/// ledger, and what another build takes out later is a conflict here.
async fn attempt(
    job: &Job,
    hours: &BTreeSet<(String, UtcHour)>,
    report: &mut UnionReport,
    progress: &dyn Progress,
) -> Result<(), JobError> {
    if hours.is_empty() && !job.lake.has_waiting().await? {
        return Ok(());
    }
    let mut tables = BTreeMap::new();
    for table in job.sources.iter().map(|source| source.plan.table()).collect::<BTreeSet<_>>() {
        tables.insert(table, job.lake.table(table).await?);
    }
    let withdrawals = job.lake.withdrawals().await?;
    let waiting = job.lake.receipts().await?;
    let ledger = Ledger::open(&job.lake).await?;
    let lying = lying_now(job, &waiting).await?;
    let (change, idle) = change(&ledger, waiting, &lying, &withdrawals, hours).await?;
    unite_all(job, &tables, &ledger, &change, report, progress).await?;
    report.receipts = report.receipts.max(change.receipts.len() as u64);
    let done: Vec<ReceiptId> = change.receipts.iter().map(Receipt::id).chain(idle).collect();
    let Change { receipts: applied, withdrawn, given_otherwise: renewed, .. } = change;
    ledger.commit(&LedgerChange { applied, withdrawn, renewed }, "build").await?;
    job.lake.delete_receipts(&done).await?;
    job.lake.delete_withdrawals(&withdrawals).await?;
    Ok(())
}

/// What is to be done about all that waits, and the receipts that are not applied.
async fn change(
    ledger: &Ledger,
    waiting: Vec<Receipt>,
    lying: &BTreeSet<Digest>,
    withdrawals: &[Withdrawal],
    hours: &BTreeSet<(String, UtcHour)>,
) -> Result<(Change, Vec<ReceiptId>), JobError> {
    let known = ledger.known(None, None).await?;
    let Sorted { receipts, overtaken, unwanted } = sort_out(waiting, lying, &known, withdrawals);
    // A newer version of a key, or the same decoded anew, takes the place of what was applied before.
    let mut going: BTreeMap<Digest, (ObjectState, Option<&str>)> = receipts
        .iter()
        .flat_map(|receipt| versions(&known, receipt).iter().map(move |version| (receipt, version)))
        .filter(|(receipt, v)| v.state == ObjectState::Applied && v.object_id != receipt.object_id)
        .map(|(_, version)| (version.object_id, (ObjectState::Superseded, None)))
        .collect();
    going.extend(withdrawals.iter().map(|w| (w.object_id, (w.state, w.reason.as_deref()))));
    let withdrawn = in_new_state(ledger, &going).await?;
    let given_otherwise = applied_otherwise(ledger, &known, &receipts).await?;
    let mut renewed = hours_fed(ledger, &given_otherwise).await?;
    renewed.extend(hours.iter().cloned());
    // A build that was killed may have brought the events of an overtaken version in before it told the ledger.
    renewed.extend(overtaken.iter().flat_map(|r| r.hours.iter().map(|h| (r.object.source.clone(), h.hour))));
    let idle = overtaken.iter().chain(&unwanted).map(Receipt::id).collect();
    Ok((Change { receipts, withdrawn, given_otherwise, renewed }, idle))
}

/// What becomes of the receipts that wait.
#[derive(Default)]
struct Sorted {
    /// Those that are applied.
    receipts: Vec<Receipt>,
    /// Those in whose place another version is applied, or none.
    overtaken: Vec<Receipt>,
    /// Those of versions that were withdrawn before they were delivered again, or were late and gone.
    unwanted: Vec<Receipt>,
}

/// A withdrawn version stays withdrawn, however often it is delivered. A version that was read when its key held nothing any
/// more does not replace a later one. Of several versions of a key that wait one is applied: the last written, of one second the
/// one that lies there now. If what lies there now was written before, the next run sees to it.
fn sort_out(
    waiting: Vec<Receipt>,
    lying: &BTreeSet<Digest>,
    known: &KnownObjects,
    withdrawals: &[Withdrawal],
) -> Sorted {
    let order = |receipt: &Receipt| (receipt.object.written_at, lying.contains(&receipt.object_id), receipt.object_id);
    let going: BTreeSet<Digest> = withdrawals.iter().map(|withdrawal| withdrawal.object_id).collect();
    let mut newest: BTreeMap<(String, String), Receipt> = BTreeMap::new();
    let mut sorted = Sorted::default();
    for receipt in waiting {
        let known = versions(known, &receipt);
        let same = |v: &KnownObject| v.state == ObjectState::Retracted && v.etag == receipt.object.etag;
        if known.iter().any(same) || is_overtaken(&receipt, known) {
            sorted.unwanted.push(receipt);
            continue;
        }
        if going.contains(&receipt.object_id) {
            sorted.overtaken.push(receipt);
            continue;
        }
        match newest.entry((receipt.object.source.clone(), receipt.object.key.clone())) {
            Entry::Occupied(other) if order(other.get()) > order(&receipt) => sorted.overtaken.push(receipt),
            Entry::Occupied(mut other) => sorted.overtaken.push(other.insert(receipt)),
            Entry::Vacant(place) => drop(place.insert(receipt)),
        }
    }
    sorted.receipts = newest.into_values().collect();
    sorted
}

/// Of the versions of a key that wait and were written in one second, the one that lies under the key now: it is the last. Stores
/// give times in whole seconds, and nothing else about two versions says which came first.
async fn lying_now(job: &Job, waiting: &[Receipt]) -> Result<BTreeSet<Digest>, JobError> {
    let mut at_once: BTreeMap<(&str, &str, Micros), Vec<&Receipt>> = BTreeMap::new();
    for receipt in waiting {
        let ObjectVersion { source, key, written_at, .. } = &receipt.object;
        at_once.entry((source, key, *written_at)).or_default().push(receipt);
    }
    let mut lying = BTreeSet::new();
    for ((source, key, _), receipts) in at_once.into_iter().filter(|(_, receipts)| receipts.len() > 1) {
        let Some(place) = job.source(source)?.location.open_existing(job.buckets.as_ref())? else { continue };
        let Some(now) = find(&place, key).await? else { continue };
        lying
            .extend(receipts.iter().filter(|receipt| receipt.object.etag == now.etag).map(|receipt| receipt.object_id));
    }
    Ok(lying)
}

/// Whether a version was read when its key held nothing any more, and the ledger knows a later one.
///
/// The bucket cannot be asked which is the newest: it has none. What lies under its key is taken whatever its time, because
/// somebody may have brought an old version back.
fn is_overtaken(receipt: &Receipt, known: &[KnownObject]) -> bool {
    let own = (receipt.object.written_at, receipt.object_id);
    let is_later = |v: &KnownObject| v.etag != receipt.object.etag && (v.written_at, v.object_id) > own;
    receipt.object.gone && known.iter().any(is_later)
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
    if now.is_empty() {
        return Ok(Vec::new());
    }
    let rows = ledger.objects(ALL_DAYS).await?.into_iter().filter(|row| row.state == ObjectState::Applied);
    let gave = |row: &ObjectRow| (row.records, row.staged, row.rejects, row.control, row.event_times);
    Ok(rows.filter(|row| now.get(&row.object_id).is_some_and(|now| gave(now) != gave(row))).collect())
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

/// The ledger's rows of the applied versions among these, in their new states.
async fn in_new_state(
    ledger: &Ledger,
    going: &BTreeMap<Digest, (ObjectState, Option<&str>)>,
) -> Result<Vec<ObjectRow>, JobError> {
    if going.is_empty() {
        return Ok(Vec::new());
    }
    let rows = ledger.objects(ALL_DAYS).await?.into_iter().filter(|row| row.state == ObjectState::Applied);
    let withdrawn = rows.filter_map(|row| {
        let (state, reason) = *going.get(&row.object_id)?;
        Some(ObjectRow { state, reason: reason.map(str::to_owned), ..row })
    });
    Ok(withdrawn.collect())
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
async fn unite_all(
    job: &Job,
    tables: &BTreeMap<Table, LakeTable>,
    ledger: &Ledger,
    change: &Change,
    report: &mut UnionReport,
    progress: &dyn Progress,
) -> Result<(), JobError> {
    let mut plan = Plan::new();
    for receipt in &change.receipts {
        add_to_plan(job, receipt, &mut plan)?;
    }
    renew(job, ledger, change, &mut plan).await?;
    if plan.is_empty() {
        // Nothing is left to do, also where another build did it all: what this one did before is told.
        return Ok(());
    }
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
