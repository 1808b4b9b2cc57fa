# The images of Penstock, one target for each role:
#
#   docker build --target worker --tag penstock-worker .
#   docker build --target operator --tag penstock-operator .
#
# `make images` builds the same for the tests, docs/how-to/images.md tells the rest. Packages and our
# own code are layers apart, so a change of the code moves few megabytes.

# Any image with Python 3.11 or newer. The one that builds also has Python's venv and ensurepip; the
# results have the same Python at the same place.
ARG BASE_IMAGE=python:3.13-slim-bookworm
ARG BUILD_IMAGE=${BASE_IMAGE}

FROM ${BUILD_IMAGE} AS build
WORKDIR /build
COPY requirements-build.txt ./
RUN python3 -m venv tools && tools/bin/pip install --require-hashes -r requirements-build.txt

# The packages as an environment without pip, compiled, as nothing can be written later. Tests and
# headers that some of them bring along are left behind.
FROM build AS worker-packages
COPY requirements-worker.txt ./
RUN python3 -m venv --without-pip /opt/penstock \
    && tools/bin/pip --python /opt/penstock install --require-hashes -r requirements-worker.txt \
    && find /opt/penstock -type d '(' -name tests -o -name include ')' -prune -exec rm -r '{}' +

FROM build AS operator-packages
COPY requirements-operator.txt ./
RUN python3 -m venv --without-pip /opt/penstock \
    && tools/bin/pip --python /opt/penstock install --require-hashes -r requirements-operator.txt \
    && find /opt/penstock -type d '(' -name tests -o -name include ')' -prune -exec rm -r '{}' +

FROM build AS samples-packages
COPY requirements-samples.txt ./
RUN python3 -m venv --without-pip /opt/penstock \
    && tools/bin/pip --python /opt/penstock install --require-hashes --root /samples \
        -r requirements-samples.txt

# Our wheel, unpacked below /code as it will lie in the environment.
FROM build AS code
COPY . .
RUN tools/bin/hatchling build --target wheel --directory wheel \
    && python3 -m venv --without-pip /opt/penstock \
    && tools/bin/pip --python /opt/penstock install --no-deps --no-index --root /code wheel/*.whl

FROM ${BASE_IMAGE} AS runtime
ENV PATH=/opt/penstock/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /tmp
USER 65532:65532

FROM runtime AS operator
COPY --from=operator-packages /opt/penstock /opt/penstock
ENTRYPOINT ["python", "-m", "penstock_operator"]
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Penstock operator" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
COPY --from=code /code/ /

FROM runtime AS worker
# Where relative paths of a manifest lead: mount a volume there. Nothing can be written to the folder
# itself, so that results are not lost with their pod.
WORKDIR /data
COPY --from=worker-packages /opt/penstock /opt/penstock
ENTRYPOINT ["penstock"]
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Penstock worker" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
COPY --from=code /code/ /

# The worker with what the functions of manifests/samples/document_conversion.py import: an image of
# one's own, as docs/how-to/functions-on-a-cluster.md tells. Their code comes by `penstock submit`.
FROM worker AS samples
COPY --from=samples-packages /samples/ /
