//! An application's webhook: it keeps its questions and answers as the test requires.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::Value;

/// One question as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

type Answer = Arc<dyn Fn(&Value) -> Response + Send + Sync>;

/// A webhook that listens on a port of its own until the test ends.
pub(crate) struct Application {
    /// Its address.
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Application {
    /// Answers each question with what `answer` makes of it.
    pub(crate) async fn start(answer: impl Fn(&Value) -> Response + Send + Sync + 'static) -> Self {
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let state = (Arc::clone(&asked), Arc::new(answer) as Answer);
        let router = Router::new().route("/", post(receive)).with_state(state);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, asked }
    }

    /// Answers each question with this JSON.
    pub(crate) async fn answering(answer: Value) -> Self {
        Self::start(move |_| (StatusCode::OK, answer.to_string()).into_response()).await
    }

    /// The questions so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn receive(
    State((asked, answer)): State<(Arc<Mutex<Vec<Asked>>>, Answer)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body = body.to_vec();
    let question = Asked { headers, body };
    let answer = answer(&question.json());
    asked.lock().unwrap().push(question);
    answer
}
