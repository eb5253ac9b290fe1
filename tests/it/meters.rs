//! Meters of distinct values and of maxima, and billing days with daylight saving, from log lines to the bill.

use super::lab::{Call, Hit, Key, Lab, at, lines};
use super::shell::gz;

/// Milliseconds of a minute.
const MINUTE: i64 = 60_000;

/// A laboratory that also counts distinct user agents per route and the largest answer, each with a price.
fn lab(timezone: &str) -> Lab {
    let lab = Lab::new();
    lab.configure(r#"timezone = "UTC""#, &format!(r#"timezone = "{timezone}""#));
    lab.configure(
        "[[meter]]\nname = \"egress\"",
        r#"[[meter]]
name = "agents"
source = "origin"
where = "status < 500"
value = "unique(user_agent)"
[[meter]]
name = "largest"
source = "origin"
value = "max(response_bytes)"
[[meter]]
name = "sent"
source = "origin"
value = "response_bytes"
[[meter]]
name = "egress""#,
    );
    let price = |meter: &str, amount: &str| {
        format!(
            "[[plan.price]]\nid = \"{meter}\"\nmeter = \"{meter}\"\nmodel = \"per_unit\"\nunit_price = \"{amount}\"\n"
        )
    };
    let prices = [("calls", "1"), ("agents", "5"), ("largest", "0.01"), ("sent", "0.001"), ("egress", "0.000001")]
        .map(|(m, p)| price(m, p));
    lab.write("rates.toml", format!("[[plan]]\nid = \"pro\"\n{}", prices.concat()));
    lab
}

/// A call with another user agent and size.
fn call(at: i64, key: Key, agent: &str, bytes: u64) -> String {
    Call { agent: agent.to_owned(), bytes, ..Call::new(at, key) }.line()
}

/// Day, customer, key, quantity and events of a meter's usage.
fn usage(lab: &Lab, meter: &str) -> Vec<String> {
    lab.query(&format!(
        "SELECT day, customer_id, key_ref, attribution, quantity, events FROM usage_daily WHERE meter = '{meter}' \
         ORDER BY day, attribution, customer_id, key_ref NULLS FIRST"
    ))
}

#[test]
fn users_are_counted_once_a_day_and_a_late_call_adds_one() {
    let lab = lab("UTC");
    lab.write(
        "keys.csv",
        format!(
            "customer_id,api_key_id,key_fingerprint,label,valid_from,valid_to\nacme,{},,one,2026-01-01,\nacme,{},,two,2026-01-01,\n",
            Key::Acme.id(),
            Key::Beta.id()
        ),
    );
    // Both keys are acme's. On the first day ann calls with both and bob with one; on the second ann calls.
    let first = [
        call(at(0, 9, 0), Key::Acme, "ann", 100),
        call(at(0, 9, MINUTE), Key::Beta, "ann", 700),
        call(at(0, 15, 0), Key::Beta, "bob", 300),
        call(at(0, 15, 1), Key::Nobody, "eve", 900),
    ];
    lab.origin("first", lines(&first));
    lab.origin("second", lines(&[call(at(1, 9, 0), Key::Acme, "ann", 50)]));
    lab.run();
    let of_agents = [
        "2026-10-05,acme,,mapped,2,0",
        "2026-10-05,acme,acmeid0001,mapped,0,1",
        "2026-10-05,acme,betaid0002,mapped,0,2",
        "2026-10-05,,nobodyid03,unmapped,0,1",
        "2026-10-06,acme,,mapped,1,0",
        "2026-10-06,acme,acmeid0001,mapped,0,1",
    ];
    assert_eq!(usage(&lab, "agents"), of_agents);
    // The largest answers: 700 bytes, then 50. Four calls of acme's: 100 + 700 + 300 + 50 bytes.
    assert_eq!(usage(&lab, "largest")[0], "2026-10-05,acme,,mapped,700,0");
    let bill = ["agents,3,15.000000000", "calls,4,4.000000000", "largest,750,7.500000000", "sent,1150,1.150000000"];
    assert_eq!(lab.bill("acme"), bill);

    // A second run changes nothing.
    let before = lab.tables();
    assert!(lab.run_and_tell().is_empty());
    assert_eq!(lab.tables(), before);

    // Late on the first day: bob again changes nothing but the events, cat is one more.
    lab.origin("late-bob", lines(&[call(at(0, 15, 2), Key::Acme, "bob", 1)]));
    lab.run();
    assert_eq!(usage(&lab, "agents")[0], "2026-10-05,acme,,mapped,2,0");
    lab.origin("late-cat", lines(&[call(at(0, 20, 0), Key::Acme, "cat", 1)]));
    let built = lab.run_and_tell();
    assert_eq!(built["usage_daily"], ["2026-10-05"]);
    assert_eq!(usage(&lab, "agents")[0], "2026-10-05,acme,,mapped,3,0");
    assert_eq!(lab.bill("acme")[0], "agents,4,20.000000000");
    lab.verified();
}

#[test]
fn another_value_in_an_equal_slot_is_seen() {
    let lab = lab("UTC");
    lab.origin("ann", lines(&[call(at(0, 9, 0), Key::Acme, "ann", 10)]));
    let other = |agent: &str| lines(&[call(at(0, 9, MINUTE), Key::Acme, agent, 10)]);
    lab.origin("other", other("ann"));
    lab.run();
    assert_eq!(usage(&lab, "agents")[0], "2026-10-05,acme,,mapped,1,0");
    let before = lab.tables();
    // The object is delivered again with another user agent: no slot changes, and still the day has two.
    lab.origin("other", other("bob"));
    lab.run();
    assert_eq!(lab.tables()["usage_slots"], before["usage_slots"]);
    assert_eq!(usage(&lab, "agents")[0], "2026-10-05,acme,,mapped,2,0");

    // A rule that counts something else in equal slots is seen too: routes are all the same.
    lab.configure("unique(user_agent)", "unique(route)");
    lab.run();
    assert_eq!(usage(&lab, "agents")[0], "2026-10-05,acme,,mapped,1,0");
    // And a sum in place of a maximum, where each slot has one call.
    lab.origin("other", lines(&[call(at(0, 10, 0), Key::Acme, "ann", 10)]));
    lab.run();
    assert_eq!(usage(&lab, "largest")[0], "2026-10-05,acme,,mapped,10,0");
    lab.configure("max(response_bytes)", "response_bytes");
    lab.run();
    assert_eq!(usage(&lab, "largest"), ["2026-10-05,acme,acmeid0001,mapped,20,2"]);
}

/// Hours from the start of 2026-10-05 UTC, the laboratory's day 0, to an hour of another day.
fn utc(day: i64, hour: i64, ms: i64) -> i64 {
    at(day, hour, ms)
}

#[test]
fn days_of_23_and_25_hours_and_a_month_end_where_the_clocks_say() {
    let lab = lab("Europe/Berlin");
    // In Berlin clocks are one hour before UTC in winter and two in summer. So, in UTC, 29 March (day -190 of the
    // laboratory) runs from 23:00 the day before to 22:00; 25 October (day 20) from 22:00 the day before to 23:00; and
    // November (day 27) begins on 31 October at 23:00.
    let mut records = Vec::new();
    for (day, from, to) in [(-190, -1, 22), (20, -2, 23)] {
        for hour in from..to {
            let agent = format!("agent-{}", i64::rem_euclid(hour, 4));
            records.push(call(utc(day, hour, 0), Key::Acme, &agent, 10 + hour.unsigned_abs()));
        }
        // A millisecond before it begins, and when it has just ended: other days' agents and sizes.
        records.push(call(utc(day, from, -1), Key::Acme, "before", 1_000));
        records.push(call(utc(day, to, 0), Key::Acme, "after", 2_000));
    }
    records.push(call(utc(26, 23, -1), Key::Acme, "october", 3_000));
    records.push(call(utc(26, 23, 0), Key::Acme, "november", 4_000));
    lab.origin("all", lines(&records));
    // The edge's downloads: one in each hour of the day of 25 hours.
    let hits: Vec<String> = (-2..23).map(|hour| Hit::new(utc(20, hour, 0), Key::Acme).line()).collect();
    lab.edge("all.gz", gz(&lines(&hits)));
    lab.run();
    let whole = |meter: &str| {
        lab.query(&format!(
            "SELECT day, SUM(quantity) AS quantity FROM usage_daily WHERE meter = '{meter}' AND attribution = 'mapped' \
             GROUP BY day ORDER BY day"
        ))
    };
    let days = [
        "2026-03-28",
        "2026-03-29",
        "2026-03-30",
        "2026-10-24",
        "2026-10-25",
        "2026-10-26",
        "2026-10-31",
        "2026-11-01",
    ];
    let expected = |quantities: [i64; 8]| -> Vec<String> {
        days.iter().zip(quantities).map(|(day, quantity)| format!("{day},{quantity}")).collect()
    };
    assert_eq!(whole("calls"), expected([1, 23, 1, 1, 25, 1, 1, 1]));
    // 23 hours: 10 each and 1 + (0 + 1 + … + 21) = 232, 462 in all. 25 hours: 250 and 2 + 1 + (0 + … + 22) = 256, 506.
    assert_eq!(whole("sent"), expected([1_000, 462, 2_000, 1_000, 506, 2_000, 3_000, 4_000]));
    assert_eq!(whole("agents"), expected([1, 4, 1, 1, 4, 1, 1, 1]));
    // The last hour that the day has: 21 and 22.
    assert_eq!(whole("largest"), expected([1_000, 31, 2_000, 1_000, 32, 2_000, 3_000, 4_000]));
    assert_eq!(whole("egress"), ["2026-10-25,25000"]);

    // The call at 23:00 UTC on 31 October is charged in November: 1 call, 5 for the agent, 40 for 4000 bytes at most, 4
    // for 4000 bytes in all.
    let november =
        lab.query("SELECT price_id, amount FROM charges_daily WHERE day >= DATE '2026-11-01' ORDER BY price_id");
    assert_eq!(november, ["agents,5.000000000", "calls,1.000000000", "largest,40.000000000", "sent,4.000000000"]);
    assert!(lab.run_and_tell().is_empty());
}
