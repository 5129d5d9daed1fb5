//! The section `webhooks`: the addresses that are asked about conflicts, and the key that signs requests.

use std::{collections::BTreeMap, ops::RangeInclusive};

use reqwest::Url;

use super::{
    check::{https_url, warn_of_file},
    limits::{DurationLimit, whole_number},
    reader::{SettingError, SettingReader},
};
use crate::webhook::{WebhookConfig, WebhookSecret};

const CONCURRENCY: RangeInclusive<usize> = 1..=1_000;

pub(super) fn webhooks(reader: &mut SettingReader) -> WebhookConfig {
    let urls = reader.get(
        "webhooks.urls",
        "addresses by name, such as { review = \"https://app.example.com/conflicts\" }",
        urls,
    );
    let secret = reader.get("webhooks.secret", "a text", |text: String| {
        text.parse::<WebhookSecret>().map_err(SettingError::because)
    });
    let previous_secret = reader.get("webhooks.previous_secret", "a text", |text: String| {
        text.parse::<WebhookSecret>().map_err(SettingError::because)
    });
    for key in ["webhooks.secret", "webhooks.previous_secret"] {
        warn_of_file(reader, key, "");
    }
    if urls.as_ref().is_some_and(|urls| !urls.is_empty()) {
        reader.require(
            "webhooks.secret",
            "what requests are signed with: whsec_ and 24 to 64 bytes in base64",
        );
    }
    let default = WebhookConfig::default();
    let seconds = default.answer_max.as_secs();
    let concurrency = whole_number(reader, "webhooks.concurrency", &CONCURRENCY);
    WebhookConfig {
        urls: urls.unwrap_or_default(),
        secret,
        previous_secret,
        answer_max: DurationLimit::new("webhooks.timeout", seconds, 1..=10).read(reader),
        concurrency: concurrency.unwrap_or(default.concurrency),
    }
}

fn urls(pairs: BTreeMap<String, String>) -> Result<BTreeMap<String, Url>, SettingError> {
    pairs
        .into_iter()
        .map(|(name, url)| Ok((name, https_url(url)?)))
        .collect()
}
