//! What holds whatever is delivered: tables are a function of the set of records, nothing is lost, callers cannot choose who
//! pays, no secret is kept, and the same input gives the same bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::lab::{Call, Hit, Key, Lab, assert_same, at, envelope, envelopes, lines};
use super::shell::gz;

/// A record of either log, before it is spelled.
#[derive(Clone, Debug)]
struct Sketch {
    edge: bool,
    /// One of a few hours, some of them much earlier: late records.
    hour: usize,
    ms: i64,
    key: Key,
    status: u16,
    route: &'static str,
    /// The same id a second time with other bytes.
    conflict: bool,
    /// Cut in half: a reject.
    cut: bool,
}

/// Where one copy of a record goes.
type Place = (usize, u32);

/// How records are delivered.
#[derive(Clone, Debug)]
struct Delivery {
    /// For each record the object it is in and its rank there.
    places: Vec<Place>,
    /// Further copies of records.
    copies: Vec<(Index, Place)>,
    /// Per object: in the second run, once more under another key, its form.
    objects: Vec<(bool, bool, u8)>,
}

const OBJECTS: usize = 4;
const HOURS: [(i64, i64); 3] = [(0, 9), (0, 10), (20, 23)];

fn sketch() -> impl Strategy<Value = Sketch> {
    let key = prop_oneof![4 => Just(Key::Acme), 3 => Just(Key::Beta), 1 => Just(Key::Nobody), 1 => Just(Key::None)];
    let status = prop_oneof![6 => Just(200), 1 => Just(403), 1 => Just(502)];
    let route = prop_oneof![Just("/v1/items"), Just("/v1/\\\"x\\\""), Just("/v1/é")];
    let one_in = |n: u32| (0..n).prop_map(|roll| roll == 0);
    (any::<bool>(), 0..HOURS.len(), 0..3_600_000_i64, key, status, route, one_in(6), one_in(12)).prop_map(
        |(edge, hour, ms, key, status, route, conflict, cut)| Sketch {
            edge,
            hour,
            ms,
            key,
            status,
            route,
            conflict,
            cut,
        },
    )
}

fn deliveries() -> impl Strategy<Value = (Vec<Sketch>, Delivery)> {
    let place = || (0..OBJECTS, any::<u32>());
    vec(sketch(), 4..40).prop_flat_map(move |records| {
        let places = vec(place(), records.len() * 2);
        let copies = vec((any::<Index>(), place()), 0..20);
        let objects = vec((any::<bool>(), (0..4).prop_map(|roll| roll == 0), 0..4_u8), OBJECTS);
        let delivery =
            (places, copies, objects).prop_map(|(places, copies, objects)| Delivery { places, copies, objects });
        (Just(records), delivery)
    })
}

/// The records of one log as they stand in it, each once, with a number that no two share.
fn spelled(records: &[Sketch], edge: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for (n, record) in records.iter().enumerate().filter(|(_, record)| record.edge == edge) {
        let (day, hour) = HOURS[record.hour];
        let at = at(day, hour, record.ms);
        let line = if edge {
            let hit = Hit { id: format!("{n:054}=="), status: record.status, ..Hit::new(at, record.key) };
            let other = Hit { bytes: 1_001, ..hit.clone() };
            (hit.line(), other.line())
        } else {
            let call = Call {
                id: format!("ext{n}="),
                status: record.status,
                route: record.route,
                ..Call::new(at, record.key)
            };
            let other = Call { bytes: 513, ..call.clone() };
            (call.line(), other.line())
        };
        if record.cut {
            lines.push(line.0[..line.0.len() / 3].to_owned());
            continue;
        }
        lines.push(line.0);
        if record.conflict {
            lines.push(line.1);
        }
    }
    lines
}

fn content(edge: bool, records: &[String], form: u8) -> Vec<u8> {
    match (edge, form) {
        (true, 0..2) => gz(&lines(records)),
        // Two gzip members, one after the other.
        (true, _) => [gz(&lines(&records[..records.len() / 2])), gz(&lines(&records[records.len() / 2..]))].concat(),
        (false, 0) => lines(records),
        (false, 1) => gz(&lines(records)),
        (false, 2) => envelopes(records, 3),
        // Firehose compressed what was compressed.
        (false, _) => gz(&envelopes(records, 7)),
    }
}

fn put(lab: &Lab, edge: bool, key: &str, content: &[u8]) {
    if edge { lab.edge(key, content) } else { lab.origin(key, content) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, max_shrink_iters: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any order, any split into objects, any duplication, in one run or two: the same events, usage and charges.
    #[test]
    fn tables_are_a_function_of_the_set_of_records((records, delivery) in deliveries()) {
        let plain = Lab::new();
        let scattered = plain.apart("scattered");
        let mut second = Vec::new();
        for edge in [false, true] {
            let records = spelled(&records, edge);
            if records.is_empty() {
                continue;
            }
            put(&plain, edge, "all", &content(edge, &records, 0));
            let mut objects: Vec<Vec<(u32, &String)>> = vec![Vec::new(); OBJECTS];
            for (record, (object, rank)) in records.iter().zip(&delivery.places) {
                objects[*object].push((*rank, record));
            }
            for (record, (object, rank)) in &delivery.copies {
                objects[*object].push((*rank, record.get(&records)));
            }
            for (n, (mut object, (later, again, form))) in objects.into_iter().zip(&delivery.objects).enumerate() {
                object.sort();
                let content = content(edge, &object.into_iter().map(|(_, record)| record.clone()).collect::<Vec<_>>(), *form);
                // Keys do not sort as the objects come.
                let key = format!("{}/object-{n}", (n * 7 + 3) % 5);
                if *later { second.push((edge, key.clone(), content.clone())) } else { put(&scattered, edge, &key, &content) }
                if *again {
                    second.push((edge, format!("{key}-again"), content));
                }
            }
        }
        plain.run();
        scattered.run();
        if !second.is_empty() {
            second.iter().for_each(|(edge, key, content)| put(&scattered, *edge, key, content));
            scattered.run();
        }
        assert_same("scattered", &scattered.facts(), &plain.facts());
        let verified = scattered.meterlake(&["verify"]);
        prop_assert_eq!(verified.code, 0, "{}", verified.all());
    }
}

/// A lake with everything in it that counts have to account for, and what its counts are, worked out by hand.
fn mixed() -> Lab {
    let lab = Lab::new();
    let call = |n: i64, key| Call::new(at(0, 9, n), key);
    let good: Vec<String> = (0..10).map(|n| call(n, Key::Acme).line()).collect();
    let unbillable = Call { status: 502, ..call(100, Key::Acme) }.line();
    let refused = Call { status: 403, ..call(101, Key::Nobody) }.line();
    let unknown = call(102, Key::Nobody).line();
    let nobody = call(103, Key::None).line();
    let no_status = call(104, Key::Beta).line().replace(r#""status":"200""#, r#""status":"-""#);
    let conflict = Call { bytes: 513, ..call(0, Key::Acme) }.line();
    let others = [unbillable, refused, unknown, nobody, no_status, conflict];
    // 10 + 3 duplicates in one object, 6 others + 2 rejects + 1 control in the other.
    lab.origin("a", envelopes(&[&good[..], &good[..3]].concat(), 5));
    let control = gz(&envelope("CONTROL_MESSAGE", &["CWL CONTROL MESSAGE: Checking health of destination Firehose."]));
    let rejects = [good[4][..20].to_owned(), "not a record".to_owned()];
    lab.origin("b", [control, envelopes(&[&others[..], &rejects[..]].concat(), 4)].concat());
    let hits: Vec<String> = (0..4).map(|n| Hit::new(at(0, 9, n), Key::Beta).line()).collect();
    lab.edge("c", gz(&lines(&[&hits[..], &["cut\tin half".to_owned()]].concat())));
    lab.edge("d", gz(&lines(&hits[1..])));
    lab.run();
    lab
}

#[test]
fn every_record_is_counted_once_and_only_once() {
    let lab = mixed();
    let objects =
        lab.query("SELECT source_object, records, staged, rejects, control FROM objects ORDER BY source_object");
    assert_eq!(objects, ["a,13,13,0,0", "b,9,6,2,1", "c,5,4,1,0", "d,3,3,0,0"]);
    // Of each hour: records = events + duplicates; the tables hold just these events.
    let hours = lab.query("SELECT source, records, events, duplicates, conflicts, rejects FROM coverage_hourly WHERE events > 0 ORDER BY source");
    assert_eq!(hours, ["edge,7,4,3,0,0", "origin,19,16,3,1,0"]);
    assert_eq!(lab.query("SELECT COUNT(*) AS n FROM origin_requests"), ["16"]);
    assert_eq!(lab.query("SELECT COUNT(*) AS n FROM edge_requests"), ["4"]);
    assert_eq!(
        lab.query("SELECT source, COUNT(*) AS n FROM rejects GROUP BY source ORDER BY source"),
        ["edge,1", "origin,2"]
    );
    // Per meter: events = usage + not billable + held. A status that is not there is held, not dropped.
    let fates = lab.fates("calls");
    assert_eq!(fates, ["anonymous,1", "conflict,1", "mapped,10", "not_billable,2", "undecided,1", "unmapped,1"]);
    assert_eq!(lab.fates("egress"), ["mapped,4"]);
    lab.verified();
}

#[test]
fn of_two_records_with_one_unforgeable_id_the_least_fingerprint_is_billed() {
    let lab = mixed();
    let sql = "SELECT conflict, fingerprint = MIN(fingerprint) OVER () AS is_least, key_ref FROM origin_requests \
               WHERE request_id = (SELECT request_id FROM origin_requests WHERE conflict) ORDER BY conflict";
    assert_eq!(lab.query(sql), ["false,true,acmeid0001", "true,false,acmeid0001"]);
    // The other one is held, and people are told.
    let status = lab.meterlake(&["status"]).out;
    assert!(status.contains("conflict"), "{status}");
    // 10 calls: 5 free, 5 at 0.04.
    assert_eq!(lab.bill("acme"), ["calls,10,0.200000000"]);
}

#[test]
fn a_caller_cannot_choose_who_pays_or_that_nobody_does() {
    let lab = Lab::new();
    // Twenty calls under one requestId, which the caller chose: twenty calls.
    let chosen = |n: i64| Call { caller_id: "00000000-0000".to_owned(), ..Call::new(at(0, 9, n), Key::Acme) };
    let calls: Vec<String> = (0..20).map(|n| chosen(n).line()).collect();
    lab.origin("chosen", lines(&calls));
    // One call five times, in every way it can be delivered: one call.
    let once = Call::new(at(0, 10, 0), Key::Beta).line();
    lab.origin("twice", lines(&[&once, &once]));
    lab.origin("envelope", envelopes(&[&once], 1));
    lab.origin("again/envelope", envelopes(&[&once], 1));
    lab.origin("compressed.gz", gz(&lines(&[&once])));
    // A user agent that closes its string and names another's key: nobody's word is taken, and people are told.
    let injected = Call { agent: format!(r#"x","key":"{}"#, Key::Acme.id()), ..Call::new(at(0, 11, 0), Key::Beta) };
    lab.origin("injected", lines(&[injected.line()]));
    let victim = format!("a%250Ax-api-key:{}", Key::Acme.raw());
    let spoofed = Hit::new(at(0, 9, 0), Key::None).with_header("x-note", &victim);
    let beside = Hit::new(at(0, 9, 1), Key::Beta).with_header("x-note", &victim);
    // The list is cut before the key: nobody knows who called.
    let cut = Hit { listed: 1, ..Hit::new(at(0, 9, 2), Key::Acme) };
    // Two keys: nobody's.
    let two = Hit::new(at(0, 9, 3), Key::Beta).with_header("x-api-key", Key::Acme.raw());
    lab.edge("hits.gz", gz(&lines(&[spoofed.line(), beside.line(), cut.line(), two.line()])));
    lab.run();
    // 20 calls: 5 free, 7 at 0.04, 8 at 0.02. The victim pays for no download.
    assert_eq!(lab.bill("acme"), ["calls,20,0.440000000"]);
    // The call delivered five times: free. One download of 1 000 bytes.
    assert_eq!(lab.bill("beta"), ["calls,1,0.000000000", "egress,1000,0.001000000"]);
    assert_eq!(lab.query("SELECT reason, source_object FROM rejects"), ["duplicate_key,injected"]);
    assert_eq!(lab.fates("egress"), ["anonymous,1", "mapped,1", "truncated,2"]);
    let states =
        lab.query("SELECT request_id, key_state, key_ref IS NULL AS no_key FROM edge_requests ORDER BY request_id");
    let states: Vec<&str> = states.iter().map(|row| &row[row.find(',').unwrap() + 1..]).collect();
    assert_eq!(states, ["absent,true", "present,false", "truncated,true", "truncated,true"]);
}

#[test]
fn a_second_run_changes_no_byte_and_says_so() {
    let lab = mixed();
    let (versions, before) = (lab.tables(), lab.files());
    let said = lab.run().out;
    assert!(said.contains("Nothing is new"), "{said}");
    assert_eq!(lab.tables(), versions);
    assert!(before == lab.files(), "some file of the lake has other bytes");
    let built = lab.meterlake(&["build"]);
    assert!(built.code == 0 && built.out.contains("Nothing is new"), "{}", built.all());
    assert!(before == lab.files(), "some file of the lake has other bytes after a build");
}

#[test]
fn equal_input_gives_equal_names_and_bytes() {
    let lab = mixed();
    let twin = lab.twin("twin");
    twin.run();
    let (files, others) = (lab.data_files(), twin.data_files());
    assert!(files.len() > 10, "{:?}", files.keys());
    assert_eq!(files.keys().collect::<Vec<_>>(), others.keys().collect::<Vec<_>>());
    for (path, bytes) in files {
        assert!(others[&path] == bytes, "{} has other bytes", path.display());
    }
}

#[test]
fn every_version_of_every_table_can_still_be_read() {
    let lab = mixed();
    lab.origin("late", lines(&[Call::new(at(0, 9, 500), Key::Acme).line()]));
    lab.run();
    lab.origin("b", lines(&[Call::new(at(0, 9, 600), Key::Acme).line()]));
    lab.run();
    let (missing, versions) = lab.missing_files();
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(versions > 30, "{versions}");
    // A vacuum spares what was replaced just now.
    assert_eq!(lab.meterlake(&["vacuum"]).code, 0);
    assert!(lab.missing_files().0.is_empty());
}

#[test]
fn no_secret_is_kept_or_told() {
    const SECRETS: [&str; 7] = [
        Key::Acme.raw(),
        Key::Beta.raw(),
        Key::Nobody.raw(),
        "dXNlcjpodW50ZXIyMTIzNDU2",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.SflKxwRJSMeKKF2QT4",
        "session-COOKIE-0123456789abcdef",
        super::shell::SECRET,
    ];
    let lab = Lab::new();
    // The raw key in the origin's log, too; and in every other place where a caller can put one.
    lab.configure("\"key\":\"$context.identity.apiKeyId\"", "\"key\":\"$context.identity.apiKey\"");
    lab.configure("key = \"$context.identity.apiKeyId\"", "key = \"$context.identity.apiKey\"");
    let raw = |key: Key, n: i64| Call::new(at(0, 9, n), key).line().replace(key.id(), key.raw());
    let whole = [raw(Key::Acme, 0), raw(Key::Nobody, 1)];
    let cut: Vec<String> =
        whole.iter().flat_map(|line| (150..line.len()).step_by(7).map(|end| line[..end].to_owned())).collect();
    lab.origin("origin", lines(&whole));
    // Nothing beside it says that it is a key.
    let bare = [format!("what is {}", Key::Acme.raw()), Key::Nobody.raw().to_owned()];
    lab.origin("cut", lines(&[&cut[..], &bare].concat()));
    let hits: Vec<String> = [Key::Acme, Key::Beta, Key::Nobody, Key::None]
        .into_iter()
        .enumerate()
        .map(|(n, key)| {
            Hit::new(at(0, 9, n as i64), key)
                .with_header("authorization", &format!("Basic%20{}", SECRETS[3]))
                .with_header("Authorization", &format!("Bearer%20{}", SECRETS[4]))
                .with_header("cookie", &format!("sid={}", SECRETS[5]))
                .line()
        })
        .collect();
    let broken: Vec<String> = hits
        .iter()
        .flat_map(|line| {
            let run_together = format!("{line}{line}");
            let ends = (90..line.len()).step_by(11).map(|end| line[..end].to_owned());
            ends.chain([run_together, line.replace("\t200\t", "\tx\t")]).collect::<Vec<_>>()
        })
        .collect();
    lab.edge("hits.gz", gz(&lines(&hits)));
    lab.edge("broken.gz", gz(&lines(&[&hits[..], &hits[..], &hits[..], &broken[..]].concat())));
    // Objects that fail whole are told of, but not with their content.
    lab.edge("half.gz", &gz(&lines(&hits))[..60]);
    lab.edge("fields.gz", gz(&lines(&hits.iter().map(|line| format!("{line}\textra")).collect::<Vec<_>>())));
    let mut told = String::new();
    for command in [&["run"][..], &["run", "--json"], &["status"], &["rejects", "--samples", "1000"], &["verify"]] {
        told += &lab.meterlake(command).all();
    }
    let rejects: usize = lab.query("SELECT COUNT(*) AS n FROM rejects")[0].parse().unwrap();
    assert!(rejects > 40, "{rejects}\n{told}");
    assert_eq!(lab.query("SELECT COUNT(DISTINCT key_ref) AS n FROM edge_requests"), ["3"]);
    assert_eq!(lab.query("SELECT COUNT(DISTINCT key_ref) AS n FROM origin_requests"), ["2"]);
    // A secret that was cut is a secret still: every 12 characters of one count.
    let pieces: Vec<&str> = SECRETS.iter().flat_map(|s| (0..=s.len() - 12).map(|from| &s[from..from + 12])).collect();
    let leaks = |text: &[u8]| pieces.iter().find(|piece| text.windows(12).any(|window| window == piece.as_bytes()));
    assert_eq!(leaks(told.as_bytes()), None, "{told}");
    for (table, rows) in lab.whole() {
        for row in rows {
            assert_eq!(leaks(row.as_bytes()), None, "{table}: {row}");
        }
    }
    for (path, bytes) in lab.files() {
        assert_eq!(leaks(&bytes), None, "{}", path.display());
    }
}
