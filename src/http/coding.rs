//! Which codings of a response a client accepts (`Accept-Encoding`; RFC 9110, section 12.5.3), and in which order the gateway
//! prefers them. `compression` decides what is compressed.

use axum::http::{HeaderMap, header::ACCEPT_ENCODING};

/// How a response is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Brotli,
    Gzip,
    Zstd,
}

impl Coding {
    /// In the order in which the gateway prefers them. zstd comes last: some clients offer it and cannot read it, such
    /// as graphql-codegen's on a Node before 22.15.
    pub(super) const ALL: [Self; 3] = [Self::Brotli, Self::Gzip, Self::Zstd];

    /// Its name in `Accept-Encoding` and `Content-Encoding`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// The coding that the client likes best. `None` sends the response as it is, even if the client refuses that: the
    /// operation has been executed, and a 406 would hide its answer.
    pub(super) fn preferred(headers: &HeaderMap) -> Option<Self> {
        if !headers.contains_key(ACCEPT_ENCODING) {
            return None;
        }
        let weighed = Self::ALL.map(|coding| (coding, quality(headers, coding.name())));
        let first = weighed
            .into_iter()
            .reduce(|best, next| if next.1 > best.1 { next } else { best });
        let (coding, weight) = first?;
        (weight > 0.0 && weight >= quality(headers, "identity")).then_some(coding)
    }
}

/// How much the client likes a coding: from 0, which refuses it, to 1. Without the header it accepts any.
pub(super) fn quality(headers: &HeaderMap, coding: &str) -> f32 {
    if !headers.contains_key(ACCEPT_ENCODING) {
        return 1.0;
    }
    let named = |wanted: &str| {
        items(headers)
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, weight)| value(weight))
    };
    named(coding).or_else(|| named("*")).unwrap_or(0.0)
}

/// Each coding with its parameter, `q=1` if it has none.
fn items(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|item| item.split_once(';').unwrap_or((item, "q=1")))
        .map(|(name, weight)| match name.trim() {
            // The old name of gzip.
            name if name.eq_ignore_ascii_case("x-gzip") => ("gzip", weight.trim()),
            name => (name, weight.trim()),
        })
        .filter(|(name, _)| !name.is_empty())
}

/// A weight that cannot be read refuses its coding.
fn value(weight: &str) -> f32 {
    let digits = weight
        .strip_prefix(['q', 'Q'])
        .and_then(|rest| rest.strip_prefix('='));
    let value = digits.and_then(|digits| digits.parse().ok());
    value
        .filter(|value| (0.0..=1.0).contains(value))
        .unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT_ENCODING, value.parse().unwrap())])
    }

    #[test]
    fn accept_encoding_is_read_as_rfc_9110_has_it() {
        for (header, gzip) in [
            ("gzip", 1.0),
            ("GZIP;q=0.5, br", 0.5),
            ("gzip; Q=0.25", 0.25),
            ("X-Gzip;q=0.5", 0.5),
            ("gzip;q=0", 0.0),
            ("gzip; q=0.000, *", 0.0),
            ("*", 1.0),
            ("*;q=0", 0.0),
            ("br, *;q=0.1", 0.1),
            ("br, deflate", 0.0),
            ("gzip;q=2", 0.0),
            ("", 0.0),
        ] {
            assert_eq!(quality(&accepting(header), "gzip"), gzip, "{header:?}");
        }
        assert_eq!(quality(&HeaderMap::new(), "gzip"), 1.0);
    }

    #[test]
    fn zstd_is_left_to_clients_that_like_nothing_else_as_much() {
        for (header, expected) in [
            // graphql-codegen on Node, Chromium, and a client that accepts anything.
            ("gzip, deflate, br, zstd", Some(Coding::Brotli)),
            ("*", Some(Coding::Brotli)),
            ("zstd;q=0.5, gzip;q=0.5", Some(Coding::Gzip)),
            ("zstd, gzip;q=0.9", Some(Coding::Zstd)),
            ("zstd, deflate", Some(Coding::Zstd)),
            ("gzip, br", Some(Coding::Brotli)),
            ("gzip, br;q=0.9", Some(Coding::Gzip)),
            ("identity, gzip;q=0.5", None),
            ("deflate", None),
            ("", None),
        ] {
            assert_eq!(
                Coding::preferred(&accepting(header)),
                expected,
                "{header:?}"
            );
        }
        assert_eq!(Coding::preferred(&HeaderMap::new()), None);
    }

    #[test]
    fn a_client_that_refuses_every_coding_gets_the_answer_as_it_is() {
        for nothing in ["identity;q=0", "*;q=0", "identity;q=0, deflate"] {
            assert_eq!(Coding::preferred(&accepting(nothing)), None, "{nothing:?}");
        }
        let digits = accepting("identity;q=0, gzip;q=0.1234");
        assert_eq!(Coding::preferred(&digits), Some(Coding::Gzip));
    }
}
