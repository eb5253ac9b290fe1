//! A plan's own terms: what a month costs at least, and a percentage off. They may change; then each has its interval.

use crate::base::document::{Item, Section};
use crate::base::{HalfOpen, Micros, Nanos};

use super::super::bill::parse_percent;
use super::super::interval::{Claim, overlaps};
use super::amount;

/// What applies to a plan for an interval.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// What a whole month costs at least, after the discount.
    pub minimum: Nanos,
    /// Parts of a million off what usage and flat prices cost.
    pub discount_ppm: u32,
    /// When; whole billing days.
    pub valid: HalfOpen<Micros>,
}

/// The terms of a plan, by time; `None` only where a problem was noted.
pub(super) fn read(plan: &Section<'_>, valid: impl Fn(&Section<'_>) -> Option<HalfOpen<Micros>>) -> Option<Vec<Terms>> {
    let sections = plan.sections("terms", &["minimum", "discount_percent", "from", "to"]);
    let of_plan = ["minimum", "discount_percent"].into_iter().find_map(|key| plan.get(key));
    if let (Some(item), false) = (&of_plan, sections.is_empty()) {
        item.problem("say this once: in the plan, or in its [[plan.terms]] where it changes");
        return None;
    }
    if sections.is_empty() {
        let (minimum, discount_ppm) = amounts(plan)?;
        let none = minimum == Nanos(0) && discount_ppm == 0;
        return Some(if none { Vec::new() } else { vec![Terms { minimum, discount_ppm, valid: valid(plan)? }] });
    }
    let read = |section: &Section<'_>| {
        let (minimum, discount_ppm) = amounts(section)?;
        Some((Terms { minimum, discount_ppm, valid: valid(section)? }, section.line()))
    };
    let mut terms: Vec<(Terms, u32)> = sections.iter().filter_map(read).collect();
    if terms.len() < sections.len() {
        return None;
    }
    let claims = terms.iter().map(|(terms, line)| ((), Claim { valid: terms.valid, line: *line }));
    for overlap in overlaps(claims) {
        if let Some(section) = sections.iter().find(|section| section.line() == overlap.second.line) {
            section.problem(format!("line {} already says what applies then; end it with `to`", overlap.first.line));
        }
    }
    terms.sort_by_key(|(terms, _)| terms.valid.from);
    Some(terms.into_iter().map(|(terms, _)| terms).collect())
}

fn amounts(section: &Section<'_>) -> Option<(Nanos, u32)> {
    let minimum = section.get("minimum").map_or(Some(Nanos(0)), |item| amount(&item));
    let discount = section.get("discount_percent").map_or(Some(0), |item| percentage(&item));
    Some((minimum?, discount?))
}

fn percentage(item: &Item<'_>) -> Option<u32> {
    let Some(text) = item.as_text() else {
        item.wrong_type("a percentage in quotes such as \"12.5\", which is exact");
        return None;
    };
    let ppm = parse_percent(text);
    if ppm.is_none() {
        item.problem("this is not a percentage from 0 to 100 with at most 4 places");
    }
    ppm
}
