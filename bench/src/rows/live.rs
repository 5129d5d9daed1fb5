//! Live changes: how long it takes from the start of a write until a subscriber has it, against the change stream alone.

use std::time::{Duration, Instant};

use tokio::{join, time::sleep};

use super::{Bench, Pusher, RawScope, Target};
use crate::{
    client::Device,
    figure::{Bar, Row, percentile},
    floor::Tail,
    load::Client,
    swarm::Subscriber,
};

/// How much longer than the change stream itself the gateway may take.
const BAR: Bar = Bar::AtMost(1.5);

/// Between two writes, so that none waits for another.
const PAUSE: Duration = Duration::from_millis(5);

const SCOPE: &str = "user:live";

/// A reader that waits for one write after the other.
trait Reported {
    async fn reported(&mut self);
}

impl Reported for Tail {
    async fn reported(&mut self) {
        self.next().await;
    }
}

impl Reported for Subscriber {
    async fn reported(&mut self) {
        let message = self.hear().await;
        assert!(message.contains(r#""documentId":"#), "{message}");
    }
}

pub(super) async fn rows(bench: &mut Bench) -> Vec<Row> {
    let gateway = bench.gateway();
    let target = RawScope {
        lane: bench.lanes[0].clone(),
        scope: SCOPE.to_owned(),
    };
    let mut raw = Pusher::new(target, 1, bench.numbers());
    let mut tail = bench.floor.tail().await;
    let user = gateway.user("live", &[]);
    let mut pusher = Pusher::new(Device::new(&user, SCOPE).await, 1, bench.numbers());
    let mut subscriber = Subscriber::open(&user).await;
    let (mut medians, mut slowest) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        let floor = latencies_ms(bench.window, &mut raw, &mut tail).await;
        let gateway = latencies_ms(bench.window, &mut pusher, &mut subscriber).await;
        let of = |percent| (percentile(&floor, percent), percentile(&gateway, percent));
        medians.push(of(50.0));
        slowest.push(of(99.0));
    }
    vec![
        Row::compared("write to subscriber, p50", "ms", &medians)
            .bar(BAR)
            .headline(),
        Row::compared("write to subscriber, p99", "ms", &slowest),
    ]
}

/// The times from the start of each write to its arrival, ascending.
async fn latencies_ms<T: Target>(
    window: Duration,
    pusher: &mut Pusher<T>,
    reported: &mut impl Reported,
) -> Vec<f64> {
    let (began, mut latencies_ms) = (Instant::now(), Vec::new());
    while began.elapsed() < window {
        let start = Instant::now();
        let heard = async {
            reported.reported().await;
            start.elapsed()
        };
        let (_, latency) = join!(pusher.step(), heard);
        latencies_ms.push(latency.as_secs_f64() * 1e3);
        sleep(PAUSE).await;
    }
    latencies_ms.sort_by(f64::total_cmp);
    latencies_ms
}
