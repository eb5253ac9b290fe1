//! What each stage of a run costs, on one landing object of each kind: `cargo bench -p meterlake-bench`.
//!
//! inflate: the floor. decode: inflate, frame, parse, batches. stage: sort, Parquet, in memory. unite: two passes over
//! the staged file, and the table's file. slots: the model that reads events.

use std::hint::black_box;
use std::io::Read as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use meterlake::base::{Digest, Micros};
use meterlake::decode::{
    DECODER_GENERATION, DecodePlan, Decoder, FieldSet, Format, Identifies, KeySecret, KeySpec, Limits, Privacy,
    SourceSpec, Template,
};
use meterlake::lake::{Lake, ObjectVersion, Replacement, StagedHour, StagedInput, Unit, UniteRules, unite};
use meterlake::model::{Engine, EngineOptions, Meter, MeterValue, slots_sql};
use meterlake::schema::Table;
use meterlake_bench::{Args, EDGE_FIELDS, ORIGIN_FORMAT, generate};
use object_store::memory::InMemory;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use url::Url;

/// One landing object and the plan to read it.
struct Case {
    name: &'static str,
    plan: DecodePlan,
    gzip: Vec<u8>,
    plain: Vec<u8>,
    _folder: TempDir,
}

/// The one object under a folder.
fn object(folder: &Path) -> PathBuf {
    let mut at = folder.to_owned();
    while at.is_dir() {
        let mut entries = std::fs::read_dir(&at).expect("the generator made the folder");
        at = entries.next().expect("a folder is not empty").expect("it can be read").path();
    }
    at
}

fn case(name: &'static str, records: (u64, u64), landing: &str, format: Format, key: KeySpec) -> Case {
    let folder = TempDir::new().expect("a temporary folder");
    let out = folder.path().join("data");
    let (edge, origin) = records;
    let mut args = Args::new(out.clone());
    (args.edge, args.origin, args.object_records) = (edge, origin, 1 << 20);
    generate(&args).expect("the generator writes");
    let gzip = std::fs::read(object(&out.join(landing))).expect("one object");
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(&gzip[..]).read_to_end(&mut plain).expect("gzip");
    let spec = SourceSpec { name: name.to_owned(), format, key, identifies: Identifies::Key, set: Default::default() };
    let privacy =
        Privacy { key_secrets: vec![KeySecret(b"of the benchmarks".to_vec())], client_ip: Default::default() };
    let plan = DecodePlan::new(&spec, &privacy, [7; 16], &Limits::default()).expect("a valid source");
    Case { name, plan, gzip, plain, _folder: folder }
}

fn cases() -> [Case; 2] {
    let fields = EDGE_FIELDS.split_ascii_whitespace().map(str::to_owned).collect();
    let edge = Format::CloudFrontRealtime(vec![FieldSet { from: None, fields }]);
    let origin = Format::ApiGateway(vec![Template { from: None, text: ORIGIN_FORMAT.to_owned() }]);
    [
        case("edge", (50_000, 1), "landing/cloudfront", edge, KeySpec::Header("x-api-key".to_owned())),
        case(
            "origin",
            (1, 50_000),
            "landing/apigateway",
            origin,
            KeySpec::Variable("$context.identity.apiKeyId".to_owned()),
        ),
    ]
}

/// Decodes an object, and hands on its events.
fn decode(plan: &DecodePlan, bytes: &[u8], mut on: impl FnMut(arrow::array::RecordBatch)) -> u64 {
    let mut decoder = Decoder::new(plan, "object", Micros(0));
    decoder.push(bytes).expect("a good object");
    decoder.end();
    while let Some(batch) = decoder.next_events() {
        on(batch);
    }
    decoder.finish().expect("a good object");
    while let Some(batch) = decoder.next_events() {
        on(batch);
    }
    decoder.counts().events
}

async fn memory_lake() -> Lake {
    let url = Url::parse("memory:///lake").expect("a URL");
    Lake::open(Arc::new(InMemory::new()), "lake".into(), url, [7; 16]).await.expect("an empty lake")
}

fn version(case: &Case) -> ObjectVersion {
    ObjectVersion {
        source: case.name.to_owned(),
        key: "object".to_owned(),
        etag: "1".to_owned(),
        bytes: case.gzip.len() as u64,
        arrived_at: Micros(0),
        written_at: Micros(0),
        gone: false,
        decode_id: Digest::of(["bench"]),
    }
}

fn unit_of(case: &Case, hour: &StagedHour) -> (Unit, StagedInput) {
    let unit = Unit { source: case.name.to_owned(), hour: hour.hour, part: 0, split: 1 };
    (unit, StagedInput { path: hour.path.clone(), object: "object".to_owned(), rows: hour.rows })
}

fn stages(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    for case in cases() {
        let table = case.plan.table();
        let mut group = c.benchmark_group(case.name);
        group.sample_size(10).throughput(Throughput::Bytes(case.plain.len() as u64));
        group.bench_function("inflate zlib-rs", |b| {
            let mut out = Vec::with_capacity(case.plain.len());
            b.iter(|| {
                out.clear();
                flate2::read::MultiGzDecoder::new(&case.gzip[..]).read_to_end(&mut out).expect("gzip")
            });
        });
        group.bench_function("decode plain", |b| {
            b.iter(|| decode(&case.plan, &case.plain, |batch| drop(black_box(batch))))
        });
        group.bench_function("decode gzip", |b| {
            b.iter(|| decode(&case.plan, &case.gzip, |batch| drop(black_box(batch))))
        });

        let mut batches = Vec::new();
        let events = decode(&case.plan, &case.gzip, |batch| batches.push(batch));
        let stage = |lake: Lake| {
            let mut writer = lake.stage(table, version(&case), 1000).expect("a writer");
            batches.iter().for_each(|batch| writer.push(batch).expect("rows of the table"));
            async move { writer.finish(events, 0, DECODER_GENERATION).await.expect("staged") }
        };
        group.bench_function("stage", |b| b.iter(|| runtime.block_on(async { stage(memory_lake().await).await })));

        let (at, receipt) = runtime.block_on(async {
            let lake = memory_lake().await;
            let receipt = stage(lake.clone()).await;
            (lake.table(table).await.expect("a table"), receipt)
        });
        let unite_all = || async {
            for hour in &receipt.hours {
                let (unit, input) = unit_of(&case, hour);
                black_box(unite(&at, &unit, &[input], &UniteRules::default()).await.expect("united"));
            }
        };
        group.bench_function("unite", |b| b.iter(|| runtime.block_on(unite_all())));

        let options = EngineOptions { memory_bytes_max: 256 << 20, partitions: NonZeroUsize::MIN.saturating_add(1) };
        let meter = Meter {
            name: "calls".to_owned(),
            sources: vec![case.name.to_owned()],
            table,
            where_sql: Some("status < 500".to_owned()),
            value: MeterValue::Count,
            group_by: vec!["method".to_owned()],
        };
        let (first, last) = (receipt.hours.first().expect("hours").hour, receipt.hours.last().expect("hours").hour);
        let sql = slots_sql(&meter, case.name, first, last.next()).expect("a good meter");
        let engine = runtime.block_on(async {
            let mut replace = Vec::new();
            for hour in &receipt.hours {
                let (unit, input) = unit_of(&case, hour);
                let united = unite(&at, &unit, &[input], &UniteRules::default()).await.expect("united");
                replace.push(Replacement { slot: unit.slot(), new: united.new });
            }
            let done = at.commit(replace, "build").await.expect("committed");
            let engine = Engine::new(options).expect("an engine");
            engine.see(&done.table).await.expect("a table");
            engine
        });
        group.bench_function("slots", |b| {
            b.iter(|| runtime.block_on(engine.make(Table::UsageSlots, "bench", &sql)).expect("slots"));
        });
        group.finish();
    }
}

criterion_group!(benches, stages);
criterion_main!(benches);
