//! Where heavy computing runs, so that it holds up neither the network nor, in a simulation, the one thread's order.

use std::fmt;

use async_trait::async_trait;
use tokio::sync::oneshot;

/// The seam of threads: runs one closure to its end, elsewhere or here. Call it through [`compute`].
#[async_trait]
pub trait Compute: Send + Sync + fmt::Debug {
    /// Runs `work`; returns when it has ended. A panic in `work` is a panic of the caller.
    async fn run(&self, work: Box<dyn FnOnce() + Send>);
}

/// Runs `work` on `pool` and returns its value.
///
/// # Panics
/// If `work` panics.
pub async fn compute<T: Send + 'static>(pool: &dyn Compute, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = oneshot::channel();
    pool.run(Box::new(move || drop(sender.send(work())))).await;
    receiver.await.expect("the closure ran, so it has sent its value")
}

/// Tokio's pool of blocking threads.
#[derive(Debug, Default)]
pub struct ThreadPool;

#[async_trait]
impl Compute for ThreadPool {
    async fn run(&self, work: Box<dyn FnOnce() + Send>) {
        if let Err(error) = tokio::task::spawn_blocking(work).await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

/// The caller's own thread: for simulations, where the order of steps must follow from the seed.
#[derive(Debug, Default)]
pub struct Inline;

#[async_trait]
impl Compute for Inline {
    async fn run(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }
}
