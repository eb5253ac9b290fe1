//! Killed at any point and run again, or run several times at once: the lake is that of one undisturbed run.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::lab::{Call, Hit, Key, Lab, assert_same, at, envelopes, lines};
use super::shell::gz;

/// Many small objects of both logs over two days, with duplicates, conflicts and rejects, and one that is rewritten later.
fn busy() -> Lab {
    let lab = Lab::new();
    for n in 0..12_i64 {
        let (day, hour) = (n % 2, 9 + n % 3);
        let key = [Key::Acme, Key::Beta, Key::Nobody][(n % 3) as usize];
        let mut calls: Vec<String> = (0..6).map(|k| Call::new(at(day, hour, n * 100 + k), key).line()).collect();
        // The next object of that hour has this one too.
        calls.push(Call::new(at(day, hour, (n + 6) % 12 * 100), key).line());
        if n == 3 {
            calls.push(Call { bytes: 1, ..Call::new(at(day, hour, 300), key) }.line());
            calls.push("no record".to_owned());
        }
        lab.origin(&format!("o{n}"), envelopes(&calls, 4));
        let hits: Vec<String> = (0..4).map(|k| Hit::new(at(day, hour, n / 2 * 100 + k), key).line()).collect();
        lab.edge(&format!("e{n}.gz"), gz(&lines(&hits)));
    }
    lab
}

/// Waits for the end, or kills (SIGKILL) when the time is over. Whether it was killed.
fn killed_after(lab: &Lab, arguments: &[&str], delay: Duration) -> bool {
    let mut child = lab.start(arguments);
    let began = Instant::now();
    while began.elapsed() < delay {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.code().is_some_and(|code| code < 2), "{:?}", child.wait_with_output());
            return false;
        }
        sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    true
}

/// Runs to the end; then a further run finds nothing to do, and the recount agrees.
fn settles(lab: &Lab) {
    lab.run();
    let before = lab.files();
    let said = lab.run().out;
    assert!(said.contains("Nothing is new"), "{said}");
    assert!(before == lab.files(), "a further run changed the lake");
    lab.verified();
}

/// Delays that are spread over a time and are not the same in every test: steps of the golden section.
fn delays(first: u32, over: Duration) -> impl Iterator<Item = Duration> {
    (first..).map(move |n| over.mul_f64((f64::from(n) * 0.618_033_988_75).fract()))
}

#[test]
fn killed_at_any_time_and_run_again_the_lake_is_that_of_one_run() {
    let lab = busy();
    let began = Instant::now();
    lab.run();
    let whole_run = began.elapsed();
    let expected = lab.whole();
    let mut killed = 0;
    let mut delays = delays(1, whole_run);
    for round in 0..5 {
        let name = format!("killed{round}");
        let disturbed = lab.twin(&name);
        for delay in delays.by_ref().take(5) {
            killed += u32::from(killed_after(&disturbed, &["run"], delay));
        }
        settles(&disturbed);
        assert_same(&name, &disturbed.whole(), &expected);
        assert!(disturbed.missing_files().0.is_empty());
    }
    assert!(killed >= 3, "only {killed} runs were killed before their end");
}

#[test]
fn killed_while_a_new_version_replaces_an_old_one_nothing_of_the_old_stays() {
    let lab = busy();
    let right = lab.twin("right");
    let before: Vec<Lab> = (0..3).map(|n| lab.twin(&format!("killed{n}"))).collect();
    before.iter().for_each(|lab| drop(lab.run()));
    // Half of the records go, one hour is left empty, another begins.
    for n in [0, 3, 4] {
        lab.origin(&format!("o{n}"), lines(&[Call::new(at(1, 20, n), Key::Acme).line()]));
    }
    let began = Instant::now();
    right.run();
    let whole_run = began.elapsed();
    let expected = right.facts();
    let mut delays = delays(100, whole_run);
    for disturbed in before {
        for delay in delays.by_ref().take(4) {
            killed_after(&disturbed, &["run"], delay);
        }
        settles(&disturbed);
        assert_same("replaced under fire", &disturbed.facts(), &expected);
    }
}

/// Starts commands at once and waits for all.
fn at_once(lab: &Lab, commands: &[&[&str]]) {
    let started: Vec<_> = commands.iter().map(|arguments| lab.start(arguments)).collect();
    for child in started {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code().is_some_and(|code| code < 2), "{:?}: {said}", output.status);
    }
}

#[test]
fn several_runs_at_once_end_as_one() {
    let lab = busy();
    lab.run();
    let expected = lab.whole();
    let two: &[&[&str]] = &[&["run"], &["run"]];
    let four: &[&[&str]] = &[&["run"], &["run"], &["run"], &["run"]];
    for (round, commands) in [two, two, four].into_iter().enumerate() {
        let name = format!("together{round}");
        let shared = lab.twin(&name);
        at_once(&shared, commands);
        settles(&shared);
        assert_same(&name, &shared.whole(), &expected);
        assert!(shared.missing_files().0.is_empty());
    }
}

#[test]
fn several_builds_at_once_end_as_one() {
    let lab = busy();
    lab.run();
    let expected = lab.whole();
    let shared = lab.twin("builds");
    let ran = shared.meterlake(&["convert"]);
    // The logs hold a record that cannot be read: done, with something to look at.
    assert_eq!(ran.code, 1, "{}", ran.all());
    at_once(&shared, &[&["build"], &["build"], &["build"]]);
    assert_same("builds", &shared.whole(), &expected);
    settles(&shared);
}
