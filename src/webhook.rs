//! Asks the application how to decide a change: one signed POST to a configured address, bounded in time and size.
//!
//! Requests and signatures follow the Standard Webhooks specification. `sync` decides what is asked, and what an answer
//! means.

mod turns;

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc, time::Duration};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Client, StatusCode, Url, redirect};
use tidegate_core::id::UserId;
use tokio::time::timeout;

use self::turns::Turns;
use crate::{lock::Mutex, telemetry::root_cause};

/// The most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// How long a question waits for its turn before its push is refused.
const TURN_MAX: Duration = Duration::from_secs(10);

/// The URLs of webhooks, and how they are called.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    /// The URLs by name.
    pub urls: BTreeMap<String, Url>,
    /// The secret that signs requests.
    pub secret: Option<WebhookSecret>,
    /// The secret before the present one. Requests are signed with both, so that the application can change its own.
    pub previous_secret: Option<WebhookSecret>,
    /// How long one answer may take.
    pub answer_max: Duration,
    /// How many questions may be open at a time.
    pub concurrency: usize,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            urls: BTreeMap::new(),
            secret: None,
            previous_secret: None,
            answer_max: Duration::from_secs(5),
            concurrency: 16,
        }
    }
}

impl WebhookConfig {
    fn secrets(&self) -> Vec<WebhookSecret> {
        let secrets = [&self.secret, &self.previous_secret];
        secrets.into_iter().flatten().cloned().collect()
    }
}

/// A secret in the form of the specification: `whsec_` and 24 to 64 bytes in base64.
#[derive(Clone)]
pub struct WebhookSecret(Arc<hmac::Key>);

/// A text that is no [`WebhookSecret`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is not whsec_ and 24 to 64 bytes in base64; `openssl rand -base64 32` makes such bytes"
)]
pub struct InvalidSecret;

impl FromStr for WebhookSecret {
    type Err = InvalidSecret;

    fn from_str(text: &str) -> Result<Self, InvalidSecret> {
        let encoded = text.strip_prefix("whsec_").ok_or(InvalidSecret)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| InvalidSecret)?;
        if !(24..=64).contains(&bytes.len()) {
            return Err(InvalidSecret);
        }
        Ok(Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &bytes))))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret")
    }
}

/// One request to a webhook.
#[derive(Debug)]
pub struct WebhookRequest {
    /// The id of the question. The same question has the same id when it is asked again.
    pub id: String,
    /// When it is asked, in milliseconds since 1970.
    pub now_ms: i64,
    /// The body, JSON.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The configuration has no URL for it.
    #[error("it has no address: name one in webhooks.urls")]
    Unknown,
    /// Too many questions wait, or the application says so. The push can be sent again.
    #[error("too many questions wait for their turn")]
    Crowded,
    /// The application is available, but refuses or does not answer this one question.
    #[error("the application is there, and does not take this question: {0}")]
    OfQuestion(Box<WebhookError>),
    /// It took too long.
    #[error("it did not answer in time")]
    Late,
    /// It could not be asked, or its answer could not be read.
    #[error("the request failed: {}", root_cause(.0))]
    Request(#[from] reqwest::Error),
    /// It answered, but not with 200.
    #[error("the answer was {0} instead of 200 (redirects are not followed)")]
    Status(StatusCode),
    /// The answer was too large.
    #[error("the answer is larger than {ANSWER_BYTES_MAX} bytes")]
    TooLarge,
}

impl WebhookError {
    /// The kind of the failure, as metrics name it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Crowded => "crowded",
            Self::OfQuestion(cause) if matches!(**cause, Self::Late) => "late",
            Self::OfQuestion(_) | Self::Status(_) => "refused",
            Self::Unknown | Self::Request(_) | Self::TooLarge => "failed",
        }
    }

    /// Whether the application says that it does not accept such a question.
    fn refuses_question(&self) -> bool {
        let Self::Status(status) = self else {
            return false;
        };
        matches!(
            *status,
            StatusCode::BAD_REQUEST
                | StatusCode::REQUEST_TIMEOUT
                | StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::UNPROCESSABLE_ENTITY
                | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
        )
    }

    /// Whether the question may be the reason that there is no answer: it was sent, at least in part.
    fn may_be_of_question(&self) -> bool {
        match self {
            Self::Late => true,
            Self::Request(error) => !error.is_connect(),
            _ => false,
        }
    }
}

/// The webhooks of an application.
pub struct Webhooks {
    config: WebhookConfig,
    /// Those that sign requests: the present one first.
    secrets: Mutex<Vec<WebhookSecret>>,
    /// `None` where no webhook is configured.
    client: Option<Client>,
    turns: Turns,
}

impl Webhooks {
    /// Prepares the client.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(config: WebhookConfig) -> reqwest::Result<Self> {
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            client: Some(client),
            turns: Turns::new(config.concurrency),
            secrets: Mutex::new(config.secrets()),
            config,
        })
    }

    /// Signs with the secrets of this configuration from now on. All else stays as it is.
    pub(crate) fn reload_secrets(&self, config: &WebhookConfig) {
        *self.secrets.lock() = config.secrets();
    }

    /// No webhook: the model's `overlap` decides instead.
    pub fn none() -> Self {
        let config = WebhookConfig::default();
        Self {
            client: None,
            turns: Turns::new(config.concurrency),
            secrets: Mutex::default(),
            config,
        }
    }

    /// Asks on behalf of a user, and returns the body of the answer. The request is built when its turn has come, since
    /// each of a thousand waiting requests would hold a document.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn ask(
        &self,
        user: &UserId,
        webhook: &str,
        request: impl FnOnce() -> WebhookRequest,
    ) -> Result<Vec<u8>, WebhookError> {
        let url = self.config.urls.get(webhook);
        let (Some(client), Some(url)) = (&self.client, url) else {
            return Err(WebhookError::Unknown);
        };
        let turn = timeout(TURN_MAX, self.turns.take(user)).await;
        let _turn = turn.map_err(|_| WebhookError::Crowded)?;
        let answer = timeout(self.config.answer_max, self.post(client, url, request())).await;
        match answer.unwrap_or(Err(WebhookError::Late)) {
            Err(WebhookError::Status(StatusCode::TOO_MANY_REQUESTS)) => Err(WebhookError::Crowded),
            Err(error) if error.refuses_question() => Err(WebhookError::OfQuestion(error.into())),
            Err(error) if error.may_be_of_question() && self.is_there(client, url).await => {
                Err(WebhookError::OfQuestion(error.into()))
            }
            answer => answer,
        }
    }

    /// Whether the application answers a request without a question.
    async fn is_there(&self, client: &Client, url: &Url) -> bool {
        let head = client.head(url.clone()).timeout(self.config.answer_max);
        let answer = head.send().await;
        answer.is_ok_and(|answer| !answer.status().is_server_error())
    }

    async fn post(
        &self,
        client: &Client,
        url: &Url,
        request: WebhookRequest,
    ) -> Result<Vec<u8>, WebhookError> {
        let timestamp = (request.now_ms / 1_000).to_string();
        let mut post = client
            .post(url.clone())
            .header("content-type", "application/json")
            .header("webhook-id", &request.id)
            .header("webhook-timestamp", &timestamp);
        let secrets = self.secrets.lock().clone();
        if !secrets.is_empty() {
            let signatures = secrets.iter();
            let signatures = signatures.map(|secret| signature(secret, &timestamp, &request));
            let signatures = signatures.collect::<Vec<_>>().join(" ");
            post = post.header("webhook-signature", signatures);
        }
        let mut response = post.body(request.body).send().await?;
        if response.status() != StatusCode::OK {
            return Err(WebhookError::Status(response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(WebhookError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// HMAC-SHA256 over `id.timestamp.body`.
fn signature(secret: &WebhookSecret, timestamp: &str, request: &WebhookRequest) -> String {
    let mut signed = format!("{}.{timestamp}.", request.id).into_bytes();
    signed.extend_from_slice(&request.body);
    let tag = hmac::sign(&secret.0, &signed);
    format!("v1,{}", STANDARD.encode(tag.as_ref()))
}

#[cfg(test)]
mod tests;
