//! The rules for the claims of a token whose signature is good, as a pure function of the time. Signatures and keys are
//! checked before. The model decides later what a claim grants.

use serde_json::{Map, Value};

use super::{AuthConfig, TokenRejection, VerifiedToken};

/// The longest user name. With the prefix of a scope it still fits into a scope.
const USER_BYTES_MAX: usize = 200;
/// The end of the year 9999. Tokens beyond it count milliseconds by mistake and would never expire.
const TIME_S_MAX: f64 = 253_402_300_799.0;

pub(super) struct ClaimRules {
    issuer: Option<String>,
    audience: Option<String>,
    user_claim: String,
    leeway_ms: i64,
}

impl ClaimRules {
    pub(super) fn new(config: &AuthConfig) -> Self {
        ClaimRules {
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            user_claim: config.user_claim.clone(),
            leeway_ms: i64::from(config.leeway_s) * 1000,
        }
    }

    pub(super) fn check(
        &self,
        claims: Map<String, Value>,
        now_ms: i64,
    ) -> Result<VerifiedToken, TokenRejection> {
        let expires_at_ms = self.check_times(&claims, now_ms)?;
        self.check_issuer(&claims)?;
        self.check_audience(&claims)?;
        let user = user_name(claims.get(&self.user_claim)).ok_or(TokenRejection::User)?;
        Ok(VerifiedToken {
            user,
            claims,
            expires_at_ms,
        })
    }

    fn check_times(&self, claims: &Map<String, Value>, now_ms: i64) -> Result<i64, TokenRejection> {
        let expires_at_ms =
            time_ms(claims, "exp")?.ok_or(TokenRejection::NoExpiry)? + self.leeway_ms;
        if now_ms >= expires_at_ms {
            return Err(TokenRejection::Expired);
        }
        if time_ms(claims, "nbf")?
            .is_some_and(|not_before_ms| now_ms < not_before_ms - self.leeway_ms)
        {
            return Err(TokenRejection::NotYetValid);
        }
        Ok(expires_at_ms)
    }

    fn check_issuer(&self, claims: &Map<String, Value>) -> Result<(), TokenRejection> {
        match &self.issuer {
            Some(issuer) if claims.get("iss").and_then(Value::as_str) != Some(issuer) => {
                Err(TokenRejection::Issuer)
            }
            _ => Ok(()),
        }
    }

    /// RFC 7519, section 4.1.3: a token with an audience is refused by all others, and by a gateway without a name.
    fn check_audience(&self, claims: &Map<String, Value>) -> Result<(), TokenRejection> {
        let named = |audience: &str| match claims.get("aud") {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(many)) => many.iter().any(|one| one.as_str() == Some(audience)),
            _ => false,
        };
        let accepted = match &self.audience {
            Some(audience) => named(audience),
            None => !claims.contains_key("aud"),
        };
        if accepted {
            Ok(())
        } else {
            Err(TokenRejection::Audience)
        }
    }
}

/// A user's name in the form that scopes and entries keep. Numeric subjects are common, and are written in decimal.
pub(super) fn user_name(claim: Option<&Value>) -> Option<String> {
    let name = match claim? {
        Value::String(name) => name.clone(),
        Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
        _ => return None,
    };
    let in_bounds = !name.is_empty() && name.len() <= USER_BYTES_MAX && !name.contains('\0');
    in_bounds.then_some(name)
}

/// A NumericDate (RFC 7519, section 2: seconds, perhaps with a fraction) in milliseconds.
fn time_ms(claims: &Map<String, Value>, name: &'static str) -> Result<Option<i64>, TokenRejection> {
    let Some(claim) = claims.get(name) else {
        return Ok(None);
    };
    match claim.as_f64() {
        Some(seconds) if (0.0..=TIME_S_MAX).contains(&seconds) => {
            Ok(Some((seconds * 1000.0) as i64))
        }
        _ => Err(TokenRejection::NotATime(name)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW_S: i64 = 1_700_000_000;

    fn rules() -> ClaimRules {
        ClaimRules {
            issuer: Some("https://id.example.com/".to_owned()),
            audience: Some("tidegate".to_owned()),
            user_claim: "sub".to_owned(),
            leeway_ms: 10_000,
        }
    }

    /// Good claims, changed by `change`; a null removes a claim.
    fn claims(change: Value) -> Map<String, Value> {
        let good = json!({"sub": "alice", "iss": "https://id.example.com/", "aud": "tidegate", "exp": NOW_S + 60});
        let mut claims = good.as_object().unwrap().clone();
        for (name, value) in change.as_object().unwrap() {
            claims.insert(name.clone(), value.clone());
        }
        claims.retain(|_, value| !value.is_null());
        claims
    }

    fn outcome(rules: &ClaimRules, change: Value) -> String {
        match rules.check(claims(change), NOW_S * 1000) {
            Ok(token) => format!(
                "{} until {}",
                token.user,
                token.expires_at_ms - NOW_S * 1000
            ),
            Err(reason) => reason.to_string(),
        }
    }

    #[test]
    fn claims_are_believed_or_refused_for_one_reason() {
        let no_time =
            |name: &str| format!("`{name}` is not a number of seconds before the year 10000");
        let user = TokenRejection::User.to_string();
        for (change, expected) in [
            (json!({}), "alice until 70000"),
            (json!({"exp": NOW_S as f64 + 1.5}), "alice until 11500"),
            (json!({"exp": NOW_S - 9}), "alice until 1000"),
            (json!({"exp": NOW_S - 10}), "the token has expired"),
            (json!({"exp": null}), "`exp` is missing"),
            (json!({"exp": "1900000000"}), &no_time("exp")),
            (json!({"exp": -1}), &no_time("exp")),
            (json!({"exp": NOW_S * 1000}), &no_time("exp")),
            (json!({"exp": 1e300}), &no_time("exp")),
            (json!({"nbf": NOW_S + 10}), "alice until 70000"),
            (json!({"nbf": NOW_S + 11}), "`nbf` lies in the future"),
            (json!({"nbf": true}), &no_time("nbf")),
            (
                json!({"iss": "https://id.example.com"}),
                "`iss` is not auth.issuer",
            ),
            (
                json!({"iss": ["https://id.example.com/"]}),
                "`iss` is not auth.issuer",
            ),
            (json!({"iss": null}), "`iss` is not auth.issuer"),
            (json!({"aud": ["other", "tidegate"]}), "alice until 70000"),
            (json!({"aud": "other"}), "`aud` does not name auth.audience"),
            (json!({"aud": []}), "`aud` does not name auth.audience"),
            (json!({"aud": null}), "`aud` does not name auth.audience"),
            (json!({"sub": 42}), "42 until 70000"),
            (json!({"sub": u64::MAX}), "18446744073709551615 until 70000"),
            (
                json!({"sub": "é".repeat(100)}),
                &format!("{} until 70000", "é".repeat(100)),
            ),
            (json!({"sub": "é".repeat(101)}), &user),
            (json!({"sub": 4.2}), &user),
            (json!({"sub": ""}), &user),
            (json!({"sub": "a\u{0}b"}), &user),
            (json!({"sub": ["alice"]}), &user),
            (json!({"sub": null}), &user),
        ] {
            assert_eq!(outcome(&rules(), change.clone()), expected, "{change}");
        }
    }

    #[test]
    fn a_gateway_without_a_name_takes_no_token_meant_for_another() {
        let rules = ClaimRules {
            audience: None,
            issuer: None,
            ..rules()
        };
        assert_eq!(
            outcome(&rules, json!({"aud": null, "iss": "anybody"})),
            "alice until 70000"
        );
        assert_eq!(
            outcome(&rules, json!({})),
            "`aud` does not name auth.audience"
        );
    }

    #[test]
    fn the_user_claim_is_a_name_not_a_path() {
        let rules = ClaimRules {
            user_claim: "https://example.com/uid".to_owned(),
            ..rules()
        };
        assert_eq!(
            outcome(&rules, json!({"https://example.com/uid": "bob"})),
            "bob until 70000"
        );
    }
}
