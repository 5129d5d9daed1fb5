//! The section `limits`: one table of settings, each with its default and what it may be set to.
//! The module that a setting bounds applies it; docs/config.md says why one would change it.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use tidegate_core::decide::DOCUMENT_BYTES_MAX;
use tidegate_core::id::UserId;

use super::reader::{Reader, Wrong};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident = $default:expr, $range:expr;)*) => {
        /// What clients may ask for, and how much of it at a time.
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct LimitsConfig {
            $($(#[$doc])* pub(crate) $name: usize,)*
            /// How long an operation may take that is no subscription.
            pub(crate) request_time: Duration,
        }

        impl Default for LimitsConfig {
            fn default() -> Self {
                Self { $($name: $default,)* request_time: REQUEST_TIME.default }
            }
        }

        /// Every number of the section: its key, its default, its bounds.
        #[cfg(test)]
        pub(super) const NUMBERS: &[(&str, usize, RangeInclusive<usize>)] =
            &[$((concat!("limits.", stringify!($name)), $default, $range),)*];

        fn read(reader: &mut Reader) -> LimitsConfig {
            LimitsConfig {
                $($name: number(reader, concat!("limits.", stringify!($name)), $default, $range),)*
                request_time: REQUEST_TIME.read(reader),
            }
        }
    };
}

limits! {
    /// Of a request's body, and of a socket's message.
    body_bytes = MIB, KIB..=64 * MIB;
    /// Of a document of GraphQL.
    query_bytes = 64 * KIB, KIB..=MIB;
    /// Of a document; blanks and comments count.
    query_tokens = 30_000, 1_000..=1_000_000;
    /// Selections inside one another. More would need more stack than a thread has.
    query_depth = 30, 10..=50;
    /// Aliases of an operation, fragments expanded.
    query_aliases = 500, 0..=10_000;
    /// Directives of an operation, fragments expanded.
    query_directives = 500, 0..=10_000;
    /// Fields at the root of an operation.
    query_roots = 10, 1..=100;
    /// Fields, directives and values of a document, fragments expanded.
    query_nodes = 10_000, 1_000..=1_000_000;
    /// Documents times fields.
    query_cost = 500_000, 1_000..=100_000_000;
    /// Nesting of an input value. The parser of JSON ends at 128.
    variables_depth = 120, 10..=120;
    /// Items of one list of the input.
    list_items = 10_000, 1_000..=1_000_000;
    /// Documents of one answer.
    answer_bytes = 64 * MIB, 8 * MIB..=1024 * MIB;
    /// Changes of a push.
    push_changes = 1_000, 1..=1_000;
    /// Pushes that wait.
    push_queue_bytes = 64 * MIB, MIB..=4096 * MIB;
    /// Clients of one user whose last push is remembered.
    user_clients = 1_000, 10..=100_000;
    /// Changes of a page.
    page_changes = 5_000, 1..=10_000;
    /// Documents of a page.
    page_bytes = 8 * MIB, 64 * KIB..=64 * MIB;
    /// Documents of a page of a subscription, which a client that does not read leaves with the gateway.
    live_page_bytes = 256 * KIB, 64 * KIB..=64 * MIB;
    /// Queries and mutations under way.
    requests = 1_000, 1..=100_000;
    /// The same of one user.
    user_requests = 100, 1..=100_000;
    /// Arriving requests and unread answers.
    buffer_bytes = 1024 * MIB, 16 * MIB..=1024 * 1024 * MIB;
    /// The same of one user.
    user_buffer_bytes = 256 * MIB, 8 * MIB..=1024 * 1024 * MIB;
    /// Operations a second of one user; 0 is no limit.
    user_rate = 200, 0..=1_000_000;
    /// Operations of one user that may come at once.
    user_burst = 1_000, 1..=1_000_000;
    /// Connections that have shown a good token.
    connections = 10_000, 10..=1_000_000;
    /// Connections that have not.
    new_connections = 1_000, 10..=1_000_000;
    /// Of these, connections from one network; 0 is no limit. Behind a proxy all come from there.
    address_connections = 0, 0..=1_000_000;
    /// Connections of one user, and streams that share one.
    user_connections = 1_000, 1..=100_000;
    /// Scopes of one user, by claims and memberships.
    user_scopes = 10_000, 1..=10_000;
}

/// A setting that is a duration.
pub(super) struct DurationLimit {
    pub(super) key: &'static str,
    pub(super) default: Duration,
    pub(super) bounds: RangeInclusive<u64>,
}

/// Longer than a push waits for its transaction, so a push ends with the result of its transaction.
pub(super) const REQUEST_TIME: DurationLimit = DurationLimit {
    key: "limits.request_time",
    default: Duration::from_secs(40),
    bounds: 1..=600,
};

impl DurationLimit {
    pub(super) fn read(&self, reader: &mut Reader) -> Duration {
        let (first, last) = (self.bounds.start(), self.bounds.end());
        let rule = format!("must lie between {first}s and {last}s");
        let form = "a duration, such as \"30s\"";
        let duration = reader.get(self.key, form, |text: String| {
            let duration = super::parse_duration(&text).map_err(Wrong::because)?;
            match self.bounds.contains(&duration.as_secs()) {
                true => Ok(duration),
                false => Err(Wrong::Because(rule)),
            }
        });
        duration.unwrap_or(self.default)
    }
}

/// The whole section, and whether its parts go together.
pub(super) fn limits(reader: &mut Reader) -> LimitsConfig {
    let limits = read(reader);
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
pub(super) fn services(reader: &mut Reader) -> BTreeSet<UserId> {
    let form = "a list of users, such as [\"importer\"]";
    let services = reader.get("limits.services", form, |names: Vec<String>| {
        let users = names.iter().map(|name| UserId::new(name));
        users.collect::<Result<_, _>>().map_err(Wrong::because)
    });
    services.unwrap_or_default()
}

fn number(
    reader: &mut Reader,
    key: &'static str,
    default: usize,
    range: RangeInclusive<usize>,
) -> usize {
    let form = format!("a whole number from {} to {}", range.start(), range.end());
    let number = reader.get(key, &form, |number: i64| {
        let number = usize::try_from(number).ok();
        number.filter(|it| range.contains(it)).ok_or(Wrong::Form)
    });
    number.unwrap_or(default)
}
