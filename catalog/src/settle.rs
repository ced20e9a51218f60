//! Carries a commit to a known end (I6). The waiting is here; that a repeated commit is applied once is the commit's own doing.

use std::time::Duration;

use vfs::{World, planted};

use crate::{CatalogError, CatalogService, CommitOutcome, CommitRequest, Version};

/// The pause after the first attempt without an answer; each further one is twice as long, at random up to a half shorter.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Sends the identical commit again until it ends `Committed`, `Fenced` or `Conflict`, for as long as the catalog does not
/// answer. An absent token decides nothing, because an earlier attempt may still land; a known end of *any* attempt
/// decides for all of them, because it means either that the token is there, or that what every attempt compares has
/// changed for ever (an epoch and a committed offset never go back).
///
/// Dropping the returned future leaves the outcome unknown. An error means that waiting does not help: `Closed`, a request
/// that is wrong, or a damaged catalog. Then, too, the outcome is unknown if an earlier attempt had no answer, and the next
/// owner of the streams learns it from their committed offsets.
pub async fn commit_settled(
    service: &dyn CatalogService,
    world: &World,
    request: &CommitRequest,
) -> Result<CommitOutcome, CatalogError> {
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match service.commit(request).await {
            Ok(outcome) => return Ok(outcome),
            Err(CatalogError::MaybeCommitted { .. }) if planted::is("unknown-taken-as-success") => {
                return Ok(CommitOutcome::Committed(Version::ZERO));
            }
            Err(error @ (CatalogError::MaybeCommitted { .. } | CatalogError::Unavailable { .. })) => error,
            Err(error) => return Err(error),
        };
        tracing::warn!(writer = %request.writer, token = %request.token, %error, "sending the same commit again");
        let half = pause / 2;
        let random = world.random.next_u64() % (half.as_micros() as u64 + 1);
        world.clock.sleep(half + Duration::from_micros(random)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
