//! `keys fingerprint`: what the edge logs' keys become in the lake, for the keys file. Keys come on standard input, never as
//! arguments, which other users of a machine can see.

use std::io::{BufRead, Write, stdin, stdout};

use anyhow::{Result, anyhow};

use crate::decode::key_ref;

use super::Outcome;
use super::settings::Settings;

/// Prints the fingerprint of each key read, one a line.
pub(crate) fn fingerprint(settings: &Settings) -> Result<Outcome> {
    let secret = settings.privacy.key_secrets.first().ok_or_else(|| {
        anyhow!("no key secret is configured: set key_secret under [privacy] in {}", settings.file.display())
    })?;
    let mut out = stdout().lock();
    for line in stdin().lock().lines() {
        let line = line?;
        let key = line.trim();
        if !key.is_empty() {
            writeln!(out, "{}", key_ref(secret, key.as_bytes()))?;
        }
    }
    Ok(Outcome::Done)
}
