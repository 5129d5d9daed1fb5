//! The thread that carries commits out. The steps of a transaction follow one another, and all requests in its scopes
//! wait for the last step. On this thread no step waits until requests are read and answers written, or wakes a second
//! thread.
//!
//! [`super::commit`] says what a commit does. The connections of commits belong to this thread, so that answers arrive
//! here.

use std::{io, thread};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};
use tokio_util::task::AbortOnDropHandle;

use crate::store::{StoreError, ended_early};

/// The thread. Dropping this ends it.
pub(super) struct CommitThread {
    runtime: Handle,
    _lives: oneshot::Sender<()>,
}

impl CommitThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`io::Error`] if the system has no more threads.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (lives, ended) = oneshot::channel::<()>();
        let until_dropped = move || {
            runtime.block_on(ended).unwrap_or_default();
            runtime.shutdown_background();
        };
        thread::Builder::new()
            .name("tidegate-commit".to_owned())
            .spawn(until_dropped)?;
        Ok(Self {
            runtime: handle,
            _lives: lives,
        })
    }

    /// Runs `work` on the thread. Dropping the future abandons it.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let working = AbortOnDropHandle::new(self.runtime.spawn(work));
        working
            .await
            .unwrap_or_else(|ended| Err(ended_early(&ended)))
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn work_is_done_on_the_thread_and_given_up_with_its_caller() {
        let writer = CommitThread::start().unwrap();
        let name = async { Ok(thread::current().name().map(str::to_owned)) };
        let name = writer.run(name).await.unwrap();
        assert_eq!(name.as_deref(), Some("tidegate-commit"));
        let panics = async { panic!("on purpose") };
        let failed = writer.run::<()>(panics).await;
        assert!(matches!(failed, Err(StoreError::Unavailable(_))));
        let (held, given_up) = oneshot::channel::<()>();
        let endless = async move {
            let _held = held;
            pending().await
        };
        let waiting = writer.run::<()>(endless);
        assert!(waiting.now_or_never().is_none());
        assert!(given_up.await.is_err());
    }
}
