//! `trace` explains a request: its event, the record and its copies, what each meter decided, whose key, what was charged. What is
//! expected is worked out from the records that each test writes.

use std::fs;

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::lab::{Call, Hit, Key, Lab, at, envelopes, lines};
use super::shell::{Shell, edge_config, edge_records, gz};

/// What `trace --json` says.
fn traced(lab: &Lab, id: &str) -> Value {
    let ran = lab.meterlake(&["trace", id, "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    serde_json::from_str(&ran.out).unwrap()
}

/// The places where an event's record stands.
fn copies(event: &Value) -> Vec<(String, i64, bool)> {
    let copy = |copy: &Value| {
        let object = copy["object"].as_str().unwrap().to_owned();
        (object, copy["position"].as_i64().unwrap(), copy["is_kept"].as_bool().unwrap())
    };
    event["copies"].as_array().unwrap().iter().map(copy).collect()
}

/// Six calls of acme in one hour, 1 000 ms apart. Tiers: 5 free, then 0.04.
fn six_calls() -> Vec<Call> {
    (0..6).map(|n| Call::new(at(0, 9, n * 1_000), Key::Acme)).collect()
}

fn written(calls: &[Call]) -> Vec<String> {
    calls.iter().map(Call::line).collect()
}

#[test]
fn an_event_is_followed_from_its_record_to_its_charge() {
    let lab = Lab::new();
    let calls = six_calls();
    lab.origin("2026/10/05/09/a", envelopes(&written(&calls), 4));
    lab.run();
    let trace = traced(&lab, &calls[2].id);
    assert_eq!(trace["has_more"], json!(false));
    let [event] = &trace["events"].as_array().unwrap()[..] else { panic!("{trace}") };
    assert_eq!(event["table"], json!("origin_requests"));
    assert_eq!(event["event"]["key_ref"], json!("acmeid0001"));
    assert_eq!(event["event"]["caller_request_id"], json!(calls[2].caller_id));
    // The third record of the first envelope.
    assert_eq!(event["record"]["object"], json!("2026/10/05/09/a"));
    assert_eq!(event["record"]["position"], json!(2));
    assert_eq!(event["record"]["ledger"]["state"], json!("applied"));
    assert_eq!(event["record"]["ledger"]["records"], json!(6));
    assert_eq!(event["record"]["decoded_as_now"], json!(true));
    let record = event["record"]["masked"].as_str().unwrap();
    // Long words are masked: the ids. What is short and beside no name of a key is as it stands.
    assert!(
        record.starts_with(r##"{"ext":"#"##) && record.contains(r#""epoch":"1791190802000","method":"GET""#),
        "{record}"
    );
    assert_eq!(copies(event), [("2026/10/05/09/a".to_owned(), 2, true)]);
    // `egress` counts the other source only.
    let [meter] = &event["meters"].as_array().unwrap()[..] else { panic!("{event}") };
    assert_eq!(meter["meter"], json!("calls"));
    assert_eq!(meter["rule"], json!("status < 500 AND status NOT IN (401, 403, 429)"));
    assert_eq!((&meter["holds"], &meter["outcome"], &meter["quantity"]), (&json!(true), &json!("counted"), &json!(1)));
    assert_eq!((&meter["attribution"], &meter["customer_id"]), (&json!("mapped"), &json!("acme")));
    assert_eq!(meter["keys"][0]["customer_id"], json!("acme"));
    assert_eq!((&meter["keys"][0]["at_event"], &meter["keys"][0]["plan"]), (&json!(true), &json!("pro")));
    // All six calls of the day are one row of usage: five are free, one costs 0.04.
    assert_eq!((&meter["usage"][0]["events"], &meter["usage"][0]["quantity"]), (&json!(6), &json!(6)));
    let charges = meter["charges"].as_array().unwrap();
    let charged = |row: &Value| [row["tier"].clone(), row["quantity"].clone(), row["amount"].clone()];
    let charges: Vec<_> = charges.iter().map(charged).collect();
    assert_eq!(
        charges,
        [[json!("1"), json!(5), json!("0.000000000")], [json!("2"), json!(1), json!("0.040000000")]],
        "{charges:?}"
    );
}

#[test]
fn ids_of_either_kind_and_table_are_found() {
    let lab = Lab::new();
    let calls = [1, 2].map(|n| Call { caller_id: "chosen".to_owned(), ..Call::new(at(0, 9, n), Key::Acme) });
    lab.origin("a", lines(&written(&calls)));
    let hit = Hit::new(at(1, 9, 0), Key::Acme);
    lab.edge("b", gz(&lines(&[hit.line()])));
    lab.run();
    // A caller sent one id twice: these are two calls.
    let trace = traced(&lab, "chosen");
    let ids: Vec<_> =
        trace["events"].as_array().unwrap().iter().map(|event| event["event"]["request_id"].clone()).collect();
    assert_eq!(ids, [json!(calls[0].id), json!(calls[1].id)]);
    let trace = traced(&lab, &hit.id);
    assert_eq!(trace["events"][0]["table"], json!("edge_requests"));
    let meter = &trace["events"][0]["meters"][0];
    assert_eq!((&meter["meter"], &meter["counts"]), (&json!("egress"), &json!("response_bytes")));
    assert_eq!((&meter["value"], &meter["quantity"]), (&json!("1000"), &json!(1_000)));
    // 1 000 bytes at 0.000001.
    assert_eq!(meter["charges"][0]["amount"], json!("0.001000000"));
    // A day narrows it.
    let on = |day: &str| lab.meterlake(&["trace", &hit.id, "--day", day]).code;
    assert_eq!((on("2026-10-06"), on("2026-10-05")), (0, 2));
}

#[test]
fn an_id_that_no_event_has_is_told_with_where_it_was_looked_for() {
    let lab = Lab::new();
    lab.origin("a", lines(&written(&[Call::new(at(0, 9, 0), Key::Acme), Call::new(at(3, 9, 0), Key::Acme)])));
    lab.run();
    assert_snapshot!(lab.meterlake(&["trace", "it's nothing"]).all(), @"
    exit 2
    --- stderr
    error: no event has the request id `it's nothing`

    hint: looked for it as request_id, caller_request_id, edge_request_id of origin_requests (2 days, 2026-10-05 to 2026-10-08); request_id of edge_requests (which has no events). What has not been converted yet is not there (`meterlake run`), nor what could not be read (`meterlake rejects`)
    ");
    let ran = lab.meterlake(&["trace", "x", "--day", "2026-10-06"]);
    assert!(ran.code == 2 && ran.err.contains("origin_requests (which has no events of 2026-10-06)"), "{}", ran.all());
}

#[test]
fn every_copy_of_a_record_is_listed() {
    let lab = Lab::new();
    let calls = six_calls();
    // The second record comes twice in the first object, and once more a day later in another form.
    let twice = [&calls[..2], &calls[1..2]].concat();
    lab.origin("2026/10/05/09/b", lines(&written(&twice)));
    lab.origin("2026/10/06/10/c", envelopes(&written(&calls[1..3]), 5));
    // An object of the same hour without it.
    lab.origin("2026/10/05/09/a", lines(&written(&calls[4..])));
    lab.run();
    let trace = traced(&lab, &calls[1].id);
    let event = &trace["events"][0];
    let (b, c) = ("2026/10/05/09/b".to_owned(), "2026/10/06/10/c".to_owned());
    assert_eq!(copies(event), [(b.clone(), 1, true), (b, 2, false), (c, 0, false)]);
    assert_eq!(event["objects_read"], json!(3));
    assert_eq!(trace["events"].as_array().unwrap().len(), 1, "three copies are one event");
}

#[test]
fn both_sides_of_a_conflict_are_told() {
    let lab = Lab::new();
    let call = Call::new(at(0, 9, 0), Key::Acme);
    let other = Call { bytes: 513, ..call.clone() };
    lab.origin("a", lines(&written(&[call.clone(), other])));
    lab.run();
    let trace = traced(&lab, &call.id);
    let events = trace["events"].as_array().unwrap();
    let mut fates: Vec<_> = events
        .iter()
        .map(|event| {
            (event["event"]["conflict"].as_bool().unwrap(), event["meters"][0]["attribution"].as_str().unwrap())
        })
        .collect();
    fates.sort_unstable();
    assert_eq!(fates, [(false, "mapped"), (true, "conflict")]);
    let held = events.iter().find(|event| event["event"]["conflict"] == json!(true)).unwrap();
    assert_eq!(held["meters"][0]["charges"], json!([]));
    // Each has its own record: their positions differ.
    assert_eq!(copies(&events[0]).len(), 1);
    assert_ne!(copies(&events[0]), copies(&events[1]));
}

#[test]
fn the_first_reason_that_applies_is_told() {
    let lab = Lab::new();
    let call = |n: i64, key, status| Call { status, ..Call::new(at(0, 9, n), key) };
    let calls = [call(0, Key::Nobody, 200), call(1, Key::Acme, 429), call(2, Key::None, 200), call(3, Key::Acme, 500)];
    lab.origin("a", lines(&written(&calls)));
    lab.run();
    let decision = |call: &Call| traced(&lab, &call.id)["events"][0]["meters"][0].clone();
    let [nobody, limited, anonymous, failed] = [0, 1, 2, 3].map(|n| decision(&calls[n]));
    assert_eq!((&nobody["attribution"], &nobody["outcome"]), (&json!("unmapped"), &json!("counted")));
    assert_eq!((&nobody["keys"], &nobody["customer_id"]), (&json!([]), &Value::Null));
    assert_eq!(nobody["usage"][0]["key_ref"], json!("nobodyid03"));
    assert_eq!((&limited["attribution"], &limited["holds"]), (&json!("not_billable"), &json!(false)));
    // It would count for 1 under this route, but counts for nothing.
    assert_eq!((&limited["value"], &limited["quantity"]), (&json!("1"), &json!(0)));
    assert_eq!(limited["dimensions"], json!(r#"{"route":"/v1/items"}"#));
    // 429 and 500: both are in the one row of what is not billable.
    assert_eq!((&failed["usage"][0]["events"], &failed["usage"]), (&json!(2), &limited["usage"]));
    assert_eq!(anonymous["attribution"], json!("anonymous"));
    let text = lab.meterlake(&["trace", &calls[1].id]).out;
    assert!(text.contains("status < 500 AND status NOT IN (401, 403, 429)"), "{text}");
    assert!(text.contains("not_billable: the meter's rule is false"), "{text}");
}

#[test]
fn a_key_that_changed_hands_is_told_with_all_its_owners() {
    let lab = Lab::new();
    let header = "customer_id,api_key_id,key_fingerprint,label,valid_from,valid_to\n";
    let until =
        format!("acme,{0},,old,2026-01-01,2026-10-05T09:05:00Z\nbeta,{0},,new,2026-10-05T09:05:00Z,\n", Key::Acme.id());
    lab.write("keys.csv", format!("{header}{until}"));
    // A millisecond before nine hours five, and that very instant: within one quarter of an hour.
    let calls = [299_999, 300_000].map(|ms| Call::new(at(0, 9, ms), Key::Acme));
    lab.origin("a", lines(&written(&calls)));
    lab.run();
    let owners = |call: &Call| {
        let trace = traced(&lab, &call.id);
        let meter = &trace["events"][0]["meters"][0];
        let keys = meter["keys"].as_array().unwrap().iter();
        let keys: Vec<_> = keys.map(|key| (key["customer_id"].clone(), key["at_event"].clone())).collect();
        (meter["customer_id"].clone(), keys)
    };
    let (acme, beta) = (json!("acme"), json!("beta"));
    assert_eq!(owners(&calls[0]), (acme.clone(), vec![(acme.clone(), json!(true)), (beta.clone(), json!(false))]));
    assert_eq!(owners(&calls[1]), (beta.clone(), vec![(acme, json!(false)), (beta, json!(true))]));
}

#[test]
fn no_secret_is_shown_in_a_record() {
    let lab = Lab::new();
    lab.configure(r#""cs-headers", "cs-headers-count"]"#, r#""cs-cookie", "cs-headers", "cs-headers-count"]"#);
    let hit = Hit::new(at(0, 9, 0), Key::Acme)
        .with_header("authorization", "Basic%20c2hvcnQ")
        .with_header("cookie", "sid=abc1")
        .with_header("accept", "text/csv");
    // The cookie stands in a column of its own, too, before the list of headers.
    let line = hit.line().replace("\thost:", "\tsid=abc1\thost:");
    lab.edge("a", gz(&lines(&[line])));
    lab.run();
    for arguments in [&["trace", &hit.id][..], &["trace", &hit.id, "--json"]] {
        let ran = lab.meterlake(arguments);
        assert_eq!(ran.code, 0, "{}", ran.all());
        for secret in [Key::Acme.raw(), "c2hvcnQ", "abc1"] {
            assert!(!ran.out.contains(secret), "{secret} in {}", ran.out);
        }
        assert!(ran.out.contains("x-api-key:#") && ran.out.contains("accept:text/csv"), "{}", ran.out);
    }
}

#[test]
fn an_object_that_is_gone_is_told_and_the_rest_all_the_same() {
    let lab = Lab::new();
    let calls = six_calls();
    lab.origin("a", lines(&written(&calls[..2])));
    lab.origin("b", lines(&written(&calls[1..])));
    lab.run();
    fs::remove_file(lab.landing("origin/a")).unwrap();
    let ran = lab.meterlake(&["trace", &calls[1].id]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    let event = &traced(&lab, &calls[1].id)["events"][0];
    assert_eq!(event["record"]["masked"], Value::Null);
    assert!(event["record"]["problem"].as_str().unwrap().starts_with("it is no longer in "), "{event}");
    assert_eq!(copies(event), [("b".to_owned(), 0, false)]);
    assert_eq!(event["objects_unread"][0]["object"], json!("a"));
    assert_eq!(event["meters"][0]["customer_id"], json!("acme"));
    // The same name with other content is another version.
    lab.origin("a", lines(&written(&calls[..1])));
    let event = &traced(&lab, &calls[1].id)["events"][0];
    assert_eq!(event["record"]["problem"], json!("another version of it lies there now"));
}

#[test]
fn a_person_reads_sections_that_line_up() {
    let lab = Lab::new();
    let calls = six_calls();
    lab.origin("2026/10/05/09/a-2026-10-05-09-10-00-6d0c1f7e-0a1b-4c2d-8e3f-123456789abc", lines(&written(&calls)));
    lab.origin(
        "2026/10/05/09/b-2026-10-05-09-20-00-6d0c1f7e-0a1b-4c2d-8e3f-123456789abd",
        lines(&written(&calls[2..3])),
    );
    lab.run();
    assert_snapshot!(lab.meterlake(&["trace", &calls[2].id]).all(), @r##"
    exit 0
    --- stdout
    Event 1 of 1: origin_requests
      event_time         2026-10-05T09:00:02Z
      source             origin
      request_id         ext1791190802000=
      caller_request_id  id-1791190802000
      key_ref            acmeid0001
      key_state          present
      method             GET
      route              /v1/items
      status             200
      response_bytes     512
      conflict           false

    Record
      object    2026/10/05/09/a-2026-10-05-09-10-00-6d0c1f7e-0a1b-4c2d-8e3f-123456789abc
      position  2
      decoder   generation 1, now 1
      ledger    applied; arrived 2026-10-05T09:10:00Z, 1.0 KiB, 6 records, decoded under today's settings
      masked    {"ext":"#9b0753ab","id":"#2c8b9884","epoch":"1791190802000","method":"GET","route":"/v1/items","status":"200","bytes":"512","key":"#db7d59eb","agent":"agent/1"}

    Copies: 2; objects with records of 2026-10-05T09 looked into: 2
      object                                                                    position
      2026/10/05/09/a-2026-10-05-09-10-00-6d0c1f7e-0a1b-4c2d-8e3f-123456789abc         2  the event
      2026/10/05/09/b-2026-10-05-09-20-00-6d0c1f7e-0a1b-4c2d-8e3f-123456789abd         0  a duplicate

    Meter calls
      rule         status < 500 AND status NOT IN (401, 403, 429)
      holds        true
      value        count = 1
      dimensions   {"route":"/v1/items"}
      outcome      counted, quantity 1
      attribution  mapped to acme: the key's owner at that time
    Owners of the key
      customer_id  label  valid_from            valid_to  at_event  plan
      acme         key    2026-01-01T00:00:00Z            true      pro
    Usage of 2026-10-05 that it is part of
      day         customer_id  key_ref     meter  dimensions             attribution  quantity  events
      2026-10-05  acme         acmeid0001  calls  {"route":"/v1/items"}  mapped              6       6
    Charges of 2026-10-05 for all events of this customer, meter and dimensions together
      day         customer_id  plan  price_id  model      tier  quantity  billed  unit_price  amount  currency
      2026-10-05  acme         pro   calls     graduated  1            5       5        0.00    0.00  USD
      2026-10-05  acme         pro   calls     graduated  2            1       1        0.04    0.04  USD
    "##);
}

#[test]
fn a_figure_of_the_customers_own_is_shown_beside_the_keys() {
    let lab = Lab::new();
    lab.configure("name = \"calls\"\nsource = \"origin\"", "name = \"callers\"\nsource = \"origin\"");
    lab.configure("value = \"count\"\ngroup_by = [\"route\"]", "value = \"unique(user_agent)\"");
    lab.write("rates.toml", "[[plan]]\nid = \"pro\"\n[[plan.price]]\nid = \"users\"\nmeter = \"callers\"\nmodel = \"per_unit\"\nunit_price = \"2\"\n");
    let call = |n, agent: &str| Call { agent: agent.to_owned(), ..Call::new(at(0, 9, n), Key::Acme) };
    let calls = [call(0, "ann"), call(1, "bob"), call(2, "ann")];
    lab.origin("a", lines(&written(&calls)));
    lab.run();
    let meter = traced(&lab, &calls[2].id)["events"][0]["meters"][0].clone();
    assert_eq!((&meter["counts"], &meter["value"]), (&json!("unique(user_agent)"), &json!("ann")));
    assert_eq!((&meter["attribution"], &meter["customer_id"]), (&json!("mapped"), &json!("acme")));
    let usage = meter["usage"].as_array().unwrap().iter();
    let usage: Vec<_> =
        usage.map(|row| (row["key_ref"].clone(), row["quantity"].clone(), row["events"].clone())).collect();
    // The key has three events, the customer two callers.
    assert_eq!(usage, [(json!("acmeid0001"), json!(0), json!(3)), (Value::Null, json!(2), json!(0))]);
    assert_eq!(meter["charges"][0]["amount"], json!("4.000000000"));
}

#[test]
fn what_a_plan_warns_of_is_said_once() {
    let shell = Shell::new();
    // Without the count, a header list that was cut cannot be told from one without a key.
    let config = edge_config("").replace(r#", "cs-headers-count""#, "");
    shell.write("meterlake.toml", config).write("landing/a", edge_records(0..3).replace("%0A\t2", "%0A"));
    let ran = shell.run(&["run"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    let warnings: Vec<_> = ran.err.lines().filter(|line| line.starts_with("warning:")).collect();
    let [warning] = warnings[..] else { panic!("{}", ran.err) };
    assert!(warning.starts_with("warning: source `edge`: `cs-headers-count` is not among the fields"), "{warning}");
}
