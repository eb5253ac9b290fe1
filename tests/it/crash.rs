//! Killed at any point and run again, or run several times at once: the lake is that of one undisturbed run.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use meterlake::job::{Progress, amend};

use super::lab::{Call, Hit, Key, Lab, assert_same, at, block_on, envelopes, lines};
use super::shell::gz;

/// Many small objects of both logs over three hours, with duplicates, conflicts and rejects, and one that is rewritten later.
fn busy() -> Lab {
    let lab = Lab::new();
    for n in 0..12_i64 {
        let (day, hour) = [(0, 9), (0, 10), (1, 9)][(n % 3) as usize];
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

/// Fractions of a run's length: spread by the golden section, more of them early, where each step is short.
fn fractions(first: u32) -> impl Iterator<Item = f64> {
    (first..).map(|n| (f64::from(n) * 0.618_033_988_75).fract().powi(2))
}

/// Kills run after run at other points, until one gets to its end. How many were killed.
fn killed_often(lab: &Lab, whole_run: Duration, fractions: &mut impl Iterator<Item = f64>) -> usize {
    fractions.take(6).take_while(|fraction| killed_after(lab, &["run"], whole_run.mul_f64(*fraction))).count()
}

#[test]
fn killed_at_any_time_and_run_again_the_lake_is_that_of_one_run() {
    let lab = busy();
    let began = Instant::now();
    lab.run();
    let whole_run = began.elapsed();
    let expected = lab.whole();
    let mut fractions = fractions(1);
    let mut killed = 0;
    for round in 0..5 {
        let name = format!("killed{round}");
        let disturbed = lab.twin(&name);
        killed += killed_often(&disturbed, whole_run, &mut fractions);
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
    // Some records go, one hour is left empty, another begins.
    for n in [0, 2, 5, 8, 11] {
        lab.origin(&format!("o{n}"), lines(&[Call::new(at(1, 20, n), Key::Acme).line()]));
    }
    let began = Instant::now();
    right.run();
    let whole_run = began.elapsed();
    let expected = right.facts();
    let mut fractions = fractions(100);
    for disturbed in before {
        killed_often(&disturbed, whole_run, &mut fractions);
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
    for (round, commands) in [two, four, two].into_iter().enumerate() {
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

/// Lets another process run to its end at the moment in which a job knows what to unite, but has not begun.
struct Interrupted {
    command: Box<dyn Fn() + Send + Sync>,
    done: AtomicBool,
}

impl Progress for Interrupted {
    fn begin(&self, what: &str, _total: u64) {
        if what == "unite" && !self.done.swap(true, Ordering::Relaxed) {
            (self.command)();
        }
    }
    fn step(&self) {}
    fn end(&self) {}
}

#[test]
fn an_hour_made_anew_loses_nothing_that_another_build_adds_meanwhile() {
    let lab = Lab::new();
    let right = lab.twin("right");
    let call = |n: i64| Call::new(at(0, 9, n), Key::Acme).line();
    lab.origin("kept", lines(&[call(0), call(1)]));
    lab.origin("staging/x", lines(&[call(2), call(3)]));
    lab.run();
    // While the retraction is under way a new object of the same hour lands, and somebody else's run takes it in.
    let landed: PathBuf = lab.landing("origin/new");
    let content = lines(&[call(4), call(5)]);
    let run = std::sync::Mutex::new(lab.command(&["run"]));
    let command = move || {
        std::fs::write(&landed, &content).unwrap();
        let output = run.lock().unwrap().output().unwrap();
        assert!(output.status.code().is_some_and(|code| code < 2), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let progress = Interrupted { command: Box::new(command), done: AtomicBool::new(false) };
    block_on(async { amend::retract(&lab.job().await, "staging/", "by mistake", &progress).await.unwrap() });
    assert!(progress.done.into_inner());
    lab.run();
    let expected = ["origin/kept", "origin/new"];
    assert!(expected.iter().all(|key| right.landing(key).exists()));
    std::fs::remove_dir_all(lab.landing("origin/staging")).unwrap();
    right.run();
    assert_same("retracted beside a run", &lab.facts(), &right.facts());
}
