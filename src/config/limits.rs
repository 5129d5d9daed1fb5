//! The section `limits`: reads [`Limits`] from the settings, and checks that they fit one another.

use std::{collections::BTreeSet, ops::RangeInclusive, time::Duration};

use tidegate_core::{decide::DOCUMENT_BYTES_MAX, id::UserId};

use super::reader::{SettingError, SettingReader};
use crate::limits::{Limits, NUMBERS};

/// A setting that is a duration.
pub(super) struct DurationLimit {
    pub(super) key: &'static str,
    pub(super) default: Duration,
    pub(super) bounds: RangeInclusive<u64>,
}

/// The range of the setting; its default is that of [`Limits`].
pub(super) fn request_time() -> DurationLimit {
    let default = Limits::default().request_time;
    DurationLimit::new("limits.request_time", default.as_secs(), 1..=600)
}

impl DurationLimit {
    /// The default and the bounds are seconds.
    pub(super) const fn new(key: &'static str, default: u64, bounds: RangeInclusive<u64>) -> Self {
        Self {
            key,
            default: Duration::from_secs(default),
            bounds,
        }
    }

    pub(super) fn read(&self, reader: &mut SettingReader) -> Duration {
        let (first, last) = (self.bounds.start(), self.bounds.end());
        let rule = format!("must lie between {first}s and {last}s");
        let form = "a duration, such as \"30s\"";
        let duration = reader.get(self.key, form, |text: String| {
            let duration = super::parse_duration(&text).map_err(SettingError::because)?;
            match self.bounds.contains(&duration.as_secs()) {
                true => Ok(duration),
                false => Err(SettingError::Because(rule)),
            }
        });
        duration.unwrap_or(self.default)
    }
}

/// Reads the whole section, and checks that the limits fit one another.
pub(super) fn limits(reader: &mut SettingReader) -> Limits {
    let mut limits = Limits::default();
    for number in NUMBERS {
        let limit = (number.of)(&mut limits);
        *limit = whole_number(reader, number.key, &number.range).unwrap_or(*limit);
    }
    limits.request_time = request_time().read(reader);
    limits.services = services(reader);
    let page_bytes = limits.page_bytes + DOCUMENT_BYTES_MAX;
    if limits.answer_bytes < page_bytes {
        let message = format!(
            "is less than a page may have: limits.page_bytes and one document more, {page_bytes}"
        );
        reader.refuse("limits.answer_bytes", &message);
    }
    if limits.push_queue_bytes < limits.body_bytes {
        reader.refuse(
            "limits.push_queue_bytes",
            "is less than limits.body_bytes, so that some pushes would never be taken",
        );
    }
    if limits.user_buffer_bytes < limits.answer_bytes {
        reader.refuse(
            "limits.user_buffer_bytes",
            "is less than limits.answer_bytes, so that some answers could never be sent",
        );
    }
    if limits.buffer_bytes < limits.user_buffer_bytes {
        reader.refuse(
            "limits.buffer_bytes",
            "is less than limits.user_buffer_bytes, so that one user could have all of it",
        );
    }
    limits
}

/// The users that may give any number of memberships.
fn services(reader: &mut SettingReader) -> BTreeSet<UserId> {
    let form = "a list of users, such as [\"importer\"]";
    let services = reader.get("limits.services", form, |names: Vec<String>| {
        let users = names.iter().map(|name| UserId::new(name));
        users
            .collect::<Result<_, _>>()
            .map_err(SettingError::because)
    });
    services.unwrap_or_default()
}

/// A number in a range.
pub(super) fn whole_number(
    reader: &mut SettingReader,
    key: &'static str,
    range: &RangeInclusive<usize>,
) -> Option<usize> {
    let form = format!("a whole number from {} to {}", range.start(), range.end());
    reader.get(key, &form, |value: i64| {
        let value = usize::try_from(value).ok();
        value
            .filter(|it| range.contains(it))
            .ok_or(SettingError::Form)
    })
}
