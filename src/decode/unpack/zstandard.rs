//! zstd, one frame at a time; frames to be passed over are frames without bytes.

use zstd::stream::raw::{DParameter, Decoder, Operation as _};

use super::{Chunk, Damage, Step, Then};

/// The window may have 2^25 bytes: four times what the highest usual level takes.
const WINDOW_LOG_MAX: u32 = 25;
const CHUNK_BYTES: usize = 64 << 10;

/// Reads one frame.
pub(in super::super) struct Zstd {
    decoder: Option<Decoder<'static>>,
    /// It made as much as there was space for, and may have more.
    is_full: bool,
}

impl Zstd {
    pub(super) fn new() -> Self {
        let decoder = Decoder::new().and_then(|mut decoder| {
            decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
            Ok(decoder)
        });
        // It fails only where there is no memory for it.
        Self { decoder: decoder.ok(), is_full: false }
    }

    pub(super) fn step(&mut self, held: &[u8], out: &mut Chunk) -> Result<Step, Damage> {
        if held.is_empty() && !self.is_full {
            // Asked for nothing 16 times, zstd calls it an error; within another packing it may be asked more often.
            return Ok(Step::NEEDS_INPUT);
        }
        let decoder = self.decoder.as_mut().ok_or(Damage::Unsupported("zstd, for want of memory"))?;
        let space = &mut out.space(CHUNK_BYTES)[..CHUNK_BYTES];
        let status = decoder.run_on_buffers(held, space).map_err(|_| Damage::Corrupt)?;
        let (taken, made) = (status.bytes_read, status.bytes_written);
        self.is_full = made == CHUNK_BYTES;
        let then = match status.remaining {
            0 => Then::Ends,
            _ if taken == held.len() && !self.is_full => Then::NeedsInput,
            _ => Then::Goes,
        };
        Ok(Step { taken, made, then })
    }
}
