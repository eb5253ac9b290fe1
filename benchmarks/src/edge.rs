//! CloudFront real-time records of 44 fields, one per line.

use fastrand::Rng;

use crate::landing::{Kind, Writer};
use crate::world::{Request, base64, key, skewed, uuid};

/// The 44 fields a console shows by default, in the order of the record.
pub const FIELDS: &str = "timestamp c-ip s-ip time-to-first-byte sc-status sc-bytes cs-method cs-protocol \
    cs-host cs-uri-stem cs-bytes x-edge-location x-edge-request-id x-host-header time-taken cs-protocol-version \
    c-ip-version cs-user-agent cs-referer cs-cookie cs-uri-query x-edge-response-result-type x-forwarded-for \
    ssl-protocol ssl-cipher x-edge-result-type fle-encrypted-fields fle-status sc-content-type sc-content-len \
    sc-range-start sc-range-end c-port x-edge-detailed-result-type c-country cs-accept-encoding cs-accept \
    cache-behavior-path-pattern cs-headers cs-header-names cs-headers-count origin-fbl origin-lbl asn";

const LOCATIONS: [&str; 10] = [
    "FRA56-P4", "SFO53-P9", "IAD89-C1", "NRT57-P2", "LHR61-P3", "CDG50-C2", "BOM78-P1", "GRU3-P6", "AMS58-P5",
    "ARN53-P1",
];

/// CloudFront real-time logs.
pub(crate) struct Edge;

impl Kind for Edge {
    const NAME: &str = "edge";
    const FOLDER: &str = "landing/cloudfront";

    fn record(rng: &mut Rng, customers: u64, at_ms: i64) -> String {
        let request = Request::draw(rng, customers);
        let agent = request.user_agent.replace(' ', "%20");
        let cached = rng.u32(0..100) < 30;
        let result = match request.status {
            400.. => "Error",
            _ if cached => "Hit",
            _ => "Miss",
        };
        let query = if rng.u32(0..10) < 6 {
            format!("page={}&q={:06x}&sort=name%2520asc", skewed(rng, 50), rng.u32(0..1 << 24))
        } else {
            "-".to_owned()
        };
        let stem = if query == "-" { request.path.clone() } else { format!("{}?{query}", request.path) };
        let mut headers = vec![
            ("host", "api.example.com".to_owned()),
            ("user-agent", agent.clone()),
            ("accept", "*/*".to_owned()),
            ("accept-encoding", "gzip,%20deflate,%20br".to_owned()),
            ("x-request-id", uuid(rng)),
        ];
        if rng.u32(0..100) > 0 {
            headers.insert(2, ("x-api-key", key(request.customer)));
        }
        let mut shown: String = headers.iter().map(|(name, value)| format!("{name}:{value}%0A")).collect();
        let names: String = headers.iter().map(|(name, _)| format!("{name}%0A")).collect();
        let mut count = headers.len();
        if rng.u32(0..1000) < 3 {
            // A caller who sends so many headers that the list was cut before the key.
            shown = headers[..2].iter().map(|(name, value)| format!("{name}:{value}%0A")).collect();
            count += 20;
        }
        let (total, first) = (request.latency_ms + skewed(rng, 40), request.latency_ms);
        let seconds = |ms: u64| format!("{}.{:03}", ms / 1000, ms % 1000);
        let latency = if cached { "-".to_owned() } else { seconds(first.saturating_sub(2)) };
        let fields: [&str; 44] = [
            &format!("{}.{:03}", at_ms / 1000, at_ms % 1000),
            &request.client_ip,
            "65.8.177.136",
            &seconds(first),
            &request.status.to_string(),
            &(request.response_bytes + 420).to_string(),
            request.method,
            "https",
            "api.example.com",
            &stem,
            &(300 + shown.len() + stem.len()).to_string(),
            LOCATIONS[(request.customer % 10) as usize],
            &(base64(rng, 54) + "=="),
            "d111111abcdef8.cloudfront.net",
            &seconds(total),
            "HTTP/2.0",
            "IPv4",
            &agent,
            "-",
            "-",
            &query,
            result,
            "-",
            "TLSv1.3",
            "TLS_AES_128_GCM_SHA256",
            result,
            "-",
            "-",
            "application/json",
            &request.response_bytes.to_string(),
            "-",
            "-",
            &rng.u32(1024..65_536).to_string(),
            result,
            request.country,
            "gzip,%20deflate,%20br",
            "*/*",
            if request.route == "/v1/search" { "/v1/search" } else { "/v1/*" },
            &shown,
            &names,
            &count.to_string(),
            &latency,
            &latency,
            &(1000 + request.customer * 31 % 60_000).to_string(),
        ];
        fields.join("\t")
    }

    fn put(records: &[String], out: &mut Writer, _: &mut Rng) -> std::io::Result<()> {
        for record in records {
            out.write(record.as_bytes())?;
            out.write(b"\n")?;
        }
        out.end_member()
    }
}
