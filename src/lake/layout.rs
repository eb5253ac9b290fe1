//! Where things lie in the lake: the only place that knows its folders. Paths are relative to the lake.

use object_store::path::Path;

use crate::base::{Digest, UtcHour};
use crate::schema::Table;

/// Folder of what the lake remembers of itself.
pub(crate) const META: &str = "_meta";
/// Folder of the receipts, below it one per source.
pub(crate) const RECEIPTS: &str = "receipts";
/// Folder of the withdrawals, below it one per source.
pub(crate) const WITHDRAWALS: &str = "withdrawals";
/// Folder of the staged files, below it one per source.
pub(crate) const STAGED: &str = "staged";
/// Folder of the closed months, below it one per month.
pub(crate) const INVOICES: &str = "invoices";

/// The lake's own description.
pub(crate) fn description() -> Path {
    Path::from(META).join("lake.json")
}

/// Folder of the configuration generations.
pub(crate) fn configs() -> Path {
    Path::from(META).join("config")
}

/// Folder of the check values of secrets.
pub(crate) fn secrets() -> Path {
    Path::from(META).join("secrets")
}

/// What the lake remembers of a source.
pub(crate) fn source(name: &str) -> Path {
    Path::from(META).join("sources").join(format!("{name}.json"))
}

/// The events of one object in one hour.
pub(crate) fn staged(source: &str, hour: UtcHour, object_id: Digest) -> Path {
    Path::from(STAGED)
        .join(source)
        .join(format!("day={}", hour.day()))
        .join(format!("hour={:02}", hour.of_day()))
        .join(format!("{object_id}.parquet"))
}

/// The rejects of one object.
pub(crate) fn staged_rejects(source: &str, object_id: Digest) -> Path {
    Path::from(STAGED).join(source).join("rejects").join(format!("{object_id}.parquet"))
}

/// The receipt of one object.
pub(crate) fn receipt(source: &str, object_id: Digest) -> Path {
    Path::from(RECEIPTS).join(source).join(format!("{object_id}.json"))
}

/// The withdrawal of one object.
pub(crate) fn withdrawal(source: &str, object_id: Digest) -> Path {
    Path::from(WITHDRAWALS).join(source).join(format!("{object_id}.json"))
}

/// Folder of a table.
pub(crate) fn table(table: Table) -> Path {
    Path::from("tables").join(table.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_as_documented() {
        let id = Digest::of(["object"]);
        let hour = "2026-10-01T05".parse().unwrap();
        assert_eq!(staged("edge", hour, id).as_ref(), format!("staged/edge/day=2026-10-01/hour=05/{id}.parquet"));
        assert_eq!(staged_rejects("edge", id).as_ref(), format!("staged/edge/rejects/{id}.parquet"));
        assert_eq!(receipt("edge", id).as_ref(), format!("receipts/edge/{id}.json"));
        assert_eq!(withdrawal("edge", id).as_ref(), format!("withdrawals/edge/{id}.json"));
        assert_eq!(table(Table::UsageDaily).as_ref(), "tables/usage_daily");
        assert_eq!(description().as_ref(), "_meta/lake.json");
    }
}
