//! A table of the lake as Glue shall hold it: a Delta table in the shape that Athena, Trino and Spark agree on. Serialised, it is
//! the `TableInput` of Glue's API, which `aws glue create-table` takes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::GlueError;
use crate::lake::table_folder;
use crate::schema::{Column, ColumnType, Table};

/// The parameter by which a table of ours is known; its value is the lake.
pub const MARK: &str = "meterlake.lake";

/// Delta tables have no file format that Glue could name: readers go by the provider and open the log at `path`. These are the
/// names that Spark and Trino write in their place.
const INPUT_FORMAT: &str = "org.apache.hadoop.mapred.SequenceFileInputFormat";
const OUTPUT_FORMAT: &str = "org.apache.hadoop.hive.ql.io.HiveSequenceFileOutputFormat";
const SERDE: &str = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe";

/// Which lake shall be seen in which database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    database: String,
    lake: String,
}

/// A table of Glue, as far as it matters to readers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GlueTable {
    /// Its name.
    pub name: String,
    /// What its rows are.
    pub description: String,
    /// Whose the files are: `EXTERNAL_TABLE`.
    pub table_type: String,
    /// Properties; [`MARK`] among them where the table is ours.
    pub parameters: BTreeMap<String, String>,
    /// The columns whose values are in the paths.
    pub partition_keys: Vec<GlueColumn>,
    /// Where and how the rows are stored.
    #[serde(rename = "StorageDescriptor")]
    pub storage: Storage,
}

/// Where and how the rows of a table are stored.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Storage {
    /// The columns in the files.
    pub columns: Vec<GlueColumn>,
    /// Folder of the table, with a slash at its end.
    pub location: String,
    /// Class that reads files.
    pub input_format: String,
    /// Class that writes files.
    pub output_format: String,
    /// What takes rows apart.
    #[serde(rename = "SerdeInfo")]
    pub serde: Serde,
}

/// What takes rows apart.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Serde {
    /// Its class.
    #[serde(rename = "SerializationLibrary")]
    pub library: String,
    /// Its properties.
    pub parameters: BTreeMap<String, String>,
}

/// A column of a Glue table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GlueColumn {
    /// Its name.
    pub name: String,
    /// Its type, as Hive and Athena's DDL spell it.
    #[serde(rename = "Type")]
    pub kind: String,
    /// What it holds.
    pub comment: String,
}

impl Target {
    /// A database that shall show a lake, which must be an `s3://` address: Athena reads nothing else.
    pub fn new(database: &str, lake: &str) -> Result<Self, GlueError> {
        if !lake.starts_with("s3://") {
            return Err(GlueError::NotOnS3 { lake: lake.to_owned() });
        }
        Ok(Self { database: database.to_owned(), lake: lake.trim_end_matches('/').to_owned() })
    }

    /// The database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The lake.
    pub fn lake(&self) -> &str {
        &self.lake
    }

    /// Folder of a table, with a slash at its end.
    pub fn location(&self, table: Table) -> String {
        format!("{}/{}/", self.lake, table_folder(table))
    }

    /// A table as Glue shall hold it.
    pub fn table(&self, table: Table) -> GlueTable {
        let location = self.location(table);
        let (partition_keys, columns) = table
            .columns()
            .iter()
            .partition::<Vec<&Column>, _>(|column| table.is_partitioned() && column.name == "day");
        let parameters = [
            ("EXTERNAL", "TRUE"),
            (MARK, &*self.lake),
            // Trino, Spark and Athena look at the one, Athena's own DDL writes the other.
            ("spark.sql.sources.provider", "delta"),
            ("table_type", "DELTA"),
        ];
        GlueTable {
            name: table.name().to_owned(),
            description: table.doc().to_owned(),
            table_type: "EXTERNAL_TABLE".to_owned(),
            parameters: texts(&parameters),
            partition_keys: partition_keys.into_iter().map(column).collect(),
            storage: Storage {
                columns: columns.into_iter().map(column).collect(),
                input_format: INPUT_FORMAT.to_owned(),
                output_format: OUTPUT_FORMAT.to_owned(),
                serde: Serde {
                    library: SERDE.to_owned(),
                    parameters: texts(&[("path", &location), ("serialization.format", "1")]),
                },
                location,
            },
        }
    }
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn column(column: &Column) -> GlueColumn {
    GlueColumn { name: column.name.to_owned(), kind: type_name(column.kind).to_owned(), comment: column.doc.to_owned() }
}

/// A type as Glue spells it.
const fn type_name(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Text => "string",
        ColumnType::Boolean => "boolean",
        ColumnType::SmallInt => "smallint",
        ColumnType::Int => "int",
        ColumnType::BigInt => "bigint",
        ColumnType::Date => "date",
        ColumnType::Timestamp => "timestamp",
        ColumnType::Price => "decimal(18,9)",
        ColumnType::Amount => "decimal(38,9)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_such_as_glue_takes() {
        let target = Target::new("meterlake", "s3://LAKE/").unwrap();
        let is_one_line = |text: &str, bytes_max: usize| text.len() <= bytes_max && !text.contains(char::is_control);
        for table in Table::ALL {
            let table = target.table(*table);
            assert!(is_one_line(&table.description, 2048) && !table.description.is_empty(), "{}", table.name);
            for column in table.partition_keys.iter().chain(&table.storage.columns) {
                assert!(is_one_line(&column.comment, 255), "{}.{} is too long for Glue", table.name, column.name);
            }
        }
    }

    #[test]
    fn a_lake_in_a_folder_cannot_be_shown() {
        assert!(matches!(Target::new("meterlake", "/srv/lake"), Err(GlueError::NotOnS3 { .. })));
    }
}
