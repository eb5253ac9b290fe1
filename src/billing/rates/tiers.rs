//! `tiers`: ascending ends, each with a price, the last one open.

use crate::base::document::Item;

use super::Tier;
use super::amount::unit_price;

pub(super) fn read(list: &Item<'_>) -> Option<Vec<Tier>> {
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
