//! What must be done so that a database shows a lake: a pure comparison of the tables it shall hold with those it holds.

use std::collections::BTreeMap;
use std::fmt;

use super::table::{GlueColumn, GlueTable, MARK};

/// A table as the catalogue holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoundTable {
    /// The table; what Glue leaves out is empty.
    pub table: GlueTable,
    /// Which version of it this is: an update is refused where there is a newer one.
    pub version: Option<String>,
}

/// All that is to be done, and what is left alone.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// The database is not there.
    pub creates_database: bool,
    /// In the order of the wanted tables.
    pub steps: Vec<Step>,
    /// Tables somebody has to look at.
    pub left: Vec<Left>,
    /// How many tables are as they should be.
    pub right: usize,
}

/// One thing to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Declare a table.
    Create(GlueTable),
    /// Declare a table of ours anew.
    Update {
        /// As it shall be; parameters that others added are kept.
        table: GlueTable,
        /// The version that was looked at.
        version: Option<String>,
        /// What is different.
        changes: Vec<Change>,
    },
}

/// A table that is left as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Left {
    /// Its name.
    pub table: String,
    /// Why.
    pub why: Why,
}

/// Why a table is left as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Why {
    /// It has the name of one of our tables and was made by somebody else.
    Foreign,
    /// It shows the table of another lake.
    OtherLake(String),
    /// It is ours, and the lake has no such table any more.
    Gone,
}

/// A difference between a table of the catalogue and what it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "what a variant says is how it is displayed")]
pub enum Change {
    ColumnAdded { name: String, kind: String },
    ColumnRemoved { name: String },
    ColumnType { name: String, was: String, is: String },
    Comments { columns: Vec<String> },
    ColumnOrder,
    Location { was: String, is: String },
    Description,
    Storage,
    Parameter { name: String },
}

/// What becomes of one wanted table.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, taken apart where it is made")]
pub enum Decision {
    /// It is as it should be.
    Right,
    /// Something is to be done.
    Do(Step),
    /// It is not ours to touch.
    Leave(Left),
}

impl Plan {
    /// Compares the tables of a lake with what its database holds; `None` where there is no database.
    pub fn new(lake: &str, wanted: &[GlueTable], found: Option<&[FoundTable]>) -> Self {
        let mut plan = Self { creates_database: found.is_none(), ..Self::default() };
        let found = found.unwrap_or_default();
        for table in wanted {
            match decide(table, found.iter().find(|found| found.table.name == table.name)) {
                Decision::Right => plan.right += 1,
                Decision::Do(step) => plan.steps.push(step),
                Decision::Leave(left) => plan.left.push(left),
            }
        }
        for FoundTable { table, .. } in found {
            let is_wanted = wanted.iter().any(|wanted| wanted.name == table.name);
            if !is_wanted && table.parameters.get(MARK).is_some_and(|of| of == lake) {
                plan.left.push(Left { table: table.name.clone(), why: Why::Gone });
            }
        }
        plan
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        !self.creates_database && self.steps.is_empty()
    }
}

/// Compares one table with what the catalogue holds under its name.
pub fn decide(wanted: &GlueTable, found: Option<&FoundTable>) -> Decision {
    let Some(FoundTable { table: found, version }) = found else {
        return Decision::Do(Step::Create(wanted.clone()));
    };
    let leave = |why| Decision::Leave(Left { table: wanted.name.clone(), why });
    match found.parameters.get(MARK) {
        None => return leave(Why::Foreign),
        Some(lake) if Some(lake) != wanted.parameters.get(MARK) => return leave(Why::OtherLake(lake.clone())),
        Some(_) => {}
    }
    let changes = changes(found, wanted);
    if changes.is_empty() {
        return Decision::Right;
    }
    let mut table = wanted.clone();
    for (name, value) in &found.parameters {
        table.parameters.entry(name.clone()).or_insert_with(|| value.clone());
    }
    Decision::Do(Step::Update { table, version: version.clone(), changes })
}

impl Step {
    /// The table it is about.
    pub fn table(&self) -> &GlueTable {
        match self {
            Self::Create(table) | Self::Update { table, .. } => table,
        }
    }
}

/// All columns by name, those of the partition among them.
fn columns(table: &GlueTable) -> BTreeMap<&str, &GlueColumn> {
    table.partition_keys.iter().chain(&table.storage.columns).map(|column| (&*column.name, column)).collect()
}

fn changes(found: &GlueTable, wanted: &GlueTable) -> Vec<Change> {
    let mut changes = Vec::new();
    let (was, is) = (columns(found), columns(wanted));
    // In the table's own order, so that a plan reads like the table.
    for column in wanted.partition_keys.iter().chain(&wanted.storage.columns) {
        let name = column.name.clone();
        match was.get(&*column.name) {
            None => changes.push(Change::ColumnAdded { name, kind: column.kind.clone() }),
            Some(old) if old.kind != column.kind => {
                changes.push(Change::ColumnType { name, was: old.kind.clone(), is: column.kind.clone() });
            }
            Some(_) => {}
        }
    }
    let removed = was.keys().filter(|name| !is.contains_key(*name));
    changes.extend(removed.map(|name| Change::ColumnRemoved { name: (*name).to_owned() }));
    let commented = is.iter().filter(|(name, column)| was.get(*name).is_some_and(|old| old.comment != column.comment));
    let commented: Vec<String> = commented.map(|(name, _)| (*name).to_owned()).collect();
    if !commented.is_empty() {
        changes.push(Change::Comments { columns: commented });
    }
    let names = |columns: &[GlueColumn]| columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
    let is_in_order = names(&found.partition_keys) == names(&wanted.partition_keys)
        && names(&found.storage.columns) == names(&wanted.storage.columns);
    if !is_in_order && was.keys().eq(is.keys()) {
        changes.push(Change::ColumnOrder);
    }
    if found.storage.location != wanted.storage.location {
        let (was, is) = (found.storage.location.clone(), wanted.storage.location.clone());
        changes.push(Change::Location { was, is });
    }
    if found.description != wanted.description {
        changes.push(Change::Description);
    }
    let format = |table: &GlueTable| {
        let storage = &table.storage;
        (storage.input_format.clone(), storage.output_format.clone(), storage.serde.clone(), table.table_type.clone())
    };
    if format(found) != format(wanted) {
        changes.push(Change::Storage);
    }
    let parameters = wanted.parameters.iter().filter(|(name, value)| found.parameters.get(*name) != Some(value));
    changes.extend(parameters.map(|(name, _)| Change::Parameter { name: name.clone() }));
    changes
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ColumnAdded { name, kind } => write!(f, "+ {name} {kind}"),
            Self::ColumnRemoved { name } => write!(f, "- {name}"),
            Self::ColumnType { name, was, is } => write!(f, "{name}: {was} is now {is}"),
            Self::Comments { columns } if columns.len() > 3 => write!(f, "comments of {} columns", columns.len()),
            Self::Comments { columns } => write!(f, "comment of {}", columns.join(", ")),
            Self::ColumnOrder => f.write_str("order of the columns"),
            Self::Location { was, is } => write!(f, "location: {was} is now {is}"),
            Self::Description => f.write_str("description"),
            Self::Storage => f.write_str("storage format"),
            Self::Parameter { name } => write!(f, "parameter {name}"),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("not made by meterlake"),
            Self::OtherLake(lake) => write!(f, "shows the lake {lake}"),
            Self::Gone => f.write_str("the lake has no such table any more"),
        }
    }
}
