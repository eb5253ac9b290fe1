//! The same tables as statements to run in Athena. For a Delta table Athena takes its place and its kind and nothing else: it reads columns and
//! partitions from the table's own log. So comments and descriptions come only with the definitions.

use serde_json::{Value, json};

use super::Target;
use crate::schema::Table;

/// What a new database is described as.
const DATABASE: &str = "Usage, charges and the log records behind them.";

impl Target {
    /// What a new database is described as.
    pub fn description(&self) -> &'static str {
        DATABASE
    }

    /// The statement that makes the database where there is none.
    pub fn database_ddl(&self) -> String {
        format!("CREATE DATABASE IF NOT EXISTS {}\nCOMMENT '{}';\n", self.database(), DATABASE)
    }

    /// The statement that declares a table.
    pub fn table_ddl(&self, table: Table) -> String {
        format!(
            "CREATE EXTERNAL TABLE {}.{}\nLOCATION '{}'\nTBLPROPERTIES ('table_type' = 'DELTA');\n",
            self.database(),
            table.name(),
            // Within a literal a quote is written twice.
            self.location(table).replace('\'', "''"),
        )
    }

    /// The `DatabaseInput` of Glue's API.
    pub fn database_input(&self) -> Value {
        json!({"Name": self.database(), "Description": DATABASE})
    }
}
