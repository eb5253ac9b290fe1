//! How errors are told: the error, what caused it, and a hint what to do. No colour, so nothing to switch off.

use std::fmt::Write;

use crate::job::JobError;
use crate::lake::LakeError;

use super::refusals;

/// The text of an error with its causes and a hint.
pub(crate) fn render(error: &anyhow::Error) -> String {
    let mut text = format!("error: {error}\n");
    let mut shown = error.to_string();
    for cause in error.chain().skip(1) {
        let line = cause.to_string();
        // Transparent wrappers and libraries repeat what was just said.
        if !shown.contains(&line) {
            let _ = writeln!(text, "  caused by: {line}");
        }
        shown = line;
    }
    let hint = |cause: &(dyn std::error::Error + 'static)| {
        let of_lake = cause.downcast_ref::<LakeError>().and_then(hint).map(str::to_owned);
        let of_job = of_lake.or_else(|| cause.downcast_ref::<JobError>().and_then(hint_of_job));
        of_job.or_else(|| refusals::hint(&cause.to_string()).map(str::to_owned))
    };
    if let Some(hint) = error.chain().find_map(hint) {
        let _ = writeln!(text, "\nhint: {hint}");
    }
    text
}

fn hint_of_job(error: &JobError) -> Option<String> {
    match error {
        JobError::NoSuchRequest { searched, .. } => Some(format!(
            "looked for it as {searched}. What has not been converted yet is not there (`meterlake run`), nor what could \
             not be read (`meterlake rejects`)"
        )),
        JobError::Stale { .. } => {
            Some("`meterlake build` brings it up to date; where another build is at work, wait for it".to_owned())
        }
        _ => None,
    }
}

fn hint(error: &LakeError) -> Option<&'static str> {
    match error {
        LakeError::ConfigSuperseded { .. } => Some("--accept-config makes this configuration the newest one again"),
        LakeError::UnknownSecret => {
            Some("to rotate a secret, give a list under [privacy]: key_secret = [\"env:NEW\", \"env:OLD\"]")
        }
        LakeError::StagedMissing { .. } => Some("`meterlake run` converts the object again"),
        LakeError::Conflict { .. } => Some("nothing is wrong; run it again"),
        _ => None,
    }
}
