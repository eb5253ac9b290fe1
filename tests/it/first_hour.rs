//! The first hour of a new user: `init`, empty folders, usage without customers, hints, the shapes of output.

use insta::assert_snapshot;
use serde_json::Value;

use super::shell::{Shell, edge_config, edge_record_of, edge_records};

fn with_records() -> Shell {
    let shell = Shell::new();
    shell.write("meterlake.toml", edge_config("")).write("landing/a", edge_records(0..3));
    shell
}

/// The names of all keys of a JSON value, without values: what a script may rely on.
fn shape(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let keys: Vec<String> = map.iter().map(|(key, value)| format!("{key}: {}", shape(value))).collect();
            format!("{{{}}}", keys.join(", "))
        }
        Value::Array(values) => format!("[{}]", values.first().map(shape).unwrap_or_default()),
        Value::Null => "null".into(),
        Value::Bool(_) => "bool".into(),
        Value::Number(_) => "number".into(),
        Value::String(_) => "text".into(),
    }
}

#[test]
fn before_the_first_run_commands_say_what_to_do() {
    let shell = Shell::new();
    assert_snapshot!(shell.run(&["run"]).all(), @"
    exit 2
    --- stderr
    error: there is no `meterlake.toml`; `meterlake init` writes one, `--config` names another
    ");
    shell.write("meterlake.toml", edge_config(""));
    for command in [&["status"][..], &["query", "SELECT 1"], &["verify"], &["vacuum"], &["rejects"]] {
        let ran = shell.run(command);
        assert_eq!(ran.code, 2);
        assert!(ran.err.contains("there is no lake at [folder]/lake yet; `meterlake run` makes it"), "{}", ran.err);
        assert!(!shell.exists("lake"));
    }
}

#[test]
fn init_then_run_works_on_empty_folders() {
    let shell = Shell::new();
    assert_snapshot!(shell.run(&["init"]).all(), @"
    exit 0
    --- stderr
    wrote ./meterlake.toml
    wrote ./customers.csv
    wrote ./keys.csv
    wrote ./rates.toml

    hint: put landing objects where the sources look for them, then `meterlake run`
    ");
    assert_snapshot!(shell.run(&["run"]).all(), @"
    exit 0
    --- stdout
    Converted
      source  objects  new  size  records  rejects  control  failed
      origin        0    0   0 B        0        0        0       0

    Built
      table   rebuilt
      prices  all

    Sources: nothing yet

    Charges: none

    Held: cannot be charged yet: nothing
    --- stderr

    hint: origin: the folder [folder]/landing/apigateway is not there; put landing objects into it or correct `location`
    ");
    assert_snapshot!(shell.run(&["init"]).all(), @"
    exit 2
    --- stderr
    error: `./meterlake.toml`, `./customers.csv`, `./keys.csv`, `./rates.toml` are already there; nothing was written, and `--force` overwrites
    ");
    assert_eq!(shell.run(&["init", "--force"]).code, 0);
    assert_eq!(shell.run(&["init", "--config", "sub/meterlake.toml"]).code, 0);
    assert!(shell.exists("sub/meterlake.toml"));
}

#[test]
fn without_customers_there_is_usage_per_key_and_nothing_is_called_held() {
    let shell = with_records();
    let ran = shell.run(&["run"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert_snapshot!(ran.out, @"
    Converted
      source  objects  new   size  records  rejects  control  failed
      edge          1    1  471 B        3        0        0       0

    Built
      table            rebuilt
      events of edge   2026-10-29T09
      usage_slots      edge/2026-10-29T09
      usage_daily      2026-10-29
      coverage_hourly  2026-10-29

    Sources
      source  objects  records  events  duplicates  conflicts  rejects  control
      edge          1        3       3           0          0        0        0

    Usage
      billing_month  customer_or_key                   meter  quantity  events
      2026-10        8705d06724e6bdf4be8f6fb6fa5f89d2  calls         3       3

    Held: cannot be charged yet: nothing
    ");
}

#[test]
fn a_second_run_says_that_nothing_is_new() {
    let shell = with_records();
    shell.run(&["run"]);
    let before: Vec<_> = shell.files("lake");
    let ran = shell.run(&["run"]);
    assert!(ran.out.contains("Nothing is new: every table is up to date."), "{}", ran.out);
    assert_eq!(shell.files("lake"), before);
}

#[test]
fn a_key_that_is_never_found_gets_a_hint() {
    let shell = Shell::new();
    shell.write("meterlake.toml", edge_config("").replace("x-api-key", "x-apikey"));
    shell.write("landing/a", edge_records(0..3));
    assert_snapshot!(shell.run(&["run"]).err, @r#"

    hint: edge: no event carries a key where the configuration looks for one ({ header = "x-apikey" })
    "#);
}

#[test]
fn a_rule_that_is_never_met_gets_a_hint() {
    let shell = Shell::new();
    shell.write("meterlake.toml", edge_config("").replace("status < 500", "status < 100"));
    shell.write("landing/a", edge_records(0..3));
    assert_snapshot!(shell.run(&["run"]).err, @"

    hint: calls: none of the 3 events of edge meets its rule
    ");
}

#[test]
fn records_that_cannot_be_read_at_all_get_a_hint() {
    let shell = Shell::new();
    shell.write("meterlake.toml", edge_config(""));
    shell.write("landing/a", "one line\nand another\n");
    assert_snapshot!(shell.run(&["run"]).err, @"
    edge: 2 of 2 new records could not be read, more than 1 %; `meterlake rejects` shows them

    hint: edge: not one record could be read; `meterlake rejects` says why, and `fields` or `format` is the first place to look
    ");
}

#[test]
fn the_configuration_may_stand_before_or_after_the_command() {
    let shell = Shell::new();
    shell.write("conf/m.toml", edge_config("")).write("conf/landing/a", edge_records(0..3));
    assert_eq!(shell.run(&["--config", "conf/m.toml", "run"]).code, 0);
    assert!(shell.exists("conf/lake"), "paths are relative to the file");
    assert_eq!(shell.run(&["status", "--config", "conf/m.toml"]).code, 0);
    assert_eq!(shell.run(&["-c", "conf/m.toml", "status"]).code, 0);
}

#[test]
fn json_keeps_its_shape() {
    let shell = with_records();
    let mut shapes = String::new();
    for command in [&["convert"][..], &["build"], &["run"], &["status"], &["verify"], &["vacuum", "--dry-run"]] {
        let ran = shell.run(&[command, &["--json"]].concat());
        assert_eq!(ran.code, 0, "{}", ran.all());
        let value: Value = serde_json::from_str(&ran.out).unwrap();
        shapes.push_str(&format!("{}\n  {}\n", command.join(" "), shape(&value)));
    }
    assert_snapshot!(shapes, @"
    convert
      [{bytes: number, control: number, converted: number, decoded_otherwise: number, failed: [], found: number, new: number, new_bytes: number, records: number, rejects: number, source: text}]
    build
      {derived: {coverage_hourly: [text], usage_daily: [text], usage_slots: [text]}, events: {edge: {conflicts: number, duplicates: number, hours_changed: number, rows_in: number, rows_out: number, units: number}}, receipts: number}
    run
      {built: {derived: {}, events: {}, receipts: number}, converted: [{bytes: number, control: number, converted: number, decoded_otherwise: number, failed: [], found: number, new: number, new_bytes: number, records: number, rejects: number, source: text}], held: [], sources: [{conflicts: number, control: number, duplicates: number, events: number, objects: number, records: number, rejects: number, source: text}], usage: [{billing_month: text, customer_or_key: text, events: number, meter: text, quantity: number}]}
    status
      {coverage: [{gaps: number, hour_max: text, hour_min: text, hours: number, lateness_max_s: number, missing: null, quiet: number, source: text}], held: [], receipts_waiting: number, rejects: [], sources: [{conflicts: number, control: number, duplicates: number, events: number, objects: number, records: number, rejects: number, source: text}], usage: [{billing_month: text, customer_or_key: text, events: number, meter: text, quantity: number}], withdrawals_waiting: number}
    verify
      {agrees: bool, days: number, differences: [], events: number, objects: number, unreadable: []}
    vacuum --dry-run
      {bytes: number, dry_run: bool, paths: []}
    ");
}

#[test]
fn rows_print_as_table_csv_json_and_lines() {
    let shell = with_records();
    shell.run(&["run"]);
    let sql = "SELECT 1 AS n, CAST('1.5' AS DECIMAL(18,9)) AS price, CAST(NULL AS VARCHAR) AS nothing, 'a \"b\", c' AS words, \
               TIMESTAMP '2026-10-29T09:00:00Z' AS at UNION ALL SELECT 22, NULL, 'x', '', NULL ORDER BY n";
    let mut shown = String::new();
    for format in ["table", "csv", "json", "ndjson"] {
        shown.push_str(&shell.run(&["query", sql, "--format", format]).out);
    }
    assert_snapshot!(shown, @r#"
       n        price  nothing  words     at
       1  1.500000000           a "b", c  2026-10-29T09:00:00
      22               x
    n,price,nothing,words,at
    1,1.500000000,,"a ""b"", c",2026-10-29T09:00:00
    22,,x,,
    [{"n":1,"price":"1.500000000","nothing":null,"words":"a \"b\", c","at":"2026-10-29T09:00:00"},{"n":22,"price":null,"nothing":"x","words":"","at":null}]
    {"n":1,"price":"1.500000000","nothing":null,"words":"a \"b\", c","at":"2026-10-29T09:00:00"}
    {"n":22,"price":null,"nothing":"x","words":"","at":null}
    "#);
    let none = "SELECT day, path FROM edge_requests WHERE path = 'nowhere'";
    assert_eq!(shell.run(&["query", none, "--format", "csv"]).out, "day,path\n");
    assert_eq!(shell.run(&["query", none, "--format", "json"]).out, "[]\n");
    assert_eq!(shell.run(&["query", none, "--format", "ndjson"]).out, "");
}

#[test]
fn a_query_comes_from_standard_input_and_changes_nothing() {
    let shell = with_records();
    shell.run(&["run"]);
    let ran = shell.run_with(
        &["query", "-", "--format", "csv"],
        &[("ML_SECRET", "0123456789abcdef0123")],
        b"SELECT 7 AS n\n",
    );
    assert_eq!(ran.out, "n\n7\n", "{}", ran.err);
    let before = shell.files("lake");
    for sql in [
        "DROP TABLE objects",
        "INSERT INTO objects SELECT * FROM objects",
        "COPY objects TO 'out.csv'",
        "CREATE TABLE t AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "SET datafusion.execution.batch_size = 1",
        "SELECT 1; DROP TABLE objects",
    ] {
        let ran = shell.run(&["query", sql]);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{sql}");
    }
    assert_eq!(shell.files("lake"), before);
    assert_snapshot!(shell.run(&["query", "SELECT nope FROM objects"]).all(), @"
    exit 2
    --- stderr
    error: cannot run the query
      caused by: Schema error: No field named nope.
    Valid fields are objects.day, objects.object_id, objects.source, objects.source_object, objects.etag, objects.bytes, objects.arrived_at, objects.decode_id, objects.records, objects.staged, objects.rejects, objects.control, objects.event_time_min, objects.event_time_max, objects.state, objects.reason, objects.written_at.
    ");
    assert_snapshot!(shell.run(&["query", "SELECT 1 FROM nope"]).all(), @"
    exit 2
    --- stderr
    error: cannot run the query
      caused by: Error during planning: table 'datafusion.public.nope' not found
    ");
}

#[test]
fn the_sql_of_each_derived_table_runs_as_printed() {
    let shell = with_records();
    shell.run(&["run"]);
    for table in ["usage_slots", "usage_daily", "charges_daily", "coverage_hourly"] {
        let printed = shell.run(&["sql", table, "--day", "2026-10-29"]);
        assert_eq!(printed.code, 0, "{}", printed.err);
        let again = shell.run(&["query", &printed.out, "--format", "csv"]);
        assert_eq!(again.code, 0, "{table}\n{}", again.err);
        let held = shell.query(&format!("SELECT count(*) FROM {table}"));
        assert_eq!(again.out.lines().count() - 1, held[0].parse::<usize>().unwrap(), "{table}");
    }
    assert_snapshot!(shell.run(&["sql", "objects", "--day", "2026-10-29"]).all(), @"
    exit 2
    --- stderr
    error: `objects` is not made by SQL; these are: usage_slots, usage_daily, charges_daily, coverage_hourly
    ");
}

#[test]
fn fingerprints_are_what_the_events_carry() {
    let shell = Shell::new();
    shell.write("meterlake.toml", edge_config(""));
    shell.write("landing/a", edge_record_of(1, "A-KEY-OF-TWENTY-CHARS", "/", "-"));
    shell.run(&["run"]);
    let env = [("ML_SECRET", "0123456789abcdef0123")];
    let printed = shell.run_with(&["keys", "fingerprint"], &env, b"A-KEY-OF-TWENTY-CHARS\n\n");
    assert_eq!(printed.out.lines().collect::<Vec<_>>(), shell.query("SELECT key_ref FROM edge_requests"));
}

#[test]
fn help_reads_well() {
    let shell = Shell::new();
    let mut text = shell.run(&["--help"]).out;
    for command in [
        "doctor",
        "init",
        "run",
        "convert",
        "build",
        "rebuild",
        "retract",
        "query",
        "sql",
        "trace",
        "status",
        "rejects",
        "verify",
        "vacuum",
        "glue",
        "keys",
        "publish",
        "counts",
        "notifications",
    ] {
        let help = shell.run(&[command, "--help"]).out;
        text.push_str(&format!("\n$ meterlake {command} --help\n{}", help.split("\nOptions:").next().unwrap()));
    }
    assert_snapshot!(text);
}
