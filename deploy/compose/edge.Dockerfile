# The edge of docker-compose.yml: Kamailio as Debian has it. Its configuration is ../kamailio-edge.cfg.
FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends kamailio \
    && rm -rf /var/lib/apt/lists/*
