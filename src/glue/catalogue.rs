//! What a catalogue must be able to do. One database of one catalogue is behind it.

use async_trait::async_trait;

use super::{FoundTable, GlueTable};

/// Why a catalogue cannot be read or filled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GlueError {
    /// Athena reads from S3 only.
    #[error("the lake is {lake}; Glue and Athena see only tables on s3://")]
    NotOnS3 {
        /// Where the lake is.
        lake: String,
    },
    /// Somebody else made, changed or removed the table since it was looked at.
    #[error("the Glue table {table} keeps being changed by somebody else")]
    Changed {
        /// The table.
        table: String,
    },
    /// The service refused or could not be reached.
    #[error("Glue: cannot {action}")]
    Service {
        /// What was asked of it.
        action: String,
        /// Its answer.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A database of a catalogue.
#[async_trait]
pub trait Glue: Send + Sync {
    /// Whether the database is there.
    async fn has_database(&self) -> Result<bool, GlueError>;
    /// Makes the database; one that somebody made meanwhile is as good.
    async fn create_database(&self, description: &str) -> Result<(), GlueError>;
    /// All tables of the database, other people's too; none where there is no database.
    async fn tables(&self) -> Result<Vec<FoundTable>, GlueError>;
    /// One table, where it is there.
    async fn table(&self, name: &str) -> Result<Option<FoundTable>, GlueError>;
    /// Makes a table. [`GlueError::Changed`] where one of that name is there.
    async fn create(&self, table: &GlueTable) -> Result<(), GlueError>;
    /// Replaces a table that is still what `version` says. [`GlueError::Changed`] where it is not.
    async fn update(&self, table: &GlueTable, version: Option<&str>) -> Result<(), GlueError>;
}
