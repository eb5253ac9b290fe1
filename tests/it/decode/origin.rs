//! API Gateway records, bare and in the envelopes of CloudWatch Logs.

use super::*;

fn ids(read: &Read) -> Vec<&str> {
    read.column("request_id")
}

#[test]
fn a_record_is_taken_apart_by_the_configured_format() {
    let row = only(&rest(), access("E1"));
    for (column, value) in [
        ("request_id", "E1"),
        ("caller_request_id", "r-E1"),
        ("key_ref", "k1"),
        ("key_state", "present"),
        ("status", "200"),
        ("stage", "prod"),
        ("region", "eu-west-1"),
        ("path", "/prod/items"),
    ] {
        assert_eq!(row[column], value, "{column}");
    }
    assert_eq!(row["event_time"], at("2025-11-24T16:00:00.456Z").to_string(), "the epoch is exact and wins");
    assert_eq!(row.get("response_bytes"), None, "an unquoted dash is null");
    assert_eq!(row.get("user_agent"), None, "a quoted one too");
}

#[test]
fn either_variable_gives_the_time() {
    let text = access("E1").replace("1764000000456", "-");
    assert_eq!(only(&rest(), text)["event_time"], at("2025-11-24T16:00:00Z").to_string());
    let seconds = access("E1").replace("1764000000456", "1764000000");
    assert_eq!(only(&rest(), seconds)["event_time"], at("2025-11-24T16:00:00Z").to_string());
    let none = access("E1").replace("1764000000456", "-").replace("24/Nov/2025:16:00:00 +0000", "-");
    assert_eq!(read(&rest(), none).reasons(), ["no_time"]);
    let bad = access("E1").replace("1764000000456", "-").replace("24/Nov/", "31/Nov/");
    assert_eq!(read(&rest(), bad).reasons(), ["bad_time"]);
}

#[test]
fn records_and_envelopes_stand_back_to_back_or_in_lines() {
    let (a, b, c) = (access("a"), access("b"), access("c"));
    let both = envelope(&[&a, &b]);
    let alone = envelope(&[&c]);
    for object in [
        format!("{both}{CONTROL}{alone}"),
        format!("{both}\n{CONTROL}\n{alone}\n"),
        format!("\r\n {both}\r\n\r\n{CONTROL} {alone}"),
        format!("{a}\n{b}{CONTROL}{c}"),
    ] {
        let read = read(&rest(), &object);
        assert_eq!(ids(&read), ["a", "b", "c"], "{object}");
        assert_eq!(read.counts, Counts { records: 4, events: 3, rejects: 0, control: 1 });
        assert_eq!(read.column("source_position").last(), Some(&"3"));
    }
    let members = [gzip(&both), gzip(CONTROL), gzip(&alone)];
    for object in [members.concat(), members.join(&b'\n'), gzip(members.concat()), gzip(members.join(&b'\n'))] {
        assert_eq!(ids(&read(&rest(), object)), ["a", "b", "c"]);
    }
}

#[test]
fn keys_of_an_envelope_that_nobody_knows_are_passed_over() {
    let object = envelope(&[&access("a")])
        .replacen('{', r#"{"policyLevel":"ACCOUNT_LEVEL_POLICY","x":[{"message":"no"}],"#, 1)
        .replace(r#""timestamp""#, r#""extractedFields":{"message":"no"},"timestamp""#);
    assert_eq!(ids(&read(&rest(), object)), ["a"]);
}

#[test]
fn an_envelope_that_would_lose_a_record_is_rejected() {
    let a = access("a");
    let twice = envelope(&[&a]).replacen(r#""logEvents""#, r#""logEvents":[],"logEvents""#, 1);
    assert_eq!(read(&rest(), twice + &a).reasons(), ["bad_json"]);
    let unnamed = envelope(&[&a]).replace(r#""message""#, r#""text""#);
    assert_eq!(read(&rest(), unnamed).reasons(), ["no_message"]);
    let strange = envelope(&[&a]).replace("DATA_MESSAGE", "OTHER_MESSAGE");
    assert_eq!(read(&rest(), strange).reasons(), ["bad_envelope"]);
}

#[test]
fn a_record_has_one_fingerprint_with_and_without_envelope() {
    let record = access("a").replace("/prod/items", r#"/prod/\"é\\\u00e9"#);
    let bare = only(&rest(), &record);
    for object in [
        format!("\n {record}\r\n"),
        envelope(&[&record]),
        envelope(&[&format!(" {record}\r\n")]),
        envelope(&[&record]).replace("prod", r"\u0070rod").replace('é', r"\u00e9"),
    ] {
        let row = only(&rest(), &object);
        assert_eq!(row["fingerprint"], bare["fingerprint"], "{object}");
        assert_eq!(row["path"], r#"/prod/"é\é"#);
    }
    assert_ne!(only(&rest(), record.replace("k1", "k2"))["fingerprint"], bare["fingerprint"]);
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    // A user agent that breaks out of its string to name another key.
    let hostile = access("a").replace(r#""userAgent":"-""#, r#""userAgent":"x","apiKeyId":"victim""#);
    let escaped = access("b").replace(r#""userAgent":"-""#, r#""userAgent":"x","\u0061piKeyId":"victim""#);
    let unknown = access("c").replace(r#""userAgent":"-""#, r#""userAgent":"x","z":1,"z":2"#);
    let read = read(&rest(), [hostile, escaped, unknown, access("d")].join("\n"));
    assert_eq!((read.reasons(), ids(&read)), (vec!["duplicate_key"; 3], vec!["d"]));
}

#[test]
fn a_broken_record_costs_itself_only() {
    let good = access("good");
    for (broken, after) in [
        (access("x").replace(r#""-""#, r#""a "quoted" word""#), "\n"),
        (access("x").replace(r#""-""#, r#""a "quoted" word""#), ""),
        (access("x")[..60].to_owned(), "\n"),
        (access("x").trim_end_matches('}').to_owned(), ""),
        (access("x").replace(r#""stage":"prod""#, r#""stage":prod"#), ""),
        ("\n203.0.113.9 - - [24/Nov/2025:16:00:00 +0000] \"GET /\" 200".to_owned(), "\n"),
        (r#"{"a":1}"#.to_owned(), ""),
        ("\n[1,2]".to_owned(), "\n"),
    ] {
        let read = read(&rest(), format!("{good}{broken}{after}{good}{good}"));
        assert_eq!((ids(&read), read.counts.rejects), (vec!["good"; 3], 1), "{broken}");
        assert_eq!(read.column("source_position"), ["0", "2", "3"]);
    }
    // What stands behind an object in its line may be the rest of a record that a caller has closed early.
    let doubted = read(&rest(), format!("{good}[1,2]\n{good}"));
    assert_eq!((ids(&doubted), doubted.reasons()), (vec!["good"], vec!["bad_json", "not_json"]));
    let cut = read(&rest(), format!("{good}{}", &good[..100]));
    assert_eq!((ids(&cut), cut.reasons()), (vec!["good"], vec!["bad_json"]));
}

#[test]
fn a_message_that_cannot_be_read_leaves_its_neighbours() {
    let object = envelope(&[&access("a"), "START RequestId: 1", "", &access("b")[..50], &access("c")]);
    let read = read(&rest(), object);
    assert_eq!((ids(&read), read.reasons()), (vec!["a", "c"], vec!["not_json", "not_json", "bad_json"]));
}

#[test]
fn a_record_over_the_limit_is_one_reject_wherever_it_stands() {
    let limits = Limits { record_bytes_max: 2000, ..Limits::default() };
    let plan = plan_of(templates(&[REST]), KeySpec::None, &limits).unwrap();
    let long = access("x").replace("/prod/items", &"p".repeat(3000));
    let longest = access("x").replace("/prod/items", &"p".repeat(100_000));
    for object in [
        format!("{}{long}{}", access("a"), access("b")),
        format!("{}{longest}{}", access("a"), access("b")),
        envelope(&[&access("a"), &long, &access("b")]),
    ] {
        let read = read(&plan, object);
        assert_eq!((ids(&read), read.reasons()), (vec!["a", "b"], vec!["too_long"]));
    }
}

#[test]
fn a_record_that_lacks_a_key_of_the_format_is_rejected() {
    let read = read(&rest(), access("a").replace(r#""stage":"prod","#, ""));
    assert_eq!(read.reasons(), ["keys"]);
    assert!(read.rejects[0]["detail"].contains("`stage`"), "{:?}", read.rejects);
}

#[test]
fn a_secret_api_key_is_hashed_and_stands_nowhere_else() {
    let key = "abcdefghij0123456789ABCD";
    let format = REST.replace("apiKeyId", "apiKey");
    let plan = plan_of(templates(&[&format]), variable("identity.apiKey"), &Limits::default()).unwrap();
    assert!(plan.warnings().iter().any(|warning| warning.contains("identity.apiKey")));
    let record = access("a")
        .replace(r#""apiKeyId":"k1""#, &format!(r#""apiKey":"{key}""#))
        .replace("/prod/items", &format!("/prod/{key}"))
        .replace(r#""userAgent":"-""#, &format!(r#""userAgent":"x {key}""#));
    let row = only(&plan, &record);
    assert_eq!(row["key_ref"], reference(key));
    assert!(row.values().all(|value| !value.contains(key)), "{row:?}");
    let rejected = read(&plan, record.replace("200", "two"));
    assert!(rejected.rejects[0].values().all(|value| !value.contains(key)), "{rejected:?}");
}

#[test]
fn control_characters_never_reach_stored_text() {
    let record = access("a").replace("/prod/items", r"/\u001b[2J\n\u0000").replace(r#""-""#, "\"a\tb\u{7f}\"");
    let row = only(&rest(), envelope(&[&record]));
    assert_eq!((row["path"].as_str(), row["user_agent"].as_str()), ("/%1B[2J%0A%00", "a%09b%7F"));
}

/// A key of the configured format may hold them; found by fuzzing.
#[test]
fn control_characters_never_reach_the_detail_of_a_reject() {
    let format = REST.replace(r#""stage""#, r#""st\u001b[2Jage""#);
    let plan = plan_of(templates(&[&format]), KeySpec::None, &Limits::default()).unwrap();
    assert_eq!(read(&plan, access("a")).rejects[0]["detail"], "key `st%1B[2Jage` of the configured format is missing");
}

#[test]
fn an_id_that_callers_choose_is_known_as_such() {
    assert!(rest().id_is_unforgeable());
    let old = REST.replace(r#""extendedRequestId":"$context.extendedRequestId","#, "");
    let plan = plan_of(templates(&[&old]), KeySpec::None, &Limits::default()).unwrap();
    assert!(!plan.id_is_unforgeable());
    assert!(plan.warnings().iter().any(|warning| warning.contains("extendedRequestId")));
}
