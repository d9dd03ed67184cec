# One target per program: `docker build --target operator .`, `--target fetch` and `--target node`
# BASE is any Debian-like image with Python 3.11 or newer as python3, pip, and ca-certificates: what those vouch for is
# trusted by the fetcher.
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
# An index to install from, other than the default; locks and hashes stay the same.
ARG PIP_INDEX_URL
WORKDIR /build
COPY locks/build.txt locks/
RUN python3 -m venv --without-pip /opt/build && \
    python3 -m pip --python /opt/build/bin/python install --no-cache-dir --require-hashes -r locks/build.txt

FROM build AS wheel
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN python3 -m pip --python /opt/build/bin/python wheel --no-cache-dir --no-deps --no-build-isolation -w /wheel .

FROM build AS operator-environment
COPY locks/operator.txt locks/
RUN python3 -m venv --without-pip /opt/modelyard && \
    python3 -m pip --python /opt/modelyard/bin/python install --no-cache-dir --require-hashes -r locks/operator.txt
# Objects go in and out as plain JSON: the client's typed models and calls (120 MB, loaded when first used) never are.
RUN find /opt/modelyard/lib/python3*/site-packages/kubernetes -name '*.py*' \( -path '*/client/models/*' -o -path '*/client/api/*' \) \
        ! -name '__init__*' -delete
RUN --mount=from=wheel,source=/wheel,target=/wheel \
    python3 -m pip --python /opt/modelyard/bin/python install --no-cache-dir --no-deps /wheel/*.whl

FROM build AS fetch-environment
COPY locks/fetch.txt locks/
RUN python3 -m venv --without-pip /opt/modelyard && \
    python3 -m pip --python /opt/modelyard/bin/python install --no-cache-dir --require-hashes -r locks/fetch.txt
# The fetcher lists, signs and reads S3 objects: botocore's descriptions of the other services are never loaded.
RUN find /opt/modelyard -path '*/botocore/data/*' -mindepth 1 -maxdepth 7 -type d -name '[a-z]*' \
        ! -name s3 ! -name sts ! -name sso ! -name sso-oidc ! -name signin -path '*/botocore/data/*' \
        -regex '.*/botocore/data/[^/]*' -exec rm -r {} +
RUN --mount=from=wheel,source=/wheel,target=/wheel \
    python3 -m pip --python /opt/modelyard/bin/python install --no-cache-dir --no-deps /wheel/*.whl

FROM build AS node-environment
COPY locks/node.txt locks/
RUN python3 -m venv --without-pip /opt/modelyard && \
    python3 -m pip --python /opt/modelyard/bin/python install --no-cache-dir --require-hashes -r locks/node.txt
RUN --mount=from=wheel,source=/wheel,target=/wheel \
    python3 -m pip --python /opt/modelyard/bin/python install --no-cache-dir --no-deps /wheel/*.whl

FROM ${BASE} AS program
# Python's official images come without compiled modules, and a program that may not write compiles them at each start.
RUN python3 -m compileall -q -x '/(test|tests|idlelib|lib2to3|site-packages|dist-packages)/' \
        "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
ENV PATH=/opt/modelyard/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /
USER 65532:65532

FROM program AS fetch
COPY --from=fetch-environment /opt/modelyard /opt/modelyard
ENTRYPOINT ["modelyard-fetch"]

FROM program AS operator
COPY --from=operator-environment /opt/modelyard /opt/modelyard
ENTRYPOINT ["modelyard"]

# Mounts volumes into pods, which only root may; its DaemonSet is the only privileged pod (docs/node-cache.md).
FROM program AS node
USER 0:0
COPY --from=node-environment /opt/modelyard /opt/modelyard
ENTRYPOINT ["modelyard-node"]
