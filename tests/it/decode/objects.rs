//! Whole objects: compression, lines, and the number of columns.

use super::*;

fn ids(read: &Read) -> Vec<&str> {
    read.column("request_id")
}

fn lines(ids: &[&str]) -> String {
    ids.iter().map(|id| line(&[("x-edge-request-id", id)])).collect()
}

fn limited(limits: Limits) -> DecodePlan {
    let fields: Vec<_> = EDGE.iter().map(|(name, _)| *name).collect();
    plan_of(Format::CloudFrontRealtime(vec![set(None, &fields)]), KeySpec::None, &limits).unwrap()
}

#[test]
fn gzip_members_follow_each_other_with_line_feeds_and_nuls_between() {
    let (a, b, c) = (gzip(lines(&["a"])), gzip(lines(&["b"])), gzip(lines(&["c"])));
    let object = [&a[..], &b, b"\n", &gzip(""), b"\0\0\n", &c, b"\n\0"].concat();
    assert_eq!(ids(&read(&edge(KeySpec::None), &object)), ["a", "b", "c"]);
    // Firehose compressing what came with a delimiter after each record.
    assert_eq!(ids(&read(&edge(KeySpec::None), gzip(object))), ["a", "b", "c"]);
}

/// A member's end is found by the CRC and the size that stand there: equal members have equal ones.
#[test]
fn equal_members_are_each_read() {
    let (a, b) = (gzip(lines(&["a"])), gzip(lines(&["b"])));
    let object = [&a[..], &b, &a, &a].concat();
    assert_eq!(ids(&read(&edge(KeySpec::None), &object)), ["a", "b", "a", "a"]);
    assert_eq!(ids(&read(&edge(KeySpec::None), gzip(object))), ["a", "b", "a", "a"]);
}

#[test]
fn a_record_may_begin_in_one_member_and_end_in_the_next() {
    let text = lines(&["a", "b"]);
    let (first, second) = text.split_at(30);
    assert_eq!(ids(&read(&edge(KeySpec::None), [gzip(first), gzip(second)].concat())), ["a", "b"]);
}

#[test]
fn compression_is_followed_as_deep_as_allowed() {
    let thrice = gzip(gzip(gzip(lines(&["a"]))));
    assert_eq!(ids(&read(&edge(KeySpec::None), &thrice)), ["a"]);
    assert_eq!(try_read(&edge(KeySpec::None), gzip(&thrice)), Err(ObjectError::TooNested { limit: 3 }));
    let flat = limited(Limits { nesting_max: 0, ..Limits::default() });
    assert_eq!(try_read(&flat, gzip("")), Err(ObjectError::TooNested { limit: 0 }));
}

#[test]
fn an_object_that_unpacks_to_too_much_is_refused() {
    let bomb = gzip(vec![b'\n'; 1 << 20]);
    assert!(bomb.len() < 1 << 15);
    let small = limited(Limits { object_bytes_max: 1 << 19, ..Limits::default() });
    assert_eq!(try_read(&small, &bomb), Err(ObjectError::TooLarge { limit: 1 << 19 }));
    assert_eq!(read(&edge(KeySpec::None), &bomb).counts, Counts::default());
}

#[test]
fn a_cut_off_object_is_known_only_at_its_end() {
    let whole = gzip(lines(&["a", "b"]));
    for kept in [3, 12, whole.len() / 2, whole.len() - 8, whole.len() - 1] {
        let mut decoder = Decoder::new(&edge(KeySpec::None), "object", arrived());
        decoder.push(&whole[..kept]).unwrap();
        assert_eq!(decoder.finish(), Err(ObjectError::Truncated), "{kept} bytes");
        assert_eq!(decoder.finish(), Err(ObjectError::Truncated), "it stays so");
        assert!(decoder.next_events().is_none());
    }
}

#[test]
fn what_follows_a_member_and_is_none_is_an_error() {
    let whole = gzip(lines(&["a"]));
    let at = whole.len() as u64;
    let error = try_read(&edge(KeySpec::None), [&whole[..], b"rest"].concat());
    assert_eq!(error, Err(ObjectError::TrailingGarbage { at, level: 1 }));
    let error = try_read(&edge(KeySpec::None), [&whole[..], b"\n", &[0x1f]].concat());
    assert_eq!(error, Err(ObjectError::TrailingGarbage { at: at + 1, level: 1 }));
}

#[test]
fn damage_is_an_error() {
    let mut whole = gzip(lines(&["a", "b"]));
    let crc = whole.len() - 6;
    whole[crc] ^= 1;
    assert!(matches!(try_read(&edge(KeySpec::None), &whole), Err(ObjectError::Corrupt { level: 1, .. })));
}

#[test]
fn lines_end_with_lf_crlf_or_the_object() {
    let text = lines(&["a", "b", "c"]);
    let plan = edge(KeySpec::None);
    let plain = read(&plan, &text);
    assert_eq!(ids(&plain), ["a", "b", "c"]);
    assert_eq!(plain.column("source_position"), ["0", "1", "2"]);
    let odd = format!("\n\r\n \t\n{}", text.trim_end().replace('\n', "\r\n\r\n"));
    assert_eq!(read(&plan, odd), plain, "also the fingerprints and positions");
}

#[test]
fn a_line_over_the_limit_is_one_reject() {
    let plan = limited(Limits { record_bytes_max: 4000, ..Limits::default() });
    let long = line(&[("cs-user-agent", &"u".repeat(200_000))]);
    let read = read(&plan, [lines(&["a"]), long, lines(&["b"])].concat());
    assert_eq!((ids(&read), read.reasons()), (vec!["a", "b"], vec!["too_long"]));
    assert_eq!(read.column("source_position"), ["0", "2"]);
    assert!(read.rejects[0]["detail"].contains("4000 bytes"), "{:?}", read.rejects);
}

/// Ten columns and eleven.
fn two_sets() -> DecodePlan {
    let old: Vec<_> = EDGE[..11].iter().map(|(name, _)| *name).filter(|name| *name != "sc-bytes").collect();
    let new: Vec<_> = EDGE[..11].iter().map(|(name, _)| *name).collect();
    let sets = vec![set(None, &old), set(Some("2026-02-01T00:00:00Z"), &new)];
    plan_of(Format::CloudFrontRealtime(sets), KeySpec::None, &Limits::default()).unwrap()
}

fn cells(values: &[&str]) -> String {
    values.join("\t") + "\n"
}

#[test]
fn a_record_of_the_neighbouring_field_set_is_read_by_it() {
    let old = cells(&["1764000000.1", "-", "200", "GET", "/old", "A", "-", "-", "-", "-"]);
    let new = cells(&["1764000000.2", "-", "200", "99", "GET", "/new", "B", "-", "-", "-", "-"]);
    let read = read(&two_sets(), [old, new].concat());
    assert_eq!(read.column("path"), ["/old", "/new"]);
    assert_eq!(read.column("response_bytes"), ["-", "99"]);
}

#[test]
fn a_wrong_number_of_columns_is_a_reject_unless_the_whole_object_has_it() {
    let plan = edge(KeySpec::None);
    let wrong = || "1764000000.1\tx\ty\n".to_owned();
    let few = read(&plan, wrong().repeat(9));
    assert_eq!(few.reasons(), ["columns"; 9]);
    assert_eq!(few.rejects[0]["detail"], "3 columns, the field set has 14");

    let error = try_read(&plan, wrong().repeat(10)).unwrap_err();
    assert_eq!(error, ObjectError::FieldsMismatch { expected: 14, found: 3, likely: None });
    assert!(error.to_string().contains('3') && error.to_string().contains("14"), "{error}");

    for other in [lines(&["a"]), "x\ty\n".to_owned()] {
        for object in [[other.clone(), wrong().repeat(30)].concat(), [wrong().repeat(30), other.clone()].concat()] {
            assert!(try_read(&plan, object).unwrap().reasons().len() >= 30);
        }
    }
}

#[test]
fn two_records_run_together_are_rejected_not_guessed() {
    let together = lines(&["a", "b"]).replacen('\n', "", 1);
    let read = read(&edge(KeySpec::None), together + &lines(&["c"]));
    assert_eq!((ids(&read), read.reasons()), (vec!["c"], vec!["columns"]));
}

#[test]
fn a_status_of_zeros_and_an_empty_last_field_are_values() {
    let plan = edge_with(&["sr-reason"], KeySpec::None);
    let row = only(&plan, line(&[("sc-status", "000"), ("sr-reason", "")]));
    assert_eq!(row["status"], "0");
    assert_eq!(row["event_time"], at("2025-11-24T16:00:00.123Z").to_string());
    assert_eq!((row.get("user_agent"), row["client_ip"].as_str()), (None, "203.0.113.0"));
}

#[test]
fn what_cannot_be_read_in_a_record_is_named() {
    let plan = edge(KeySpec::None);
    for (field, value, reason) in [
        ("timestamp", "-", "no_time"),
        ("timestamp", "yesterday", "bad_time"),
        ("x-edge-request-id", "-", "no_id"),
        ("sc-status", "2OO", "bad_number"),
        ("sc-bytes", "-1", "bad_number"),
        ("sc-bytes", "9223372036854775808", "bad_number"),
    ] {
        let read = read(&plan, line(&[(field, value)]) + &lines(&["next"]));
        assert_eq!((read.reasons(), ids(&read)), (vec![reason], vec!["next"]), "{field}");
        assert!(read.rejects[0]["detail"].contains(field), "{:?}", read.rejects);
    }
}

#[test]
fn values_are_decoded_once_and_control_characters_stay_encoded() {
    let values = [
        ("cs-uri-stem", "/a%2520b/%C3%A9"),
        ("cs-uri-query", "q=a%2520b+c&x=%250A"),
        ("cs-user-agent", "x%0A%1B[2J%00y%7F%FF"),
        ("cs-referer", "https://a.example/%09?cf_api_key=S&b=1%0D"),
    ];
    let row = only(&edge(KeySpec::None), line(&values));
    assert_eq!(row["path"], "/a%20b/é");
    assert_eq!(row["query"], "q=a%20b+c&x=%0A");
    assert_eq!(row["user_agent"], "x%0A%1B[2J%00y%7F\u{fffd}");
    assert_eq!(row["referer"], "https://a.example/%09?b=1%0D");
}

#[test]
fn the_stem_gives_the_query_where_no_field_does() {
    let row = only(&edge(KeySpec::None), line(&[("cs-uri-stem", "/v1?a=1&cf_api_key=S")]));
    assert_eq!((row["path"].as_str(), row["query"].as_str()), ("/v1", "a=1"));
}

/// As many columns as configured, but not of those fields: nothing of it may be read as if it were right.
#[test]
fn records_of_other_fields_stop_the_object_and_the_likely_set_is_named() {
    let fields: Vec<_> = EDGE.iter().map(|(name, _)| *name).collect();
    let with = |names: &[&str]| {
        plan_of(Format::CloudFrontRealtime(vec![set(None, names)]), KeySpec::None, &Limits::default()).unwrap()
    };
    let named = |plan: &DecodePlan, object: &str| try_read(plan, object).unwrap_err().to_string();

    let other: Vec<_> = fields.iter().map(|&name| if name == "cs-method" { "cs-bytes" } else { name }).collect();
    let error = named(&with(&other), &lines(&["a"]).repeat(10));
    assert_eq!(
        error,
        "what stands under `cs-bytes` is never one, so the records are not of the configured `fields`; they fit the configured set with `cs-method` in place of `cs-bytes`"
    );
    assert_eq!(read(&with(&other), lines(&["a"]).repeat(9)).reasons(), ["bad_number"; 9], "too few to tell");

    let fewer: Vec<_> = fields.iter().copied().filter(|&name| name != "sc-status").collect();
    let error = named(&with(&fewer), &lines(&["a"]).repeat(10));
    assert!(error.ends_with("they fit the configured set with `sc-status` added"), "{error}");

    // Later records do not make it right, nor does a caller's text make it wrong.
    let error = named(&with(&other), &lines(&["a"]).repeat(3000));
    assert!(error.contains("cs-bytes"), "{error}");
    let hostile =
        line(&[("cs-method", "%22"), ("cs-uri-stem", "x"), ("cs-user-agent", "1"), ("cs-uri-query", "\\x20")]);
    assert_eq!(read(&edge(KeySpec::None), hostile.repeat(100)).counts.events, 100);
}
