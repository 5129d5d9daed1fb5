//! Files of pages, which the binary contains gzipped: how they are sent, and which headers guard a page. `graphiql` and
//! `devices` have the files.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
};

use async_compression::tokio::bufread::GzipDecoder;
use axum::{
    Router,
    body::Bytes,
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
            IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{io::AsyncReadExt, sync::OnceCell};

use super::{always, coding};

pub(super) const HTML: &str = "text/html; charset=utf-8";
pub(super) const SCRIPT: &str = "text/javascript; charset=utf-8";
pub(super) const STYLE: &str = "text/css; charset=utf-8";

pub(super) const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// A route for each file.
pub(super) fn router<S>(files: &'static [AssetFile]) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    files.iter().fold(Router::new(), |router, file| {
        let etag = file.etag();
        let serve = async move |headers: HeaderMap| serve_file(file, &etag, &headers).await;
        router.route(file.path, get(serve))
    })
}

/// Other pages can neither embed nor read what is here, and a page may load only what the policy allows.
pub(super) fn guarded<S>(router: Router<S>, content_policy: &'static str) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    router
        .layer(always(CONTENT_SECURITY_POLICY, content_policy))
        .layer(always(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(always(REFERRER_POLICY, "no-referrer"))
        .layer(always(CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"))
}

/// File names are the same in every release, so a browser asks each time and mostly gets a 304. The tag is weak: it
/// stands for the file in each coding.
async fn serve_file(file: &'static AssetFile, etag: &HeaderValue, request: &HeaderMap) -> Response {
    let headers = [
        (ETAG, etag.clone()),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (VARY, HeaderValue::from_static("accept-encoding")),
    ];
    if request.get(IF_NONE_MATCH) == Some(etag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    let content_type = [(CONTENT_TYPE, file.content_type)];
    let gzip = coding::quality(request, "gzip");
    if gzip > 0.0 && gzip >= coding::quality(request, "identity") {
        let coding = [(CONTENT_ENCODING, "gzip")];
        return (headers, content_type, coding, file.gzip).into_response();
    }
    (headers, content_type, file.plain().await).into_response()
}

pub(super) struct AssetFile {
    pub(super) path: &'static str,
    pub(super) content_type: &'static str,
    pub(super) gzip: &'static [u8],
    /// Unpacked at the first request for it, and shared by all requests.
    plain: OnceCell<Bytes>,
}

impl AssetFile {
    pub(super) const fn new(
        path: &'static str,
        content_type: &'static str,
        gzip: &'static [u8],
    ) -> Self {
        Self {
            path,
            content_type,
            gzip,
            plain: OnceCell::const_new(),
        }
    }

    async fn plain(&self) -> Bytes {
        let unpack = async || {
            let mut plain = Vec::new();
            let mut decoder = GzipDecoder::new(self.gzip);
            let read = decoder.read_to_end(&mut plain).await;
            read.expect("the build packed the file, and memory is read without faults");
            Bytes::from(plain.into_boxed_slice())
        };
        self.plain.get_or_init(unpack).await.clone()
    }

    /// A fingerprint of the content. It need not resist forgery: no content comes from outside.
    fn etag(&self) -> HeaderValue {
        let mut hasher = DefaultHasher::new();
        self.gzip.hash(&mut hasher);
        let etag = format!("W/\"{:016x}\"", hasher.finish());
        HeaderValue::from_str(&etag).expect("hexadecimal digits in quotes are a header value")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use axum::{
        body::{Body, to_bytes},
        extract::Request,
    };
    use tower::ServiceExt;

    use super::*;
    use crate::http::{around, devices, graphiql};

    fn files() -> impl Iterator<Item = &'static AssetFile> {
        graphiql::FILES.iter().chain(&devices::FILES)
    }

    async fn ask(file: &AssetFile, headers: &[(&str, &str)]) -> Response {
        let request = Request::get(file.path);
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        let pages = router::<()>(&graphiql::FILES).merge(router(&devices::FILES));
        let router = around(
            guarded(pages, "default-src 'none'"),
            false,
            crate::metrics::Metrics::new(),
        );
        router
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap()
    }

    async fn body_of(response: Response) -> Bytes {
        to_bytes(response.into_body(), usize::MAX).await.unwrap()
    }

    #[tokio::test]
    async fn every_file_is_served_gzipped_and_guarded() {
        for file in files() {
            let response = ask(file, &[("accept-encoding", "br, gzip")]).await;
            assert_eq!(response.status(), StatusCode::OK, "{}", file.path);
            let headers = response.headers();
            assert_eq!(headers[CONTENT_TYPE], file.content_type);
            assert_eq!(headers[CONTENT_ENCODING], "gzip");
            assert_eq!(headers[CONTENT_SECURITY_POLICY], "default-src 'none'");
            assert_eq!(headers[CROSS_ORIGIN_RESOURCE_POLICY], "same-origin");
            assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
            assert_eq!(headers[REFERRER_POLICY], "no-referrer");
            let body = body_of(response).await;
            assert!(body.starts_with(&[0x1f, 0x8b]), "{}", file.path);
        }
    }

    #[tokio::test]
    async fn a_file_is_unpacked_once_and_never_compressed() {
        for file in files() {
            let mut addresses = HashSet::new();
            for codings in ["br", "zstd", "br, zstd, gzip;q=0", "*;q=0"] {
                let response = ask(file, &[("accept-encoding", codings)]).await;
                let is_coded = response.headers().contains_key(CONTENT_ENCODING);
                assert!(!is_coded, "{} {codings}", file.path);
                addresses.insert(body_of(response).await.as_ptr());
            }
            assert_eq!(addresses.len(), 1, "{} is shared", file.path);
        }
    }

    #[tokio::test]
    async fn a_known_etag_is_answered_without_a_body() {
        let [file, other] = [&graphiql::FILES[1], &graphiql::FILES[2]];
        let etag = ask(file, &[]).await.headers()[ETAG].clone();
        let known = [("if-none-match", etag.to_str().unwrap())];
        let response = ask(file, &known).await;
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(response.headers()[ETAG], etag);
        assert_eq!(ask(other, &known).await.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_client_that_likes_gzip_less_gets_the_same_file_plain() {
        for file in files() {
            let preference = [("accept-encoding", "identity;q=1, gzip;q=0.5")];
            let response = ask(file, &preference).await;
            assert_eq!(response.status(), StatusCode::OK, "{}", file.path);
            let headers = response.headers();
            assert_eq!(headers[CONTENT_TYPE], file.content_type);
            assert_eq!(headers[VARY], "accept-encoding");
            assert!(!headers.contains_key(CONTENT_ENCODING));
            let plain = body_of(response).await;
            let mut expected = Vec::new();
            let mut decoder = GzipDecoder::new(file.gzip);
            decoder.read_to_end(&mut expected).await.unwrap();
            assert!(plain == expected, "{}", file.path);
            let is_page = plain.to_ascii_lowercase().starts_with(b"<!doctype html>");
            assert_eq!(is_page, file.content_type == HTML, "{}", file.path);
        }
    }
}
