//! Every bound on what an object may make us hold or do: what goes beyond it is a reject or an error of the object, and either
//! names the setting.

use super::*;

/// What came of an object, in a word, and the text that names the setting.
fn outcome(plan: &DecodePlan, object: &[u8]) -> (String, String) {
    match try_read(plan, object) {
        Err(error) => ("object".to_owned(), error.to_string()),
        Ok(read) => {
            let rejected = read.rejects.iter().map(|reject| reject["detail"].clone()).collect::<Vec<_>>().join("; ");
            (format!("{} events, {}", read.counts.events, read.reasons().join(" ")), rejected)
        }
    }
}

fn nested(depth: usize) -> String {
    // The record is an object of its own.
    access("deep").replace(
        r#""userAgent":"-""#,
        &format!(r#""userAgent":"-","x":{}{}"#, "[".repeat(depth - 1), "]".repeat(depth - 1)),
    )
}

fn at_hours(hours: &[u64]) -> Vec<u8> {
    let time = |hour: &u64| (1_764_000_000 + hour * 3_600).to_string();
    hours
        .iter()
        .flat_map(|hour| line(&[("timestamp", &time(hour)), ("x-edge-request-id", &time(hour))]).into_bytes())
        .collect()
}

#[test]
fn what_goes_beyond_a_limit_says_which_it_was() {
    let usual = Limits::default;
    let fields: Vec<_> = EDGE.iter().map(|(name, _)| *name).collect();
    let edge = |limits| plan_of(Format::CloudFrontRealtime(vec![set(None, &fields)]), header_key(), &limits).unwrap();
    let origin = |limits| plan_of(templates(&[REST]), variable("identity.apiKeyId"), &limits).unwrap();
    let standard = |limits| plan_of(Format::CloudFrontStandard(Vec::new()), KeySpec::None, &limits).unwrap();
    let good = line(&[]).into_bytes();
    let long = [line(&[("cs-user-agent", &"u".repeat(3_000))]), line(&[])].concat().into_bytes();
    let list = |bytes: usize| line(&[("cs-headers", &format!("x:{}%0A", "h".repeat(bytes - 5)))]).into_bytes();
    let large = envelope(&[&access("a"), &access("b"), &access("c"), &access("d")]) + &access("e");
    let (deep, flat) = (nested(9) + &access("a"), nested(8) + &access("a"));
    let parquet = [b"PAR1".as_slice(), &[0; 4_000]].concat();
    for (setting, plan, object, expected) in [
        ("record_bytes_max", edge(Limits { record_bytes_max: 2_000, ..usual() }), long, "1 events, too_long"),
        (
            "document_bytes_max",
            origin(Limits { document_bytes_max: 1_024, record_bytes_max: 1_024, ..usual() }),
            large.into_bytes(),
            "1 events, too_long",
        ),
        ("object_bytes_max", edge(Limits { object_bytes_max: 1_024, ..usual() }), good.repeat(20), "object"),
        ("object_bytes_max", edge(Limits { object_bytes_max: 1_024, ..usual() }), gzip(good.repeat(20)), "object"),
        ("nesting_max", edge(Limits { nesting_max: 1, ..usual() }), gzip(gzip(&good)), "object"),
        ("expansion_max", edge(Limits { expansion_max: 10, ..usual() }), gzip(vec![b'\n'; 65 << 20]), "object"),
        ("hours_max", edge(Limits { hours_max: 2, ..usual() }), at_hours(&[0, 1, 2]), "object"),
        ("parquet_bytes_max", standard(Limits { parquet_bytes_max: 2_000, ..usual() }), parquet, "object"),
        ("json_depth_max", origin(Limits { json_depth_max: 8, ..usual() }), deep.into_bytes(), "1 events, too_deep"),
        ("json_depth_max", origin(usual()), (nested(65) + "\n" + &access("a")).into_bytes(), "1 events, too_deep"),
        ("header_bytes_max", edge(Limits { header_bytes_max: 1_024, ..usual() }), list(1_025), "0 events, too_long"),
    ] {
        let (found, told) = outcome(&plan, &object);
        assert_eq!(found, expected, "{setting}: {told}");
        assert!(told.contains(&format!("`{setting}`")), "{setting}: {told}");
    }
    // At the limit, and not beyond it.
    for (plan, object, events) in [
        (edge(Limits { object_bytes_max: good.len() as u64, ..usual() }), good.clone(), 1),
        (edge(Limits { nesting_max: 2, ..usual() }), gzip(gzip(&good)), 1),
        (edge(Limits { hours_max: 3, ..usual() }), at_hours(&[0, 1, 2]), 3),
        (origin(Limits { json_depth_max: 8, ..usual() }), flat.into_bytes(), 2),
        (origin(usual()), (nested(64) + &access("a")).into_bytes(), 2),
        (edge(Limits { header_bytes_max: 1_024, ..usual() }), list(1_024), 1),
    ] {
        assert_eq!(read(&plan, object).counts.events, events);
    }
}

/// Wherever a record of JSON stands, and however its bytes come.
#[test]
fn depth_is_bounded_in_lines_envelopes_and_any_chunks() {
    let limits = Limits { json_depth_max: 6, ..Limits::default() };
    let origin = plan_of(templates(&[REST]), variable("identity.apiKeyId"), &limits).unwrap();
    let (deep, flat) = (nested(7), nested(6));
    let in_envelope = envelope(&[&deep, &flat]);
    let around = envelope(&[&access("a")]).replace(r#""owner""#, r#""x":[[[[[[]]]]]],"owner""#);
    for object in [format!("{deep}\n{flat}\n"), in_envelope, format!("{around}\n{flat}\n")] {
        for size in [1, 7, 100_000] {
            let read = read_chunks(&origin, object.as_bytes().chunks(size)).unwrap();
            assert_eq!((read.reasons(), read.counts.events), (vec!["too_deep"], 1), "{object}");
        }
    }
    let own = own_json::backend_within(&limits);
    let record = |depth: usize| {
        own_json::RECORD.replace(r#""level":"info""#, &format!(r#""level":{}{}"#, "[".repeat(depth), "]".repeat(depth)))
    };
    let read = read(&own, format!("{}\n2026-02-03T04:05:06Z INFO {}\n{}", record(6), record(6), record(5)));
    assert_eq!((read.counts.events, read.counts.rejects), (1, 2), "{read:?}");
}

/// What can never be read is not kept: brackets without end are passed over as they come.
#[test]
fn endless_nesting_takes_no_memory() {
    let plan = rest();
    let chunk = vec![b'['; 1 << 20];
    let mut decoder = Decoder::new(&plan, "object", arrived());
    decoder.push(br#"{"a":"#).unwrap();
    for _ in 0..64 {
        decoder.push(&chunk).unwrap();
    }
    decoder.push(b"\n").unwrap();
    decoder.push(access("a").as_bytes()).unwrap();
    decoder.finish().unwrap();
    assert_eq!((decoder.counts().events, decoder.counts().rejects), (1, 1));
}

/// What callers can choose is read by the same decoder under a limit and without one, but for what the limit forbids.
#[test]
fn a_limit_on_records_is_part_of_how_a_source_is_decoded() {
    let id = |limits: Limits| plan_of(templates(&[REST]), KeySpec::None, &limits).unwrap().decode_id();
    let usual = id(Limits::default());
    for limits in [
        Limits { record_bytes_max: 5_000, ..Limits::default() },
        Limits { document_bytes_max: 5_000, ..Limits::default() },
        Limits { json_depth_max: 9, ..Limits::default() },
        Limits { header_bytes_max: 5_000, ..Limits::default() },
    ] {
        assert_ne!(id(limits), usual);
    }
    assert_eq!(id(Limits { object_bytes_max: 5_000, hours_max: 3, nesting_max: 9, ..Limits::default() }), usual);
}

#[test]
fn a_parquet_object_is_refused_by_name_where_none_is_read() {
    let parquet = standard::parquet_rows(3);
    for (plan, kind) in
        [(rest(), "api-gateway"), (edge(header_key()), "cloudfront-realtime"), (own_json::backend(), "json")]
    {
        for size in [1, 3, 100_000] {
            let told = read_chunks(&plan, parquet.chunks(size)).unwrap_err().to_string();
            assert_eq!(
                told,
                format!(
                    "it is a Parquet object, and a source of kind `{kind}` reads none; CloudFront writes such as standard logs, which a source of kind `cloudfront-standard` reads"
                )
            );
        }
    }
    // Compressed once more, as a delivery may be, it is still one; what only begins like one is a record.
    assert!(try_read(&rest(), gzip(&parquet)).is_err());
    assert_eq!(read(&rest(), "PAR").reasons(), ["not_json"]);
}
