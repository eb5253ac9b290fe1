//! The bill from a bucket is the bill from folders: run once or twice, many objects, strange keys, several at once, killed.

use std::time::Duration;

use super::{BUCKET, Cloud, Wrong, bill_in_folders, ran};
use crate::lab::{Call, Hit, Key, Lab, at, envelopes, lines};
use crate::shell::gz;

/// Both logs over two days, with duplicates, a conflict, a reject and a key that nobody owns.
pub(super) fn busy() -> Lab {
    let lab = Lab::new();
    for n in 0..4_i64 {
        let key = [Key::Acme, Key::Beta, Key::Nobody][(n % 3) as usize];
        let mut calls: Vec<String> = (0..6).map(|k| Call::new(at(n % 2, 9, n * 100 + k), key).line()).collect();
        calls.push(Call::new(at(n % 2, 9, (n + 2) % 4 * 100), key).line());
        if n == 3 {
            calls.push(Call { bytes: 1, ..Call::new(at(1, 9, 300), key) }.line());
            calls.push("no record".to_owned());
        }
        lab.origin(&format!("2026/o{n}"), envelopes(&calls, 4));
        let hits: Vec<String> = (0..4).map(|k| Hit::new(at(n % 2, 9, n / 2 * 100 + k), key).line()).collect();
        lab.edge(&format!("2026/e{n}.gz"), gz(&lines(&hits)));
    }
    lab
}

#[test]
fn the_bill_from_a_bucket_is_the_bill_from_folders() {
    let (lab, cloud) = (busy(), Cloud::new(BUCKET));
    cloud.upload(&lab);
    let expected = bill_in_folders(&lab);
    assert!(expected.contains("charged,2026-10-05,acme,calls"), "{expected}");
    cloud.run();
    assert_eq!(cloud.bill(), expected);
    if let Some(server) = &cloud.server {
        server.asked();
    }
    let before = cloud.keys("lake/");
    let said = cloud.run().out;
    assert!(said.contains("Nothing is new"), "{said}");
    assert_eq!(cloud.keys("lake/"), before);
    if let Some(server) = &cloud.server {
        let writes: Vec<String> = server.asked().into_iter().filter(|asked| !asked.starts_with(['G', 'H'])).collect();
        assert!(writes.is_empty(), "a run that finds nothing new writes nothing: {writes:?}");
    }
    assert_eq!(cloud.bill(), expected);
    let verified = cloud.meterlake(&["verify"]);
    assert_eq!(verified.code, 0, "{}", verified.all());
}

/// A page of S3 holds 1000 keys.
#[test]
fn more_objects_than_fit_on_a_page() {
    let (lab, cloud) = (Lab::new(), Cloud::new(BUCKET));
    for n in 0..1_040 {
        lab.origin(&format!("2026/{n:04}"), lines(&[Call::new(at(0, 9, n), Key::Acme).line()]));
    }
    cloud.upload(&lab);
    cloud.run();
    let counted =
        cloud.meterlake(&["query", "--format", "csv", "SELECT count(*) AS n, sum(records) AS r FROM objects"]);
    assert_eq!(counted.out.lines().nth(1), Some("1040,1040"), "{}", counted.all());
    // 5 free, 7 at 0.04, the rest at 0.02.
    let amount = cloud.meterlake(&["query", "--format", "csv", "SELECT sum(amount) AS a FROM charges_daily"]);
    assert_eq!(amount.out.lines().nth(1), Some("20.840000000"), "{}", amount.all());
    assert!(cloud.run().out.contains("Nothing is new"));
}

/// Keys are any text. Before, one with `//` in it stopped the listing, and a `/` at its end was lost.
#[test]
fn keys_of_every_kind_are_read() {
    let (lab, cloud) = (Lab::new(), Cloud::new(BUCKET));
    cloud.upload(&lab);
    let mut keys = vec!["day=5/a b", "a+b", "c%41", "e%2Fe", "é/ü 文", "q?x=1&y=2", "semi;colon,'\"<>", "a/b"];
    if cloud.server.is_some() {
        // A server that keeps keys as paths of files has no such keys.
        keys.extend(["a//b", "/lead", "deep///er/x", "trail/", "\u{E000}/x"]);
    }
    for (n, key) in (0..).zip(&keys) {
        cloud.put(&format!("landing/origin/{key}"), lines(&[Call::new(at(0, 9, n), Key::Acme).line()]));
    }
    // Names that begin with a dot or an underscore are not landing objects; an object that is the folder itself holds nothing.
    cloud.put("landing/origin/_tmp/x", "no record\n");
    cloud.put("landing/edge/", "");
    cloud.run();
    let sql = "SELECT source_object, records FROM objects WHERE state = 'applied' ORDER BY source_object";
    let found = cloud.meterlake(&["query", "--format", "json", sql]);
    let found: serde_json::Value = serde_json::from_str(&found.out).unwrap();
    let found: Vec<(String, u64)> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["source_object"].as_str().unwrap().to_owned(), row["records"].as_u64().unwrap()))
        .collect();
    let mut expected: Vec<(String, u64)> = keys.iter().map(|key| ((*key).to_owned(), 1)).collect();
    expected.sort();
    assert_eq!(found, expected);
    assert!(cloud.run().out.contains("Nothing is new"));
    assert_eq!(cloud.meterlake(&["verify"]).code, 0);
}

#[test]
fn two_builds_of_two_processes_both_succeed() {
    let (lab, cloud) = (busy(), Cloud::new(BUCKET));
    cloud.upload(&lab);
    let expected = bill_in_folders(&lab);
    assert!(cloud.meterlake(&["convert"]).code < 2);
    if let Some(server) = &cloud.server {
        // Each holds the other up at its commits.
        server.fail("PUT", "_delta_log/00000000000000000001.json", (0, 6), Wrong::Late(Duration::from_millis(400)));
    }
    for child in [cloud.start(&["build"]), cloud.start(&["build"])] {
        let ran = ran(child);
        assert!(ran.code < 2, "{}", ran.all());
    }
    assert_eq!(cloud.bill(), expected);
    cloud.run();
    assert_eq!(cloud.bill(), expected);
}

#[test]
fn two_runs_of_two_processes_on_an_empty_prefix_both_succeed() {
    let (lab, cloud) = (busy(), Cloud::new(BUCKET));
    cloud.upload(&lab);
    let expected = bill_in_folders(&lab);
    for child in [cloud.start(&["run"]), cloud.start(&["run"])] {
        let ran = ran(child);
        assert!(ran.code < 2, "{}", ran.all());
    }
    assert_eq!(cloud.bill(), expected);
}

/// Seen to fail where a receipt was written before the files it names.
#[test]
fn killed_in_the_middle_and_run_again() {
    let Some(cloud) = Cloud::going_wrong() else { return };
    let lab = busy();
    let points = ["receipts/origin", "origin_requests/day", "objects/_delta_log/00000000000000000001"];
    let lakes = points.map(|point| (point, cloud.beside()));
    lakes.iter().for_each(|(_, lake)| lake.upload(&lab));
    let expected = bill_in_folders(&lab);
    for (point, lake) in lakes {
        // The process dies while it waits for the reply to this write, which is never done.
        cloud.server().fail("PUT", point, (0, 1), Wrong::Late(Duration::from_secs(30)));
        let mut child = lake.start(&["run"]);
        cloud.server().wait();
        child.kill().unwrap();
        child.wait().unwrap();
        cloud.server().behave();
        lake.run();
        assert_eq!(lake.bill(), expected, "killed at {point}");
    }
}
