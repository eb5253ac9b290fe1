//! The API keys of API Gateway, as the keys file wants them. A key's value is hashed where it is read and goes no further; where
//! nothing is hashed it is not asked for.

use aws_sdk_apigateway::Client;
use aws_sdk_apigateway::types::ApiKey;

use super::{Aws, AwsError};
use crate::base::Micros;
use crate::billing::OfferedKey;
use crate::decode::{KeySecret, key_ref};

const SERVICE: &str = "API Gateway";
/// Keys of one answer: as many as API Gateway gives.
const PAGE: i32 = 500;

impl Aws {
    /// Every API key of the account in this region, in the order of their ids; its fingerprint is made with `secret`, and its
    /// customer is what the tag `customer_tag` says.
    pub async fn api_keys(&self, secret: Option<&KeySecret>, customer_tag: &str) -> Result<Vec<OfferedKey>, AwsError> {
        let client = Client::new(self.config());
        let call = client.get_api_keys().include_values(secret.is_some()).limit(PAGE);
        let mut found = call.into_paginator().items().send();
        let mut keys = Vec::new();
        while let Some(key) = found.next().await {
            let key = key.map_err(|source| AwsError::of(SERVICE, "list the API keys", source))?;
            keys.push(offered(key, secret, customer_tag)?);
        }
        keys.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(keys)
    }
}

fn offered(key: ApiKey, secret: Option<&KeySecret>, customer_tag: &str) -> Result<OfferedKey, AwsError> {
    let lacks = |what| AwsError::Incomplete { service: SERVICE, action: "list the API keys".to_owned(), what };
    let value = key.value.filter(|value| !value.is_empty());
    if secret.is_some() && value.is_none() {
        return Err(lacks("value of a key: apigateway:GET on /apikeys with values is needed"));
    }
    // Somebody may have named a key after its value.
    let is_no_secret = |text: &String| value.as_ref().is_none_or(|value| !text.contains(value.as_str()));
    let customer = key.tags.and_then(|mut tags| tags.remove(customer_tag));
    let created = key.created_date.ok_or_else(|| lacks("time of creation of a key"))?;
    Ok(OfferedKey {
        id: key.id.ok_or_else(|| lacks("id of a key"))?,
        name: key.name.filter(is_no_secret),
        fingerprint: secret.zip(value.as_ref()).map(|(secret, value)| key_ref(secret, value.as_bytes())),
        customer_id: customer.filter(is_no_secret),
        created_at: Micros(created.secs().saturating_mul(1_000_000)),
    })
}
