//! Months from preview to close and beyond, by the real binary over landing objects: what is refused, what is frozen, and what late
//! records, new owners and changed rates do to a closed month. The laboratory's October begins on the 5th.

use std::collections::BTreeSet;

use serde_json::Value;

use super::lab::{Call, Key, Lab, at, lines};

/// Calls `from..to` of one key on a day, one a second from 10:00.
fn calls(day: i64, key: Key, numbers: std::ops::Range<i64>) -> Vec<u8> {
    let records: Vec<String> = numbers.map(|n| Call::new(at(day, 10, n * 1_000), key).line()).collect();
    lines(&records)
}

/// A laboratory in which a call costs 0.40, with a minimum and tax where asked for. Its clock is real: October 2026 is long over.
fn lab(plan: &str) -> Lab {
    let lab = Lab::new();
    lab.write("rates.toml", format!(
        "[[plan]]\nid = \"pro\"\n{plan}\n[[plan.price]]\nid = \"calls\"\nmeter = \"calls\"\nmodel = \"per_unit\"\nunit_price = \"0.40\"\n\
         [[plan.price]]\nid = \"egress\"\nmeter = \"egress\"\nmodel = \"per_unit\"\nunit_price = \"0.000001\"\n"
    ));
    lab
}

/// The lines of a month's invoices: customer, text, quantity, amount.
fn printed(lab: &Lab, arguments: &[&str]) -> Vec<String> {
    let ran = lab.meterlake(&[&["invoice"], arguments, &["--json"]].concat());
    assert_eq!(ran.code, 0, "{}", ran.all());
    let all: Value = serde_json::from_str(&ran.out).unwrap();
    let mut found = Vec::new();
    for invoice in all["invoices"].as_array().unwrap() {
        let number = invoice["number"].as_str().unwrap_or("-");
        for line in invoice["lines"].as_array().unwrap() {
            let month = line["month"].as_str().unwrap();
            let text = line["text"].as_str().unwrap();
            let quantity = line["quantity"].as_i64().map_or("-".to_owned(), |quantity| quantity.to_string());
            let (customer, amount) = (invoice["customer_id"].as_str().unwrap(), line["amount"].as_str().unwrap());
            found.push(format!("{number} {customer} {month} {text}: {quantity} {amount}"));
        }
        found.push(format!(
            "{number} {} total {}",
            invoice["customer_id"].as_str().unwrap(),
            invoice["total"].as_str().unwrap()
        ));
    }
    found
}

fn close(lab: &Lab, month: &str) -> Vec<String> {
    printed(lab, &[month, "--close"])
}

#[test]
fn a_close_is_final_and_late_records_are_corrected_on_the_next() {
    let lab = lab("minimum = \"10\"");
    // acme: 20 calls at 0.40 are 8.00, so 2.00 are missing to the minimum of 10. beta: 30 calls are 12.00.
    lab.origin("2026/10/05/a", calls(0, Key::Acme, 0..20));
    lab.origin("2026/10/05/b", calls(0, Key::Beta, 20..50));
    lab.run();
    let october = [
        "2026-10-0001 acme 2026-10 calls (pro: calls): 20 8.00",
        "2026-10-0001 acme 2026-10 Missing to the monthly minimum (pro): - 2.00",
        "2026-10-0001 acme total 10.00",
        "2026-10-0002 beta 2026-10 calls (pro: calls): 30 12.00",
        "2026-10-0002 beta total 12.00",
    ];
    let preview: Vec<String> =
        october.iter().map(|line| line.replace("2026-10-0001", "-").replace("2026-10-0002", "-")).collect();
    assert_eq!(printed(&lab, &["2026-10"]), preview);
    assert_eq!(close(&lab, "2026-10"), october);
    let files = lab.files_below("invoices");
    // Again, and after a run: one invoice, the same bytes.
    assert_eq!(close(&lab, "2026-10"), october);
    lab.run();
    assert_eq!(close(&lab, "2026-10"), october);
    assert_eq!(lab.files_below("invoices"), files);
    assert_eq!(
        lab.query("SELECT number, customer_id, total FROM invoices ORDER BY number"),
        ["2026-10-0001,acme,10.000000000", "2026-10-0002,beta,12.000000000"]
    );

    // Three late calls of acme: 1.20 more usage and 1.20 less to the minimum, so nothing in all. Ten of beta: 4.00.
    lab.origin("2026/11/02/late", [calls(1, Key::Acme, 100..103), calls(1, Key::Beta, 200..210)].concat());
    lab.run();
    // beta uses the API in November as well: two calls are 0.80, and 9.20 are missing. acme is on the plan too: 10.00.
    lab.origin("2026/11/03/a", calls(29, Key::Beta, 0..2));
    lab.run();
    assert_eq!(
        printed(&lab, &["2026-11"]),
        [
            "- acme 2026-11 Missing to the monthly minimum (pro): - 10.00",
            "- acme 2026-10 calls (pro: calls): 3 1.20",
            "- acme 2026-10 Missing to the monthly minimum (pro): - -1.20",
            "- acme total 10.00",
            "- beta 2026-11 calls (pro: calls): 2 0.80",
            "- beta 2026-11 Missing to the monthly minimum (pro): - 9.20",
            "- beta 2026-10 calls (pro: calls): 10 4.00",
            "- beta total 14.00",
        ]
    );
    let diff = lab.meterlake(&["invoice", "2026-10", "--diff", "--json"]);
    let diff: Value = serde_json::from_str(&diff.out).unwrap();
    assert_eq!(diff["objects"][0]["object"], "2026/11/02/late");
    assert_eq!(diff["objects"].as_array().unwrap().len(), 1);
    assert_eq!(diff["lines"].as_array().unwrap().len(), 3);
    assert_eq!(close(&lab, "2026-10"), october, "a closed invoice does not change");
}

#[test]
fn a_month_is_refused_while_anything_stands_against_it() {
    let lab = lab("");
    lab.origin("2026/10/05/a", calls(0, Key::Acme, 0..3));
    lab.origin("2026/10/05/n", calls(0, Key::Nobody, 10..12));
    lab.run();
    let refused = lab.meterlake(&["invoice", "2026-10", "--close"]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("2 events are held (2 unmapped), more than 0"), "{}", refused.err);
    assert!(!lab.path("invoices").exists());
    // An object that nobody has converted, and one that was converted and not built.
    lab.origin("2026/10/06/b", calls(1, Key::Acme, 20..21));
    let refused = lab.meterlake(&["invoice", "2026-10", "--close"]);
    assert!(
        refused.err.contains("1 objects of origin are not converted, the first is 2026/10/06/b"),
        "{}",
        refused.err
    );
    lab.meterlake(&["convert"]);
    let refused = lab.meterlake(&["invoice", "2026-10", "--close"]);
    assert!(refused.err.contains("1 converted objects wait to be built"), "{}", refused.err);
    lab.run();
    // A changed price makes charges stale.
    lab.write("rates.toml", std::fs::read_to_string(lab.beside("rates.toml")).unwrap().replace("0.40", "0.50"));
    let refused = lab.meterlake(&["invoice", "2026-10", "--close"]);
    assert!(refused.err.contains("is not up to date"), "{}", refused.err);
    lab.run();
    let accepted = lab.meterlake(&["invoice", "2026-10", "--close", "--accept", "two calls of a test key"]);
    assert_eq!(accepted.code, 0, "{}", accepted.all());
    let closed: Value =
        serde_json::from_slice(&std::fs::read(lab.path("invoices/2026-10/closed.json")).unwrap()).unwrap();
    assert_eq!(closed["accepted"]["reason"], "two calls of a test key");
    assert_eq!(closed["accepted"]["against"][0], "2 events are held (2 unmapped), more than 0");
    // 4 calls at 0.50.
    assert_eq!(closed["totals"]["USD"], "2.00");
}

#[test]
fn what_was_agreed_at_the_close_stays_and_a_new_owner_is_billed() {
    let lab = lab("");
    lab.configure("[privacy]", "[invoice]\nheld_events_max = 100\n[privacy]");
    lab.origin("2026/10/05/a", calls(0, Key::Acme, 0..10));
    lab.origin("2026/10/05/n", calls(0, Key::Nobody, 20..25));
    lab.run();
    // acme: 10 calls are 4.00.
    assert_eq!(close(&lab, "2026-10").last().unwrap(), "2026-10-0001 acme total 4.00");
    // The price doubles, acme's key goes to beta, and the key of nobody becomes beta's.
    lab.write("rates.toml", std::fs::read_to_string(lab.beside("rates.toml")).unwrap().replace("0.40", "0.80"));
    lab.own(&[("beta", Key::Acme), ("beta", Key::Nobody)]);
    lab.run();
    lab.run();
    // Only what nobody owned at the close is billed: 5 calls at October's price, 2.00.
    let diff = lab.meterlake(&["invoice", "2026-10", "--diff"]);
    assert!(diff.out.contains("beta") && !diff.out.contains("acme"), "{}", diff.out);
    // November: one call of acme's former key, beta's now, at 0.80.
    lab.origin("2026/11/03/a", calls(29, Key::Acme, 0..1));
    lab.run();
    assert_eq!(
        printed(&lab, &["2026-11"]),
        ["- beta 2026-11 calls (pro: calls): 1 0.80", "- beta 2026-10 calls (pro: calls): 5 2.00", "- beta total 2.80",]
    );
    // Somebody agrees that October is priced as today: then acme gets its 4.00 back, and beta pays 15 calls at 0.80, 12.00.
    let repriced = lab.meterlake(&["invoice", "2026-10", "--reprice", "--reason", "the key was beta's all along"]);
    assert_eq!(repriced.code, 0, "{}", repriced.all());
    lab.run();
    assert_eq!(
        printed(&lab, &["2026-11"]),
        [
            "- acme 2026-10 calls (pro: calls): -10 -4.00",
            "- acme total -4.00",
            "- beta 2026-11 calls (pro: calls): 1 0.80",
            "- beta 2026-10 calls (pro: calls): 15 12.00",
            "- beta total 12.80",
        ]
    );
}

#[test]
fn a_customer_that_is_left_out_is_billed_by_the_next_close() {
    let lab = lab("");
    lab.origin("2026/10/05/a", calls(0, Key::Acme, 0..10));
    lab.origin("2026/10/05/b", calls(0, Key::Beta, 20..25));
    lab.run();
    assert_eq!(
        printed(&lab, &["2026-10", "--close", "--hold", "acme"]),
        ["2026-10-0001 beta 2026-10 calls (pro: calls): 5 2.00", "2026-10-0001 beta total 2.00"]
    );
    lab.run();
    assert_eq!(printed(&lab, &["2026-11"]), ["- acme 2026-10 calls (pro: calls): 10 4.00", "- acme total 4.00"]);
}

#[test]
fn killed_closes_leave_one_invoice() {
    let lab = lab("");
    lab.origin("2026/10/05/a", calls(0, Key::Acme, 0..10));
    lab.origin("2026/10/05/b", calls(0, Key::Beta, 20..25));
    lab.run();
    let mut closing = Vec::new();
    // Some are killed on their way, two run at once to their end.
    for wait in [20, 60, 120, 200, 300] {
        let mut child = lab.start(&["invoice", "2026-10", "--close"]);
        std::thread::sleep(std::time::Duration::from_millis(wait));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    for _ in 0..2 {
        closing.push(lab.start(&["invoice", "2026-10", "--close"]));
    }
    for child in closing {
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    assert_eq!(
        close(&lab, "2026-10"),
        [
            "2026-10-0001 acme 2026-10 calls (pro: calls): 10 4.00",
            "2026-10-0001 acme total 4.00",
            "2026-10-0002 beta 2026-10 calls (pro: calls): 5 2.00",
            "2026-10-0002 beta total 2.00",
        ]
    );
    assert_eq!(lab.query("SELECT count(*) FROM invoices"), ["2"]);
    assert_eq!(lab.query("SELECT sum(amount) FROM invoice_lines"), ["6.000000000"]);
}

#[test]
fn other_rates_are_compared_and_nothing_is_stored() {
    let lab = lab("");
    lab.origin("2026/10/05/a", calls(0, Key::Acme, 0..10));
    lab.run();
    let rates = std::fs::read_to_string(lab.beside("rates.toml")).unwrap();
    lab.write("other.toml", rates.replace("0.40", "0.25"));
    let before = lab.files();
    let other = lab.beside("other.toml");
    let ran = lab.meterlake(&["invoice", "2026-10", "--rates", other.to_str().unwrap(), "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    let found: Value = serde_json::from_str(&ran.out).unwrap();
    // 10 × 0.40 = 4.00; 10 × 0.25 = 2.50.
    assert_eq!(
        (found[0]["now"].as_str(), found[0]["then"].as_str(), found[0]["difference"].as_str()),
        (Some("4.00"), Some("2.50"), Some("-1.50"))
    );
    assert_eq!(lab.files(), before);
}

#[test]
fn every_line_is_explained_down_to_its_events_and_back() {
    let lab = Lab::new();
    // Tiers of the laboratory: 5 free, up to 12 at 0.04, then 0.02.
    lab.origin("2026/10/05/a", calls(0, Key::Acme, 0..9));
    lab.origin("2026/10/06/a", calls(1, Key::Acme, 20..26));
    lab.run();
    assert_eq!(
        close(&lab, "2026-10"),
        [
            "2026-10-0001 acme 2026-10 calls (pro: calls, tier 1): 5 0.00",
            "2026-10-0001 acme 2026-10 calls (pro: calls, tier 2): 7 0.28",
            "2026-10-0001 acme 2026-10 calls (pro: calls, tier 3): 3 0.06",
            "2026-10-0001 acme total 0.34",
        ]
    );
    let mut positions = BTreeSet::new();
    let mut quantities = 0;
    for line in 1..=3 {
        let ran = lab.meterlake(&["explain", &format!("2026-10-0001/{line}"), "--json"]);
        assert_eq!(ran.code, 0, "{}", ran.all());
        let explained: Value = serde_json::from_str(&ran.out).unwrap();
        let charges = explained["charges"].as_array().unwrap();
        let quantity: i64 = charges.iter().map(|charge| charge["quantity"].as_i64().unwrap()).sum();
        assert_eq!(explained["line"]["quantity"], quantity);
        quantities += quantity;
        // The events of the line's days and dimensions are as many as the keys' usage.
        let events = lab.query(explained["events_sql"].as_str().unwrap());
        let of_keys: i64 =
            explained["keys"].as_array().unwrap().iter().map(|key| key["events"].as_i64().unwrap()).sum();
        assert_eq!(events.len() as i64, of_keys);
        positions.extend(events);
    }
    // Every event is behind some line, and the lines count each once.
    assert_eq!((positions.len(), quantities), (15, 15));
    let missing = lab.meterlake(&["explain", "2026-10-0001/9"]);
    assert_eq!(missing.code, 2);
    assert!(missing.err.contains("there is no line `2026-10-0001/9`"), "{}", missing.err);
}

#[test]
fn adjustments_and_tax_are_lines_and_may_make_a_credit_note() {
    let lab = lab("");
    lab.configure("rates = \"rates.toml\"", "rates = \"rates.toml\"\nadjustments = \"adjustments.csv\"");
    lab.write(
        "customers.csv",
        "customer_id,name,plan,valid_from,valid_to,address,tax_percent\n\
         acme,Acme,pro,2026-01-01,,Street 1|12345 Town,19\nbeta,Beta,pro,2026-01-01,,,\n",
    );
    lab.write("adjustments.csv", "customer_id,month,amount,reason,approver\nacme,2026-10,-5,outage on the 3rd,kim\n");
    lab.origin("2026/10/05/a", calls(0, Key::Acme, 0..10));
    lab.origin("2026/10/05/b", calls(0, Key::Beta, 20..21));
    lab.run();
    // acme: 10 × 0.40 = 4.00, less 5.00 is −1.00; 19 % of that is −0.19. beta pays no tax.
    assert_eq!(
        close(&lab, "2026-10"),
        [
            "2026-10-0001 acme 2026-10 calls (pro: calls): 10 4.00",
            "2026-10-0001 acme 2026-10 outage on the 3rd (approved by kim): - -5.00",
            "2026-10-0001 acme 2026-10 Tax 19 %: - -0.19",
            "2026-10-0001 acme total -1.19",
            "2026-10-0002 beta 2026-10 calls (pro: calls): 1 0.40",
            "2026-10-0002 beta total 0.40",
        ]
    );
    assert_eq!(
        lab.query("SELECT kind, subtotal, tax, total FROM invoices WHERE customer_id = 'acme'"),
        ["credit_note,-1.000000000,-0.190000000,-1.190000000"]
    );
    for file in ["invoices.csv", "invoices.json", "2026-10-0001.html", "2026-10-0001.pdf", "2026-10-0002.pdf"] {
        assert!(lab.path(&format!("invoices/2026-10/files/{file}")).is_file(), "{file}");
    }
    // One more for the closed month would never be printed.
    lab.write(
        "adjustments.csv",
        "customer_id,month,amount,reason,approver\nacme,2026-10,-5,outage on the 3rd,kim\nacme,2026-10,-1,more,kim\n",
    );
    let refused = lab.meterlake(&["invoice", "2026-11"]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("adjustments.csv:3: 2026-10 is closed"), "{}", refused.err);
}

#[test]
fn a_correction_is_corrected_when_more_comes_later() {
    // Tiers of the laboratory: 5 free, up to 12 at 0.04, then 0.02.
    let lab = Lab::new();
    lab.origin("2026/10/05/a", calls(0, Key::Acme, 0..10));
    lab.run();
    // 5 free, 5 × 0.04 = 0.20.
    assert_eq!(close(&lab, "2026-10").last().unwrap(), "2026-10-0001 acme total 0.20");
    let next = |lab: &Lab| printed(lab, &["2026-11"]);
    // 4 more: 14 in all, so 2 more in the second tier, 0.08, and 2 in the third, 0.04.
    lab.origin("2026/11/02/late", calls(1, Key::Acme, 50..54));
    lab.run();
    assert_eq!(
        next(&lab),
        [
            "- acme 2026-10 calls (pro: calls, tier 2): 2 0.08",
            "- acme 2026-10 calls (pro: calls, tier 3): 2 0.04",
            "- acme total 0.12",
        ]
    );
    // The first object was a mistake: 4 calls are left, all free. The whole 0.20 goes back.
    let retracted = lab.meterlake(&["retract", "2026/10/05/a", "--reason", "staging"]);
    assert_eq!(retracted.code, 0, "{}", retracted.all());
    assert_eq!(next(&lab), ["- acme 2026-10 calls (pro: calls, tier 2): -5 -0.20", "- acme total -0.20"]);
    assert_eq!(close(&lab, "2026-10").last().unwrap(), "2026-10-0001 acme total 0.20");
}

#[test]
fn closing_while_a_build_runs_bills_each_call_once() {
    let lab = lab("");
    lab.origin("2026/10/05/a", calls(0, Key::Acme, 0..10));
    lab.run();
    // A build of 5 more calls runs while the month is closed, whatever stands against it.
    lab.origin("2026/10/06/b", calls(1, Key::Acme, 100..105));
    let build = lab.start(&["run"]);
    let closing = lab.start(&["invoice", "2026-10", "--close", "--accept", "at the same time"]);
    assert!(closing.wait_with_output().unwrap().status.success());
    assert!(build.wait_with_output().unwrap().status.code() < Some(2));
    lab.run();
    let cents = |lines: Vec<String>| -> i64 {
        let totals =
            lines.iter().filter_map(|line| line.split_once(" acme total ").map(|(_, total)| total.replace('.', "")));
        totals.map(|total| total.parse::<i64>().unwrap()).sum()
    };
    // What was billed and what the next invoice corrects are 15 calls at 0.40 together, 6.00.
    assert_eq!(cents(close(&lab, "2026-10")) + cents(printed(&lab, &["2026-11"])), 600);
}
