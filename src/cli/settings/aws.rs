//! `[aws]`: services of AWS that show what the lake holds. All of it may be absent.

use crate::base::document::{Item, Section};

/// Longest name or ARN of a table.
const TABLE_BYTES_MAX: usize = 1_024;

/// `[aws]`.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct AwsSettings {
    /// The DynamoDB table that totals are published in; none: they are not.
    pub dynamodb_table: Option<String>,
    /// The Glue database that shows the lake's tables.
    pub glue_database: Option<String>,
    /// The catalogue it is in, an account's id; none: that of the credentials' own account.
    pub glue_catalog_id: Option<String>,
}

/// `None` only where a problem was noted.
pub(super) fn read(root: &Section<'_>) -> Option<AwsSettings> {
    let Some(item) = root.get("aws") else { return Some(AwsSettings::default()) };
    let section = item.section(&["dynamodb_table", "glue_database", "glue_catalog_id"])?;
    let get = |key: &str, read: fn(&Item<'_>) -> Option<String>| match section.get(key) {
        Some(item) => read(&item).map(Some),
        None => Some(None),
    };
    let dynamodb_table = get("dynamodb_table", table);
    let (glue_database, glue_catalog_id) = (get("glue_database", database), get("glue_catalog_id", account));
    Some(AwsSettings {
        dynamodb_table: dynamodb_table?,
        glue_database: glue_database?,
        glue_catalog_id: glue_catalog_id?,
    })
}

fn table(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-:/".contains(&b);
    if text.len() > TABLE_BYTES_MAX || !text.bytes().all(is_plain) {
        item.problem("`dynamodb_table` is the name or the ARN of a table");
        return None;
    }
    Some(text.to_owned())
}

/// A name that needs no quotes in a query.
fn database(item: &Item<'_>) -> Option<String> {
    let name = item.text()?;
    let is_plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if !is_plain || !name.starts_with(|c: char| c.is_ascii_lowercase()) || name.len() > 255 {
        item.problem("`glue_database` must begin with a lower-case letter and have only those, digits and underscores");
        return None;
    }
    Some(name.to_owned())
}

fn account(item: &Item<'_>) -> Option<String> {
    let id = item.text()?;
    if id.len() != 12 || !id.bytes().all(|b| b.is_ascii_digit()) {
        item.problem("`glue_catalog_id` must be the 12 digits of an AWS account, in quotes");
        return None;
    }
    Some(id.to_owned())
}
