//! `rates.toml`: plans, each a list of prices of meters. The first price of a meter that matches an event's dimensions
//! takes its usage. Decimals are text and exact. Tiers are `(previous, up_to]`, ascending, the last one open. A price
//! that could never match, two prices of one id at once and models this version cannot charge are refused.

use crate::base::document::{Document, Item, Section};
use crate::base::problem::suggestion;
use crate::base::{HalfOpen, Micros, Nanos, Problems};
use crate::model::Meter;

use super::interval::{Claim, overlaps};
use super::sheet::{ConfigFile, Grain, parse_instant};
use super::zone::{BillingDay, BillingZone};

/// The largest unit price a DECIMAL(18,9) holds, in nano-units.
const UNIT_PRICE_MAX: Nanos = Nanos(10_i128.pow(18) - 1);
const PRICE_KEYS: &[&str] = &["id", "meter", "model", "unit_price", "tiers", "match", "from", "to", "size", "amount"];

/// The plans of a rates file.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Rates {
    plans: Vec<Plan>,
}

/// What a customer can be on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Its id.
    pub id: String,
    /// Its prices in order of preference.
    pub prices: Vec<Price>,
}

/// A price of one meter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Price {
    /// Its id within the plan; the counter of a month runs per id.
    pub id: String,
    /// The meter whose usage it takes.
    pub meter: String,
    /// How usage becomes an amount.
    pub model: Model,
    /// Its tiers in order; the last one is open. A price per unit is one open tier.
    pub tiers: Vec<Tier>,
    /// What it asks of the dimensions; all must hold.
    pub matches: Vec<Match>,
    /// When; whole billing days.
    pub valid: HalfOpen<Micros>,
    /// Where it was written.
    pub line: u32,
}

/// How usage becomes an amount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Model {
    /// Every unit costs the same.
    PerUnit,
    /// A unit costs what the tier says that the month's count has reached.
    Graduated,
}

/// Units `(from, up_to]` of a month.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tier {
    /// Units before the first of this tier.
    pub from: i64,
    /// The last unit; none: no end.
    pub up_to: Option<i64>,
    /// Price of one unit.
    pub unit_price: Nanos,
}

/// A wish about one dimension.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Match {
    /// A column of the meter's `group_by`.
    pub column: String,
    /// The values it takes, sorted.
    pub values: Vec<String>,
}

impl Model {
    /// Its name in files and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PerUnit => "per_unit",
            Self::Graduated => "graduated",
        }
    }
}

impl Rates {
    /// Reads and checks the file.
    pub fn parse(file: &ConfigFile, zone: BillingZone, meters: &[Meter]) -> Result<Self, Problems> {
        let Ok(text) = std::str::from_utf8(&file.bytes) else {
            let mut problems = Problems::default();
            problems.add(&file.name, 1, "this file is not UTF-8");
            return Err(problems);
        };
        let document = Document::new(&file.name, text);
        let Some(table) = document.parse() else { return Err(document.into_problems()) };
        let root = document.root(&table, &["plan"]);
        let reader = Reader { zone, meters };
        let mut plans: Vec<Plan> = Vec::new();
        for section in root.sections("plan", &["id", "minimum", "price"]) {
            let Some(plan) = reader.plan(&section) else { continue };
            if plans.iter().any(|other| other.id == plan.id) {
                section.problem(format!("plan `{}` is defined twice", plan.id));
            }
            plans.push(plan);
        }
        drop(table);
        document.into_problems().or(Self { plans })
    }

    /// The plans in the order of the file.
    pub fn plans(&self) -> &[Plan] {
        &self.plans
    }
}

struct Reader<'m> {
    zone: BillingZone,
    meters: &'m [Meter],
}

impl Reader<'_> {
    fn plan(&self, section: &Section<'_>) -> Option<Plan> {
        let id = section.required("id").and_then(|item| item.text());
        if let Some(minimum) = section.get("minimum")
            && decimal(&minimum).is_some_and(|amount| amount != Nanos(0))
        {
            minimum.problem("a monthly `minimum` other than \"0\" is not supported by this version");
        }
        let sections = section.sections("price", PRICE_KEYS);
        let prices: Vec<Price> = sections.iter().filter_map(|price| self.price(price)).collect();
        // The order between prices means something only once each of them is right.
        if prices.len() == sections.len() {
            check_together(self.zone, &sections, &prices);
        }
        id.map(|id| Plan { id: id.to_owned(), prices })
    }

    fn price(&self, section: &Section<'_>) -> Option<Price> {
        let id = section.required("id").and_then(|item| item.text());
        let meter = section.required("meter").and_then(|item| self.meter(&item));
        let terms = terms(section);
        let matches = match section.get("match") {
            Some(item) => matches(&item, meter),
            None => Some(Vec::new()),
        };
        let valid = self.valid(section);
        let (model, tiers) = terms?;
        Some(Price {
            id: id?.to_owned(),
            meter: meter?.name.clone(),
            model,
            tiers,
            matches: matches?,
            valid: valid?,
            line: section.line(),
        })
    }

    fn meter(&self, item: &Item<'_>) -> Option<&Meter> {
        let name = item.text()?;
        let meter = self.meters.iter().find(|meter| meter.name == name);
        if meter.is_none() {
            item.problem(format!("unknown meter `{name}`{}", suggestion(name, self.meters.iter().map(|m| &*m.name))));
        }
        meter
    }

    /// Absent `from`: since 1970, before any log.
    fn valid(&self, section: &Section<'_>) -> Option<HalfOpen<Micros>> {
        let instant = |item: Item<'_>| {
            let text = item.moment()?;
            parse_instant(self.zone, Grain::Day, &text).map_err(|message| item.problem(message)).ok()
        };
        let from = section.get("from").map_or(Some(self.zone.start(BillingDay(0))), instant);
        let to = match section.get("to") {
            Some(item) => instant(item).map(Some),
            None => Some(None),
        };
        let (from, to) = (from?, to?);
        let valid = HalfOpen::new(from, to);
        if valid.is_none() {
            section.problem("`to` must be later than `from`");
        }
        valid
    }
}

fn terms(section: &Section<'_>) -> Option<(Model, Vec<Tier>)> {
    let item = section.required("model")?;
    let model = match item.text()? {
        "per_unit" => Model::PerUnit,
        "graduated" => Model::Graduated,
        later @ ("volume" | "package" | "flat") => {
            item.problem(format!("model `{later}` is not supported by this version; known: `per_unit`, `graduated`"));
            return None;
        }
        unknown => {
            item.problem(format!("unknown model `{unknown}`{}", suggestion(unknown, ["per_unit", "graduated"])));
            return None;
        }
    };
    let foreign: &[&str] = match model {
        Model::PerUnit => &["tiers", "size", "amount"],
        Model::Graduated => &["unit_price", "size", "amount"],
    };
    for key in foreign {
        if let Some(item) = section.get(key) {
            item.problem(format!("model `{}` has no `{key}`", model.name()));
        }
    }
    let tiers = match model {
        Model::PerUnit => {
            vec![Tier { from: 0, up_to: None, unit_price: unit_price(&section.required("unit_price")?)? }]
        }
        Model::Graduated => tiers(&section.required("tiers")?)?,
    };
    Some((model, tiers))
}

fn tiers(list: &Item<'_>) -> Option<Vec<Tier>> {
    let items = list.list()?;
    if items.is_empty() {
        list.problem("`tiers` is empty; it needs at least the open one, { unit_price = \"…\" }");
        return None;
    }
    let mut tiers: Vec<Tier> = Vec::with_capacity(items.len());
    let mut right = true;
    for (at, item) in items.iter().enumerate() {
        let section = item.section(&["up_to", "unit_price"])?;
        let price = section.required("unit_price").and_then(|item| unit_price(&item));
        let previous = tiers.last().and_then(|tier| tier.up_to).unwrap_or(0);
        let is_last = at + 1 == items.len();
        let up_to = match section.get("up_to") {
            None if is_last => Some(None),
            None => {
                item.problem(format!("tier {} has no `up_to`; only the last tier is open", at + 1));
                None
            }
            Some(end) if is_last => {
                end.problem("the last tier must be open: add one without `up_to` for what goes beyond");
                None
            }
            Some(end) => end.integer(1..=i64::MAX).and_then(|up_to| {
                if up_to <= previous {
                    end.problem(format!(
                        "tiers out of order: `up_to` {up_to} must be more than the {previous} before it"
                    ));
                    return None;
                }
                Some(Some(up_to))
            }),
        };
        match (price, up_to) {
            (Some(unit_price), Some(up_to)) => tiers.push(Tier { from: previous, up_to, unit_price }),
            _ => right = false,
        }
    }
    right.then_some(tiers)
}

fn matches(item: &Item<'_>, meter: Option<&Meter>) -> Option<Vec<Match>> {
    let mut matches = Vec::new();
    let mut right = true;
    for (column, values) in item.any_section()?.entries() {
        if let Some(meter) = meter.filter(|meter| !meter.group_by.iter().any(|name| name == column)) {
            let near = suggestion(column, meter.group_by.iter().map(String::as_str));
            values.problem(format!("`{column}` is not in `group_by` of meter `{}`{near}", meter.name));
            right = false;
        }
        let members = values.one_or_more();
        let mut wanted: Vec<String> = members.iter().filter_map(Item::plain).collect();
        right &= wanted.len() == members.len();
        if members.is_empty() {
            values.problem(format!("`{column}` lists no values, so this price could never match"));
            right = false;
        }
        if wanted.iter().any(|value| value.chars().any(char::is_control)) {
            values.problem("no dimension ever holds a control character; the tables have it as %XX");
            right = false;
        }
        wanted.sort_unstable();
        wanted.dedup();
        matches.push(Match { column: column.to_owned(), values: wanted });
    }
    right.then_some(matches)
}

fn check_together(zone: BillingZone, sections: &[Section<'_>], prices: &[Price]) {
    let claims = prices.iter().zip(0..).map(|(price, at)| (&price.id, Claim { valid: price.valid, line: at }));
    for overlap in overlaps(claims) {
        let first = &prices[overlap.first.line as usize];
        sections[overlap.second.line as usize].problem(format!(
            "price `{}` is defined twice at once: line {} already covers {}; end it with `to`",
            first.id,
            first.line,
            zone.show(first.valid)
        ));
    }
    for (at, price) in prices.iter().enumerate() {
        let before = &prices[..at];
        if let Some(other) = before.iter().find(|other| other.id == price.id && other.meter != price.meter) {
            sections[at].problem(format!(
                "price `{}` is for meter `{}` on line {}; one id counts one meter, so choose another",
                price.id, other.meter, other.line
            ));
        }
        let hides = |other: &&Price| {
            other.meter == price.meter
                && other.id != price.id
                && other.matches.is_empty()
                && other.valid.overlaps(&price.valid)
        };
        if let Some(other) = before.iter().find(hides) {
            let advice = if price.matches.is_empty() { "end one of them with `to`" } else { "put this one before it" };
            sections[at].problem(format!(
                "price `{}` can never match while price `{}` (line {}) before it takes all of `{}`; {advice}",
                price.id, other.id, other.line, price.meter
            ));
        }
    }
}

fn unit_price(item: &Item<'_>) -> Option<Nanos> {
    let price = decimal(item)?;
    if price > UNIT_PRICE_MAX {
        item.problem("this is more than the 999999999.999999999 a unit price can be");
        return None;
    }
    Some(price)
}

/// Text that is an exact decimal of at least 0.
fn decimal(item: &Item<'_>) -> Option<Nanos> {
    let Some(text) = item.as_text() else {
        item.wrong_type("a decimal in quotes such as \"0.0004\", which is exact");
        return None;
    };
    match text.parse::<Nanos>() {
        Ok(value) if value < Nanos(0) => item.problem(format!("`{text}` is negative")),
        Ok(value) => return Some(value),
        Err(error) => item.problem(error.to_string()),
    }
    None
}
