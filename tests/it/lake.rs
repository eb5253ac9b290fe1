//! The lake keeps its promises on every kind of store: one suite, run in memory and in a folder.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int16Array, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray,
    new_null_array,
};
use meterlake::base::{Digest, Micros, UtcHour};
use meterlake::lake::{FileSlot, Lake, LakeError, LakeErrorKind, ObjectVersion, Receipt, Replacement};
use meterlake::schema::Table;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tempfile::TempDir;
use url::Url;

const TABLE: Table = Table::OriginRequests;

/// A store, and what must outlive it.
struct Place {
    store: Arc<dyn ObjectStore>,
    root: Path,
    url: Url,
    _folder: Option<TempDir>,
}

impl Place {
    fn memory() -> Self {
        let url = Url::parse("memory:///lake").unwrap();
        Self { store: Arc::new(InMemory::new()), root: Path::from("lake"), url, _folder: None }
    }

    fn folder() -> Self {
        let folder = TempDir::new().unwrap();
        let at = folder.path().join("the lake");
        std::fs::create_dir(&at).unwrap();
        let url = Url::from_directory_path(&at).unwrap();
        let root = Path::from_absolute_path(&at).unwrap();
        Self { store: Arc::new(LocalFileSystem::new()), root, url, _folder: Some(folder) }
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
    assert_eq!(lake.receipts().await.unwrap(), [receipt.clone()]);
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

async fn one_row(lake: &Lake, at: &meterlake::lake::LakeTable, id: &str) -> Vec<Replacement> {
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
