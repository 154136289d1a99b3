# The HTTP worker. Build it from the repository's root:
#   docker build -f infra/container/keybrake-http-worker.Dockerfile -t keybrake-http-worker .
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package keybrake-http-worker

# The C library, the certificates that the system trusts, and nothing else; not root.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/keybrake-http-worker /usr/local/bin/keybrake-http-worker
# On this address it wants KEYBRAKE_WORKER_TOKEN or KEYBRAKE_WORKER_SIGNING_SECRET.
ENV KEYBRAKE_WORKER_LISTEN=0.0.0.0:9090
EXPOSE 9090
ENTRYPOINT ["/usr/local/bin/keybrake-http-worker"]
