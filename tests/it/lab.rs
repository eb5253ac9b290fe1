//! A laboratory: a folder with landing objects as AWS writes them, made from simple records, and lakes built from them by the
//! real binary. All lakes have one fingerprint key, so that two lakes can be compared row by row and byte by byte.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use meterlake::base::Micros;
use meterlake::cli::settings::{Settings, SourceSettings};
use meterlake::decode::{DecodePlan, KeySecret, key_ref};
use meterlake::job::{Job, Source};
use meterlake::lake::{Lake, LakeTable};
use meterlake::schema::Table;
use meterlake::source::{Location, NoBuckets};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use serde_json::{Value, json};
use url::Url;

use super::shell::{Ran, SECRET, Shell, gz};

/// 2026-10-05T00:00:00Z, in milliseconds: the zero of [`at`].
const START_MS: i64 = 1_791_158_400_000;

/// Who may call: the raw key, and the id that API Gateway logs instead of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Key {
    Acme,
    Beta,
    /// A key that no customer owns.
    Nobody,
    /// No key at all.
    None,
}

impl Key {
    pub(crate) const fn raw(self) -> &'static str {
        match self {
            Self::Acme => "ACMErawKEYq7xW3mK9pLs2",
            Self::Beta => "BETArawKEYt4bN8vR5cYh6",
            Self::Nobody => "NOBODYrawKEYf1gD0jU8zE",
            Self::None => "",
        }
    }

    pub(crate) const fn id(self) -> &'static str {
        match self {
            Self::Acme => "acmeid0001",
            Self::Beta => "betaid0002",
            Self::Nobody => "nobodyid03",
            Self::None => "-",
        }
    }

    /// What stands for the raw key in the tables.
    pub(crate) fn fingerprint(self) -> String {
        key_ref(&KeySecret(SECRET.as_bytes().to_vec()), self.raw().as_bytes())
    }
}

/// An instant: a day of the laboratory's time (0: 2026-10-05), an hour, and milliseconds in it.
pub(crate) fn at(day: i64, hour: i64, ms: i64) -> i64 {
    START_MS + (day * 24 + hour) * 3_600_000 + ms
}

/// One request to the API, as API Gateway logs it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) at: i64,
    /// extendedRequestId: nobody can choose it.
    pub(crate) id: String,
    /// requestId: the caller can choose it.
    pub(crate) caller_id: String,
    pub(crate) key: Key,
    pub(crate) route: &'static str,
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    pub(crate) agent: String,
}

impl Call {
    /// A successful call; the instant makes its id.
    pub(crate) fn new(at: i64, key: Key) -> Self {
        let id = format!("ext{at}=");
        let caller_id = format!("id-{at}");
        Self { at, id, caller_id, key, route: "/v1/items", status: 200, bytes: 512, agent: "agent/1".to_owned() }
    }

    pub(crate) fn line(&self) -> String {
        let Self { at, id, caller_id, route, status, bytes, agent, .. } = self;
        let key = self.key.id();
        format!(
            r#"{{"ext":"{id}","id":"{caller_id}","epoch":"{at}","method":"GET","route":"{route}","status":"{status}","bytes":"{bytes}","key":"{key}","agent":"{agent}"}}"#
        )
    }
}

/// One download, as CloudFront logs it.
#[derive(Clone, Debug)]
pub(crate) struct Hit {
    pub(crate) at: i64,
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    /// Headers as sent, names and values as they stand in the log.
    pub(crate) headers: Vec<(String, String)>,
    /// How many of them CloudFront kept in the list.
    pub(crate) listed: usize,
}

impl Hit {
    /// A successful download; the instant makes its id.
    pub(crate) fn new(at: i64, key: Key) -> Self {
        let mut headers = vec![("host".to_owned(), "files.example.com".to_owned())];
        if key != Key::None {
            headers.push(("x-api-key".to_owned(), key.raw().to_owned()));
        }
        let id = format!("{at:054}==");
        Self { at, id, path: "/v1/files/a".to_owned(), status: 200, bytes: 1_000, headers, listed: usize::MAX }
    }

    pub(crate) fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn line(&self) -> String {
        let Self { id, path, status, bytes, headers, .. } = self;
        let listed: String = headers.iter().take(self.listed).map(|(n, v)| format!("{n}:{v}%0A")).collect();
        let (seconds, ms) = (self.at / 1_000, self.at % 1_000);
        let count = headers.len();
        format!("{seconds}.{ms:03}\t203.0.113.9\t{status:03}\t{bytes}\tGET\t{path}\t{id}\tagent/1\t{listed}\t{count}")
    }
}

/// Records one below the other, as Firehose writes what API Gateway gives it; the same for CloudFront, before it is compressed.
pub(crate) fn lines<T: AsRef<str>>(records: &[T]) -> Vec<u8> {
    records.iter().flat_map(|record| record.as_ref().bytes().chain([b'\n'])).collect()
}

/// Records as CloudWatch Logs sends them: `size` to an envelope, each envelope a gzip member, back to back.
pub(crate) fn envelopes<T: AsRef<str>>(records: &[T], size: usize) -> Vec<u8> {
    records.chunks(size).flat_map(|records| gz(&envelope("DATA_MESSAGE", records))).collect()
}

/// An envelope; `CONTROL_MESSAGE` is what CloudWatch Logs sends to try the way.
pub(crate) fn envelope<T: AsRef<str>>(kind: &str, records: &[T]) -> Vec<u8> {
    let events = records.iter().enumerate().map(|(n, record)| {
        // The time of the envelope is when the record was taken up: it says nothing of the request.
        json!({"id": format!("{n:056}"), "timestamp": 1_000_000_000_000_i64 + n as i64, "message": record.as_ref()})
    });
    let envelope = json!({
        "messageType": kind, "owner": "111122223333", "logGroup": "/apigw/prod", "logStream": "0f1e2d3c4b5a",
        "subscriptionFilters": ["to-firehose"], "logEvents": events.collect::<Vec<_>>(),
    });
    envelope.to_string().into_bytes()
}

/// A lake, the configuration that makes it, and the landing objects it is made from.
#[derive(Clone)]
pub(crate) struct Lab {
    shell: Arc<Shell>,
    name: String,
    landing: String,
}

/// Rows of each table as text, in order.
pub(crate) type Contents = BTreeMap<&'static str, Vec<String>>;

/// What every file of a lake holds.
pub(crate) type Files = BTreeMap<PathBuf, Vec<u8>>;

impl Lab {
    /// An empty folder with customers, keys, prices, both sources and two meters.
    pub(crate) fn new() -> Self {
        let lab = Self { shell: Arc::new(Shell::new()), name: "lake".to_owned(), landing: "landing".to_owned() };
        lab.write(
            "customers.csv",
            "customer_id,name,plan,valid_from,valid_to\nacme,Acme,pro,2026-01-01,\nbeta,Beta,pro,2026-01-01,\n",
        );
        lab.own(&[("acme", Key::Acme), ("beta", Key::Beta)]);
        // Tiers are small, so that a handful of calls crosses them.
        lab.write(
            "rates.toml",
            r#"
[[plan]]
id = "pro"
[[plan.price]]
id = "calls"
meter = "calls"
model = "graduated"
tiers = [{ up_to = 5, unit_price = "0" }, { up_to = 12, unit_price = "0.04" }, { unit_price = "0.02" }]
[[plan.price]]
id = "egress"
meter = "egress"
model = "per_unit"
unit_price = "0.000001"
"#,
        );
        lab.made()
    }

    /// Another lake made from the same landing objects.
    pub(crate) fn twin(&self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self.clone() }.made()
    }

    /// Another lake made from landing objects of its own.
    pub(crate) fn apart(&self, name: &str) -> Self {
        Self { name: name.to_owned(), landing: format!("landing-{name}"), ..self.clone() }.made()
    }

    fn made(self) -> Self {
        let Self { name, landing, .. } = &self;
        self.write(
            &format!("{name}/_meta/lake.json"),
            r#"{"format":1,"fingerprint_key":"000102030405060708090a0b0c0d0e0f"}"#,
        );
        let config = format!(
            r#"lake = "{name}"
[billing]
currency = "USD"
timezone = "UTC"
customers = "customers.csv"
keys = "keys.csv"
rates = "rates.toml"
[privacy]
key_secret = "env:ML_SECRET"
[[source]]
name = "origin"
kind = "api-gateway"
location = "{landing}/origin"
format = '{{"ext":"$context.extendedRequestId","id":"$context.requestId","epoch":"$context.requestTimeEpoch","method":"$context.httpMethod","route":"$context.resourcePath","status":"$context.status","bytes":"$context.responseLength","key":"$context.identity.apiKeyId","agent":"$context.identity.userAgent"}}'
key = "$context.identity.apiKeyId"
[[source]]
name = "edge"
kind = "cloudfront-realtime"
location = "{landing}/edge"
fields = ["timestamp", "c-ip", "sc-status", "sc-bytes", "cs-method", "cs-uri-stem", "x-edge-request-id", "cs-user-agent", "cs-headers", "cs-headers-count"]
key = {{ header = "x-api-key" }}
[[meter]]
name = "calls"
source = "origin"
where = "status < 500 AND status NOT IN (401, 403, 429)"
value = "count"
group_by = ["route"]
[[meter]]
name = "egress"
source = "edge"
where = "status < 500"
value = "response_bytes"
"#
        );
        self.write(&format!("{name}.toml"), config);
        self
    }

    /// Changes the configuration's text.
    pub(crate) fn configure(&self, from: &str, to: &str) {
        let file = self.shell.path(&format!("{}.toml", self.name));
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(file, text.replace(from, to)).unwrap();
    }

    /// Writes a keys file: who owns which key, always.
    pub(crate) fn own(&self, owners: &[(&str, Key)]) {
        let rows = owners
            .iter()
            .map(|(customer, key)| format!("{customer},{},{},key,2026-01-01,\n", key.id(), key.fingerprint()));
        let header = "customer_id,api_key_id,key_fingerprint,label,valid_from,valid_to\n".to_owned();
        self.write("keys.csv", std::iter::once(header).chain(rows).collect::<String>());
    }

    /// Writes a file of the folder.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        self.shell.write(name, content);
    }

    /// A landing object of the API.
    pub(crate) fn origin(&self, key: &str, content: impl AsRef<[u8]>) {
        self.write(&format!("{}/origin/{key}", self.landing), content);
    }

    /// A landing object of CloudFront.
    pub(crate) fn edge(&self, key: &str, content: impl AsRef<[u8]>) {
        self.write(&format!("{}/edge/{key}", self.landing), content);
    }

    /// The name of its configuration.
    pub(crate) fn config_name(&self) -> String {
        format!("{}.toml", self.name)
    }

    /// A path of the lake.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.shell.path(&self.name).join(name)
    }

    /// Where landing objects lie.
    pub(crate) fn landing(&self, name: &str) -> PathBuf {
        self.shell.path(&self.landing).join(name)
    }

    /// Runs the binary with this lake's configuration.
    pub(crate) fn meterlake(&self, arguments: &[&str]) -> Ran {
        let config = format!("{}.toml", self.name);
        self.shell.run(&[arguments, &["--config", &config]].concat())
    }

    /// The main job; it must be done, whether or not something needs a look.
    pub(crate) fn run(&self) -> Ran {
        let ran = self.meterlake(&["run"]);
        assert!(ran.code < 2, "{}", ran.all());
        ran
    }

    /// The main job, saying which parts of which derived tables it made.
    pub(crate) fn run_and_tell(&self) -> BTreeMap<String, Vec<String>> {
        let ran = self.meterlake(&["run", "--json"]);
        assert!(ran.code < 2, "{}", ran.all());
        let all: Value = serde_json::from_str(&ran.out).unwrap();
        serde_json::from_value(all["built"]["derived"].clone()).unwrap()
    }

    /// Starts the binary and does not wait.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().unwrap()
    }

    /// The binary with this lake's configuration, to be started later.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let config = format!("{}.toml", self.name);
        let mut command = self.shell.command(&[arguments, &["--config", &config]].concat());
        command.env("ML_SECRET", SECRET).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The rows of a query as CSV lines, without the header.
    pub(crate) fn query(&self, sql: &str) -> Vec<String> {
        let ran = self.meterlake(&["query", "--format", "csv", sql]);
        assert_eq!(ran.code, 0, "{sql}\n{}", ran.err);
        ran.out.lines().skip(1).map(str::to_owned).collect()
    }

    /// The bill of a customer: amount per price, over all days.
    pub(crate) fn bill(&self, customer: &str) -> Vec<String> {
        self.query(&format!(
            "SELECT price_id, SUM(quantity) AS quantity, SUM(amount) AS amount FROM charges_daily \
             WHERE customer_id = '{customer}' GROUP BY price_id ORDER BY price_id"
        ))
    }

    /// Events per attribution of a meter.
    pub(crate) fn fates(&self, meter: &str) -> Vec<String> {
        self.query(&format!(
            "SELECT attribution, SUM(events) AS events FROM usage_daily WHERE meter = '{meter}' GROUP BY attribution ORDER BY attribution"
        ))
    }

    /// `verify` must find that the tables hold what the landing objects hold.
    pub(crate) fn verified(&self) {
        let ran = self.meterlake(&["verify"]);
        assert_eq!(ran.code, 0, "{}", ran.all());
    }

    /// What is a function of the set of records delivered: events without provenance, usage, charges.
    pub(crate) fn facts(&self) -> Contents {
        self.contents(
            &[Table::OriginRequests, Table::EdgeRequests, Table::UsageSlots, Table::UsageDaily, Table::ChargesDaily],
            &["source_object", "source_position"],
        )
    }

    /// Everything that lakes made from the very same objects have in common: all but the digests of file names, which
    /// number the commits.
    pub(crate) fn whole(&self) -> Contents {
        self.contents(Table::ALL, &["inputs"])
    }

    fn contents(&self, tables: &[Table], except: &[&str]) -> Contents {
        let read = async {
            let lake = self.open().await;
            let mut contents = Contents::new();
            for table in tables {
                let at = lake.table(*table).await.unwrap();
                contents.insert(table.name(), rows(&at, except).await);
            }
            contents
        };
        block_on(read)
    }

    async fn open(&self) -> Lake {
        self.open_over(Arc::new(LocalFileSystem::new())).await
    }

    /// The lake, through a store that a test has its hand in.
    async fn open_over(&self, store: Arc<dyn ObjectStore>) -> Lake {
        let folder = self.shell.path(&self.name).canonicalize().unwrap();
        let url = Url::from_directory_path(&folder).unwrap();
        let root = Path::from_absolute_path(&folder).unwrap();
        Lake::open(store, root, url, [0; 16]).await.unwrap()
    }

    /// The lake and its sources as a job within this process sees them.
    pub(crate) async fn job(&self) -> Job {
        self.job_over(Arc::new(LocalFileSystem::new())).await
    }

    /// The same, its lake through a store that a test has its hand in.
    pub(crate) async fn job_over(&self, store: Arc<dyn ObjectStore>) -> Job {
        let file = self.shell.path(&format!("{}.toml", self.name));
        let settings = Settings::load(&file, &|_| Some(SECRET.to_owned())).unwrap();
        let lake = self.open_over(store).await;
        let source = |source: &SourceSettings| Source {
            plan: DecodePlan::new(&source.spec, &settings.privacy, lake.fingerprint_key(), &settings.limits).unwrap(),
            name: source.spec.name.clone(),
            location: Location::parse(&source.location).unwrap(),
            split: source.split,
        };
        let sources = settings.sources.iter().map(source).collect();
        Job {
            sources,
            buckets: Arc::new(NoBuckets),
            limits: settings.limits.clone(),
            parallel: 2,
            now: Micros(at(30, 0, 0) * 1_000),
            lake,
        }
    }

    /// Each table's version and the paths of its files.
    pub(crate) fn tables(&self) -> BTreeMap<&'static str, (u64, Vec<String>)> {
        let read = async {
            let lake = self.open().await;
            let mut tables = BTreeMap::new();
            for table in Table::ALL {
                let Some(at) = lake.existing_table(*table).await.unwrap() else { continue };
                let files = at.files().into_iter().map(|file| file.path.clone()).collect();
                tables.insert(table.name(), (at.version(), files));
            }
            tables
        };
        block_on(read)
    }

    /// Files that some version of a table names and that are not there, and how many versions were looked at.
    pub(crate) fn missing_files(&self) -> (Vec<String>, usize) {
        let read = async {
            let lake = self.open().await;
            let (mut missing, mut versions) = (Vec::new(), 0);
            for table in Table::ALL {
                let Some(newest) = lake.existing_table(*table).await.unwrap() else { continue };
                for version in 0..=newest.version() {
                    versions += 1;
                    let at = lake.table_at(*table, version).await.unwrap();
                    let folder = self.path("tables").join(table.name());
                    let gone = at.files().into_iter().filter(|file| !folder.join(&file.path).exists());
                    missing.extend(gone.map(|file| format!("{} {version} {}", table.name(), file.path)));
                }
            }
            (missing, versions)
        };
        block_on(read)
    }

    /// Every file of the lake.
    pub(crate) fn files(&self) -> Files {
        self.files_in("")
    }

    /// Every file below a folder of the lake.
    pub(crate) fn files_below(&self, folder: &str) -> Files {
        self.files_in(folder)
    }

    /// A file beside the lake: configuration, customers, rates.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.shell.path(name)
    }

    /// The data files of its tables, by their place in the lake.
    pub(crate) fn data_files(&self) -> Files {
        let files = self.files_in("tables").into_iter();
        files.filter(|(path, _)| path.extension().is_some_and(|e| e == "parquet")).collect()
    }

    fn files_in(&self, folder: &str) -> Files {
        let root = self.path("");
        let paths = self.shell.files(&format!("{}/{folder}", self.name));
        let files = paths.into_iter().map(|path| {
            let bytes = fs::read(&path).unwrap();
            (path.strip_prefix(&root).map(FilePath::to_owned).unwrap_or(path), bytes)
        });
        files.collect()
    }
}

/// The rows of a table as text, in order, without some columns.
async fn rows(at: &LakeTable, except: &[&str]) -> Vec<String> {
    let names: Vec<&str> =
        at.table().columns().iter().map(|column| column.name).filter(|name| !except.contains(name)).collect();
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for file in at.files() {
        for batch in at.lake().read_file(at.table(), file, Some(&names)).await.unwrap() {
            let cells: Vec<_> =
                batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
            rows.extend(
                (0..batch.num_rows())
                    .map(|row| cells.iter().map(|cell| cell.value(row).to_string()).collect::<Vec<_>>().join("|")),
            );
        }
    }
    rows.sort_unstable();
    rows
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Fails with the rows that only one of two lakes has.
pub(crate) fn assert_same(what: impl fmt::Display, found: &Contents, expected: &Contents) {
    for (table, expected) in expected {
        let found = &found[table];
        if found == expected {
            continue;
        }
        let only = |a: &[String], b: &[String]| {
            a.iter().filter(|row| !b.contains(row)).take(5).cloned().collect::<Vec<_>>().join("\n  ")
        };
        let (more, less) = (only(found, expected), only(expected, found));
        panic!(
            "{what}: {table} has {} rows, not {}\ntoo much:\n  {more}\nlacking:\n  {less}",
            found.len(),
            expected.len()
        );
    }
}
