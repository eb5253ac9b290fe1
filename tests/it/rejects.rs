//! What could not be read: looked at, and read again once the configuration is right. After a replay every event is there once,
//! its reject is gone, and the usage is that of a lake which had the right configuration from the start.

use std::fs;

use insta::assert_snapshot;
use serde_json::Value;

use super::lab::{Files, Hit, Key, Lab, assert_same, at, lines};
use super::shell::{Ran, Shell, edge_config, edge_record, edge_record_of};

const FIELDS: &str = r#"["timestamp", "c-ip", "sc-status", "sc-bytes", "cs-method", "cs-uri-stem", "x-edge-request-id", "cs-user-agent", "cs-headers", "cs-headers-count"]"#;

/// Says that records may have one field more at the end.
fn with_one_more(lab: &Lab, field: &str) {
    let more = FIELDS.replace(']', &format!(r#", "{field}"]"#));
    let sets = format!("[{{ fields = {FIELDS} }}, {{ from = 2099-01-01T00:00:00Z, fields = {more} }}]");
    lab.configure(FIELDS, &sets);
}

fn hit(n: i64) -> String {
    Hit::new(at(0, 9, n * 1_000), Key::Acme).line()
}

/// Three objects that were read before it was known that a field had been added.
fn before_the_fix() -> Lab {
    let lab = Lab::new();
    let longer = |n: i64| hit(n) + "\t64500";
    lab.edge("a", lines(&[hit(0), longer(1), hit(2)]));
    // Delivered again, with another one.
    lab.edge("again", lines(&[longer(1), hit(2), longer(3)]));
    lab.edge("junk", lines(&[hit(4), "what is this?".to_owned()]));
    lab.edge("whole", lines(&[hit(5)]));
    lab.run();
    lab
}

fn rejects(lab: &Lab) -> Vec<String> {
    lab.query("SELECT source_object, source_position, reason FROM rejects ORDER BY 1, 2")
}

/// What a replay says of the source `edge`.
fn replay(lab: &Lab, more: &[&str]) -> (i32, Value) {
    let ran = lab.meterlake(&[&["convert", "--rejects", "--json"], more].concat());
    assert!(ran.code < 2, "{}", ran.all());
    let all: Value = serde_json::from_str(&ran.out).unwrap();
    (ran.code, all[0].clone())
}

/// The files of a lake but for the configurations it remembers.
fn files(lab: &Lab) -> Files {
    lab.files().into_iter().filter(|(path, _)| !path.starts_with("_meta")).collect()
}

#[test]
fn a_replay_after_a_fix_gives_what_the_right_configuration_gives() {
    let lab = before_the_fix();
    assert_eq!(rejects(&lab), ["a,1,columns", "again,0,columns", "again,2,columns", "junk,1,columns"]);
    assert_eq!(lab.bill("acme"), ["egress,4000,0.004000000"]);
    with_one_more(&lab, "asn");
    lab.run();
    assert_eq!(rejects(&lab).len(), 4, "a run converts nothing again");

    let (before, bytes) = (files(&lab), |n: &str| fs::metadata(lab.landing(&format!("edge/{n}"))).unwrap().len());
    let (code, planned) = replay(&lab, &["--dry-run"]);
    assert_eq!((code, &planned["objects"], &planned["rejects_before"]), (0, &3.into(), &4.into()));
    assert_eq!(planned["bytes"], bytes("a") + bytes("again") + bytes("junk"));
    // An object whose rejects stay the same is not touched: not a byte of the lake is another.
    let (code, junk) = replay(&lab, &["junk"]);
    assert_eq!((code, &junk["converted"], &junk["unchanged"], &junk["rejects"]), (0, &0.into(), &1.into(), &1.into()));
    lab.run();
    assert_eq!(files(&lab), before);

    let (code, done) = replay(&lab, &[]);
    assert_eq!((code, &done["converted"], &done["unchanged"], &done["rejects"]), (0, &2.into(), &1.into(), &1.into()));
    lab.run();
    assert_eq!(rejects(&lab), ["junk,1,columns"]);
    assert_eq!(lab.bill("acme"), ["egress,6000,0.006000000"]);
    assert_eq!(
        lab.query("SELECT source_object, state, records, rejects FROM objects ORDER BY 1, 2"),
        [
            "a,applied,3,0",
            "a,superseded,3,1",
            "again,applied,3,0",
            "again,superseded,3,2",
            "junk,applied,2,1",
            "whole,applied,1,0"
        ]
    );
    lab.verified();
    let fresh = lab.twin("fresh");
    with_one_more(&fresh, "asn");
    fresh.run();
    assert_same("the replay", &lab.facts(), &fresh.facts());

    // Once more: nothing is converted, no byte is another.
    let before = files(&lab);
    let (code, done) = replay(&lab, &[]);
    assert_eq!((code, &done["converted"], &done["unchanged"]), (0, &0.into(), &1.into()));
    lab.run();
    assert_eq!(files(&lab), before);
}

#[test]
fn of_two_fixes_the_last_counts() {
    let lab = before_the_fix();
    // Not what the field was; and it is noticed before anything is built.
    with_one_more(&lab, "origin-lbl");
    assert_eq!(replay(&lab, &[]).1["converted"], 2);
    lab.configure("origin-lbl", "asn");
    assert_eq!(replay(&lab, &[]).1["converted"], 2);
    // And again before it is built: the same receipts.
    assert_eq!(replay(&lab, &[]).1["converted"], 2);
    lab.run();
    let columns = "SELECT DISTINCT asn, origin_latency_ms FROM edge_requests WHERE asn > 0 OR origin_latency_ms > 0";
    assert_eq!(lab.query(columns), ["64500,"]);
    assert_eq!(lab.query("SELECT count(*) FROM edge_requests"), ["6"]);
    lab.verified();
}

#[test]
fn objects_that_are_gone_or_fail_are_told_and_stay_as_they_are() {
    let lab = before_the_fix();
    with_one_more(&lab, "asn");
    fs::remove_file(lab.landing("edge/a")).unwrap();
    lab.edge("junk", "another text");
    for _ in 0..2 {
        let ran = lab.meterlake(&["convert", "--rejects"]);
        assert_eq!(ran.code, 1, "{}", ran.all());
        let told = |what: &str| ran.err.contains(what);
        assert!(told("edge: a cannot be read again: it is no longer in"), "{}", ran.err);
        assert!(told("edge: junk cannot be read again: another version of it lies there now"), "{}", ran.err);
        assert!(ran.out.contains("edge          1"), "{}", ran.out);
    }
    // What lay beside the record that is lost stays: nothing is taken out that cannot be put back.
    let built = lab.meterlake(&["build"]);
    assert_eq!(built.code, 0, "{}", built.all());
    assert_eq!(rejects(&lab), ["a,1,columns", "junk,1,columns"]);
    assert_eq!(lab.query("SELECT count(*) FROM edge_requests"), ["6"]);
}

#[test]
fn a_replay_can_be_narrowed() {
    let lab = before_the_fix();
    let objects = |more: &[&str]| {
        let ran = lab.meterlake(&[&["convert", "--rejects", "--dry-run", "--json"], more].concat());
        assert_eq!(ran.code, 0, "{}", ran.all());
        let all: Value = serde_json::from_str(&ran.out).unwrap();
        all[0]["objects"].as_u64().unwrap_or(0)
    };
    assert_eq!([&["a"][..], &["again"], &["j", "w"]].map(objects), [2, 1, 1]);
    assert_eq!([&["--reason", "columns"][..], &["--reason", "no_id"], &["--source", "origin"]].map(objects), [3, 0, 0]);
    assert_eq!(
        [&["--from", "2020-01-01"][..], &["--from", "2099-01-01"], &["--to", "2020-01-01"]].map(objects),
        [3, 0, 0]
    );
    let refused = |more: &[&str]| lab.meterlake(&[&["convert"], more].concat());
    assert_snapshot!(refused(&["--rejects", "--reason", "colums"]).all(), @"
    exit 2
    --- stderr
    error: `colums` is no reason; did you mean `columns`?
    ");
    assert_snapshot!(refused(&["--rejects", "--source", "edgy"]).all(), @"
    exit 2
    --- stderr
    error: `edgy` is no source; did you mean `edge`?
    ");
    assert_eq!(refused(&["--reason", "columns"]).code, 2, "of a plain conversion no reason is asked");
}

#[test]
fn a_limit_that_was_too_low_is_a_fix_too() {
    let shell = Shell::new();
    let limited = |bytes: u32| edge_config(&format!("[limits]\nrecord_bytes_max = {bytes}\n"));
    let long = edge_record_of(1, "KEYKEYKEYKEYKEY1", &format!("/{}", "x".repeat(2_000)), "agent");
    shell.write("meterlake.toml", limited(1_024)).write("landing/a", format!("{}\n{long}\n", edge_record(0)));
    shell.run(&["run"]);
    assert_eq!(shell.query("SELECT reason FROM rejects"), ["too_long"]);
    shell.write("meterlake.toml", limited(4_096));
    for expected in ["1            0", "0            0"] {
        let ran = shell.run(&["convert", "--rejects"]);
        assert!(ran.code == 0, "{} {expected}", ran.all());
        assert_eq!(shell.run(&["run"]).code, 0);
    }
    assert_eq!(shell.query("SELECT count(*), count(DISTINCT request_id) FROM edge_requests"), ["2,2"]);
    assert_eq!(shell.query("SELECT SUM(events) FROM usage_daily"), ["2"]);
    assert!(shell.query("SELECT reason FROM rejects").is_empty());
    assert_eq!(shell.run(&["verify"]).code, 0);
}

/// Rejects of several reasons and objects, with secrets in them.
fn various() -> Shell {
    let shell = Shell::new();
    let without_time = edge_record(1).replacen("1793264401.000", "-", 1);
    let odd = edge_record(2).replacen("200", "ok", 1).replace("agent", "curl%0ACookie:%20sid=MYSESSION%0A");
    shell.write("meterlake.toml", edge_config(""));
    shell.write("landing/day=1/a", format!("{}\n{without_time}\n{odd}\n", edge_record(0)));
    shell.write("landing/day=2/b", format!("{}\nit's nothing\n", edge_record(3)));
    shell.run(&["run"]);
    shell
}

/// Without the days of arrival, which are today's.
fn dateless(ran: &Ran) -> String {
    let is_date = |word: &str| word.len() == 10 && word.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let line = |line: &str| {
        line.split(' ').map(|word| if is_date(word) { "[arrival]_" } else { word }).collect::<Vec<_>>().join(" ")
    };
    ran.all().lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn rejects_are_counted_shown_and_explained() {
    let shell = various();
    let ran = shell.run(&["rejects"]);
    assert!(!ran.all().contains("MYSESSION") && !ran.all().contains("KEYKEYKEY"), "{}", ran.all());
    assert_snapshot!(dateless(&ran), @"
    exit 0
    --- stdout
    Rejects
      source  reason      rejects  objects  first_day   last_day
      edge    bad_number        1        1  [arrival]_  [arrival]_
      edge    columns           1        1  [arrival]_  [arrival]_
      edge    no_time           1        1  [arrival]_  [arrival]_

    By day of arrival
      day         source  rejects  objects
      [arrival]_  edge          3        2

    By object
      source  source_object  reason      rejects  records  day
      edge    day=1/a        bad_number        1        3  [arrival]_
      edge    day=1/a        no_time           1        3  [arrival]_
      edge    day=2/b        columns           1        2  [arrival]_

    Samples
      edge: day=1/a record 2: bad_number: sc-status is not a number in its range
        1793264402.000 203.0.113.9 ok 100 GET /v1/x #c8c0b2cc curl%0ACookie:%20#bb2cc830%0A host:a.example%0Ax-api-key:#8705d067%0A 2
      edge: day=2/b record 1: columns: 1 columns, the field set has 10
        it's nothing
      edge: day=1/a record 1: no_time: timestamp is missing
        - 203.0.113.9 200 100 GET /v1/x #32f1315f agent host:a.example%0Ax-api-key:#8705d067%0A 2
    --- stderr

    hint: bad_number: a value is no number where one belongs. In many records: `fields`, `format` or `columns` are not what the log has; in few: the caller's odd bytes

    hint: columns: the number of columns is not that of `fields`. If the log configuration changed at some time, give both sets with `from`; the last record of an object may simply be cut

    hint: no_time: the time is missing; see that the log carries it

    hint: once the configuration is corrected, `meterlake convert --rejects` and `meterlake run` read them again
    ");
}

#[test]
fn rejects_can_be_narrowed_and_read_by_programs() {
    let shell = various();
    let json = |more: &[&str]| {
        let ran = shell.run(&[&["rejects", "--json"], more].concat());
        assert_eq!(ran.code, 0, "{}", ran.all());
        serde_json::from_str::<Value>(&ran.out).unwrap()
    };
    let all = json(&[]);
    assert_eq!(all["reasons"].as_array().unwrap().len(), 3);
    assert!(all["reasons"][0]["hint"].as_str().is_some_and(|hint| hint.len() > 20), "{all}");
    assert_eq!(all["days"].as_array().unwrap().iter().map(|day| day["rejects"].as_i64().unwrap()).sum::<i64>(), 3);
    assert_eq!((&all["objects"][0]["rejects"], &all["objects"][0]["records"]), (&1.into(), &3.into()));
    assert_eq!(all["samples"].as_array().unwrap().len(), 3);
    let reasons = |more: &[&str]| {
        let all = json(more);
        let reasons = all["reasons"].as_array().unwrap().iter().map(|row| row["reason"].as_str().unwrap());
        reasons.map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(reasons(&["--prefix", "day=1/"]), "bad_number no_time");
    assert_eq!(reasons(&["--object", "day=2/b"]), "columns");
    assert_eq!(reasons(&["--object", "day=2/b", "--prefix", "day=1/"]), "bad_number columns no_time");
    assert_eq!(reasons(&["--object", "it's"]), "");
    assert_eq!(reasons(&["--reason", "no_time", "--reason", "columns"]), "columns no_time");
    assert_eq!(reasons(&["--source", "other"]), "");
    assert_eq!(reasons(&["--from", "2099-01-01"]), "");
    assert_eq!(reasons(&["--from", "2020-01-01", "--to", "2099-01-01"]), "bad_number columns no_time");
    assert!(json(&["--samples", "0"])["samples"].as_array().unwrap().is_empty());
    let nothing = shell.run(&["rejects", "--reason", "keys"]);
    assert_eq!(nothing.all(), "exit 0\n--- stdout\nRejects: none\n");
    assert_eq!(shell.run(&["rejects", "--reason", "nothing"]).code, 2);
}
