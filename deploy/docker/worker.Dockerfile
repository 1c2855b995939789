# The agents' turns; with another entry point, the controller.
# Build at the root of the repository: buildah bud -f deploy/docker/worker.Dockerfile .
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /build
COPY pyproject.toml constraints.txt deploy/docker/pins.py ./
# What is removed is imported by nobody, and a fifth of all there is: the client's other half, the pages of litellm's proxy.
RUN python3 pins.py pyproject.toml constraints.txt worker controller > requirements.txt \
 && python3 -m venv --without-pip /opt/cohort/venv \
 && python3 -m pip --python /opt/cohort/venv/bin/python install \
      --quiet --no-cache-dir --disable-pip-version-check --require-hashes --no-deps -r requirements.txt \
 && python3 -m pip --python /opt/cohort/venv/bin/python check \
 && site=$(/opt/cohort/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
 && rm -r "$site/kubernetes/aio" "$site/litellm/proxy/_experimental/out" \
 && LITELLM_LOCAL_MODEL_COST_MAP=True /opt/cohort/venv/bin/python -c 'import kubernetes.client, litellm' \
 && echo /opt/cohort/code > "$site/cohort.pth"

FROM ${BASE} AS code
WORKDIR /opt/cohort/code
COPY services/__init__.py ./services/
COPY services/core ./services/core
COPY services/keeping ./services/keeping
COPY services/runner ./services/runner
COPY services/worker ./services/worker
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
    HOME=/tmp
USER 10001:10001
WORKDIR /
# The controller: [..., "services.worker.controller"].
ENTRYPOINT ["python", "-P", "-m", "services.worker"]
# Last, for they are others with every build.
ARG BASE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="cohort-worker" \
      org.opencontainers.image.description="The agents' turns, and the controller." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}" \
      dev.cohort.service="worker"
