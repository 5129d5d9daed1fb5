//! The limits of a gateway in one struct with one set of defaults. `config::limits` reads it from the settings, each
//! module enforces its part, and docs/config.md says when to change them.

use std::{collections::BTreeSet, num::NonZeroUsize, ops::RangeInclusive, time::Duration};

use tidegate_core::{id::UserId, membership::SCOPES_MAX, model::LIST_ITEMS_MAX};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident = $default:expr, $range:expr;)*) => {
        /// What clients may ask for, and how much of it at a time. The defaults leave room for each ready-made
        /// operation of a model of fifty types with twenty fields, and for the introspection query of any tool.
        #[derive(Clone, Debug)]
        pub struct Limits {
            $($(#[$doc])* pub $name: usize,)*
            /// How long an operation may take, except a subscription.
            pub request_time: Duration,
            /// Users that may give any number of memberships.
            pub services: BTreeSet<UserId>,
            /// Bytes of variables that are copied because a document names a variable more than once. No setting.
            pub variables_copied_bytes: usize,
            /// Documents kept with the result of their validation. No setting.
            pub cached_documents: NonZeroUsize,
            /// Bytes of their texts. No setting.
            pub cached_bytes: usize,
        }

        impl Default for Limits {
            fn default() -> Self {
                Self {
                    $($name: $default,)*
                    // Longer than a push waits for its transaction, so that the transaction's outcome comes first.
                    request_time: Duration::from_secs(40),
                    services: BTreeSet::new(),
                    variables_copied_bytes: 4 * MIB,
                    cached_documents: NonZeroUsize::new(512).expect("512 is not zero"),
                    cached_bytes: 2 * MIB,
                }
            }
        }

        /// Every number that is a setting.
        pub(crate) const NUMBERS: &[Number] = &[$(Number {
            key: concat!("limits.", stringify!($name)),
            range: $range,
            of: |limits| &mut limits.$name,
        },)*];
    };
}

/// A number of [`Limits`] that is a setting.
pub(crate) struct Number {
    pub(crate) key: &'static str,
    /// The range of values.
    pub(crate) range: RangeInclusive<usize>,
    pub(crate) of: fn(&mut Limits) -> &mut usize,
}

limits! {
    /// Bytes of a request's body, and of a socket's message.
    body_bytes = MIB, KIB..=64 * MIB;
    /// Bytes of a GraphQL document.
    query_bytes = 64 * KIB, KIB..=MIB;
    /// Tokens of a document; blanks and comments count, because the lexer reads them too.
    query_tokens = 30_000, 1_000..=1_000_000;
    /// Selections inside one another; inline fragments and spreads count. More would need more stack than a thread has.
    query_depth = 30, 10..=50;
    /// Aliases of an operation, fragments expanded.
    query_aliases = 500, 0..=10_000;
    /// Directives of an operation, fragments expanded.
    query_directives = 500, 0..=10_000;
    /// Fields at the root of an operation.
    query_roots = 10, 1..=100;
    /// Fields, directives and values of all operations of a document, fragments expanded: the validator walks over all of
    /// them. Without it a text of 1.5 KB in which fragments spread each other twice takes 30 s to validate.
    query_nodes = 10_000, 1_000..=1_000_000;
    /// Documents times fields.
    query_cost = 500_000, 1_000..=100_000_000;
    /// Nesting of an input value. The parser of JSON ends at 128.
    variables_depth = 120, 10..=120;
    /// Items of one list of the input.
    list_items = LIST_ITEMS_MAX, 1_000..=1_000_000;
    /// Bytes of one answer's documents, by the bounds on documents and pages.
    answer_bytes = 64 * MIB, 8 * MIB..=1024 * MIB;
    /// Changes of a push.
    push_changes = 1_000, 1..=1_000;
    /// Bytes of pushes that wait or are carried out, about.
    push_queue_bytes = 64 * MIB, MIB..=4096 * MIB;
    /// Clients of one user whose last push is remembered.
    user_clients = 1_000, 10..=100_000;
    /// Changes of a page.
    page_changes = 5_000, 1..=10_000;
    /// Bytes of a page's documents.
    page_bytes = 8 * MIB, 64 * KIB..=64 * MIB;
    /// Bytes of a subscription page's documents. The gateway holds one page for each client that does not read.
    live_page_bytes = 256 * KIB, 64 * KIB..=64 * MIB;
    /// Queries and mutations under way.
    requests = 1_000, 1..=100_000;
    /// The same of one user.
    user_requests = 100, 1..=100_000;
    /// Bytes of arriving requests and unread answers.
    buffer_bytes = 1024 * MIB, 16 * MIB..=1024 * 1024 * MIB;
    /// The same of one user.
    user_buffer_bytes = 256 * MIB, 8 * MIB..=1024 * 1024 * MIB;
    /// Operations a second of one user; 0 is no limit.
    user_rate = 200, 0..=1_000_000;
    /// Operations of one user that may come at once.
    user_burst = 1_000, 1..=1_000_000;
    /// Connections that have shown a good token.
    connections = 10_000, 10..=1_000_000;
    /// Connections without one.
    new_connections = 1_000, 10..=1_000_000;
    /// Of these, connections from one network; 0 is no limit. Behind a proxy all come from there.
    address_connections = 0, 0..=1_000_000;
    /// Connections of one user, and streams that share one.
    user_connections = 1_000, 1..=100_000;
    /// Scopes of one user, by claims and memberships.
    user_scopes = SCOPES_MAX, 1..=SCOPES_MAX;
}
