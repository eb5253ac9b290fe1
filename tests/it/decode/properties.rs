//! What holds for any object: chunks do not matter, nothing panics, and no secret key comes out.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

/// Ways an object may be packed.
#[derive(Clone, Copy, Debug)]
enum Packing {
    Plain,
    Gzip,
    Members,
    Twice,
}

fn pack(parts: &[String], packing: Packing) -> Vec<u8> {
    let members = || parts.iter().map(gzip).collect::<Vec<_>>();
    match packing {
        Packing::Plain => parts.concat().into_bytes(),
        Packing::Gzip => gzip(parts.concat()),
        Packing::Members => members().join(&b'\n'),
        Packing::Twice => gzip(members().concat()),
    }
}

fn packing() -> impl Strategy<Value = Packing> {
    select(vec![Packing::Plain, Packing::Gzip, Packing::Members, Packing::Twice])
}

/// Cuts an object into chunks of those sizes, by turns.
fn cut<'a>(object: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let (mut rest, mut sizes) = (object, sizes.iter().cycle());
    std::iter::from_fn(move || {
        let (chunk, after) = rest.split_at_checked(*sizes.next()?).unwrap_or((rest, &[]));
        rest = after;
        (!chunk.is_empty()).then_some(chunk)
    })
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![1]), vec(1..40_usize, 1..6), vec(1..3000_usize, 1..6)]
}

fn edge_part() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z]{1,40}".prop_map(|id| line(&[("x-edge-request-id", &id)])),
        2 => "[a-zA-Z0-9%/ ]{0,60}".prop_map(|text| line(&[("cs-user-agent", &text), ("cs-uri-query", "a=%2520")])),
        1 => Just(line(&[("cs-headers", "host:h%0Ax-api-key:K1%0A")]).replace('\n', "\r\n")),
        1 => Just("\r\n \n\n".to_owned()),
        1 => "[a-z\t]{0,30}\n",
        1 => (3900..4200_usize).prop_map(|length| "x".repeat(length) + "\n"),
        1 => Just(line(&[("timestamp", "never")])),
    ]
}

fn origin_part() -> impl Strategy<Value = String> {
    let end = || select(vec!["", "\n", "\r\n "]);
    prop_oneof![
        3 => ("[a-z]{1,20}", end()).prop_map(|(id, end)| access(&id) + end),
        3 => (vec("[a-z]{1,20}", 0..4), end()).prop_map(|(ids, end)| {
            let records: Vec<_> = ids.iter().map(|id| access(id) + "\n").collect();
            envelope(&records.iter().map(String::as_str).collect::<Vec<_>>()) + end
        }),
        1 => end().prop_map(|end| CONTROL.to_owned() + end),
        1 => (any::<Index>(), end()).prop_map(|(at, end)| {
            let whole = access("cut");
            whole[..at.index(whole.len())].to_owned() + end
        }),
        1 => "[a-z{}\\[\\]\",:\\\\]{0,30}\n",
        1 => (3900..4200_usize, end()).prop_map(|(length, end)| access(&"x".repeat(length)) + end),
        1 => Just(envelope(&["not an access log", &access("e").replace("prod", "\u{e9}\\u00e9")])),
    ]
}

fn small(format: Format, key: KeySpec) -> DecodePlan {
    let limits = Limits { record_bytes_max: 4096, ..Limits::default() };
    plan_of(format, key, &limits).unwrap()
}

fn small_edge() -> DecodePlan {
    let fields: Vec<_> = EDGE.iter().map(|(name, _)| *name).collect();
    small(Format::CloudFrontRealtime(vec![set(None, &fields)]), header_key())
}

fn small_origin() -> DecodePlan {
    small(templates(&[REST]), variable("identity.apiKeyId"))
}

/// Real-time lines under a header that fits them, but for the time.
fn standard_object(parts: &[String]) -> Vec<String> {
    let names = EDGE.map(|(name, _)| if name == "timestamp" { "timestamp(ms)" } else { name });
    let header = format!("#Version: 1.0\n#Fields: {}\n", names.join(" "));
    let lines = parts.iter().map(|part| part.replace("1764000000.123", "1764000000123"));
    std::iter::once(header).chain(lines).collect()
}

/// A place of a record where the key is put besides its own.
const PLACES: [(&str, &str, &str); 7] = [
    ("cs-uri-stem", "/v1/", "/x"),
    ("cs-uri-query", "a=", "&b"),
    ("cs-uri-query", "X-Api-Key=", "&cf_api_key=1"),
    ("cs-user-agent", "curl/8%20", "%0A"),
    ("cs-referer", "https://a.example/?token=", "&b"),
    ("cs-cookie", "session=", ";%20a"),
    ("cs-headers", "authorization:Bearer%20", "%0A"),
];

/// How a record is spoilt.
#[derive(Clone, Debug)]
enum Damage {
    None,
    /// Only its first bytes are left.
    Cut(Index),
    /// One byte becomes another.
    Byte(Index, u8),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        Just(Damage::None),
        any::<Index>().prop_map(Damage::Cut),
        (any::<Index>(), select(b"\t\"{}:,x%&".to_vec())).prop_map(|(at, byte)| Damage::Byte(at, byte)),
    ]
}

/// Spoils a record, but not its key: half a key is not looked for.
fn spoil(record: &str, key: &str, damage: &Damage) -> Vec<u8> {
    let mut bytes = record.as_bytes().to_vec();
    match damage {
        Damage::None => {}
        Damage::Cut(at) => bytes.truncate(at.index(record.len())),
        Damage::Byte(at, byte) => {
            let at = at.index(record.len());
            if !record.match_indices(key).any(|(start, _)| (start..start + key.len()).contains(&at)) {
                bytes[at] = *byte;
            }
        }
    }
    bytes
}

/// Nothing that came out holds the key.
fn assert_hidden(result: &Result<Read, ObjectError>, key: &str) -> Result<(), TestCaseError> {
    let shown = format!("{result:?}");
    prop_assert!(!shown.contains(key), "{}", shown);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn chunks_of_cloudfront_objects_do_not_matter(parts in vec(edge_part(), 0..14), packing in packing(), sizes in sizes()) {
        let object = pack(&parts, packing);
        prop_assert_eq!(read_chunks(&small_edge(), cut(&object, &sizes)), try_read(&small_edge(), &object));
        prop_assert_eq!(try_read(&small_edge(), &object), try_read(&small_edge(), parts.concat()));
    }

    #[test]
    fn chunks_of_api_gateway_objects_do_not_matter(parts in vec(origin_part(), 0..14), packing in packing(), sizes in sizes()) {
        let object = pack(&parts, packing);
        prop_assert_eq!(read_chunks(&small_origin(), cut(&object, &sizes)), try_read(&small_origin(), &object));
        prop_assert_eq!(try_read(&small_origin(), &object), try_read(&small_origin(), parts.concat()));
    }

    #[test]
    fn chunks_of_standard_objects_do_not_matter(
        parts in vec(edge_part(), 0..14), json in any::<bool>(), packing in packing(), sizes in sizes(),
    ) {
        let plan = standard::plan(&[], KeySpec::None);
        let parts = if json { vec![r#"{"date":"2026-02-03","time":"04:05:06","x-edge-request-id":"A"}"#.to_owned(); parts.len()] } else { standard_object(&parts) };
        let object = pack(&parts, packing);
        prop_assert_eq!(read_chunks(&plan, cut(&object, &sizes)), try_read(&plan, &object));
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..600), magic in any::<bool>(), sizes in sizes()) {
        let object = if magic { [&[0x1f, 0x8b, 8, 0][..], &bytes].concat() } else { bytes };
        for plan in [small_edge(), small_origin(), own_json::backend(), standard::plan(&[], KeySpec::None)] {
            prop_assert_eq!(read_chunks(&plan, cut(&object, &sizes)).is_ok(), try_read(&plan, &object).is_ok());
        }
    }

    #[test]
    fn damaged_objects_never_panic(
        edge in vec(edge_part(), 1..6), origin in vec(origin_part(), 1..6), packing in packing(),
        damage in vec((any::<Index>(), any::<u8>()), 1..4), cut in any::<Index>(),
    ) {
        let (standard, own) = (standard_object(&edge), origin.clone());
        for (plan, parts) in [
            (small_edge(), edge), (small_origin(), origin), (standard::plan(&[], KeySpec::None), standard), (own_json::backend(), own),
        ] {
            let mut object = pack(&parts, packing);
            if object.is_empty() {
                continue;
            }
            for (at, byte) in &damage {
                let at = at.index(object.len());
                object[at] = *byte;
            }
            let _ = try_read(&plan, &object);
            let _ = try_read(&plan, &object[..cut.index(object.len())]);
        }
    }

    #[test]
    fn a_header_key_never_comes_out(
        key in "[A-Za-z0-9]{20,40}", places in vec(select(PLACES.to_vec()), 0..4), damage in damage(),
    ) {
        let mut values = vec![("cs-headers", format!("host:h%0AX-Api-Key:{key}%0A"))];
        for (field, before, after) in places {
            match values.iter_mut().find(|(name, _)| *name == field) {
                Some((_, value)) => value.push_str(&format!("{before}{key}{after}")),
                None => values.push((field, format!("{before}{key}{after}"))),
            }
        }
        let values: Vec<_> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut object = spoil(&line(&values), &key, &damage);
        // Damage may hide that the header is the key's, and an event may then be anything: only rejects are looked at.
        object.extend_from_slice(line(&[]).as_bytes());
        let mut result = try_read(&edge(header_key()), &object);
        if let (Ok(read), false) = (&mut result, matches!(damage, Damage::None)) {
            read.events.clear();
        }
        assert_hidden(&result, &key)?;
        if matches!(damage, Damage::None) {
            let read = result.unwrap();
            prop_assert_eq!(&read.events[0]["key_state"], "present");
            prop_assert_eq!(&read.events[0]["key_ref"], &reference(&key));
        }
    }

    #[test]
    fn keys_of_queries_and_log_data_never_come_out(key in "[A-Za-z0-9]{1,40}", bare in any::<bool>()) {
        // So that what is found is no accident.
        let key = format!("§{key}");
        let escaped = key.replace('§', "%C2%A7");
        let (query, log_data) = (format!("a=1&key={escaped}"), format!("v1;key={escaped};x"));
        let values = [("cs-uri-query", query.as_str()), ("viewer-request-log-data", log_data.as_str())];
        let values = if bare { &values[..1] } else { &values[..] };
        let fields: &[&str] = if bare { &[] } else { &["viewer-request-log-data"] };
        let spec = if bare { KeySpec::Query("key".into()) } else { KeySpec::LogData { name: "key".into(), plain: false, missing: Missing::Held } };
        let values: Vec<_> = values.iter().copied().filter(|(name, _)| bare || *name != "cs-uri-query").collect();
        let good = line(&values);
        let bad = good.replace("1764000000.123", "never") + "x\t" + &good;
        let result = try_read(&edge_with(fields, spec), good + &bad);
        assert_hidden(&result, &key)?;
        assert_hidden(&result, &escaped)?;
        let read = result.unwrap();
        prop_assert_eq!(&read.events[0]["key_ref"], &reference(&key));
        prop_assert_eq!(read.reasons(), ["bad_time", "columns"]);
    }

    #[test]
    fn an_api_key_never_comes_out(key in "[A-Za-z0-9]{20,40}", damage in damage(), wrapped in any::<bool>()) {
        let format = REST.replace("apiKeyId", "apiKey");
        let plan = plan_of(templates(&[&format]), variable("identity.apiKey"), &Limits::default()).unwrap();
        let record = access("a")
            .replace(r#""apiKeyId":"k1""#, &format!(r#""apiKey":"{key}""#))
            .replace("/prod/items", &format!("/prod/{key}"))
            .replace(r#""userAgent":"-""#, &format!(r#""userAgent":"curl {key}""#));
        let mut object = spoil(&record, &key, &damage);
        if wrapped {
            object = envelope(&[&String::from_utf8_lossy(&object)]).into_bytes();
        }
        let mut result = try_read(&plan, &object);
        if let (Ok(read), false) = (&mut result, matches!(damage, Damage::None)) {
            read.events.clear();
        }
        assert_hidden(&result, &key)?;
    }
}
