//! Whatever goes wrong between us and S3: it is made up for, or told clearly; and the next run makes the undisturbed bill.

use std::time::Duration;

use super::whole::busy;
use super::{Cloud, Wrong, bill_in_folders};
use crate::lab::{Call, Key, Lab, at, lines};

/// What a run makes of a fault.
enum Then {
    /// Nothing of it is seen.
    Done,
    /// Some objects are left for the next run: exit 1, and these words are said.
    Look(&'static [&'static str]),
    /// It stops: exit 2, and these words are said.
    Stops(&'static [&'static str]),
}

struct Case {
    name: &'static str,
    method: &'static str,
    part: &'static str,
    /// How many such requests go well, and how many then do not.
    when: (u32, u32),
    wrong: Wrong,
    then: Then,
}

const FIRST: &str = "_delta_log/00000000000000000000.json";
const SECOND: &str = "_delta_log/00000000000000000001.json";
const ALL: u32 = u32::MAX;

/// Runs with each fault, then without, and compares the bills.
fn each(cases: &[Case]) {
    let Some(cloud) = Cloud::going_wrong() else { return };
    let lab = busy();
    let lakes: Vec<Cloud> = cases.iter().map(|_| cloud.beside()).collect();
    lakes.iter().for_each(|lake| lake.upload(&lab));
    let expected = bill_in_folders(&lab);
    for (case, lake) in cases.iter().zip(lakes) {
        let Case { name, method, part, when, wrong, then } = case;
        cloud.server().fail(method, *part, *when, *wrong);
        let ran = lake.meterlake(&["run"]);
        assert!(cloud.server().behave() > 0, "{name}: the fault was never met\n{}", ran.all());
        let words = match then {
            // The lab has held usage: a run of it that goes well needs a look.
            Then::Done => {
                assert_eq!(ran.code, 1, "{name}\n{}", ran.all());
                assert!(!ran.err.contains("caused by") && !ran.err.contains("tried again"), "{name}\n{}", ran.all());
                assert_eq!(lake.bill(), expected, "{name}: at once");
                &[][..]
            }
            Then::Look(words) => {
                assert_eq!(ran.code, 1, "{name}\n{}", ran.all());
                words
            }
            Then::Stops(words) => {
                assert_eq!(ran.code, 2, "{name}\n{}", ran.all());
                words
            }
        };
        for word in words {
            assert!(ran.err.contains(word), "{name}: nothing of `{word}`\n{}", ran.all());
        }
        if !matches!(then, Then::Done) {
            lake.run();
            assert_eq!(lake.bill(), expected, "{name}: afterwards");
        }
    }
}

fn case(name: &'static str, asked: (&'static str, &'static str), when: (u32, u32), wrong: Wrong, then: Then) -> Case {
    Case { name, method: asked.0, part: asked.1, when, wrong, then }
}

#[test]
fn what_passes_is_made_up_for() {
    let late = Wrong::Late(Duration::from_millis(700));
    each(&[
        case("500 to a receipt", ("PUT", "receipts/"), (0, 2), Wrong::Refused(500, "InternalError"), Then::Done),
        case("slow down", ("GET", "landing/"), (1, 3), Wrong::Refused(503, "SlowDown"), Then::Done),
        case("a body is cut", ("GET", "landing/origin/2026/o1"), (0, 1), Wrong::ReplyCut, Then::Done),
        case("a list is cut", ("GET", "list-type=2"), (2, 2), Wrong::ReplyCut, Then::Done),
        // Before, the rest of a run was lost with the rest of the reply.
        case("a 404 is cut", ("GET", "_meta/sources/origin"), (0, 1), Wrong::ReplyCut, Then::Done),
        case("a deletion's reply is cut", ("POST", "delete"), (0, 1), Wrong::ReplyCut, Then::Done),
        case("a deletion's reply is lost", ("POST", "delete"), (0, 1), Wrong::ReplyLost, Then::Done),
        case("late", ("PUT", "_delta_log/"), (0, 3), late, Then::Done),
    ]);
}

/// The client writes again what it got no reply for, and is told that it is there. Before, a table that was being made
/// stopped the run with "Invalid table version: 0".
#[test]
fn what_is_created_once_is_known_again() {
    let conflict = Wrong::Refused(409, "ConditionalRequestConflict");
    each(&[
        case("a table's making is refused", ("PUT", FIRST), (0, 3), conflict, Then::Done),
        case("a table's making is lost", ("PUT", FIRST), (1, 2), Wrong::ReplyLost, Then::Done),
        case("a commit is refused", ("PUT", SECOND), (0, 3), conflict, Then::Done),
        case("a commit is lost", ("PUT", SECOND), (0, 3), Wrong::ReplyLost, Then::Done),
        case("a commit fails after it was done", ("PUT", SECOND), (2, 1), Wrong::DoneButFailed, Then::Done),
        case("a source's note is refused", ("PUT", "_meta/sources/"), (0, 2), conflict, Then::Done),
        case("a configuration's note is lost", ("PUT", "_meta/config/"), (0, 1), Wrong::ReplyLost, Then::Done),
        case(
            "a secret's note fails after it was done",
            ("PUT", "_meta/secrets/"),
            (0, 1),
            Wrong::DoneButFailed,
            Then::Done,
        ),
    ]);
}

#[test]
fn what_stays_is_told_with_a_hint() {
    let denied = Wrong::Refused(403, "AccessDenied");
    let skewed = Wrong::Refused(403, "RequestTimeTooSkewed");
    let expired = Wrong::Refused(400, "ExpiredToken");
    let elsewhere = Wrong::Refused(400, "AuthorizationHeaderMalformed");
    each(&[
        case(
            "one object denied",
            ("GET", "origin/2026/o1"),
            (0, ALL),
            denied,
            Then::Look(&["o1", "AccessDenied", "hint: "]),
        ),
        case("receipts denied", ("PUT", "receipts/"), (0, ALL), denied, Then::Look(&["AccessDenied", "hint: "])),
        case(
            "the list denied",
            ("GET", "landing%2Forigin"),
            (0, ALL),
            denied,
            Then::Stops(&["origin", "hint: the credentials found"]),
        ),
        case(
            "a commit denied",
            ("PUT", SECOND),
            (0, ALL),
            denied,
            Then::Stops(&["AccessDenied", "hint: the credentials found"]),
        ),
        case(
            "the clock is wrong",
            ("GET", "list-type=2"),
            (0, ALL),
            skewed,
            Then::Stops(&["hint: this machine's clock"]),
        ),
        case(
            "expired at once",
            ("GET", "lake.toml"),
            (0, ALL),
            expired,
            Then::Stops(&["hint: the credentials have expired"]),
        ),
        case(
            "expired in the middle",
            ("GET", "receipts"),
            (0, ALL),
            expired,
            Then::Stops(&["hint: the credentials have expired"]),
        ),
        case(
            "another region",
            ("GET", "_meta/"),
            (0, ALL),
            elsewhere,
            Then::Stops(&["hint: the bucket is in another region"]),
        ),
    ]);
}

/// Before, a close whose reply was lost could pass for a close by somebody else, and a repricing was noted twice.
#[test]
fn a_month_is_closed_and_repriced_once_whatever_the_replies() {
    let Some(cloud) = Cloud::going_wrong() else { return };
    let lab = Lab::new();
    lab.origin("a", lines(&(0..9).map(|n| Call::new(at(0, 9, n), Key::Acme).line()).collect::<Vec<_>>()));
    let wrongs = [Wrong::ReplyLost, Wrong::DoneButFailed, Wrong::Refused(409, "ConditionalRequestConflict")];
    let lakes = wrongs.map(|wrong| (wrong, cloud.beside()));
    lakes.iter().for_each(|(_, lake)| lake.upload(&lab));
    for (wrong, lake) in lakes {
        lake.run();
        for (part, arguments) in [
            ("closed.json", &["invoice", "2026-10", "--close", "--accept", "a test"][..]),
            ("repriced/", &["invoice", "2026-10", "--reprice", "--reason", "a test"]),
        ] {
            cloud.server().fail("PUT", part, (0, 1), wrong);
            let ran = lake.meterlake(arguments);
            assert!(cloud.server().behave() > 0, "{wrong:?}: {part} was never written\n{}", ran.all());
            assert!(ran.code < 2, "{wrong:?}: {part}\n{}", ran.all());
        }
        let keys = lake.keys("lake/invoices/2026-10/");
        let of = |part: &str| keys.iter().filter(|key| key.contains(part)).count();
        assert_eq!((of("closed.json"), of("repriced/")), (1, 1), "{wrong:?}: {keys:?}");
        let again = lake.meterlake(&["invoice", "2026-10", "--close"]);
        assert!(again.code < 2, "{}", again.all());
        assert_eq!(lake.keys("lake/invoices/2026-10/"), keys);
    }
}
