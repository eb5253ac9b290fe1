//! `meterlake.toml` and the files it names, read into [`Settings`] and checked whole before anything starts. Every
//! mistake is told with file and line, all of them at once. Relative paths are relative to the file. Secrets are never
//! in the file, only where to find them, and never in a message.

mod aws;
mod billing;
mod canonical;
mod counts;
mod invoice;
mod place;
mod secrets;
mod sections;
mod sources;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::base::Digest;
use crate::base::document::{Document, Section};
use crate::base::problem::Problems;
use crate::billing::{Billing, BillingZone};
use crate::decode::{Limits, Privacy, SourceSpec};
use crate::model::Meter;
use crate::source::CountMetric;

pub use aws::AwsSettings;

/// What a configuration means.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The file it was read from, as given.
    pub file: PathBuf,
    /// The lake: an absolute folder or `s3://bucket/prefix`.
    pub lake: String,
    /// The sources, in the order of the file.
    pub sources: Vec<SourceSettings>,
    /// The meters, in the order of the file; checked.
    pub meters: Vec<Meter>,
    /// Customers, keys and rates; none: there is usage per key and no charge.
    pub billing: Option<Billing>,
    /// What is hashed, cut or dropped; the secrets are empty where no source needs one.
    pub privacy: Privacy,
    /// When and how tables are built.
    pub build: BuildSettings,
    /// Bounds on what one object may make us hold or do.
    pub limits: Limits,
    /// Share of a source's records that may be unreadable before a run needs a look, in percent.
    pub rejects_max_percent: u32,
    /// How long layers are kept.
    pub retention: Retention,
    /// Services of AWS that show what the lake holds.
    pub aws: AwsSettings,
    /// Digest of [`Self::canonical`].
    pub text_digest: Digest,
    /// Everything that matters to results, in one spelling whatever the files' formatting, comments and order; neither
    /// secrets nor paths.
    pub canonical: String,
    /// What is allowed but looks like a mistake.
    pub warnings: Vec<String>,
}

/// One `[[source]]`.
#[derive(Clone, Debug)]
pub struct SourceSettings {
    /// How its records are read.
    pub spec: SourceSpec,
    /// Where its objects land: an absolute folder or `s3://bucket/prefix`.
    pub location: String,
    /// It always has traffic, so an empty hour is a gap.
    pub heartbeat: bool,
    /// Who else counts its requests: what is counted there adds up to them.
    pub counted: Vec<CountMetric>,
    /// How many of a thousand requests counted elsewhere may be missing in an hour before it is a gap.
    pub shortfall_max_per_mille: u32,
    /// Parts each of its hours is built in; a power of two, fixed for a lake.
    pub split: u32,
    /// Where it stands in the file.
    pub line: u32,
}

/// `[build]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BuildSettings {
    /// Units built at once; none: as many as there are cores.
    pub parallel: Option<usize>,
}

/// `[retention]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    /// Days staged files are kept.
    pub staged_days: u32,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// There is no such file.
    #[error("there is no `{}`; `meterlake init` writes one, `--config` names another", .0.display())]
    Missing(PathBuf),
    /// The file cannot be read.
    #[error("cannot read `{}`", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The files have mistakes.
    #[error("{0}")]
    Problems(Problems),
}

/// What a reader of the file needs besides its section.
pub(crate) struct Around<'a> {
    /// The folder or `s3://bucket/prefix` that relative paths are relative to, as given.
    base: &'a Path,
    outside: &'a dyn Outside,
}

/// What the configuration reaches for besides local files.
pub trait Outside {
    /// An environment variable.
    fn variable(&self, name: &str) -> Option<String>;
    /// The object at `s3://bucket/key`.
    fn object(&self, url: &str) -> io::Result<Vec<u8>>;
    /// A secret of AWS: `secretsmanager:ID` or `ssm:NAME`.
    fn secret(&self, reference: &str) -> io::Result<Vec<u8>>;
}

/// Environment variables, and nothing of AWS.
struct Variables<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Outside for Variables<'_> {
    fn variable(&self, name: &str) -> Option<String> {
        (self.0)(name)
    }

    fn object(&self, url: &str) -> io::Result<Vec<u8>> {
        Err(io::Error::new(io::ErrorKind::Unsupported, format!("{url} cannot be read here")))
    }

    fn secret(&self, reference: &str) -> io::Result<Vec<u8>> {
        Err(io::Error::new(io::ErrorKind::Unsupported, format!("{reference} cannot be read here")))
    }
}

impl Around<'_> {
    /// A path of the configuration as it is found: an `s3://` address, or a path of the file system.
    fn resolved(&self, text: &str) -> String {
        if text.starts_with("s3://") {
            return text.to_owned();
        }
        match self.base.to_str().filter(|base| base.starts_with("s3:/")) {
            // A path keeps no double slash.
            Some(base) => format!("s3://{}/{text}", base.trim_start_matches("s3:").trim_matches('/')),
            None => self.base.join(text).display().to_string(),
        }
    }

    /// The bytes of a file that the configuration names.
    fn read(&self, text: &str) -> (String, io::Result<Vec<u8>>) {
        let name = self.resolved(text);
        let bytes = read_any(&name, self.outside);
        (name, bytes)
    }
}

fn read_any(name: &str, outside: &dyn Outside) -> io::Result<Vec<u8>> {
    if name.starts_with("s3://") { outside.object(name) } else { fs::read(name) }
}

const ROOT_KEYS: &[&str] =
    &["lake", "billing", "seller", "invoice", "privacy", "source", "meter", "limits", "build", "retention", "aws"];

impl Settings {
    /// Reads a configuration and the files it names, all of them local. `env` looks up an environment variable.
    pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        Self::load_from(path, &Variables(env))
    }

    /// Reads a configuration, a local file or `s3://bucket/key`, and the files it names.
    pub fn load_from(path: &Path, outside: &dyn Outside) -> Result<Self, SettingsError> {
        let name = path.display().to_string();
        let text = read_any(&name, outside).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => SettingsError::Missing(path.to_owned()),
            _ => SettingsError::Unreadable { file: path.to_owned(), source },
        })?;
        let Ok(text) = String::from_utf8(text) else {
            let mut problems = Problems::default();
            problems.add(&name, 1, "this file is not UTF-8");
            return Err(SettingsError::Problems(problems));
        };
        let document = Document::new(&name, &text);
        let mut of_other_files = Problems::default();
        let around = Around { base: path.parent().unwrap_or(Path::new("")), outside };
        let settings = document
            .parse()
            .and_then(|table| read(path, &document.root(&table, ROOT_KEYS), &around, &mut of_other_files));
        let mut problems = document.into_problems();
        problems.extend(of_other_files);
        match settings {
            Some(settings) => problems.or(settings).map_err(SettingsError::Problems),
            None => {
                if problems.is_empty() {
                    problems.add(&name, 1, "meterlake cannot read this and cannot say why: please report it");
                }
                Err(SettingsError::Problems(problems.sorted()))
            }
        }
    }

    /// The time zone of billing days: UTC where no billing is configured.
    pub fn zone(&self) -> BillingZone {
        self.billing.as_ref().map_or(BillingZone::UTC, |billing| billing.zone)
    }

    /// The source of a name.
    pub fn source(&self, name: &str) -> Option<&SourceSettings> {
        self.sources.iter().find(|source| source.spec.name == name)
    }
}

/// `None` only where a problem was noted.
fn read(path: &Path, root: &Section<'_>, around: &Around<'_>, others: &mut Problems) -> Option<Settings> {
    let lake = root.required("lake").and_then(|item| place::read(&item, around));
    let mut warnings = Vec::new();
    let sources = sources::read(root, around);
    place::check(&sources, lake.as_ref(), &mut warnings);
    let meters = sections::meters(root, &sources);
    let hashing = sources.iter().find(|source| source.hashes_keys()).and_then(|source| source.name.as_deref());
    let privacy = secrets::read(root, around, hashing);
    let billing = billing::read(root, around, meters.as_deref(), others);
    let (limits, rejects_max_percent) = sections::limits(root);
    let build = sections::build(root);
    let retention = sections::retention(root);
    let aws = aws::read(root);
    let sources: Option<Vec<SourceSettings>> = sources.into_iter().map(|source| source.settings).collect();
    let (sources, meters, billing) = (sources?, meters?, billing?);
    warnings.extend(billing.iter().flat_map(|billing| billing::hints(billing, &sources)));
    let mut settings = Settings {
        file: path.to_owned(),
        lake: lake?.text,
        sources,
        meters,
        billing,
        privacy: privacy?,
        build,
        limits,
        rejects_max_percent,
        retention,
        aws: aws?,
        text_digest: Digest::of([]),
        canonical: String::new(),
        warnings,
    };
    settings.canonical = canonical::text(&settings);
    settings.text_digest = Digest::of([&*settings.canonical]);
    Some(settings)
}
