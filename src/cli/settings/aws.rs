//! `[aws]`: services that results are brought to.

use crate::base::document::Section;

use super::AwsSettings;

/// Longest name or ARN of a table.
const TABLE_BYTES_MAX: usize = 1_024;

/// The section, or none of it.
pub(super) fn read(root: &Section<'_>) -> AwsSettings {
    let Some(section) = root.get("aws").and_then(|item| item.section(&["dynamodb_table"])) else {
        return AwsSettings::default();
    };
    let table = section.get("dynamodb_table").and_then(|item| {
        let text = item.text()?;
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-:/".contains(&b);
        if text.len() > TABLE_BYTES_MAX || !text.bytes().all(is_plain) {
            item.problem("`dynamodb_table` is the name or the ARN of a table");
            return None;
        }
        Some(text.to_owned())
    });
    AwsSettings { dynamodb_table: table }
}
