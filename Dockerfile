# docker build -t lowmem-serve --target server .    the server alone: a base for your application's image
# docker build -t lowmem-serve-example .            the same with the Quart example in it
#
# The base images are arguments. The first needs cargo and a C compiler, the second CPython 3.11 or
# later with venv as `python3`, and bash; the second's libc must not be older than the first's.
ARG BUILD_IMAGE=rust:1-slim-bookworm
ARG RUNTIME_IMAGE=python:3.13-slim-bookworm


FROM ${BUILD_IMAGE} AS wheel
# The official Rust image has no Python.
RUN python3 -m pip --version 2>/dev/null \
    || (apt-get update && apt-get install -y --no-install-recommends python3-pip python3-venv)
WORKDIR /src
COPY . .
RUN python3 -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .


FROM ${RUNTIME_IMAGE} AS environment
RUN python3 -m venv /opt/venv
COPY --from=wheel /wheels /wheels
RUN /opt/venv/bin/python -m pip install --no-cache-dir --no-index /wheels/*.whl


FROM ${RUNTIME_IMAGE} AS server
# The worker cannot write into the image. Without compiled files of the standard library, which the
# official images leave out, it would compile them at every start, and keep what that took of memory.
RUN python3 -m compileall -q -x '/(dist-packages|ensurepip|idlelib|lib2to3|site-packages|test|tkinter|turtledemo)/' \
        "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
    && useradd --system --uid 10001 --user-group --home-dir /app --create-home --shell /usr/sbin/nologin app
COPY --from=environment /opt/venv /opt/venv
COPY scripts/healthcheck /usr/local/bin/healthcheck
# Reachable from outside the container. Environment variables, so that flags still win.
ENV PATH=/opt/venv/bin:$PATH VIRTUAL_ENV=/opt/venv LOWMEM_HOST=0.0.0.0
WORKDIR /app
USER app
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["healthcheck"]
ENTRYPOINT ["lowmem-serve"]
CMD ["main:app"]


FROM server AS example
USER root
COPY examples/requirements.txt /tmp/
RUN grep -E '^(quart|aiosqlite|markdown)\b' /tmp/requirements.txt >/tmp/quart.txt \
    && python -m pip install --no-cache-dir -r /tmp/quart.txt \
    && rm /tmp/*.txt
COPY examples/quart_app /app
USER app
CMD ["app:app"]
