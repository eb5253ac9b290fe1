//! Convert: landing objects that the lake does not know yet become staged files and a receipt each. Objects are
//! independent; several are worked on at once. An object that cannot be read whole leaves nothing behind but a line in
//! the report, is tried again by the next run, and does not stop the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use futures::StreamExt;
use tokio::sync::mpsc;

use crate::base::Micros;
use crate::decode::{Counts, DECODER_GENERATION, Decoder, Space};
use crate::lake::{
    KnownObject, KnownObjects, LakeError, Ledger, ObjectState, ObjectVersion, Receipt, ReceiptId, StageWriter,
    Withdrawal,
};
use crate::source::{LandingObject, Place, fetch, list};

use super::{Job, JobError, Progress, Source};

/// Pieces in flight between the store and the decoder of one object.
const PIECES_IN_FLIGHT: usize = 1;

/// What a conversion did.
#[derive(Debug, Default)]
pub struct ConvertReport {
    /// One entry per source, in the order of the configuration.
    pub sources: Vec<ConvertedSource>,
}

/// What a conversion did for one source.
#[derive(Debug, Default)]
pub struct ConvertedSource {
    /// Name of the source.
    pub source: String,
    /// Where its objects land, for people.
    pub location: String,
    /// The folder is not there.
    pub absent: bool,
    /// Landing objects found.
    pub found: u64,
    /// Objects that are to be converted.
    pub new: u64,
    /// Their size as stored, bytes.
    pub new_bytes: u64,
    /// Objects converted now.
    pub converted: u64,
    /// Their size as stored, bytes.
    pub bytes: u64,
    /// Records in them.
    pub records: u64,
    /// Records that could not be read.
    pub rejects: u64,
    /// Control messages of the log service.
    pub control: u64,
    /// Objects in the ledger that were decoded under other settings than today's.
    pub decoded_otherwise: u64,
    /// Objects that could not be converted.
    pub failed: Vec<FailedObject>,
}

/// An object that could not be converted.
#[derive(Debug)]
pub struct FailedObject {
    /// Its key.
    pub key: String,
    /// Why.
    pub error: JobError,
}

impl ConvertReport {
    /// Objects that could not be converted, over all sources.
    pub fn failed(&self) -> impl Iterator<Item = (&str, &FailedObject)> {
        self.sources.iter().flat_map(|s| s.failed.iter().map(|f| (s.source.as_str(), f)))
    }
}

/// Which landing objects are looked at; by default all.
#[derive(Clone, Default, Debug)]
pub struct Scope {
    /// Those whose key starts with one of these; none: all.
    pub prefixes: Vec<String>,
    /// Those that arrived then or later.
    pub from: Option<Micros>,
    /// Those that arrived before.
    pub to: Option<Micros>,
}

impl Scope {
    /// Whether an object of that key that arrived then is looked at.
    pub(crate) fn holds(&self, key: &str, arrived: Micros) -> bool {
        let named = self.prefixes.is_empty() || self.prefixes.iter().any(|prefix| key.starts_with(prefix.as_str()));
        named && self.from.is_none_or(|from| arrived >= from) && self.to.is_none_or(|to| arrived < to)
    }
}

/// What there is to do.
struct Work {
    report: ConvertReport,
    waiting: Vec<Receipt>,
    /// The number of the source, where the object lies, and the object.
    objects: Vec<(usize, Place, LandingObject)>,
    overtaken: Vec<Withdrawal>,
}

/// What a conversion would do; nothing is changed.
pub async fn look_for_new(job: &Job, scope: &Scope) -> Result<ConvertReport, JobError> {
    Ok(find_work(job, scope).await?.report)
}

async fn find_work(job: &Job, scope: &Scope) -> Result<Work, JobError> {
    let waiting = job.lake.receipts().await?;
    let known = Ledger::open(&job.lake).await?.known(None, None).await?;
    let mut report = ConvertReport::default();
    let mut objects = Vec::new();
    let mut overtaken = Vec::new();
    for source in &job.sources {
        let mut done = ConvertedSource {
            source: source.name.clone(),
            location: source.location.to_string(),
            ..Default::default()
        };
        match source.location.open_existing(job.buckets.as_ref())? {
            Some(place) => {
                let (new, old) = find_new(source, list(&place).await?, scope, &known, &waiting, &mut done);
                overtaken.extend(old);
                let number = report.sources.len();
                done.new = new.len() as u64;
                done.new_bytes = new.iter().map(|object| object.bytes).sum();
                objects.extend(new.into_iter().map(|object| (number, place.clone(), object)));
            }
            None => done.absent = true,
        }
        report.sources.push(done);
    }
    Ok(Work { report, waiting, objects, overtaken })
}

/// Converts every new object of every source that is within the scope.
pub async fn convert(job: &Job, scope: &Scope, progress: &dyn Progress) -> Result<ConvertReport, JobError> {
    let Work { mut report, waiting, objects: work, overtaken } = find_work(job, scope).await?;
    job.lake.withdraw(&overtaken).await?;
    if work.is_empty() {
        return Ok(report);
    }
    progress.begin("convert", work.len() as u64);
    let spaces = Spaces::default();
    let mut results = futures::stream::iter(work)
        .map(|(number, place, object)| {
            let (waiting, spaces) = (&waiting, &spaces);
            async move {
                let converted = convert_object(job, &job.sources[number], &place, &object, spaces).await;
                let result = match converted {
                    Ok(receipt) => forget_older(job, waiting, receipt).await,
                    Err(error) => Err(error),
                };
                (number, object, result)
            }
        })
        .buffer_unordered(job.parallel);
    while let Some((number, object, result)) = results.next().await {
        progress.step();
        let done = &mut report.sources[number];
        match result {
            Ok(receipt) => {
                done.converted += 1;
                done.bytes += object.bytes;
                done.records += receipt.records;
                done.rejects += receipt.rejects;
                done.control += receipt.control;
            }
            Err(error) => done.failed.push(FailedObject { key: object.key, error }),
        }
    }
    progress.end();
    for done in &mut report.sources {
        done.failed.sort_by(|a, b| a.key.cmp(&b.key));
    }
    Ok(report)
}

/// Keeps of a listing what neither the ledger nor a waiting receipt knows. Also names the receipts that wait although the
/// version listed is known or waits itself: a conversion that was killed or overtaken leaves such behind.
fn find_new(
    source: &Source,
    listing: Vec<LandingObject>,
    scope: &Scope,
    known: &KnownObjects,
    waiting: &[Receipt],
    done: &mut ConvertedSource,
) -> (Vec<LandingObject>, Vec<Withdrawal>) {
    done.found = listing.len() as u64;
    let decode_id = source.plan.decode_id();
    let mut waiting_for: HashMap<&str, Vec<&Receipt>> = HashMap::new();
    for receipt in waiting.iter().filter(|receipt| receipt.object.source == source.name) {
        waiting_for.entry(&receipt.object.key).or_default().push(receipt);
    }
    let (mut new, mut overtaken) = (Vec::new(), Vec::new());
    for object in listing {
        if !scope.holds(&object.key, object.arrived_at) {
            continue;
        }
        let waiting = waiting_for.get(object.key.as_str()).map_or(&[][..], Vec::as_slice);
        let versions = known.get(&(source.name.clone(), object.key.clone())).map_or(&[][..], Vec::as_slice);
        // A superseded version that is listed again came back: it is as good as new.
        let current = |v: &&KnownObject| v.etag == object.etag && v.state != ObjectState::Superseded;
        let mut same = versions.iter().filter(current).peekable();
        let id = version_of(source, &object).object_id();
        if same.peek().is_some() {
            let otherwise = same.any(|v| v.state == ObjectState::Applied && v.decode_id != decode_id);
            done.decoded_otherwise += u64::from(otherwise);
            overtaken.extend(waiting.iter().filter(|r| r.object.etag != object.etag).map(|r| overtaken_by_another(r)));
        } else if waiting.iter().any(|receipt| receipt.object_id == id) {
            overtaken.extend(waiting.iter().filter(|r| r.object_id != id).map(|r| overtaken_by_another(r)));
        } else {
            new.push(object);
        }
    }
    (new, overtaken)
}

/// A receipt of an older version of the object, not yet built, must not be applied beside the new one.
pub(crate) async fn forget_older(job: &Job, waiting: &[Receipt], receipt: Receipt) -> Result<Receipt, JobError> {
    let of_object = |r: &&Receipt| r.object.source == receipt.object.source && r.object.key == receipt.object.key;
    let older = waiting.iter().filter(of_object).filter(|r| r.object_id != receipt.object_id);
    job.lake.withdraw(&older.map(overtaken_by_another).collect::<Vec<_>>()).await?;
    Ok(receipt)
}

/// A conversion that waits is not just deleted: a build that was killed may have brought its events in.
fn overtaken_by_another(receipt: &Receipt) -> Withdrawal {
    let ReceiptId { source, object_id } = receipt.id();
    Withdrawal { source, object_id, state: ObjectState::Superseded, reason: None }
}

/// The ledger's name for an object of this source as it is decoded today.
pub(crate) fn version_of(source: &Source, object: &LandingObject) -> ObjectVersion {
    ObjectVersion {
        source: source.name.clone(),
        key: object.key.clone(),
        etag: object.etag.clone(),
        bytes: object.bytes,
        arrived_at: object.arrived_at,
        written_at: object.written_at,
        gone: object.gone,
        decode_id: source.plan.decode_id(),
    }
}

/// Memory that decoders have left, one piece for each that works at once.
#[derive(Clone, Default)]
pub(crate) struct Spaces(Arc<Mutex<Vec<Space>>>);

impl Spaces {
    fn take(&self) -> Space {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn give(&self, space: Space) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(space);
    }
}

/// Takes what is decoded of an object, batch by batch.
pub(crate) trait Taker: Send + 'static {
    /// Takes events in the order of the records.
    fn events(&mut self, batch: &RecordBatch) -> Result<(), LakeError>;
    /// Takes rejects in the order of the records.
    fn rejects(&mut self, batch: &RecordBatch) -> Result<(), LakeError>;
}

impl Taker for StageWriter {
    fn events(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        self.push(batch)
    }

    fn rejects(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        self.push_rejects(batch)
    }
}

/// Converts one object: its staged files first, its receipt last.
pub(crate) async fn convert_object(
    job: &Job,
    source: &Source,
    place: &Place,
    object: &LandingObject,
    spaces: &Spaces,
) -> Result<Receipt, JobError> {
    let writer = job.lake.stage(source.plan.table(), version_of(source, object), job.limits.hours_max)?;
    let (writer, counts) = decode(source, place, object, spaces, writer).await?;
    Ok(writer.finish(counts.records, counts.control, DECODER_GENERATION).await?)
}

/// Decodes one object on a thread of its own while it is read, and gives back who took what came of it.
pub(crate) async fn decode<T: Taker>(
    source: &Source,
    place: &Place,
    object: &LandingObject,
    spaces: &Spaces,
    taker: T,
) -> Result<(T, Counts), JobError> {
    let plan = source.plan.clone();
    let (sender, receiver) = mpsc::channel(PIECES_IN_FLIGHT);
    let key = object.key.clone();
    let arrived_at = object.arrived_at;
    let spaces = spaces.clone();
    let decoding = tokio::task::spawn_blocking(move || {
        let mut decoder = Decoder::with_space(&plan, &key, arrived_at, spaces.take());
        let decoded = decode_into(&mut decoder, &key, receiver, taker);
        spaces.give(decoder.into_space());
        decoded
    });
    let mut fetched = fetch(place, object)?;
    let read = loop {
        match fetched.next_piece().await {
            Ok(Some(piece)) => {
                if sender.send(piece).await.is_err() {
                    break Ok(()); // the decoder stopped; its error says why
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    drop(sender);
    let decoded = decoding.await;
    // To the decoder a body that broke off looks like the end of the object: what it made of it is dropped here.
    read?;
    decoded.map_err(|_| JobError::Stopped { key: object.key.clone() })?
}

fn decode_into<T: Taker>(
    decoder: &mut Decoder,
    key: &str,
    mut pieces: mpsc::Receiver<bytes::Bytes>,
    mut taker: T,
) -> Result<(T, Counts), JobError> {
    let failed = |source| JobError::Object { key: key.to_owned(), source };
    while let Some(piece) = pieces.blocking_recv() {
        decoder.push(&piece).map_err(failed)?;
        drain(decoder, &mut taker)?;
    }
    decoder.end();
    drain(decoder, &mut taker)?;
    decoder.finish().map_err(failed)?;
    drain(decoder, &mut taker)?;
    Ok((taker, decoder.counts()))
}

fn drain(decoder: &mut Decoder, taker: &mut impl Taker) -> Result<(), JobError> {
    while let Some(events) = decoder.next_events() {
        taker.events(&events)?;
    }
    while let Some(rejects) = decoder.next_rejects() {
        taker.rejects(&rejects)?;
    }
    Ok(())
}
