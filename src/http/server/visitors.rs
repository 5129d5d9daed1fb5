//! Connections before anybody knows whose they are: how many there may be, and what those are told who are too many.
//! What a user may hold is counted elsewhere, once there is one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::graphql::answer::Answer;
use crate::graphql::error::{Code, Failure};

/// How many are told at a time that they are too many; others are dropped without a word.
const TOLD_MAX: usize = 64;
/// How long a client may take to hear it.
const TOLD_DEADLINE: Duration = Duration::from_secs(1);

/// The connections that are open.
pub(super) struct Visitors {
    all: Arc<Semaphore>,
    new: Arc<Semaphore>,
    told: Arc<Semaphore>,
    is_full: AtomicBool,
}

/// A connection's place among all, and among the new ones until it has shown a good token.
pub(in crate::http) struct Visit {
    _place: OwnedSemaphorePermit,
    new: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Visit {
    /// Whose connection it is has been shown: it makes room for a new one.
    pub(in crate::http) fn is_known(&self) {
        let mut new = self.new.lock().unwrap_or_else(PoisonError::into_inner);
        drop(new.take());
    }
}

impl Visitors {
    pub(super) fn new(all_max: usize, new_max: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all_max)),
            new: Arc::new(Semaphore::new(new_max)),
            told: Arc::new(Semaphore::new(TOLD_MAX)),
            is_full: AtomicBool::new(false),
        }
    }

    /// Takes a place for one more connection, if there is one.
    pub(super) fn enter(&self) -> Option<Arc<Visit>> {
        let place = Arc::clone(&self.all).try_acquire_owned();
        let new = Arc::clone(&self.new).try_acquire_owned();
        let visit = place.ok().zip(new.ok()).map(|(place, new)| {
            Arc::new(Visit {
                _place: place,
                new: Mutex::new(Some(new)),
            })
        });
        // A flood would fill the log as well.
        if !self.is_full.swap(visit.is_none(), Ordering::Relaxed) && visit.is_none() {
            tracing::warn!(target: "http", "there are as many connections as there may be; others are refused");
        }
        visit
    }

    /// What tells a client that there is no place, where not too many are being told already.
    pub(super) fn refusal(
        &self,
        stream: TcpStream,
    ) -> Option<impl Future<Output = ()> + Send + 'static> {
        let told = Arc::clone(&self.told).try_acquire_owned().ok()?;
        Some(async move {
            let _told = told;
            timeout(TOLD_DEADLINE, tell(stream)).await.ok();
        })
    }
}

/// Reads on until the client has heard it: a connection that is closed on unread bytes is reset.
async fn tell(mut stream: TcpStream) -> Option<()> {
    stream.write_all(&too_many()).await.ok()?;
    stream.shutdown().await.ok()?;
    let mut ignored = [0; 1024];
    while stream.read(&mut ignored).await.ok()? > 0 {}
    Some(())
}

fn too_many() -> Vec<u8> {
    let message = "There are as many connections as there may be. Try again in a moment.";
    let body = Answer::from(Failure::new(Code::Overloaded, message)).into_json();
    let length = body.len();
    let mut response = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: {length}\r\nretry-after: 1\r\nconnection: close\r\n\r\n"
    )
    .into_bytes();
    response.extend(body);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_connections_leave_room_once_they_are_known() {
        let visitors = Visitors::new(3, 2);
        let [first, second] = [(); 2].map(|()| visitors.enter());
        assert!(first.is_some() && second.is_some());
        assert!(visitors.enter().is_none(), "two are new");
        first.as_ref().unwrap().is_known();
        let third = visitors.enter();
        assert!(third.is_some());
        second.as_ref().unwrap().is_known();
        assert!(visitors.enter().is_none(), "three are all");
        drop(first);
        assert!(visitors.enter().is_some());
    }
}
