//! Which fields the columns of lines are, as far as their values tell. Goes in: lines of equally many columns, and the
//! fields they may be of, in the order in which a line holds them. Comes out: the choice of fields that the values fit
//! best, and the columns that could as well be another field. Values that CloudFront writes itself rule a field out;
//! what callers write only speaks for one.

use super::resemble::{Likeness, is_always_there, is_usual, likeness};
use crate::decode::edge_rows::{Cells, cell};

/// Of a hundred values so many may not fit a field: damaged records.
const MISFITS_PERCENT: usize = 2;
/// A choice with so little less to say for it is as good.
const MARGIN: i64 = 4;
/// What speaks for a field that is usually selected.
const USUAL: i64 = 5;
/// What speaks against a field that always has a value where there is none.
const NEVER_EMPTY: i64 = 25;
/// Below everything that can be reached.
const IMPOSSIBLE: i64 = i64::MIN / 4;

/// The fields of columns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Aligned {
    /// Of each column, its place among the fields.
    pub(super) fields: Vec<usize>,
    /// Columns that could as well be one of other fields.
    pub(super) doubts: Vec<(usize, Vec<usize>)>,
    /// Columns of whose field there is hardly a doubt, since few fields have such values.
    pub(super) sure: usize,
}

/// Finds the fields of lines with so many columns; none where no choice fits.
pub(super) fn align(names: &[&'static str], lines: &[&[u8]], columns: usize) -> Option<Aligned> {
    if columns == 0 || columns > names.len() {
        return None;
    }
    let weights = Weights::new(names, lines, columns);
    let (before, after) = (weights.best_before(), weights.best_after());
    let (count, total) = (names.len(), before[columns][names.len()]);
    if total <= IMPOSSIBLE {
        return None;
    }
    // Walks back from the end; of equals the later field, so that an early column keeps the most room.
    let mut fields = vec![0; columns];
    let mut end = count;
    for column in (0..columns).rev() {
        while before[column + 1][end] == before[column + 1][end - 1] {
            end -= 1;
        }
        end -= 1;
        fields[column] = end;
    }
    let through = |column: usize, field: usize| {
        let weight = weights.of(field, column);
        if weight <= IMPOSSIBLE { IMPOSSIBLE } else { before[column][field] + weight + after[column + 1][field + 1] }
    };
    let mut doubts = Vec::new();
    for (column, &chosen) in fields.iter().enumerate() {
        let others: Vec<usize> =
            (0..count).filter(|&field| field != chosen && total - through(column, field) <= MARGIN).collect();
        if !others.is_empty() {
            doubts.push((column, others));
        }
    }
    let sure = fields.iter().enumerate().filter(|&(column, &field)| weights.is_sure(field, column)).count();
    Some(Aligned { fields, doubts, sure })
}

/// What speaks for each field in each column.
struct Weights {
    columns: usize,
    fields: usize,
    weights: Vec<i64>,
    sure: Vec<bool>,
}

impl Weights {
    fn new(names: &[&'static str], lines: &[&[u8]], columns: usize) -> Self {
        let mut tally = vec![Tally::default(); names.len() * columns];
        let mut cells = Cells::default();
        for line in lines {
            cells.split(line);
            if cells.count != columns {
                continue;
            }
            for column in 0..columns {
                let value = &line[cell(&cells.ends, column)];
                for (field, name) in names.iter().enumerate() {
                    tally[field * columns + column].add(name, value, line);
                }
            }
        }
        let weighed = tally.iter().enumerate().map(|(at, tally)| tally.weight(names[at / columns]));
        Self {
            columns,
            fields: names.len(),
            weights: weighed.collect(),
            sure: tally.iter().map(Tally::is_sure).collect(),
        }
    }

    fn of(&self, field: usize, column: usize) -> i64 {
        self.weights[field * self.columns + column]
    }

    fn is_sure(&self, field: usize, column: usize) -> bool {
        self.sure[field * self.columns + column]
    }

    /// `[c][f]`: the most that speaks for the first `c` columns among the first `f` fields.
    fn best_before(&self) -> Vec<Vec<i64>> {
        let mut best = vec![vec![IMPOSSIBLE; self.fields + 1]; self.columns + 1];
        best[0].fill(0);
        for column in 1..=self.columns {
            for field in column..=self.fields {
                let with = sum(best[column - 1][field - 1], self.of(field - 1, column - 1));
                best[column][field] = best[column][field - 1].max(with);
            }
        }
        best
    }

    /// `[c][f]`: the most that speaks for the columns from `c` on among the fields from `f` on.
    fn best_after(&self) -> Vec<Vec<i64>> {
        let mut best = vec![vec![IMPOSSIBLE; self.fields + 2]; self.columns + 1];
        best[self.columns].fill(0);
        for column in (0..self.columns).rev() {
            for field in (0..self.fields).rev() {
                let with = sum(best[column + 1][field + 1], self.of(field, column));
                best[column][field] = best[column][field + 1].max(with);
            }
        }
        best
    }
}

fn sum(a: i64, b: i64) -> i64 {
    if a <= IMPOSSIBLE || b <= IMPOSSIBLE { IMPOSSIBLE } else { a + b }
}

/// How the values of one column are like those of one field.
#[derive(Clone, Copy, Default)]
struct Tally {
    values: usize,
    empty: usize,
    misfits: usize,
    sure: usize,
    likeness: i64,
}

impl Tally {
    fn add(&mut self, name: &str, value: &[u8], line: &[u8]) {
        if matches!(value, b"" | b"-") {
            self.empty += 1;
            return;
        }
        self.values += 1;
        match likeness(name, value, line) {
            Likeness::None => self.misfits += 1,
            Likeness::Some(points) => self.likeness += points,
            Likeness::Sure(points) => {
                self.sure += 1;
                self.likeness += points;
            }
        }
    }

    fn is_sure(&self) -> bool {
        self.values > 0 && self.sure == self.values
    }

    fn weight(&self, name: &str) -> i64 {
        if self.misfits * 100 > self.values * MISFITS_PERCENT {
            return IMPOSSIBLE;
        }
        let all = (self.values + self.empty).max(1) as i64;
        let usual = if is_usual(name) { USUAL } else { 0 };
        let empty = self.empty as i64 * if is_always_there(name) { -NEVER_EMPTY } else { 1 };
        usual + (10 * self.likeness + empty) / all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::fields::FIELDS;

    const LINE: [(&str, &str); 14] = [
        ("timestamp", "1764000000.123"),
        ("c-ip", "203.0.113.9"),
        ("sc-status", "200"),
        ("sc-bytes", "1532"),
        ("cs-method", "GET"),
        ("cs-uri-stem", "/v1/items?q=1"),
        ("x-edge-location", "SFO53-P9"),
        ("x-edge-request-id", "HoIW-MaV1Qu7J5kwqnAYBNlsg4iI2MBYb5OXBfykwRAZpAqHmdWtQA=="),
        ("time-taken", "0.253"),
        ("cs-user-agent", "curl/8.7.1"),
        ("cs-uri-query", "q=1"),
        ("cs-headers", "host:a.example%0Ax-api-key:K%0A"),
        ("cs-header-names", "host%0Ax-api-key%0A"),
        ("cs-headers-count", "2"),
    ];

    fn aligned(line: &str) -> Option<(Vec<&'static str>, Aligned)> {
        let lines = vec![line.as_bytes(); 3];
        let aligned = align(&FIELDS, &lines, line.split('\t').count())?;
        Some((aligned.fields.iter().map(|&at| FIELDS[at]).collect(), aligned))
    }

    #[test]
    fn any_choice_of_telling_fields_is_found() {
        // Choices that keep the time, each other field in or out; not all of them, which takes long.
        for choice in (0_u32..1 << 13).step_by(5) {
            let chosen: Vec<_> =
                LINE.iter().enumerate().filter(|(at, _)| *at == 0 || choice >> (at - 1) & 1 == 1).collect();
            if chosen.len() < 4 {
                continue;
            }
            let line = chosen.iter().map(|(_, (_, value))| *value).collect::<Vec<_>>().join("\t");
            let (found, aligned) = aligned(&line).unwrap();
            for (column, (_, (name, _))) in chosen.iter().enumerate() {
                let doubted = aligned
                    .doubts
                    .iter()
                    .any(|(at, others)| *at == column && others.iter().any(|&o| FIELDS[o] == *name));
                assert!(found[column] == *name || doubted, "{name} was taken for {} in {line}", found[column]);
            }
        }
    }

    #[test]
    fn what_values_do_not_tell_is_doubted() {
        let (found, aligned) = aligned("1764000000.123\t203.0.113.9\t200\t-\t-").unwrap();
        assert_eq!(found[..3], ["timestamp", "c-ip", "sc-status"]);
        assert_eq!(aligned.doubts.iter().map(|(column, _)| *column).collect::<Vec<_>>(), [3, 4]);
    }

    #[test]
    fn lines_of_something_else_fit_nothing() {
        assert_eq!(aligned("a\tb\tc").map(|(_, aligned)| aligned.sure), Some(0));
        assert!(aligned(&"GET\t".repeat(80)).is_none());
    }
}
