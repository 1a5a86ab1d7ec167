# The image of linmemd and linmemctl.
#
#   docker build -t linmemd .
#
# Where no registry is reachable, deploy/base-image.sh makes both bases (see deploy/README.md):
#
#   docker build -t linmemd --build-arg BUILD_BASE=linmemd-rust:bookworm \
#       --build-arg RUNTIME_BASE=linmemd-base:bookworm .
#
# Both bases must be of one Debian release: the programs use the runtime base's C library.
ARG BUILD_BASE=rust:1.95-slim-bookworm
ARG RUNTIME_BASE=debian:bookworm-slim

FROM ${BUILD_BASE} AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bins

FROM ${RUNTIME_BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="linmemd" \
      org.opencontainers.image.description="A daemon that serves sandboxed linear memories over gRPC" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /src/target/release/linmemd /src/target/release/linmemctl /usr/local/bin/
# The defaults: both listeners on the container's own loopback, nobody anonymous elsewhere. Mount
# another file here to be reached from outside (deploy/linmemd.container.toml shows one).
COPY config/linmemd.toml /etc/linmemd/linmemd.toml
USER 65532:65532
EXPOSE 7420 9420
# Drains; a second one ends at once. `docker stop` must wait longer than [drain] limit (10 s).
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/linmemd"]
CMD ["--config", "/etc/linmemd/linmemd.toml"]
