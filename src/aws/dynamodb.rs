//! A DynamoDB table of totals. Partition key `pk` and sort key `sk` are texts; the index `by_month` (`month`, then `pk`) lists a
//! month. Items are replaced whole, on the condition that what is there is not newer. What is throttled is tried again with
//! growing pauses.
//!
//! | `pk` | `sk` | |
//! | --- | --- | --- |
//! | `customer#ID` | `YYYY-MM#meter` | a customer's total |
//! | `key#REF` | `YYYY-MM#meter` | a key's total |
//! | `lake` | `lake` | what was published last, of which lake, complete up to when |

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::types::{AttributeValue, KeySchemaElement, KeyType, ReturnValuesOnConditionCheckFailure};

use super::{Aws, AwsError};
use crate::base::Micros;
use crate::billing::BillingMonth;
use crate::job::publish::{Holder, Listed, MonthState, Put, Stamp, State, Total, TotalName, TotalsError, TotalsTable};

const SERVICE: &str = "DynamoDB";
/// Partition and sort key of the table.
const KEYS: (&str, &str) = ("pk", "sk");
/// The index that lists a month, and its keys.
const INDEX: &str = "by_month";
const INDEX_KEYS: (&str, &str) = ("month", "pk");
/// Both keys of the item that says what was published last.
const STATE: &str = "lake";
/// Tries of one request; the pauses between them grow to 20 seconds, and a throttled table recovers within a minute.
const ATTEMPTS_MAX: u32 = 10;
/// What is there is from no newer state of the same lake.
const NOT_NEWER: &str = "attribute_not_exists(pk) OR (#lake = :lake AND (#version < :version OR (#version = :version AND #as_of <= :as_of)))";

type Item = HashMap<String, AttributeValue>;

/// A table of totals in DynamoDB.
#[derive(Debug)]
pub struct DynamoTotals {
    client: Client,
    table: String,
}

impl Aws {
    /// The table of that name or ARN; refused where its keys are others than totals need.
    pub async fn totals(&self, table: &str) -> Result<DynamoTotals, AwsError> {
        let retry = RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX);
        let config = aws_sdk_dynamodb::config::Builder::from(self.config()).retry_config(retry).build();
        let client = Client::from_conf(config);
        let action = || format!("look at the table {table}");
        let found = client.describe_table().table_name(table).send().await;
        let found = found.map_err(|source| AwsError::of(SERVICE, action(), source))?.table;
        let found = found.ok_or_else(|| AwsError::Incomplete { service: SERVICE, action: action(), what: "table" })?;
        let index = found.global_secondary_indexes().iter().find(|index| index.index_name() == Some(INDEX));
        if !has_keys(found.key_schema(), KEYS) {
            return Err(unsuitable(table, format!("must have the keys `{}` and `{}`", KEYS.0, KEYS.1)));
        }
        if !index.is_some_and(|index| has_keys(index.key_schema(), INDEX_KEYS)) {
            let (partition, sort) = INDEX_KEYS;
            return Err(unsuitable(
                table,
                format!("must have an index `{INDEX}` with the keys `{partition}` and `{sort}`"),
            ));
        }
        Ok(DynamoTotals { client, table: table.to_owned() })
    }
}

fn has_keys(schema: &[KeySchemaElement], (partition, sort): (&str, &str)) -> bool {
    let has = |kind: KeyType, name| schema.iter().any(|key| *key.key_type() == kind && key.attribute_name() == name);
    has(KeyType::Hash, partition) && has(KeyType::Range, sort)
}

fn unsuitable(table: &str, what: String) -> AwsError {
    AwsError::Unsuitable {
        service: SERVICE,
        what: format!("the table {table} {what}; docs/AWS.md has the command that makes it"),
    }
}

impl DynamoTotals {
    /// Writes an item under the stamp, unless what is there is newer.
    async fn put_item(&self, item: Item, stamp: &Stamp) -> Result<Put, TotalsError> {
        let call = self.client.put_item().table_name(&self.table).set_item(Some(stamped(item, stamp)));
        let call = call
            .condition_expression(NOT_NEWER)
            .expression_attribute_names("#lake", "lake")
            .expression_attribute_names("#version", "version")
            .expression_attribute_names("#as_of", "as_of")
            .expression_attribute_values(":lake", text(&stamp.lake))
            .expression_attribute_values(":version", number(stamp.version))
            .expression_attribute_values(":as_of", text(stamp.as_of))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = call.send().await else { return Ok(Put::Written) };
        let refused = error.as_service_error().and_then(|error| match error {
            aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException(refused) => {
                Some(refused)
            }
            _ => None,
        });
        let Some(refused) = refused else { return Err(TotalsError::of(format!("write into {}", self.table), error)) };
        match refused.item().and_then(|there| string(there, "lake")) {
            Some(theirs) if theirs != stamp.lake => Err(TotalsError::OtherLake { theirs, ours: stamp.lake.clone() }),
            _ => Ok(Put::Newer(refused.item().and_then(version).unwrap_or(stamp.version))),
        }
    }
}

#[async_trait]
impl TotalsTable for DynamoTotals {
    async fn state(&self) -> Result<Option<State>, TotalsError> {
        let call = self.client.get_item().table_name(&self.table).consistent_read(true);
        let call = call.key(KEYS.0, text(STATE)).key(KEYS.1, text(STATE));
        let found = call.send().await;
        let found = found.map_err(|source| TotalsError::of(format!("read what {} holds", self.table), source))?;
        let unreadable = || {
            let what =
                format!("the item {STATE} is not what a publish writes; delete it, and everything is compared again");
            TotalsError::of(format!("read what {} holds", self.table), what)
        };
        found.item.map(|item| state_of(&item).ok_or_else(unreadable)).transpose()
    }

    async fn put_state(&self, state: &State) -> Result<Put, TotalsError> {
        self.put_item(state_item(state), &state.stamp).await
    }

    async fn listed(&self, month: BillingMonth) -> Result<Vec<Listed>, TotalsError> {
        let call = self.client.query().table_name(&self.table).index_name(INDEX);
        let call = call.key_condition_expression("#month = :month");
        let call = call.expression_attribute_names("#month", INDEX_KEYS.0);
        let call = call.expression_attribute_values(":month", text(month));
        let mut items = call.into_paginator().items().send();
        let mut listed = Vec::new();
        while let Some(item) = items.next().await {
            let item = item.map_err(|source| TotalsError::of(format!("list {month} of {}", self.table), source))?;
            // What somebody else put there is none of ours.
            listed.extend(listed_of(&item));
        }
        Ok(listed)
    }

    async fn put(&self, total: &Total, stamp: &Stamp) -> Result<Put, TotalsError> {
        self.put_item(total_item(total), stamp).await
    }
}

fn stamped(mut item: Item, stamp: &Stamp) -> Item {
    item.insert("lake".to_owned(), text(&stamp.lake));
    item.insert("version".to_owned(), number(stamp.version));
    item.insert("as_of".to_owned(), text(stamp.as_of));
    item
}

fn total_item(total: &Total) -> Item {
    let Total { name, quantity, events, held, held_events, days, customers, complete_until, provisional } = total;
    let days = days.iter().map(|(day, quantity)| (day.to_string(), number(quantity))).collect();
    let (holder, id) = match &name.holder {
        Holder::Customer(id) => ("customer_id", id),
        Holder::Key(key_ref) => ("key_ref", key_ref),
    };
    let mut item: Item = [
        (KEYS.0, text(name.partition())),
        (KEYS.1, text(name.sort())),
        (INDEX_KEYS.0, text(name.month)),
        (holder, text(id)),
        ("meter", text(&name.meter)),
        ("quantity", number(quantity)),
        ("events", number(events)),
        ("held", number(held)),
        ("held_events", number(held_events)),
        ("days", AttributeValue::M(days)),
        ("complete_until", text(complete_until)),
        ("provisional", AttributeValue::Bool(*provisional)),
        ("digest", text(total.digest())),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    // A set may not be empty.
    if !customers.is_empty() {
        item.insert("customers".to_owned(), AttributeValue::Ss(customers.iter().cloned().collect()));
    }
    item
}

fn listed_of(item: &Item) -> Option<Listed> {
    Some(Listed {
        name: TotalName::of_keys(&string(item, KEYS.0)?, &string(item, KEYS.1)?)?,
        digest: string(item, "digest").unwrap_or_default(),
        lake: string(item, "lake").unwrap_or_default(),
        quantity: item.get("quantity").and_then(|value| value.as_n().ok()?.parse().ok()),
    })
}

fn state_item(state: &State) -> Item {
    let months = state.months.iter().map(|(month, of_month)| {
        let entry = [
            ("inputs", text(&of_month.inputs)),
            ("complete_until", text(of_month.complete_until)),
            ("provisional", AttributeValue::Bool(of_month.provisional)),
        ];
        (month.to_string(), AttributeValue::M(entry.map(|(name, value)| (name.to_owned(), value)).into()))
    });
    let item = [(KEYS.0, text(STATE)), (KEYS.1, text(STATE)), ("months", AttributeValue::M(months.collect()))];
    item.map(|(name, value)| (name.to_owned(), value)).into()
}

fn state_of(item: &Item) -> Option<State> {
    let mut months = BTreeMap::new();
    for (month, entry) in item.get("months")?.as_m().ok()? {
        let entry = entry.as_m().ok()?;
        let state = MonthState {
            inputs: string(entry, "inputs")?,
            complete_until: instant(entry, "complete_until")?,
            provisional: *entry.get("provisional")?.as_bool().ok()?,
        };
        months.insert(month.parse().ok()?, state);
    }
    let stamp = Stamp { lake: string(item, "lake")?, version: version(item)?, as_of: instant(item, "as_of")? };
    Some(State { stamp, months })
}

fn text(value: impl Display) -> AttributeValue {
    AttributeValue::S(value.to_string())
}

fn number(value: impl Display) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn string(item: &Item, name: &str) -> Option<String> {
    item.get(name).and_then(|value| value.as_s().ok()).cloned()
}

fn version(item: &Item) -> Option<u64> {
    item.get("version")?.as_n().ok()?.parse().ok()
}

fn instant(item: &Item, name: &str) -> Option<Micros> {
    string(item, name)?.parse().ok()
}
