//! Days of the calendar: text such as `2026-02-28`, and the instant at which such a day begins in UTC.
//!
//! Texts of one length are in the order of their days, so that nothing else compares them.

use super::Timestamp;

/// What a day is followed by in the text of the instant at which it begins.
const MIDNIGHT: &str = "T00:00:00.000Z";

/// Whether `text` is a day of the Gregorian calendar, extended to the years 0001 to 9999.
pub fn is_date(text: &str) -> bool {
    beginning(text).is_some()
}

/// The instant at which a day begins in UTC; `None` if `text` is no day.
pub fn beginning(text: &str) -> Option<Timestamp> {
    // RFC 3339 builds its date-times from such dates, so its parser knows the calendar.
    let has_form = text.len() == "2026-02-28".len() && !text.starts_with("0000");
    has_form
        .then(|| format!("{text}{MIDNIGHT}").parse().ok())
        .flatten()
}

/// The day that begins in UTC at this instant; `None` if none does.
pub fn beginning_at(instant: Timestamp) -> Option<String> {
    let text = instant.to_string();
    let day = text.strip_suffix(MIDNIGHT)?;
    is_date(day).then(|| day.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_the_calendar_have_one_spelling() {
        for day in [
            "0001-01-01",
            "1582-10-10",
            "1900-02-28",
            "2000-02-29",
            "2024-02-29",
            "9999-12-31",
        ] {
            let begins = beginning(day).unwrap();
            assert_eq!(beginning_at(begins).as_deref(), Some(day));
        }
        for text in [
            "",
            "0000-12-31",
            "1900-02-29",
            "2023-02-29",
            "2026-00-10",
            "2026-13-01",
            "2026-04-31",
            "2026-2-8",
            "2026-02-8 ",
            "+026-02-28",
            "-001-02-28",
            "10000-01-01",
            "2026/02/28",
            "2026-02-28T00:00:00Z",
            "２026-02-2",
        ] {
            assert!(!is_date(text), "{text:?}");
        }
    }

    #[test]
    fn only_midnight_begins_a_day() {
        for ms in [1, -1, 3_600_000] {
            assert_eq!(beginning_at(Timestamp::EPOCH.plus_ms(ms)), None);
        }
        let year_zero = "0000-03-01T00:00:00Z".parse().unwrap();
        assert_eq!(beginning_at(year_zero), None);
        assert_eq!(beginning_at(Timestamp::EPOCH).unwrap(), "1970-01-01");
    }
}
