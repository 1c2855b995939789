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
 && python3 -m pip --python /opt/cohort/venv/bin/python check
COPY services ./services
RUN site=$(/opt/cohort/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
 && mkdir "$site/services" \
 && cp -r services/__init__.py services/scripted "$site/services/" \
 && /opt/cohort/venv/bin/python -m compileall -q "$site/services"

FROM ${BASE}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="cohort-scripted" \
      org.opencontainers.image.description="A scripted model: playbooks, not a language model." \
      org.opencontainers.image.version="${VERSION}" \
      dev.cohort.service="scripted"
COPY --from=build /opt/cohort/venv /opt/cohort/venv
ENV PATH=/opt/cohort/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp
EXPOSE 8100
USER 10001:10001
WORKDIR /
ENTRYPOINT ["python", "-P", "-m", "services.scripted"]
