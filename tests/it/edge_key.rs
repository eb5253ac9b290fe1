//! What `deploy/cloudfront/api-key.js` logs is billed as that file says: one key to its owner, several held, none
//! anonymous, and a key that could not be hashed held under a name that says so. Where the function did not run, nothing is
//! logged: held too, unless the configuration says otherwise.

use std::fs;
use std::path::Path;

use super::lab::Key;
use super::shell::{Shell, gz};

/// A lake whose edge source carries the function's token, and one record per token.
fn lake(tokens: &[String], keys: &str) -> Shell {
    let fields = "timestamp,sc-status,cs-method,x-edge-request-id,viewer-request-log-data";
    let record = |(n, token): (usize, &String)| format!("1791158400.{n:03}\t200\tGET\t{n:054}==\t{token}\n");
    let records: String = tokens.iter().enumerate().map(record).collect();
    let shell = configured(fields, keys);
    shell.write("landing/2026/10/05/00/edge-1-2026-10-05-00-05-00-a.gz", gz(records.as_bytes()));
    shell
}

/// The configuration with those fields and keys.
fn configured(fields: &str, keys: &str) -> Shell {
    let shell = Shell::new();
    let fields: Vec<_> = fields.split(',').collect();
    shell.write(
        "meterlake.toml",
        r#"
lake = "lake"
[billing]
currency = "USD"
timezone = "UTC"
customers = "customers.csv"
keys = "keys.csv"
rates = "rates.toml"
[privacy]
key_secret = "env:ML_SECRET"
[[source]]
name = "edge"
kind = "cloudfront-realtime"
location = "landing"
fields = FIELDS
key = { log_data = "k", plain = true }
[[meter]]
name = "calls"
source = "edge"
where = "status < 500"
value = "count"
"#
        .replace("FIELDS", &format!("{fields:?}")),
    );
    shell.write("customers.csv", "customer_id,name,plan,valid_from,valid_to\nacme,Acme,pro,2026-01-01,\n");
    shell.write("keys.csv", format!("customer_id,api_key_id,key_fingerprint,label,valid_from,valid_to\n{keys}"));
    shell.write(
        "rates.toml",
        "[[plan]]\nid = \"pro\"\n[[plan.price]]\nid = \"calls\"\nmeter = \"calls\"\nmodel = \"per_unit\"\nunit_price = \"1\"\n",
    );
    shell
}

const FATES: &str = "SELECT attribution, key_ref, customer_id, SUM(events) AS events FROM usage_daily \
                     GROUP BY attribution, key_ref, customer_id ORDER BY attribution, key_ref";

#[test]
fn each_token_of_the_edge_function_is_billed_or_held_as_it_says() {
    let (print, other) = (Key::Acme.fingerprint(), Key::Nobody.fingerprint());
    let tokens = [
        format!("v1%3Bk%3D{print}"),
        format!("v1;k={print}"),
        format!("v1;k={other}"),
        "v1".to_owned(),
        format!("v1;k={print};k={other}"),
        "v1;k=no-secret".to_owned(),
        "v1;k=acmeid0001".to_owned(),
        // The function did not run.
        "-".to_owned(),
    ];
    let shell = lake(&tokens, &format!("acme,acmeid0001,{print},,2026-01-01,\n"));
    let ran = shell.run(&["run"]);
    assert_eq!(ran.code, 1, "{}", ran.all());
    let expected = [
        "anonymous,,,1".to_owned(),
        "mapped,acmeid0001,acme,1".to_owned(),
        format!("mapped,{print},acme,2"),
        "truncated,,,2".to_owned(),
        format!("unmapped,{other},,1"),
        "unmapped,no-secret,,1".to_owned(),
    ];
    let (mut got, mut expected) = (shell.query(FATES), expected.to_vec());
    got.sort();
    expected.sort();
    assert_eq!(got, expected);
}

#[test]
fn a_behaviour_without_the_function_is_free_only_if_the_configuration_says_so() {
    let fates = |missing: &str| {
        let shell = lake(&["-".to_owned(), "v1".to_owned()], "");
        let config = fs::read_to_string(shell.path("meterlake.toml")).unwrap();
        shell.write("meterlake.toml", config.replace("plain = true", &format!("plain = true{missing}")));
        let ran = shell.run(&["run"]);
        assert!(ran.code < 2, "{}", ran.all());
        assert!(shell.run(&["run"]).out.contains("Nothing is new"));
        shell.query(FATES)
    };
    assert_eq!(fates(""), ["anonymous,,,1", "truncated,,,1"]);
    assert_eq!(fates(", missing = \"held\""), ["anonymous,,,1", "truncated,,,1"]);
    assert_eq!(fates(", missing = \"anonymous\""), ["anonymous,,,2"]);
}

#[test]
fn one_text_in_both_columns_would_count_a_key_twice() {
    let print = Key::Acme.fingerprint();
    let shell = lake(&[], &format!("acme,acmeid0001,{print},,2026-01-01,\nacme,{print},,,2026-01-01,\n"));
    let ran = shell.run(&["run"]);
    assert_eq!(ran.code, 2, "{}", ran.all());
    assert!(ran.err.contains("keys.csv:3: this `api_key_id` is the `key_fingerprint` of line 2"), "{}", ran.err);
}

#[test]
fn the_fields_of_the_template_are_a_source_that_carries_the_token() {
    let template = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/template.yaml")).unwrap();
    let fields = template.lines().map(str::trim).find(|line| line.starts_with("timestamp,")).unwrap();
    let shell = configured(fields, "");
    shell.write("landing/.keep", "");
    let ran = shell.run(&["run"]);
    assert!(ran.code == 0 && !ran.err.contains("warning"), "{}", ran.all());
    // The key itself is in none of them.
    assert!(!fields.split(',').any(|field| field == "cs-headers"));
}
