//! The page of two devices, `/devices`, that `tidegate dev` serves. The package `packages/devices` builds its files; its
//! devices get their tokens from `dev_token`.

use axum::Router;

use super::assets::{self, AssetFile, HTML, SCRIPT, STYLE};

pub(super) fn router<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    assets::guarded(assets::router(&FILES), POLICY)
}

/// The page uses its own origin only, WebSockets included.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) static FILES: [AssetFile; 3] = [
    AssetFile::new("/devices", HTML, include_bytes!("devices/index.html.gz")),
    AssetFile::new(
        "/devices/app.js",
        SCRIPT,
        include_bytes!("devices/app.js.gz"),
    ),
    AssetFile::new(
        "/devices/app.css",
        STYLE,
        include_bytes!("devices/app.css.gz"),
    ),
];
