//! When to try for a pipeline's lease: a pure decision. Whether the try succeeds is the catalog's compare-and-set (I10).

use std::time::Duration;

use catalog::{Epoch, Lease, LeaseRequest, NodeId, PipelineId};
use vfs::Moment;

/// How long a lease is good for without renewal.
pub const LEASE_DURATION: Duration = Duration::from_secs(3);

/// What this server knows of one pipeline's lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseView {
    /// The lease as last seen, and when its renewals were first seen at that count.
    seen: Option<(Lease, Moment)>,
    /// Whether `seen` is this process's own.
    held: bool,
}

impl LeaseView {
    /// Takes note of the lease as the catalog has it.
    pub fn observe(&mut self, lease: Option<Lease>, held: bool, now: Moment) {
        let unchanged = matches!((&self.seen, &lease), (Some((before, _)), Some(lease)) if before == lease);
        if !unchanged {
            self.seen = lease.map(|lease| (lease, now));
        }
        self.held = held && self.seen.is_some();
    }

    /// The epoch under which this process leads, if it does.
    pub fn epoch(&self) -> Option<Epoch> {
        self.seen.as_ref().filter(|_| self.held).map(|(lease, _)| lease.epoch)
    }

    /// The request to make now, if it is time to renew, or to try to take over.
    pub fn request(&self, pipeline: PipelineId, me: &NodeId, now: Moment) -> Option<LeaseRequest> {
        let duration_ms = LEASE_DURATION.as_millis() as u64;
        let ask = |seen: Option<Lease>| LeaseRequest { pipeline, holder: me.clone(), seen, duration_ms };
        let Some((lease, since)) = &self.seen else { return Some(ask(None)) };
        let waited = now.since(*since);
        let due = if self.held {
            waited >= LEASE_DURATION / 3
        } else {
            // A lease in this node's own name is of its earlier process, which its data directory's lock proves gone.
            lease.holder == *me || waited >= Duration::from_millis(lease.duration_ms)
        };
        due.then(|| ask(Some(lease.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, renewals: u64) -> Lease {
        Lease { epoch: Epoch(4), holder: NodeId(holder.to_owned()), duration_ms: 3_000, renewals }
    }

    fn at(ms: u64) -> Moment {
        Moment::new(Duration::from_millis(ms))
    }

    #[test]
    fn another_holders_lease_is_tried_only_after_its_duration_without_a_renewal() {
        let (me, pipeline) = (NodeId("me".to_owned()), PipelineId(1));
        let mut view = LeaseView::default();
        view.observe(Some(lease("other", 1)), false, at(0));
        assert_eq!(view.request(pipeline, &me, at(2_999)), None);
        view.observe(Some(lease("other", 2)), false, at(2_999));
        assert_eq!(view.request(pipeline, &me, at(5_998)), None);
        assert!(view.request(pipeline, &me, at(5_999)).is_some());
    }

    #[test]
    fn my_own_lease_is_renewed_after_a_third_and_retaken_at_once_after_a_restart() {
        let (me, pipeline) = (NodeId("me".to_owned()), PipelineId(1));
        let mut view = LeaseView::default();
        view.observe(Some(lease("me", 1)), true, at(0));
        assert_eq!(view.request(pipeline, &me, at(999)), None);
        assert!(view.request(pipeline, &me, at(1_000)).is_some());
        let mut restarted = LeaseView::default();
        restarted.observe(Some(lease("me", 1)), false, at(0));
        assert!(restarted.request(pipeline, &me, at(0)).is_some());
        assert_eq!(restarted.epoch(), None);
    }
}
