# Images of node drivers. Target `pydra-core` is Python with pydra-cdi and pydra-core; target `driver` is one vendor's
# package (PACKAGE), one layer on top of a pydra-core image (CORE_IMAGE, by digest in a release).
#
# The steps are tools/build_image.py's; tests/contract/test_images.py runs the same ones without Docker. They run on
# the builder's own platform for every target platform: nothing is compiled, and bytecode is the same everywhere.
# Files have one fixed time, so a layer changes only with its content. Both digests are those of indexes for all
# platforms. No `# syntax=` line: that would be one more image to trust.
ARG PYTHON_IMAGE=python:3.13.15-slim-trixie@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b
ARG UV_IMAGE=astral/uv:0.13.0@sha256:cdc6093146eb3ff6a40107b38f008b789e050e77ad87865e381d9917da55a168
ARG CORE_IMAGE=pydra-core

FROM ${UV_IMAGE} AS uv

FROM --platform=${BUILDPLATFORM} ${PYTHON_IMAGE} AS build
COPY --from=uv /uv /usr/local/bin/uv
ENV PYTHONDONTWRITEBYTECODE=1 UV_CACHE_DIR=/uv-cache UV_PYTHON_DOWNLOADS=never

FROM build AS core-layer
ARG TARGETPLATFORM
RUN --mount=type=bind,target=/src --mount=type=cache,target=/uv-cache \
    python /src/tools/build_image.py layer --package pydra-core --platform "${TARGETPLATFORM}" \
    --wheels /src/dist --lock /src/images/locks/pydra-core.txt --out /layer

FROM ${PYTHON_IMAGE} AS pydra-core
# What installs packages has no business on a node. (The base's layers still hold it; no process sees it.)
RUN rm -rf /usr/local/lib/python3*/site-packages/* /usr/local/lib/python3*/ensurepip /usr/local/lib/python3*/idlelib \
    /usr/local/include/* /usr/local/bin/pip* /usr/local/bin/idle* /usr/local/bin/python*-config
COPY --from=core-layer /layer/ /
ENV PATH=/opt/pydra/bin:${PATH} PYTHONDONTWRITEBYTECODE=1
ARG PYTHON_IMAGE
ARG REVISION
ARG SOURCE
ARG VERSION
LABEL org.opencontainers.image.title="pydra-core" \
      org.opencontainers.image.description="Kubernetes Dynamic Resource Allocation drivers in Python: base of the drivers' images" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}"
ENTRYPOINT ["/opt/pydra/bin/pydra"]
CMD ["--help"]

FROM ${CORE_IMAGE} AS core

FROM build AS driver-layer
ARG PACKAGE
ARG TARGETPLATFORM
RUN --mount=type=bind,target=/src --mount=type=bind,from=core,target=/core \
    --mount=type=cache,target=/uv-cache \
    python /src/tools/build_image.py layer --package "${PACKAGE}" --platform "${TARGETPLATFORM}" --core /core \
    --wheels /src/dist --lock "/src/images/locks/${PACKAGE}.txt" --out /layer

# Root in the container, because the kubelet's folders and /var/run/cdi are root's; without capabilities, and with a
# read-only root file system: nothing here is written after the build.
FROM ${CORE_IMAGE} AS driver
COPY --from=driver-layer /layer/ /
ARG CORE_IMAGE
ARG PACKAGE
ARG REVISION
ARG SOURCE
ARG VERSION
LABEL org.opencontainers.image.title="${PACKAGE}" \
      org.opencontainers.image.description="Kubernetes driver ${PACKAGE} on pydra-core" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${CORE_IMAGE}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}"
ENTRYPOINT ["/opt/pydra/bin/driver"]
CMD ["run"]
