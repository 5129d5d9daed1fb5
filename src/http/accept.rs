//! Which media types a client accepts: the two of GraphQL-over-HTTP (its draft specification, section "Media Types"; RFC
//! 9110, section 12.5.1), and the two of streams of answers. `answer`, `sse` and `multipart` write answers in these
//! types.

use axum::http::{HeaderMap, header::ACCEPT};

/// What a client accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AcceptedTypes {
    /// For one answer.
    pub(super) form: Option<ResponseType>,
    /// For a stream of answers, such as those of a subscription.
    pub(super) stream: Option<StreamType>,
}

impl AcceptedTypes {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let ranges: Vec<Range> = ranges(headers).collect();
        Self {
            form: ResponseType::negotiate(&ranges),
            stream: StreamType::negotiate(&ranges),
        }
    }
}

/// The media type of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResponseType {
    /// `application/graphql-response+json`: the status says whether the operation was executed.
    GraphqlResponse,
    /// `application/json`: every well-formed request is answered 200, since older clients take any other status for the
    /// answer of a proxy.
    Json,
}

impl ResponseType {
    /// The type that the client prefers; `None` if it accepts neither. Without a preference it is `application/json`,
    /// unless the client names the other.
    fn negotiate(ranges: &[Range<'_>]) -> Option<Self> {
        if ranges.is_empty() {
            return Some(Self::Json);
        }
        let modern = Match::best(ranges, "application", "graphql-response+json");
        let legacy = Match::best(ranges, "application", "json");
        let prefers_modern = modern.quality > legacy.quality
            || (modern.quality == legacy.quality && modern.is_named());
        let (form, chosen) = if prefers_modern {
            (Self::GraphqlResponse, modern)
        } else {
            (Self::Json, legacy)
        };
        (chosen.quality > 0.0).then_some(form)
    }

    /// The value of `Content-Type`.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        }
    }
}

/// The media type of a stream of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamType {
    /// `text/event-stream`, for graphql-sse.
    Sse,
    /// `multipart/mixed`, for Apollo's clients.
    Multipart,
}

impl StreamType {
    /// The type that the client prefers; event streams if it has no preference. Only a name counts: a client that
    /// accepts anything (`*/*`) may wait for the end of a stream.
    fn negotiate(ranges: &[Range<'_>]) -> Option<Self> {
        let quality = |kind, subtype| {
            let found = Match::best(ranges, kind, subtype);
            if found.is_named() { found.quality } else { 0.0 }
        };
        let (sse, multipart) = (
            quality("text", "event-stream"),
            quality("multipart", "mixed"),
        );
        let (form, chosen) = if multipart > sse {
            (Self::Multipart, multipart)
        } else {
            (Self::Sse, sse)
        };
        (chosen > 0.0).then_some(form)
    }
}

/// One item of `Accept`. Parameters other than the quality do not narrow it: both media types are always UTF-8.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    quality: f32,
}

fn ranges(headers: &HeaderMap) -> impl Iterator<Item = Range<'_>> {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(Range::parse)
}

impl<'a> Range<'a> {
    /// `None` for an item that is no media range. It is skipped.
    fn parse(item: &'a str) -> Option<Self> {
        let mut parts = item.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let quality = parts
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
            .map_or(Ok(1.0), |(_, quality)| quality.trim().parse::<f32>())
            .ok()?;
        (0.0..=1.0).contains(&quality).then_some(Self {
            kind,
            subtype,
            quality,
        })
    }

    /// How exactly it matches `kind/subtype`: 2 by name, 1 by type, 0 by `*/*`; `None` if it does not.
    fn precision(&self, kind: &str, subtype: &str) -> Option<u8> {
        match (self.kind, self.subtype) {
            ("*", "*") => Some(0),
            (named, _) if !named.eq_ignore_ascii_case(kind) => None,
            (_, "*") => Some(1),
            (_, named) => named.eq_ignore_ascii_case(subtype).then_some(2),
        }
    }
}

/// What `Accept` says of one media type.
#[derive(Clone, Copy)]
struct Match {
    precision: u8,
    quality: f32,
}

impl Match {
    /// The most precise range decides, and the highest quality among equals.
    fn best(ranges: &[Range<'_>], kind: &str, subtype: &str) -> Self {
        let matches = ranges.iter().filter_map(|range| {
            Some(Self {
                precision: range.precision(kind, subtype)?,
                quality: range.quality,
            })
        });
        let order = |one: &Self, other: &Self| {
            let by_precision = one.precision.cmp(&other.precision);
            by_precision.then(one.quality.total_cmp(&other.quality))
        };
        matches.max_by(order).unwrap_or(Self {
            precision: 0,
            quality: 0.0,
        })
    }

    fn is_named(self) -> bool {
        self.precision == 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_gets_the_media_type_it_prefers() {
        const MODERN: Option<ResponseType> = Some(ResponseType::GraphqlResponse);
        const JSON: Option<ResponseType> = Some(ResponseType::Json);
        for (accept, expected) in [
            ("", JSON),
            ("*/*", JSON),
            ("application/*", JSON),
            ("application/json", JSON),
            ("Application/JSON; charset=utf-8", JSON),
            ("application/graphql-response+json", MODERN),
            ("application/graphql-response+json; charset=utf-8", MODERN),
            // Apollo Client 4, urql, and a browser's address bar.
            (
                "application/graphql-response+json,application/json;q=0.9",
                MODERN,
            ),
            (
                "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed",
                MODERN,
            ),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                JSON,
            ),
            (
                "application/json, application/graphql-response+json;q=0.5",
                JSON,
            ),
            (
                "application/graphql-response+json;q=0.5, application/json;q=0.7",
                JSON,
            ),
            ("application/graphql-response+json;Q=0, */*", JSON),
            ("application/json;q=0, */*", MODERN),
            ("application/graphql-response+json, */*", MODERN),
            ("application/json, */*", JSON),
            ("application/json;q=0", None),
            ("*/*;q=0", None),
            ("text/html", None),
            ("text/event-stream", None),
            ("application/json;q=2", JSON),
            ("application/json;q=high, text/html", None),
            ("json", JSON),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
            assert_eq!(AcceptedTypes::of(&headers).form, expected, "{accept:?}");
        }
        assert_eq!(AcceptedTypes::of(&HeaderMap::new()).form, JSON);
    }

    #[test]
    fn a_stream_comes_in_the_form_that_is_named() {
        const SSE: Option<StreamType> = Some(StreamType::Sse);
        const MULTIPART: Option<StreamType> = Some(StreamType::Multipart);
        for (accept, expected) in [
            ("", None),
            ("*/*", None),
            ("text/*, multipart/*", None),
            ("application/json", None),
            ("text/event-stream", SSE),
            ("Text/Event-Stream;charset=utf-8", SSE),
            // urql, for queries and for subscriptions.
            (
                "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed",
                SSE,
            ),
            ("text/event-stream, multipart/mixed", SSE),
            // Apollo Client.
            (
                "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/graphql-response+json,application/json;q=0.9",
                MULTIPART,
            ),
            ("text/event-stream;q=0.5, multipart/mixed", MULTIPART),
            ("text/event-stream;q=0, */*", None),
            ("multipart/form-data", None),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
            assert_eq!(AcceptedTypes::of(&headers).stream, expected, "{accept:?}");
        }
    }

    #[test]
    fn several_headers_are_one_list() {
        let values = ["text/html", "application/graphql-response+json"];
        let headers = values.map(|value| (ACCEPT, value.parse().unwrap()));
        let headers = headers
            .into_iter()
            .fold(HeaderMap::new(), |mut all, (name, value)| {
                all.append(name, value);
                all
            });
        assert_eq!(
            AcceptedTypes::of(&headers).form,
            Some(ResponseType::GraphqlResponse)
        );
    }
}
