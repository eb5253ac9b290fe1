//! Closed months, under `invoices/<YYYY-MM>/`. Evidence is written first, under a name that is the digest of its content; one
//! `closed.json`, created if absent, then names it and is the close. Whoever comes second reads what the first one wrote.
//! What is written here is never changed.

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;

use super::error::{Doing, LakeError};
use super::{Lake, create, layout, meta};

/// What closes a month.
const CLOSED: &str = "closed.json";

/// The documents of one month.
#[derive(Clone, Debug)]
pub struct MonthFolder {
    lake: Lake,
    folder: Path,
}

impl Lake {
    /// The documents of a month, named `2026-10`.
    pub fn month_folder(&self, month: &str) -> MonthFolder {
        MonthFolder { lake: self.clone(), folder: Path::from(layout::INVOICES).join(month) }
    }

    /// The months that have documents, by name, in order; whether one is closed its folder tells.
    pub async fn months_with_documents(&self) -> Result<Vec<String>, LakeError> {
        let root = Path::from(layout::INVOICES);
        let found = self.store().list_with_delimiter(Some(&root)).await.doing("list", &root)?;
        let names = found.common_prefixes.iter().filter_map(|folder| folder.filename());
        let mut months: Vec<String> = names.map(str::to_owned).collect();
        months.sort_unstable();
        Ok(months)
    }
}

impl MonthFolder {
    /// What closed the month; none: it is open.
    pub async fn closed(&self) -> Result<Option<Bytes>, LakeError> {
        self.read(CLOSED).await
    }

    /// Closes the month, unless it is closed otherwise: then `false`, and what is there stands.
    pub async fn close(&self, text: Vec<u8>) -> Result<bool, LakeError> {
        self.create(CLOSED, text).await
    }

    /// A document of the month; its name may have folders.
    pub async fn read(&self, name: &str) -> Result<Option<Bytes>, LakeError> {
        meta::read(self.lake.store(), &self.path(name)).await
    }

    /// Writes a document unless there is one of that name; `false` where there is another.
    pub async fn create(&self, name: &str, content: Vec<u8>) -> Result<bool, LakeError> {
        create::create(self.lake.store(), &self.path(name), content.into()).await
    }

    /// The names of the documents below a folder of the month, in order.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>, LakeError> {
        let below = self.path(folder);
        let found: Vec<_> = self.lake.store().list(Some(&below)).try_collect().await.doing("list", &below)?;
        let mut names: Vec<String> = found
            .iter()
            .filter_map(|meta| meta.location.prefix_match(&below))
            .map(|parts| parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/"))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Where a document is, relative to the lake.
    pub fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.folder.clone(), |path, part| path.join(part))
    }
}
