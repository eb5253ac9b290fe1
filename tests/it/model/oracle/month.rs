//! What a month costs, by its totals alone: how much was counted up to a day, and what so much costs. No rows.

use std::collections::BTreeMap;
use std::ops::Range;

use meterlake::base::Micros;

use super::world::{Model, Price, Used, World};

/// Customer, plan, price and the start of its interval, or of the plan's terms.
pub(super) type Key = (String, String, String, Option<Micros>);

/// What each price, discount and minimum of each customer comes to in these days.
pub(super) fn totals(world: &World, usage: &[Used], days: Range<i32>) -> BTreeMap<Key, i128> {
    let n = i128::from(world.days.end - world.days.start);
    let first = world.days.start;
    // ⌊amount·k/n⌋ at the end of an interval less that at its start.
    let share = |amount: i128, of: &Range<i32>| {
        let up_to = |day: i32| amount * i128::from(day - first) / n;
        if of.is_empty() { 0 } else { up_to(of.end) - up_to(of.start) }
    };
    let mut on: BTreeMap<(&str, &str), Vec<Range<i32>>> = BTreeMap::new();
    for stay in &world.stays {
        on.entry((&stay.customer, &stay.plan)).or_default().push(clip(&days, Some(stay.from), stay.to));
    }
    let mut taken: BTreeMap<(&str, &str, &str, Option<i32>), Vec<&Used>> = BTreeMap::new();
    for used in usage.iter().filter(|used| days.contains(&used.day)) {
        let Some(plan) = world.plan_of(&used.customer, used.day) else { continue };
        let Some(price) = plan.price_of(used) else { continue };
        taken.entry((&used.customer, &plan.id, &price.id, price.from)).or_default().push(used);
    }
    let mut totals = BTreeMap::new();
    for ((customer, plan), stays) in on {
        if stays.iter().all(|stay| stay.is_empty()) {
            continue;
        }
        let plan = world.plan(plan);
        let key = |id: &str, from: Option<i32>| {
            (customer.to_owned(), plan.id.clone(), id.to_owned(), Some(world.zone.from(from)))
        };
        // What a price costs for the part of the days given.
        let cost_of = |price: &Price, within: &Range<i32>| match price.model {
            Model::Flat(amount) => stays
                .iter()
                .map(|stay| clip(stay, price.from, price.to))
                .map(|both| share(amount, &clip(&both, Some(within.start), Some(within.end))))
                .sum(),
            _ => {
                let rows = taken.get(&(customer, &*plan.id, &*price.id, price.from));
                let counted = |before: i32| -> i128 {
                    let rows = rows.into_iter().flatten().filter(|used| used.day < before);
                    rows.map(|used| i128::from(used.quantity)).sum()
                };
                price.model.cost(counted(within.end)) - price.model.cost(counted(within.start))
            }
        };
        let mut sum = 0;
        for price in &plan.prices {
            let cost: i128 = cost_of(price, &days);
            totals.insert(key(&price.id, price.from), cost);
            sum += cost;
        }
        let mut least = 0;
        for terms in &plan.terms {
            let within = clip(&days, terms.from, terms.to);
            let under: i128 = plan.prices.iter().map(|price| cost_of(price, &within)).sum();
            let off = (under * terms.ppm).div_euclid(1_000_000);
            totals.insert(key("discount", terms.from), -off);
            sum -= off;
            least += stays
                .iter()
                .map(|stay| share(terms.minimum, &clip(&within, Some(stay.start), Some(stay.end))))
                .sum::<i128>();
        }
        if least > sum {
            totals.insert((customer.to_owned(), plan.id.clone(), "minimum".to_owned(), None), least - sum);
        }
    }
    totals
}

fn clip(days: &Range<i32>, from: Option<i32>, to: Option<i32>) -> Range<i32> {
    let start = from.map_or(days.start, |from| from.clamp(days.start, days.end));
    start..to.map_or(days.end, |to| to.clamp(start, days.end.max(start)))
}

impl Model {
    /// What so much of a month costs.
    fn cost(&self, total: i128) -> i128 {
        match self {
            Self::PerUnit { unit_price, free } => (total - i128::from(*free)).max(0) * unit_price,
            Self::Graduated(tiers) => {
                let mut below = 0;
                let mut cost = 0;
                for (end, unit_price) in tiers {
                    let up_to = end.map_or(total, |end| total.min(i128::from(end)));
                    cost += (up_to - below).max(0) * unit_price;
                    below = below.max(up_to);
                }
                cost
            }
            Self::Volume(tiers) => {
                let of_total = tiers.iter().find(|(end, _)| end.is_none_or(|end| total <= i128::from(end)));
                total * of_total.map_or(0, |(_, unit_price)| *unit_price)
            }
            Self::Package { size, free, unit_price } => {
                let size = i128::from(*size);
                ((total - i128::from(*free)).max(0) + size - 1) / size * unit_price
            }
            Self::Flat(amount) => *amount,
        }
    }
}
