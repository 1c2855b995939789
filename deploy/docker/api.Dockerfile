# The REST API, and the ingest of the runners; beside them the command `cohort`, for `cohort admin` in a pod.
# Build at the root of the repository: buildah bud -f deploy/docker/api.Dockerfile .
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /build
COPY pyproject.toml constraints.txt deploy/docker/pins.py ./
RUN python3 pins.py pyproject.toml constraints.txt api > requirements.txt \
 && python3 -m venv --without-pip /opt/cohort/venv \
 && python3 -m pip --python /opt/cohort/venv/bin/python install \
      --quiet --no-cache-dir --disable-pip-version-check --require-hashes --no-deps -r requirements.txt \
 && python3 -m pip --python /opt/cohort/venv/bin/python check \
 && site=$(/opt/cohort/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
 && echo /opt/cohort/code > "$site/cohort.pth" \
 && printf '#!/bin/sh\nexec /opt/cohort/venv/bin/python -P -m services.cli "$@"\n' > /opt/cohort/venv/bin/cohort \
 && chmod 755 /opt/cohort/venv/bin/cohort

FROM ${BASE} AS code
WORKDIR /opt/cohort/code
COPY services/__init__.py ./services/
COPY services/core ./services/core
COPY services/api ./services/api
# The command, for `cohort admin`.
COPY services/cli ./services/cli
COPY services/keeping ./services/keeping
RUN python3 -m compileall -q --invalidation-mode unchecked-hash . \
 && install -d -o 10001 -g 10001 /opt/cohort/state

FROM ${BASE}
COPY --from=build /opt/cohort/venv /opt/cohort/venv
# Apart from what it needs: a new version is a small layer upon one that nodes have already.
COPY --from=code /opt/cohort/code /opt/cohort/code
# A place for those who mount no volume here. Besides it and /tmp nothing is written, so the root may be read-only.
COPY --from=code --chown=10001:10001 /opt/cohort/state /var/lib/cohort
ENV PATH=/opt/cohort/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    MALLOC_ARENA_MAX=2 \
    HOME=/tmp \
    COHORT_API_HOST=0.0.0.0
EXPOSE 8470
USER 10001:10001
WORKDIR /
ENTRYPOINT ["python", "-P", "-m", "services.api"]
# Last, for they are others with every build.
ARG BASE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="cohort-api" \
      org.opencontainers.image.description="The REST API and the runner's ingest." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}" \
      dev.cohort.service="api"
