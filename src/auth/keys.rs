//! Keys that verify: from a shared secret, a PEM file or a JWK, each bound to the pinned algorithms it may serve.
//! `jwks` fetches and caches key sets.

use std::{fs::File, io::Read as _, path::Path};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};

use super::{Algorithms, AuthSetupError, SigningKey};

/// The verifier refuses shorter moduli too, since they can be factored (NIST SP 800-131A), but does not say why.
const RSA_BITS_MIN: usize = 2048;
/// A PEM file with one public key has less than a tenth of this.
const KEY_FILE_BYTES_MAX: u64 = 64 * 1024;

/// A key, and the algorithms it may be used with. Both are kept together, which rules out algorithm confusion.
#[derive(Clone)]
pub(super) struct VerifyingKey {
    pub(super) id: Option<String>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) key: DecodingKey,
}

impl VerifyingKey {
    pub(super) fn from_secret(
        secret: &SigningKey,
        pinned: &Algorithms,
    ) -> Result<Self, AuthSetupError> {
        if !pinned.are_symmetric() {
            return Err(AuthSetupError::SecretMismatch);
        }
        let key = DecodingKey::from_secret(secret.as_bytes());
        Ok(VerifyingKey {
            id: None,
            algorithms: pinned.iter().collect(),
            key,
        })
    }

    /// Reads the one public key of a PEM file. It has to serve every pinned algorithm.
    pub(super) fn from_file(path: &Path, pinned: &Algorithms) -> Result<Self, AuthSetupError> {
        let pem = read(path).map_err(|source| AuthSetupError::KeyFile {
            path: path.to_owned(),
            source,
        })?;
        let jwk = parse_pem(&pem).ok_or_else(|| AuthSetupError::NotAPublicKey {
            path: path.to_owned(),
        })?;
        match pinned.iter().find(|algorithm| !fits(&jwk, *algorithm)) {
            Some(algorithm) => Err(AuthSetupError::KeyDoesNotFit {
                path: path.to_owned(),
                algorithm,
            }),
            None => Self::from_jwk(&jwk, pinned).ok_or_else(|| AuthSetupError::NotAPublicKey {
                path: path.to_owned(),
            }),
        }
    }

    /// `None` when the key serves no pinned algorithm, for example an encryption key or an unknown curve.
    pub(super) fn from_jwk(jwk: &Jwk, pinned: &Algorithms) -> Option<Self> {
        let algorithms: Vec<_> = pinned
            .iter()
            .filter(|algorithm| fits(jwk, *algorithm))
            .collect();
        if algorithms.is_empty() || !may_verify(jwk) {
            return None;
        }
        Some(VerifyingKey {
            id: jwk.common.key_id.clone(),
            algorithms,
            key: DecodingKey::from_jwk(jwk).ok()?,
        })
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut pem = Vec::new();
    File::open(path)?
        .take(KEY_FILE_BYTES_MAX)
        .read_to_end(&mut pem)?;
    Ok(pem)
}

/// The label is checked first, because the library would read a private key or a certificate
/// as a public key, and then refuse every token.
fn parse_pem(pem: &[u8]) -> Option<Jwk> {
    let label = std::str::from_utf8(pem)
        .ok()?
        .trim_start()
        .lines()
        .next()?
        .trim_end();
    if !matches!(
        label,
        "-----BEGIN PUBLIC KEY-----" | "-----BEGIN RSA PUBLIC KEY-----"
    ) {
        return None;
    }
    let key = DecodingKey::from_rsa_pem(pem)
        .or_else(|_| DecodingKey::from_ec_pem(pem))
        .or_else(|_| DecodingKey::from_ed_pem(pem))
        .ok()?;
    Jwk::from_decoding_key(&key, None).ok()
}

/// Whether the key's type, curve and own `alg` allow it to verify `algorithm`. A symmetric key
/// never does: publishing one publishes the means to forge tokens.
fn fits(jwk: &Jwk, algorithm: Algorithm) -> bool {
    let by_type = match &jwk.algorithm {
        AlgorithmParameters::RSA(key) => {
            algorithm.family() == AlgorithmFamily::Rsa && modulus_bits(&key.n) >= RSA_BITS_MIN
        }
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => algorithm == Algorithm::ES256,
            EllipticCurve::P384 => algorithm == Algorithm::ES384,
            _ => false,
        },
        AlgorithmParameters::OctetKeyPair(key) => {
            key.curve == EllipticCurve::Ed25519 && algorithm == Algorithm::EdDSA
        }
        _ => false,
    };
    by_type
        && jwk
            .common
            .key_algorithm
            .is_none_or(|own| own == KeyAlgorithm::from(algorithm))
}

/// RFC 7517, sections 4.2 and 4.3: the use that the publisher intends.
fn may_verify(jwk: &Jwk) -> bool {
    let by_use = jwk
        .common
        .public_key_use
        .as_ref()
        .is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
    let by_operations = jwk
        .common
        .key_operations
        .as_ref()
        .is_none_or(|all| all.contains(&KeyOperations::Verify));
    by_use && by_operations
}

fn modulus_bits(modulus: &str) -> usize {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(modulus).unwrap_or_default();
    let bytes: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
    let unused_bits = bytes
        .first()
        .map_or(0, |first| first.leading_zeros() as usize);
    bytes.len() * 8 - unused_bits
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn usable_for(jwk: serde_json::Value) -> String {
        let names = ["RS256", "PS256", "ES256", "ES384", "EdDSA"].map(str::to_owned);
        let pinned = Algorithms::parse(&names).unwrap();
        let jwk = serde_json::from_value(jwk).unwrap();
        let algorithms = VerifyingKey::from_jwk(&jwk, &pinned).map(|key| key.algorithms);
        format!("{:?}", algorithms.unwrap_or_default())
    }

    #[test]
    fn a_key_serves_only_what_its_type_size_and_purpose_allow() {
        let modulus = |bytes: usize| BASE64_URL_SAFE_NO_PAD.encode(vec![0xff; bytes]);
        let rsa = |extra: serde_json::Value| {
            let mut jwk = json!({"kty": "RSA", "n": modulus(256), "e": "AQAB"});
            jwk.as_object_mut()
                .unwrap()
                .extend(extra.as_object().unwrap().clone());
            jwk
        };
        let point = BASE64_URL_SAFE_NO_PAD.encode([7; 32]);
        for (jwk, expected) in [
            (rsa(json!({})), "[RS256, PS256]"),
            (rsa(json!({"alg": "PS256"})), "[PS256]"),
            (rsa(json!({"alg": "RSA-OAEP"})), "[]"),
            (rsa(json!({"use": "enc"})), "[]"),
            (rsa(json!({"use": "sig"})), "[RS256, PS256]"),
            (rsa(json!({"key_ops": ["encrypt"]})), "[]"),
            (rsa(json!({"n": modulus(255)})), "[]"),
            (
                rsa(
                    json!({"n": BASE64_URL_SAFE_NO_PAD.encode([vec![0; 8], vec![0xff; 255]].concat())}),
                ),
                "[]",
            ),
            (
                json!({"kty": "EC", "crv": "P-256", "x": point, "y": point}),
                "[ES256]",
            ),
            (
                json!({"kty": "EC", "crv": "P-384", "x": point, "y": point}),
                "[ES384]",
            ),
            (
                json!({"kty": "EC", "crv": "P-521", "x": point, "y": point}),
                "[]",
            ),
            (
                json!({"kty": "EC", "crv": "secp256k1", "x": point, "y": point}),
                "[]",
            ),
            (
                json!({"kty": "OKP", "crv": "Ed25519", "x": point}),
                "[EdDSA]",
            ),
            (json!({"kty": "OKP", "crv": "X25519", "x": point}), "[]"),
            (json!({"kty": "oct", "k": point}), "[]"),
            (
                json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": point}),
                "[]",
            ),
        ] {
            assert_eq!(usable_for(jwk.clone()), expected, "{jwk}");
        }
    }
}
