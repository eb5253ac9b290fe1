//! What can go wrong in the lake, and what a caller can do about it. Each error names the file, table or object it is about.

use deltalake::DeltaTableError;

/// An error of the lake.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LakeError {
    /// The store refused or could not be reached.
    #[error("could not {action} `{path}` in the lake")]
    Store {
        /// What was being done.
        action: &'static str,
        /// To which file, relative to the lake.
        path: String,
        /// What the store said.
        #[source]
        source: object_store::Error,
    },
    /// A Delta table could not be read or written.
    #[error("could not {action} table `{table}`")]
    Delta {
        /// What was being done.
        action: &'static str,
        /// To which table.
        table: &'static str,
        /// What the library said.
        #[source]
        source: Box<DeltaTableError>,
    },
    /// A data file could not be encoded or decoded.
    #[error("could not {action} the Parquet file `{path}`")]
    Parquet {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: String,
        /// What the library said.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// Columns could not be sorted, joined or cast.
    #[error("could not {action} rows of `{path}`")]
    Arrow {
        /// What was being done.
        action: &'static str,
        /// For which file or table.
        path: String,
        /// What the library said.
        #[source]
        source: arrow::error::ArrowError,
    },
    /// A file is not what this program writes.
    #[error("`{path}` is not what meterlake writes there: {reason}")]
    Corrupt {
        /// The file, relative to the lake.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The lake was written by a newer version.
    #[error("the lake has format {found} but this version knows formats up to {known}; use a newer meterlake")]
    NewerFormat {
        /// Format of the lake.
        found: u32,
        /// Newest format known.
        known: u32,
    },
    /// The store's root and the lake's URL do not speak of one place.
    #[error("the lake's url `{url}` does not lie at `{root}` of its store")]
    RootMismatch {
        /// The URL given.
        url: String,
        /// The path given.
        root: String,
    },
    /// None of the configured secrets made the lake's key references.
    #[error(
        "the key secret is not one this lake knows: it would turn every key into a new one; configure the secret used before, after the new one to rotate it"
    )]
    UnknownSecret,
    /// A source's events would lie elsewhere than before.
    #[error(
        "source `{name}` is in the lake with {known} and configured with {now}; these stay as they are for a lake: give it another name"
    )]
    SourceChanged {
        /// Name of the source.
        name: String,
        /// What the lake remembers.
        known: String,
        /// What is configured.
        now: String,
    },
    /// The configuration is an old one.
    #[error(
        "this configuration is generation {generation} of the lake, and generation {newest} was used since; use the newest, or say that the old one is wanted again"
    )]
    ConfigSuperseded {
        /// Its number.
        generation: u32,
        /// The number of the newest.
        newest: u32,
    },
    /// Another build committed first; compute again from a fresh snapshot.
    #[error("another build changed table `{table}` meanwhile")]
    Conflict {
        /// The table.
        table: &'static str,
    },
    /// A staged file that a receipt names is gone; convert the object again.
    #[error("the staged file `{path}` of object `{object}` is missing; convert the object again")]
    StagedMissing {
        /// The staged file, relative to the lake.
        path: String,
        /// The landing object.
        object: String,
    },
    /// An object spreads over more hours than allowed.
    #[error("object `{object}` has events of more than {hours_max} different hours (`hours_max` under [limits])")]
    TooManyHours {
        /// The landing object.
        object: String,
        /// The limit.
        hours_max: usize,
    },
    /// Rows went missing or appeared: a count does not match.
    #[error("{what}: expected {expected} rows but found {found}")]
    Lost {
        /// What was counted.
        what: String,
        /// Rows there should be.
        expected: u64,
        /// Rows there are.
        found: u64,
    },
    /// Work on another thread was cut off.
    #[error("the work on `{path}` was cut off")]
    Stopped {
        /// The file worked on.
        path: String,
        /// Why.
        #[source]
        source: tokio::task::JoinError,
    },
}

/// What a caller can do about an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LakeErrorKind {
    /// Compute again from a fresh snapshot.
    Conflict,
    /// Convert the object again.
    StagedMissing,
    /// The same may work later.
    Store,
    /// The configuration or the program's version has to change.
    Settings,
    /// The landing object is at fault.
    Object,
    /// The lake's content is not as it must be; look before going on.
    Damaged,
}

impl LakeError {
    /// What a caller can do about it.
    pub fn kind(&self) -> LakeErrorKind {
        match self {
            Self::Conflict { .. } => LakeErrorKind::Conflict,
            Self::StagedMissing { .. } => LakeErrorKind::StagedMissing,
            Self::Store { .. } | Self::Delta { .. } | Self::Stopped { .. } => LakeErrorKind::Store,
            Self::NewerFormat { .. }
            | Self::RootMismatch { .. }
            | Self::UnknownSecret
            | Self::SourceChanged { .. }
            | Self::ConfigSuperseded { .. } => LakeErrorKind::Settings,
            Self::TooManyHours { .. } => LakeErrorKind::Object,
            Self::Parquet { .. } | Self::Arrow { .. } | Self::Corrupt { .. } | Self::Lost { .. } => {
                LakeErrorKind::Damaged
            }
        }
    }

    /// The same error, or, where it says that this staged file is not there, [`Self::StagedMissing`].
    pub(crate) fn or_missing(self, staged: &str, object: &str) -> Self {
        match self {
            Self::Store { path, source: object_store::Error::NotFound { .. }, .. } if path == staged => {
                Self::StagedMissing { path, object: object.to_owned() }
            }
            other => other,
        }
    }

    pub(crate) fn corrupt(path: impl ToString, reason: impl ToString) -> Self {
        Self::Corrupt { path: path.to_string(), reason: reason.to_string() }
    }
}

/// Adds what was being done, and to what, to a library's error.
pub(crate) trait Doing<T> {
    fn doing(self, action: &'static str, to: &(impl ToString + ?Sized)) -> Result<T, LakeError>;
}

impl<T> Doing<T> for Result<T, object_store::Error> {
    fn doing(self, action: &'static str, to: &(impl ToString + ?Sized)) -> Result<T, LakeError> {
        self.map_err(|source| LakeError::Store { action, path: to.to_string(), source })
    }
}

impl<T> Doing<T> for Result<T, parquet::errors::ParquetError> {
    fn doing(self, action: &'static str, to: &(impl ToString + ?Sized)) -> Result<T, LakeError> {
        self.map_err(|source| LakeError::Parquet { action, path: to.to_string(), source })
    }
}

impl<T> Doing<T> for Result<T, arrow::error::ArrowError> {
    fn doing(self, action: &'static str, to: &(impl ToString + ?Sized)) -> Result<T, LakeError> {
        self.map_err(|source| LakeError::Arrow { action, path: to.to_string(), source })
    }
}
