//! What comes late or changes: it changes what it must, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::lab::{Call, Hit, Key, Lab, assert_same, at, envelopes, lines};
use super::shell::gz;

/// Acme's calls on a day, one a minute from nine.
fn calls(day: i64, count: i64) -> Vec<String> {
    (0..count).map(|n| Call::new(at(day, 9, n * 60_000), Key::Acme).line()).collect()
}

/// The days of a table's files that are not the same as before.
fn days_changed(before: &BTreeMap<&str, (u64, Vec<String>)>, lab: &Lab, table: &str) -> Vec<String> {
    let after = &lab.tables()[table].1;
    let (old, new): (BTreeSet<&String>, BTreeSet<&String>) = (before[table].1.iter().collect(), after.iter().collect());
    let days: BTreeSet<&str> = old.symmetric_difference(&new).map(|path| path.split('/').next().unwrap()).collect();
    days.into_iter().map(str::to_owned).collect()
}

#[test]
fn a_late_record_changes_its_day_and_the_later_tiers_of_its_month() {
    let lab = Lab::new();
    // Three a day: the free tier ends with the second day, the next with the fourth. November is another month.
    for day in [0, 1, 3, 21, 28] {
        lab.origin(&format!("day-{day}"), lines(&calls(day, 3)));
        lab.edge(&format!("day-{day}.gz"), gz(&lines(&[Hit::new(at(day, 9, 0), Key::Beta).line()])));
    }
    lab.run();
    let before = lab.tables();
    // Arrives 20 days after it happened, on the second day.
    lab.origin("late", lines(&[Call::new(at(1, 12, 0), Key::Acme).line()]));
    let built = lab.run_and_tell();
    let changed = |table: &str| days_changed(&before, &lab, table);
    assert_eq!(changed("origin_requests"), ["day=2026-10-06"]);
    assert_eq!(changed("usage_slots"), ["day=2026-10-06"]);
    assert_eq!(changed("usage_daily"), ["day=2026-10-06"]);
    // 3 + 4 calls by then: the later days of October are priced higher up; those before and November's are not touched.
    assert_eq!(changed("charges_daily"), ["day=2026-10-06", "day=2026-10-08", "day=2026-10-26"]);
    assert_eq!(built["charges_daily"], ["2026-10-06", "2026-10-08", "2026-10-26"]);
    assert_eq!(built["usage_daily"], ["2026-10-06"]);
    assert_eq!(built["usage_slots"], ["origin/2026-10-06T12"]);
    for table in ["edge_requests", "customers", "api_keys", "prices", "price_matches", "rejects"] {
        assert_eq!(lab.tables()[table], before[table], "{table}");
    }
    // October: 13 calls = 5 free, 7 at 0.04, 1 at 0.02. November: 3 free. Five downloads are beta's.
    assert_eq!(lab.bill("acme"), ["calls,16,0.300000000"]);
    lab.verified();
}

#[test]
fn a_new_owner_of_a_held_key_gets_its_past_usage_and_nothing_else_is_built() {
    let lab = Lab::new();
    lab.origin("acme", lines(&[calls(0, 2), calls(1, 2), calls(2, 2)].concat()));
    let held: Vec<String> = (0..7).map(|n| Call::new(at(1, 9, n * 1_000 + 1), Key::Nobody).line()).collect();
    lab.origin("held", lines(&held));
    lab.run();
    assert_eq!(lab.fates("calls"), ["mapped,6", "unmapped,7"]);
    let before = lab.tables();
    lab.write("customers.csv", "customer_id,name,plan,valid_from,valid_to\nacme,Acme,pro,2026-01-01,\nbeta,Beta,pro,2026-01-01,\nnew,New,pro,2026-01-01,\n");
    lab.own(&[("acme", Key::Acme), ("beta", Key::Beta), ("new", Key::Nobody)]);
    let parts = || lab.query("SELECT table_name, part, inputs, config FROM built");
    let parts_before = parts();
    let built = lab.run_and_tell();
    // Nor is it looked at: what the other days were made from is what it was.
    let others = parts().into_iter().filter(|row| !parts_before.contains(row));
    let names: BTreeSet<String> = others.map(|row| row.split(',').take(2).collect::<Vec<_>>().join(" ")).collect();
    let expected = [
        "api_keys all",
        "charges_daily 2026-10",
        "customers all",
        "usage_daily 2026-10-06",
        "usage_daily configuration",
    ];
    assert_eq!(names.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    let tables: Vec<&str> = built.keys().map(String::as_str).collect();
    assert_eq!(tables, ["api_keys", "charges_daily", "customers", "usage_daily"]);
    assert_eq!(built["usage_daily"], ["2026-10-06"]);
    assert_eq!(built["charges_daily"], ["2026-10-06"]);
    for table in ["origin_requests", "edge_requests", "usage_slots", "coverage_hourly", "objects", "object_hours"] {
        assert_eq!(lab.tables()[table], before[table], "{table}");
    }
    assert_eq!(lab.fates("calls"), ["mapped,13"]);
    // 5 free, 2 at 0.04.
    assert_eq!(lab.bill("new"), ["calls,7,0.080000000"]);
    assert_eq!(lab.bill("acme"), ["calls,6,0.040000000"]);
}

#[test]
fn a_wrong_key_setting_is_repaired_by_rebuild() {
    let lab = Lab::new();
    for day in 0..2 {
        let hits: Vec<String> = (0..3).map(|n| Hit::new(at(day, 9, n), Key::Acme).line()).collect();
        // The second object of a day gives again what the first gave, and a record of its own.
        let own = Hit::new(at(day, 10, 0), Key::Beta).line();
        lab.edge(&format!("{day}/a.gz"), gz(&lines(&hits)));
        lab.edge(&format!("{day}/b.gz"), gz(&lines(&[hits[0].clone(), own, "no record".to_owned()])));
    }
    let right = lab.twin("right");
    right.run();
    lab.configure("header = \"x-api-key\"", "header = \"x-apikey\"");
    lab.run();
    assert_eq!(lab.fates("egress"), ["anonymous,8"]);
    lab.configure("header = \"x-apikey\"", "header = \"x-api-key\"");
    // The right setting alone changes nothing that is there.
    lab.meterlake(&["run", "--accept-config"]);
    assert_eq!(lab.fates("egress"), ["anonymous,8"]);
    // One day, then the other.
    for (from, to) in [("2026-10-05", "2026-10-06"), ("2026-10-06", "2026-10-07")] {
        let ran = lab.meterlake(&["rebuild", "--from", from, "--to", to]);
        assert_eq!(ran.code, 0, "{}", ran.all());
    }
    assert_same("rebuilt", &lab.facts(), &right.facts());
    assert_eq!(lab.bill("acme"), ["egress,6000,0.006000000"]);
    assert_eq!(lab.query("SELECT COUNT(*) AS n FROM rejects"), ["2"]);
    lab.verified();
    // Staged files that were deleted are made again.
    fs::remove_dir_all(lab.path("staged")).unwrap();
    let ran = lab.meterlake(&["rebuild", "--from", "2026-10-01", "--to", "2026-11-01"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert_same("rebuilt again", &lab.facts(), &right.facts());
    // Where an object is gone, nothing is done by halves.
    fs::remove_file(lab.landing("edge/1/a.gz")).unwrap();
    let before = lab.facts();
    let ran = lab.meterlake(&["rebuild", "--from", "2026-10-01", "--to", "2026-11-01"]);
    assert!(ran.code == 2 && ran.err.contains("1/a.gz"), "{}", ran.all());
    assert_same("refused", &lab.facts(), &before);
}

/// Staging logs landed by mistake, one record of which production delivered as well.
fn with_staging_logs(keep_staged: bool) {
    let lab = Lab::new();
    let right = lab.apart("right");
    let production = calls(0, 6);
    let staging: Vec<String> = (0..5).map(|n| Call::new(at(0, 9, 1_000 + n), Key::Acme).line()).collect();
    let elsewhere = Call::new(at(3, 9, 0), Key::Acme).line();
    let conflict = Call { bytes: 9, ..Call::new(at(0, 9, 0), Key::Acme) }.line();
    lab.origin("production/a", envelopes(&production, 4));
    right.origin("production/a", envelopes(&production, 4));
    // An hour that only they had, a conflict with an event of production, a reject.
    let logs = [&staging[..], &[production[1].clone(), elsewhere, conflict, "no record".to_owned()]].concat();
    lab.origin("staging/b", lines(&logs));
    lab.origin("staging/c", lines(&staging));
    lab.run();
    right.run();
    assert_eq!(lab.fates("calls"), ["conflict,1", "mapped,12"]);
    if !keep_staged {
        fs::remove_dir_all(lab.path("staged")).unwrap();
    }
    let ran = lab.meterlake(&["retract", "staging/", "--reason", "staging logs"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert_same("retracted", &lab.facts(), &right.facts());
    let ledger = "SELECT source_object, state, reason FROM objects ORDER BY source_object";
    let expected = ["production/a,applied,", "staging/b,retracted,staging logs", "staging/c,retracted,staging logs"];
    assert_eq!(lab.query(ledger), expected);
    assert_eq!(lab.query("SELECT COUNT(*) AS n FROM rejects"), ["0"]);
    // They are not converted again.
    let before = lab.files();
    let ran = lab.run();
    assert!(ran.out.contains("Nothing is new"), "{}", ran.all());
    assert!(before == lab.files(), "a run after the retraction changed the lake");
    lab.verified();
}

#[test]
fn retracted_objects_leave_the_bill_but_not_what_others_delivered_too() {
    with_staging_logs(true);
}

#[test]
fn a_retraction_does_without_expired_staged_files() {
    with_staging_logs(false);
}

#[test]
fn a_new_version_of_an_object_takes_the_place_of_the_old() {
    let lab = Lab::new();
    let (old, other) = (calls(0, 4), calls(1, 2));
    lab.origin("a", lines(&old));
    lab.origin("b", lines(&[&old[..1], &other].concat()));
    lab.run();
    assert_eq!(lab.bill("acme"), ["calls,6,0.040000000"]);
    // The new version lacks three records of the old, one of which `b` gave too; and staged files have expired.
    fs::remove_dir_all(lab.path("staged")).unwrap();
    let new = [&old[1..2], &calls(2, 1)].concat();
    lab.origin("a", lines(&new));
    lab.run();
    let right = lab.twin("right");
    right.run();
    assert_same("replaced", &lab.facts(), &right.facts());
    assert_eq!(lab.bill("acme"), ["calls,5,0.000000000"]);
    let states = lab.query("SELECT source_object, state FROM objects ORDER BY source_object, state");
    assert_eq!(states, ["a,applied", "a,superseded", "b,applied"]);
    lab.verified();
    // Twice rewritten between a conversion and a build: only what is there now counts.
    for content in [&old[..], &calls(3, 2)] {
        lab.origin("a", lines(content));
        let ran = lab.meterlake(&["convert"]);
        assert_eq!(ran.code, 0, "{}", ran.all());
    }
    lab.run();
    let right = lab.twin("right again");
    right.run();
    assert_same("replaced twice", &lab.facts(), &right.facts());
}

#[test]
fn an_old_version_that_comes_back_counts_again() {
    let lab = Lab::new();
    let object = lab.landing("origin/a");
    let aside = lab.landing("aside");
    lab.origin("a", lines(&calls(0, 4)));
    lab.run();
    let first = lab.facts();
    // Moved away and back: the very same file again, and so the same version to the store.
    fs::rename(&object, &aside).unwrap();
    lab.origin("a", lines(&calls(0, 7)));
    lab.run();
    assert_eq!(lab.bill("acme"), ["calls,7,0.080000000"]);
    fs::rename(&aside, &object).unwrap();
    lab.run();
    assert_same("back", &lab.facts(), &first);
    lab.verified();
}

#[test]
fn a_half_copied_object_is_read_when_it_is_whole() {
    let lab = Lab::new();
    let whole = gz(&lines(&calls(0, 40)));
    lab.origin("a.gz", &whole[..whole.len() / 2]);
    lab.origin("b", lines(&calls(1, 2)));
    let ran = lab.run();
    assert!(ran.code == 1 && ran.err.contains("a.gz"), "{}", ran.all());
    assert_eq!(lab.query("SELECT COUNT(*) AS n FROM origin_requests"), ["2"]);
    assert_eq!(lab.query("SELECT source_object FROM objects"), ["b"]);
    lab.origin("a.gz", &whole);
    assert_eq!(lab.run().code, 0);
    assert_eq!(lab.query("SELECT COUNT(*) AS n FROM origin_requests"), ["42"]);
    lab.verified();
}

#[test]
fn a_receipt_of_an_older_version_that_stayed_behind_is_not_applied() {
    let lab = Lab::new();
    let receipt = || {
        let paths = lab.files().into_keys().filter(|path| path.starts_with("receipts"));
        paths.map(|path| lab.path(path.to_str().unwrap())).collect::<Vec<_>>()
    };
    lab.origin("a", lines(&calls(0, 4)));
    assert_eq!(lab.meterlake(&["convert"]).code, 0);
    let old: Vec<_> = receipt().into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    lab.origin("a", lines(&calls(0, 2)));
    assert_eq!(lab.meterlake(&["convert"]).code, 0);
    // The older receipt stays for the build, with a note that it shall not be applied.
    assert_eq!((receipt().len(), lab.files_below("withdrawals").len()), (2, 1));
    // As a convert leaves it that is killed before it writes the note, or that is overtaken by another.
    fs::remove_dir_all(lab.path("withdrawals")).unwrap();
    let put_back = || old.iter().for_each(|(bytes, path)| fs::write(path, bytes).unwrap());
    lab.run();
    assert_eq!(lab.query("SELECT COUNT(*) AS n FROM origin_requests"), ["2"]);
    put_back();
    lab.run();
    assert_eq!(lab.query("SELECT COUNT(*) AS n FROM origin_requests"), ["2"]);
    assert_eq!(lab.query("SELECT state, records FROM objects"), ["applied,2"]);
    // A build knows of no listing: it applies one of the two, and the next run puts it right.
    lab.origin("a", lines(&calls(1, 3)));
    assert_eq!(lab.meterlake(&["convert"]).code, 0);
    put_back();
    assert_eq!(lab.meterlake(&["build"]).code, 0);
    let built = lab.query("SELECT COUNT(*) AS n FROM origin_requests");
    assert!(built == ["3"] || built == ["4"], "{built:?}");
    lab.run();
    assert_eq!(lab.query("SELECT COUNT(*) AS n FROM origin_requests"), ["3"]);
    lab.verified();
}
