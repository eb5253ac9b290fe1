//! What holds for a plan as a whole: what a month costs at least and what is taken off. Once for all time in the plan
//! itself, or as `[[plan.terms]]` one after the other; both at once are refused, and so are two terms of one day.

use crate::base::document::{Item, Section};
use crate::base::{HalfOpen, Micros, Nanos};

use super::amount::monthly;
use super::{Claim, Reader, overlaps};
use crate::billing::bill::parse_percent;

const TERMS_KEYS: &[&str] = &["minimum", "discount_percent", "from", "to"];
const PLAIN_KEYS: &[&str] = &["minimum", "discount_percent"];

/// Minimum and discount of a plan for an interval.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlanTerms {
    /// What a whole month costs at least, after the discount.
    pub minimum: Nanos,
    /// Parts of a million taken off what usage and flat prices cost.
    pub discount_ppm: u32,
    /// When; whole billing days.
    pub valid: HalfOpen<Micros>,
    /// Where they were written.
    pub line: u32,
}

impl Reader<'_> {
    /// The terms of a plan in the order of the file; none where it takes nothing off and asks for nothing.
    pub(super) fn terms(&self, plan: &Section<'_>) -> Option<Vec<PlanTerms>> {
        if plan.get("terms").is_none() {
            let term = self.term(plan)?;
            let says_something = term.minimum != Nanos(0) || term.discount_ppm != 0;
            return Some(says_something.then_some(term).into_iter().collect());
        }
        for item in PLAIN_KEYS.iter().filter_map(|key| plan.get(key)) {
            item.problem("this plan has [[plan.terms]] too; write it there, so that there is one place to look");
        }
        let sections = plan.sections("terms", TERMS_KEYS);
        let terms: Vec<PlanTerms> = sections.iter().filter_map(|section| self.term(section)).collect();
        if terms.len() != sections.len() {
            return None;
        }
        for overlap in overlaps(terms.iter().zip(0..).map(|(term, at)| ((), Claim { valid: term.valid, line: at }))) {
            let first = &terms[overlap.first.line as usize];
            sections[overlap.second.line as usize].problem(format!(
                "terms of one plan at once: line {} already covers {}; end it with `to`",
                first.line,
                self.zone.show(first.valid)
            ));
        }
        Some(terms)
    }

    fn term(&self, section: &Section<'_>) -> Option<PlanTerms> {
        let minimum = section.get("minimum").map_or(Some(Nanos(0)), |item| monthly(&item));
        let discount_ppm = section.get("discount_percent").map_or(Some(0), |item| percent(&item));
        // A plan has no `from` and `to` of its own: these are then unknown keys, told already.
        let valid = self.valid(section);
        Some(PlanTerms { minimum: minimum?, discount_ppm: discount_ppm?, valid: valid?, line: section.line() })
    }
}

fn percent(item: &Item<'_>) -> Option<u32> {
    let Some(text) = item.as_text() else {
        item.wrong_type("a decimal in quotes such as \"12.5\", which is exact");
        return None;
    };
    let ppm = parse_percent(text);
    if ppm.is_none() {
        item.problem(format!("`{text}` is no percentage from 0 to 100 with at most 4 places after the point"));
    }
    ppm
}
