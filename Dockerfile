# docker build -t lowmem-serve --target server .    the server alone: a base for your application's image
# docker build -t lowmem-serve-example .            the same with the Quart example in it
#
# The base images are arguments. BUILD_IMAGE needs cargo and a C compiler, RUNTIME_IMAGE CPython 3.11 or later with venv as
# `python3`; the libc of the second must not be older than that of the first. With WHEELS=dist a wheel that `make wheels`
# has made is installed instead of a new one built; BUILD_IMAGE then needs pip only, and Alpine is a base like another:
#
#   docker build --build-arg WHEELS=dist --build-arg BUILD_IMAGE=python:3.13-alpine \
#       --build-arg RUNTIME_IMAGE=python:3.13-alpine -t lowmem-serve:alpine --target server .
ARG BUILD_IMAGE=rust:1-slim-bookworm
ARG RUNTIME_IMAGE=python:3.13-slim-bookworm


FROM ${BUILD_IMAGE} AS wheel
ARG WHEELS=source
# The official Rust image has no Python.
RUN python3 -m pip --version 2>/dev/null \
    || (apt-get update && apt-get install -y --no-install-recommends python3-pip python3-venv)
WORKDIR /src
COPY . .
# Packed, the addresses that are relative to where a program is loaded take 8 KB in place of 0.4 MB, and are read in at each
# start; glibc knows that form from 2.36 on, musl is left alone.
RUN if python3 -c 'import platform as p; kind, v = p.libc_ver(); exit(kind != "glibc" or [*map(int, v.split("."))] < [2, 36])'; then \
        export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS=-Clink-arg=-Wl,-z,pack-relative-relocs; \
    fi; \
    if [ "$WHEELS" = source ]; then \
        python3 -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .; \
    else \
        python3 -m pip download --no-deps --no-index --only-binary :all: --find-links "$WHEELS" --dest /wheels lowmem-serve; \
    fi


FROM ${RUNTIME_IMAGE} AS environment
# Without a pip of its own: the base's installs into it, as `python -m pip`.
RUN python3 -m venv --without-pip --system-site-packages /opt/venv && python3 -m venv /tmp/pip
COPY --from=wheel /wheels /wheels
RUN /tmp/pip/bin/python -m pip --python /opt/venv/bin/python install --no-cache-dir --no-index /wheels/*.whl


FROM ${RUNTIME_IMAGE} AS server
# The files and not a tool add the user, because Debian's and Alpine's tools have different options.
RUN echo 'app:x:10001:10001::/app:/sbin/nologin' >>/etc/passwd \
    && echo 'app:x:10001:' >>/etc/group \
    && mkdir /app && chown 10001:10001 /app
COPY --from=environment /opt/venv /opt/venv
# Reachable from outside the container. Environment variables, so that flags still win. `lowmem-serve health` asks the
# server over a socket; /dev/shm can be written to even where the root file system cannot.
ENV PATH=/opt/venv/bin:$PATH VIRTUAL_ENV=/opt/venv LOWMEM_HOST=0.0.0.0 RUNTIME_DIRECTORY=/dev/shm
WORKDIR /app
USER app
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["lowmem-serve", "health"]
ENTRYPOINT ["lowmem-serve"]
CMD ["main:app"]


FROM server AS example
USER root
COPY examples/requirements.txt /tmp/
RUN grep -E '^(quart|aiosqlite|markdown)\b' /tmp/requirements.txt >/tmp/quart.txt \
    && python -m pip install --no-cache-dir -r /tmp/quart.txt \
    && rm /tmp/*.txt
COPY examples/quart_app /app
# The worker cannot write into the image, and the official images leave out the compiled files of the standard library. An
# import while the image is built compiles what this application uses, and no more: a start is faster by a second.
RUN python -c 'import app'
USER app
CMD ["app:app"]
