//! `explain`: why the bearer of a token sees a document or does not. It reads only. An embedded store must not be open in a
//! gateway, and MongoDB may be served meanwhile.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use tidegate_core::{grant::Identity, id::UserId, membership::Bounds, value::Timestamp};

use super::{CliError, CliResult, ConfigArgs, block_on, dev, maintain::StoreArgs, print, serve};
use crate::{
    app,
    auth::{AuthConfig, Authenticator},
    limits::Limits,
    sync::{Explainer, Explanation},
};

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// The token
    #[arg(long)]
    token: String,
    /// The document
    #[arg(value_name = "TYPE/ID")]
    document: String,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ExplainArgs) -> CliResult {
    let place = args.store.resolve()?;
    let (auth, limits) = settings(&args.store)?;
    let key = super::person::document_key(&place.model, &args.document)?;
    let document_type = place.model.stored_type(&key.type_name);
    let document_type = document_type.ok_or("the model has no such type")?;
    let explanation = block_on(async {
        let identity = identity(&auth, &args.token).await?;
        let explainer = Explainer {
            store: place.existing_to_read().await?,
            model: Arc::clone(&place.model),
            bounds: Arc::new(Bounds::within(
                limits.body_bytes,
                limits.user_scopes,
                limits.services,
            )),
        };
        Ok(explainer.explain(&identity, document_type, &key).await?)
    })?;
    match args.json {
        true => print(&(serde_json::to_string_pretty(&explanation)? + "\n")),
        false => print(&in_words(&explanation)),
    }
    Ok(())
}

/// How the gateway checks tokens, and its limits.
fn settings(store: &StoreArgs) -> Result<(AuthConfig, Limits), CliError> {
    match store.config() {
        Some(path) => {
            let config: Option<PathBuf> = Some(path.to_owned());
            let config = serve::load(&ConfigArgs { config })?;
            Ok((config.auth, config.limits))
        }
        None => {
            let key = dev::existing_signing_key(store.data())?;
            Ok((AuthConfig::with_secret(key), Limits::default()))
        }
    }
}

async fn identity(auth: &AuthConfig, token: &str) -> Result<Identity, CliError> {
    let now = app::now();
    let verified = Authenticator::new(auth)?.examine(token, now.ms()).await;
    let verified = verified.map_err(|reason| format!("the token is refused: {reason}"))?;
    Ok(Identity {
        user: UserId::new(&verified.user)?,
        claims: verified.claims,
        expires_at: Timestamp::from_ms(verified.expires_at_ms)?,
    })
}

fn in_words(it: &Explanation) -> String {
    let mut lines = Vec::new();
    let sees = if it.sees { "sees" } else { "does not see" };
    lines.push(format!(
        "{} {sees} {}: {}.",
        it.user, it.document, it.reason
    ));
    if let (Some(scope), Some(version)) = (&it.scope, it.version) {
        lines.push(format!(
            "In the feed: version {version}, in the scope {scope}."
        ));
    } else {
        lines.push("It is not in the feed.".to_owned());
    }
    let claims = serde_json::to_string(&it.claims).unwrap_or_default();
    lines.push(format!(
        "The token: {claims}. With memberships the user sees {} scopes.",
        it.scopes
    ));
    for grant in &it.grants {
        let unseen = if grant.reads {
            ""
        } else {
            ", which does not show it"
        };
        lines.push(format!("  {} gives {}{unseen}", grant.by, grant.role));
    }
    for miss in &it.misses {
        lines.push(format!("  {} gives nothing: {}", miss.by, miss.because));
    }
    let listed = |words: &[String]| match words {
        [] => "none".to_owned(),
        words => words.join(", "),
    };
    lines.push(format!("Roles there: {}.", listed(&it.roles)));
    let may: Vec<String> = it.may.iter().map(|&word| word.to_owned()).collect();
    lines.push(format!("May: {}.", listed(&may)));
    if !it.fixed_fields.is_empty() {
        lines.push(format!("Not its fields {}.", it.fixed_fields.join(", ")));
    }
    lines.join("\n") + "\n"
}
