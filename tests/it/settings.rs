//! What people write is read whole, and every mistake is told with its file, line and remedy; secrets are never told.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use arrow::util::pretty::pretty_format_batches;
use insta::assert_snapshot;
use meterlake::cli::init;
use meterlake::cli::settings::{Settings, SettingsError};
use meterlake::decode::{Format, KeySecret, KeySpec, Missing};
use proptest::prelude::*;
use tempfile::TempDir;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

const ORIGIN: &str = r#"
[[source]]
name = "origin"
kind = "api-gateway"
location = "landing/origin"
format = '{"id":"$context.extendedRequestId","key":"$context.identity.apiKeyId"}'
key = "$context.identity.apiKeyId"
"#;

const EDGE: &str = r#"
[[source]]
name = "edge"
kind = "cloudfront-realtime"
location = "landing/edge"
fields = ["timestamp", "cs-headers"]
key = { header = "X-Api-Key" }
[privacy]
key_secret = "env:METERLAKE_KEY_SECRET"
"#;

const METER: &str = r#"
[[meter]]
name = "api_calls"
source = "origin"
where = "status < 500"
value = "count"
group_by = ["route"]
"#;

const BILLING: &str = r#"
[billing]
currency = "USD"
timezone = "Europe/Berlin"
customers = "customers.csv"
keys = "keys.csv"
rates = "rates.toml"
"#;

const CUSTOMERS: &str = "customer_id,name,plan,valid_from,valid_to\nacme,Acme Inc,pro,2026-01-01,\n";
const KEYS: &str = "customer_id,api_key_id,key_fingerprint,label,valid_from,valid_to\nacme,abc123,,main,2026-01-01,\n";
const RATES: &str = r#"
[[plan]]
id = "pro"
[[plan.price]]
id = "calls"
meter = "api_calls"
model = "per_unit"
unit_price = "0.0004"
"#;

struct Files(TempDir);

impl Files {
    fn new(config: &[&str]) -> Self {
        let files = Self(TempDir::new().expect("a temporary folder"));
        let text = format!("lake = \"lake\"\n{}", config.concat());
        files
            .with("meterlake.toml", &text)
            .with("customers.csv", CUSTOMERS)
            .with("keys.csv", KEYS)
            .with("rates.toml", RATES)
    }

    fn with(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        fs::write(self.0.path().join(name), text).expect("the file is written");
        self
    }

    fn load(&self) -> Result<Settings, SettingsError> {
        self.load_with(&|name| (name == "METERLAKE_KEY_SECRET").then(|| SECRET.to_owned()))
    }

    fn load_with(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<Settings, SettingsError> {
        Settings::load(&self.0.path().join("meterlake.toml"), env)
    }

    /// What is wrong, without the folder's name.
    fn wrong(&self) -> String {
        let error = self.load().expect_err("this configuration has a mistake");
        error.to_string().replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn all() -> Files {
    Files::new(&[ORIGIN, EDGE, METER, BILLING])
}

#[test]
fn reads_a_whole_configuration() {
    let files = all();
    let settings = files.load().unwrap();
    assert_eq!(settings.sources.len(), 2);
    assert_eq!(settings.sources[1].spec.key, KeySpec::Header("x-api-key".to_owned()));
    assert_eq!(settings.sources[0].line, 3);
    assert_eq!((settings.sources[0].split, settings.sources[0].heartbeat), (1, false));
    let root = std::path::absolute(files.0.path()).unwrap();
    assert_eq!(Path::new(&settings.lake), root.join("lake"));
    assert_eq!(Path::new(&settings.sources[0].location), root.join("landing/origin"));
    assert_eq!(settings.privacy.key_secrets, [KeySecret(SECRET.as_bytes().to_vec())]);
    assert_eq!(settings.zone().name(), "Europe/Berlin");
    assert_eq!(settings.rejects_max_percent, 1);
    assert_snapshot!(settings.canonical, @r#"
    fields ["edge",null,["cs-headers","timestamp"]]
    format ["origin",null,"{\"id\":\"$context.extendedRequestId\",\"key\":\"$context.identity.apiKeyId\"}"]
    source ["edge",["header","x-api-key"],"key",[null,null,null],false,1]
    source ["origin",["variable","$context.identity.apiKeyId"],"key",[null,null,null],false,1]
    meter ["api_calls",["origin"],"status < 500",["count"],["route"]]
    billing ["USD","Europe/Berlin",null,true]
    customer ["acme","Acme Inc","pro",[[],null,null,null],["2025-12-31T23:00:00Z",null],[]]
    invoice [{"close_after_hours":48,"due_days":null,"held_events_max":0,"numbers":"{month}-{n}","rounding":"half-up","seller":{"address":[],"email":null,"name":"","tax_id":null},"text":null}]
    key ["acme","abc123",null,"main",["2025-12-31T23:00:00Z",null],[]]
    plan ["pro",null,"USD",[]]
    price ["pro",0,"calls","api_calls","per_unit",[[[null,"0.0004"]],null,null],[],["1969-12-31T23:00:00Z",null]]
    limits [2097152,4294967296,3,1488]
    privacy ["client_ip","keep"]
    "#);
}

#[test]
fn billing_may_be_absent_in_whole_or_part() {
    let settings = Files::new(&[ORIGIN, METER]).load().unwrap();
    assert!(settings.billing.is_none() && settings.privacy.key_secrets.is_empty());
    let settings = Files::new(&[ORIGIN, METER, "[billing]\ncustomers = \"customers.csv\"\n"]).load().unwrap();
    assert!(settings.warnings.is_empty());
    assert!(settings.billing.unwrap().rates.is_none());
}

#[test]
fn a_header_alone_is_a_file_without_rows() {
    let files = all()
        .with("customers.csv", "customer_id,plan,valid_from\n")
        .with("keys.csv", "valid_from,api_key_id,customer_id");
    let billing = files.load().unwrap().billing.unwrap();
    assert!(billing.customers.rows().is_empty() && billing.keys.rows().is_empty());
}

#[test]
fn formatting_comments_and_order_do_not_change_the_canonical_text() {
    let plain = all().load().unwrap();
    let config = format!(
        "{BILLING}\n# a comment\n{}{}{METER}",
        EDGE.replace("\"timestamp\", \"cs-headers\"", "\n  \"cs-headers\", # both\n  \"timestamp\""),
        ORIGIN.replace("name = \"origin\"\n", "").replace("key =", "name = 'origin'\nkey =")
    );
    let shuffled = Files::new(&[&config])
        .with("customers.csv", "plan,customer_id,valid_from,name\r\n\r\npro , acme,2026-01-01,Acme Inc\r\n")
        .load()
        .unwrap();
    assert_eq!(plain.canonical, shuffled.canonical);
    assert_eq!(plain.text_digest, shuffled.text_digest);
    let dearer = all().with("rates.toml", RATES.replace("0.0004", "0.00040001")).load().unwrap();
    assert_ne!(plain.text_digest, dearer.text_digest);
    let other_secret = all().load_with(&|_| Some(SECRET.replace('0', "1"))).unwrap();
    assert_eq!(plain.text_digest, other_secret.text_digest);
    assert!(!plain.canonical.contains(SECRET));
}

#[test]
fn configuration_tables_give_each_source_the_keys_as_it_shows_them() {
    const BY_CUSTOMER: &str = r#"
        [[source]]
        name = "jwt"
        kind = "api-gateway"
        location = "landing/jwt"
        format = '{"id":"$context.requestId","route":"$context.routeKey","c":"$context.authorizer.customerId"}'
        key = "$context.authorizer.customerId"
        identifies = "customer"
    "#;
    let settings = Files::new(&[ORIGIN, BY_CUSTOMER, EDGE, METER, BILLING])
        .with("customers.csv", "customer_id,name,plan,valid_from,valid_to\nbeta,,free,2026-03-01,\nacme,Acme,free,2026-01-01,2026-04-01\nacme,Acme,pro,2026-04-01,\n")
        .with("keys.csv", "customer_id,api_key_id,key_fingerprint,label,valid_from,valid_to\nacme,abc123,0123456789abcdef0123456789abcdef,main,2026-01-01T12:30:00Z,2026-10-25\nbeta,abc123,,,2026-10-26,\n")
        .with("rates.toml", r#"
            plan = [{ id = "pro", price = [
                { id = "odd", meter = "api_calls", model = "per_unit", unit_price = "1", match = { route = ['/a"b\c', "/x"] } },
                { id = "calls", meter = "api_calls", model = "graduated", from = 2026-01-01, to = "2027-01-01",
                  tiers = [{ up_to = 1_000, unit_price = "0" }, { unit_price = "0.000000001" }] },
                { id = "some", meter = "api_calls", model = "per_unit", unit_price = "3", free = 10, from = 2027-01-01 },
            ] }, { id = "free", currency = "EUR", price = [
                { id = "packs", meter = "api_calls", model = "package", unit_price = "2", size = 50, free = 100 },
                { id = "fee", model = "flat", amount = "49.5" },
            ], terms = [
                { discount_percent = "12.3456", from = 2026-07-01 },
                { minimum = "100", to = 2026-07-01 },
            ] }]
        "#)
        .load()
        .unwrap();
    let tables = settings.billing.unwrap().tables(settings.sources.iter().map(|source| &source.spec)).unwrap();
    let shown = [tables.customers, tables.api_keys, tables.prices, tables.price_matches, tables.plan_terms]
        .map(|batch| pretty_format_batches(&[batch]).unwrap().to_string())
        .join("\n");
    assert_snapshot!(shown, @r#"
    +-------------+---------------+------+----------------------+----------------------+
    | customer_id | customer_name | plan | valid_from           | valid_to             |
    +-------------+---------------+------+----------------------+----------------------+
    | acme        | Acme          | free | 2025-12-31T23:00:00Z | 2026-03-31T22:00:00Z |
    | acme        | Acme          | pro  | 2026-03-31T22:00:00Z |                      |
    | beta        |               | free | 2026-02-28T23:00:00Z |                      |
    +-------------+---------------+------+----------------------+----------------------+
    +--------+----------------------------------+-------------+-------+----------------------+----------------------+
    | source | key_ref                          | customer_id | label | valid_from           | valid_to             |
    +--------+----------------------------------+-------------+-------+----------------------+----------------------+
    | edge   | 0123456789abcdef0123456789abcdef | acme        | main  | 2026-01-01T12:30:00Z | 2026-10-24T22:00:00Z |
    | jwt    | acme                             | acme        |       | 2025-12-31T23:00:00Z |                      |
    | jwt    | beta                             | beta        |       | 2026-02-28T23:00:00Z |                      |
    | origin | abc123                           | acme        | main  | 2026-01-01T12:30:00Z | 2026-10-24T22:00:00Z |
    | origin | abc123                           | beta        |       | 2026-10-25T23:00:00Z |                      |
    +--------+----------------------------------+-------------+-------+----------------------+----------------------+
    +------+----------+----------+----------+-----------+-----------+---------------+----------------------+----------------------+------+-----------+---------+-------------+--------------+--------------+
    | plan | currency | price_id | position | meter     | model     | match_columns | valid_from           | valid_to             | tier | tier_from | tier_to | unit_price  | package_size | flat_amount  |
    +------+----------+----------+----------+-----------+-----------+---------------+----------------------+----------------------+------+-----------+---------+-------------+--------------+--------------+
    | free | EUR      | packs    | 1        | api_calls | package   | 0             | 1969-12-31T23:00:00Z |                      | 1    | 100       |         | 2.000000000 | 50           |              |
    | free | EUR      | fee      | 2        |           | flat      | 0             | 1969-12-31T23:00:00Z |                      | 1    | 0         |         |             |              | 49.500000000 |
    | pro  | USD      | odd      | 1        | api_calls | per_unit  | 1             | 1969-12-31T23:00:00Z |                      | 1    | 0         |         | 1.000000000 |              |              |
    | pro  | USD      | calls    | 2        | api_calls | graduated | 0             | 2025-12-31T23:00:00Z | 2026-12-31T23:00:00Z | 1    | 0         | 1000    | 0.000000000 |              |              |
    | pro  | USD      | calls    | 2        | api_calls | graduated | 0             | 2025-12-31T23:00:00Z | 2026-12-31T23:00:00Z | 2    | 1000      |         | 0.000000001 |              |              |
    | pro  | USD      | some     | 3        | api_calls | per_unit  | 0             | 2026-12-31T23:00:00Z |                      | 1    | 0         | 10      | 0.000000000 |              |              |
    | pro  | USD      | some     | 3        | api_calls | per_unit  | 0             | 2026-12-31T23:00:00Z |                      | 2    | 10        |         | 3.000000000 |              |              |
    +------+----------+----------+----------+-----------+-----------+---------------+----------------------+----------------------+------+-----------+---------+-------------+--------------+--------------+
    +------+----------+----------------------+-------------+--------------------+
    | plan | price_id | valid_from           | column_name | fragment           |
    +------+----------+----------------------+-------------+--------------------+
    | pro  | odd      | 1969-12-31T23:00:00Z | route       | "route":"/a\"b\\c" |
    | pro  | odd      | 1969-12-31T23:00:00Z | route       | "route":"/x"       |
    +------+----------+----------------------+-------------+--------------------+
    +------+----------+----------------------+----------------------+---------------+--------------+
    | plan | currency | valid_from           | valid_to             | minimum       | discount_ppm |
    +------+----------+----------------------+----------------------+---------------+--------------+
    | free | EUR      | 1969-12-31T23:00:00Z | 2026-06-30T22:00:00Z | 100.000000000 | 0            |
    | free | EUR      | 2026-06-30T22:00:00Z |                      | 0.000000000   | 123456       |
    +------+----------+----------------------+----------------------+---------------+--------------+
    "#);
}

#[test]
fn unknown_keys_are_told_with_the_nearest_one_at_any_depth() {
    let files = Files::new(&[
        "retnetion = 3\n",
        &ORIGIN.replace("location", "lokation"),
        "set = { acount = \"1\" }\n",
        &EDGE.replace("{ header", "{ haeder"),
        "client_pi = \"drop\"\n",
        METER,
    ]);
    assert_snapshot!(files.wrong(), @r#"
    meterlake.toml:2: unknown key `retnetion`; did you mean `retention`?
    meterlake.toml:4: `location` is missing in [[source]]
    meterlake.toml:7: unknown key `lokation` in [[source]]; did you mean `location`?
    meterlake.toml:10: unknown key `acount` in `set`; did you mean `account`?
    meterlake.toml:17: unknown key `haeder` in `key`; did you mean `header`?
    meterlake.toml:17: a CloudFront source has its key in { header = "x-api-key" }, { log_data = "k" } or { query = "api_key" }
    meterlake.toml:20: unknown key `client_pi` in [privacy]; did you mean `client_ip`?
    "#);
}

#[test]
fn wrong_types_are_told() {
    let files = Files::new(&[
        &ORIGIN.replace("\"origin\"", "7"),
        "split = \"two\"\nheartbeat = 1\nset = \"eu-central-1\"\n",
        &METER.replace("[\"route\"]", "\"route\""),
        "[limits]\nrejects_max_percent = 1.5\n[build]\nmin_interval = 5\nparallel = 0\n[retention]\nstaged_days = \"30\"\n",
        "[source.extra]\n",
    ]);
    assert_snapshot!(files.wrong(), @r#"
    meterlake.toml:4: `name` must be text in quotes, not a whole number
    meterlake.toml:9: `split` must be a whole number, not text
    meterlake.toml:10: `heartbeat` must be true or false, not a whole number
    meterlake.toml:11: `set` must be a table, not text
    meterlake.toml:18: `group_by` must be a list, not text
    meterlake.toml:20: `rejects_max_percent` must be a whole number, not a number with a fraction
    meterlake.toml:22: unknown key `min_interval` in [build]; known: `parallel`
    meterlake.toml:23: `parallel` must lie between 1 and 1024
    meterlake.toml:25: `staged_days` must be a whole number, not text
    meterlake.toml:26: unknown key `extra` in [[source]]; known: `name`, `kind`, `location`, `fields`, `format`, `table`, `columns`, `key`, `identifies`, `set`, `heartbeat`, `count`, `shortfall_max_per_mille`, `split`
    "#);
}

#[test]
fn what_is_not_toml_is_told_without_showing_the_line() {
    let files = Files::new(&["[privacy]\nkey_secret = hunter2hunter2hunter2\n"]);
    assert_snapshot!(files.wrong(), @r#"meterlake.toml:3: this is not TOML: string values must be quoted, expected literal string"#);
    let files = Files::new(&["lake = \"again\"\n"]);
    assert_snapshot!(files.wrong(), @r#"meterlake.toml:2: this is not TOML: duplicate key"#);
    let files = Files::new(&["[source]\nname = \"x\"\n"]);
    assert_snapshot!(files.wrong(), @r#"meterlake.toml:2: write [[source]], with two brackets: there can be several"#);
}

#[test]
fn missing_things_are_told() {
    let files = Files::new(&[]).with(
        "meterlake.toml",
        "[[source]]\n[[meter]]\n[billing]\nrates = \"rates.toml\"\ncustomers = \"nobody.csv\"\n",
    );
    assert_snapshot!(files.wrong(), @r#"
    meterlake.toml:1: `lake` is missing
    meterlake.toml:1: `name` is missing in [[source]]
    meterlake.toml:1: `location` is missing in [[source]]
    meterlake.toml:1: `kind` is missing in [[source]]
    meterlake.toml:2: `name` is missing in [[meter]]
    meterlake.toml:2: `source` is missing in [[meter]]
    meterlake.toml:3: `currency` is missing in [billing]: rates need one, such as "USD"
    meterlake.toml:5: cannot read nobody.csv: No such file or directory (os error 2)
    "#);
    let error = Settings::load(Path::new("nowhere/meterlake.toml"), &|_| None).unwrap_err();
    assert_snapshot!(error, @r#"there is no `nowhere/meterlake.toml`; `meterlake init` writes one, `--config` names another"#);
}

#[test]
fn duplicate_names_are_told() {
    let files = Files::new(&[ORIGIN, &ORIGIN.replace("landing/origin", "landing/b"), METER, METER]);
    assert_snapshot!(files.wrong(), @r#"
    meterlake.toml:10: source `origin` is defined twice
    meterlake.toml:24: meter `api_calls` is defined twice
    "#);
}

#[test]
fn a_format_may_be_left_out_and_one_that_names_nobody_must_be_meant() {
    let without = |what: &str| -> String {
        ORIGIN.lines().filter(|line| !line.starts_with(what)).map(|line| format!("{line}\n")).collect()
    };
    let settings =
        Files::new(&[&without("format").replace("identity.apiKeyId", "identity.user"), METER]).load().unwrap();
    assert!(matches!(&settings.sources[0].spec.format, Format::ApiGateway(templates) if templates.is_empty()));

    let nobody = without("key").replace(",\"key\":\"$context.identity.apiKeyId\"", "");
    let wrong = Files::new(&[&nobody, METER]).wrong();
    assert!(wrong.contains("add `$context.identity.apiKeyId`") && wrong.contains("\"resourcePath\""), "{wrong}");
    let http = nobody.replace("\"}", "\",\"r\":\"$context.routeKey\"}");
    let wrong = Files::new(&[&http, METER]).wrong();
    assert!(wrong.contains("add `$context.authorizer.customerId`") && wrong.contains("\"routeKey\""), "{wrong}");
    let meant = Files::new(&[&nobody, "key = \"none\"\n", METER]).load().unwrap();
    assert_eq!(meant.sources[0].spec.key, KeySpec::None);
}

#[test]
fn every_kind_has_its_own_settings() {
    let files = Files::new(&[
        &EDGE
            .replace("fields = [\"timestamp\", \"cs-headers\"]\n", "table = \"edge_requests\"\n")
            .replace("realtime", "standard"),
        &ORIGIN.replace("api-gateway", "json"),
        &ORIGIN.replace("api-gateway", "jsn").replace("\"origin\"", "\"other\""),
        METER,
    ]);
    assert_snapshot!(files.wrong(), @r#"
    meterlake.toml:7: `table` is for another kind of source; this one has `fields`
    meterlake.toml:8: standard logs have no headers: the key is in { log_data = "k" } (standard logging version 2) or { query = "api_key" }
    meterlake.toml:12: `table` is missing in [[source]]
    meterlake.toml:12: `columns` is missing in [[source]]
    meterlake.toml:16: `format` is for another kind of source; this one has `table` and `columns`
    meterlake.toml:17: a source of own JSON has its key in { path = "auth.key" }, with plain = true where it is an id and no secret
    meterlake.toml:21: `kind` must be one of `cloudfront-realtime`, `cloudfront-standard`, `api-gateway`, `json`
    "#);
    let json = r#"
[[source]]
name = "backend"
kind = "json"
location = "landing/backend"
table = "orign_requests"
columns = { request_id = "id", event_time = ["http.time", "at"], status = "http..status", path = 1 }
key = { plain = true }
"#;
    assert_snapshot!(Files::new(&[ORIGIN, METER, json]).wrong(), @r#"
    meterlake.toml:21: `table` must be one of `origin_requests`, `edge_requests`
    meterlake.toml:22: `path` must be text in quotes, not a whole number
    meterlake.toml:22: a path is keys with dots between, "http.status", or a list of keys, ["http.status", "code"]
    meterlake.toml:23: a source of own JSON has its key in { path = "auth.key" }, with plain = true where it is an id and no secret
    "#);
}

#[test]
fn own_json_and_standard_logs_are_read() {
    let sources = r#"
[[source]]
name = "backend"
kind = "json"
location = "landing/backend"
table = "origin_requests"
columns = { request_id = "id", event_time = ["http.time", "at"], status = "http.status" }
key = { path = "auth.customer", plain = true }
identifies = "customer"
[[source]]
name = "edge"
kind = "cloudfront-standard"
location = "landing/standard"
fields = ["date", "time", "x-edge-request-id", "viewer-request-log-data"]
key = { log_data = "k", plain = true }
[[source]]
name = "v1"
kind = "cloudfront-standard"
location = "landing/v1"
"#;
    let settings = Files::new(&[ORIGIN, METER, sources]).load().unwrap();
    let Format::Json(own) = &settings.sources[1].spec.format else { panic!("{settings:?}") };
    assert_eq!(own.table.name(), "origin_requests");
    assert!(own.columns.contains(&("event_time".to_owned(), vec!["http.time".to_owned(), "at".to_owned()])));
    assert!(own.columns.contains(&("status".to_owned(), vec!["http".to_owned(), "status".to_owned()])));
    let key = KeySpec::Path { path: vec!["auth".to_owned(), "customer".to_owned()], plain: true };
    assert_eq!(settings.sources[1].spec.key, key);
    assert!(matches!(&settings.sources[2].spec.format, Format::CloudFrontStandard(sets) if sets[0].fields.len() == 4));
    assert!(matches!(&settings.sources[3].spec.format, Format::CloudFrontStandard(sets) if sets.is_empty()));
}

#[test]
fn what_missing_log_data_means_is_said_in_its_key() {
    let with = |key: &str| {
        let source = "[[source]]\nname = \"edge\"\nkind = \"cloudfront-standard\"\nlocation = \"landing/standard\"\n";
        Files::new(&[ORIGIN, METER, source, &format!("key = {key}\n")])
    };
    let missing = |key: &str| match with(key).load().unwrap().sources[1].spec.key {
        KeySpec::LogData { missing, .. } => missing,
        ref other => panic!("{other}"),
    };
    assert_eq!(missing(r#"{ log_data = "k", plain = true }"#), Missing::Held);
    assert_eq!(missing(r#"{ log_data = "k", plain = true, missing = "held" }"#), Missing::Held);
    assert_eq!(missing(r#"{ log_data = "k", plain = true, missing = "anonymous" }"#), Missing::Anonymous);
    // Another meaning is another configuration, and the default is the same written out or not.
    let digest = |key: &str| with(key).load().unwrap().text_digest;
    assert_eq!(
        digest(r#"{ log_data = "k", plain = true }"#),
        digest(r#"{ log_data = "k", plain = true, missing = "held" }"#)
    );
    assert_ne!(
        digest(r#"{ log_data = "k", plain = true }"#),
        digest(r#"{ log_data = "k", plain = true, missing = "anonymous" }"#)
    );
    assert_snapshot!(with(r#"{ log_data = "k", plain = true, missing = "free" }"#).wrong(), @"meterlake.toml:20: `missing` must be one of `held`, `anonymous`");
    assert_snapshot!(with(r#"{ query = "k", missing = "held" }"#).wrong(), @"meterlake.toml:20: `missing` is for `log_data`: it says what a request is for which no function wrote any");
}

#[test]
fn limits_are_read_and_have_bounds() {
    let limits = |text: &str| Files::new(&[ORIGIN, METER, "[limits]\n", text]).load().unwrap();
    let (usual, set) = (limits(""), limits("json_depth_max = 16\nheader_bytes_max = 4096\n"));
    assert_eq!((usual.limits.json_depth_max, usual.limits.header_bytes_max), (64, 16_384));
    assert_eq!((set.limits.json_depth_max, set.limits.header_bytes_max), (16, 4_096));
    assert_ne!(usual.text_digest, set.text_digest);
    assert_eq!(usual.text_digest, limits("json_depth_max = 64\n").text_digest);
    let wrong = Files::new(&[ORIGIN, METER, "[limits]\njson_depth_max = 65\nheader_bytes_max = 10\n"]).wrong();
    assert_snapshot!(wrong, @"
    meterlake.toml:17: `json_depth_max` must lie between 4 and 64
    meterlake.toml:18: `header_bytes_max` must lie between 1024 and 1073741824
    ");
}

#[test]
fn two_kinds_of_cloudfront_logs_are_not_counted_together() {
    let standard = "[[source]]\nname = \"standard\"\nkind = \"cloudfront-standard\"\nlocation = \"landing/standard\"\n";
    let meter = METER.replace("source = \"origin\"", "source = [\"edge\", \"standard\"]");
    assert_snapshot!(Files::new(&[standard, &meter, EDGE]).wrong(), @"meterlake.toml:9: source `standard` is another kind of CloudFront log: of a distribution with both, every request would be counted twice");
}

#[test]
fn a_missing_secret_is_told_with_how_to_set_it() {
    let error = |files: Files, env: &dyn Fn(&str) -> Option<String>| {
        files.load_with(env).unwrap_err().to_string().replace(&format!("{}/", files.0.path().display()), "")
    };
    assert_snapshot!(error(all(), &|_| None), @r#"meterlake.toml:17: the environment variable METERLAKE_KEY_SECRET is not set: make a secret once, say with `openssl rand -hex 32`, keep it safe (another secret makes every key a new one) and export it as METERLAKE_KEY_SECRET; source `edge` hashes keys with it"#);
    assert_snapshot!(error(all(), &|_| Some("  short  \n".to_owned())), @r#"meterlake.toml:17: the secret in the environment variable METERLAKE_KEY_SECRET has 5 bytes and needs at least 16; source `edge` hashes keys with it"#);
    let with = |secret: &str| Files::new(&[ORIGIN, METER, &EDGE.replace("\"env:METERLAKE_KEY_SECRET\"", secret)]);
    assert_snapshot!(error(with("\"file:secret.txt\""), &|_| None), @r#"meterlake.toml:24: cannot read the secret file secret.txt: No such file or directory (os error 2); source `edge` hashes keys with it"#);
    assert_snapshot!(error(with("\"hunter2hunter2hunter2\""), &|_| None), @r#"meterlake.toml:24: `key_secret` says where the secret is, "env:NAME", "file:PATH", "secretsmanager:ID" or "ssm:NAME", and is never the secret itself (so it is not shown here)"#);
    assert_snapshot!(error(with("[\"env:A\", \"env:hunter2 hunter2\"]"), &|_| Some(SECRET.to_owned())), @r#"meterlake.toml:24: `key_secret` says where the secret is, "env:NAME", "file:PATH", "secretsmanager:ID" or "ssm:NAME", and is never the secret itself (so it is not shown here)"#);
    let none = Files::new(&[ORIGIN, METER, &EDGE.replace("key_secret = \"env:METERLAKE_KEY_SECRET\"\n", "")]);
    assert_snapshot!(error(none, &|_| None), @r#"meterlake.toml:23: source `edge` hashes keys, so a secret is needed: write key_secret = "env:METERLAKE_KEY_SECRET" under [privacy] and set that variable to at least 16 random bytes"#);
}

#[test]
fn a_secret_that_no_source_needs_may_be_missing() {
    let files = Files::new(&[ORIGIN, METER, "[privacy]\nkey_secret = \"env:METERLAKE_KEY_SECRET\"\n"]);
    assert!(files.load_with(&|_| None).unwrap().privacy.key_secrets.is_empty());
}

#[test]
fn secrets_are_trimmed_and_newest_first() {
    let files = Files::new(&[
        ORIGIN,
        METER,
        &EDGE.replace("\"env:METERLAKE_KEY_SECRET\"", "[\"file:new.txt\", \"env:METERLAKE_KEY_SECRET\"]"),
    ])
    .with("new.txt", "  fedcba9876543210fedcba9876543210\n");
    let secrets = files.load().unwrap().privacy.key_secrets;
    assert_eq!(
        secrets,
        [KeySecret(b"fedcba9876543210fedcba9876543210".to_vec()), KeySecret(SECRET.as_bytes().to_vec())]
    );
    assert!(!format!("{secrets:?}").contains("fedc"));
}

#[test]
fn a_key_must_suit_its_source() {
    let origin = ORIGIN.replace("\"$context.identity.apiKeyId\"", "\"hunter2\"");
    let files =
        Files::new(&[&origin, "format2 = 1\n", &EDGE.replace("{ header = \"X-Api-Key\" }", "\"hunter2\""), METER]);
    assert_snapshot!(files.wrong(), @r#"
    meterlake.toml:8: the key of an API Gateway source is a variable of its format such as "$context.identity.apiKeyId"
    meterlake.toml:9: unknown key `format2` in [[source]]; did you mean `format`?
    meterlake.toml:16: a CloudFront source has its key in { header = "x-api-key" }, { log_data = "k" } or { query = "api_key" }
    "#);
    let files = Files::new(&[
        &EDGE.replace("}", ", query = \"k\" }\nidentifies = \"customer\""),
        &ORIGIN.replace("apiKeyId\"\n", "apiKey\"\nidentifies = \"customer\"\n"),
        METER,
    ]);
    assert_snapshot!(files.wrong(), @r#"
    meterlake.toml:8: a CloudFront source has its key in { header = "x-api-key" }, { log_data = "k" } or { query = "api_key" }
    meterlake.toml:19: this key is hashed, so it cannot be a customer's id; name a value that is one as it stands
    "#);
}

#[test]
fn sets_by_arrival_ascend() {
    let fields = "[{ fields = [\"timestamp\"] }, { from = 2026-10-01, fields = [] }, { from = \"2026-09-01T00:00:00Z\", fields = [\"c-ip\"] }, { from = 2026-11-01T00:00:00, fields = [\"c-ip\"] }]";
    let files = Files::new(&[ORIGIN, METER, &EDGE.replace("[\"timestamp\", \"cs-headers\"]", fields)]);
    assert_snapshot!(files.wrong(), @r#"
    meterlake.toml:21: `fields` is empty; list the fields of the log configuration
    meterlake.toml:21: each `from` must be later than the one before
    meterlake.toml:21: `2026-11-01T00:00:00` is not a day (2026-10-01) or an instant (2026-10-01T12:30:00Z)
    "#);
}

#[test]
fn a_source_may_not_lie_in_the_lake_nor_the_lake_in_a_source() {
    let files = Files::new(&[
        &ORIGIN.replace("landing/origin", "./x/../lake/landing"),
        METER,
        &EDGE.replace("landing/edge", "."),
    ]);
    assert_snapshot!(files.wrong(), @r#"
    meterlake.toml:6: the location of source `origin` and the lake overlap: it would read what meterlake writes; keep them apart
    meterlake.toml:20: the location of source `edge` and the lake overlap: it would read what meterlake writes; keep them apart
    "#);
    let s3 = |lake: &str| {
        let config = format!("lake = \"{lake}\"{}", ORIGIN.replace("landing/origin", "s3://logs/prod/"));
        Files::new(&[]).with("meterlake.toml", config).load()
    };
    assert!(s3("s3://logs/prod/lake").is_err());
    assert_eq!(s3("s3://logs/production").unwrap().sources[0].location, "s3://logs/prod");
}

#[test]
fn a_meter_counts_each_request_once() {
    let other = ORIGIN.replace("\"origin\"", "\"again\"");
    let sources = |names: &str| Files::new(&[ORIGIN, &other, EDGE, &METER.replace("\"origin\"", names)]);
    assert_snapshot!(sources("\"orign\"").wrong(), @r#"meterlake.toml:28: unknown source `orign`; did you mean `origin`?"#);
    assert_snapshot!(sources("[\"origin\", \"origin\"]").wrong(), @r#"meterlake.toml:28: source `origin` is named twice"#);
    assert_snapshot!(sources("[\"origin\", \"edge\"]").wrong(), @r#"meterlake.toml:28: source `edge` is of another kind: edge and origin logs are two views of the same requests, so a meter counts only one"#);
    assert_snapshot!(sources("[\"origin\", \"again\"]").wrong(), @r#"meterlake.toml:28: source `again` reads the same location as another source of this meter: every request would be counted twice"#);
    assert_snapshot!(sources("\"origin\"").load().unwrap().warnings.join("\n"), @r#"sources `origin` and `again` read the same location: each object is converted for both"#);
}

#[test]
fn customers_on_two_plans_at_once_are_told() {
    let rows = "customer_id,name,plan,valid_from,valid_to\n\
        acme,,pro,2026-01-01,2026-06-01\nacme,,pro,2026-06-01,\nacme,,pro,2026-05-31,2026-06-02\nbeta,,pro,2026-02-01,2026-02-01\n\
        ,,pro,2026-01-01,\ngamma,,por,2026-01-01T00:00:00Z,\ndelta,,pro,tomorrow,\n";
    assert_snapshot!(all().with("customers.csv", rows).wrong(), @r#"
    customers.csv:4: customer `acme` is on two plans at once: line 2 already covers [2026-01-01, 2026-06-01); end it with `valid_to`
    customers.csv:4: customer `acme` is on two plans at once: line 3 already covers [2026-06-01, …); end it with `valid_to`
    customers.csv:5: `valid_to` (2026-02-01) must be later than `valid_from` (2026-02-01)
    customers.csv:6: `customer_id` is empty
    customers.csv:7: `valid_from`: `2026-01-01T00:00:00Z` is not the start of a day in Europe/Berlin; write a day such as 2026-10-01
    customers.csv:8: `valid_from`: `tomorrow` is not a day such as 2026-10-01
    "#);
}

#[test]
fn unknown_plans_and_customers_are_told() {
    let files = all()
        .with("customers.csv", "customer_id,plan,valid_from\nacme,prro,2026-01-01\nbeta,,2026-01-01\n")
        .with("keys.csv", "customer_id,api_key_id,valid_from\nacmee,k1,2026-01-01\n");
    assert_snapshot!(files.wrong(), @r#"
    customers.csv:2: unknown plan `prro` of customer `acme`; did you mean `pro`?
    customers.csv:3: customer `beta` has no plan, so its usage would have no price
    keys.csv:2: unknown customer `acmee`; did you mean `acme`?
    "#);
}

#[test]
fn keys_with_two_owners_at_once_are_told() {
    let rows = "customer_id,api_key_id,key_fingerprint,valid_from,valid_to\r\n\
        acme,k1,,2026-01-01,2026-03-01\r\n\r\n\
        acme,k1,,2026-03-01,\r\n\
        acme,k2,0123456789abcdef0123456789abcdef,2026-01-01,2026-02-01\r\n\
        acme,k3,0123456789abcdef0123456789abcdef,2026-01-31T22:59:59Z,\r\n\
        acme,k1,,2026-02-28T22:00:00Z,2026-03-02\r\n\
        acme,,,2026-01-01,\r\n";
    assert_snapshot!(all().with("keys.csv", rows).wrong(), @r#"
    keys.csv:6: this `key_fingerprint` is owned twice at once: line 5 has it too, for [2026-01-01, 2026-02-01); end that with `valid_to`, or leave this reference empty in one of the rows
    keys.csv:7: this `api_key_id` is owned twice at once: line 2 has it too, for [2026-01-01, 2026-03-01); end that with `valid_to`, or leave this reference empty in one of the rows
    keys.csv:7: this `api_key_id` is owned twice at once: line 4 has it too, for [2026-03-01, …); end that with `valid_to`, or leave this reference empty in one of the rows
    keys.csv:8: this row names no key: fill `api_key_id`, `key_fingerprint` or both
    "#);
}

#[test]
fn what_could_be_a_key_is_not_shown() {
    let rows = |value: &str| format!("customer_id,key_fingerprint,valid_from\nacme,{value},2026-01-01\n");
    let wrong = ["Xk4bQ9hunter2hunter2hunter2", "0123456789ABCDEF0123456789ABCDEF"]
        .map(|value| all().with("keys.csv", rows(value)).wrong());
    assert_eq!(wrong[0], wrong[1]);
    assert_snapshot!(wrong[0], @r#"keys.csv:2: `key_fingerprint` must be 32 lower-case hex digits and never the key itself (so it is not shown here): it is the `key_ref` under which usage of the key is held, that is, the first 32 hex digits of HMAC-SHA256 of the key with `key_secret`"#);
}

#[test]
fn keys_that_no_event_will_have_are_warned_of() {
    assert_snapshot!(all().load().unwrap().warnings.join("\n"), @r#"no row of the keys file has a `key_fingerprint`, which is how source `edge` tells keys: all its usage will be held"#);
    let rows = "customer_id,api_key_id,valid_from\nacme,Xk4bQ9hunter2hunter2hunter2hunter2hunter,2026-01-01\n";
    let settings = Files::new(&[ORIGIN, METER, BILLING]).with("keys.csv", rows).load().unwrap();
    assert_snapshot!(settings.warnings.join("\n"), @r#"line 2 of the keys file: `api_key_id` looks like a key itself; ids are stored as they are, so give its id (10 characters) or its fingerprint"#);
}

#[test]
fn wrong_columns_are_told() {
    let files = all()
        .with("customers.csv", "customer_id;plan;valid_from\nacme;pro;2026-01-01\n")
        .with("keys.csv", "\u{feff}customer_id,apikey_id,valid_form,x_team,label,label\nacme,k,2026-01-01,red,,,\n");
    assert_snapshot!(files.wrong(), @r#"
    customers.csv:1: columns must be separated by commas, not by `;`
    keys.csv:1: unknown column `apikey_id`; did you mean `api_key_id`? (columns of your own begin with `x_`)
    keys.csv:1: unknown column `valid_form`; did you mean `valid_from`? (columns of your own begin with `x_`)
    keys.csv:1: column `label` appears twice
    keys.csv:1: column `valid_from` is missing
    "#);
    let files = all().with("customers.csv", "").with("keys.csv", b"customer_id,api_key_id,valid_from\nacme,k1\n\nacme,\xff,2026-01-01\n\"acme,k2,2026-01-01\nacme,k3,2026-01-01\n");
    assert_snapshot!(files.wrong(), @r#"
    customers.csv:1: the first line must name the columns: customer_id,plan,valid_from
    keys.csv:2: this row has 2 columns where the header has 3
    keys.csv:4: this line is not UTF-8; save the file as UTF-8
    keys.csv:5: a cell holds a control character or line break; is a quote not closed?
    "#);
}

#[test]
fn columns_of_ones_own_are_carried_along() {
    let files = all()
        .with("customers.csv", "x_crm,customer_id,plan,valid_from\n\"4,2\",acme \u{1F980} & co.,pro,2026-01-01\n")
        .with("keys.csv", "customer_id,valid_from,api_key_id\n");
    let billing = files.load().unwrap().billing.unwrap();
    assert_eq!(billing.customers.rows()[0].extra, [("x_crm".to_owned(), "4,2".to_owned())]);
    assert_eq!(billing.customers.rows()[0].customer_id, "acme \u{1F980} & co.");
}

#[test]
fn wrong_rates_are_told() {
    let rates = r#"[[plan]]
id = "pro"
[[plan.price]]
id = "a"
meter = "api_cals"
model = "graduated"
tiers = [
    { up_to = 1_000, unit_price = "0" },
    { up_to = 1_000, unit_price = "0.0004" },
    { unit_price = "0.0003" },
    { up_to = 5_000, unit_price = "0.0002" },
]
[[plan.price]]
id = "b"
meter = "api_calls"
model = "per_unit"
unit_price = 0.0004
[[plan.price]]
id = "c"
meter = "api_calls"
model = "per_unit"
unit_price = "0.0000000001"
match = { country = ["DE"], route = [] }
[[plan.price]]
id = "d"
meter = "api_calls"
model = "graduated"
unit_price = "-1"
tiers = []
from = 2026-02-01
to = 2026-02-01
[[plan.price]]
id = "e"
meter = "api_calls"
model = "per-unit"
unit_prise = "-1"
[[plan.price]]
id = "f"
meter = "api_calls"
model = "per_unit"
unit_price = "-1"
from = 2026-02-01T12:00:00Z
[[plan.price]]
id = "g"
meter = "api_calls"
model = "per_unit"
unit_price = "1000000000"
[[plan]]
id = "pro"
"#;
    assert_snapshot!(all().with("rates.toml", rates).wrong(), @r#"
    rates.toml:5: unknown meter `api_cals`; did you mean `api_calls`?
    rates.toml:9: tiers out of order: `up_to` 1000 must be more than the 1000 before it
    rates.toml:10: tier 3 has no `up_to`; only the last tier is open
    rates.toml:11: the last tier must be open: add one without `up_to` for what goes beyond
    rates.toml:17: `unit_price` must be a decimal in quotes such as "0.0004", which is exact, not a number with a fraction
    rates.toml:22: `0.0000000001` is not a decimal number with at most 9 places after the point
    rates.toml:23: `country` is not in `group_by` of meter `api_calls`; known: `route`
    rates.toml:23: `route` lists no values, so this price could never match
    rates.toml:24: `to` must be later than `from`
    rates.toml:28: model `graduated` has no `unit_price`
    rates.toml:29: `tiers` is empty; it needs at least the open one, { unit_price = "…" }
    rates.toml:35: unknown model `per-unit`; did you mean `per_unit`?
    rates.toml:36: unknown key `unit_prise` in [[plan.price]]; did you mean `unit_price`?
    rates.toml:41: `-1` is negative
    rates.toml:42: `2026-02-01T12:00:00Z` is not the start of a day in Europe/Berlin; write a day such as 2026-10-01
    rates.toml:47: this is more than the 999999999.999999999 a unit price can be
    rates.toml:48: plan `pro` is defined twice
    "#);
}

#[test]
fn what_a_model_or_a_plan_does_not_have_is_told() {
    let rates = r#"[[plan]]
id = "pro"
name = ""
currency = "EURO"
minimum = 100
discount_percent = "100.0001"
[[plan.price]]
id = "discount"
meter = "api_calls"
model = "volume"
tiers = [{ unit_price = "1" }]
free = 10
[[plan.price]]
id = "fee"
meter = "api_calls"
model = "flat"
match = { route = "/x" }
unit_price = "1"
[[plan.price]]
id = "packs"
model = "package"
unit_price = "1"
amount = "1"
free = -1
size = 0
[[plan.price]]
id = "huge"
model = "flat"
amount = "1000000000000000000"
[[plan]]
id = "gold"
currency = "EUX"
[[plan.terms]]
minimum = "100"
to = 2026-06-01
[[plan.terms]]
discount_percent = "5"
from = 2026-05-01
[[plan.terms]]
minimun = "1"
from = 2027-01-01
[[plan]]
id = "dim"
from = 2026-01-01
minimum = "1"
discount_percent = "12.34567"
[[plan.terms]]
minimum = "1"
[[plan.price]]
id = "x"
model = "tiered"
"#;
    assert_snapshot!(all().with("rates.toml", rates).wrong(), @r#"
    rates.toml:3: `name` is empty
    rates.toml:4: `EURO` is no currency of ISO 4217, so its minor unit is not known
    rates.toml:5: `minimum` must be a decimal in quotes such as "0.0004", which is exact, not a whole number
    rates.toml:6: this is not a percentage from 0 to 100 with at most 4 places
    rates.toml:8: `discount` is what a plan's own discount is called; choose another id
    rates.toml:12: model `volume` has no `free`
    rates.toml:13: `amount` is missing in [[plan.price]]
    rates.toml:15: model `flat` has no `meter`
    rates.toml:17: model `flat` has no `match`
    rates.toml:18: model `flat` has no `unit_price`
    rates.toml:19: `meter` is missing in [[plan.price]]
    rates.toml:23: model `package` has no `amount`
    rates.toml:24: `free` must lie between 0 and 9223372036854775807
    rates.toml:25: `size` must lie between 1 and 9223372036854775807
    rates.toml:29: this is more than the 999999999999999999.999999999 a fee or minimum can be
    rates.toml:32: `EUX` is no currency of ISO 4217, so its minor unit is not known
    rates.toml:36: line 33 already says what applies then; end it with `to`
    rates.toml:39: line 36 already says what applies then; end it with `to`
    rates.toml:40: unknown key `minimun` in [[plan.terms]]; did you mean `minimum`?
    rates.toml:44: unknown key `from` in [[plan]]; known: `id`, `name`, `currency`, `minimum`, `discount_percent`, `terms`, `price`
    rates.toml:45: say this once: in the plan, or in its [[plan.terms]] where it changes
    rates.toml:49: `meter` is missing in [[plan.price]]
    rates.toml:51: unknown model `tiered`; known: `per_unit`, `graduated`, `volume`, `package`, `flat`
    "#);
}

#[test]
fn prices_that_contradict_one_another_are_told() {
    let meters = format!("{METER}{}", METER.replace("api_calls", "others"));
    let price = |id: &str, more: &str| {
        format!(
            "[[plan.price]]\nid = \"{id}\"\nmeter = \"api_calls\"\nmodel = \"per_unit\"\nunit_price = \"1\"\n{more}\n"
        )
    };
    let rates = [
        "[[plan]]\nid = \"pro\"\n".to_owned(),
        price("special", "match = { route = [\"/x\"] }"),
        price("old", "to = 2026-06-01"),
        price("new", "from = 2026-06-01"),
        price("new", "from = 2026-07-01"),
        price("late", "match = { route = [\"/y\"] }"),
        price("newer", "from = 2027-01-01"),
        price("special", "from = 2020-01-01\nto = 2021-01-01").replace("api_calls", "others"),
        // Flat prices hide nothing from one another, but an id is one price.
        "[[plan.price]]\nid = \"fee\"\nmodel = \"flat\"\namount = \"1\"\n".to_owned(),
        "[[plan.price]]\nid = \"fee2\"\nmodel = \"flat\"\namount = \"1\"\n".to_owned(),
        price("fee", "to = 1980-01-01"),
    ]
    .concat();
    assert_snapshot!(Files::new(&[ORIGIN, EDGE, &meters, BILLING]).with("rates.toml", rates).wrong(), @r#"
    rates.toml:21: price `new` is defined twice at once: line 15 already covers [2026-06-01, …); end it with `to`
    rates.toml:27: price `late` can never match while price `old` (line 9) before it takes all of meter `api_calls`; put this one before it
    rates.toml:33: price `newer` can never match while price `new` (line 15) before it takes all of meter `api_calls`; end one of them with `to`
    rates.toml:39: price `special` is defined twice at once: line 3 already covers […, …); end it with `to`
    rates.toml:39: price `special` is for meter `api_calls` on line 3; one id counts one meter, so choose another
    rates.toml:54: price `fee` is defined twice at once: line 46 already covers […, …); end it with `to`
    rates.toml:54: price `fee` is for no meter on line 46; one id counts one meter, so choose another
    rates.toml:54: price `fee` can never match while price `old` (line 9) before it takes all of meter `api_calls`; end one of them with `to`
    "#);
}

#[test]
fn wrong_billing_settings_are_told() {
    let billing = BILLING.replace("USD", "usd").replace("Europe/Berlin", "Europe/Berlim");
    assert_snapshot!(Files::new(&[ORIGIN, EDGE, METER, &billing, "start = 2026-13-01\n"]).wrong(), @r#"meterlake.toml:32: this is not TOML: invalid date, expected month between 01 and 12"#);
    let billing = BILLING.replace("USD", "usd").replace("Europe/Berlin", "Mars");
    assert_snapshot!(Files::new(&[ORIGIN, EDGE, METER, &billing, "start = \"soon\"\n"]).wrong(), @r#"
    meterlake.toml:27: a currency is the three capital letters of ISO 4217, such as "USD"
    meterlake.toml:28: unknown time zone `Mars`; it must be an IANA name such as `UTC` or `Europe/Berlin`
    meterlake.toml:32: `soon` is not a day such as 2026-10-01
    "#);
}

#[test]
fn init_writes_what_loads_and_overwrites_nothing() {
    let dir = TempDir::new().unwrap();
    let config = dir.path().join("new/meterlake.toml");
    let written = init::write(&dir.path().join("new"), false).unwrap();
    assert_eq!(written[0], config);
    let settings = Settings::load(&config, &|_| None).unwrap();
    assert_eq!((settings.sources.len(), settings.meters.len()), (1, 1));
    assert!(settings.billing.unwrap().rates.is_some());

    fs::write(&config, "mine").unwrap();
    let error = init::write(&dir.path().join("new"), false).unwrap_err().to_string();
    assert!(error.contains("meterlake.toml") && error.contains("--force"), "{error}");
    assert_eq!(fs::read_to_string(&config).unwrap(), "mine");
    init::write(&dir.path().join("new"), true).unwrap();
    assert!(Settings::load(&config, &|_| None).is_ok());
}

/// Every setting that the files of `init` only mention is one that may be written.
#[test]
fn what_init_comments_out_loads_too() {
    let dir = TempDir::new().unwrap();
    for path in init::write(dir.path(), false).unwrap() {
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> =
            text.lines().map(|line| line.strip_prefix("# ").filter(|rest| is_setting(rest)).unwrap_or(line)).collect();
        fs::write(&path, lines.join("\n")).unwrap();
    }
    fs::write(dir.path().join("adjustments.csv"), "customer_id,month,amount,reason,approver\n").unwrap();
    let settings = Settings::load(&dir.path().join("meterlake.toml"), &|_| Some(SECRET.to_owned())).unwrap();
    let billing = settings.billing.as_ref().unwrap();
    let models = billing.rates.iter().flat_map(|rates| rates.plans()).flat_map(|plan| &plan.prices);
    let models: BTreeSet<&str> = models.map(|price| price.model.name()).collect();
    assert_eq!(models, BTreeSet::from(["flat", "graduated", "package", "per_unit", "volume"]));
    assert_eq!(settings.sources.len(), 4);
    assert_eq!(settings.build.parallel, Some(4));
    assert_eq!(settings.rejects_max_percent, 1);
}

fn is_setting(line: &str) -> bool {
    let name = line.trim_start().trim_start_matches(|c: char| c.is_ascii_lowercase() || c == '_');
    line.starts_with(['[', ']'])
        || line.starts_with("    ")
        || line.starts_with("# ")
        || (name.len() < line.len() && name.trim_start().starts_with('='))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever stands where, loading ends with settings or with reasons.
    #[test]
    fn any_spoilt_file_is_refused_with_a_reason(
        name in prop::sample::select(vec!["meterlake.toml", "rates.toml", "customers.csv", "keys.csv"]),
        at in any::<prop::sample::Index>(),
        cut in 0..12_usize,
        put in prop::sample::select(vec!["", "7", "1.5", "true", "[]", "{}", "[[1]]", "''", "2026-01-01", "\"x\"", "\n", ",", "=", "\u{0}", "ä"]),
    ) {
        let files = all();
        let path = files.0.path().join(name);
        let text = fs::read_to_string(&path).unwrap();
        let from = at.index(text.len() + 1);
        let to = (from + cut).min(text.len());
        let spoilt = [&text.as_bytes()[..from], put.as_bytes(), &text.as_bytes()[to..]].concat();
        fs::write(&path, spoilt).unwrap();
        if let Err(error) = files.load() {
            let shown = error.to_string();
            prop_assert!(!shown.is_empty() && !shown.contains("cannot say why"), "{}", shown);
        }
    }

    /// A whole value of the configuration replaced by one of another type.
    #[test]
    fn any_value_of_another_type_is_refused_with_a_reason(
        at in any::<prop::sample::Index>(),
        put in prop::sample::select(vec!["7", "-1", "1.5", "true", "[]", "{}", "[{}]", "[[1]]", "''", "2026-01-01", "'x'"]),
        rates in any::<bool>(),
    ) {
        let files = all();
        let path = files.0.path().join(if rates { "rates.toml" } else { "meterlake.toml" });
        let text = fs::read_to_string(&path).unwrap();
        let values: Vec<usize> = text.match_indices(" = ").map(|(at, _)| at + 3).collect();
        let from = values[at.index(values.len())];
        let to = from + text[from..].find('\n').unwrap_or(text.len() - from);
        fs::write(&path, [&text[..from], put, &text[to..]].concat()).unwrap();
        if let Err(error) = files.load() {
            let shown = error.to_string();
            prop_assert!(!shown.is_empty() && !shown.contains("cannot say why"), "{}", shown);
        }
    }
}

#[test]
fn what_a_meter_counts_is_read_and_mistakes_name_their_line() {
    let with = |value: &str| Files::new(&[ORIGIN, &METER.replace("\"count\"", &format!("\"{value}\""))]);
    let canonical = |value: &str| {
        let text = with(value).load().unwrap().canonical;
        text.lines().find(|line| line.starts_with("meter")).unwrap().to_owned()
    };
    assert_snapshot!(canonical("unique( subject )"), @r#"meter ["api_calls",["origin"],"status < 500",["unique","subject"],["route"]]"#);
    assert_snapshot!(canonical("max(latency_ms)"), @r#"meter ["api_calls",["origin"],"status < 500",["max","latency_ms"],["route"]]"#);
    // `value` is on line 14.
    assert_snapshot!(with("uniqe(subject)").wrong(), @"meterlake.toml:14: `value` of meter `api_calls`: `uniqe(subject)` cannot be used here: did you mean `unique`?");
    assert_snapshot!(with("unique(subjct)").wrong(), @"meterlake.toml:14: `value` of meter `api_calls`: no column `subjct` for meters of `origin_requests`, did you mean `subject`?");
    assert_snapshot!(with("max(route)").wrong(), @"meterlake.toml:14: `value` of meter `api_calls`: `route` is text, but an integer is wanted");
    assert_snapshot!(with("sum(response_bytes)").wrong(), @"meterlake.toml:14: `value` of meter `api_calls`: `sum(response_bytes)` cannot be used here: an expression is summed as it is, did you mean `response_bytes`?");
}

/// The edge source with further settings.
fn edge_with(settings: &str) -> String {
    EDGE.replace("[privacy]", &format!("{settings}\n[privacy]"))
}

#[test]
fn who_else_counts_is_read_and_changes_no_generation() {
    let api = "count = [{ api_id = \"a1b2c3\", stage = \"$default\" }, { api_name = \"shop\", stage = \"prod\", region = \"eu-west-1\" }]\n";
    let counted = Files::new(&[ORIGIN, api, &edge_with("count = { distribution = \"E1\" }"), METER]).load().unwrap();
    let metrics: Vec<String> =
        counted.sources.iter().flat_map(|source| &source.counted).map(ToString::to_string).collect();
    assert_eq!(
        metrics,
        [
            "AWS/ApiGateway Count (ApiId=a1b2c3, Stage=$default)",
            "AWS/ApiGateway Count (ApiName=shop, Stage=prod)",
            "AWS/CloudFront Requests (DistributionId=E1, Region=Global)",
        ]
    );
    assert_eq!(counted.sources[1].shortfall_max_per_mille, 10);
    let plain = Files::new(&[ORIGIN, EDGE, METER]).load().unwrap();
    assert_eq!(counted.canonical, plain.canonical);
    let exact = Files::new(&[ORIGIN, &edge_with("shortfall_max_per_mille = 0"), METER]).load().unwrap();
    assert_eq!(exact.sources[1].shortfall_max_per_mille, 0);
    assert!(exact.canonical.contains("shortfall [\"edge\",0]") && exact.text_digest != plain.text_digest);
}

#[test]
fn a_count_that_is_not_the_sources_is_refused() {
    for (count, problem) in [
        ("{ api_id = \"a\", stage = \"s\" }", "this is the other one's metric"),
        ("{ api_id = \"a\" }", "`stage` is missing: API Gateway counts by stage"),
        ("{ distribution = \"E1\", region = \"eu-west-1\" }", "CloudFront as { distribution ="),
        ("{ distribution = \"E1\", api_id = \"a\", stage = \"s\" }", "CloudFront as { distribution ="),
        ("{}", "CloudFront as { distribution ="),
        ("[]", "`count` is empty"),
        ("[{ distribution = \"E1\" }, { distribution = \"E1\" }]", "named twice"),
        ("{ distribution = 1 }", "`distribution` must be text"),
        ("{ distributio = \"E1\" }", "did you mean `distribution`?"),
    ] {
        let wrong = Files::new(&[&edge_with(&format!("count = {count}")), METER, ORIGIN]).wrong();
        assert!(wrong.contains("meterlake.toml:9: ") && wrong.contains(problem), "{count}: {wrong}");
    }
    let wrong = Files::new(&[&edge_with("shortfall_max_per_mille = 1001"), METER, ORIGIN]).wrong();
    assert!(wrong.contains("`shortfall_max_per_mille` must lie between 0 and 1000"), "{wrong}");
}
