//! Files that are created once. A store says "it is there already" also of what we wrote ourselves: where the reply to a write
//! was lost, the client writes again and finds its own file. And S3 may refuse one of two that write at once although nothing
//! is there afterwards. So what a refusal means is seen by reading back: our content, another's, or none yet.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, ObjectStore, PutMode, PutPayload};

use super::error::{Doing, LakeError};
use super::meta;

/// How often a file is written that the store refuses and that is not there.
const ATTEMPTS_MAX: usize = 5;

/// Writes a file unless there is one. True: it holds this content now, whoever wrote it. False: it holds another's.
pub(super) async fn create(store: &dyn ObjectStore, path: &Path, content: Bytes) -> Result<bool, LakeError> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let payload = PutPayload::from(content.clone());
        let Err(refusal) = store.put_opts(path, payload, PutMode::Create.into()).await else { return Ok(true) };
        match meta::read(store, path).await {
            Ok(Some(found)) => return Ok(found == content),
            Ok(None) if matches!(refusal, Error::AlreadyExists { .. }) && attempts < ATTEMPTS_MAX => {}
            Ok(None) | Err(_) => return Err(refusal).doing("create", path),
        }
    }
}

#[cfg(test)]
mod tests;
