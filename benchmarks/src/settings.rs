//! The configuration that goes with the landing objects: meters on both sources, every customer on one plan.

use std::fmt::Write as _;
use std::io;

use meterlake::decode::{KeySecret, key_ref};

use crate::Args;
use crate::world::{key, key_id};
use crate::{edge, origin};

/// Hashes the keys of the synthetic customers, which are in the repository too.
const SECRET: &str = "benchmarks-only-not-a-secret-0123456789";

const RATES: &str = r#"[[plan]]
id = "pro"

[[plan.price]]
id = "calls"
meter = "api_calls"
model = "graduated"
tiers = [{ up_to = 100, unit_price = "0" }, { up_to = 5_000, unit_price = "0.0004" }, { unit_price = "0.0002" }]

[[plan.price]]
id = "egress"
meter = "egress_bytes"
model = "per_unit"
unit_price = "0.000000002"
"#;

pub(crate) fn write(args: &Args) -> io::Result<()> {
    let fields: Vec<String> = edge::FIELDS.split_ascii_whitespace().map(|name| format!("{name:?}")).collect();
    let config = format!(
        r#"lake = "lake"

[billing]
currency = "USD"
customers = "customers.csv"
keys = "keys.csv"
rates = "rates.toml"

[privacy]
key_secret = "file:secret.txt"

[[source]]
name = "edge"
kind = "cloudfront-realtime"
location = "{}"
fields = [{}]
key = {{ header = "x-api-key" }}

[[source]]
name = "origin"
kind = "api-gateway"
location = "{}"
format = '{}'
key = "$context.identity.apiKeyId"

[[meter]]
name = "api_calls"
source = "origin"
where = "status < 500 AND status NOT IN (401, 403, 429) AND method <> 'OPTIONS'"
value = "count"
group_by = ["route"]

[[meter]]
name = "egress_bytes"
source = "edge"
where = "status < 500"
value = "response_bytes"
"#,
        <edge::Edge as crate::Kind>::FOLDER,
        fields.join(", "),
        <origin::Origin as crate::Kind>::FOLDER,
        origin::FORMAT,
    );
    let secret = KeySecret(SECRET.as_bytes().to_vec());
    let mut customers = "customer_id,name,plan,valid_from,valid_to\n".to_owned();
    let mut keys = "customer_id,api_key_id,key_fingerprint,label,valid_from,valid_to\n".to_owned();
    for customer in 0..u64::from(args.customers) {
        let id = format!("customer{customer:06}");
        let fingerprint = key_ref(&secret, key(customer).as_bytes());
        let (from, key_id) = ("2026-01-01", key_id(customer));
        writeln!(customers, "{id},Customer {customer},pro,{from},").map_err(io::Error::other)?;
        writeln!(keys, "{id},{key_id},{fingerprint},,{from},").map_err(io::Error::other)?;
    }
    for (name, text) in [
        ("meterlake.toml", config.as_str()),
        ("secret.txt", SECRET),
        ("customers.csv", &customers),
        ("keys.csv", &keys),
        ("rates.toml", RATES),
    ] {
        std::fs::write(args.out.join(name), text)?;
    }
    Ok(())
}
