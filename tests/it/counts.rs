//! Requests counted elsewhere: an hour with fewer in the logs is a gap, is shown, stands against a close, and is none any
//! more once the records have come. The counts come from a file here; `tests/aws/counts.py` asks a CloudWatch for them.

use std::fs;

use insta::assert_snapshot;
use serde_json::Value;

use super::lab::{Call, Key, Lab, at, lines};

/// Calls `from..to`, one a second from an hour's begin on 2026-10-05.
fn calls(hour: i64, numbers: std::ops::Range<i64>) -> Vec<u8> {
    let records: Vec<String> = numbers.map(|n| Call::new(at(0, hour, n * 1_000), Key::Acme).line()).collect();
    lines(&records)
}

/// 100 calls from 10:00, 50 from 12:00.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.origin("a", [calls(10, 0..100), calls(12, 0..50)].concat());
    lab.run();
    lab
}

/// Puts the counts of hours of 2026-10-05 into the lake.
fn count(lab: &Lab, hours: &[(&str, &str)]) -> (i32, String) {
    let rows = hours.iter().map(|(hour, requests)| format!("origin,2026-10-05T{hour},{requests}\n"));
    lab.write("counts.csv", format!("source,hour,requests\n{}", rows.collect::<String>()));
    let ran = lab.meterlake(&["counts", "--file", "counts.csv"]);
    assert!(ran.code < 2, "{}", ran.all());
    (ran.code, ran.out)
}

fn states(lab: &Lab) -> Vec<String> {
    lab.query(
        "SELECT hour_start, expected, events, state FROM coverage_hourly WHERE source = 'origin' ORDER BY hour_start",
    )
}

#[test]
fn an_hour_with_fewer_requests_than_counted_is_a_gap_until_they_come() {
    let lab = lab();
    // Of 103 requests 3 are missing, where 1.03, rounded up, are tolerated; of 51 one. At 13:00 all nine are.
    let (code, out) = count(&lab, &[("10", "103"), ("12", "51"), ("13", "9")]);
    assert_eq!(code, 1);
    assert_snapshot!(out, @"
    Counted
      source  hours  requests
      origin      3       163

    Built
      table            rebuilt
      coverage_hourly  2026-10-05

    Fewer requests than were counted
      source  hour           expected  found  missing
      origin  2026-10-05T10       103    100        3
      origin  2026-10-05T13         9      0        9
    ");
    assert_eq!(
        states(&lab),
        [
            "2026-10-05T10:00:00Z,103,100,gap",
            "2026-10-05T11:00:00Z,,0,quiet",
            "2026-10-05T12:00:00Z,51,50,ok",
            "2026-10-05T13:00:00Z,9,0,gap",
        ]
    );
    let status: Value = serde_json::from_str(&lab.meterlake(&["status", "--json"]).out).unwrap();
    let hours = &status["coverage"][0];
    assert_eq!((&hours["gaps"], &hours["missing"]), (&Value::from(2), &Value::from(12)));

    // Again, and after a run: the same, and not a byte is written.
    let files = lab.files_below("tables");
    assert_eq!(count(&lab, &[("10", "103"), ("12", "51"), ("13", "9")]).0, 1);
    lab.run();
    assert_eq!(lab.files_below("tables"), files);

    lab.origin("late", [calls(10, 100..103), calls(13, 0..9)].concat());
    lab.run();
    assert_eq!(count(&lab, &[("10", "103"), ("12", "51"), ("13", "9")]).0, 0);
    assert!(states(&lab).iter().all(|row| !row.ends_with("gap")));
}

#[test]
fn a_day_is_counted_anew_and_others_stay() {
    let lab = lab();
    count(&lab, &[("10", "200"), ("12", "200")]);
    lab.write("more.csv", "source,hour,requests\norigin,2026-10-06T10,5\n");
    assert_eq!(lab.meterlake(&["counts", "--file", "more.csv"]).code, 1);
    // The day is told of whole: what the file leaves out, or has no number for, is not known any more.
    let (code, out) = count(&lab, &[("10", "100"), ("12", "")]);
    assert!(code == 1 && out.contains("2026-10-06T10"), "the other day still lacks its five: {out}");
    let counts = lab.query("SELECT hour_start, source, requests, counted_by FROM request_counts ORDER BY hour_start");
    assert_eq!(counts, ["2026-10-05T10:00:00Z,origin,100,file", "2026-10-06T10:00:00Z,origin,5,file"]);
    assert_eq!(states(&lab)[2], "2026-10-05T12:00:00Z,,50,ok");
    // A day without any is as if nobody had ever counted it.
    lab.write("none.csv", "source,hour,requests\norigin,2026-10-06T10,\n");
    assert_eq!(lab.meterlake(&["counts", "--file", "none.csv"]).code, 0);
    assert!(states(&lab).iter().all(|row| !row.starts_with("2026-10-06")));
}

#[test]
fn how_many_may_be_missing_is_a_setting() {
    let lab = lab();
    assert_eq!(count(&lab, &[("10", "103"), ("12", "51")]).0, 1);
    lab.configure("[[source]]\nname = \"origin\"", "[[source]]\nname = \"origin\"\nshortfall_max_per_mille = 30");
    // 3.09, rounded up, of 103.
    assert_eq!(lab.run_and_tell().into_keys().collect::<Vec<_>>(), ["coverage_hourly"]);
    assert!(states(&lab).iter().all(|row| !row.ends_with("gap")));
    lab.configure("shortfall_max_per_mille = 30", "shortfall_max_per_mille = 0");
    lab.run();
    assert_eq!(states(&lab).iter().filter(|row| row.ends_with("gap")).count(), 2);
}

#[test]
fn a_gap_stands_against_a_close() {
    let lab = lab();
    lab.own(&[("acme", Key::Acme)]);
    count(&lab, &[("10", "103"), ("13", "9")]);
    let preview = lab.meterlake(&["invoice", "2026-10"]);
    let close = lab.meterlake(&["invoice", "2026-10", "--close"]);
    assert_eq!(close.code, 2);
    for said in [preview.all(), close.all()] {
        let reason = "2 hours of origin have fewer requests than were counted elsewhere, 12 in all, the first is 2026-10-05T10:00:00Z";
        assert!(said.contains(reason), "{said}");
    }
    let accepted = lab.meterlake(&["invoice", "2026-10", "--close", "--accept", "the API was down"]);
    assert_eq!(accepted.code, 0, "{}", accepted.all());
}

#[test]
fn without_counts_and_with_wrong_ones_nothing_changes() {
    let lab = lab();
    let files = lab.files_below("tables");
    let ran = lab.meterlake(&["counts"]);
    assert!(ran.code == 2 && ran.err.contains("no source has `count`"), "{}", ran.all());
    lab.write(
        "counts.csv",
        "source,hour,requests\norigin,2026-10-05T10,12\norigin,2026-10-05 11,1\norigine,2026-10-05T12,1\n",
    );
    let ran = lab.meterlake(&["counts", "--file", "counts.csv"]);
    assert_snapshot!(ran.all(), @"
    exit 2
    --- stderr
    error: counts.csv:3: `hour`: `2026-10-05 11` is not an hour such as 2026-10-01T05
    counts.csv:4: unknown source `origine`; did you mean `origin`?
    ");
    assert_eq!(lab.files_below("tables"), files);
}

#[test]
fn a_lake_from_before_the_column_is_read_and_gets_it() {
    let lab = lab();
    // As an older version would have made it: without `expected`.
    let log = lab.path("tables/coverage_hourly/_delta_log/00000000000000000000.json");
    let text = fs::read_to_string(&log).unwrap();
    let without: Vec<String> = text.lines().map(without_expected).collect();
    assert_ne!(without.join("\n"), text.trim_end());
    fs::write(&log, without.join("\n") + "\n").unwrap();
    let status = lab.meterlake(&["status"]);
    assert!(status.code == 0 && status.out.contains("missing"), "{}", status.all());
    assert_eq!(count(&lab, &[("10", "103")]).0, 1);
    assert_eq!(states(&lab)[0], "2026-10-05T10:00:00Z,103,100,gap");
}

/// A line of the Delta log with that field taken out of the schema.
fn without_expected(line: &str) -> String {
    let mut action: Value = serde_json::from_str(line).unwrap();
    if let Some(schema) = action.pointer_mut("/metaData/schemaString") {
        let mut fields: Value = serde_json::from_str(schema.as_str().unwrap()).unwrap();
        fields["fields"].as_array_mut().unwrap().retain(|field| field["name"] != "expected");
        *schema = Value::from(fields.to_string());
    }
    action.to_string()
}
