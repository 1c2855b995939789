# The scripted model: playbooks in place of a language model, for trying out an install. Nothing else needs it.
# Build at the root of the repository: buildah bud -f deploy/docker/scripted.Dockerfile .
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
 && echo /opt/cohort/code > "$site/cohort.pth"

FROM ${BASE} AS code
WORKDIR /opt/cohort/code
COPY services/__init__.py ./services/
COPY services/scripted ./services/scripted
RUN python3 -m compileall -q --invalidation-mode unchecked-hash .

FROM ${BASE}
COPY --from=build /opt/cohort/venv /opt/cohort/venv
# Apart from what it needs: a new version is a small layer upon one that nodes have already.
COPY --from=code /opt/cohort/code /opt/cohort/code
ENV PATH=/opt/cohort/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp
EXPOSE 8100
USER 10001:10001
WORKDIR /
ENTRYPOINT ["python", "-P", "-m", "services.scripted"]
# Last, for they are others with every build.
ARG BASE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="cohort-scripted" \
      org.opencontainers.image.description="A scripted model: playbooks, not a language model." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}" \
      dev.cohort.service="scripted"
