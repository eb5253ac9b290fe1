//! The bill of random usage, made by the SQL and, apart from it, by plain integers: equal to the last digit.
//! Keys rotate and change hands at any microsecond; plans and prices change within the month; days begin at 18:30 UTC.

use std::collections::{BTreeMap, BTreeSet};

use meterlake::base::time::DAY_MICROS;
use meterlake::base::{Micros, Nanos, UtcDay, UtcHour};
use meterlake::model::{Cut, MeterValue, MonthBounds, UsageDay, charges_sql, slot_of, slots_sql, usage_sql};
use meterlake::schema::Table;
use serde_json::{Value, json};

use super::super::{day, engine, meter, rows, shown};
use super::Dice;

struct Price {
    plan: String,
    id: String,
    meter: &'static str,
    /// (column, wanted values); all must hold.
    wants: Vec<(&'static str, Vec<&'static str>)>,
    days: (UtcDay, Option<UtcDay>),
    /// (upper end, price in nano-units)
    tiers: Vec<(Option<i64>, i128)>,
}

struct Event {
    at: Micros,
    key: String,
    route: &'static str,
    method: &'static str,
    bytes: i64,
}

struct World {
    customers: Vec<(String, String, UtcDay, Option<UtcDay>)>,
    keys: Vec<(String, String, Micros, Option<Micros>)>,
    prices: Vec<Price>,
    events: Vec<Event>,
}

const ROUTES: [&str; 3] = ["/v1/\"x\"", "/v2", "/v1/\\"];
const METHODS: [&str; 2] = ["GET", "POST"];
const CUSTOMERS: u64 = 120;
/// Days begin at 18:30 UTC of the day before: half an hour into an hour, half past in no zone's summer time.
const OFFSET: i64 = -(5 * 3_600 + 1_800) * 1_000_000;

fn first() -> UtcDay {
    day("2026-10-01")
}

fn starts(day: UtcDay) -> Micros {
    Micros(day.start().0 + OFFSET)
}

fn world(seed: u64) -> World {
    let mut dice = Dice(seed);
    let mut world = World { customers: Vec::new(), keys: Vec::new(), prices: Vec::new(), events: Vec::new() };
    let early = day("2026-01-01");
    let some_day = |dice: &mut Dice| UtcDay(first().0 + 1 + dice.below(30) as i32);
    for plan in 0..6 {
        for meter in ["calls", "bytes"] {
            let kinds = 1 + dice.below(3);
            for n in 0..kinds {
                let wants = match (n + 1 == kinds && !dice.one_in(5), dice.below(3)) {
                    (true, _) => vec![],
                    (_, 0) => vec![("route", vec![ROUTES[dice.below(3) as usize]])],
                    (_, 1) => vec![("method", vec!["GET"]), ("route", vec![ROUTES[0], ROUTES[2]])],
                    _ => vec![("method", vec!["POST"])],
                };
                let change = some_day(&mut dice);
                let spans = match dice.below(3) {
                    0 => vec![(early, Some(change)), (change, None)],
                    1 => vec![(early, Some(change))],
                    _ => vec![(early, None)],
                };
                for days in spans {
                    let mut tiers = Vec::new();
                    let mut end = 0;
                    let unit = if meter == "bytes" { 1_000_000 } else { 1 };
                    for _ in 0..dice.below(4) {
                        end += 1 + dice.below(6) as i64 * unit;
                        tiers.push((Some(end), i128::from(dice.below(2_000_000_000))));
                    }
                    tiers.push((None, i128::from(dice.below(999_999_999))));
                    let id = format!("{meter}{n}");
                    world.prices.push(Price {
                        plan: format!("plan{plan}"),
                        id,
                        meter,
                        wants: wants.clone(),
                        days,
                        tiers,
                    });
                }
            }
        }
    }
    for c in 0..CUSTOMERS {
        let plan = |dice: &mut Dice| format!("plan{}", dice.below(6));
        let change = some_day(&mut dice);
        let customer = format!("c{c:03}");
        let (before, after) = (plan(&mut dice), plan(&mut dice));
        world.customers.push((customer.clone(), before, early, dice.one_in(2).then_some(change)));
        if world.customers.last().is_some_and(|last| last.3.is_some()) && !dice.one_in(4) {
            world.customers.push((customer.clone(), after, change, None));
        }
        // One key that changes hands or ends at any instant, and one that stays.
        let instant = Micros(starts(first()).0 + dice.below(31 * DAY_MICROS as u64) as i64);
        world.keys.push((format!("a{c}"), customer.clone(), early.start(), Some(instant)));
        if !dice.one_in(3) {
            world.keys.push((format!("a{c}"), format!("c{:03}", (c + 1) % CUSTOMERS), instant, None));
        }
        world.keys.push((format!("b{c}"), customer, early.start(), None));
        for _ in 0..dice.below(25) {
            // Half of them right where the key changes hands.
            let near = Micros(instant.0 - 300_000_000 + dice.below(600_000_000) as i64);
            let far = Micros(starts(first()).0 + dice.below(31 * DAY_MICROS as u64) as i64);
            world.events.push(Event {
                at: if dice.one_in(2) { near } else { far },
                key: format!("{}{c}", if dice.one_in(3) { "b" } else { "a" }),
                route: ROUTES[dice.below(3) as usize],
                method: METHODS[dice.below(2) as usize],
                bytes: dice.below(5_000_000) as i64,
            });
        }
    }
    world
}

/// A charge as text: day customer plan price meter tier dimensions quantity unit_price amount counter.
fn expected(world: &World, last: UtcDay) -> BTreeSet<String> {
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let mut usage: BTreeMap<(String, &str, UtcDay, String), (i64, &Event)> = BTreeMap::new();
    for event in &world.events {
        let day = Micros(event.at.0 - OFFSET).day();
        let owner = world
            .keys
            .iter()
            .find(|(key, _, from, to)| *key == event.key && *from <= event.at && to.is_none_or(|to| event.at < to));
        if let Some((_, customer, _, _)) = owner.filter(|_| day >= first() && day <= last) {
            for (meter, quantity) in [("calls", 1), ("bytes", event.bytes)] {
                let dimensions =
                    format!(r#"{{"route":"{}","method":"{}"}}"#, escaped(event.route), escaped(event.method));
                usage.entry((customer.clone(), meter, day, dimensions)).or_insert((0, event)).0 += quantity;
            }
        }
    }
    let mut counters: BTreeMap<(String, String, String, UtcDay), i64> = BTreeMap::new();
    let mut charges = BTreeSet::new();
    for ((customer, meter, day, dimensions), (quantity, event)) in usage {
        let within = |from: UtcDay, to: Option<UtcDay>| from <= day && to.is_none_or(|to| day < to);
        let Some((_, plan, _, _)) =
            world.customers.iter().find(|(id, _, from, to)| *id == customer && within(*from, *to))
        else {
            continue;
        };
        let price = world.prices.iter().find(|price| {
            price.plan == *plan
                && price.meter == meter
                && within(price.days.0, price.days.1)
                && price.wants.iter().all(|(column, values)| {
                    values.contains(if *column == "route" { &event.route } else { &event.method })
                })
        });
        let Some(price) = price else { continue };
        let counter = counters.entry((customer.clone(), plan.clone(), price.id.clone(), price.days.0)).or_insert(0);
        // Unit prices by walking the tiers; what is left of the row moves on to the next.
        let (mut left, mut floor) = (quantity, 0);
        for (i, (end, nanos)) in price.tiers.iter().enumerate() {
            let room = end.map_or(i64::MAX, |end| end - floor.max(*counter).min(end));
            let part = left.min(room);
            if part > 0 {
                let amount = nanos * i128::from(part);
                charges.insert(format!(
                    "{day} {customer} {plan} {} {meter} {} {dimensions} {part} {} {} {counter}",
                    price.id,
                    i + 1,
                    nine(*nanos),
                    nine(amount)
                ));
                *counter += part;
                left -= part;
            }
            floor = end.unwrap_or(floor);
        }
    }
    charges
}

fn nine(nanos: i128) -> String {
    format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

fn price_rows(prices: &[Price]) -> (Vec<Value>, Vec<Value>) {
    let (mut tiers, mut matches) = (Vec::new(), Vec::new());
    let instant = |day: UtcDay| starts(day).to_string();
    for (position, price) in prices.iter().enumerate() {
        let mut floor = 0;
        for (i, (end, nanos)) in price.tiers.iter().enumerate() {
            tiers.push(json!({
                "plan": price.plan, "currency": "USD", "price_id": price.id, "position": position, "meter": price.meter,
                "model": if price.tiers.len() == 1 { "per_unit" } else { "graduated" },
                "match_columns": price.wants.len(), "valid_from": instant(price.days.0),
                "valid_to": price.days.1.map(instant), "tier": i + 1, "tier_from": floor, "tier_to": end,
                "unit_price": nine(*nanos),
            }));
            floor = end.unwrap_or(floor);
        }
        for (column, values) in &price.wants {
            matches.extend(values.iter().map(|value| {
                let value = value.replace('\\', "\\\\").replace('"', "\\\"");
                json!({"plan": price.plan, "price_id": price.id, "valid_from": instant(price.days.0),
                       "column_name": column, "fragment": format!("\"{column}\":\"{value}\"")})
            }));
        }
    }
    (tiers, matches)
}

async fn made(world: &World, last: UtcDay) -> BTreeSet<String> {
    let engine = engine();
    let events: Vec<Value> = world
        .events
        .iter()
        .map(|e| {
            json!({"day": e.at.day().to_string(), "event_time": e.at.to_string(), "source": "origin", "key_ref": e.key,
                   "key_state": "present", "route": e.route, "method": e.method, "response_bytes": e.bytes, "status": 200})
        })
        .collect();
    engine.put(Table::OriginRequests, rows(Table::OriginRequests, &events)).unwrap();
    let keys: Vec<Value> = world
        .keys
        .iter()
        .map(|(key, customer, from, to)| {
            json!({"source": "origin", "key_ref": key, "customer_id": customer, "valid_from": from.to_string(),
                   "valid_to": to.map(|to| to.to_string())})
        })
        .collect();
    engine.put(Table::ApiKeys, rows(Table::ApiKeys, &keys)).unwrap();
    let customers: Vec<Value> = world
        .customers
        .iter()
        .map(|(customer, plan, from, to)| {
            json!({"customer_id": customer, "plan": plan, "valid_from": starts(*from).to_string(),
                   "valid_to": to.map(|to| starts(to).to_string())})
        })
        .collect();
    engine.put(Table::Customers, rows(Table::Customers, &customers)).unwrap();
    let (tiers, matches) = price_rows(&world.prices);
    engine.put(Table::Prices, rows(Table::Prices, &tiers)).unwrap();
    engine.put(Table::PriceMatches, rows(Table::PriceMatches, &matches)).unwrap();
    let terms: Vec<Value> = (0..6)
        .map(|plan| {
            json!({"plan": format!("plan{plan}"), "currency": "USD", "valid_from": starts(UtcDay(0)).to_string(),
                   "minimum": "0", "discount_ppm": 0})
        })
        .collect();
    engine.put(Table::PlanTerms, rows(Table::PlanTerms, &terms)).unwrap();

    let meters = [
        meter("calls", None, MeterValue::Count, &["route", "method"]),
        meter("bytes", None, MeterValue::Sum("response_bytes".to_owned()), &["route", "method"]),
    ];
    let (from, to) = (starts(first()).hour(), UtcHour(starts(UtcDay(first().0 + 31)).hour().0 + 1));
    let mut slots = Vec::new();
    for meter in &meters {
        let sql = slots_sql(meter, "origin", from, to).unwrap();
        slots.push(engine.make(Table::UsageSlots, "month", &sql).await.unwrap());
    }
    engine.put(Table::UsageSlots, slots).unwrap();

    let (mut usage, mut days, mut today) = (Vec::new(), Vec::new(), first());
    while today <= last {
        let (from, to) = (starts(today), starts(today.next()));
        let bounds = world.keys.iter().flat_map(|(key, _, begin, end)| [Some(*begin), *end].map(|at| (key, at)));
        let cuts = bounds
            .filter_map(|(key, at)| {
                let at = at.filter(|at| *at >= from && *at < to && slot_of(*at) != *at)?;
                Some(Cut { source: "origin".to_owned(), key_ref: key.clone(), at })
            })
            .collect();
        let day = UsageDay { day: today, from, to, is_before_start: false, has_rates: true, cuts };
        let sql = usage_sql(&day, &meters).unwrap();
        usage.push(engine.make(Table::UsageDaily, &today.to_string(), &sql).await.unwrap());
        days.push((today, from));
        today = today.next();
    }
    engine.put(Table::UsageDaily, usage).unwrap();
    let charges = engine.make(Table::ChargesDaily, "2026-10", &charges_sql(&MonthBounds { days })).await.unwrap();
    let columns = [
        "day",
        "customer_id",
        "plan",
        "price_id",
        "meter",
        "tier",
        "dimensions",
        "quantity",
        "unit_price",
        "amount",
        "month_to_date_before",
    ];
    let all = shown(&charges, &columns);
    let set: BTreeSet<String> = all.iter().cloned().collect();
    assert_eq!(set.len(), all.len(), "a charge is there twice");
    set
}

#[tokio::test]
async fn the_bill_is_the_oracles_to_the_last_digit() {
    for seed in [1, 2, 3] {
        let world = world(seed);
        let last = UtcDay(first().0 + if seed == 3 { 17 } else { 30 });
        let (want, got) = (expected(&world, last), made(&world, last).await);
        let (lost, extra): (Vec<_>, Vec<_>) = (want.difference(&got).collect(), got.difference(&want).collect());
        assert!(lost.is_empty() && extra.is_empty(), "seed {seed}:\nlost {lost:#?}\nextra {extra:#?}");
        assert!(want.len() > 1_000, "seed {seed} makes only {} charges", want.len());
        let nanos = |row: &String| row.rsplit(' ').nth(1).unwrap().parse::<Nanos>().unwrap();
        let total = want.iter().map(nanos).fold(Nanos(0), |sum, n| sum.checked_add(n).unwrap());
        assert!(total > Nanos(0));
    }
}
