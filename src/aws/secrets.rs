//! Secrets kept by AWS: `secretsmanager:ID` (a name or an ARN, the current version) and `ssm:NAME` (a parameter, decrypted).

use std::error::Error;

use super::{Aws, AwsError};

impl Aws {
    /// The bytes of a secret.
    pub async fn secret(&self, reference: &str) -> Result<Vec<u8>, AwsError> {
        match reference.split_once(':') {
            Some(("secretsmanager", id)) => self.managed_secret(id).await,
            Some(("ssm", name)) => self.parameter(name).await,
            _ => Err(AwsError::of(
                "AWS",
                format!("read `{reference}`"),
                Box::<dyn Error + Send + Sync>::from("unknown kind"),
            )),
        }
    }

    async fn managed_secret(&self, id: &str) -> Result<Vec<u8>, AwsError> {
        const SERVICE: &str = "Secrets Manager";
        let action = || format!("read the secret {id}");
        let client = aws_sdk_secretsmanager::Client::new(self.config());
        let found = client.get_secret_value().secret_id(id).send().await;
        let found = found.map_err(|source| AwsError::of(SERVICE, action(), source))?;
        let text = found.secret_string.map(String::into_bytes);
        let value = text.or_else(|| found.secret_binary.map(aws_sdk_secretsmanager::primitives::Blob::into_inner));
        value.ok_or_else(|| AwsError::Incomplete { service: SERVICE, action: action(), what: "value" })
    }

    async fn parameter(&self, name: &str) -> Result<Vec<u8>, AwsError> {
        const SERVICE: &str = "Systems Manager";
        let action = || format!("read the parameter {name}");
        let client = aws_sdk_ssm::Client::new(self.config());
        let found = client.get_parameter().name(name).with_decryption(true).send().await;
        let found = found.map_err(|source| AwsError::of(SERVICE, action(), source))?;
        let value = found.parameter.and_then(|parameter| parameter.value);
        let value = value.ok_or_else(|| AwsError::Incomplete { service: SERVICE, action: action(), what: "value" })?;
        Ok(value.into_bytes())
    }
}
