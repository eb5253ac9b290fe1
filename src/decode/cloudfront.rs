//! CloudFront real-time records. One line is one record, its values separated by TAB and percent-encoded once. Refused:
//! another number of columns than the field set, no time, no id, a number that is none. Where all records of an object
//! speak for another field set, it is the object that cannot be read, and the likely set is named (`guess`).

use std::ops::Range;
use std::sync::Arc;

use super::Micros;
use super::columns::Origin;
use super::edge_rows::{COOKIE, Cells, Checked, EdgeRows, EdgeRules, Record, cell};
use super::error::{ObjectError, Reject};
use super::fields::{Field, Layout};
use super::guess::Sample;
use super::privacy::KeyHasher;
use super::text::epoch_seconds;

const TIMESTAMP: Field = Field::named("timestamp");

/// An object whose records, at least this many, all have the same wrong number of columns is not of this source.
const MISMATCHES_MIN: usize = 10;

/// What is fixed for a source.
pub(super) struct EdgePlan {
    /// In order of `from`.
    pub(super) layouts: Vec<Layout>,
    pub(super) rules: EdgeRules,
}

/// Reads the records of one object.
pub(super) struct EdgeReader {
    plan: Arc<EdgePlan>,
    /// The layout in force when the object arrived, then its neighbours.
    layouts: Vec<usize>,
    rows: EdgeRows,
    cells: Cells,
    mismatches: Mismatches,
    sample: Sample,
}

/// Records with a wrong number of columns, as long as all records have the same one.
#[derive(Default)]
pub(super) struct Mismatches {
    /// A record had another number.
    settled: bool,
    found: usize,
    count: usize,
}

impl Mismatches {
    /// A record with a right number was met.
    pub(super) fn settle(&mut self) {
        self.settled = true;
    }

    /// Counts one more record, with so many columns where `expected` are right.
    pub(super) fn count(&mut self, found: usize, expected: usize) -> Reject {
        self.settled |= self.count > 0 && self.found != found;
        (self.found, self.count) = (found, self.count + 1);
        Reject::new("columns", format!("{found} columns, the field set has {expected}"))
    }

    /// The number of columns that every record has, where it is a wrong one.
    pub(super) fn found(&self) -> Option<usize> {
        (!self.settled && self.count >= MISMATCHES_MIN).then_some(self.found)
    }
}

/// The places of the field set in force at an instant, then those of its neighbours.
pub(super) fn in_force(
    mut layouts: impl DoubleEndedIterator<Item = Option<Micros>> + ExactSizeIterator,
    at: Micros,
) -> Vec<usize> {
    let count = layouts.len();
    let current = layouts.rposition(|from| from.is_none_or(|from| from <= at)).unwrap_or(0);
    let all = [Some(current), current.checked_sub(1), Some(current + 1).filter(|&next| next < count)];
    all.into_iter().flatten().collect()
}

impl EdgeReader {
    pub(super) fn new(plan: &Arc<EdgePlan>, of: &Origin<'_>, arrived_at: Micros) -> Self {
        Self {
            plan: plan.clone(),
            layouts: in_force(plan.layouts.iter().map(|layout| layout.from), arrived_at),
            rows: EdgeRows::new(of),
            cells: Cells::default(),
            mismatches: Mismatches::default(),
            sample: Sample::default(),
        }
    }

    /// Bytes that the rows so far take because of what their values hold.
    pub(super) fn bytes(&self) -> usize {
        self.rows.bytes()
    }

    /// The rows so far as a batch.
    pub(super) fn finish(&mut self, rows: usize) -> arrow::array::RecordBatch {
        self.rows.finish(rows)
    }

    /// Where the line just read holds cookies, in order: a cell of its own, before which no name stands. Under
    /// whichever field set the line may be of.
    pub(super) fn cookies(&self) -> Vec<Range<usize>> {
        let layouts = self.layouts.iter().map(|&at| &self.plan.layouts[at]);
        let columns = layouts.filter(|layout| layout.columns == self.cells.count).filter_map(|l| l.column(COOKIE));
        let mut cells: Vec<_> = columns.map(|column| cell(&self.cells.ends, column)).collect();
        cells.sort_by_key(|cell| cell.start);
        cells
    }

    /// Reads one line into a row and gives its time.
    pub(super) fn read(
        &mut self,
        line: &[u8],
        position: i64,
        fingerprint: i64,
        hasher: &mut KeyHasher,
    ) -> Result<Micros, Reject> {
        if self.sample.wants_more() {
            self.sample.keep(line);
        }
        self.cells.split(line);
        let plan = self.plan.clone();
        let mut refused = None;
        for at in 0..self.layouts.len() {
            let layout = &plan.layouts[self.layouts[at]];
            if layout.columns != self.cells.count {
                continue;
            }
            self.mismatches.settle();
            let record = Record { line, ends: &self.cells.ends, layout };
            match checked(&record, &plan.rules) {
                Ok(checked) => {
                    return Ok(self.rows.append(&record, &checked, &plan.rules, position, fingerprint, hasher));
                }
                Err(reject) => refused = refused.or(Some(reject)),
            }
        }
        Err(refused.unwrap_or_else(|| self.mismatches.count(self.cells.count, self.expected().columns)))
    }

    /// The field set in force.
    fn expected(&self) -> &Layout {
        &self.plan.layouts[self.layouts[0]]
    }

    /// Whether all records read so far speak for other settings: then it is the object that cannot be read.
    pub(super) fn mismatch(&self) -> Option<ObjectError> {
        let layouts: Vec<_> = self.layouts.iter().map(|&at| &self.plan.layouts[at]).collect();
        match self.mismatches.found() {
            Some(found) => Some(ObjectError::FieldsMismatch {
                expected: self.expected().columns,
                found,
                likely: self.sample.likely(self.expected(), found),
            }),
            None => self.sample.misfit(&layouts),
        }
    }
}

fn checked<'a>(record: &Record<'a>, rules: &EdgeRules) -> Result<Checked<'a>, Reject> {
    let Some(time) = record.get(TIMESTAMP) else {
        return Err(Reject::new("no_time", "timestamp is missing"));
    };
    let at =
        epoch_seconds(time).ok_or_else(|| Reject::new("bad_time", "timestamp is not a believable time in seconds"))?;
    Checked::of(record, at, rules)
}
