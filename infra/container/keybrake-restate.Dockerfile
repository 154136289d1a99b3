# The Restate worker. Build it from the repository's root:
#   docker build -f infra/container/keybrake-restate.Dockerfile -t keybrake-restate .
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package keybrake-restate

# The C library, the certificates that the system trusts, and nothing else; not root.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/keybrake-restate /usr/local/bin/keybrake-restate
# It serves nobody there without KEYBRAKE_RESTATE_IDENTITY_KEYS.
ENV KEYBRAKE_RESTATE_LISTEN=0.0.0.0:9080
EXPOSE 9080
ENTRYPOINT ["/usr/local/bin/keybrake-restate"]
