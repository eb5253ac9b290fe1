//! The lake keeps its promises on every kind of store: one suite, run in memory and in a folder.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Int16Array, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::datatypes::Int64Type;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use meterlake::base::{Digest, HalfOpen, Micros, UtcHour};
use meterlake::lake::{
    FileSlot, Lake, LakeError, LakeErrorKind, LakeTable, Ledger, LedgerChange, ObjectRow, ObjectState, ObjectVersion,
    Receipt, Replacement, StagedInput, Unit, UniteRules, United, VacuumRules, unite,
};
use meterlake::schema::Table;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;
use url::Url;

const TABLE: Table = Table::OriginRequests;

/// A store, and what must outlive it.
struct Place {
    store: Arc<dyn ObjectStore>,
    root: Path,
    url: Url,
    folder: Option<TempDir>,
}

impl Place {
    fn memory() -> Self {
        let url = Url::parse("memory:///lake").unwrap();
        Self { store: Arc::new(InMemory::new()), root: Path::from("lake"), url, folder: None }
    }

    fn folder() -> Self {
        let folder = TempDir::new().unwrap();
        let at = folder.path().join("the lake");
        std::fs::create_dir(&at).unwrap();
        let url = Url::from_directory_path(&at).unwrap();
        let root = Path::from_absolute_path(&at).unwrap();
        Self { store: Arc::new(LocalFileSystem::new()), root, url, folder: Some(folder) }
    }

    async fn open(&self) -> Lake {
        self.open_with([7; 16]).await.unwrap()
    }

    async fn open_with(&self, entropy: [u8; 16]) -> Result<Lake, LakeError> {
        Lake::open(Arc::clone(&self.store), self.root.clone(), self.url.clone(), entropy).await
    }
}

/// Runs a test of the suite in memory and in a folder.
macro_rules! on_every_store {
    ($($name:ident)*) => {
        mod memory { $(#[tokio::test] async fn $name() { super::$name(super::Place::memory()).await; })* }
        mod folder { $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name(super::Place::folder()).await; })* }
    };
}

on_every_store! {
    the_fingerprint_key_is_made_once
    a_newer_format_is_refused
    secrets_rotate_but_never_change_silently
    an_old_configuration_is_refused_unless_wanted
    staging_ends_with_a_receipt
    every_table_can_be_made_committed_and_read
    the_second_of_two_commits_from_one_snapshot_conflicts
    equal_content_commits_nothing
    a_union_keeps_each_record_once
    one_unforgeable_id_with_two_contents_is_a_conflict
    a_missing_staged_file_is_told_apart
    withdrawn_objects_leave_their_units
    parts_of_a_unit_make_up_the_whole
    conflicts_are_seen_in_a_split_unit
    one_object_staged_under_two_settings_depends_on_no_order
    many_runs_merge_like_one
    values_that_do_not_repeat_are_kept_as_they_are
    the_ledger_replaces_by_object
    withdrawn_objects_leave_the_ledger_s_hours
    an_object_applied_again_leaves_nothing_of_before
    vacuum_spares_what_may_be_needed
    many_commits_are_checkpointed
    every_crash_is_healed_by_running_again
}

fn hour(text: &str) -> UtcHour {
    text.parse().unwrap()
}

/// A row: key, minute, request id, fingerprint.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    key: Option<&'static str>,
    at: i64,
    id: String,
    fingerprint: i64,
    object: String,
    position: i64,
    decoder: i16,
}

fn row(key: &'static str, at: UtcHour, minute: i64, id: &str, fingerprint: i64) -> Row {
    let at = at.start().0 + minute * 60_000_000;
    Row { key: Some(key), at, id: id.to_owned(), fingerprint, object: "o1".to_owned(), position: 0, decoder: 1 }
}

fn batch(rows: &[Row]) -> RecordBatch {
    let schema = TABLE.file_schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "event_time" => {
                Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(|r| r.at)).with_timezone("UTC"))
            }
            "request_id" => Arc::new(StringViewArray::from_iter_values(rows.iter().map(|r| &r.id))),
            "key_ref" => Arc::new(StringViewArray::from_iter(rows.iter().map(|r| r.key))),
            "fingerprint" => Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.fingerprint))),
            "conflict" => Arc::new(BooleanArray::from(vec![false; rows.len()])),
            "source" => Arc::new(StringViewArray::from_iter_values(rows.iter().map(|_| "origin"))),
            "source_object" => Arc::new(StringViewArray::from_iter_values(rows.iter().map(|r| &r.object))),
            "source_position" => Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.position))),
            "decoder" => Arc::new(Int16Array::from_iter_values(rows.iter().map(|r| r.decoder))),
            _ => new_null_array(field.data_type(), rows.len()),
        }
    });
    let columns = columns.collect();
    RecordBatch::try_new(schema, columns).unwrap()
}

fn object(key: &str) -> ObjectVersion {
    ObjectVersion {
        source: "origin".to_owned(),
        key: key.to_owned(),
        etag: "e1".to_owned(),
        bytes: 100,
        arrived_at: "2026-10-02T00:00:00.5Z".parse::<Micros>().unwrap(),
        written_at: "2026-10-02T00:00:01Z".parse::<Micros>().unwrap(),
        gone: false,
        decode_id: Digest::of(["settings"]),
    }
}

async fn stage(lake: &Lake, key: &str, rows: &[Row]) -> Receipt {
    let rows: Vec<Row> =
        (0i64..).zip(rows).map(|(position, row)| Row { object: key.to_owned(), position, ..row.clone() }).collect();
    let mut writer = lake.stage(TABLE, object(key), 100).unwrap();
    writer.push(&batch(&rows)).unwrap();
    writer.finish(rows.len() as u64, 0, 1).await.unwrap()
}

async fn the_fingerprint_key_is_made_once(place: Place) {
    let (one, two) = tokio::join!(place.open_with([1; 16]), place.open_with([2; 16]));
    let key = one.unwrap().fingerprint_key();
    assert_eq!(two.unwrap().fingerprint_key(), key);
    assert_eq!(place.open_with([3; 16]).await.unwrap().fingerprint_key(), key);
}

async fn a_newer_format_is_refused(place: Place) {
    place.open().await;
    let path = place.root.clone().join("_meta").join("lake.json");
    place.store.put(&path, r#"{"format": 2, "other": true}"#.into()).await.unwrap();
    let error = place.open_with([0; 16]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the lake has format 2 but this version knows formats up to 1; use a newer meterlake"
    );
    assert_eq!(error.kind(), LakeErrorKind::Settings);
}

async fn secrets_rotate_but_never_change_silently(place: Place) {
    let lake = place.open().await;
    let check = async |values: &[&str]| {
        let values: Vec<String> = values.iter().map(|v| (*v).to_owned()).collect();
        lake.check_secrets(&values).await
    };
    check(&[]).await.unwrap();
    check(&["a"]).await.unwrap();
    assert!(matches!(check(&["b"]).await, Err(LakeError::UnknownSecret)));
    check(&["b", "a"]).await.unwrap();
    check(&["b"]).await.unwrap();
    check(&["a"]).await.unwrap();
    assert!(matches!(check(&["c"]).await, Err(LakeError::UnknownSecret)));
}

async fn an_old_configuration_is_refused_unless_wanted(place: Place) {
    let lake = place.open().await;
    let generation = async |text: &str, accept| lake.config_generation(Digest::of([text]), text, accept).await;
    assert_eq!(generation("one", false).await.unwrap(), 1);
    assert_eq!(generation("one", false).await.unwrap(), 1);
    assert_eq!(generation("two", false).await.unwrap(), 2);
    let error = generation("one", false).await.unwrap_err();
    assert!(matches!(error, LakeError::ConfigSuperseded { generation: 1, newest: 2 }), "{error}");
    assert_eq!(generation("one", true).await.unwrap(), 3);
    assert_eq!(generation("one", false).await.unwrap(), 3);
    let error = generation("two", false).await.unwrap_err();
    assert!(matches!(error, LakeError::ConfigSuperseded { generation: 2, newest: 3 }), "{error}");
}

async fn staging_ends_with_a_receipt(place: Place) {
    let lake = place.open().await;
    let (h5, h6) = (hour("2026-10-01T05"), hour("2026-10-01T06"));
    let rows = [row("k2", h6, 1, "c", 3), row("k1", h5, 2, "a", 1), row("k1", h5, 1, "b", 2)];
    let receipt = stage(&lake, "2026/one.gz", &rows).await;
    assert_eq!((receipt.records, receipt.staged, receipt.rejects, receipt.control), (3, 3, 0, 0));
    assert_eq!(receipt.event_time_min, Some(Micros(h5.start().0 + 60_000_000)));
    assert_eq!(receipt.hours.iter().map(|h| (h.hour, h.rows)).collect::<Vec<_>>(), [(h5, 2), (h6, 1)]);
    assert_eq!(lake.receipts().await.unwrap(), std::slice::from_ref(&receipt));
    assert_eq!(lake.receipt(&receipt.id()).await.unwrap(), Some(receipt.clone()));
    lake.delete_receipts(&[receipt.id(), receipt.id()]).await.unwrap();
    assert!(lake.receipts().await.unwrap().is_empty());

    let mut writer = lake.stage(TABLE, object("two"), 1).unwrap();
    assert!(matches!(writer.push(&batch(&rows)), Err(LakeError::TooManyHours { hours_max: 1, .. })));
    let mut writer = lake.stage(TABLE, object("three"), 2).unwrap();
    writer.push(&batch(&rows)).unwrap();
    assert!(matches!(writer.finish(5, 1, 1).await, Err(LakeError::Lost { expected: 5, found: 4, .. })));
    assert!(lake.receipts().await.unwrap().is_empty(), "nothing is published of an object that does not add up");
}

async fn every_table_can_be_made_committed_and_read(place: Place) {
    let lake = place.open().await;
    for table in Table::ALL {
        assert!(lake.existing_table(*table).await.unwrap().is_none());
        let before = lake.table(*table).await.unwrap();
        assert_eq!(before.version(), 0);
        let slot = if table.is_partitioned() { FileSlot::day(hour("2026-10-01T00").day()) } else { FileSlot::whole() };
        let rows = RecordBatch::try_new(
            table.file_schema(),
            table.file_schema().fields().iter().map(|f| new_null_array(f.data_type(), 3)).collect(),
        )
        .unwrap();
        let new = lake.write_file(&before, slot.clone(), vec![rows.clone()]).await.unwrap();
        let done = before.commit(vec![Replacement { slot: slot.clone(), new }], "test").await.unwrap();
        assert_eq!((done.table.version(), done.added, done.removed), (1, 1, 0));
        let after = lake.table(*table).await.unwrap();
        assert_eq!(after.files(), done.table.files());
        let file = after.current(&slot).unwrap();
        assert_eq!(file.rows, 3);
        assert_eq!(lake.read_file(*table, file, None).await.unwrap(), [rows]);
        if table.is_partitioned() {
            let days = lake.read_file(*table, file, Some(&["day"])).await.unwrap();
            assert_eq!((days[0].num_columns(), days[0].num_rows()), (1, 3));
        }
        let done = after.commit(vec![Replacement { slot, new: None }], "test").await.unwrap();
        assert_eq!((done.table.version(), done.table.files().len()), (2, 0));
        assert_eq!(lake.table_at(*table, 1).await.unwrap().files().len(), 1);
    }
}

async fn one_row(lake: &Lake, at: &LakeTable, id: &str) -> Vec<Replacement> {
    let unit = hour("2026-10-01T05");
    let slot = FileSlot::unit("origin", unit, 0);
    let new = lake.write_file(at, slot.clone(), vec![batch(&[row("k", unit, 1, id, 1)])]).await.unwrap();
    vec![Replacement { slot, new }]
}

async fn the_second_of_two_commits_from_one_snapshot_conflicts(place: Place) {
    let lake = place.open().await;
    let one = lake.table(TABLE).await.unwrap();
    let two = lake.table(TABLE).await.unwrap();
    one.commit(one_row(&lake, &one, "a").await, "first").await.unwrap();
    let error = two.commit(one_row(&lake, &two, "b").await, "second").await.unwrap_err();
    assert_eq!(error.kind(), LakeErrorKind::Conflict, "{error}");
    // Of other slots too: whoever committed first may have changed what the second computed from.
    let other = FileSlot::unit("edge", hour("2026-10-01T07"), 0);
    let new = lake.write_file(&two, other.clone(), vec![batch(&[row("k", hour("2026-10-01T07"), 1, "x", 1)])]).await;
    let replace = vec![Replacement { slot: other, new: new.unwrap() }];
    assert_eq!(two.commit(replace, "third").await.unwrap_err().kind(), LakeErrorKind::Conflict);
    // Computed again from the new snapshot it goes through; a file of an older snapshot does not.
    let stale = one_row(&lake, &two, "b").await;
    let two = lake.table(TABLE).await.unwrap();
    assert_eq!(two.commit(stale, "stale").await.unwrap_err().kind(), LakeErrorKind::Conflict);
    let done = two.commit(one_row(&lake, &two, "b").await, "second").await.unwrap();
    assert_eq!((done.table.version(), done.added, done.removed), (2, 1, 1));
    // Two that write the very same are both right: the second finds its own commit.
    let (one, two) = (lake.table(TABLE).await.unwrap(), lake.table(TABLE).await.unwrap());
    let done = one.commit(one_row(&lake, &one, "c").await, "same").await.unwrap();
    let same = two.commit(one_row(&lake, &two, "c").await, "same").await.unwrap();
    assert_eq!(same.table.version(), done.table.version());
}

async fn equal_content_commits_nothing(place: Place) {
    let lake = place.open().await;
    let table = lake.table(TABLE).await.unwrap();
    let first = table.commit(one_row(&lake, &table, "a").await, "first").await.unwrap();
    let again = first.table.commit(one_row(&lake, &first.table, "a").await, "again").await.unwrap();
    assert!(!again.changed());
    assert_eq!(lake.table(TABLE).await.unwrap().version(), first.table.version());
    assert_eq!(lake.table(TABLE).await.unwrap().files(), first.table.files());
}

fn inputs(receipts: &[Receipt], hour: UtcHour) -> Vec<StagedInput> {
    let inputs = receipts.iter().flat_map(|receipt| {
        let hours = receipt.hours.iter().filter(|h| h.hour == hour);
        hours.map(|h| StagedInput { path: h.path.clone(), object: receipt.object.key.clone(), rows: h.rows })
    });
    inputs.collect()
}

fn unit() -> Unit {
    Unit { source: "origin".to_owned(), hour: hour("2026-10-01T05"), part: 0, split: 1 }
}

/// Unites all that waits for the unit and commits it.
async fn build(lake: &Lake, unit: &Unit, receipts: &[Receipt], rules: &UniteRules) -> Result<United, LakeError> {
    let at = lake.table(TABLE).await?;
    let united = unite(&at, unit, &inputs(receipts, unit.hour), rules).await?;
    at.commit(vec![Replacement { slot: unit.slot(), new: united.new.clone() }], "build").await?;
    Ok(united)
}

/// What the unit holds: key, request id, fingerprint, conflict, object, position.
async fn held(lake: &Lake, unit: &Unit) -> Vec<(String, String, i64, bool, String, i64)> {
    let at = lake.table(TABLE).await.unwrap();
    let Some(file) = at.current(&unit.slot()) else { return Vec::new() };
    let columns = ["key_ref", "request_id", "fingerprint", "conflict", "source_object", "source_position"];
    let mut rows = Vec::new();
    for batch in lake.read_file(TABLE, file, Some(&columns)).await.unwrap() {
        let text = |i: usize| batch.column(i).as_string_view().clone();
        let number = |i: usize| batch.column(i).as_primitive::<Int64Type>().clone();
        for row in 0..batch.num_rows() {
            let conflict = batch.column(3).as_boolean().value(row);
            rows.push((
                text(0).value(row).to_owned(),
                text(1).value(row).to_owned(),
                number(2).value(row),
                conflict,
                text(4).value(row).to_owned(),
                number(5).value(row),
            ));
        }
    }
    rows
}

fn shown(rows: &[(String, String, i64, bool, String, i64)]) -> Vec<String> {
    let line = |(key, id, fingerprint, conflict, object, position): &(String, String, i64, bool, String, i64)| {
        format!("{key} {id} {fingerprint}{} {object}:{position}", if *conflict { " conflict" } else { "" })
    };
    rows.iter().map(line).collect()
}

async fn a_union_keeps_each_record_once(place: Place) {
    let lake = place.open().await;
    let at = unit().hour;
    let (a, b, c) = (row("k2", at, 3, "a", 1), row("k1", at, 9, "b", 2), row("k1", at, 4, "c", 3));
    let two = stage(&lake, "two", &[b.clone(), a.clone(), b.clone()]).await;
    let united = build(&lake, &unit(), std::slice::from_ref(&two), &UniteRules::default()).await.unwrap();
    assert_eq!((united.rows_in, united.rows_out, united.duplicates, united.conflicts), (3, 2, 1, 0));
    assert_eq!(shown(&held(&lake, &unit()).await), ["k1 b 2 two:0", "k2 a 1 two:1"]);
    // The other object delivers one of them too, and comes first by name; its record of it is kept.
    let one = stage(&lake, "one", &[a, c]).await;
    let united = build(&lake, &unit(), std::slice::from_ref(&one), &UniteRules::default()).await.unwrap();
    assert_eq!((united.rows_in, united.rows_out, united.duplicates), (4, 3, 1));
    let all = ["k1 c 3 one:1", "k1 b 2 two:0", "k2 a 1 one:0"];
    assert_eq!(shown(&held(&lake, &unit()).await), all);
    // Again, and both at once from the beginning: the same file, and so no commit.
    let before = lake.table(TABLE).await.unwrap();
    let again = [two.clone(), one.clone()];
    build(&lake, &unit(), &again, &UniteRules::default()).await.unwrap();
    let anew = UniteRules { rebuild: true, ..UniteRules::default() };
    build(&lake, &unit(), &[one, two], &anew).await.unwrap();
    let after = lake.table(TABLE).await.unwrap();
    assert_eq!((after.version(), after.files()), (before.version(), before.files()));
}

async fn one_unforgeable_id_with_two_contents_is_a_conflict(place: Place) {
    let lake = place.open().await;
    let at = unit().hour;
    let rows = [row("k", at, 1, "a", 30), row("k", at, 1, "a", -5), row("k", at, 1, "a", 7), row("k", at, 2, "b", 1)];
    let receipt = [stage(&lake, "one", &rows).await];
    let rules = UniteRules { unforgeable: true, ..UniteRules::default() };
    let united = build(&lake, &unit(), &receipt, &rules).await.unwrap();
    assert_eq!((united.rows_out, united.duplicates, united.conflicts), (4, 0, 2));
    let held_rows = ["k a -5 one:1", "k a 7 conflict one:2", "k a 30 conflict one:0", "k b 1 one:3"];
    assert_eq!(shown(&held(&lake, &unit()).await), held_rows);
    // A lesser fingerprint that comes later takes the id over; ids that callers choose are never in conflict.
    let late = [stage(&lake, "two", &[row("k", at, 1, "a", -6)]).await];
    let united = build(&lake, &unit(), &late, &rules).await.unwrap();
    assert_eq!((united.rows_out, united.conflicts), (5, 3));
    assert_eq!(shown(&held(&lake, &unit()).await)[..2], ["k a -6 two:0", "k a -5 conflict one:1"]);
    let united = build(&lake, &unit(), &[], &UniteRules::default()).await.unwrap();
    assert_eq!((united.rows_out, united.conflicts), (5, 0));
}

async fn a_missing_staged_file_is_told_apart(place: Place) {
    let lake = place.open().await;
    let receipts = [stage(&lake, "one", &[row("k", unit().hour, 1, "a", 1)]).await];
    let path = Path::from(receipts[0].hours[0].path.as_str());
    lake.store().delete(&path).await.unwrap();
    let error = build(&lake, &unit(), &receipts, &UniteRules::default()).await.unwrap_err();
    assert!(matches!(&error, LakeError::StagedMissing { object, .. } if object == "one"), "{error}");
    assert_eq!(error.kind(), LakeErrorKind::StagedMissing);
}

async fn withdrawn_objects_leave_their_units(place: Place) {
    let lake = place.open().await;
    let at = unit().hour;
    let one = stage(&lake, "one", &[row("k", at, 1, "a", 1), row("k", at, 2, "b", 2)]).await;
    let two = stage(&lake, "two", &[row("k", at, 2, "b", 2), row("k", at, 3, "c", 3)]).await;
    build(&lake, &unit(), &[one, two.clone()], &UniteRules::default()).await.unwrap();
    let rules = UniteRules { drop: ["one".to_owned()].into(), ..UniteRules::default() };
    let united = build(&lake, &unit(), &[two], &rules).await.unwrap();
    assert_eq!((united.rows_in, united.rows_out, united.dropped), (3, 2, 2));
    assert_eq!(shown(&held(&lake, &unit()).await), ["k b 2 two:0", "k c 3 two:1"]);
    let rules = UniteRules { drop: ["two".to_owned()].into(), ..UniteRules::default() };
    assert_eq!(build(&lake, &unit(), &[], &rules).await.unwrap().new, None);
    assert!(held(&lake, &unit()).await.is_empty());
    assert!(lake.table(TABLE).await.unwrap().files().is_empty());
}

async fn parts_of_a_unit_make_up_the_whole(place: Place) {
    let lake = place.open().await;
    let ids: Vec<String> = (0..200).map(|n| format!("r{n}")).collect();
    let rows: Vec<Row> = (0..).zip(&ids).map(|(n, id)| row("k", unit().hour, n % 60, id, n)).collect();
    let receipts = [stage(&lake, "one", &rows).await, stage(&lake, "two", &rows).await];
    let (mut events, mut duplicates) = (0, 0);
    for part in 0..4 {
        let part = Unit { part, split: 4, ..unit() };
        let united = build(&lake, &part, &receipts, &UniteRules::default()).await.unwrap();
        assert!((20..80).contains(&united.rows_out), "{} of 200 in one of four parts", united.rows_out);
        events += united.rows_out;
        duplicates += united.duplicates;
    }
    assert_eq!((events, duplicates), (200, 200));
    let error = build(&lake, &Unit { part: 1, split: 2, ..unit() }, &receipts, &UniteRules::default()).await;
    assert!(matches!(error, Err(LakeError::Corrupt { .. })), "a split that changes is refused");
}

async fn conflicts_are_seen_in_a_split_unit(place: Place) {
    let lake = place.open().await;
    // If parts were chosen by the fingerprint, the two would not meet.
    let receipts = [stage(&lake, "one", &[row("k", unit().hour, 1, "a", 0), row("k", unit().hour, 1, "a", 1)]).await];
    let mut conflicts = 0;
    for part in 0..2 {
        let rules = UniteRules { unforgeable: true, ..UniteRules::default() };
        conflicts += build(&lake, &Unit { part, split: 2, ..unit() }, &receipts, &rules).await.unwrap().conflicts;
    }
    assert_eq!(conflicts, 1);
}

async fn one_object_staged_under_two_settings_depends_on_no_order(place: Place) {
    let lake = place.open().await;
    let mut receipts = Vec::new();
    for (settings, key) in [("old", "k1"), ("new", "k2")] {
        let object = ObjectVersion { decode_id: Digest::of([settings]), ..object("one") };
        receipts.push(stage_with_rejects(&lake, object, &[row(key, unit().hour, 1, "a", 1)], 0).await);
    }
    let rules = UniteRules { rebuild: true, ..UniteRules::default() };
    build(&lake, &unit(), &receipts, &rules).await.unwrap();
    let before = lake.table(TABLE).await.unwrap().version();
    receipts.reverse();
    build(&lake, &unit(), &receipts, &rules).await.unwrap();
    assert_eq!(lake.table(TABLE).await.unwrap().version(), before);
}

async fn many_runs_merge_like_one(place: Place) {
    let lake = place.open().await;
    let ids: Vec<String> = (0..300).map(|n| format!("r{n}")).collect();
    let rows: Vec<Row> = (0..).zip(&ids).map(|(n, id)| row("k", unit().hour, (n * 7) % 60, id, n)).collect();
    let mut apart = Vec::new();
    for (n, row) in rows.iter().enumerate() {
        apart.push(stage(&lake, &format!("{n:03}"), std::slice::from_ref(row)).await);
    }
    build(&lake, &unit(), &apart, &UniteRules::default()).await.unwrap();
    let many = held(&lake, &unit()).await;
    assert_eq!(many.len(), 300);
    let together = [stage(&lake, "together", &rows).await];
    let anew = UniteRules { rebuild: true, ..UniteRules::default() };
    build(&lake, &unit(), &together, &anew).await.unwrap();
    let one = held(&lake, &unit()).await;
    let events = |rows: &[(String, String, i64, bool, String, i64)]| -> Vec<(String, i64)> {
        rows.iter().map(|row| (row.1.clone(), row.2)).collect()
    };
    assert_eq!(events(&many), events(&one));
}

/// Labels are written as dictionaries. Where a caller sends another value each time, a dictionary would be as large as the
/// column: 6 000 values of 64 bytes are more than the 256 KiB that one may have.
async fn values_that_do_not_repeat_are_kept_as_they_are(place: Place) {
    let lake = place.open().await;
    let agent = |id: &str| format!("{id:>64}");
    let mut receipts = Vec::new();
    for (key, ids, differ) in [("a", 0..6_000, true), ("b", 5_000..11_000, true), ("c", 11_000..11_010, false)] {
        let rows = ids.map(|n: i64| row("k", unit().hour, n % 60, &format!("r{n:05}"), n)).collect::<Vec<_>>();
        let plain = batch(&rows);
        let agents = rows.iter().map(|row| if differ { agent(&row.id) } else { agent("same") });
        let mut columns = plain.columns().to_vec();
        let at = plain.schema().index_of("user_agent").unwrap();
        columns[at] = Arc::new(agents.map(Some).collect::<StringViewArray>());
        let mut writer = lake.stage(TABLE, object(key), 100).unwrap();
        writer.push(&RecordBatch::try_new(plain.schema(), columns).unwrap()).unwrap();
        receipts.push(writer.finish(rows.len() as u64, 0, 1).await.unwrap());
    }
    // Twice: the second time what the first wrote is an input too.
    build(&lake, &unit(), &receipts[..1], &UniteRules::default()).await.unwrap();
    let united = build(&lake, &unit(), &receipts[1..], &UniteRules::default()).await.unwrap();
    assert_eq!((united.rows_out, united.duplicates), (11_010, 1_000));
    let at = lake.table(TABLE).await.unwrap();
    let file = at.current(&unit().slot()).unwrap();
    let mut seen = 0;
    for batch in lake.read_file(TABLE, file, Some(&["request_id", "user_agent"])).await.unwrap() {
        let (ids, agents) = (batch.column(0).as_string_view(), batch.column(1).as_string_view());
        for (id, found) in ids.iter().flatten().zip(agents.iter().flatten()) {
            let expected = if id < "r11000" { agent(id) } else { agent("same") };
            assert_eq!(found, expected, "{id}");
            seen += 1;
        }
    }
    assert_eq!(seen, 11_010);
}

fn rejects(count: i64) -> RecordBatch {
    let text = |value: &str| -> ArrayRef { Arc::new(StringViewArray::from_iter_values((0..count).map(|_| value))) };
    let positions: ArrayRef = Arc::new(Int64Array::from_iter_values(0..count));
    RecordBatch::try_from_iter([
        ("source_position", positions),
        ("reason", text("columns")),
        ("excerpt", text("…")),
        ("detail", text("3 columns, not 4")),
    ])
    .unwrap()
}

async fn stage_with_rejects(lake: &Lake, object: ObjectVersion, rows: &[Row], unreadable: i64) -> Receipt {
    let mut writer = lake.stage(TABLE, object, 100).unwrap();
    writer.push(&batch(rows)).unwrap();
    if unreadable > 0 {
        writer.push_rejects(&rejects(unreadable)).unwrap();
    }
    writer.finish(rows.len() as u64 + unreadable.unsigned_abs() + 1, 1, 1).await.unwrap()
}

async fn the_ledger_replaces_by_object(place: Place) {
    let lake = place.open().await;
    let (h5, h6) = (hour("2026-10-01T05"), hour("2026-10-01T06"));
    let rows = [row("k", h5, 1, "a", 1), row("k", h5, 2, "b", 2), row("k", h6, 3, "c", 3)];
    let one = stage_with_rejects(&lake, object("one"), &rows, 2).await;
    let two = stage_with_rejects(&lake, object("two"), &rows[..1], 0).await;
    let change = LedgerChange { applied: vec![two.clone(), one.clone()], ..Default::default() };
    Ledger::open(&lake).await.unwrap().commit(&change, "build").await.unwrap();

    let ledger = Ledger::open(&lake).await.unwrap();
    let arrived = one.object.arrived_at.day();
    let all = HalfOpen::new(arrived, None).unwrap();
    assert_eq!(ledger.objects(all).await.unwrap(), [ObjectRow::applied(&one), ObjectRow::applied(&two)]);
    let hours = ledger.object_hours(HalfOpen::new(h5, None).unwrap()).await.unwrap();
    let shown: Vec<_> = hours.iter().map(|h| (h.hour.to_string(), h.key.as_str(), h.records, h.rejects)).collect();
    assert_eq!(
        shown,
        [
            ("2026-10-01T05".to_owned(), "one", 2, 0),
            ("2026-10-01T05".to_owned(), "two", 1, 0),
            ("2026-10-01T06".to_owned(), "one", 1, 0),
            ("2026-10-02T00".to_owned(), "one", 0, 2),
        ]
    );
    assert_eq!(ledger.object_hours(HalfOpen::new(h6, Some(h6.next())).unwrap()).await.unwrap().len(), 1);
    let rejected = ledger.rejects.files()[0];
    assert_eq!((rejected.rows, rejected.slot.to_string()), (2, "day=2026-10-02/origin.day".to_owned()));

    let known = ledger.known(Some("origin"), None).await.unwrap();
    assert_eq!(known.len(), 2);
    let version = &known[&("origin".to_owned(), "one".to_owned())][0];
    assert_eq!((version.etag.as_str(), version.object_id, version.state), ("e1", one.object_id, ObjectState::Applied));
    assert!(ledger.known(Some("edge"), None).await.unwrap().is_empty());
    assert!(ledger.known(None, Some(arrived.next())).await.unwrap().is_empty());

    // The same again changes nothing.
    ledger.commit(&change, "build").await.unwrap();
    let again = Ledger::open(&lake).await.unwrap();
    for (before, after) in
        [(&ledger.objects, &again.objects), (&ledger.hours, &again.hours), (&ledger.rejects, &again.rejects)]
    {
        assert_eq!((before.version(), before.files()), (after.version(), after.files()));
    }
}

async fn withdrawn_objects_leave_the_ledger_s_hours(place: Place) {
    let lake = place.open().await;
    let rows = [row("k", hour("2026-10-01T05"), 1, "a", 1), row("k", hour("2026-09-30T06"), 3, "c", 3)];
    let one = stage_with_rejects(&lake, object("one"), &rows, 2).await;
    let two = stage_with_rejects(&lake, object("two"), &rows, 1).await;
    let change = LedgerChange { applied: vec![one.clone(), two.clone()], ..Default::default() };
    Ledger::open(&lake).await.unwrap().commit(&change, "build").await.unwrap();
    let gone = ObjectRow {
        state: ObjectState::Retracted,
        reason: Some("staging logs".to_owned()),
        ..ObjectRow::applied(&one)
    };
    let change = LedgerChange { withdrawn: vec![gone.clone()], ..Default::default() };
    Ledger::open(&lake).await.unwrap().commit(&change, "retract").await.unwrap();
    let ledger = Ledger::open(&lake).await.unwrap();
    let all = HalfOpen::new(hour("2026-09-01T00"), None).unwrap();
    assert!(ledger.object_hours(all).await.unwrap().iter().all(|hour| hour.key == "two"));
    assert_eq!(ledger.object_hours(all).await.unwrap().len(), 3);
    assert_eq!(ledger.rejects.files()[0].rows, 1);
    let objects = ledger.objects(HalfOpen::new(one.object.arrived_at.day(), None).unwrap()).await.unwrap();
    assert_eq!(objects, [gone, ObjectRow::applied(&two)]);
}

/// The same version under the same settings, and yet it gives something else: another program has read it.
async fn an_object_applied_again_leaves_nothing_of_before(place: Place) {
    let lake = place.open().await;
    let (h5, h6) = (hour("2026-10-01T05"), hour("2026-10-01T06"));
    let before = stage_with_rejects(&lake, object("one"), &[row("k", h5, 1, "a", 1)], 2).await;
    let change = LedgerChange { applied: vec![before.clone()], ..Default::default() };
    Ledger::open(&lake).await.unwrap().commit(&change, "build").await.unwrap();
    let after = stage_with_rejects(&lake, object("one"), &[row("k", h6, 2, "b", 2)], 0).await;
    let change =
        LedgerChange { applied: vec![after.clone()], renewed: vec![ObjectRow::applied(&before)], ..Default::default() };
    for _ in 0..2 {
        Ledger::open(&lake).await.unwrap().commit(&change, "build").await.unwrap();
        let ledger = Ledger::open(&lake).await.unwrap();
        let hours = ledger.object_hours(HalfOpen::new(h5, None).unwrap()).await.unwrap();
        assert_eq!(hours.iter().map(|h| (h.hour, h.records, h.rejects)).collect::<Vec<_>>(), [(h6, 1, 0)]);
        let days = HalfOpen::new(after.object.arrived_at.day(), None).unwrap();
        assert!(ledger.rejected(days).await.unwrap().is_empty());
        assert_eq!(ledger.objects(days).await.unwrap(), [ObjectRow::applied(&after)]);
    }
}

async fn vacuum_spares_what_may_be_needed(place: Place) {
    let lake = place.open().await;
    let at = unit().hour;
    let applied = stage(&lake, "one", &[row("k", at, 1, "a", 1)]).await;
    build(&lake, &unit(), std::slice::from_ref(&applied), &UniteRules::default()).await.unwrap();
    lake.delete_receipts(&[applied.id()]).await.unwrap();
    let old = lake.table(TABLE).await.unwrap().files()[0].path.clone();
    let waiting = stage(&lake, "two", &[row("k", at, 2, "b", 2)]).await;
    // Written for version 2, which another commit takes; then version 3, which nothing takes yet.
    let before = lake.table(TABLE).await.unwrap();
    let orphan = one_row(&lake, &before, "orphan").await;
    build(&lake, &unit(), std::slice::from_ref(&waiting), &UniteRules::default()).await.unwrap();
    let now = lake.table(TABLE).await.unwrap();
    let coming = one_row(&lake, &now, "coming").await;
    let everything = "2100-01-01".parse().unwrap();
    let is_one = |source: &str, object| source == "origin" && object == applied.object_id;
    let long_ago = "2020-01-01".parse().unwrap();
    let mut rules = VacuumRules { before: long_ago, staged_before: long_ago, staged_is_done: &is_one, dry_run: false };
    assert_eq!(lake.vacuum(&rules).await.unwrap().paths, [""; 0], "nothing is that old");
    (rules.before, rules.staged_before, rules.dry_run) = (everything, everything, true);
    let planned = lake.vacuum(&rules).await.unwrap();
    rules.dry_run = false;
    let done = lake.vacuum(&rules).await.unwrap();
    assert_eq!(planned, done);
    assert_eq!(done.paths.len(), 3, "{:?}", done.paths);
    assert!(done.paths.contains(&applied.hours[0].path));
    assert!(done.paths.contains(&format!("tables/origin_requests/{old}")));
    assert!(done.bytes > 0);
    assert_eq!(lake.vacuum(&rules).await.unwrap().paths.len(), 0);
    // The table reads as before, and what was on its way arrives; what was computed from an old snapshot never does.
    assert_eq!(held(&lake, &unit()).await.len(), 2);
    assert!(before.commit(orphan, "late").await.is_err());
    now.commit(coming, "coming").await.unwrap();
    assert_eq!(held(&lake, &unit()).await.len(), 1);
}

async fn many_commits_are_checkpointed(place: Place) {
    let lake = place.open().await;
    let mut table = lake.table(TABLE).await.unwrap();
    for n in 0..45 {
        table = table.commit(one_row(&lake, &table, &format!("r{n}")).await, "again").await.unwrap().table;
    }
    let fresh = lake.table(TABLE).await.unwrap();
    assert_eq!((fresh.version(), fresh.files()), (45, table.files()));
    let log = Path::from("tables/origin_requests/_delta_log");
    let listed: Vec<_> = lake.store().list(Some(&log)).try_collect().await.unwrap();
    let checkpoints = listed.iter().filter(|meta| meta.location.as_ref().contains("checkpoint.parquet")).count();
    assert_eq!(checkpoints, 2);
    fresh.maintain().await.unwrap();
    assert_eq!(lake.table(TABLE).await.unwrap().files(), table.files());
    assert_eq!(fresh.delta().await.unwrap().version(), Some(45));
}

/// How a store goes wrong.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    /// Like a killed process: this write and everything after it does not happen.
    Killed,
    /// This write happens, its reply is lost, and the process is killed.
    KilledAfter,
    /// This write happens and only its reply is lost.
    ReplyLost,
}

/// A store that goes wrong at the nth write.
#[derive(Debug)]
struct Faulty {
    inner: Arc<dyn ObjectStore>,
    fault: Fault,
    at: usize,
    writes: AtomicUsize,
    dead: AtomicBool,
}

impl Faulty {
    fn failure() -> object_store::Error {
        object_store::Error::Generic { store: "faulty", source: "gone wrong".into() }
    }

    fn alive(&self) -> object_store::Result<()> {
        if self.dead.load(Relaxed) { Err(Self::failure()) } else { Ok(()) }
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        self.alive()?;
        let now = self.writes.fetch_add(1, Relaxed) == self.at;
        if now && self.fault == Fault::Killed {
            self.dead.store(true, Relaxed);
            return Err(Self::failure());
        }
        let result = self.inner.put_opts(path, payload, options).await;
        if now {
            self.dead.store(self.fault == Fault::KilledAfter, Relaxed);
            return Err(Self::failure());
        }
        result
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.alive()?;
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.alive()?;
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        match self.alive() {
            Ok(()) => self.inner.delete_stream(paths),
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.alive()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.alive()?;
        self.inner.copy_opts(from, to, options).await
    }
}

/// A small job: converts three objects that the ledger lacks, builds their units and closes the books on them.
async fn job(place: &Place, store: Arc<dyn ObjectStore>) -> Result<(), LakeError> {
    let lake = Lake::open(store, place.root.clone(), place.url.clone(), [7; 16]).await?;
    let at = unit().hour;
    let known = Ledger::open(&lake).await?.known(None, None).await?;
    for (key, id) in [("one", "a"), ("two", "b"), ("three", "a")] {
        if known.contains_key(&("origin".to_owned(), key.to_owned())) {
            continue;
        }
        let rows = [row("k", at, 1, id, 1), row("k", at.next(), 2, id, 2)];
        let rows: Vec<Row> = rows.into_iter().map(|row| Row { object: key.to_owned(), ..row }).collect();
        let mut writer = lake.stage(TABLE, object(key), 100)?;
        writer.push(&batch(&rows))?;
        writer.push_rejects(&rejects(1))?;
        writer.finish(3, 0, 1).await?;
    }
    let receipts = lake.receipts().await?;
    let table = lake.table(TABLE).await?;
    let mut replace = Vec::new();
    for hour in [at, at.next()] {
        let unit = Unit { hour, ..unit() };
        let united = unite(&table, &unit, &inputs(&receipts, hour), &UniteRules::default()).await?;
        replace.push(Replacement { slot: unit.slot(), new: united.new });
    }
    table.commit(replace, "build").await?;
    let change = LedgerChange { applied: receipts.clone(), ..Default::default() };
    Ledger::open(&lake).await?.commit(&change, "build").await?;
    lake.delete_receipts(&receipts.iter().map(Receipt::id).collect::<Vec<_>>()).await
}

/// Every file of the tables by slot and content, and what still waits.
async fn state(place: &Place) -> (Vec<String>, usize) {
    let lake = place.open().await;
    let mut files = Vec::new();
    for table in [TABLE, Table::Objects, Table::ObjectHours, Table::Rejects] {
        for file in lake.table(table).await.unwrap().files() {
            files.push(format!("{}/{} {} {}", table.name(), file.slot, file.digest, file.rows));
        }
    }
    (files, lake.receipts().await.unwrap().len())
}

async fn every_crash_is_healed_by_running_again(place: Place) {
    let in_memory = place.folder.is_none();
    job(&place, Arc::clone(&place.store)).await.unwrap();
    let undisturbed = state(&place).await;
    assert_eq!((undisturbed.0.len(), undisturbed.1), (6, 0), "{undisturbed:?}");
    // A folder is slow and fails like memory does: there the plainest fault will do.
    let faults = [Fault::Killed, Fault::KilledAfter, Fault::ReplyLost];
    for fault in faults.into_iter().take(if in_memory { 3 } else { 1 }) {
        let (mut crashes, mut unnoticed) = (0, 0);
        for at in 0.. {
            let place = if in_memory { Place::memory() } else { Place::folder() };
            let inner = Arc::clone(&place.store);
            let faulty = Faulty { inner, fault, at, writes: AtomicUsize::new(0), dead: AtomicBool::new(false) };
            let faulty = Arc::new(faulty);
            let first = job(&place, Arc::clone(&faulty) as Arc<dyn ObjectStore>).await;
            if faulty.writes.load(Relaxed) <= at {
                assert!(first.is_ok());
                break;
            }
            *(if first.is_err() { &mut crashes } else { &mut unnoticed }) += 1;
            job(&place, Arc::clone(&place.store)).await.unwrap();
            assert_eq!(state(&place).await, undisturbed, "{fault:?} at write {at}");
        }
        // Writes: the lake's description, 4 tables made, 3 × (2 hours, rejects, receipt), 6 data files, 4 commits. The
        // description, a table that is made and a commit are looked up where the reply is lost; any other write is simply done again.
        let expected = if fault == Fault::ReplyLost { (18, 9) } else { (27, 0) };
        assert_eq!((crashes, unnoticed), expected, "{fault:?}");
    }
}

fn rows_of(objects: &[Vec<(u8, u8)>]) -> Vec<Vec<Row>> {
    let record = |&(id, content): &(u8, u8)| {
        let fingerprint = i64::from(content) - 1;
        let key = ["k1", "k2"][usize::from(content % 2)];
        Row { key: Some(key), ..row(key, unit().hour, i64::from((id + content) % 5), &format!("r{id}"), fingerprint) }
    };
    objects.iter().map(|object| object.iter().map(record).collect()).collect()
}

/// What must come of it, worked out the slow way.
fn expected(objects: &[Vec<Row>], unforgeable: bool) -> Vec<(String, String, i64, bool, String, i64)> {
    let mut events: BTreeMap<(String, i64), (String, i64, i64, String)> = BTreeMap::new();
    for (n, object) in objects.iter().enumerate() {
        for (position, row) in (0i64..).zip(object) {
            let from = (format!("o{n}"), position, row.at, row.key.unwrap().to_owned());
            let kept = events.entry((row.id.clone(), row.fingerprint)).or_insert_with(|| from.clone());
            if (&from.0, from.1) < (&kept.0, kept.1) {
                *kept = from;
            }
        }
    }
    let least = |id: &str| events.keys().filter(|event| event.0 == id).map(|event| event.1).min();
    let mut rows: Vec<_> = events
        .iter()
        .map(|((id, fingerprint), (object, position, at, key))| {
            let conflict = unforgeable && least(id) != Some(*fingerprint);
            (key.clone(), *at, id.clone(), *fingerprint, conflict, object.clone(), *position)
        })
        .collect();
    rows.sort();
    rows.into_iter().map(|(k, _, id, f, c, o, p)| (k, id, f, c, o, p)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever the order, grouping and repetition of objects: the same events, in the same bytes.
    #[test]
    fn a_union_is_a_function_of_the_set_of_objects(
        objects in vec(vec((0u8..6, 0u8..4), 0..8), 1..5),
        order in vec((any::<usize>(), any::<bool>()), 1..8),
        unforgeable in any::<bool>(),
    ) {
        let objects = rows_of(&objects);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let rules = UniteRules { unforgeable, ..UniteRules::default() };
            let place = Place::memory();
            let lake = place.open().await;
            let mut receipts = Vec::new();
            for (n, rows) in objects.iter().enumerate() {
                receipts.push(stage(&lake, &format!("o{n}"), rows).await);
            }
            build(&lake, &unit(), &receipts, &rules).await.unwrap();
            let want = expected(&objects, unforgeable);
            assert_eq!(held(&lake, &unit()).await, want);

            // The same objects again: some builds in any order, several objects in one, then those left out.
            let other = Place::memory().open().await;
            for (n, rows) in objects.iter().enumerate() {
                stage(&other, &format!("o{n}"), rows).await;
            }
            let mut waiting = Vec::new();
            for (pick, more) in order {
                waiting.push(receipts[pick % receipts.len()].clone());
                if !more {
                    let taken = std::mem::take(&mut waiting);
                    let united = build(&other, &unit(), &taken, &rules).await.unwrap();
                    assert_eq!(united.rows_in, united.rows_out + united.duplicates);
                }
            }
            receipts.reverse();
            build(&other, &unit(), &receipts, &rules).await.unwrap();
            let digest = async |lake: &Lake| {
                let at = lake.table(TABLE).await.unwrap();
                at.current(&unit().slot()).map(|file| file.digest.clone())
            };
            assert_eq!(digest(&lake).await, digest(&other).await);
            // Once more changes nothing, not even a version.
            let before = other.table(TABLE).await.unwrap().version();
            build(&other, &unit(), &receipts, &rules).await.unwrap();
            assert_eq!(other.table(TABLE).await.unwrap().version(), before);
        });
    }
}
