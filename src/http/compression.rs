//! Compresses answers whole, by a bounded number of compressors, before their first byte is sent. A compressor takes up
//! to 12 MiB, so none may wait for a client that reads slowly. `coding` decides which coding a client gets.

use std::{io, sync::Arc, time::Duration};

use async_compression::{
    Level,
    brotli::EncoderParams,
    tokio::write::{BrotliEncoder, GzipEncoder, ZstdEncoder},
    zstd::CParameter,
};
use axum::{
    body::{HttpBody, to_bytes},
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue,
        header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, VARY},
    },
    middleware::Next,
    response::Response,
};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::Semaphore,
    task::yield_now,
    time::timeout,
};

use super::coding::Coding;

/// A smaller answer fits one packet as it is.
const COMPRESSED_BYTES_MIN: u64 = 1024;
/// Other tasks run between two chunks. An answer of one chunk needs no permit: its compressor is dropped before another task
/// runs on the thread.
const CHUNK_BYTES: usize = 256 * 1024;
/// The most larger answers that are compressed at a time.
const COMPRESSORS_MAX: usize = 8;
/// An answer that waits longer for a compressor is sent uncompressed.
const COMPRESSOR_WAIT: Duration = Duration::from_secs(1);
/// A usual level for answers of a web server. Higher ones cost more time than they save.
const BROTLI_LEVEL: i32 = 4;
/// The largest windows, as powers of two. A smaller answer gets a smaller one.
const BROTLI_WINDOW_LOG: u32 = 22;
const ZSTD_WINDOW_LOG: u32 = 21;
/// Both codings have windows of this size.
const WINDOW_LOG_MIN: u32 = 16;

/// Permits of compressors.
#[derive(Clone)]
pub(super) struct Compressors(Arc<Semaphore>);

impl Default for Compressors {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(COMPRESSORS_MAX)))
    }
}

/// Compresses complete answers in the coding that the client likes best. Streams are never complete, and are not compressed.
pub(super) async fn compress(
    State(compressors): State<Compressors>,
    request: Request,
    next: Next,
) -> Response {
    let coding = Coding::preferred(request.headers());
    let mut response = next.run(request).await;
    let bytes = response.body().size_hint().exact();
    if bytes.is_none_or(|bytes| bytes < COMPRESSED_BYTES_MIN) {
        return response;
    }
    response.headers_mut().append(VARY, ACCEPT_ENCODING.into());
    match coding {
        Some(coding) => compressors.compressed(coding, response).await,
        None => response,
    }
}

impl Compressors {
    async fn compressed(&self, coding: Coding, response: Response) -> Response {
        let (mut head, body) = response.into_parts();
        let plain = to_bytes(body, usize::MAX).await;
        let plain = plain.expect("an answer whose size is known is in memory");
        let permit = match plain.len() > CHUNK_BYTES {
            true => Some(timeout(COMPRESSOR_WAIT, self.0.acquire()).await),
            false => None,
        };
        if permit.as_ref().is_some_and(Result::is_err) {
            return Response::from_parts(head, plain.into());
        }
        match packed(coding, &plain).await {
            Ok(packed) => {
                mark(&mut head.headers, coding);
                Response::from_parts(head, packed.into())
            }
            Err(error) => {
                tracing::error!(target: "http", %error, "an answer cannot be compressed");
                Response::from_parts(head, plain.into())
            }
        }
    }
}

fn mark(headers: &mut HeaderMap, coding: Coding) {
    headers.remove(CONTENT_LENGTH);
    let coding = HeaderValue::from_static(coding.name());
    headers.insert(CONTENT_ENCODING, coding);
}

async fn packed(coding: Coding, plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut packed = Vec::new();
    match coding {
        Coding::Brotli => {
            let params = EncoderParams::default()
                .quality(Level::Precise(BROTLI_LEVEL))
                .window_size(window_log(plain, BROTLI_WINDOW_LOG) as i32);
            write(BrotliEncoder::with_params(&mut packed, params), plain).await?;
        }
        Coding::Gzip => write(GzipEncoder::new(&mut packed), plain).await?,
        Coding::Zstd => {
            let params = [CParameter::window_log(window_log(plain, ZSTD_WINDOW_LOG))];
            let encoder =
                ZstdEncoder::with_quality_and_params(&mut packed, Level::Default, &params);
            write(encoder, plain).await?;
        }
    }
    Ok(packed)
}

/// The smallest window that holds all of it, if that is at most `log_max`.
fn window_log(plain: &[u8], log_max: u32) -> u32 {
    let log = plain.len().next_power_of_two().ilog2();
    log.clamp(WINDOW_LOG_MIN, log_max)
}

async fn write(mut encoder: impl AsyncWrite + Unpin, plain: &[u8]) -> io::Result<()> {
    let mut chunks = plain.chunks(CHUNK_BYTES).peekable();
    while let Some(chunk) = chunks.next() {
        encoder.write_all(chunk).await?;
        if chunks.peek().is_some() {
            yield_now().await;
        }
    }
    encoder.shutdown().await
}

#[cfg(test)]
mod tests {
    use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZstdDecoder};
    use axum::{Router, body::Body, middleware::from_fn_with_state};
    use tokio::io::{AsyncRead, AsyncReadExt};
    use tower::ServiceExt;

    use super::*;

    /// An answer of this number of different bytes.
    fn plain(bytes: usize) -> Vec<u8> {
        (0_u32..).flat_map(u32::to_le_bytes).take(bytes).collect()
    }

    /// The response with this answer, to a client that accepts this coding.
    async fn response(compressors: &Compressors, coding: &str, plain: Vec<u8>) -> Response {
        let router = Router::new()
            .fallback(async || plain)
            .layer(from_fn_with_state(compressors.clone(), compress));
        let request = Request::builder().header(ACCEPT_ENCODING, coding);
        let request = request.body(Body::empty()).unwrap();
        router.oneshot(request).await.unwrap()
    }

    fn coding_of(response: &Response) -> &str {
        let coding = response.headers().get(CONTENT_ENCODING);
        coding.map_or("", |coding| coding.to_str().unwrap())
    }

    async fn read(mut decoder: impl AsyncRead + Unpin) -> Vec<u8> {
        let mut read = Vec::new();
        decoder.read_to_end(&mut read).await.unwrap();
        read
    }

    #[tokio::test]
    async fn an_answer_is_the_same_in_every_coding() {
        let compressors = Compressors::default();
        for bytes in [1024, CHUNK_BYTES, 3 * CHUNK_BYTES + 1, 6 << 20] {
            for coding in Coding::ALL {
                let response = response(&compressors, coding.name(), plain(bytes)).await;
                assert_eq!(coding_of(&response), coding.name());
                assert_eq!(response.headers()[VARY], "accept-encoding");
                let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
                assert!(
                    body.len() < bytes,
                    "{coding:?} of {bytes} has {}",
                    body.len()
                );
                let unpacked = match coding {
                    Coding::Brotli => read(BrotliDecoder::new(&body[..])).await,
                    Coding::Gzip => read(GzipDecoder::new(&body[..])).await,
                    Coding::Zstd => read(ZstdDecoder::new(&body[..])).await,
                };
                assert!(unpacked == plain(bytes), "{coding:?} of {bytes}");
            }
        }
    }

    #[tokio::test]
    async fn small_answers_and_those_for_other_clients_are_sent_as_they_are() {
        let compressors = Compressors::default();
        let small = response(&compressors, "br", plain(1023)).await;
        assert_eq!(coding_of(&small), "");
        let other = response(&compressors, "deflate", plain(5000)).await;
        assert_eq!(coding_of(&other), "");
        assert_eq!(other.headers()[VARY], "accept-encoding");
    }

    #[tokio::test]
    async fn an_answer_that_nobody_reads_holds_no_compressor() {
        let compressors = Compressors::default();
        let mut unread = Vec::new();
        for _ in 0..4 * COMPRESSORS_MAX {
            unread.push(response(&compressors, "br", plain(2 * CHUNK_BYTES)).await);
        }
        assert_eq!(compressors.0.available_permits(), COMPRESSORS_MAX);
        for response in unread {
            let bytes = response.body().size_hint().exact();
            assert!(
                bytes.unwrap() < 2 * CHUNK_BYTES as u64,
                "it is compressed already"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_answer_that_finds_no_compressor_is_sent_as_it_is() {
        let compressors = Compressors::default();
        let all = compressors.0.acquire_many(COMPRESSORS_MAX as u32).await;
        let large = response(&compressors, "br", plain(CHUNK_BYTES + 1)).await;
        assert_eq!(coding_of(&large), "");
        let small = response(&compressors, "br", plain(CHUNK_BYTES)).await;
        assert_eq!(coding_of(&small), "br");
        drop(all);
        let large = response(&compressors, "br", plain(CHUNK_BYTES + 1)).await;
        assert_eq!(coding_of(&large), "br");
    }
}
