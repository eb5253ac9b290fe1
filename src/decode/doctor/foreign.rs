//! Logs and documents of AWS that people have in the same buckets, and that meterlake does not read: told by name, so
//! that nobody looks for the mistake in the settings. Goes in: a sample of records; comes out: what they are. A log is
//! known by what only its service writes; callers' values say nothing.

use super::opened::{Form, Opened};
use super::tree::Leaf;
use crate::decode::text::{any_time, clf_time};

/// What an object is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Foreign {
    /// As one would say it: "an Application Load Balancer's access log".
    pub(super) what: &'static str,
    /// What to do, where there is something.
    pub(super) advice: &'static str,
}

const BILL_FROM: &str = "meterlake bills from logs of CloudFront, logs of API Gateway, or JSON of your own";
const EVENT: &str =
    "it is what AWS hands to a Lambda function, not an object that landed in a bucket; give doctor the object itself";
const WITH_LOGS: &str = "such objects often lie beside logs: keep them out of the source's location";

/// JSON documents: what all of these keys stand in is such a one.
const DOCUMENTS: &[(&[&str], &str, &str)] = &[
    (&["Records[].eventVersion", "Records[].eventSource", "Records[].s3"], "a notification of S3", EVENT),
    (
        &["Records[].eventVersion", "Records[].eventSource", "Records[].eventName"],
        "a log of CloudTrail",
        "CloudTrail logs calls of AWS's own APIs, not requests to yours",
    ),
    (&["digestS3Bucket", "digestS3Object"], "a digest of CloudTrail", WITH_LOGS),
    (&["Records[].kinesis"], "an event of Kinesis", EVENT),
    (&["Records[].Sns"], "an event of SNS", EVENT),
    (&["Records[].EventSource", "Records[].Sns"], "an event of SNS", EVENT),
    (&["Records[].messageId", "Records[].body"], "an event of SQS", EVENT),
    (&["detail-type", "detail", "source"], "an event of EventBridge", EVENT),
    (&["awslogs.data"], "an event of CloudWatch Logs", EVENT),
    (&["deliveryStreamArn", "records[].data"], "an event of a Firehose transformation", EVENT),
    (&["records[].recordId", "records[].data"], "an event of a Firehose transformation", EVENT),
    (&["Service", "Event", "Bucket"], "a test message of S3", WITH_LOGS),
    (&["webaclId", "terminatingRuleId", "httpRequest"], "a log of AWS WAF", BILL_FROM),
    (&["query_name", "query_type", "rcode"], "a query log of Route 53 Resolver", BILL_FROM),
    (&["schemaVersion", "accountId", "region", "service", "severity"], "a finding of GuardDuty", BILL_FROM),
    (&["eventVersion", "userIdentity", "eventSource", "eventName"], "a log of CloudTrail", BILL_FROM),
    (&["fileVersion", "files[].key"], "a manifest of an inventory of S3", WITH_LOGS),
];

/// What the object is, where it is none that meterlake reads.
pub(super) fn name(opened: &Opened) -> Option<Foreign> {
    let of = |what, advice| Some(Foreign { what, advice });
    match opened.form {
        Form::Binary(what) => {
            return of(what, "no log that meterlake reads is one; it knows gzip, zlib, zip, Snappy and zstd by itself");
        }
        Form::Array => {
            return of(
                "a JSON array",
                "records must be JSON objects, one after another; write them without `[`, `]` and the commas between",
            );
        }
        Form::Empty | Form::Json | Form::Lines | Form::Parquet => {}
    }
    if let Some(foreign) = by_header(&opened.header) {
        return Some(foreign);
    }
    let named = |record: &Vec<u8>| by_record(record);
    let mut found = opened.records.iter().filter_map(named);
    let first = found.next()?;
    // A caller or a damaged line makes no log another.
    let same = 1 + found.filter(|other| *other == first).count();
    (same * 2 > opened.records.len()).then_some(first)
}

fn by_record(record: &[u8]) -> Option<Foreign> {
    let found = |(what, advice)| Foreign { what, advice };
    if record.trim_ascii_start().first() == Some(&b'{') { by_keys(record) } else { by_words(record) }.map(found)
}

fn by_keys(record: &[u8]) -> Option<(&'static str, &'static str)> {
    let paths: Vec<String> = super::tree::leaves(record).ok()?.iter().map(Leaf::dotted).collect();
    let has = |wanted: &&str| {
        paths.iter().any(|path| path.strip_prefix(*wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    };
    DOCUMENTS.iter().find(|(keys, ..)| keys.iter().all(has)).map(|(_, what, advice)| (*what, *advice))
}

fn by_words(line: &[u8]) -> Option<(&'static str, &'static str)> {
    let words: Vec<&[u8]> = line.splitn(16, |&byte| byte == b' ').collect();
    let word = |at: usize| words.get(at).copied().unwrap_or_default();
    let is = |at: usize, known: &[&[u8]]| known.contains(&word(at));
    let time = |at: usize| memchr::memchr(b'T', word(at)).is_some() && any_time(word(at)).is_some();
    if words.len() > 8 && is(0, &[b"http", b"https", b"h2", b"grpcs", b"ws", b"wss"]) && time(1) {
        return Some(("an access log of an Application Load Balancer (ALB)", BILL_FROM));
    }
    if words.len() > 8 && is(0, &[b"tls", b"tcp"]) && word(3).starts_with(b"net/") {
        return Some(("an access log of a Network Load Balancer (NLB)", BILL_FROM));
    }
    if words.len() > 10 && time(0) && word(2).contains(&b':') && line.contains(&b'"') {
        return Some(("an access log of a Classic Load Balancer", BILL_FROM));
    }
    let is_id = |word: &[u8]| word.len() == 64 && word.iter().all(u8::is_ascii_hexdigit);
    let bracketed = |at: usize| word(at).starts_with(b"[") && clf_time_of(word(at), word(at + 1));
    if words.len() > 8 && (is_id(word(0)) || word(0) == b"-") && bracketed(2) {
        return Some((
            "a server access log of S3",
            "it tells of requests to a bucket; a log of CloudFront or API Gateway tells of requests to your API",
        ));
    }
    let is_flow = |word: &[u8]| word.starts_with(b"eni-");
    if is_flow(word(2)) || is(0, &[b"version"]) && is(1, &[b"account-id"]) {
        return Some(("a flow log of a VPC", BILL_FROM));
    }
    if word(0).starts_with(b"(") && word(0).len() == 38 && word(0).ends_with(b")") {
        return Some((
            "an execution log of API Gateway",
            "only the access log has one record per request: set one up for the stage, with a format of its own",
        ));
    }
    let quote = memchr::memchr(b'"', line)?;
    let is_web = words.len() > 6
        && bracketed(3)
        && word(5).starts_with(b"\"")
        && line[quote..].iter().filter(|&&b| b == b'"').count() >= 4;
    is_web.then_some((
        "an access log of a web server (Apache, nginx)",
        "it has no id of a request, so a record delivered twice could not be told from two requests; write JSON of your own with one",
    ))
}

/// `[09/Jun/2023:12:54:08` and `+0000]`.
fn clf_time_of(start: &[u8], zone: &[u8]) -> bool {
    let text = [start, b" ", zone].concat();
    let text = text.strip_prefix(b"[").and_then(|text| text.strip_suffix(b"]"));
    text.is_some_and(|text| clf_time(text).is_some())
}

/// Logs with a header in the manner of W3C that CloudFront did not write.
fn by_header(header: &[String]) -> Option<Foreign> {
    let fields =
        header.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix("#fields:").map(str::to_owned))?;
    let has = |name: &str| fields.split_ascii_whitespace().any(|field| field == name);
    if ["x-event", "x-cf-status", "x-cf-client-id", "x-sname"].into_iter().any(has) {
        return Some(Foreign {
            what: "a log of an RTMP streaming distribution of CloudFront",
            advice: "it has no requests to bill",
        });
    }
    let of_server = ["s-sitename", "s-computername", "s-ip", "s-port"].into_iter().any(has);
    (of_server && !fields.contains("x-edge-"))
        .then_some(Foreign { what: "a log of a web server in W3C format (IIS)", advice: BILL_FROM })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::doctor::Specimen;

    fn named(text: &str) -> Option<&'static str> {
        let specimen =
            Specimen { name: "object".into(), bytes: text.as_bytes().to_vec(), is_cut: false, arrived_at: None };
        name(&Opened::new(&specimen)).map(|foreign| foreign.what)
    }

    #[test]
    fn other_logs_are_known_by_name() {
        let id = "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be";
        for (text, what) in [
            (r#"{"Records":[{"eventVersion":"1.08","userIdentity":{"type":"Root"},"eventTime":"2026-02-03T04:05:06Z","eventSource":"s3.amazonaws.com","eventName":"GetObject"}]}"#.to_owned(), "a log of CloudTrail"),
            (r#"{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"}}}]}"#.to_owned(), "a notification of S3"),
            (format!("{id} bucket [06/Feb/2026:00:00:38 +0000] 192.0.2.3 {id} 3E57427F3EXAMPLE REST.GET.VERSIONING - \"GET /bucket?versioning HTTP/1.1\" 200 - 113 - 7 - \"-\" \"S3Console/0.4\" -"), "a server access log of S3"),
            (r#"https 2026-02-03T04:05:06.186641Z app/my-lb/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.086 0.048 0.037 200 200 0 57 "GET https://www.example.com:443/ HTTP/1.1" "curl/7.46.0" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:x"#.to_owned(), "an access log of an Application Load Balancer (ALB)"),
            ("tls 2.0 2026-02-03T04:05:06 net/my-lb/c6e77e28c25b2234 g3d4b5e8bb8464cd 72.21.218.154:51341 172.100.100.185:443 5 2 98 246".to_owned(), "an access log of a Network Load Balancer (NLB)"),
            (r#"2026-02-03T04:05:06.945958Z my-lb 192.168.131.39:2817 10.0.0.1:80 0.000073 0.001048 0.000057 200 200 0 29 "GET http://www.example.com:80/ HTTP/1.1" "curl/7.38.0" - -"#.to_owned(), "an access log of a Classic Load Balancer"),
            ("2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK".to_owned(), "a flow log of a VPC"),
            (r#"203.0.113.9 - - [09/Jun/2023:12:54:08 +0000] "GET / HTTP/1.1" 200 12 "-" "curl/8""#.to_owned(), "an access log of a web server (Apache, nginx)"),
            ("(ebf87aa3-bf0b-44a7-ab91-1571f567c956) Method request path: {}".to_owned(), "an execution log of API Gateway"),
            (r#"[{"a":1},{"a":2}]"#.to_owned(), "a JSON array"),
            ("#Software: Microsoft Internet Information Services 10.0\n#Fields: date time s-ip cs-method cs-uri-stem\n2026-02-03 04:05:06 10.0.0.1 GET /".to_owned(), "a log of a web server in W3C format (IIS)"),
            ("#Version: 1.0\n#Fields: date time x-edge-location c-ip x-event sc-bytes x-cf-status\nx".to_owned(), "a log of an RTMP streaming distribution of CloudFront"),
        ] {
            assert_eq!(named(&text), Some(what), "{text}");
        }
    }

    #[test]
    fn what_meterlake_reads_is_not_foreign() {
        for text in [
            r#"{"requestId":"ebf87aa3","requestTime":"09/Jun/2023:12:54:08 +0000","status":"200"}"#,
            r#"203.0.113.9 - - [09/Jun/2023:12:54:08 +0000] "GET GET /items HTTP/1.1" 200 12 GQIVriFLIAMEMsA= GQIVriFLIAMEMsA="#,
            "#Version: 1.0\n#Fields: date time x-edge-location c-ip s-ip\n2026-02-03\t04:05:06\tFRA\t203.0.113.9\t192.0.2.1",
            "1764000000.123\t203.0.113.9\t200",
            "",
        ] {
            assert_eq!(named(text), None, "{text}");
        }
    }
}
