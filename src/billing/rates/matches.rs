//! `match`: the dimension values a price asks for. Columns the meter does not group by and empty lists are refused.

use crate::base::document::Item;
use crate::base::problem::suggestion;
use crate::model::Meter;

use super::Match;

pub(super) fn read(item: &Item<'_>, meter: Option<&Meter>) -> Option<Vec<Match>> {
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
