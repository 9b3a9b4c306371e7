# One image, several commands: `reprieve serve PROCESS`, `reprieve db upgrade`, `reprieve topics create`.
# Nothing of the one-machine stack is in it: no embedded PostgreSQL, no embedded broker.

FROM python:3.13-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/reprieve
WORKDIR /src
COPY locks/server.txt locks/server.txt
RUN /opt/reprieve/bin/pip install --require-hashes -r locks/server.txt
COPY pyproject.toml README.md ./
COPY services services
COPY shared shared
COPY migrations migrations
COPY docs/runbooks docs/runbooks
# The build backend came with the lock; nothing is fetched here.
RUN /opt/reprieve/bin/pip install --no-deps --no-build-isolation . \
    && /opt/reprieve/bin/python -m compileall -q /opt/reprieve/lib

FROM python:3.13-slim
LABEL org.opencontainers.image.title="reprieve" \
      org.opencontainers.image.description="Finds authorization denials in X12 835 remittances and follows each one to its end."
RUN groupadd --gid 10001 reprieve \
    && useradd --uid 10001 --gid reprieve --no-create-home --home-dir /nonexistent reprieve \
    && install --directory --owner reprieve --group reprieve --mode 0700 /var/lib/reprieve/raw \
    && install --directory --owner reprieve --group reprieve --mode 0700 /var/lib/files \
    && install --directory --owner reprieve --group reprieve --mode 0770 /var/lib/drop
COPY --from=build /opt/reprieve /opt/reprieve
ENV PATH=/opt/reprieve/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    REPRIEVE_HOST=0.0.0.0 \
    REPRIEVE_PORT=8080 \
    REPRIEVE_RAW_DIR=/var/lib/reprieve/raw
USER 10001:10001
WORKDIR /var/lib/reprieve
# The root file system may be read-only; what is written goes to this volume (raw files) and to /tmp.
VOLUME /var/lib/reprieve
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ['REPRIEVE_PORT']}/livez\", timeout=4)"]
ENTRYPOINT ["reprieve"]
CMD ["--help"]
