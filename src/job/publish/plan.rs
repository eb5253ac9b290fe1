//! What must be written so that a month is in the table as it is in the lake: the totals wanted held against those listed.

use std::collections::BTreeMap;

use super::table::{Listed, TotalsError};
use super::total::{Total, TotalName, TotalRules};

/// Digests of the totals that this publish has written: a listing may not show them yet.
pub(super) type Written = BTreeMap<TotalName, String>;

/// What must be written, and what stands.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The totals that are missing, differ or are of usage that is gone, in the order of their names.
    pub(super) writes: Vec<Write>,
    /// How many are as they should be.
    pub(super) unchanged: usize,
}

/// A total to be written.
#[derive(Debug)]
pub(super) struct Write {
    /// As it should be.
    pub(super) total: Total,
    /// The quantity in the table; none: there is no such total.
    pub(super) before: Option<i128>,
}

impl Plan {
    /// Holds the totals wanted against a listing and what is known to have been written since.
    pub(super) fn new(
        mut wanted: BTreeMap<TotalName, Total>,
        listed: Vec<Listed>,
        written: &Written,
        rules: &TotalRules,
        lake: &str,
    ) -> Result<Self, TotalsError> {
        let mut plan = Self::default();
        for there in listed {
            if there.lake != lake {
                return Err(TotalsError::OtherLake { theirs: there.lake, ours: lake.to_owned() });
            }
            let digest = written.get(&there.name).unwrap_or(&there.digest).clone();
            let total = wanted.remove(&there.name).unwrap_or_else(|| rules.empty(there.name));
            match total.digest().to_string() == digest {
                true => plan.unchanged += 1,
                false => plan.writes.push(Write { total, before: there.quantity }),
            }
        }
        plan.writes.extend(wanted.into_values().map(|total| Write { total, before: None }));
        plan.writes.sort_by(|a, b| a.total.name.cmp(&b.total.name));
        Ok(plan)
    }
}
