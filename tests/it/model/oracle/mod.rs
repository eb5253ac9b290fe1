//! The bill of random usage, made by the SQL and, apart from it, by plain integers: equal to the last digit. Row for row
//! (`rows`), and once more by nothing but the totals of a month (`month`); from usage, and from events whose keys rotate
//! and change hands (`keys`).

mod keys;
mod month;
mod random;
mod rows;
mod told;
mod world;

use std::collections::BTreeMap;

use meterlake::schema::Table;

use super::engine;
use super::priced::{Charge, charges};
use world::{World, Zone};

/// A small generator of its own, so that a failing seed can be run again for ever.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize].clone()
    }
}

/// Months in which clocks change, short ones and one of a leap year, each with customers of its own.
#[tokio::test]
async fn every_model_costs_what_the_oracle_says() {
    let mut kinds = BTreeMap::new();
    let mut counters = 0;
    for (seed, zone, month) in [
        (1, Zone::Berlin, "2026-03"),
        (2, Zone::Berlin, "2026-10"),
        (3, Zone::NewYork, "2026-03"),
        (4, Zone::NewYork, "2026-11"),
        (5, Zone::Kolkata, "2026-02"),
        (6, Zone::Utc, "2028-02"),
        (7, Zone::Utc, "2026-04"),
    ] {
        let world = World::random(seed, zone, month);
        let (engine, mut dice) = (engine(), Dice(seed));
        world.config().put(&engine);
        let whole = world.days.clone();
        let (first, last) = (whole.start, whole.end);

        // A part of the usage, up to some day; then all of it.
        let early: Vec<_> = world.usage.iter().filter(|_| !dice.one_in(4)).cloned().collect();
        let middle = first + 1 + dice.below((last - first - 1) as u64) as i32;
        let some = made(&world, &engine, &early, first..middle).await;
        check(&world, &early, first..middle, &some, &format!("seed {seed}, some of the usage up to day {middle}"));
        let all = made(&world, &engine, &world.usage, whole.clone()).await;
        check(&world, &world.usage, whole, &all, &format!("seed {seed}"));
        if seed % 2 == 0 {
            // What comes later changes no earlier day; only a minimum waits for the last.
            let so_far = made(&world, &engine, &world.usage, first..middle).await;
            check(&world, &world.usage, first..middle, &so_far, &format!("seed {seed} up to day {middle}"));
            let settled = |rows: &[Charge]| -> Vec<Charge> {
                rows.iter().filter(|row| row.day.0 < middle && row.kind != "minimum").cloned().collect()
            };
            assert_eq!(settled(&so_far), settled(&all), "seed {seed}");
        } else {
            // Billing starts in mid-month: the list begins later, and a day still counts as its day of the month.
            let rest = made(&world, &engine, &world.usage, middle..last).await;
            check(&world, &world.usage, middle..last, &rest, &format!("seed {seed} from day {middle}"));
        }

        for row in &all {
            let of = row.model.clone().unwrap_or_else(|| row.kind.clone());
            let of = if row.tier == "rerate" { "rerate".to_owned() } else { of };
            *kinds.entry(of).or_insert(0) += 1;
        }
        counters += month::totals(&world, &world.usage, world.days.clone()).len();
    }
    for of in ["per_unit", "graduated", "volume", "rerate", "package", "flat", "discount", "minimum"] {
        assert!(kinds.get(of).is_some_and(|rows| *rows > 100), "too few rows to tell: {kinds:?}");
    }
    assert!(counters > 5_000, "only {counters} prices of customers");
}

async fn made(
    world: &World,
    engine: &meterlake::model::Engine,
    usage: &[world::Used],
    days: std::ops::Range<i32>,
) -> Vec<Charge> {
    engine.put(Table::UsageDaily, super::rows(Table::UsageDaily, &world.usage_rows(usage))).unwrap();
    charges(engine, &world.month, days.map(|day| world.zone.start_of(day)).collect()).await
}

/// The rows, their order, and the sums they come to.
fn check(world: &World, usage: &[world::Used], days: std::ops::Range<i32>, got: &[Charge], what: &str) {
    let want = rows::charges(world, usage, days.clone());
    if let Some(at) = (0..want.len().max(got.len())).find(|at| want.get(*at) != got.get(*at)) {
        let row = match (want.get(at), got.get(at)) {
            (Some(want), Some(got)) => want.min(got),
            (want, got) => want.or(got).unwrap(),
        };
        let near = |rows: &[Charge]| -> Vec<String> {
            let same = |other: &&Charge| {
                (&other.customer_id, &other.plan, other.day) == (&row.customer_id, &row.plan, row.day)
            };
            rows.iter().filter(same).map(|row| format!("{row:?}")).collect()
        };
        panic!(
            "{what}: row {at} of {} wanted and {} got differs.\nwant {:#?}\ngot {:#?}\n{}\nusage {:#?}",
            want.len(),
            got.len(),
            near(&want),
            near(got),
            world.about(&row.customer_id, &row.plan),
            usage.iter().filter(|used| used.customer == row.customer_id).collect::<Vec<_>>()
        );
    }
    let mut sums: BTreeMap<_, i128> = BTreeMap::new();
    for row in got {
        let key = (row.customer_id.clone(), row.plan.clone(), row.price_id.clone(), row.price_from);
        *sums.entry(key).or_default() += row.amount;
    }
    sums.retain(|_, sum| *sum != 0);
    let mut totals = month::totals(world, usage, days);
    totals.retain(|_, sum| *sum != 0);
    for key in sums.keys().chain(totals.keys()) {
        assert_eq!(
            sums.get(key),
            totals.get(key),
            "{what}: rows of {key:?} do not add up to the month's price\n{}",
            world.about(&key.0, &key.1)
        );
    }
}
