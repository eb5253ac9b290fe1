//! What both log kinds draw from: customers with keys, clients, user agents, paths. A few of each make most requests.

use fastrand::Rng;

const CLIENTS: u64 = 40_000;
const USER_AGENTS: u64 = 400;
const ITEMS: u64 = 60_000;

/// Where a request came from, and what it asked for.
pub(crate) struct Request {
    pub(crate) customer: u64,
    pub(crate) client_ip: String,
    pub(crate) country: &'static str,
    pub(crate) user_agent: String,
    pub(crate) method: &'static str,
    pub(crate) route: &'static str,
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) response_bytes: u64,
    pub(crate) latency_ms: u64,
}

const COUNTRIES: [&str; 12] = ["DE", "US", "GB", "JP", "FR", "IN", "BR", "NL", "SE", "PL", "ES", "CA"];
const ROUTES: [(&str, &str); 5] = [
    ("GET", "/v1/items/{id}"),
    ("GET", "/v1/items/{id}/history"),
    ("POST", "/v1/completions"),
    ("PUT", "/v1/items/{id}"),
    ("GET", "/v1/search"),
];

impl Request {
    pub(crate) fn draw(rng: &mut Rng, customers: u64) -> Self {
        let client = skewed(rng, CLIENTS);
        let (method, route) = ROUTES[skewed(rng, ROUTES.len() as u64) as usize];
        let agent = client.wrapping_mul(0x9E37_79B9) % USER_AGENTS;
        Self {
            customer: client % customers,
            client_ip: format!("{}.{}.{}.{}", 1 + client % 222, client / 7 % 256, client / 3 % 256, 1 + client % 254),
            country: COUNTRIES[(client % COUNTRIES.len() as u64) as usize],
            user_agent: format!(
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.{}.0 Safari/537.36",
                90 + agent % 50,
                agent / 50 * 17
            ),
            method,
            route,
            path: route.replace("{id}", &format!("{:08x}", skewed(rng, ITEMS).wrapping_mul(0x9E37_79B9) as u32)),
            status: match rng.u32(0..1000) {
                0..900 => 200,
                900..940 => 304,
                940..970 => 404,
                970..985 => 403,
                985..992 => 429,
                _ => 502,
            },
            response_bytes: 200 + skewed(rng, 90_000),
            latency_ms: 3 + skewed(rng, 900),
        }
    }
}

/// One of `0..of`, small ones far more often.
pub(crate) fn skewed(rng: &mut Rng, of: u64) -> u64 {
    let at = rng.f64();
    ((at * at * at * of as f64) as u64).min(of - 1)
}

/// Random characters of URL-safe Base64.
pub(crate) fn base64(rng: &mut Rng, characters: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..characters).map(|_| ALPHABET[rng.usize(0..64)] as char).collect()
}

/// A random UUID.
pub(crate) fn uuid(rng: &mut Rng) -> String {
    let bits = rng.u128(..);
    let [a, b, c, d, e] = [bits >> 96, bits >> 80, bits >> 64, bits >> 48, bits];
    let (a, b, c, d) = (a as u32, b as u16, c as u16 & 0xfff | 0x4000, d as u16 & 0x3fff | 0x8000);
    format!("{a:08x}-{b:04x}-{c:04x}-{d:04x}-{:012x}", e & 0xffff_ffff_ffff)
}

/// The secret API key of a customer.
pub(crate) fn key(customer: u64) -> String {
    format!("BENCHKEY{customer:06}{:016X}", (customer + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// The id under which API Gateway logs that key.
pub(crate) fn key_id(customer: u64) -> String {
    format!("k{:09x}", (customer + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 28)
}
