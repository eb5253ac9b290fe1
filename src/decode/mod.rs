//! Bytes of a landing object in, Arrow batches of events and rejects out. No I/O, no clock: bytes are pushed in
//! any chunks and the same rows come out. A bad record becomes a reject; a bad object (truncated, over a limit) is an error.

mod spec;

pub use spec::{
    ClientIp, Constants, FieldSet, Format, Identifies, KeySecret, KeySpec, Limits, Privacy, SourceSpec, Template,
};

/// Generation of the decoders: raised when the same bytes give other rows. Of equal events the newer generation's is kept.
pub const DECODER_GENERATION: i16 = 1;
