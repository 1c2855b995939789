# The agents' turns; with another entry point, the controller.
# Build at the root of the repository: buildah bud -f deploy/docker/worker.Dockerfile .
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /build
COPY pyproject.toml constraints.txt deploy/docker/pins.py ./
RUN python3 pins.py pyproject.toml constraints.txt worker controller > requirements.txt \
 && python3 -m venv --without-pip /opt/cohort/venv \
 && python3 -m pip --python /opt/cohort/venv/bin/python install \
      --quiet --no-cache-dir --disable-pip-version-check --require-hashes --no-deps -r requirements.txt \
 && python3 -m pip --python /opt/cohort/venv/bin/python check
COPY services ./services
RUN site=$(/opt/cohort/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
 && mkdir "$site/services" \
 && cp -r services/__init__.py services/core services/keeping services/runner services/worker "$site/services/" \
 && /opt/cohort/venv/bin/python -m compileall -q "$site/services" \
 && install -d -o 10001 -g 10001 /opt/cohort/state

FROM ${BASE}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="cohort-worker" \
      org.opencontainers.image.description="The agents' turns, and the controller." \
      org.opencontainers.image.version="${VERSION}" \
      dev.cohort.service="worker"
COPY --from=build /opt/cohort/venv /opt/cohort/venv
# A place for those who mount no volume here. Besides it and /tmp nothing is written, so the root may be read-only.
COPY --from=build --chown=10001:10001 /opt/cohort/state /var/lib/cohort
ENV PATH=/opt/cohort/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    MALLOC_ARENA_MAX=2 \
    HOME=/tmp
USER 10001:10001
WORKDIR /
# The controller: [..., "services.worker.controller"].
ENTRYPOINT ["python", "-P", "-m", "services.worker"]
