//! What the configured sources make of the same objects: which would take each, and what becomes of the records under its
//! settings. The same decoder, nothing written.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use crate::cli::open;
use crate::cli::settings::Settings;
use crate::decode::doctor::{Specimen, Tally};
use crate::job::Source;
use crate::job::doctor::{Address, Sample};
use crate::source::Location;

/// What the sources of a configuration do.
pub(super) struct Configured {
    /// The configuration.
    pub(super) file: String,
    /// Each source that takes some of the objects.
    pub(super) taken: Vec<Taken>,
    /// Objects that no source takes, and the source that reads most of their records, were they in its location.
    pub(super) untaken: Vec<String>,
    pub(super) would_read: Option<(String, Tally)>,
}

/// What one source does.
pub(super) struct Taken {
    pub(super) source: String,
    pub(super) objects: usize,
    pub(super) tally: Tally,
}

impl Configured {
    pub(super) fn of(settings: &Settings, samples: &[Sample], specimens: &[Specimen]) -> Result<Self> {
        let sources = open::sources(settings, [0; 16])?;
        let addresses: Vec<&Address> = samples.iter().flat_map(|sample| &sample.addresses).collect();
        let mut by_source: BTreeMap<usize, Vec<&Specimen>> = BTreeMap::new();
        let mut untaken = Vec::new();
        for (address, specimen) in addresses.into_iter().zip(specimens) {
            let takers: Vec<usize> = (0..sources.len()).filter(|&at| lies_in(address, &sources[at].location)).collect();
            if takers.is_empty() {
                untaken.push(specimen);
            }
            takers.into_iter().for_each(|at| by_source.entry(at).or_default().push(specimen));
        }
        let taken = by_source.into_iter().map(|(at, specimens)| Taken {
            source: sources[at].name.clone(),
            objects: specimens.len(),
            tally: Tally::of(&sources[at].plan, specimens),
        });
        Ok(Self {
            file: settings.file.display().to_string(),
            taken: taken.collect(),
            would_read: best(&sources, &untaken),
            untaken: untaken.into_iter().map(|specimen| specimen.name.clone()).collect(),
        })
    }

    pub(super) fn json(&self) -> Value {
        let tally = |tally: &Tally| super::json_of_tally(tally);
        let taken = self.taken.iter();
        let taken = taken.map(|t| json!({"source": t.source, "objects": t.objects, "tally": tally(&t.tally)}));
        json!({
            "file": self.file,
            "taken": taken.collect::<Vec<_>>(),
            "untaken": self.untaken,
            "would_read": self.would_read.as_ref().map(|(source, t)| json!({"source": source, "tally": tally(t)})),
        })
    }
}

fn lies_in(address: &Address, location: &Location) -> bool {
    let whole = |path: &Path| path.canonicalize().ok();
    match (address, location) {
        (Address::File(file), Location::Folder(folder)) => {
            whole(file).zip(whole(folder)).is_some_and(|(file, folder)| file.starts_with(folder))
        }
        (Address::Object { bucket, key }, location) => location.relative(bucket, key).is_some(),
        (Address::File(_), Location::Bucket { .. }) => false,
    }
}

/// The source that makes events of most of the records.
fn best(sources: &[Source], specimens: &[&Specimen]) -> Option<(String, Tally)> {
    if specimens.is_empty() {
        return None;
    }
    let tried = sources.iter().map(|source| (source.name.clone(), Tally::of(&source.plan, specimens.iter().copied())));
    // Of equals the first configured.
    tried.filter(|(_, tally)| tally.counts.events > 0).rev().max_by_key(|(_, tally)| tally.counts.events)
}
