# syntax=docker/dockerfile:1
#
# One build, four images: docker build --target write-service|projector|read-service|cli .

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
# The caches stay with the builder, so the binaries are copied out of them in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked -p write-service -p projector -p read-service -p cli \
    && mkdir /out \
    && cp target/release/write-service target/release/projector target/release/read-service \
          target/release/counterfoil /out/

FROM debian:bookworm-slim AS runtime
RUN groupadd --system --gid 10001 counterfoil \
    && useradd --system --uid 10001 --gid counterfoil --no-create-home --shell /usr/sbin/nologin counterfoil
USER 10001:10001

# What the three services share. Each listens on every address of its container; what of that is
# reachable from outside is for whoever runs it to say.
FROM runtime AS service
ENV LOG_FORMAT=json
EXPOSE 9464
# Ready, not only alive: bash asks the service's own /readyz, so that no image needs another program.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9464 && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r _ code _ <&3 && [[ $code == 200 ]]"]

# Both listen on all addresses, and start only with a certificate (GRPC_TLS_CERT_FILE) or COUNTERFOIL_ALLOW_PLAINTEXT=true.
FROM service AS write-service
COPY --from=build /out/write-service /usr/local/bin/
ENV WRITE_SERVICE_LISTEN_ADDR=0.0.0.0:50051 \
    WRITE_SERVICE_METRICS_ADDR=0.0.0.0:9464
EXPOSE 50051
ENTRYPOINT ["write-service"]

FROM service AS projector
COPY --from=build /out/projector /usr/local/bin/
ENV PROJECTOR_METRICS_ADDR=0.0.0.0:9464
ENTRYPOINT ["projector"]

FROM service AS read-service
COPY --from=build /out/read-service /usr/local/bin/
ENV READ_SERVICE_LISTEN_ADDR=0.0.0.0:50052 \
    READ_SERVICE_METRICS_ADDR=0.0.0.0:9464
EXPOSE 50052
ENTRYPOINT ["read-service"]

FROM runtime AS cli
COPY --from=build /out/counterfoil /usr/local/bin/
ENTRYPOINT ["counterfoil"]
