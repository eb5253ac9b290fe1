//! From settings to a [`Job`]: opens the lake, makes the decoders, and refuses what must not go on: a secret the lake does
//! not know, a configuration older than the one the lake was built with.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path;

use crate::base::{Micros, Problems};
use crate::billing::{Billing, ConfigTables};
use crate::decode::{DecodePlan, secret_check_value};
use crate::job::derive::{ClosedRules, Derivation};
use crate::job::invoice::{Pinned, closed_months};
use crate::job::{Job, JobError, Source};
use crate::lake::Lake;
use crate::model::{CoverageRules, Engine, EngineOptions, SHORTFALL_MAX_PER_MILLE};
use crate::source::{Buckets, Location, bucket_url, key_path};

use super::Talk;
use super::settings::Settings;
use super::world::World;

/// Bytes that SQL may hold before it spills to disk.
const SQL_MEMORY_BYTES: usize = 256 << 20;

/// Reads the configuration with what surrounds the process.
pub(crate) fn settings(file: &FilePath, world: &World) -> Result<Settings> {
    Ok(Settings::load_from(file, world)?)
}

/// Opens the lake, making it where there is none, and all that flows into it. Says what works but deserves a thought.
pub(crate) async fn job(settings: &Settings, accept_config: bool, world: &World, talk: &Talk) -> Result<Job> {
    // The plans are checked before anything is made: a wrong configuration leaves no trace.
    for source in sources(settings, [0; 16])? {
        let warnings = source.plan.warnings().into_iter();
        warnings.for_each(|warning| talk.warn(format!("warning: source `{}`: {warning}", source.name)));
    }
    let location = Location::parse(&settings.lake)?;
    if let Location::Folder(folder) = &location {
        let failed = || format!("cannot make the lake's folder {}", folder.display());
        std::fs::create_dir_all(folder).with_context(failed)?;
    }
    let buckets = world.buckets(settings).await;
    let job = opened(settings, lake(&location, buckets.as_ref()).await?, buckets)?;
    let checks: Vec<String> = settings.privacy.key_secrets.iter().map(secret_check_value).collect();
    job.lake.check_secrets(&checks).await?;
    for source in &job.sources {
        job.lake.declare_source(&source.name, source.plan.table(), source.split).await?;
    }
    job.lake.config_generation(settings.text_digest, &settings.canonical, accept_config).await?;
    Ok(job)
}

/// How long a configuration is used before it is read again: a new customer is an upload.
const CONFIG_AGE_MAX: Duration = Duration::from_secs(60);

/// What a long-lived process works with until the configuration is read again.
pub(crate) struct Opened {
    pub(crate) settings: Settings,
    pub(crate) job: Job,
    since: Instant,
}

impl Opened {
    /// Reads the configuration and opens the lake.
    pub(crate) async fn new(config: &FilePath, world: &World, talk: &Talk) -> Result<Self> {
        let settings = self::settings(config, world)?;
        let job = self::job(&settings, false, world, talk).await?;
        Ok(Self { settings, job, since: Instant::now() })
    }

    /// Whether it is time to read the configuration again.
    pub(crate) fn is_old(&self) -> bool {
        self.since.elapsed() >= CONFIG_AGE_MAX
    }
}

/// Opens a lake that is there, for reading.
pub(crate) async fn existing(settings: &Settings, world: &World) -> Result<Job> {
    let location = Location::parse(&settings.lake)?;
    let buckets = world.buckets(settings).await;
    let is_there = match location.open_existing(buckets.as_ref())? {
        Some(place) => Lake::is_at(place.store.as_ref()).await?,
        None => false,
    };
    if !is_there {
        return Err(anyhow!("there is no lake at {location} yet; `meterlake run` makes it"));
    }
    opened(settings, lake(&location, buckets.as_ref()).await?, buckets)
}

/// A session for SQL over the lake's tables.
pub(crate) async fn engine(job: &Job) -> Result<Engine> {
    Ok(Engine::open(&job.lake, engine_options(job.parallel)).await?)
}

/// What SQL may use.
pub(crate) fn engine_options(parallel: usize) -> EngineOptions {
    let partitions = NonZeroUsize::new(parallel).unwrap_or(NonZeroUsize::MIN);
    EngineOptions { memory_bytes_max: SQL_MEMORY_BYTES, partitions }
}

/// What derived tables are made from besides the lake's tables.
pub(crate) async fn derivation(settings: &Settings, job: &Job) -> Result<Derivation> {
    let today = derivation_of(settings, settings.billing.as_ref(), job)?;
    let mut closed = BTreeMap::new();
    for month in closed_months(&job.lake).await? {
        let Pinned { terms, config } = month.pinned().await?;
        let month = month.month();
        if terms.zone != today.zone.name() {
            let (was, now) = (terms.zone, today.zone.name().to_owned());
            return Err(JobError::Fixed { what: "the billing time zone", month, was, now }.into());
        }
        let config = config.completed(&today.config)?;
        let rules = ClosedRules { meters: terms.meters, start: terms.start, has_rates: terms.has_rates, config };
        closed.insert(month, rules);
    }
    Ok(Derivation { closed, ..today })
}

/// The same for some other billing, as if no month were closed.
pub(crate) fn derivation_of(settings: &Settings, billing: Option<&Billing>, job: &Job) -> Result<Derivation> {
    let specs = settings.sources.iter().map(|source| &source.spec);
    Ok(Derivation {
        closed: BTreeMap::new(),
        meters: settings.meters.clone(),
        zone: settings.zone(),
        start: billing.and_then(|billing| billing.start),
        config: billing.map_or_else(|| Ok(ConfigTables::empty()), |billing| billing.tables(specs))?,
        has_rates: billing.is_some_and(|billing| billing.rates.is_some()),
        coverage: coverage_rules(settings),
        engine: engine_options(job.parallel),
    })
}

/// What makes an hour of each source a gap.
fn coverage_rules(settings: &Settings) -> CoverageRules {
    let mut rules = CoverageRules::default();
    for source in &settings.sources {
        if source.heartbeat {
            rules.heartbeat.insert(source.spec.name.clone());
        }
        if source.shortfall_max_per_mille != SHORTFALL_MAX_PER_MILLE {
            rules.shortfall_max_per_mille.insert(source.spec.name.clone(), source.shortfall_max_per_mille);
        }
    }
    rules
}

fn opened(settings: &Settings, lake: Lake, buckets: Arc<dyn Buckets>) -> Result<Job> {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    Ok(Job {
        sources: sources(settings, lake.fingerprint_key())?,
        buckets,
        limits: settings.limits.clone(),
        parallel: settings.build.parallel.unwrap_or(cores),
        now: now()?,
        lake,
    })
}

/// The sources with their decoders; a key of zeros does where nothing is stored.
pub(crate) fn sources(settings: &Settings, fingerprint_key: [u8; 16]) -> Result<Vec<Source>> {
    let mut problems = Problems::default();
    let file = settings.file.display().to_string();
    let mut sources = Vec::new();
    for source in &settings.sources {
        let name = &source.spec.name;
        match DecodePlan::new(&source.spec, &settings.privacy, fingerprint_key, &settings.limits) {
            Ok(plan) => sources.push(Source {
                plan,
                name: name.clone(),
                location: Location::parse(&source.location)?,
                split: source.split,
            }),
            Err(error) => problems.add(&file, source.line, format!("source `{name}`: {error}")),
        }
    }
    Ok(problems.or(sources)?)
}

async fn lake(location: &Location, buckets: &dyn Buckets) -> Result<Lake> {
    let place = || format!("cannot open the lake {location}");
    let (store, root, url): (Arc<dyn ObjectStore>, _, _) = match location {
        Location::Folder(folder) => {
            let absolute = folder.canonicalize().with_context(place)?;
            let url = url::Url::from_directory_path(&absolute).map_err(|()| anyhow!(place()))?;
            // Delta addresses its tables from the store's root, so the store is the whole file system and the lake a path in it.
            (Arc::new(LocalFileSystem::new()), Path::from_absolute_path(&absolute).with_context(place)?, url)
        }
        Location::Bucket { bucket, prefix } => {
            (buckets.open(bucket)?, key_path(bucket, prefix)?, bucket_url(bucket, prefix)?)
        }
    };
    let mut entropy = [0; 16];
    getrandom::fill(&mut entropy).map_err(|error| anyhow!("no randomness for the lake's fingerprint key: {error}"))?;
    Ok(Lake::open(store, root, url, entropy).await?)
}

/// The present instant.
pub(crate) fn now() -> Result<Micros> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    Ok(Micros(i64::try_from(since.as_micros()).context("the clock is out of range")?))
}
