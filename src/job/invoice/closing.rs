//! Closed months as they lie in the lake: `closed.json` and the evidence it names. Reading checks every document against the digest
//! that the close wrote down.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::base::{Digest, Digester, Micros, Nanos};
use crate::billing::BillingMonth;
use crate::billing::invoice::Invoice;
use crate::lake::{Lake, MonthFolder};

use super::super::JobError;
use super::pinned::{Pinned, fault};

/// The invoices of a close, one JSON object a line.
pub(super) const INVOICES: &str = "invoices.ndjson";
/// The objects whose records were billed.
pub(super) const OBJECTS: &str = "objects.parquet";
/// Below it the later agreements on a closed month.
const REPRICED: &str = "repriced";

/// `closed.json`: the close itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Closing {
    /// Of this document.
    pub format: u32,
    /// The month.
    pub month: BillingMonth,
    /// When it was closed.
    pub closed_at: Micros,
    /// Invoices and credit notes issued.
    pub invoices: u64,
    /// Their totals, by currency.
    pub totals: BTreeMap<String, Nanos>,
    /// What stood against closing and was accepted, with the reason given.
    pub accepted: Option<Accepted>,
    /// Customers left out; a later close bills them.
    pub held_customers: Vec<String>,
    /// Version of each table that was read.
    pub table_versions: BTreeMap<String, u64>,
    /// Folder of the evidence, named after its content.
    pub evidence: String,
    /// Digest of each document in it.
    pub documents: BTreeMap<String, String>,
    /// Months whose charges were then as billed, each with the digest of what they came from: nothing is to be corrected
    /// while that is the same.
    pub settled: BTreeMap<BillingMonth, String>,
}

/// What was accepted at a close.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Accepted {
    /// Why.
    pub reason: String,
    /// What stood against it.
    pub against: Vec<String>,
}

/// `repriced/000001.json`: somebody agreed that a closed month is priced otherwise from now on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Repriced {
    /// When.
    pub at: Micros,
    /// Why.
    pub reason: String,
    /// Folder of the terms, named after its content.
    pub evidence: String,
    /// Digest of each document in it.
    pub documents: BTreeMap<String, String>,
}

/// A closed month.
#[derive(Clone, Debug)]
pub struct Closed {
    /// The close.
    pub closing: Closing,
    folder: MonthFolder,
}

/// Every closed month, in order.
pub async fn closed_months(lake: &Lake) -> Result<Vec<Closed>, JobError> {
    let mut closed = Vec::new();
    for name in lake.months_with_documents().await? {
        let month: BillingMonth = name.parse().map_err(|error| fault(&name, &error))?;
        closed.extend(closed_month(lake, month).await?);
    }
    Ok(closed)
}

/// A month, if it is closed.
pub async fn closed_month(lake: &Lake, month: BillingMonth) -> Result<Option<Closed>, JobError> {
    let folder = lake.month_folder(&month.to_string());
    let Some(text) = folder.closed().await? else { return Ok(None) };
    let closing = serde_json::from_slice(&text).map_err(|error| fault(folder.path("closed.json").as_ref(), &error))?;
    Ok(Some(Closed { closing, folder }))
}

impl Closed {
    /// The month.
    pub fn month(&self) -> BillingMonth {
        self.closing.month
    }

    /// Its folder in the lake.
    pub fn folder(&self) -> &MonthFolder {
        &self.folder
    }

    /// What the month is priced under now: the terms of its close, or the latest agreed since.
    pub async fn pinned(&self) -> Result<Pinned, JobError> {
        let (evidence, documents) = match self.repriced().await?.pop() {
            Some(repriced) => (repriced.evidence, repriced.documents),
            None => (self.closing.evidence.clone(), self.closing.documents.clone()),
        };
        Pinned::read(async |name| document(&self.folder, &evidence, &documents, &name).await).await
    }

    /// What was agreed on since the close, in order.
    pub async fn repriced(&self) -> Result<Vec<Repriced>, JobError> {
        let mut all = Vec::new();
        for name in self.folder.list(REPRICED).await? {
            let path = format!("{REPRICED}/{name}");
            let text = self.folder.read(&path).await?.ok_or_else(|| missing(&self.folder, &path))?;
            all.push(serde_json::from_slice(&text).map_err(|error| fault(&path, &error))?);
        }
        Ok(all)
    }

    /// Notes an agreement; `false` where another came first.
    pub(super) async fn reprice(&self, number: usize, repriced: &Repriced) -> Result<bool, JobError> {
        let path = format!("{REPRICED}/{number:06}.json");
        let text = to_json(&path, repriced)?;
        Ok(self.folder.create(&path, text).await?)
    }

    /// Its invoices, as issued.
    pub async fn invoices(&self) -> Result<Vec<Invoice>, JobError> {
        let text = self.document(INVOICES).await?;
        serde_json::Deserializer::from_slice(&text)
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(|error| fault(INVOICES, &error))
    }

    /// A document of its evidence.
    pub async fn document(&self, name: &str) -> Result<Bytes, JobError> {
        document(&self.folder, &self.closing.evidence, &self.closing.documents, name).await
    }

    /// Whether its evidence has a document.
    pub fn has(&self, name: &str) -> bool {
        self.closing.documents.contains_key(name)
    }
}

/// The charges of a month within the evidence of a close: its own, or of a month it corrects.
pub(super) fn charges_of(month: BillingMonth) -> String {
    format!("charges/{month}.parquet")
}

/// Writes documents under a folder that is named after their content, and gives its name and their digests.
pub(super) async fn write_evidence(
    folder: &MonthFolder,
    documents: BTreeMap<String, Vec<u8>>,
) -> Result<(String, BTreeMap<String, String>), JobError> {
    let digests: BTreeMap<String, String> =
        documents.iter().map(|(name, content)| (name.clone(), digest(content))).collect();
    let all: Vec<String> = digests.iter().map(|(name, digest)| format!("{name} {digest}")).collect();
    let all = Digest::of(all.iter().map(String::as_str));
    let evidence = format!("evidence/{}", all.short());
    for (name, content) in documents {
        // The same name holds the same content, so what is there already is as good.
        folder.create(&format!("{evidence}/{name}"), content).await?;
    }
    Ok((evidence, digests))
}

fn digest(content: &[u8]) -> String {
    let mut digester = Digester::default();
    digester.part(content);
    digester.finish().to_string()
}

async fn document(
    folder: &MonthFolder,
    evidence: &str,
    digests: &BTreeMap<String, String>,
    name: &str,
) -> Result<Bytes, JobError> {
    let path = format!("{evidence}/{name}");
    let content = folder.read(&path).await?.ok_or_else(|| missing(folder, &path))?;
    match digests.get(name) {
        Some(wanted) if *wanted == digest(&content) => Ok(content),
        _ => Err(JobError::Closing {
            path: folder.path(&path).to_string(),
            problem: "its content is not what the close wrote down".to_owned(),
        }),
    }
}

fn missing(folder: &MonthFolder, path: &str) -> JobError {
    JobError::Closing { path: folder.path(path).to_string(), problem: "it is missing".to_owned() }
}

/// A document as it is written.
pub(super) fn to_json(path: &str, value: &impl Serialize) -> Result<Vec<u8>, JobError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| fault(path, &error))?;
    text.push(b'\n');
    Ok(text)
}
