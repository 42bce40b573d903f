# Builds the daemon from source and puts it alone into an empty image.
FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --locked --release --target "$(rustc -vV | sed -n 's/^host: //p')" \
    && mkdir -p /image/data \
    && cp target/*-linux-gnu/release/counterfoil /image/counterfoil

FROM scratch
COPY --from=build /image/counterfoil /counterfoil
COPY --from=build --chown=65532:65532 /image/data /data
USER 65532:65532
VOLUME /data
ENTRYPOINT ["/counterfoil"]
CMD ["serve", "--config", "/etc/counterfoil/node.toml"]
