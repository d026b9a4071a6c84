#!/usr/bin/env bash
# Builds the image and runs it, on base images made here: nothing is pulled.
# The wheel is built in the image; with WHEELS=dist the one of `make wheels` is installed instead, which is quicker.
# Where MUSL_PYTHONS names a CPython that is linked with musl, and dist/ has a wheel for it, so is an image as Alpine's.
. "$(dirname "$0")/docker.sh"

musl_base=lowmem-serve-test/musl-python
# What the server may add to a base image, in bytes.
most=12000000
image=lowmem-serve-test/server
example=lowmem-serve-test/example

# What an Alpine image has, as far as the Dockerfile can see: busybox, musl's loader, and a CPython without compiled files.
# make_musl_base PYTHON
make_musl_base() {
    local prefix tree=$work/musl
    say "making a base of $1"
    need busybox busybox-static
    "$1" -m pip --version >/dev/null 2>&1 || fail "$1 has no pip: $1 -m ensurepip"
    prefix=$("$1" -c 'import sys; print(sys.base_prefix)')
    mkdir -p "$tree"/bin "$tree"/etc "$tree"/lib "$tree"/tmp "$tree"/usr/local/bin "$tree$prefix"
    chmod 1777 "$tree/tmp"
    cp "$(command -v busybox)" "$tree/bin/busybox"
    cp -L /lib/ld-musl-*.so.1 "$tree/lib/"
    cp -a "$prefix/." "$tree$prefix/"
    find "$tree$prefix" -name __pycache__ -prune -exec rm -r {} +
    for applet in sh cat chown cut env find grep id kill ls mkdir printf rm sleep touch; do
        ln -s busybox "$tree/bin/$applet"
    done
    ln -s "$prefix/bin/python3" "$tree/usr/local/bin/python3"
    echo 'root:x:0:0::/root:/bin/sh' >"$tree/etc/passwd"
    echo 'root:x:0:' >"$tree/etc/group"
    tar -C "$tree" -c . | docker import --change 'ENV PATH=/usr/local/bin:/bin' --change 'CMD ["sh"]' - "$musl_base" >/dev/null
    rm -rf "$tree"
}

# --- the image ----------------------------------------------------------------------------------

# is_light IMAGE BASE: the server's layers are no larger than they may be.
is_light() {
    local added=$(($(size "$1") - $(size "$2")))
    [ "$added" -le "$most" ] || fail "$1 is $added bytes larger than $2, and $most is the most it may be"
    check "the server adds $((added / 100000 * 100)) KB to $2"
}

check() { say "ok: $*"; }

build "$rust_base" "$base" "$wheels" --target server --tag "$image"
build "$rust_base" "$base" "$wheels" --tag "$example"
is_light "$image" "$base"

# --- the container ------------------------------------------------------------------------------

# start NAME ARGUMENT...: a container on a free port of 127.0.0.1; sets $container and $url.
start() {
    container=$(docker run -d --label lowmem-serve-test --publish 127.0.0.1::8000 \
        --health-interval 1s --health-retries 30 "$@")
    # A container that has ended at once publishes nothing.
    url=http://$(docker port "$container" 8000/tcp 2>/dev/null | head -n1 || true)
}

inside() { docker exec "$container" "$@"; }

answers() {
    python3 - "$1" <<'PYTHON'
import sys, urllib.request

# The answer is from this machine: no proxy.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
with opener.open(sys.argv[1], timeout=5) as answer:
    sys.stdout.write(answer.read().decode())
PYTHON
}

health() { docker inspect --format '{{.State.Health.Status}}' "$container"; }
is_healthy() { [ "$(health)" = healthy ]; }
exit_code() { docker inspect --format '{{.State.ExitCode}}' "$container"; }
# stopped SECONDS: docker stop ends it, by itself, with exit code 0.
stopped() {
    local began=$SECONDS
    docker stop --time 20 "$container" >/dev/null
    [ $((SECONDS - began)) -le "$1" ] || fail "docker stop took $((SECONDS - began)) s"
    [ "$(exit_code)" = 0 ] || fail "after docker stop the exit code is $(exit_code)"
}

start "$example"
eventually 30 answers "$url/" || fail "the example does not answer at $url/"
check "the example answers at $url/"

eventually 30 is_healthy || fail "the container is $(health)"
check "the container is healthy"

[ "$(inside id -u)" = 10001 ] || fail "the container runs as uid $(inside id -u)"
[ "$(inside cat /proc/1/comm)" = lowmem-serve ] || fail "PID 1 is $(inside cat /proc/1/comm)"
! inside grep -q libpython /proc/1/maps || fail "PID 1 maps libpython"
for absent in /src /wheels /root/.cargo; do
    ! inside test -e "$absent" || fail "the image carries $absent"
done
! inside sh -c 'command -v cargo gcc rustc' >/dev/null || fail "the image carries a compiler"
! inside touch /opt/venv/written 2>/dev/null || fail "the server can write into its own environment"
check "PID 1 is lowmem-serve, without Python; nothing of the build is left; not root"

# A process whose parent has ended belongs to PID 1, which has to collect it.
inside sh -c 'sleep 0.3 & exit 0'
sleep 1
zombies=$(inside sh -c 'cat /proc/[0-9]*/stat 2>/dev/null' | grep -c ') Z ' || true)
[ "$zombies" = 0 ] || fail "PID 1 left $zombies zombies"
check "PID 1 collects orphans"

worker=$(inside sh -c 'cat /proc/1/task/1/children' | cut -d' ' -f1)
inside sh -c "kill -KILL $worker"
eventually 10 answers "$url/" || fail "after SIGKILL to the worker the example does not answer"
[ "$(docker inspect --format '{{.State.Running}}' "$container")" = true ] || fail "the container ended with its worker"
check "a killed worker is replaced"

stopped 5
check "docker stop ends it at once, exit code 0"

# An application of one's own, mounted, with nothing else to write to and little memory.
mkdir "$work/app"
cat >"$work/app/main.py" <<'PYTHON'
import asyncio


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("lifespan shutdown ran", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["path"] in ("/events", "/deaf"):
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"data: begun\n\n", "more_body": True})
        if scope["path"] == "/deaf":
            await asyncio.sleep(3600)
        # As frameworks do it.
        while (await receive())["type"] != "http.disconnect":
            pass
    else:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"mounted"})
PYTHON
# The container's user is not the one who made these.
chmod a+rx "$work" "$work/app"
chmod a+r "$work/app/main.py"
start --volume "$work/app:/app:ro" --read-only --memory 64m "$image" main:app --workers 2
eventually 30 answers "$url/" || fail "the mounted application does not answer"
[ "$(answers "$url/")" = mounted ] || fail "the mounted application answers '$(answers "$url/")'"
eventually 30 is_healthy || fail "read-only the container is $(health)"
stopped 5
check "a mounted application is served by two workers, read-only, in 64 MB, and is healthy"

start --volume "$work/app:/app:ro" "$image" main:app --uds /tmp/server.sock
eventually 30 is_healthy || fail "behind a Unix socket the container is $(health)"
stopped 5
start --volume "$work/app:/app:ro" "$image" main:app --port 9000
eventually 30 is_healthy || fail "on another port the container is $(health)"
stopped 5
need openssl openssl
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -keyout "$work/app/site.key" -out "$work/app/site.pem" 2>"$work/openssl.log" ||
    fail "openssl made no certificate: $(cat "$work/openssl.log")"
chmod a+r "$work/app/site.key"
start --volume "$work/app:/app:ro" "$image" main:app --ssl-certfile site.pem --ssl-keyfile site.key
eventually 30 is_healthy || fail "with TLS the container is $(health)"
stopped 5
check "a server on a Unix socket, on another port and with TLS is healthy"

# ends_a_stream PATH SECONDS: docker stop ends the container in this time though a client reads an event stream.
ends_a_stream() {
    local client
    start --volume "$work/app:/app:ro" "$image" main:app
    eventually 30 answers "$url/" || fail "the application with an event stream does not answer"
    python3 - "$url$1" >"$work/events" <<'PYTHON' &
import sys, urllib.request

opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
with opener.open(sys.argv[1], timeout=60) as answer:
    for line in answer:
        print(line.decode().strip(), flush=True)
PYTHON
    client=$!
    eventually 10 grep -q begun "$work/events" || fail "the event stream does not begin"
    stopped "$2"
    wait "$client" || true
    docker logs "$container" 2>&1 | grep -q "lifespan shutdown ran" || fail "lifespan shutdown did not run"
    check "docker stop with an open event stream ($1): $2 s at most, exit code 0, and lifespan shutdown runs"
}

# An event stream has no end of its own. Docker waits 10 s before it kills.
ends_a_stream /events 4
# Its application does not ask whether the client is still there, and is cancelled.
ends_a_stream /deaf 4

# The official Python images have no compiled file at all, and a read-only root keeps none: every start is cold.
cold=lowmem-serve-test/cold
container=$(docker create --label lowmem-serve-test --user root --entrypoint find "$example" / -xdev -name '*.pyc' -delete)
docker start -a "$container" >/dev/null || fail "the compiled files cannot be deleted"
docker commit --change 'USER app' --change 'ENTRYPOINT ["lowmem-serve"]' "$container" "$cold" >/dev/null
docker rm "$container" >/dev/null
for imports in off auto; do
    start --read-only --tmpfs /tmp "$cold" app:app --lazy-imports "$imports"
    ! inside sh -c 'find / -xdev -name "*.pyc" | grep -q .' || fail "the image still has compiled files"
    eventually 60 answers "$url/" || fail "without a compiled file and with --lazy-imports $imports the example does not answer"
    stopped 5
done
start --read-only --tmpfs /tmp "$cold" app:app --preload
eventually 60 answers "$url/" || fail "without a compiled file and with --preload the example does not answer"
stopped 5
check "an image without compiled files starts, read-only, with lazy imports and without, and preloaded"

start "$image" missing:app
eventually 20 test "$(docker wait "$container")" = 3 || fail "without its application the exit code is $(exit_code)"
check "without its application it ends with exit code 3"

musl_python=${MUSL_PYTHONS:-}
musl_python=${musl_python%% *}
if [ -n "$musl_python" ] && ls dist/*-musllinux_*_"$(uname -m)".whl >/dev/null 2>&1; then
    have "$musl_base" || make_musl_base "$musl_python"
    build "$musl_base" "$musl_base" dist --target server --tag "$image:musl"
    is_light "$image:musl" "$musl_base"
    start --volume "$work/app:/app:ro" --read-only --memory 64m "$image:musl" main:app
    eventually 30 answers "$url/" || fail "with musl the application does not answer"
    eventually 30 is_healthy || fail "with musl the container is $(health)"
    stopped 5
    check "the image with musl serves, read-only, in 64 MB, and is healthy"
else
    say "not run: the image with musl (MUSL_PYTHONS and a wheel in dist/)"
fi

docker images --format '{{.Repository}}: {{.Size}}' | grep -E "^lowmem-serve-test/(server|example|debian-python-pip|musl-python)" >&2
say "all passed"
