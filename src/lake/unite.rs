//! The union: the events a unit holds and the records newly staged for it become the unit's new file. An event's identity
//! is (source, request id, fingerprint); of equal ones the newest decoder's stays, then the least (object, position). So
//! the file depends on which records there are, never on how often or in which order they came.
//!
//! Two passes, in memory bounded by the unit's compressed size plus 48 bytes a row: the first decides from the identity
//! columns which rows stay, the second merges the sorted runs. Sources whose hours do not fit are split into parts.

use std::collections::HashSet;

use tokio::runtime::Handle;

use super::Lake;
use super::commit::NewFile;
use super::delta::LakeTable;
use super::error::{Doing, LakeError};
use super::files::table_path;
use super::identity::{self, Identities};
use super::merge::{Merge, Run, RunFile};
use super::parquet::EncodedFile;
use super::read::{self, OpenFile};
use super::slot::FileSlot;
use crate::base::UtcHour;
use crate::schema::Table;

/// Rows decoded at once in the first pass.
const IDENTITY_ROWS: usize = 65_536;
/// Staged files whose footers are kept between the passes.
const OPEN_FILES_MAX: usize = 256;

/// Most parts of a unit.
pub const SPLIT_MAX: u32 = 256;

/// The events of one source in one UTC hour, or one part of them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Unit {
    /// Name of the configured source.
    pub source: String,
    /// The hour.
    pub hour: UtcHour,
    /// Which part, below `split`.
    pub part: u32,
    /// Into how many parts the source's units are split: a power of two, fixed for a source.
    pub split: u32,
}

/// A staged file to be united with a unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StagedInput {
    /// The file, relative to the lake.
    pub path: String,
    /// The landing object it was made from.
    pub object: String,
    /// The rows its receipt says it has.
    pub rows: u64,
}

/// How a union treats what it finds.
#[derive(Clone, Default, Debug)]
pub struct UniteRules {
    /// The source's request ids cannot be chosen by callers: several fingerprints under one id are a conflict.
    pub unforgeable: bool,
    /// Forget what the unit holds: it is made anew from the staged files.
    pub rebuild: bool,
    /// Keys of landing objects whose events leave the unit. Records that another object delivered too must be among the
    /// staged files, because the unit keeps each event under one object only.
    pub drop: HashSet<String>,
}

/// The outcome of a union.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct United {
    /// The unit's new file; none where no events are left.
    pub new: Option<NewFile>,
    /// Rows of the unit and the staged files, less those dropped: `rows_out + duplicates`.
    pub rows_in: u64,
    /// Events in the new file.
    pub rows_out: u64,
    /// Rows whose identity another row had.
    pub duplicates: u64,
    /// Events held because their id is not theirs alone; part of `rows_out`.
    pub conflicts: u64,
    /// Rows that left the unit with their object.
    pub dropped: u64,
}

impl Unit {
    /// Where its events lie in their table.
    pub fn slot(&self) -> FileSlot {
        FileSlot::unit(&self.source, self.hour, self.part)
    }
}

/// Unites what `at` holds of a unit with staged files, and writes the unit's new file; it is seen once committed to `at`.
pub async fn unite(
    at: &LakeTable,
    unit: &Unit,
    staged: &[StagedInput],
    rules: &UniteRules,
) -> Result<United, LakeError> {
    if !unit.split.is_power_of_two() || unit.split > SPLIT_MAX || unit.part >= unit.split {
        return Err(LakeError::corrupt(unit.slot(), format!("there is no part {} of {}", unit.part, unit.split)));
    }
    // Parts beyond these were made under a larger split; they would go on counting what is united here.
    let beyond = (unit.split..SPLIT_MAX).map(|part| FileSlot { part, ..unit.slot() });
    if let Some(file) = beyond.filter_map(|slot| at.current(&slot)).next() {
        return Err(LakeError::corrupt(
            &file.path,
            format!("a source's split may not change, and now is {}", unit.split),
        ));
    }
    let current = if rules.rebuild { None } else { at.current(&unit.slot()) };
    let work = Work {
        handle: Handle::current(),
        lake: at.lake().clone(),
        table: at.table(),
        unit: unit.clone(),
        current: current.map(|file| (table_path(at.table(), &file.path).to_string(), file.rows)),
        staged: staged.to_vec(),
        rules: rules.clone(),
    };
    let done = tokio::task::spawn_blocking(move || work.run()).await;
    let (mut united, file) = done.map_err(|source| LakeError::Stopped { path: unit.slot().to_string(), source })??;
    if let Some(file) = file {
        united.new = Some(at.lake().put_file(at, unit.slot(), file).await?);
    }
    Ok(united)
}

/// A union as a blocking thread does it.
struct Work {
    handle: Handle,
    lake: Lake,
    table: Table,
    unit: Unit,
    current: Option<(String, u64)>,
    staged: Vec<StagedInput>,
    rules: UniteRules,
}

impl Work {
    /// Does the work; a staged file that is not there any more is told apart, for it can be made again.
    fn run(mut self) -> Result<(United, Option<EncodedFile>), LakeError> {
        // The order of inputs decides between rows of one provenance, so it may not be the caller's.
        self.staged.sort_by(|a, b| a.path.cmp(&b.path));
        let done = self.united();
        done.map_err(|error| {
            self.staged.iter().fold(error, |error, input| error.or_missing(&input.path, &input.object))
        })
    }

    fn united(&self) -> Result<(United, Option<EncodedFile>), LakeError> {
        let mut identities = Identities::new(self.lake.fingerprint_key(), self.unit.part, self.unit.split);
        let mut runs = Vec::new();
        let mut first_row = 0;
        if let Some((path, rows)) = &self.current {
            let file = self.open(path, *rows)?;
            self.identify(&mut identities, &file, path)?;
            runs.push(Run { groups: 0..file.groups(), file: RunFile::Open(file), first_row: Some(0) });
            first_row += *rows as usize;
        }
        let dropped = match (identities.ignored(), identities.withdraw(&self.rules.drop)) {
            (0, dropped) => dropped,
            _ => {
                let reason = "it has rows of another part: a source's split may not change";
                return Err(LakeError::corrupt(self.unit.slot(), reason));
            }
        };
        for (number, input) in self.staged.iter().enumerate() {
            let file = self.open(&input.path, input.rows)?;
            self.identify(&mut identities, &file, &input.path)?;
            for group in 0..file.groups() {
                // Thousands of small files are opened again when their turn comes, rather than all held.
                let run =
                    if number < OPEN_FILES_MAX { RunFile::Open(file.clone()) } else { RunFile::At(input.path.clone()) };
                runs.push(Run { groups: group..group + 1, file: run, first_row: Some(first_row) });
                first_row += file.group_rows(group);
            }
        }
        let verdicts = identities.decide(self.rules.unforgeable);
        let merge = Merge { handle: &self.handle, lake: &self.lake, table: self.table, verdicts: &verdicts.rows };
        let file = merge.file(runs)?;
        let expected = verdicts.taken - verdicts.duplicates;
        if file.rows != expected {
            return Err(LakeError::Lost {
                what: format!("union of `{}`", self.unit.slot()),
                expected,
                found: file.rows,
            });
        }
        let united = United {
            new: None,
            rows_in: verdicts.taken,
            rows_out: file.rows,
            duplicates: verdicts.duplicates,
            conflicts: verdicts.conflicts,
            dropped,
        };
        Ok((united, (file.rows > 0).then_some(file)))
    }

    fn open(&self, path: &str, rows: u64) -> Result<OpenFile, LakeError> {
        let file = read::open(&self.handle, &self.lake, self.table, path)?;
        if file.rows() != rows {
            return Err(LakeError::Lost { what: format!("rows of `{path}`"), expected: rows, found: file.rows() });
        }
        Ok(file)
    }

    fn identify(&self, identities: &mut Identities, file: &OpenFile, path: &str) -> Result<(), LakeError> {
        let schema = read::projected(&self.table.row_schema(), Some(identity::COLUMNS)).doing("read", path)?;
        for group in 0..file.groups() {
            for batch in file.group(&self.handle, group, &schema, IDENTITY_ROWS)? {
                identities.add(&batch?, path)?;
            }
        }
        Ok(())
    }
}
