# Two stages: build the one binary, then run it as an ordinary user on a small system.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p pgpresence

FROM debian:bookworm-slim
# For sslrootcert=system.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --system --no-create-home pgpresence
COPY --from=build /src/target/release/pgpresence /usr/local/bin/pgpresence
USER pgpresence
ENTRYPOINT ["pgpresence"]
CMD ["server"]
