//! What to do about records that could not be read, by reason: where the fault usually is, and how it is mended.

/// What to do about a reason; nothing for one that only another version knows.
pub(crate) fn hint(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "ambiguous" => {
            "it can be taken apart in several ways, mostly because a caller sent what separates values; nothing was guessed. Use JSON for the access-log format"
        }
        "bad_envelope" => {
            "a document of CloudWatch Logs of a kind that is not known; look at the object, and see what the subscription sends"
        }
        "bad_json" => {
            "it is not valid JSON: a caller sent a quote into a format that does not escape, or the record was cut. Compare `format` with the stage's setting"
        }
        "bad_number" => {
            "a value is no number where one belongs. In many records: `fields`, `format` or `columns` are not what the log has; in few: the caller's odd bytes"
        }
        "bad_raw_data" => "an error record of Firehose whose `rawData` cannot be read; fetch the object again",
        "bad_time" => {
            "the time is none, or lies outside of what can be. In many records: `fields`, `format` or `columns` name another value as the time"
        }
        "columns" => {
            "the number of columns is not that of `fields`. If the log configuration changed at some time, give both sets with `from`; the last record of an object may simply be cut"
        }
        "directive" => "a line that begins with `#` and is of no known kind; look at the object",
        "duplicate_key" => {
            "a key stands twice, or where it does not belong: somebody tries to pass for another. Nobody is billed; look at the landing object"
        }
        "format" => {
            "it is not as any configured `format` says; compare with the stage's setting, and keep the former one with `from`"
        }
        "keys" => {
            "it lacks a key of the format, or has it with another kind of value; compare `format` or `columns` with what is written"
        }
        "no_fields" => {
            "no `#Fields` line says what stands where: give the source `fields`, in the order of the delivery"
        }
        "no_id" => {
            "the request id is missing, so a repetition could not be told from another request; see that the log carries it"
        }
        "no_message" => "a log event without a message; see what writes into the log group",
        "no_time" => "the time is missing; see that the log carries it",
        "not_json" => {
            "it begins with something other than `{`, and only JSON formats are configured; compare `format` with the stage's setting, or keep other logs out of the folder"
        }
        "too_deep" => "objects inside each other beyond `json_depth_max` under [limits]; raise it if the log is honest",
        "too_long" => {
            "longer than `record_bytes_max`, `document_bytes_max` or `header_bytes_max` under [limits]; the detail says which. Raise it if the log is honest"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::REASONS;

    #[test]
    fn every_reason_has_a_hint() {
        for reason in REASONS {
            assert!(hint(reason).is_some(), "{reason}");
        }
        assert!(REASONS.is_sorted());
    }
}
