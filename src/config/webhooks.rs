//! The section `webhooks`: the addresses that are asked about conflicts, and the key that signs requests.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use reqwest::Url;

use super::{
    check::{https_url, warn_of_file},
    parse_duration,
    reader::{SettingError, SettingReader},
    settings::Pairs,
};
use crate::webhook::{WebhookConfig, WebhookSecret};

const ANSWER: RangeInclusive<Duration> = Duration::from_millis(1_000)..=Duration::from_secs(10);
const CONCURRENCY: RangeInclusive<i64> = 1..=1_000;

pub(super) fn webhooks(reader: &mut SettingReader) -> WebhookConfig {
    let urls = reader.get(
        "webhooks.urls",
        "addresses by name, such as { review = \"https://app.example.com/conflicts\" }",
        urls,
    );
    let secret = reader.get("webhooks.secret", "a text", |text: String| {
        text.parse::<WebhookSecret>().map_err(SettingError::because)
    });
    if secret.is_some() {
        warn_of_file(reader, "webhooks.secret", "");
    }
    if urls.as_ref().is_some_and(|urls| !urls.is_empty()) {
        reader.require(
            "webhooks.secret",
            "what requests are signed with: whsec_ and 24 to 64 bytes in base64",
        );
    }
    let answer_max = reader.get("webhooks.timeout", "a duration, such as \"5s\"", answer_max);
    let concurrency = reader.get("webhooks.concurrency", "a whole number", |number: i64| {
        if CONCURRENCY.contains(&number) {
            usize::try_from(number).map_err(|_| SettingError::Form)
        } else {
            Err(SettingError::Because(format!(
                "must lie between {} and {}",
                CONCURRENCY.start(),
                CONCURRENCY.end()
            )))
        }
    });
    let default = WebhookConfig::default();
    WebhookConfig {
        urls: urls.unwrap_or_default(),
        secret,
        answer_max: answer_max.unwrap_or(default.answer_max),
        concurrency: concurrency.unwrap_or(default.concurrency),
    }
}

fn urls(Pairs(pairs): Pairs) -> Result<BTreeMap<String, Url>, SettingError> {
    pairs
        .into_iter()
        .map(|(name, url)| Ok((name, https_url(url)?)))
        .collect()
}

fn answer_max(text: String) -> Result<Duration, SettingError> {
    let duration = parse_duration(&text).map_err(|_| SettingError::Form)?;
    if ANSWER.contains(&duration) {
        Ok(duration)
    } else {
        Err(SettingError::Because(
            "must lie between 1s and 10s".to_owned(),
        ))
    }
}
