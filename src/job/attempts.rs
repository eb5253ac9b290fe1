//! Of builds at once one wins each commit; the others compute again from what it left. A bound stands against never getting through.

use crate::lake::LakeError;

use super::JobError;

/// How often something is computed anew because another build won.
const ATTEMPTS_MAX: usize = 20;

/// Attempts something until no other build was in the way; it must begin from fresh snapshots each time.
pub(crate) async fn until_unopposed(mut attempt: impl AsyncFnMut() -> Result<(), JobError>) -> Result<(), JobError> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match attempt().await {
            Err(JobError::Lake(LakeError::Conflict { .. })) if attempts < ATTEMPTS_MAX => {}
            Err(JobError::Lake(LakeError::Conflict { table })) => return Err(JobError::Busy { table }),
            done => return done,
        }
    }
}
