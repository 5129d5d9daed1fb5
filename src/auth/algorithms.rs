//! The list of pinned signature algorithms, checked once when it is read. `keys` decides which key works with which
//! algorithm.

use std::str::FromStr;

use jsonwebtoken::{Algorithm, AlgorithmFamily};

use super::AuthSetupError;

/// Every name that `auth.algorithms` may hold.
const NAMES: [&str; 12] = [
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
    "ES384", "EdDSA",
];

/// The algorithms that may sign a token. Never empty, and either all symmetric or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Algorithms(Vec<Algorithm>);

impl Algorithms {
    /// # Errors
    /// For an empty list, "none", an unknown name, and symmetric names beside asymmetric ones.
    pub(crate) fn parse(names: &[String]) -> Result<Self, AuthSetupError> {
        let algorithms = names
            .iter()
            .map(|name| parse_name(name))
            .collect::<Result<Vec<_>, _>>()?;
        let symmetric = algorithms
            .iter()
            .filter(|algorithm| is_symmetric(**algorithm))
            .count();
        if algorithms.is_empty() {
            return Err(AuthSetupError::NoAlgorithm);
        }
        if symmetric != 0 && symmetric != algorithms.len() {
            return Err(AuthSetupError::MixedFamilies);
        }
        Ok(Algorithms(algorithms))
    }

    pub(super) fn hs256() -> Self {
        Algorithms(vec![Algorithm::HS256])
    }

    pub(super) fn contains(&self, algorithm: Algorithm) -> bool {
        self.0.contains(&algorithm)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Algorithm> {
        self.0.iter().copied()
    }

    /// The algorithm that signs this gateway's own tokens.
    pub(super) fn first(&self) -> Algorithm {
        *self.0.first().expect("a list of algorithms is never empty")
    }

    pub(crate) fn are_symmetric(&self) -> bool {
        is_symmetric(self.first())
    }
}

fn parse_name(name: &str) -> Result<Algorithm, AuthSetupError> {
    if name.eq_ignore_ascii_case("none") {
        return Err(AuthSetupError::UnsignedAlgorithm);
    }
    Algorithm::from_str(name).map_err(|_| AuthSetupError::UnknownAlgorithm {
        name: name.to_owned(),
        nearest: nearest(name),
    })
}

fn nearest(name: &str) -> &'static str {
    NAMES
        .into_iter()
        .min_by_key(|known| {
            strsim::damerau_levenshtein(&name.to_lowercase(), &known.to_lowercase())
        })
        .expect("there are known names")
}

fn is_symmetric(algorithm: Algorithm) -> bool {
    algorithm.family() == AlgorithmFamily::Hmac
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Algorithms::parse(&names)
            .map_or_else(|error| error.to_string(), |known| format!("{:?}", known.0))
    }

    #[test]
    fn a_list_is_pinned_or_refused_with_a_reason() {
        assert_eq!(
            message(&["RS256", "ES384", "EdDSA"]),
            "[RS256, ES384, EdDSA]"
        );
        assert_eq!(message(&["HS512"]), "[HS512]");
        for (names, part) in [
            (&[][..], "no algorithm is named"),
            (&["RS256", "nOnE"], "anybody can write"),
            (
                &["RS265"],
                "\"RS265\" is not a supported algorithm; the nearest one is RS256",
            ),
            (&["eddsa"], "the nearest one is EdDSA"),
            (&["HS256", "RS256"], "HS algorithms cannot stand beside"),
        ] {
            let message = message(names);
            assert!(message.contains(part), "{names:?}: {message}");
        }
    }

    #[test]
    fn every_listed_name_is_known() {
        assert!(NAMES.iter().all(|name| Algorithm::from_str(name).is_ok()));
    }
}
