//! Signatures and secrets, and how much an application can delay that answers late or not at all.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};

use super::*;

fn alice() -> UserId {
    UserId::new("alice").unwrap()
}

fn request() -> WebhookRequest {
    WebhookRequest {
        id: "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(),
        now_ms: 1_614_265_330_123,
        body: br#"{"test": 2432232314}"#.to_vec(),
    }
}

/// The example of the specification's own libraries.
#[test]
fn a_request_is_signed_as_the_specification_has_it() {
    let secret: WebhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
    assert_eq!(
        signature(&secret, "1614265330", &request()),
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    );
}

#[test]
fn a_secret_has_the_form_of_the_specification_and_is_never_shown() {
    for text in [
        "",
        "secret",
        "whsec_",
        "whsec_c2hvcnQ=",
        "whsec_!!",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    ] {
        assert!(text.parse::<WebhookSecret>().is_err(), "{text}");
    }
    let secret: WebhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
    assert_eq!(format!("{secret:?}"), "WebhookSecret");
}

/// An application that answers after `thinks`, and the most questions it had at a time.
async fn application(thinks: Duration) -> (Url, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (most, now) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(answer(stream, thinks, Arc::clone(&now), Arc::clone(&seen)));
        }
    });
    (url.parse().unwrap(), most)
}

async fn answer(
    mut stream: TcpStream,
    thinks: Duration,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
) {
    let mut asked = Vec::new();
    while stream
        .read_buf(&mut asked)
        .await
        .is_ok_and(|bytes| bytes > 0)
    {
        if !asked.ends_with(&request().body) {
            continue;
        }
        asked.clear();
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        sleep(thinks).await;
        now.fetch_sub(1, Ordering::SeqCst);
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n\"current\"";
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

fn webhooks(url: Url, answer_max: Duration, concurrency: usize) -> Webhooks {
    let config = WebhookConfig {
        urls: [("review".to_owned(), url)].into(),
        answer_max,
        concurrency,
        ..WebhookConfig::default()
    };
    Webhooks::new(config).unwrap()
}

#[tokio::test]
async fn who_does_not_answer_in_time_is_not_waited_for() {
    let (url, _) = application(Duration::from_secs(600)).await;
    let webhooks = webhooks(url, Duration::from_millis(50), 1);
    for _ in 0..2 {
        let answer = webhooks.ask(&alice(), "review", request).await;
        assert!(matches!(answer, Err(WebhookError::Late)), "{answer:?}");
    }
}

#[tokio::test]
async fn no_more_than_the_configured_number_are_asked_at_a_time() {
    let (url, most) = application(Duration::from_millis(20)).await;
    let webhooks = webhooks(url, Duration::from_secs(60), 3);
    let (made, user) = (AtomicUsize::new(0), alice());
    let asked = (0..20).map(|_| {
        webhooks.ask(&user, "review", || {
            made.fetch_add(1, Ordering::SeqCst);
            request()
        })
    });
    for answer in join_all(asked).await {
        assert_eq!(answer.unwrap(), b"\"current\"");
    }
    assert_eq!(made.load(Ordering::SeqCst), 20);
    assert!((2..=3).contains(&most.load(Ordering::SeqCst)));
}

/// A question that waits for its turn holds no request yet.
#[tokio::test(start_paused = true)]
async fn who_waits_too_long_for_a_turn_asks_nobody() {
    let webhooks = webhooks("http://127.0.0.1:9/".parse().unwrap(), TURN_MAX, 1);
    let _taken = webhooks.turns.take(&alice()).await;
    let answer = webhooks
        .ask(&alice(), "review", || {
            panic!("no request is made before its turn")
        })
        .await;
    assert!(matches!(answer, Err(WebhookError::Crowded)), "{answer:?}");
}
