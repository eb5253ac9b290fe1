//! An access-log format that is not JSON (CLF, CSV, XML, any text) to a plan for taking records apart again. The text
//! between two variables separates their values. Nothing is escaped in such a record, so a value may hold a separator,
//! by chance or because a caller means to shift the values behind it. Therefore a record is not cut at the first
//! separator found: every way to cut it is looked for, each value within its variable's [`Domain`], and a record with
//! more than one way is refused. The way it was written is always among them, so the only one there is, is that one.
//!
//! White space within fixed text may be of any length in a record, and may stand between `]` and `"`: the documented
//! format has none there, and many people's has. A format over several lines is written to the log as one.

use super::domain::{Domain, is_commonplace};
use super::error::SpecError;
use super::template::{SIGIL, TemplatePlan, Variable, name_length};

/// Ways to end a value that are looked at in one record; more are only met where somebody tries.
const WAYS_MAX: usize = 1 << 16;
const NONE: usize = usize::MAX;

/// A format, read.
#[derive(Debug)]
pub(super) struct Literal {
    lead: Fixed,
    steps: Vec<Step>,
}

/// A variable and the fixed text behind it.
#[derive(Debug)]
struct Step {
    /// Its place in [`TemplatePlan::variables`].
    slot: usize,
    domain: Domain,
    after: Fixed,
}

/// Fixed text: parts with any amount of white space between them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fixed(Vec<Vec<u8>>);

/// What became of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Split {
    /// There is one way, found in [`Ways::spans`].
    One,
    /// There is none; the place of the variable at whose end the last one was lost, or none where it did not begin.
    None(Option<usize>),
    /// There are several. The places of the first and the last variable that differ between two of them.
    Several(usize, usize),
}

/// Memory for reading records.
#[derive(Default)]
pub(super) struct Ways {
    points: Vec<Point>,
    found: Vec<Point>,
    /// Of each variable of the format in its order: the place of the variable, and where its value stands.
    pub(super) spans: Vec<(usize, usize, usize)>,
}

/// A place in the record up to which it can be cut.
#[derive(Clone, Copy, Debug)]
struct Point {
    /// Where the next value begins.
    at: usize,
    /// Where the value before ends.
    end: usize,
    /// The point at which that value begins.
    from: usize,
    /// Another way to come here: the same two.
    other: Option<(usize, usize)>,
    /// There is another way to come here, or to a point before.
    several: bool,
}

impl Literal {
    /// Reads a format. The plan names its variables; it has no keys.
    pub(super) fn new(text: &str) -> Result<(Self, TemplatePlan), SpecError> {
        let mut variables: Vec<Variable> = Vec::new();
        let (mut lead, mut steps) = (None, Vec::<Step>::new());
        let mut rest = text.trim();
        loop {
            let at = memchr::memmem::find(rest.as_bytes(), SIGIL);
            let (fixed, after) = rest.split_at(at.unwrap_or(rest.len()));
            let fixed = Fixed::new(fixed, lead.is_some(), at.is_some());
            match steps.last_mut() {
                Some(step) => step.after = fixed,
                None => lead = Some(fixed),
            }
            if at.is_none() {
                break;
            }
            let after = &after[SIGIL.len()..];
            let length = name_length(after.as_bytes());
            if length == 0 {
                return Err(SpecError::NoName);
            }
            let name = &after[..length];
            let slot = variables.iter().position(|variable| variable.name == name).unwrap_or_else(|| {
                variables.push(Variable { name: name.to_owned(), key: format!("$context.{name}") });
                variables.len() - 1
            });
            steps.push(Step { slot, domain: Domain::of(name), after: Fixed::default() });
            rest = &after[length..];
        }
        let lead = lead.unwrap_or_default();
        let name = |step: &Step| variables[step.slot].key.clone();
        let Some(first) = steps.first() else { return Err(SpecError::NoVariables) };
        if lead.is_empty() && first.domain == Domain::Any {
            return Err(SpecError::CallerFirst { variable: name(first) });
        }
        for pair in steps.windows(2) {
            if let Some(why) = inseparable(&pair[0], &pair[1]) {
                return Err(SpecError::Inseparable { first: name(&pair[0]), second: name(&pair[1]), why });
            }
        }
        Ok((Self { lead, steps }, TemplatePlan { objects: Vec::new(), keys: 0, variables }))
    }

    /// Whether two values or more are chosen by callers, so that one who wants to can make a record unreadable.
    pub(super) fn is_fragile(&self) -> bool {
        self.steps.iter().filter(|step| step.domain == Domain::Any).count() > 1
    }

    /// Looks for every way to take the record apart. White space at its end may be the log service's.
    pub(super) fn split(&self, record: &[u8], ways: &mut Ways) -> Split {
        let Ways { points, found, spans } = ways;
        points.clear();
        spans.clear();
        let Some(at) = self.lead.end_in(record, 0) else { return Split::None(None) };
        points.push(Point { at, end: at, from: NONE, other: None, several: false });
        let (mut from, mut looked_at) = (0, 0);
        for (number, step) in self.steps.iter().enumerate() {
            found.clear();
            let is_last = number + 1 == self.steps.len();
            let mut held_to = 0;
            for (place, point) in points.iter().enumerate().skip(from) {
                if point.at >= held_to {
                    held_to = step.domain.held_to(record, point.at);
                }
                let mut on = |end: usize, at: usize| {
                    looked_at += 1;
                    if step.domain.is_value(&record[point.at..end]) {
                        let several = point.several;
                        found.push(Point { at, end, from: place, other: None, several });
                    }
                    looked_at <= WAYS_MAX
                };
                let goes_on = if is_last {
                    step.after.last_ends(record, point.at, held_to, &mut on)
                } else {
                    step.after.ends(record, point.at, held_to, &mut on)
                };
                if !goes_on {
                    return self.given_up();
                }
            }
            if found.is_empty() {
                return Split::None(Some(step.slot));
            }
            from = points.len();
            found.sort_unstable_by_key(|point| (point.at, point.end, point.from));
            for point in found.drain(..) {
                match points[from..].last_mut() {
                    Some(last) if last.at == point.at => {
                        last.other.get_or_insert((point.from, point.end));
                        last.several = true;
                    }
                    _ => points.push(point),
                }
            }
        }
        // All ways end at the record's end, in one point.
        let last = points.len() - 1;
        self.trace(points, last, spans);
        if points[last].several { self.differing(points, last, spans) } else { Split::One }
    }

    /// Follows a way back from its end.
    fn trace(&self, points: &[Point], last: usize, spans: &mut Vec<(usize, usize, usize)>) {
        let mut point = points[last];
        for step in self.steps.iter().rev() {
            let before = points[point.from];
            spans.push((step.slot, before.at, point.end));
            point = before;
        }
        spans.reverse();
    }

    /// What differs between the way traced and another one.
    fn differing(&self, points: &[Point], last: usize, spans: &[(usize, usize, usize)]) -> Split {
        let mut point = points[last];
        let (mut first, mut final_one, mut turned) = (0, 0, false);
        for (number, &(_, start, end)) in spans.iter().enumerate().rev() {
            let (from, other_end) = match point.other {
                Some(other) if !turned => {
                    turned = true;
                    final_one = number;
                    other
                }
                _ => (point.from, point.end),
            };
            if (points[from].at, other_end) != (start, end) {
                first = number;
            }
            point = points[from];
        }
        Split::Several(self.steps[first].slot, self.steps[final_one].slot)
    }

    fn given_up(&self) -> Split {
        let free = |step: &&Step| step.domain == Domain::Any;
        let first = self.steps.iter().find(free).or(self.steps.first());
        let last = self.steps.iter().rev().find(free).or(self.steps.last());
        Split::Several(first.map_or(0, |step| step.slot), last.map_or(0, |step| step.slot))
    }
}

/// Why the values of two neighbours cannot be told apart, whatever the record; none: mostly they can.
fn inseparable(first: &Step, second: &Step) -> Option<&'static str> {
    let between = first.after.0.concat();
    if between.is_empty() {
        return Some("nothing stands between them");
    }
    if !first.domain.may_hold(&between) || !second.domain.may_hold(&between) {
        return None;
    }
    match (first.domain, second.domain) {
        // A comma in the name of a session is legal and rare.
        (Domain::Principal, Domain::Principal) => None,
        (Domain::Any, Domain::Any) => is_commonplace(&between)
            .then_some("both can hold what stands between them, and values that callers send often do"),
        _ => Some("both can hold what stands between them"),
    }
}

impl Domain {
    /// The end of what a value that begins at `at` can reach to.
    fn held_to(self, record: &[u8], at: usize) -> usize {
        if self == Self::Any {
            return record.len();
        }
        let rest = &record[at.min(record.len())..];
        at + rest.iter().position(|&byte| !self.holds(byte)).unwrap_or(rest.len())
    }
}

impl Fixed {
    /// White space within the text is free; where it borders a variable it counts, a line end there being a blank.
    fn new(text: &str, after_variable: bool, before_variable: bool) -> Self {
        let (mut parts, mut part) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let blanks = &rest[..rest.len() - rest.trim_start().len()];
            if blanks.is_empty() {
                if part.ends_with(']') && first == '"' {
                    parts.push(std::mem::take(&mut part).into_bytes());
                }
                part.push(first);
                rest = &rest[first.len_utf8()..];
                continue;
            }
            let at_border = after_variable && rest.len() == text.len() || before_variable && blanks.len() == rest.len();
            rest = &rest[blanks.len()..];
            if at_border {
                part.push_str(if blanks.contains(['\n', '\r']) { " " } else { blanks });
            } else if !part.is_empty() {
                parts.push(std::mem::take(&mut part).into_bytes());
            }
        }
        if !part.is_empty() {
            parts.push(part.into_bytes());
        }
        Self(parts)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where it ends, if it stands at `at`.
    fn end_in(&self, record: &[u8], at: usize) -> Option<usize> {
        let mut at = at;
        for (number, part) in self.0.iter().enumerate() {
            if number > 0 {
                at += blanks(&record[at..]);
            }
            if !record[at..].starts_with(part) {
                return None;
            }
            at += part.len();
        }
        Some(at)
    }

    /// Calls `on` with every place between `from` and `to` where it stands, and its end, until told to stop.
    fn ends(&self, record: &[u8], from: usize, to: usize, on: &mut impl FnMut(usize, usize) -> bool) -> bool {
        let Some(first) = self.0.first() else { return true };
        let finder = memchr::memmem::Finder::new(first);
        let reach = record.len().min(to + first.len());
        let mut at = from;
        while at <= to {
            let Some(found) = record.get(at..reach).and_then(|rest| finder.find(rest)) else { break };
            at += found;
            if let Some(end) = self.end_in(record, at)
                && !on(at, end)
            {
                return false;
            }
            at += 1;
        }
        true
    }

    /// The same for places at which the record ends with it, but for white space. All of those ends are one.
    fn last_ends(&self, record: &[u8], from: usize, to: usize, on: &mut impl FnMut(usize, usize) -> bool) -> bool {
        let trimmed = record.trim_ascii_end().len();
        if self.is_empty() {
            let end = trimmed.max(from);
            return end > to || on(end, record.len());
        }
        let length: usize = self.0.iter().map(Vec::len).sum();
        if self.0.len() == 1 {
            // Mostly it has one part, and then one place where it can stand.
            let at = trimmed.checked_sub(length).filter(|at| (from..=to).contains(at));
            return at.is_none_or(|at| !record[at..].starts_with(&self.0[0]) || on(at, record.len()));
        }
        self.ends(record, from, to, &mut |at, end| !record[end..].trim_ascii().is_empty() || on(at, record.len()))
    }
}

fn blanks(text: &[u8]) -> usize {
    text.len() - text.trim_ascii_start().len()
}
