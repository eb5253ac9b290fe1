//! Random plans, customers and usage of one month.

use meterlake::base::UtcDay;

use super::super::day;
use super::Dice;
use super::world::{Model, Plan, Price, Stay, Terms, Used, World, Zone};

const PLANS: u64 = 50;
const CUSTOMERS: u64 = 200;
const ROUTES: [&str; 3] = ["/v1/\"x\"", "/v2", "/v1/\\"];
const METHODS: [&str; 2] = ["GET", "POST"];

impl World {
    pub(super) fn random(seed: u64, zone: Zone, month: &str) -> Self {
        let mut dice = Dice(seed);
        let first = day(&format!("{month}-01")).0;
        let last = (28..=31).rev().find(|n| UtcDay(first + n - 1).to_string().starts_with(month)).unwrap();
        let mut world = Self {
            zone,
            month: month.to_owned(),
            days: first..first + last,
            plans: Vec::new(),
            stays: Vec::new(),
            usage: Vec::new(),
        };
        for number in 0..PLANS {
            let plan = world.random_plan(&mut dice, format!("p{number:02}"));
            world.plans.push(plan);
        }
        for number in 0..CUSTOMERS {
            world.random_customer(&mut dice, &format!("c{number:03}"));
        }
        world
    }

    fn random_plan(&self, dice: &mut Dice, id: String) -> Plan {
        // Amounts from a nano-unit to what the columns hold, so that floors and carries both happen.
        let scale = [10, 1_000_000, 1_000_000_000, 20_000_000_000, 1_000_000_000_000_000_000][dice.below(5) as usize];
        let mut prices = Vec::new();
        for meter in ["calls", "bytes"] {
            for _ in 0..dice.below(3) {
                let wants = match dice.below(4) {
                    0 => vec![("route", vec![dice.pick(&ROUTES)])],
                    1 => vec![("method", vec!["GET"]), ("route", vec![ROUTES[0], ROUTES[2]])],
                    2 => vec![("method", vec!["POST"])],
                    _ => vec![("route", vec![ROUTES[1], ROUTES[2]])],
                };
                let id = random_id(dice, prices.len());
                for (from, to) in self.random_spans(dice) {
                    let model = random_model(dice, meter, scale);
                    prices.push(Price { id: id.clone(), meter, wants: wants.clone(), from, to, model });
                }
            }
            if !dice.one_in(5) {
                let (mut id, is_one) = (random_id(dice, prices.len()), dice.one_in(2));
                for (from, to) in self.random_spans(dice) {
                    prices.push(Price {
                        id: id.clone(),
                        meter,
                        wants: vec![],
                        from,
                        to,
                        model: random_model(dice, meter, scale),
                    });
                    if !is_one {
                        id = random_id(dice, prices.len());
                    }
                }
            }
        }
        for _ in 0..dice.below(3) {
            let id = random_id(dice, prices.len());
            for (from, to) in self.random_spans(dice) {
                let model = Model::Flat(random_amount(dice, scale));
                prices.push(Price { id: id.clone(), meter: "", wants: vec![], from, to, model });
            }
        }
        let mut terms = Vec::new();
        if !dice.one_in(4) {
            for (from, to) in self.random_spans(dice) {
                let ppm = match dice.below(6) {
                    0 | 1 => 0,
                    2 => dice.pick(&[1, 333_333, 999_999, 1_000_000]),
                    _ => i128::from(dice.below(1_000_001)),
                };
                let minimum = match dice.below(3) {
                    0 => 0,
                    1 => random_amount(dice, scale),
                    _ => random_amount(dice, scale) * 20,
                };
                terms.push(Terms { from, to, minimum, ppm });
            }
        }
        Plan { id, currency: dice.pick(&[None, Some("EUR"), Some("JPY"), Some("KWD")]), terms, prices }
    }

    /// Disjoint intervals in order.
    fn random_spans(&self, dice: &mut Dice) -> Vec<(Option<i32>, Option<i32>)> {
        let mut some = || self.days.start + 1 + dice.below((self.days.end - self.days.start - 1) as u64) as i32;
        let (a, b) = (some(), some());
        let (a, b) = (Some(a.min(b)), Some(a.max(b) + i32::from(a == b)));
        match dice.below(8) {
            0..3 => vec![(None, None)],
            3 => vec![(None, a), (a, None)],
            4 => vec![(None, a)],
            5 => vec![(None, a), (a, b), (b, None)],
            6 => vec![(None, a), (b, None)],
            _ => vec![(Some(self.days.start), Some(self.days.end))],
        }
    }

    fn random_customer(&mut self, dice: &mut Dice, customer: &str) {
        let (start, length) = (self.days.start, (self.days.end - self.days.start) as u64);
        let mut cuts: Vec<i32> = (0..dice.below(4)).map(|_| start + dice.below(length + 1) as i32).collect();
        cuts.push(start - 40);
        cuts.sort_unstable();
        cuts.dedup();
        // Few plans of one customer, so that it comes back to one.
        let plans = [0; 2].map(|_| format!("p{:02}", dice.below(PLANS)));
        for (at, from) in cuts.iter().enumerate() {
            if at > 0 && dice.one_in(5) {
                continue;
            }
            let to = cuts.get(at + 1).copied();
            self.stays.push(Stay { customer: customer.to_owned(), plan: dice.pick(&plans), from: *from, to });
        }
        for _ in 0..dice.below(40) {
            let meter = dice.pick(&["calls", "bytes"]);
            let quantity = match dice.below(8) {
                0 => 0,
                1..5 => 5 * dice.below(5) as i64,
                _ => 1 + dice.below(30) as i64,
            };
            self.usage.push(Used {
                // Many on one day, so that rows of a day follow one another.
                day: start + (dice.below(length) as i32 & if dice.one_in(2) { -1 } else { !7 }),
                customer: customer.to_owned(),
                meter,
                route: dice.pick(&[Some(ROUTES[0]), Some(ROUTES[1]), Some(ROUTES[1]), Some(ROUTES[2]), None]),
                method: dice.pick(&METHODS),
                quantity: quantity * unit(meter) + if meter == "bytes" { dice.below(3) as i64 } else { 0 },
            });
        }
    }
}

/// What tiers and quantities of a meter are multiples of.
fn unit(meter: &str) -> i64 {
    if meter == "bytes" { 1_000_000_000 } else { 1 }
}

/// The order of ids is not the order of preference.
fn random_id(dice: &mut Dice, number: usize) -> String {
    format!("{}{number}", (b'a' + dice.below(26) as u8) as char)
}

fn random_amount(dice: &mut Dice, scale: u64) -> i128 {
    i128::from(match dice.below(5) {
        0 => dice.pick(&[0, 1, 30, 31]),
        1 => scale - 1,
        _ => dice.below(scale),
    })
}

fn random_model(dice: &mut Dice, meter: &str, scale: u64) -> Model {
    let free = |dice: &mut Dice| if dice.one_in(2) { 0 } else { (1 + dice.below(8) as i64) * 5 * unit(meter) };
    match dice.below(4) {
        0 => Model::PerUnit { unit_price: random_amount(dice, scale), free: free(dice) },
        1 => Model::Package {
            size: (1 + dice.below(12) as i64) * unit(meter),
            free: free(dice),
            unit_price: random_amount(dice, scale),
        },
        model => {
            let (mut tiers, mut end) = (Vec::new(), 0);
            for _ in 0..dice.below(4) {
                end += (1 + dice.below(8) as i64) * 5 * unit(meter);
                tiers.push((Some(end), random_amount(dice, scale)));
            }
            tiers.push((None, random_amount(dice, scale)));
            if model == 2 { Model::Graduated(tiers) } else { Model::Volume(tiers) }
        }
    }
}
