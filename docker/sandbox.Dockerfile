# syntax=docker/dockerfile:1
# The embedded engine, for trying Loadlock beside a real Kafka. Build from the root of the repository:
#   docker build -f docker/sandbox.Dockerfile -t loadlock-sandbox .
# It listens on loopback alone, so it is run in the host's network (docker/compose.yaml does).

ARG RUST=1.95
FROM rust:${RUST}-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --package loadlock-sandbox --bin loadlock-sandbox \
    && cp target/release/loadlock-sandbox /loadlock-sandbox

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin loadlock \
    && install --directory --owner=10001 --group=10001 /var/lib/loadlock-sandbox
COPY --from=build /loadlock-sandbox /usr/local/bin/loadlock-sandbox
USER 10001:10001
WORKDIR /var/lib/loadlock-sandbox
STOPSIGNAL SIGTERM
ENTRYPOINT ["loadlock-sandbox"]
CMD ["up", "--help"]
