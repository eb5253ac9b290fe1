//! The Lambda runtime: events in, answers out, one at a time. An error goes back to Lambda, which tries the event again.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

use super::AwsError;

/// Answers events until Lambda ends the process.
pub async fn serve(answer: impl AsyncFn(Value) -> anyhow::Result<Value>) -> Result<(), AwsError> {
    let answer = &answer;
    let service = service_fn(move |event: LambdaEvent<Value>| async move {
        answer(event.payload).await.map_err(|error| Error::from(format!("{error:#}")))
    });
    lambda_runtime::run(service).await.map_err(|source| AwsError::of("Lambda", "serve its runtime", source))
}
