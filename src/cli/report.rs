//! How errors are told: the error, what caused it, and a hint what to do. No colour, so nothing to switch off.

use std::error::Error;
use std::fmt::Write;

use crate::job::JobError;
use crate::job::worker::MessageError;
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
    if let Some(hint) = hint_of(error.as_ref()) {
        let _ = writeln!(text, "\nhint: {hint}");
    }
    text
}

/// What to do about an error: what is known of it or of the first of its causes of which something is known.
pub(crate) fn hint_of(error: &(dyn Error + 'static)) -> Option<String> {
    let of_cause = |cause: &(dyn Error + 'static)| {
        let of_lake = cause.downcast_ref::<LakeError>().and_then(hint).map(str::to_owned);
        let of_job = of_lake.or_else(|| cause.downcast_ref::<JobError>().and_then(hint_of_job));
        of_job.or_else(|| refusals::hint(&cause.to_string()).map(str::to_owned))
    };
    let known = std::iter::successors(Some(error), |&error| error.source()).find_map(of_cause);
    known.or_else(|| error.downcast_ref::<MessageError>().and_then(hint_of_message))
}

/// What to do about a message that comes back, where its cause says nothing.
fn hint_of_message(error: &MessageError) -> Option<String> {
    match error {
        MessageError::Notice(_) => Some(
            "somebody else than S3 sent it: the queue's policy says who may send. It ends among the dead letters; delete it there"
                .to_owned(),
        ),
        MessageError::Object { .. } => Some(
            "docs/RUNBOOK.md says what to do about such an object; once that is done, redrive the dead letters, or let \
             `meterlake run` find it"
                .to_owned(),
        ),
        MessageError::Job(error) => hint_of(error),
        MessageError::Queue(_) => None,
    }
}

fn hint_of_job(error: &JobError) -> Option<String> {
    match error {
        JobError::Lake(error) => hint(error).map(str::to_owned),
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

#[cfg(test)]
mod tests {
    use super::*;

    // Before, a hint known of the lake's error was lost where a job had passed the error on.
    #[test]
    fn hints_are_found_through_what_passes_errors_on() {
        let error = || JobError::from(LakeError::Conflict { table: "usage_daily" });
        let of_lake = hint_of(&error());
        assert_eq!(of_lake.as_deref(), Some("nothing is wrong; run it again"));
        assert_eq!(hint_of(&MessageError::from(error())), of_lake);
        let of_object = MessageError::Object { key: "a".to_owned(), source: error() };
        assert_eq!(hint_of(&of_object), of_lake);
        let stopped = MessageError::Object { key: "a".to_owned(), source: JobError::Stopped { key: "a".to_owned() } };
        assert!(hint_of(&stopped).is_some_and(|hint| hint.contains("dead letters")));
    }
}
