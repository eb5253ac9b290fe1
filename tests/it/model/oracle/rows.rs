//! The rows of `charges_daily`, one after the other, as a clerk with a pencil would write them.

use std::collections::BTreeMap;
use std::ops::Range;

use meterlake::base::UtcDay;

use super::super::priced::Charge;
use super::world::{Model, Plan, Price, Used, World};

const NANO: i128 = 1_000_000;

/// A customer's usage of a day by meter and dimensions, with one of the rows it comes from.
type Day<'u> = BTreeMap<String, (i128, &'u Used)>;

/// Every charge of these days of the month, in order.
pub(super) fn charges(world: &World, usage: &[Used], days: Range<i32>) -> Vec<Charge> {
    let mut sheet: Vec<Charge> = Vec::new();
    let customers: std::collections::BTreeSet<&str> = world.stays.iter().map(|stay| &*stay.customer).collect();
    let mut used: BTreeMap<(&str, i32), Day<'_>> = BTreeMap::new();
    for row in usage {
        let day = used.entry((&row.customer, row.day)).or_default();
        // One price is for one meter, so the meter in front leaves the dimensions in their order.
        day.entry(format!("{} {}", row.meter, row.dimensions())).or_insert((0, row)).0 += i128::from(row.quantity);
    }
    for customer in customers {
        let mut counters: BTreeMap<(&str, &str, Option<i32>), i128> = BTreeMap::new();
        for day in days.clone() {
            let Some(plan) = world.plan_of(customer, day) else { continue };
            for (quantity, row) in used.get(&(customer, day)).into_iter().flat_map(BTreeMap::values) {
                let Some(price) = plan.price_of(row) else { continue };
                let counter = counters.entry((&plan.id, &price.id, price.from)).or_default();
                for part in parts(&price.model, *counter, *quantity) {
                    sheet.push(Charge {
                        dimensions: row.dimensions(),
                        month_to_date_before: i64::try_from(part.before).unwrap(),
                        tier: part.tier,
                        kind: "usage".to_owned(),
                        model: Some(price.model.name().to_owned()),
                        meter: Some(row.meter.to_owned()),
                        quantity: i64::try_from(part.quantity).unwrap(),
                        billed: Some(i64::try_from(part.billed).unwrap()),
                        unit_price: Some(part.unit_price),
                        price_from: Some(world.zone.from(price.from)),
                        ..world.blank(customer, plan, day, &price.id, part.billed * part.unit_price)
                    });
                }
                *counter += quantity;
            }
            for price in plan.prices.iter().filter(|price| price.in_force(day)) {
                if let Model::Flat(amount) = price.model {
                    sheet.push(Charge {
                        kind: "flat".to_owned(),
                        model: Some("flat".to_owned()),
                        price_from: Some(world.zone.from(price.from)),
                        ..world.blank(customer, plan, day, &price.id, world.share(amount, day))
                    });
                }
            }
        }
    }
    for plan in &world.plans {
        discounts(world, plan, days.clone(), &mut sheet);
    }
    minimums(world, days, &mut sheet);
    sheet.sort();
    sheet
}

struct Part {
    tier: String,
    before: i128,
    quantity: i128,
    billed: i128,
    unit_price: i128,
}

/// What a row of usage comes to where the counter stands at `before`.
fn parts(model: &Model, before: i128, quantity: i128) -> Vec<Part> {
    let after = before + quantity;
    if quantity == 0 {
        return Vec::new();
    }
    match model {
        Model::PerUnit { unit_price, free: 0 } => split(&[(None, *unit_price)], before, after),
        Model::PerUnit { unit_price, free } => split(&[(Some(*free), 0), (None, *unit_price)], before, after),
        Model::Graduated(tiers) => split(tiers, before, after),
        Model::Volume(tiers) => {
            let lies_in =
                |x: i128| tiers.iter().position(|(end, _)| end.is_none_or(|end| x <= i128::from(end))).unwrap();
            let (old, new) = (lies_in(before), lies_in(after));
            let price = tiers[new].1;
            let tier = (new + 1).to_string();
            let mut parts = vec![Part { tier, before, quantity, billed: quantity, unit_price: price }];
            if before > 0 && old != new && tiers[old].1 != price {
                let unit_price = price - tiers[old].1;
                parts.push(Part { tier: "rerate".to_owned(), before, quantity: 0, billed: before, unit_price });
            }
            parts
        }
        Model::Package { size, free, unit_price } => {
            let begun = |x: i128| {
                let over = (x - i128::from(*free)).max(0);
                let full = over / i128::from(*size);
                if over % i128::from(*size) == 0 { full } else { full + 1 }
            };
            let billed = begun(after) - begun(before);
            vec![Part { tier: "1".to_owned(), before, quantity, billed, unit_price: *unit_price }]
        }
        Model::Flat(_) => Vec::new(),
    }
}

/// The part of `(before, after]` in each tier.
fn split(tiers: &[(Option<i64>, i128)], before: i128, after: i128) -> Vec<Part> {
    let (mut parts, mut floor) = (Vec::new(), 0);
    for ((end, unit_price), number) in tiers.iter().zip(1..) {
        let end = end.map_or(i128::MAX, i128::from);
        let (from, to) = (before.max(floor), after.min(end));
        if from < to {
            let quantity = to - from;
            let tier = format!("{number}");
            parts.push(Part { tier, before: from, quantity, billed: quantity, unit_price: *unit_price });
        }
        floor = end;
    }
    parts
}

/// Each day brings what the month's floor moves by.
fn discounts(world: &World, plan: &Plan, days: Range<i32>, sheet: &mut Vec<Charge>) {
    let mut rows = Vec::new();
    for terms in &plan.terms {
        let mut costs: BTreeMap<&str, BTreeMap<i32, i128>> = BTreeMap::new();
        for row in sheet.iter().filter(|row| row.plan == plan.id && terms.in_force(row.day.0)) {
            *costs.entry(&row.customer_id).or_default().entry(row.day.0).or_default() += row.amount;
        }
        for (customer, by_day) in costs {
            let (mut sum, mut off) = (0_i128, 0_i128);
            for day in days.clone() {
                sum += by_day.get(&day).copied().unwrap_or(0);
                // Down, also below zero.
                let now = (sum * terms.ppm).div_euclid(NANO);
                if now != off {
                    rows.push(Charge {
                        kind: "discount".to_owned(),
                        price_from: Some(world.zone.from(terms.from)),
                        ..world.blank(customer, plan, day, "discount", off - now)
                    });
                }
                off = now;
            }
        }
    }
    sheet.append(&mut rows);
}

/// What is missing to the plan's minimum, on the customer's last day on it.
fn minimums(world: &World, days: Range<i32>, sheet: &mut Vec<Charge>) {
    let mut least: BTreeMap<(&str, &str), (i32, i128)> = BTreeMap::new();
    for stay in &world.stays {
        for day in days.clone().filter(|day| stay.covers(*day)) {
            let plan = world.plan(&stay.plan);
            let minimum = plan.terms.iter().find(|terms| terms.in_force(day)).map_or(0, |terms| terms.minimum);
            let entry = least.entry((&stay.customer, &stay.plan)).or_insert((day, 0));
            *entry = (entry.0.max(day), entry.1 + world.share(minimum, day));
        }
    }
    let mut cost: BTreeMap<(String, String), i128> = BTreeMap::new();
    for row in sheet.iter() {
        *cost.entry((row.customer_id.clone(), row.plan.clone())).or_default() += row.amount;
    }
    for ((customer, plan), (day, minimum)) in least {
        let missing = minimum - cost.get(&(customer.to_owned(), plan.to_owned())).copied().unwrap_or(0);
        if missing > 0 {
            let plan = world.plan(plan);
            let kind = "minimum".to_owned();
            sheet.push(Charge { kind, ..world.blank(customer, plan, day, "minimum", missing) });
        }
    }
}

impl World {
    /// A row of no usage.
    fn blank(&self, customer: &str, plan: &Plan, day: i32, price_id: &str, amount: i128) -> Charge {
        Charge {
            day: UtcDay(day),
            customer_id: customer.to_owned(),
            plan: plan.id.clone(),
            price_id: price_id.to_owned(),
            price_from: None,
            dimensions: "{}".to_owned(),
            month_to_date_before: 0,
            tier: "1".to_owned(),
            kind: String::new(),
            model: None,
            meter: None,
            quantity: 0,
            billed: None,
            unit_price: None,
            amount,
            currency: plan.currency.unwrap_or(super::world::CURRENCY).to_owned(),
        }
    }

    /// A day's share of what a whole month costs.
    fn share(&self, amount: i128, day: i32) -> i128 {
        let (k, n) = (i128::from(day - self.days.start + 1), i128::from(self.days.end - self.days.start));
        amount * k / n - amount * (k - 1) / n
    }
}

impl Plan {
    /// The first price that takes the usage.
    pub(super) fn price_of(&self, used: &Used) -> Option<&Price> {
        self.prices.iter().find(|price| price.in_force(used.day) && price.takes(used))
    }
}
