//! `token`: a signed token on standard output, for trying things out.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use serde_json::{Map, Value};

use super::{CliResult, ConfigArgs, dev, print, serve};
use crate::{
    app,
    auth::{self, AuthConfig},
    config::parse_duration,
};

#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// The user it is for
    #[arg(long)]
    sub: String,
    /// Further claims, a JSON object such as '{"teams":["42"]}'
    #[arg(long, default_value = "{}")]
    claims: String,
    /// How long it is valid, at most 3650d: 30m, 12h, 7d
    #[arg(long, default_value = "1h", value_parser = parse_lifetime, allow_hyphen_values = true)]
    expires: Duration,
    /// The directory `dev` keeps its key in
    #[arg(long, default_value = dev::DATA, conflicts_with = "config")]
    data: PathBuf,
    /// Sign by this configuration's secret instead
    #[arg(long)]
    config: Option<PathBuf>,
}

/// Longer ones come near the year 10000, which no gateway accepts.
const LIFETIME_MAX: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

fn parse_lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = parse_duration(text).map_err(|error| error.to_string())?;
    if lifetime > LIFETIME_MAX {
        return Err("a token is valid for at most 3650d".to_owned());
    }
    Ok(lifetime)
}

pub(super) fn run(args: &TokenArgs) -> CliResult {
    let claims: Map<String, Value> = serde_json::from_str(&args.claims)
        .map_err(|_| "--claims must be a JSON object such as '{\"teams\":[\"42\"]}'")?;
    let auth = match &args.config {
        Some(path) => {
            serve::load(&ConfigArgs {
                config: Some(path.clone()),
            })?
            .auth
        }
        None => AuthConfig::with_secret(dev::signing_key(&args.data)?),
    };
    let token = auth::sign(&auth, &args.sub, claims, app::now().ms(), args.expires)?;
    print(&format!("{token}\n"));
    Ok(())
}
