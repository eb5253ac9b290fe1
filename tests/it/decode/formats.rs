//! Access-log formats of any kind: derived from the text configured in the stage, and safe against what callers send.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;

pub(super) const CSV: &str = "$context.extendedRequestId,$context.requestTimeEpoch,$context.identity.apiKeyId,$context.path,$context.status,$context.identity.userAgent";
pub(super) const CLF: &str = r#"$context.identity.sourceIp - $context.identity.apiKeyId [$context.requestTime]"$context.httpMethod $context.path $context.protocol" $context.status $context.responseLength "$context.identity.userAgent" $context.extendedRequestId"#;
pub(super) const XML: &str = r#"<request id="$context.extendedRequestId"> <time>$context.requestTimeEpoch</time> <key>$context.identity.apiKeyId</key>
    <path>$context.path</path> <status>$context.status</status> <agent>$context.identity.userAgent</agent> </request>"#;
pub(super) const TSV: &str = "$context.extendedRequestId\t$context.requestTimeEpoch\t$context.path\t$context.identity.apiKeyId\t$context.status\t$context.identity.userAgent";

/// What stands for a variable unless a test says otherwise.
const USUAL: [(&str, &str); 14] = [
    ("extendedRequestId", "BkJdhGC0yK4FcBA="),
    ("requestId", "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"),
    ("requestTimeEpoch", "1764000000456"),
    ("requestTime", "24/Nov/2025:16:00:00 +0000"),
    ("identity.apiKeyId", "k1"),
    ("identity.sourceIp", "203.0.113.9"),
    ("httpMethod", "GET"),
    ("path", "/prod/items"),
    ("resourcePath", "/items/{id}"),
    ("routeKey", "GET /items/{id}"),
    ("protocol", "HTTP/1.1"),
    ("status", "200"),
    ("responseLength", "34"),
    ("identity.userAgent", "curl/8"),
];

/// A record as API Gateway makes it of a format: nothing is escaped, and what is not there is `-`.
pub(super) fn render(format: &str, values: &[(&str, &str)]) -> String {
    let (mut out, mut rest) = (String::new(), format);
    while let Some((fixed, after)) = rest.split_once("$context.") {
        out.push_str(fixed);
        let length = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).unwrap_or(after.len());
        let name = after[..length].trim_end_matches('.');
        let told = values.iter().chain(&USUAL).find(|(known, _)| *known == name);
        out.push_str(told.map_or("-", |(_, value)| value));
        rest = &after[name.len()..];
    }
    out + rest
}

pub(super) fn keyed(format: &str) -> DecodePlan {
    plan_of(templates(&[format]), variable("identity.apiKeyId"), &Limits::default()).unwrap()
}

fn refused(format: &str) -> String {
    plan_of(templates(&[format]), variable("identity.apiKeyId"), &Limits::default()).unwrap_err().to_string()
}

#[test]
fn a_record_of_any_kind_is_taken_apart_by_the_configured_format() {
    for format in [CSV, CLF, XML, TSV] {
        let flat = render(&format.replace("\n    ", " "), &[]);
        for object in [format!("{flat}\n"), format!("\r\n{flat}\r\n\r\n"), envelope(&[&flat])] {
            let row = only(&keyed(format), &object);
            for (column, value) in [
                ("request_id", "BkJdhGC0yK4FcBA="),
                ("key_ref", "k1"),
                ("key_state", "present"),
                ("status", "200"),
                ("path", "/prod/items"),
                ("user_agent", "curl/8"),
            ] {
                assert_eq!(row[column], value, "{column} of {object}");
            }
            assert_eq!(row["event_time"][..19], *"2025-11-24T16:00:00");
        }
        let nothing = render(format, &[("identity.apiKeyId", "-"), ("path", "-"), ("identity.userAgent", "-")])
            .replace("\n    ", " ");
        let row = only(&keyed(format), nothing);
        assert_eq!((row["key_state"].as_str(), row.get("path"), row.get("user_agent")), ("absent", None, None));
    }
}

/// The fingerprint does not depend on what a record came in.
#[test]
fn a_line_and_a_message_are_one_record() {
    let line = render(CSV, &[]);
    let bare = only(&keyed(CSV), format!("{line}\n"));
    assert_eq!(only(&keyed(CSV), envelope(&[&line])), bare);
    assert_eq!(only(&keyed(CSV), gzip(gzip(envelope(&[&format!("{line}\n")])))), bare);
}

#[test]
fn lines_envelopes_and_json_stand_in_one_object() {
    let formats = [CSV, REST];
    let plan = plan_of(templates(&formats), variable("identity.apiKeyId"), &Limits::default()).unwrap();
    let line = |id: &str| render(CSV, &[("extendedRequestId", id)]);
    let object =
        format!("{}\n{}{CONTROL}{}\n{}\n", line("a"), envelope(&[&line("b"), &access("c")]), access("d"), line("e"));
    let read = read(&plan, object);
    assert_eq!(read.column("request_id"), ["a", "b", "c", "d", "e"]);
    assert_eq!(read.counts, Counts { records: 6, events: 5, rejects: 0, control: 1 });
}

/// As published in the guides, and as they were before they had the extended id.
#[test]
fn the_documented_formats_are_recognised_by_themselves() {
    let plan = plan_of(templates(&[]), KeySpec::None, &Limits::default()).unwrap();
    assert!(plan.warnings().iter().any(|warning| warning.contains("anonymous")));
    let rest_clf = r#"$context.identity.sourceIp $context.identity.caller $context.identity.user [$context.requestTime]"$context.httpMethod $context.resourcePath $context.protocol" $context.status $context.responseLength $context.requestId $context.extendedRequestId"#;
    let http_clf = r#"$context.identity.sourceIp - - [$context.requestTime] "$context.httpMethod $context.routeKey $context.protocol" $context.status $context.responseLength $context.requestId $context.extendedRequestId"#;
    let rest_csv = "$context.identity.sourceIp,$context.identity.caller,$context.identity.user,$context.requestTime,$context.httpMethod,$context.resourcePath,$context.protocol,$context.status,$context.responseLength,$context.requestId,$context.extendedRequestId";
    let http_csv = "$context.identity.sourceIp,$context.requestTime,$context.httpMethod,$context.routeKey,$context.protocol,$context.status,$context.responseLength,$context.requestId,$context.extendedRequestId";
    let rest_xml = r#"<request id="$context.requestId"> <extendedRequestId>$context.extendedRequestId</extendedRequestId> <ip>$context.identity.sourceIp</ip> <caller>$context.identity.caller</caller> <user>$context.identity.user</user> <requestTime>$context.requestTime</requestTime> <httpMethod>$context.httpMethod</httpMethod> <resourcePath>$context.resourcePath</resourcePath> <status>$context.status</status> <protocol>$context.protocol</protocol> <responseLength>$context.responseLength</responseLength> </request>"#;
    let http_xml = r#"<request id="$context.requestId"> <ip>$context.identity.sourceIp</ip> <requestTime>$context.requestTime</requestTime> <httpMethod>$context.httpMethod</httpMethod> <routeKey>$context.routeKey</routeKey> <status>$context.status</status> <protocol>$context.protocol</protocol> <responseLength>$context.responseLength</responseLength> <extendedRequestId>$context.extendedRequestId</extendedRequestId> </request>"#;
    let rest_json = r#"{ "requestId":"$context.requestId", "extendedRequestId":"$context.extendedRequestId","ip": "$context.identity.sourceIp", "caller":"$context.identity.caller", "user":"$context.identity.user","requestTime":"$context.requestTime", "httpMethod":"$context.httpMethod","resourcePath":"$context.resourcePath", "status":"$context.status","protocol":"$context.protocol", "responseLength":"$context.responseLength" }"#;
    let http_json = r#"{ "requestId":"$context.requestId", "ip": "$context.identity.sourceIp", "requestTime":"$context.requestTime", "httpMethod":"$context.httpMethod","routeKey":"$context.routeKey", "status":"$context.status","protocol":"$context.protocol", "responseLength":"$context.responseLength", "extendedRequestId": "$context.extendedRequestId" }"#;
    for format in [rest_clf, http_clf, rest_csv, http_csv, rest_xml, http_xml, rest_json, http_json] {
        let is_http = format.contains("routeKey");
        let routes: &[(&str, &str)] = if is_http {
            &[("routeKey", "GET /items/{id}"), ("routeKey", "$default"), ("routeKey", "ANY /{proxy+}")]
        } else {
            &[("resourcePath", "/items/{id}"), ("resourcePath", "/")]
        };
        let mut old = format.to_owned();
        for extended in [
            " $context.extendedRequestId",
            ",$context.extendedRequestId",
            " <extendedRequestId>$context.extendedRequestId</extendedRequestId>",
            r#" "extendedRequestId":"$context.extendedRequestId","#,
            r#", "extendedRequestId": "$context.extendedRequestId""#,
        ] {
            old = old.replace(extended, "");
        }
        assert!(!old.contains("extendedRequestId"));
        for &(variable, route) in routes {
            for values in [vec![], vec![("identity.caller", "AROAX:a,b"), ("identity.user", "AROAX:a")]] {
                let values = [values, vec![(variable, route)]].concat();
                let blank = render(format, &values).replace("]\"", "] \"");
                for (record, id) in [
                    (render(format, &values), "BkJdhGC0yK4FcBA="),
                    (blank, "BkJdhGC0yK4FcBA="),
                    (render(&old, &values), "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"),
                ] {
                    let read = read(&plan, envelope(&[&record]));
                    if format == rest_csv && values.len() > 1 {
                        assert_eq!(read.reasons(), ["ambiguous"], "a comma in the name of a session: {record}");
                        continue;
                    }
                    assert_eq!(read.reasons(), [""; 0], "{record}");
                    let row = &read.events[0];
                    assert_eq!((row["request_id"].as_str(), row["route"].as_str()), (id, route), "{record}");
                    assert_eq!((row["status"].as_str(), row["client_ip"].as_str()), ("200", "203.0.113.0"));
                    assert_eq!((row["method"].as_str(), row["response_bytes"].as_str()), ("GET", "34"));
                }
            }
        }
    }
    // With a key, only those that have it.
    let by_user = plan_of(templates(&[]), variable("identity.user"), &Limits::default()).unwrap();
    assert_eq!(only(&by_user, render(rest_clf, &[("identity.user", "AIDAX")]))["key_ref"], "AIDAX");
    assert_eq!(read(&by_user, render(http_clf, &[])).reasons(), ["format"]);
    let none = plan_of(templates(&[]), variable("identity.apiKeyId"), &Limits::default()).unwrap_err().to_string();
    assert!(none.contains("no `format` is given") && none.contains("{\"extendedRequestId\""), "{none}");
}

/// A caller who sends what separates values shifts nothing: there are two ways to read the record, or none but the right one.
#[test]
fn what_callers_send_shifts_no_key_and_no_id() {
    for (format, values) in [
        // A comma in a path is read right while nothing else could be meant, and never when something could.
        (CSV, vec![("path", "/a,b")]),
        (CSV, vec![("path", "/a,200,x"), ("status", "500")]),
        (CSV, vec![("path", "/a"), ("identity.userAgent", "x,200,y")]),
        (TSV, vec![("path", "/a\tvictim\t200\tcurl")]),
        (TSV, vec![("path", "/a\tvictim\t200\t"), ("identity.userAgent", "")]),
        (CLF, vec![("path", r#"/a HTTP/1.1" 200 5 "curl" victim"#)]),
        (CLF, vec![("identity.userAgent", r#"x" 200 34 "y"#)]),
        (CLF, vec![("identity.userAgent", r#"x" VICTIMID="#)]),
        (CLF, vec![("path", r#"/a HTTP/1.1" 200 5 "x"#), ("identity.userAgent", r#"y" 500 - "z"#)]),
        (XML, vec![("path", "/a</path> <status>200</status> <agent>x</agent> </request>")]),
        (XML, vec![("path", "/a</path> <status>200</status> <agent>x"), ("identity.userAgent", "y</agent> <agent>z")]),
        (XML, vec![("identity.userAgent", r#"</agent> </request> <request id="VICTIM">"#)]),
        (CSV, vec![("identity.userAgent", "x\ny")]),
        (CSV, vec![("path", "/a\r\nE2,1764000000456,victim,/b,200,x")]),
    ] {
        let flat = format.replace("\n    ", " ");
        let read = read(&keyed(format), envelope(&[&render(&flat, &values)]));
        let reasons = read.reasons();
        if let [row] = &read.events[..] {
            for (column, variable) in [
                ("key_ref", "identity.apiKeyId"),
                ("request_id", "extendedRequestId"),
                ("status", "status"),
                ("path", "path"),
            ] {
                let told = values.iter().chain(&USUAL).find(|(name, _)| *name == variable).unwrap().1;
                assert_eq!(
                    row[column],
                    told.replace('\t', "%09").replace('\r', "%0D").replace('\n', "%0A"),
                    "{values:?}"
                );
            }
        } else {
            assert_eq!(reasons, ["ambiguous"], "{values:?}");
        }
    }
    // These are the ones that could be two records.
    for (format, values) in [
        (CSV, [("path", "/a,200,x"), ("status", "500")]),
        (CLF, [("path", r#"/a HTTP/1.1" 200 5 "x"#), ("identity.userAgent", r#"y"#)]),
    ] {
        let read = read(&keyed(format), render(format, &values));
        assert_eq!(read.reasons(), ["ambiguous"]);
        let detail = &read.rejects[0]["detail"];
        assert!(detail.contains("`$context.path` to `$context.identity.userAgent`"), "{detail}");
    }
}

/// Two values that callers choose around the key: without escapes they could hide it in an object of their own.
#[test]
fn a_key_of_json_is_nowhere_but_in_its_place() {
    let format = r#"{"id":"$context.extendedRequestId","t":"$context.requestTimeEpoch","agent":"$context.identity.userAgent","apiKeyId":"$context.identity.apiKeyId","path":"$context.path"}"#;
    for (agent, path) in [
        (r#"x","apiKeyId":"victim"#, "/"),
        (r#"x","apiKeyId":"victim","z":{"a":""#, r#""},"path":"/"#),
        (r#"x","apiKeyId":"victim","z":[{"a":""#, r#""}],"path":"/"#),
        (r#"x","\u0061piKeyId":"victim","z":{"a":""#, r#""},"path":"/"#),
        (r#"x","apiKeyId":"victim","z":"\"#, "/"),
    ] {
        let record = render(format, &[("identity.userAgent", agent), ("path", path)]);
        let read = read(&keyed(format), record + "\n");
        assert!(read.events.is_empty(), "{read:?}");
    }
}

#[test]
fn a_format_that_cannot_be_taken_apart_says_which_variables_and_why() {
    let with =
        |rest: &str| format!("$context.extendedRequestId|$context.requestTimeEpoch|$context.identity.apiKeyId|{rest}");
    for (rest, first, second) in [
        ("$context.path$context.status", "path", "status"),
        ("$context.path,$context.identity.userAgent", "path", "identity.userAgent"),
        ("$context.path $context.authorizer.customerId", "path", "authorizer.customerId"),
        ("$context.path-$context.requestId", "path", "requestId"),
        ("$context.requestId-$context.extendedRequestId", "requestId", "extendedRequestId"),
    ] {
        let told = refused(&with(rest));
        assert!(told.contains(&format!("`$context.{first}` and `$context.{second}`")), "{told}");
        assert!(told.contains("stands between them"), "{told}");
    }
    let first = refused(&format!("$context.identity.userAgent|{}", with("$context.status")));
    assert!(first.contains("begins with `$context.identity.userAgent`"), "{first}");
    assert!(refused("plain text").contains("names no `$context` variable"));
    assert!(refused(&with("$context.")).contains("names no variable"));
    // Two values that callers choose are possible where honest ones do not hold what separates them.
    let warned = keyed(&with("$context.path\t$context.identity.userAgent")).warnings();
    assert!(warned.iter().any(|warning| warning.contains("use JSON")), "{warned:?}");
    assert!(keyed(&with("$context.path")).warnings().is_empty());
}

#[test]
fn a_format_that_lacks_something_comes_back_with_one_that_has_it() {
    for (format, lacks, names) in [
        ("$context.requestTimeEpoch|$context.identity.apiKeyId", "extendedRequestId", "resourcePath"),
        ("$context.extendedRequestId|$context.identity.apiKeyId", "requestTimeEpoch", "resourcePath"),
        ("$context.extendedRequestId|$context.requestTimeEpoch", "identity.apiKeyId", "resourcePath"),
        (
            "$context.extendedRequestId|$context.requestTimeEpoch|$context.routeKey",
            "HTTP APIs have no API keys",
            "routeKey",
        ),
    ] {
        let told = refused(format);
        let (_, ready) = told.split_once(": {").unwrap();
        assert!(told.contains(lacks) && ready.contains(&format!("$context.{names}")), "{told}");
        // It is ready indeed.
        let ready = format!("{{{ready}");
        let key = if names == "routeKey" { "authorizer.customerId" } else { "identity.apiKeyId" };
        plan_of(templates(&[&ready]), variable(key), &Limits::default()).unwrap();
    }
}

#[test]
fn a_record_of_two_formats_must_mean_the_same_in_both() {
    let other = CSV.replace("$context.identity.apiKeyId,$context.path", "$context.path,$context.identity.apiKeyId");
    let plan = plan_of(templates(&[CSV, &other]), variable("identity.apiKeyId"), &Limits::default()).unwrap();
    let told = read(&plan, render(CSV, &[]) + "\n");
    assert_eq!(told.events.len(), 1, "a path holds what no id does: {told:?}");
    let either = render(CSV, &[("path", "victim")]);
    assert_eq!(read(&plan, &either).reasons(), ["ambiguous"]);
    // A later format with one more value.
    let longer = format!("{CLF} $context.requestId");
    let plan = plan_of(templates(&[CLF, &longer]), variable("identity.apiKeyId"), &Limits::default()).unwrap();
    let object = format!("{}\n{}\n", render(CLF, &[]), render(&longer, &[]));
    assert_eq!(read(&plan, object).column("caller_request_id"), ["-", USUAL[1].1]);
}

#[test]
fn a_customer_may_be_told_by_an_authorizer_or_a_claim() {
    for (name, format) in [
        (
            "authorizer.customerId",
            r#"{"id":"$context.requestId","r":"$context.routeKey","t":"$context.requestTimeEpoch","c":"$context.authorizer.customerId"}"#,
        ),
        (
            "authorizer.claims.sub",
            r#"{"id":"$context.requestId","r":"$context.routeKey","t":"$context.requestTimeEpoch","c":"$context.authorizer.claims.sub"}"#,
        ),
        (
            "authorizer.claims.sub",
            "$context.requestId|$context.routeKey|$context.requestTimeEpoch|$context.authorizer.claims.sub",
        ),
    ] {
        let spec = SourceSpec {
            name: "source".into(),
            format: templates(&[format]),
            key: variable(name),
            identifies: Identifies::Customer,
            set: Constants::default(),
        };
        let privacy = Privacy { key_secrets: Vec::new(), client_ip: ClientIp::Keep };
        let plan = DecodePlan::new(&spec, &privacy, [7; 16], &Limits::default()).unwrap();
        let row = only(&plan, render(format, &[(name, "cust_42")]));
        assert_eq!(
            (row["key_ref"].as_str(), row["subject"].as_str(), row["route"].as_str()),
            ("cust_42", "cust_42", "GET /items/{id}")
        );
    }
}

/// Events of a WebSocket API: the kind of event stands where the method of a request does.
#[test]
fn websocket_events_are_read() {
    let clf = r#"$context.identity.sourceIp $context.identity.caller $context.identity.user [$context.requestTime] "$context.eventType $context.routeKey $context.connectionId" $context.status $context.requestId"#;
    let json = r#"{"requestId":"$context.requestId","t":"$context.requestTimeEpoch","eventType":"$context.eventType","routeKey":"$context.routeKey","status":"$context.status","connectionId":"$context.connectionId"}"#;
    for format in [clf, json] {
        let plan = plan_of(templates(&[format]), KeySpec::None, &Limits::default()).unwrap();
        assert!(plan.id_is_unforgeable());
        for (kind, route) in [("CONNECT", "$connect"), ("MESSAGE", "sendMessage"), ("DISCONNECT", "$disconnect")] {
            let values = [("eventType", kind), ("routeKey", route), ("connectionId", "Zk3aaaa=")];
            let row = only(&plan, render(format, &values));
            assert_eq!((row["method"].as_str(), row["route"].as_str(), row["status"].as_str()), (kind, route, "200"));
        }
    }
}

#[test]
fn a_secret_key_of_a_line_is_hashed_and_stands_nowhere_else() {
    let key = "abcdefghij0123456789ABCD";
    let format = TSV.replace("apiKeyId", "apiKey");
    let plan = plan_of(templates(&[&format]), variable("identity.apiKey"), &Limits::default()).unwrap();
    let agent = format!("x {key}");
    let values = [("identity.apiKey", key), ("identity.userAgent", &agent)];
    let row = only(&plan, render(&format, &values));
    assert_eq!(row["key_ref"], reference(key));
    assert!(row.values().all(|value| !value.contains(key)), "{row:?}");
    let rejected = read(&plan, render(&format, &values).replace("\t200", "\ttwo"));
    assert!(rejected.rejects[0].values().all(|value| !value.contains(key)), "{rejected:?}");
}

#[test]
fn a_long_hostile_line_is_quickly_refused() {
    let commas = "200,".repeat(200_000);
    let read = read(&keyed(CSV), render(CSV, &[("path", &commas), ("identity.userAgent", &commas)]));
    assert_eq!(read.reasons(), ["ambiguous"]);
    let ids = "k,".repeat(200_000);
    assert_eq!(super::read(&keyed(CSV), ids).reasons(), ["format"]);
}

/// Ways to write a format.
#[derive(Clone, Copy, Debug)]
enum Syntax {
    Json,
    Nested,
    Separated(&'static str),
    Quoted,
    Xml,
}

fn syntax() -> impl Strategy<Value = Syntax> {
    let separators = [",", " ", "\t", "|", ";", " - ", "][", "\" \"", "::"];
    prop_oneof![
        Just(Syntax::Json),
        Just(Syntax::Nested),
        select(separators.to_vec()).prop_map(Syntax::Separated),
        Just(Syntax::Quoted),
        Just(Syntax::Xml),
    ]
}

fn format_of(syntax: Syntax, names: &[&str]) -> String {
    let join = |each: &dyn Fn(&str) -> String, separator: &str| {
        names.iter().map(|name| each(name)).collect::<Vec<_>>().join(separator)
    };
    match syntax {
        Syntax::Json => format!("{{{}}}", join(&|name| format!(r#""{name}":"$context.{name}""#), ",")),
        Syntax::Nested => {
            format!("{{\"x\":1,{}}}", join(&|name| format!(r#""{name}":{{"v":"$context.{name}"}}"#), ", "))
        }
        Syntax::Separated(separator) => join(&|name| format!("$context.{name}"), separator),
        Syntax::Quoted => join(&|name| format!("\"$context.{name}\""), ","),
        Syntax::Xml => format!("<r>{}</r>", join(&|name| format!("<{name}>$context.{name}</{name}>"), " ")),
    }
}

const NAMES: [&str; 8] = [
    "status",
    "path",
    "identity.userAgent",
    "httpMethod",
    "resourcePath",
    "responseLength",
    "error.responseType",
    "requestTime",
];

/// What callers can send: anything, and pieces of what separates.
fn sent() -> impl Strategy<Value = String> {
    let pieces = [
        ",",
        " ",
        "\t",
        "|",
        ";",
        " - ",
        "][",
        "\" \"",
        "\"",
        "::",
        "\",\"",
        "</path> <status>",
        "200",
        "k2",
        "-",
        "\\",
        "\n",
        "\r",
        "/a",
        "x",
    ];
    prop_oneof![
        2 => vec(select(pieces.to_vec()), 0..8).prop_map(|pieces| pieces.concat()),
        1 => any::<String>(),
        2 => "/[a-z]{0,8}",
    ]
}

/// The value as a column holds it.
fn stored(value: &str) -> Option<String> {
    let clean = |c: char| if c.is_ascii_control() { format!("%{:02X}", c as u32) } else { c.to_string() };
    (!matches!(value, "" | "-")).then(|| value.chars().map(clean).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// A format is made up, a parser derived from it, a record rendered and read: the values come back, or nothing does.
    #[test]
    fn values_come_back_or_the_record_is_rejected(
        syntax in syntax(), names in subsequence(NAMES.to_vec(), 0..NAMES.len()).prop_shuffle(), at in 0..4_usize,
        path in sent(), agent in sent(), kind in sent(), wrapped in any::<bool>(), packed in any::<bool>(),
    ) {
        let mut all = names.clone();
        for (number, name) in ["extendedRequestId", "requestTimeEpoch", "identity.apiKeyId"].into_iter().enumerate() {
            all.insert((at * number).min(all.len()), name);
        }
        let format = format_of(syntax, &all);
        let Ok(plan) = plan_of(templates(&[&format]), variable("identity.apiKeyId"), &Limits::default()) else {
            // Neighbours that cannot be told apart, or a caller's value first.
            prop_assert!(!matches!(syntax, Syntax::Json | Syntax::Nested), "{format}");
            return Ok(());
        };
        let is_json = matches!(syntax, Syntax::Json | Syntax::Nested);
        // JSON is told as AWS writes it today: escaped.
        let written = |value: &str| {
            let quoted = serde_json::to_string(value).unwrap();
            if is_json { quoted[1..quoted.len() - 1].to_owned() } else { value.to_owned() }
        };
        let (path_written, agent_written, kind_written) = (written(&path), written(&agent), written(&kind));
        let values = [("path", path_written.as_str()), ("identity.userAgent", &agent_written), ("error.responseType", &kind_written)];
        let record = render(&format, &values);
        // A line end within a value ends a bare line: there an envelope is needed.
        let wrapped = wrapped || record.contains('\n');
        let object = if wrapped { envelope(&[&record]) } else { record.clone() + "\n" };
        let read = read(&plan, if packed { gzip(object) } else { object.into_bytes() });
        if read.events.is_empty() {
            prop_assert_eq!(read.reasons().len(), 1);
            prop_assert!(!is_json, "{:?} {}", read, record);
            prop_assert!(matches!(read.reasons()[0], "ambiguous"), "{:?} {:?}", read, record);
            return Ok(());
        }
        let row = &read.events[0];
        prop_assert_eq!(&row["request_id"], USUAL[0].1);
        prop_assert_eq!(&row["key_ref"], "k1");
        for (column, name, value) in [("path", "path", &path), ("user_agent", "identity.userAgent", &agent), ("error_type", "error.responseType", &kind)] {
            if !all.contains(&name) {
                continue;
            }
            // White space at the record's end may be the log service's.
            let trimmed = matches!(syntax, Syntax::Separated(_)) && all.last() == Some(&name);
            let told = if trimmed { value.trim_end_matches(|c: char| c.is_ascii_whitespace()) } else { value };
            prop_assert_eq!(row.get(column).cloned(), stored(told), "{} of {}", column, record);
        }
        for (column, name, value) in [("status", "status", "200"), ("method", "httpMethod", "GET"), ("response_bytes", "responseLength", "34")] {
            if all.contains(&name) {
                prop_assert_eq!(&row[column], value);
            }
        }
    }

    /// Nothing is escaped: no such record is billed to another key.
    #[test]
    fn json_without_escapes_never_gives_another_key(
        before in vec(select(FRAGMENTS.to_vec()), 0..7), after in vec(select(FRAGMENTS.to_vec()), 0..7), formats in 0..2_usize,
    ) {
        let format = r#"{"id":"$context.extendedRequestId","t":"$context.requestTimeEpoch","agent":"$context.identity.userAgent","apiKeyId":"$context.identity.apiKeyId","path":"$context.path"}"#;
        let formats = [vec![format], vec![format, CSV]][formats].clone();
        let plan = plan_of(templates(&formats), variable("identity.apiKeyId"), &Limits::default()).unwrap();
        let record = render(format, &[("identity.userAgent", &before.concat()), ("path", &after.concat())]);
        for object in [record.clone() + "\n", envelope(&[&record])] {
            let read = read(&plan, object);
            prop_assert!(read.events.len() <= 1, "{:?}", read);
            for row in &read.events {
                prop_assert_eq!((&row["key_ref"][..], &row["request_id"][..]), ("k1", USUAL[0].1), "{}", record);
            }
        }
    }

    /// A caller closes the object before its key: what is behind it gives it away, wherever a chunk ends.
    #[test]
    fn an_object_that_was_closed_early_is_no_record(cut in 1..200_usize, blank in select(vec!["", " ", "\t "])) {
        let format = r#"{"id":"$context.extendedRequestId","t":"$context.requestTimeEpoch","agent":"$context.identity.userAgent","apiKeyId":"$context.identity.apiKeyId","path":"$context.path"}"#;
        let plan = plan_of(templates(&[format]), variable("identity.apiKeyId"), &Limits::default()).unwrap();
        let agent = format!(r#"","apiKeyId":"victim","path":"/x"}}{blank},"path":""#);
        let record = render(format, &[("identity.userAgent", &agent)]) + "\n";
        let good = render(format, &[]);
        let object = [good.as_str(), "\n", &record, &good].concat().into_bytes();
        let read = read_chunks(&plan, object.chunks(cut)).unwrap();
        let keys: Vec<_> = read.events.iter().map(|row| &row["key_ref"][..]).collect();
        prop_assert_eq!((keys, read.reasons()), (vec!["k1", "k1"], vec!["bad_json", "not_json"]));
    }

    #[test]
    fn chunks_of_lines_do_not_matter(
        parts in vec(line_part(), 0..12), cut in 1..40_usize, packed in any::<bool>(),
    ) {
        let plan = plan_of(templates(&[CSV, REST]), variable("identity.apiKeyId"), &Limits { record_bytes_max: 4096, ..Limits::default() }).unwrap();
        let object = parts.concat().into_bytes();
        let object = if packed { gzip(object) } else { object };
        prop_assert_eq!(read_chunks(&plan, object.chunks(cut)), try_read(&plan, &object));
    }
}

const FRAGMENTS: [&str; 14] = [
    "\"",
    ",",
    ":",
    "{",
    "}",
    "[",
    "]",
    "\\",
    "\"apiKeyId\":\"victim\"",
    "\",\"z\":{\"a\":\"",
    "\"},\"path\":\"/x",
    "\",\"apiKeyId\":\"victim",
    "x",
    "\"path\":\"/\"",
];

fn line_part() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-z]{1,9}".prop_map(|id| render(CSV, &[("extendedRequestId", &id)]) + "\n"),
        1 => "[a-z]{1,9}".prop_map(|id| access(&id)),
        1 => "[a-z]{1,9}".prop_map(|id| envelope(&[&render(CSV, &[("extendedRequestId", &id)]), &access(&id)])),
        1 => select(vec!["\n", "\r\n", " ", "\t", "\0", CONTROL]).prop_map(str::to_owned),
        1 => "[a-z{}\\[\\]\",:\\\\\t ]{0,30}\n?",
        1 => (3900..4200_usize).prop_map(|length| render(CSV, &[("path", &"x".repeat(length))]) + "\n"),
    ]
}
