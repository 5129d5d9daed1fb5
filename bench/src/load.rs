//! Clients that work for a while, each with one request under way at a time, and their results together.
//!
//! The caller provides the work. The same loop drives the floor and the gateway.

use std::time::{Duration, Instant};

use crate::figure::percentile;

/// What all clients did in one window.
pub(crate) struct Done {
    /// Changes or documents.
    pub(crate) items: usize,
    pub(crate) elapsed: Duration,
    /// Of each push or pull, in milliseconds, ascending.
    latencies_ms: Vec<f64>,
}

impl Done {
    pub(crate) fn rate(&self) -> f64 {
        self.items as f64 / self.elapsed.as_secs_f64()
    }

    /// How many pushes or pulls.
    pub(crate) fn count(&self) -> usize {
        self.latencies_ms.len()
    }

    pub(crate) fn percentile_ms(&self, percent: f64) -> f64 {
        percentile(&self.latencies_ms, percent)
    }
}

/// A client that does one thing after the other.
pub(crate) trait Client: Send + 'static {
    /// Does one thing to its end. Returns the number of its items.
    fn step(&mut self) -> impl Future<Output = usize> + Send;
}

/// Lets all of them work until the window is over. What has begun is finished, and counted with the time it takes.
pub(crate) async fn work<C: Client>(clients: Vec<C>, window: Duration) -> (Vec<C>, Done) {
    let began = Instant::now();
    let working: Vec<_> = clients
        .into_iter()
        .map(|client| tokio::spawn(work_alone(client, began, window)))
        .collect();
    let (mut clients, mut items, mut latencies_ms) = (Vec::new(), 0, Vec::new());
    for worker in working {
        let (client, done, latencies) = worker.await.unwrap();
        clients.push(client);
        items += done;
        latencies_ms.extend(latencies);
    }
    let elapsed = began.elapsed();
    latencies_ms.sort_by(f64::total_cmp);
    let done = Done {
        items,
        elapsed,
        latencies_ms,
    };
    (clients, done)
}

async fn work_alone<C: Client>(
    mut client: C,
    began: Instant,
    window: Duration,
) -> (C, usize, Vec<f64>) {
    let (mut items, mut latencies_ms) = (0, Vec::new());
    while began.elapsed() < window {
        let step = Instant::now();
        items += client.step().await;
        latencies_ms.push(step.elapsed().as_secs_f64() * 1e3);
    }
    (client, items, latencies_ms)
}
