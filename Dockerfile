# The gateway as an image: built from source, run by a user without rights.
#
#   docker build --tag tidegate .
#   docker run --publish 4000:4000 --volume ./tidegate.toml:/etc/tidegate/tidegate.toml:ro \
#     --volume ./model.graphql:/etc/tidegate/model.graphql:ro tidegate
#
# The image sets no variable, so the mounted file decides. It has to listen at port 4000, which the health check asks.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The caches are not part of the image, so the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked && cp target/release/tidegate /usr/local/bin/tidegate

FROM debian:bookworm-slim
# The certificates are for key sets (auth.jwks_url) and MongoDB over TLS. curl is for the health check.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home --home-dir /var/lib/tidegate tidegate
COPY --from=build /usr/local/bin/tidegate /usr/local/bin/tidegate
# Without a mounted configuration, the environment has all but the address.
COPY deploy/image/tidegate.toml /etc/tidegate/tidegate.toml
USER tidegate
WORKDIR /etc/tidegate
EXPOSE 4000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD curl --fail --silent --output /dev/null http://127.0.0.1:4000/healthz
# There is no shell in between: SIGTERM has to reach the gateway, which then shuts down in order.
ENTRYPOINT ["tidegate"]
CMD ["serve"]
