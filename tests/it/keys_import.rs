//! Keys of API Gateway become rows of the keys file: nothing that is there changes, nothing is added twice, and the file can be
//! read afterwards.

use meterlake::base::Micros;
use meterlake::billing::{BillingZone, ConfigFile, Customers, Keys, KeysImport, OfferedKey, Verdict};

const HEADER: &str = "customer_id,api_key_id,key_fingerprint,label,valid_from,valid_to\n";
const PRINT: &str = "00112233445566778899aabbccddeeff";

fn file(name: &str, text: &str) -> ConfigFile {
    ConfigFile { name: name.to_owned(), bytes: text.as_bytes().to_vec() }
}

fn customers() -> Customers {
    let text = "customer_id,name,plan,valid_from,valid_to\nacme,Acme,pro,2026-01-01,\n\"b,eta\",Beta,pro,2026-01-01,\n";
    Customers::parse(&file("customers.csv", text), BillingZone::UTC).unwrap()
}

fn key(id: &str, customer: Option<&str>) -> OfferedKey {
    OfferedKey {
        id: id.to_owned(),
        name: Some(format!("key {id}")),
        fingerprint: None,
        customer_id: customer.map(str::to_owned),
        created_at: "2026-03-04T05:06:07Z".parse::<Micros>().unwrap(),
    }
}

fn plan(text: &str, offered: &[OfferedKey]) -> KeysImport {
    KeysImport::plan(&file("keys.csv", text), BillingZone::UTC, &customers(), offered.to_vec()).unwrap()
}

fn verdicts(import: &KeysImport) -> Vec<Verdict> {
    import.keys.iter().map(|(_, verdict)| *verdict).collect()
}

fn content(import: &KeysImport) -> &str {
    std::str::from_utf8(import.content.as_ref().unwrap()).unwrap()
}

// Seen to fail: when rows were written in the order of the fields of a key and not of the header's columns.
#[test]
fn keys_are_added_at_the_end_and_the_second_time_they_are_known() {
    // Columns in another order, one of the user's own, no line feed at the end.
    let before =
        "label,x_team,valid_from,customer_id,key_fingerprint,api_key_id\nfirst , core,2026-01-01,acme,,old0000001";
    let offered = [
        key("old0000001", Some("b,eta")),
        OfferedKey { fingerprint: Some(PRINT.into()), ..key("new0000002", Some(" b,eta ")) },
    ];
    let import = plan(before, &offered);
    assert_eq!(verdicts(&import), [Verdict::Known, Verdict::Added]);
    let expected = format!("{before}\nkey new0000002,,2026-03-04T05:06:07Z,\"b,eta\",{PRINT},new0000002\n");
    assert_eq!(content(&import), expected);
    let again = plan(&expected, &offered);
    assert_eq!((verdicts(&again), &again.content), (vec![Verdict::Known, Verdict::Known], &None));
    let keys = Keys::parse(&file("keys.csv", &expected), BillingZone::UTC).unwrap();
    assert_eq!(keys.rows()[1].customer_id, "b,eta");
}

#[test]
fn lines_end_as_they_did() {
    let before = format!("\u{feff}{}", HEADER.replace('\n', "\r\n"));
    let expected = format!("{before}acme,k1,,key k1,2026-03-04T05:06:07Z,\r\n");
    assert_eq!(content(&plan(&before, &[key("k1", Some("acme"))])), expected);
}

#[test]
fn what_cannot_be_added_is_told_with_its_reason() {
    let rows =
        format!("{HEADER}acme,known00001,{PRINT},,2026-01-01,\nacme,,{},,2026-01-01,\n", PRINT.replace("00", "ff"));
    let print = |text: String, key: OfferedKey| OfferedKey { fingerprint: Some(text), ..key };
    let offered = [
        // The value was hashed with another secret than today's.
        print("f".repeat(32), key("known00001", Some("acme"))),
        // Its fingerprint stands in a row without an id.
        print(PRINT.replace("00", "ff"), key("k2", Some("acme"))),
        key("k3", None),
        key("k4", Some("  ")),
        key("k5", Some("nobody")),
    ];
    let import = plan(&rows, &offered);
    let expected = [
        Verdict::OtherFingerprint { line: 2 },
        Verdict::OtherId { line: 3 },
        Verdict::NoCustomer,
        Verdict::NoCustomer,
        Verdict::UnknownCustomer,
    ];
    assert_eq!((verdicts(&import), import.content), (expected.to_vec(), None));
}

#[test]
fn a_label_is_one_line_and_no_formula_of_the_file() {
    let named = |name: &str| OfferedKey { name: Some(name.to_owned()), ..key("k1", Some("acme")) };
    let import = plan(HEADER, &[named("two\r\nlines, \"quoted\" ")]);
    assert_eq!(content(&import), format!("{HEADER}acme,k1,,\"two  lines, \"\"quoted\"\"\",2026-03-04T05:06:07Z,\n"));
}

#[test]
fn a_file_that_would_not_be_read_is_not_written() {
    let refused = |text: &str, offered: &[OfferedKey]| {
        KeysImport::plan(&file("keys.csv", text), BillingZone::UTC, &customers(), offered.to_vec())
            .unwrap_err()
            .to_string()
    };
    // There is no column for the fingerprint.
    let offered = [OfferedKey { fingerprint: Some(PRINT.into()), ..key("k1", Some("acme")) }];
    let told = refused("customer_id,api_key_id,valid_from\n", &offered);
    assert!(told.contains("keys.csv:1: column `key_fingerprint` is missing: an import fills it"), "{told}");
    // The file has a mistake already.
    assert!(refused("customer,api_key_id,valid_from\n", &offered).contains("unknown column `customer`"));
    // Two keys of one value: the second would own what the first owns.
    let twice = [offered[0].clone(), OfferedKey { id: "k2".into(), ..offered[0].clone() }];
    assert!(refused(HEADER, &twice).contains("owned twice at once"));
}

#[test]
fn without_a_keys_file_the_command_says_what_to_set() {
    let shell = super::shell::Shell::new();
    shell.write("meterlake.toml", super::shell::edge_config(""));
    let ran = shell.run(&["keys", "import"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("no keys file is configured: name one under [billing] in meterlake.toml"), "{}", ran.err);
}
