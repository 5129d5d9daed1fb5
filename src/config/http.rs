//! The section `http`: which pages may call and what they may send, and how long the gateway waits for its peers.

use reqwest::{Url, header::HeaderName};

use super::{
    HttpConfig, HttpTimes,
    limits::DurationLimit,
    reader::{SettingError, SettingReader},
};

/// Longer than the 60 s for which common load balancers keep idle connections. Otherwise they would send requests into closing
/// ones.
pub(super) const HEAD_TIME: DurationLimit = DurationLimit::new("http.head_time", 75, 1..=3_600);
/// A body that takes longer would only occupy its connection.
pub(super) const BODY_TIME: DurationLimit = DurationLimit::new("http.body_time", 30, 1..=600);
/// How long a phone may be without a network, between two antennas.
pub(super) const WRITE_TIME: DurationLimit = DurationLimit::new("http.write_time", 30, 1..=600);
/// As long as a connection may wait for its next request, so that idle connections of a proxy do not end earlier.
pub(super) const TOKEN_TIME: DurationLimit = DurationLimit::new("http.token_time", 75, 1..=3_600);
/// Below the 30 s after which some mobile networks and proxies forget an idle connection.
pub(super) const PING_INTERVAL: DurationLimit =
    DurationLimit::new("http.ping_interval", 25, 1..=600);

/// A gateway that stops by hand, or behind nothing, need not wait.
pub(super) const DRAIN_DELAY: DurationLimit = DurationLimit::new("http.drain_delay", 0, 0..=300);
/// Less than the 30 s after which Kubernetes kills a process.
pub(super) const DRAIN_TIME: DurationLimit = DurationLimit::new("http.drain_time", 10, 1..=600);

pub(super) fn http(reader: &mut SettingReader) -> HttpConfig {
    let form = "a list of origins, such as [\"https://app.example.com\"]";
    let origins = reader.get("http.allowed_origins", form, |origins: Vec<String>| {
        origins.iter().try_for_each(|origin| check_origin(origin))?;
        Ok(origins)
    });
    let form = "a list of names of headers, such as [\"x-tenant\"]";
    let headers = reader.get("http.allowed_headers", form, |headers: Vec<String>| {
        headers.iter().map(|header| header_name(header)).collect()
    });
    HttpConfig {
        allowed_origins: origins.unwrap_or_default(),
        allowed_headers: headers.unwrap_or_default(),
        times: HttpTimes {
            head: HEAD_TIME.read(reader),
            body: BODY_TIME.read(reader),
            write: WRITE_TIME.read(reader),
            ping: PING_INTERVAL.read(reader),
            token: TOKEN_TIME.read(reader),
            drain_delay: DRAIN_DELAY.read(reader),
            drain: DRAIN_TIME.read(reader),
        },
    }
}

/// An origin is compared byte by byte with what the browser sends, so it has to be written as browsers write it.
fn check_origin(origin: &str) -> Result<(), SettingError> {
    if origin.contains('*') {
        return Err(SettingError::Because(
            "contains \"*\"; name the origins of your apps".to_owned(),
        ));
    }
    let url = Url::parse(origin).map_err(|_| SettingError::Form)?;
    let canonical = canonical_origin(&url).ok_or(SettingError::Form)?;
    if canonical == origin {
        return Ok(());
    }
    Err(SettingError::Because(format!(
        "contains {origin:?}, which browsers send as {canonical:?}"
    )))
}

/// Apps in a web view have schemes of their own, such as `capacitor://localhost`. The URL standard calls their origins
/// opaque, but web views send them like this. A URL without a host has no origin to send.
fn canonical_origin(url: &Url) -> Option<String> {
    let origin = url.origin();
    if origin.is_tuple() {
        return Some(origin.ascii_serialization());
    }
    let (scheme, host) = (url.scheme(), url.host_str()?);
    Some(url.port().map_or_else(
        || format!("{scheme}://{host}"),
        |port| format!("{scheme}://{host}:{port}"),
    ))
}

/// Browsers take `*` for no header that is not named beside it, such as `Authorization`.
fn header_name(name: &str) -> Result<HeaderName, SettingError> {
    if name == "*" {
        return Err(SettingError::Because(
            "contains \"*\"; name the headers that your apps send".to_owned(),
        ));
    }
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
        SettingError::Because(format!("contains {name:?}, which is no name of a header"))
    })
}
