//! Bills and corrections worked out by hand: what a line prints, and what follows from what was printed before.

use super::*;

fn account() -> Account {
    Account { customer_id: "acme".to_owned(), currency: Currency::of("USD").unwrap() }
}

fn october() -> BillingMonth {
    "2026-10".parse().unwrap()
}

/// Calls at a price each, all in one tier.
fn calls(quantity: i64, price: &str) -> ChargeSum {
    let price: Nanos = price.parse().unwrap();
    ChargeSum {
        customer_id: "acme".to_owned(),
        currency: "USD".to_owned(),
        kind: LineKind::Usage,
        plan: "pro".to_owned(),
        price_id: "calls".to_owned(),
        price_from: Some(Micros(0)),
        model: Some("per_unit".to_owned()),
        meter: Some("api_calls".to_owned()),
        tier: Some("1".to_owned()),
        quantity,
        billed: Some(quantity),
        unit_price: Some(price),
        exact: price.checked_mul(quantity).unwrap(),
    }
}

fn of_plan(kind: LineKind, exact: &str) -> ChargeSum {
    ChargeSum {
        kind,
        price_id: kind.name().to_owned(),
        price_from: None,
        model: None,
        meter: None,
        quantity: 0,
        billed: None,
        unit_price: None,
        exact: exact.parse().unwrap(),
        ..calls(0, "0")
    }
}

/// What is printed when the month comes to `charges`, after all that `printed` holds; it is added to it.
fn print(
    charges: Vec<ChargeSum>,
    terms: &MonthTerms,
    printed: &mut BTreeMap<LineKey, Printed>,
    is_correction: bool,
) -> Vec<String> {
    let now = month_now(october(), charges, terms).unwrap();
    let corrects = Corrects { invoice: Some("2026-10-0001".to_owned()) };
    let none = BTreeMap::new();
    let lines = difference(
        &account(),
        october(),
        now.get(&account()).unwrap_or(&none),
        printed,
        terms,
        is_correction.then_some(&corrects),
    )
    .unwrap();
    lines.iter().for_each(|line| add_printed(printed, line).unwrap());
    let quantity = |line: &Line| line.quantity.map(|quantity| format!("{quantity} × ")).unwrap_or_default();
    let price = |line: &Line| line.unit_price.map(|price| format!("{price} ")).unwrap_or_default();
    lines
        .iter()
        .map(|l| format!("{} {}{}= {} → {}", l.key.kind.name(), quantity(l), price(l), l.exact, l.amount.text(2)))
        .collect()
}

fn usd() -> MonthTerms {
    MonthTerms { currency: "USD".to_owned(), ..MonthTerms::default() }
}

#[test]
fn a_line_is_rounded_once_and_tax_is_on_what_is_printed() {
    let terms = MonthTerms { tax_ppm: [("acme".to_owned(), 190_000)].into(), ..usd() };
    // 333 × 0.0015 = 0.4995, printed 0.50. 19 % of 0.50 is 0.095, printed 0.10 (half up).
    let lines = print(vec![calls(333, "0.0015")], &terms, &mut BTreeMap::new(), false);
    assert_eq!(lines, ["usage 333 × 0.0015 = 0.4995 → 0.50", "tax = 0.095 → 0.10"]);
    // Half even: 0.095 lies between 0.09 and 0.10, and 10 is the even one.
    let even = MonthTerms { rounding: Rounding::HalfEven, ..terms };
    let lines = print(vec![calls(333, "0.0015")], &even, &mut BTreeMap::new(), false);
    assert_eq!(lines[1], "tax = 0.095 → 0.10");
}

#[test]
fn a_month_never_billed_shows_what_was_free_and_a_correction_does_not() {
    let mut printed = BTreeMap::new();
    assert_eq!(print(vec![calls(9, "0")], &usd(), &mut printed, false), ["usage 9 × 0.00 = 0.00 → 0.00"]);
    assert!(print(vec![calls(12, "0")], &usd(), &mut printed, true).is_empty());
}

#[test]
fn late_usage_below_the_minimum_corrects_nothing() {
    // Minimum 100. Usage 80, so 20 are missing; then 10 more come late: 90 + 10 = 80 + 20.
    let mut printed = BTreeMap::new();
    let month = |usage, missing: &str| vec![calls(usage, "1"), of_plan(LineKind::Minimum, missing)];
    let lines = print(month(80, "20"), &usd(), &mut printed, false);
    assert_eq!(lines, ["usage 80 × 1.00 = 80.00 → 80.00", "minimum = 20.00 → 20.00"]);
    let lines = print(month(90, "10"), &usd(), &mut printed, true);
    assert_eq!(lines, ["usage 10 × 1.00 = 10.00 → 10.00", "minimum = -10.00 → -10.00"]);
    // Then 25 more: usage 115, nothing is missing. 115 − 90 = 25, and the last 10 of the minimum go back.
    let lines = print(vec![calls(115, "1")], &usd(), &mut printed, true);
    assert_eq!(lines, ["usage 25 × 1.00 = 25.00 → 25.00", "minimum = -10.00 → -10.00"]);
    assert!(print(vec![calls(115, "1")], &usd(), &mut printed, true).is_empty());
}

#[test]
fn records_below_a_cent_bill_their_true_sum() {
    // Each late record costs 0.0004. Ten corrections of a hundred records each, closed one by one: 0.04 each; and a thousand
    // corrections of one record each print 1000 × 0.0004 = 0.40 together, though none of them costs a cent.
    let mut printed = BTreeMap::new();
    print(vec![calls(1, "0.0004")], &usd(), &mut printed, false);
    let mut sum = Nanos(0);
    for late in 1..=1_000 {
        let now = month_now(october(), vec![calls(1 + late, "0.0004")], &usd()).unwrap();
        let corrects = Corrects { invoice: None };
        for line in difference(&account(), october(), &now[&account()], &printed, &usd(), Some(&corrects)).unwrap() {
            add_printed(&mut printed, &line).unwrap();
            sum = sum.checked_add(line.amount).unwrap();
        }
    }
    assert_eq!(sum.text(2), "0.40");
}

#[test]
fn a_line_that_is_gone_is_taken_back_with_its_tax() {
    let terms = MonthTerms { tax_ppm: [("acme".to_owned(), 75_000)].into(), ..usd() };
    let mut printed = BTreeMap::new();
    // 40 × 0.25 = 10; 7.5 % of it is 0.75.
    let lines = print(vec![calls(40, "0.25")], &terms, &mut printed, false);
    assert_eq!(lines, ["usage 40 × 0.25 = 10.00 → 10.00", "tax = 0.75 → 0.75"]);
    let lines = print(Vec::new(), &terms, &mut printed, true);
    assert_eq!(lines, ["usage -40 × = -10.00 → -10.00", "tax = -0.75 → -0.75"]);
}

#[test]
fn an_adjustment_is_a_line_with_its_reason() {
    let adjustment = Adjustment {
        customer_id: "acme".to_owned(),
        month: october(),
        amount: "-2.505".parse().unwrap(),
        currency: None,
        reason: "outage on the 3rd".to_owned(),
        approver: "kim".to_owned(),
        line: 2,
    };
    let terms = MonthTerms { adjustments: vec![adjustment], ..usd() };
    // Half up is away from zero: -2.505 becomes -2.51.
    let lines = print(vec![calls(4, "1")], &terms, &mut BTreeMap::new(), false);
    assert_eq!(lines, ["usage 4 × 1.00 = 4.00 → 4.00", "adjustment = -2.505 → -2.51"]);
}

#[test]
fn percentages_are_exact() {
    for (text, ppm) in [("19", 190_000), ("7.25", 72_500), ("0.0001", 1), ("100", 1_000_000), ("0", 0)] {
        assert_eq!(parse_percent(text), Some(ppm));
        assert_eq!(percent(ppm), text);
    }
    for wrong in ["-1", "100.0001", "0.00001", "7,25", ""] {
        assert_eq!(parse_percent(wrong), None, "{wrong}");
    }
}

#[test]
fn a_currency_knows_its_places() {
    for (code, places) in [("USD", 2), ("JPY", 0), ("KWD", 3)] {
        assert_eq!(Currency::of(code).unwrap().places, places);
    }
    assert!(Currency::of("ABC").is_err());
}
