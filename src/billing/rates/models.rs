//! How a price turns usage into an amount: the models, with what each of them needs and what none of the others has.

use crate::base::Nanos;
use crate::base::document::{Item, Section};

use super::{Tier, amount, unit_price};

/// How usage becomes an amount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Model {
    /// Every unit costs the same.
    PerUnit,
    /// A unit costs what the tier says that the month's count has reached.
    Graduated,
    /// All units of a month cost what the tier says that the month's count ends in.
    Volume,
    /// Units are sold by the package; one begun is one charged.
    Package,
    /// A fee for the time on the plan, by the day.
    Flat,
}

/// A price's model with its numbers.
pub(super) struct Rule {
    pub(super) model: Model,
    pub(super) tiers: Vec<Tier>,
    pub(super) size: Option<i64>,
    pub(super) amount: Option<Nanos>,
}

/// The keys that only some models have.
const SOME: &[&str] = &["unit_price", "tiers", "size", "amount", "free", "meter", "match"];

impl Model {
    /// Every model.
    pub const ALL: [Self; 5] = [Self::PerUnit, Self::Graduated, Self::Volume, Self::Package, Self::Flat];

    /// Its name in files and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PerUnit => "per_unit",
            Self::Graduated => "graduated",
            Self::Volume => "volume",
            Self::Package => "package",
            Self::Flat => "flat",
        }
    }

    /// Those of the keys above that it has.
    const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::PerUnit => &["unit_price", "free", "meter", "match"],
            Self::Graduated | Self::Volume => &["tiers", "meter", "match"],
            Self::Package => &["unit_price", "size", "free", "meter", "match"],
            Self::Flat => &["amount"],
        }
    }
}

/// `None` only where a problem was noted.
pub(super) fn read(section: &Section<'_>) -> Option<Rule> {
    let item = section.required("model")?;
    let text = item.text()?;
    let Some(model) = Model::ALL.into_iter().find(|model| model.name() == text) else {
        let near = crate::base::problem::suggestion(text, Model::ALL.map(Model::name));
        item.problem(format!("unknown model `{text}`{near}"));
        return None;
    };
    for key in SOME.iter().filter(|key| !model.keys().contains(key)) {
        if let Some(item) = section.get(key) {
            item.problem(format!("model `{}` has no `{key}`", model.name()));
        }
    }
    let rule = |tiers| Rule { model, tiers, size: None, amount: None };
    Some(match model {
        Model::PerUnit => {
            let (free, unit_price) = (free(section)?, unit_price(&section.required("unit_price")?)?);
            let open = Tier { from: free, up_to: None, unit_price };
            let granted = (free > 0).then_some(Tier { from: 0, up_to: Some(free), unit_price: Nanos(0) });
            rule(granted.into_iter().chain([open]).collect())
        }
        Model::Graduated | Model::Volume => rule(tiers(&section.required("tiers")?)?),
        Model::Package => {
            let size = section.required("size").and_then(|item| item.integer(1..=i64::MAX));
            let (free, unit_price) = (free(section)?, unit_price(&section.required("unit_price")?)?);
            Rule { size: Some(size?), ..rule(vec![Tier { from: free, up_to: None, unit_price }]) }
        }
        Model::Flat => Rule { amount: Some(amount(&section.required("amount")?)?), ..rule(Vec::new()) },
    })
}

fn free(section: &Section<'_>) -> Option<i64> {
    section.get("free").map_or(Some(0), |item| item.integer(0..=i64::MAX))
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
