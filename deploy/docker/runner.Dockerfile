# The sidecar and the init container of an attempt, and the shim that the init container carries into the program's own.
# Build at the root of the repository: buildah bud -f deploy/docker/runner.Dockerfile .
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /build
COPY pyproject.toml constraints.txt deploy/docker/pins.py ./
RUN python3 pins.py pyproject.toml constraints.txt runner > requirements.txt \
 && python3 -m venv --without-pip /opt/cohort/venv \
 && python3 -m pip --python /opt/cohort/venv/bin/python install \
      --quiet --no-cache-dir --disable-pip-version-check --require-hashes --no-deps -r requirements.txt \
 && python3 -m pip --python /opt/cohort/venv/bin/python check \
 && site=$(/opt/cohort/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
 && echo /opt/cohort/code > "$site/cohort.pth"

FROM ${BASE} AS code
WORKDIR /opt/cohort/code
COPY services/__init__.py ./services/
COPY services/core ./services/core
COPY services/runner ./services/runner
RUN python3 -m compileall -q --invalidation-mode unchecked-hash .
COPY deploy/docker/carry.py /build/
RUN python3 /build/carry.py services/runner/shim.py /opt/cohort/rt

FROM ${BASE}
COPY --from=build /opt/cohort/venv /opt/cohort/venv
COPY --from=code /opt/cohort /opt/cohort
# Nothing here is written at run time, so the root may be read-only; the directories are volumes of the pod.
ENV PATH=/opt/cohort/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    COHORT_STAY=true \
    COHORT_CARRIED_DIR=/opt/cohort/rt \
    COHORT_RT_DIR=/cohort/rt \
    COHORT_SPOOL_DIR=/cohort/spool \
    COHORT_WORK_DIR=/cohort/work \
    COHORT_INPUT_DIR=/cohort/in \
    COHORT_OUTPUT_DIR=/cohort/out \
    COHORT_CHECKPOINT_DIR=/cohort/checkpoint \
    COHORT_TOKEN_FILE=/cohort/token/token
USER 10001:10001
WORKDIR /
ENTRYPOINT ["python", "-P", "-m", "services.runner"]
# Last, for they are others with every build.
ARG BASE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="cohort-runner" \
      org.opencontainers.image.description="Lays an attempt's files, ships its log, reports its end." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}" \
      dev.cohort.service="runner"
