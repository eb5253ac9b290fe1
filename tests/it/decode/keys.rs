//! The caller's key in CloudFront records: where it is found, when it is uncertain, and that nothing of it is stored.

use super::*;

const KEY: &str = "TESTKEY0TESTKEY1TESTKEY2";

fn headers(list: &str, names: &str, count: &str) -> Row {
    only(&edge(header_key()), line(&[("cs-headers", list), ("cs-header-names", names), ("cs-headers-count", count)]))
}

#[track_caller]
fn assert_key(row: &Row, key: &str) {
    assert_eq!((row["key_state"].as_str(), row["key_ref"].as_str()), ("present", reference(key).as_str()));
}

#[track_caller]
fn assert_none(row: &Row, state: &str) {
    assert_eq!((row["key_state"].as_str(), row.get("key_ref")), (state, None));
}

#[test]
fn a_header_is_found_in_any_case_and_its_value_decoded_once() {
    for name in ["x-api-key", "X-Api-Key", "X-API-KEY"] {
        let list = format!("host:a.example%0A{name}:K%253A1:2%0Areferer:https://a/%0A");
        assert_key(&headers(&list, "-", "3"), "K%3A1:2");
    }
}

#[test]
fn a_forged_line_break_bills_nobody_else() {
    assert_none(&headers("x-foo:a%250Ax-api-key:VICTIM%0A", "x-foo%0A", "1"), "absent");
    assert_key(&headers("x-foo:a%250Ax-api-key:VICTIM%0Ax-api-key:ME%0A", "-", "2"), "ME");
    assert_key(&headers("x-foo:x-api-key:VICTIM%0AX-Api-Key:ME%0A", "-", "2"), "ME");
}

#[test]
fn different_keys_in_one_request_are_nobodys() {
    assert_none(&headers("x-api-key:A%0Ax-api-key:B%0A", "-", "2"), "truncated");
    assert_none(&headers("X-API-Key:A%0Ahost:h%0Ax-api-key:B%0Ax-api-key:A%0A", "-", "4"), "truncated");
    assert_key(&headers("x-api-key:A%0Ax-api-key:A%0A", "-", "2"), "A");
}

#[test]
fn a_list_shorter_than_its_count_was_cut_unless_the_cookie_explains_it() {
    assert_none(&headers("host:h%0Aaccept:*/*%0A", "-", "2"), "absent");
    assert_none(&headers("host:h%0Aaccept:*/*%0A", "-", "3"), "truncated");
    assert_none(&headers("host:h%0A", "host%0Acookie%0A", "2"), "absent");
    assert_none(&headers("host:h%0A", "host%0Acookie%0A", "3"), "truncated");
    let cookie = [("cs-cookie", "a=b"), ("cs-headers", "host:h%0A"), ("cs-headers-count", "2")];
    assert_none(&only(&edge(header_key()), line(&cookie)), "absent");
    assert_none(&headers("host:h%0A", "-", "0"), "absent");
    assert_none(&headers("-", "-", "7"), "truncated");
}

#[test]
fn a_key_that_is_named_but_not_listed_was_cut() {
    assert_none(&headers("host:h%0A", "host%0AX-Api-Key%0A", "-"), "truncated");
    assert_none(&headers("host:h%0A", "host%0AX-Api-Key%0A", "1"), "truncated");
}

#[test]
fn a_header_cut_in_its_middle_is_not_believed() {
    let padding = format!("x-pad:{}%0A", "p".repeat(760));
    assert_none(&headers(&format!("{padding}x-api-key:TESTKEY0TESTK"), "-", "2"), "truncated");
    assert_none(&headers(&format!("{padding}x-accept:x;padpad;x-api-"), "-", "2"), "truncated");
    assert_key(&headers(&format!("{padding}x-api-key:{KEY}%0A"), "-", "2"), KEY);
    assert_key(&headers(&format!("x-api-key:{KEY}"), "-", "1"), KEY);
}

#[test]
fn an_empty_key_is_none() {
    assert_none(&headers("x-api-key:%0A", "x-api-key%0A", "1"), "absent");
}

#[test]
fn a_parameter_with_the_key_is_removed_however_it_is_spelled() {
    let plan = edge(KeySpec::Query("api-key".into()));
    let row = only(&plan, line(&[("cs-uri-query", "a=1&api%2Dkey=S%252B1+2&b")]));
    assert_key(&row, "S+1 2");
    assert_eq!(row["query"], "a=1&b");
    let row = only(&plan, line(&[("cs-uri-query", "API-Key=S&api%252Dkey=T&cf_api_key=U")]));
    assert_eq!(row["query"], "");
    assert_none(&only(&plan, line(&[("cs-uri-query", "api-key=A&api-key=B")])), "truncated");
    assert_none(&only(&plan, line(&[])), "absent");
}

#[test]
fn a_secret_in_log_data_is_replaced_and_an_id_kept() {
    let log_data = |raw: &str, plain: bool| {
        let key = KeySpec::LogData { name: "k".into(), plain, missing: Missing::Held };
        only(&edge_with(&["viewer-request-log-data"], key), line(&[("viewer-request-log-data", raw)]))
    };
    let row = log_data("v1;k=S;x=1", false);
    assert_key(&row, "S");
    assert_eq!(row["log_data"], format!("v1;k={};x=1", reference("S")));

    let row = log_data("v1%3Bk%3Dcust_42", true);
    assert_eq!((row["key_ref"].as_str(), row["log_data"].as_str()), ("cust_42", "v1;k=cust_42"));

    let cut = format!("{};k=TESTK", "p".repeat(793));
    let row = log_data(&cut, false);
    assert_none(&row, "truncated");
    assert!(!row["log_data"].contains("TESTK"));
    assert_none(&log_data("v1", false), "absent");
    assert_eq!(log_data("v1;k=a;z=%4", true)["log_data"], "v1;k=a;z=%4");
}

/// A cache behaviour without the function: nobody knows whose request it was, unless the configuration says nobody's.
#[test]
fn what_no_function_wrote_log_data_for_is_held_unless_told() {
    let with = |missing: Missing, raw: &str| {
        let key = KeySpec::LogData { name: "k".into(), plain: true, missing };
        only(&edge_with(&["viewer-request-log-data"], key), line(&[("viewer-request-log-data", raw)]))
    };
    for raw in ["-", ""] {
        assert_none(&with(Missing::Held, raw), "truncated");
        assert_none(&with(Missing::Anonymous, raw), "absent");
    }
    // The function ran, and there was no key.
    assert_none(&with(Missing::Held, "v1"), "absent");
    let cookies = standard::plan(&[], standard::log_data());
    assert_none(&only(&cookies, standard::header() + &standard::row_with("viewer-request-log-data", "-")), "truncated");
}

#[test]
fn a_field_set_that_cannot_carry_the_key_leaves_it_uncertain() {
    let all: Vec<_> = EDGE.iter().map(|(name, _)| *name).collect();
    let sets = vec![set(None, &all[..11]), set(Some("2027-01-01T00:00:00Z"), &all)];
    let plan = plan_of(Format::CloudFrontRealtime(sets), header_key(), &Limits::default()).unwrap();
    let record: Vec<_> = EDGE[..11].iter().map(|(_, value)| *value).collect();
    assert_none(&only(&plan, record.join("\t")), "truncated");
}

#[test]
fn a_key_that_was_found_stands_nowhere_else_in_the_row() {
    let values = [
        ("cs-uri-stem", format!("/v1/{KEY}/x")),
        ("cs-uri-query", format!("a={KEY}&x-api-key={KEY}&b=2")),
        ("cs-user-agent", format!("curl%20{KEY}")),
        ("cs-referer", format!("https://a.example/?k={KEY}")),
        ("cs-cookie", format!("session={KEY}")),
        ("cs-headers", format!("x-api-key:{KEY}%0Aauthorization:Bearer%20{KEY}x%0A")),
        ("cs-headers-count", "2".to_owned()),
    ];
    let values: Vec<_> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let row = only(&edge(header_key()), line(&values));
    assert_key(&row, KEY);
    assert_eq!(row["query"], format!("a={}&b=2", reference(KEY)));
    assert!(row.values().all(|value| !value.contains(KEY)), "{row:?}");
}

/// Another token of the log data, found by fuzzing.
#[test]
fn a_key_in_another_token_of_log_data_is_not_stored() {
    let key = KeySpec::LogData { name: "k".into(), plain: false, missing: Missing::Held };
    let data = format!("v1;ua=x{KEY};k={KEY}");
    let row = only(&edge_with(&["viewer-request-log-data"], key), line(&[("viewer-request-log-data", &data)]));
    assert_key(&row, KEY);
    assert_eq!(row["log_data"], format!("v1;ua=x{0};k={0}", reference(KEY)));
}

/// A caller may send the key as the method of a request; an authorizer may pass it on.
#[test]
fn a_key_sent_in_place_of_something_else_is_not_stored() {
    let list = format!("X-Api-Key:{KEY}%0A");
    let row = only(&edge(header_key()), line(&[("cs-headers", &list), ("cs-method", KEY)]));
    assert_key(&row, KEY);
    assert!(row.values().all(|value| !value.contains(KEY)), "{row:?}");

    let format = r#"{"id":"$context.extendedRequestId","t":"$context.requestTimeEpoch","k":"$context.identity.apiKey","m":"$context.httpMethod","e":"$context.error.responseType","c":"$context.authorizer.customerId","f":"$context.authorizer.cfid"}"#;
    let plan = plan_of(templates(&[format]), variable("identity.apiKey"), &Limits::default()).unwrap();
    let record =
        format!(r#"{{"id":"A","t":"1764000000456","k":"{KEY}","m":"{KEY}","e":"{KEY}","c":"{KEY}","f":"{KEY}"}}"#);
    let row = only(&plan, record);
    assert_eq!((row["key_ref"].as_str(), row["method"].as_str()), (reference(KEY).as_str(), reference(KEY).as_str()));
    assert!(row.values().all(|value| !value.contains(KEY)), "{row:?}");
}

#[test]
fn cookies_and_authorizations_are_not_stored() {
    let values = [
        ("cs-cookie", "session=COOKIE1"),
        ("cs-headers", "host:h%0Aauthorization:Basic%20AUTH1%0Acookie:COOKIE1%0A"),
        ("cs-header-names", "host%0Aauthorization%0Acookie%0A"),
        ("cs-headers-count", "3"),
    ];
    let good = read(&edge(header_key()), line(&values));
    let bad = read(&edge(header_key()), line(&[&values[..], &[("timestamp", "-")]].concat()));
    assert_eq!((good.events.len(), bad.reasons()), (1, vec!["no_time"]));
    for row in good.events.iter().chain(&bad.rejects) {
        assert!(row.values().all(|value| !value.contains("COOKIE1") && !value.contains("AUTH1")), "{row:?}");
    }
}

/// A cookie needs no telling name, and may stand where the fields are not what they should be.
#[test]
fn an_excerpt_hides_cookies_wherever_they_stand() {
    let cookie = ("cs-cookie", "SECRET1;%20theme=SECRET2");
    let good = read(&edge(header_key()), line(&[cookie, ("timestamp", "-")]));
    let short = line(&[("cs-cookie", "sid=SECRET1;%20theme=SECRET2")]).replacen('\t', " ", 1);
    let short = read(&edge(header_key()), short + &line(&[]));
    let log = standard::header() + &standard::row_with("cs(Cookie)", "SECRET1").replace("2026-02-03", "today");
    let standard = read(&standard::plan(&[], standard::log_data()), log);
    let record = r#"{"id":"r-1","headers":{"cookie":["sid=SECRET1"],"authorization":{"scheme":"x","value":"SECRET2"}},"cookies":{"sid":"SECRET1"}}"#;
    let own = read(&own_json::backend(), record);
    for (read, reason) in [(&good, "no_time"), (&short, "columns"), (&standard, "bad_time"), (&own, "no_time")] {
        assert_eq!(read.reasons(), [reason]);
        assert!(!read.rejects[0]["excerpt"].contains("SECRET"), "{:?}", read.rejects);
    }
}

#[test]
fn an_excerpt_shows_equal_keys_as_equal_and_none_of_them() {
    let record = |key: &str| format!("1\tx-api-key:{key}%0Ahost:h%0A\t/v1\n");
    let read = read(&edge(header_key()), [record(KEY), record(KEY), record("OTHER")].concat());
    let excerpts: Vec<_> = read.rejects.iter().map(|reject| reject["excerpt"].as_str()).collect();
    assert_eq!(excerpts[0], format!("1 x-api-key:#{}%0Ahost:h%0A /v1", &reference(KEY)[..8]));
    assert!(excerpts[0] == excerpts[1] && excerpts[1] != excerpts[2] && !excerpts[2].contains("OTHER"));
}

/// Every text of the row, to see what stands in it.
fn all_of(row: &Row) -> String {
    row.iter().map(|(column, value)| format!("{column}={value}\n")).collect()
}

/// A key that is billed to nobody, because there are two or because the field was cut within it, is a secret still.
#[test]
fn a_doubtful_key_stands_nowhere_else_in_the_row() {
    let other = "OTHER0KEY1OTHER2KEY3";
    let elsewhere = [
        ("cs-uri-stem", format!("/v1/{KEY}/{other}")),
        ("cs-uri-query", format!("a={other}&b={KEY}{KEY}")),
        ("cs-user-agent", format!("curl%20{KEY}")),
        ("cs-referer", format!("https://{other}.example/{KEY}")),
        ("cs-method", KEY.to_owned()),
    ];
    let with = |field: &'static str, value: String| {
        let of: Vec<_> =
            elsewhere.iter().map(|(name, value)| (*name, value.as_str())).chain([(field, &*value)]).collect();
        line(&of)
    };
    let two = format!("x-api-key:{KEY}%0AX-Api-Key:{other}%0A");
    let row = only(&edge(header_key()), with("cs-headers", two));
    assert_none(&row, "truncated");
    assert!(!all_of(&row).contains(KEY) && !all_of(&row).contains(other), "{row:?}");
    assert_eq!(row["path"], format!("/v1/{}/{}", reference(KEY), reference(other)));

    let key = KeySpec::LogData { name: "k".into(), plain: false, missing: Missing::Held };
    let plan = edge_with(&["viewer-request-log-data"], key);
    for data in [
        format!("v1;x={KEY};k={KEY};k={other}"),
        format!("v1;x={KEY}{other};k={KEY};k={other};k={KEY}"),
        format!("{:p<778};k={KEY}", format!("v1;x={KEY};k={other};")),
        // Cut in the middle of an escape: its start says nothing.
        format!("{:p<778};k={}%4", format!("v1;x={KEY};k={other};"), &KEY[..17]),
    ] {
        let row = only(&plan, with("viewer-request-log-data", data));
        assert_none(&row, "truncated");
        assert!(!all_of(&row).contains(KEY) && !all_of(&row).contains(other), "{row:?}");
    }

    let query = format!("a=1&key={KEY}&key={other}");
    let plan = edge(KeySpec::Query("key".into()));
    let row = only(&plan, line(&[("cs-uri-query", &query), ("cs-user-agent", &format!("{KEY}%20{other}"))]));
    assert_none(&row, "truncated");
    assert_eq!(row["user_agent"], format!("{} {}", reference(KEY), reference(other)));
}

/// Of a key that was cut, only its start is known: what follows that start elsewhere is the rest of it.
#[test]
fn the_rest_of_a_key_that_was_cut_goes_with_it() {
    let list = format!("x-pad:{}%0Ax-api-key:{}", "p".repeat(760), &KEY[..18]);
    let agent = format!("a%20{KEY}%2C%20{}%20z", &KEY[..18]);
    let row = only(&edge(header_key()), line(&[("cs-headers", &list), ("cs-user-agent", &agent)]));
    assert_none(&row, "truncated");
    let told = reference(&KEY[..18]);
    assert_eq!(row["user_agent"], format!("a {told}, {told} z"));
}

/// So many keys that looking for each by itself would take minutes.
#[test]
fn thousands_of_keys_in_one_request_take_no_longer() {
    let query: String = (0..20_000).map(|number| format!("key=SECRET0SECRET0{number:06}&")).collect();
    let agent: String = (0..20_000).rev().map(|number| format!("SECRET0SECRET0{number:06}")).collect();
    let row = only(&edge(KeySpec::Query("key".into())), line(&[("cs-uri-query", &query), ("cs-user-agent", &agent)]));
    assert_none(&row, "truncated");
    assert_eq!(row["user_agent"].len(), 20_000 * 32);
    assert!(!row["user_agent"].contains("SECRET"));
}
