FROM rust:1.95-bookworm AS precompile
# The sources of this repository.
COPY . /src
RUN cargo install --locked --path /src/precompile-cli --root /usr/local && rm -r /src/target

FROM precompile AS cache
COPY fixtures/programs/hello/hello.wasm /plugins/
# Exactly the entries of these modules, readable by everybody. An invalid module fails the build.
# For two kinds of processors at once: --platform linux/amd64/v3,linux/arm64, here and below.
RUN precompile --out /usr/share/precompile /plugins
# Whatever would miss in production misses here.
RUN PRECOMPILE_CACHE_DIR= precompile check /plugins

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=precompile /usr/local/bin/precompile /usr/bin/precompile
COPY --from=cache /plugins /plugins
COPY --from=cache /usr/share/precompile /usr/share/precompile
ENV PRECOMPILE_CACHE_DIR= PRECOMPILE_CACHE_MODE=require-hit
USER 65532:65532
ENTRYPOINT ["/usr/bin/precompile", "run"]
CMD ["/plugins/hello.wasm"]
