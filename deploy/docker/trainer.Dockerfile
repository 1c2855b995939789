# A small image for steps: Python and numpy, in which the demo's programs run. Of Cohort itself there is nothing in it.
# Build at the root of the repository: buildah bud -f deploy/docker/trainer.Dockerfile .
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /build
COPY pyproject.toml constraints.txt deploy/docker/pins.py ./
RUN python3 pins.py pyproject.toml constraints.txt numpy > requirements.txt \
 && python3 -m venv --without-pip /opt/trainer \
 && python3 -m pip --python /opt/trainer/bin/python install \
      --quiet --no-cache-dir --disable-pip-version-check --require-hashes --no-deps -r requirements.txt

FROM ${BASE}
COPY --from=build /opt/trainer /opt/trainer
ENV PATH=/opt/trainer/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp
USER 10001:10001
WORKDIR /
CMD ["python"]
# Last, for they are others with every build.
ARG BASE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="cohort-trainer" \
      org.opencontainers.image.description="Python and numpy, for steps." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
