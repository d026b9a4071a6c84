# shellcheck shell=bash
# Sourced by scripts that need Docker: an engine, a base image that is made here, containers that are ended afterwards.
# Without a running engine it starts one of its own. Bases and the engine's data are kept in $DOCKER_TEST_CACHE (1.5 GB) and
# make the next run short.
. "$(dirname "${BASH_SOURCE[0]}")/ready.sh"

cache=${DOCKER_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lowmem-serve/docker-test}
suite=bookworm
base=lowmem-serve-test/debian-python-pip:$suite
wheels=${WHEELS:-source}
take_installed_rust
rust_base=lowmem-serve-test/debian-rust:$suite-$(rustc --version | cut -d' ' -f2)
work=$(mktemp -d)
engine=
bridge_was_there=yes
mkdir -p "$cache"

# --- the engine ---------------------------------------------------------------------------------

end() {
    local code=$?
    containers=$(docker ps -aq --filter label=lowmem-serve-test 2>/dev/null) || true
    if [ -n "$containers" ]; then
        if [ "$code" != 0 ]; then
            for each in $containers; do
                say "what container $each wrote:"
                docker logs "$each" >&2 || true
            done
        fi
        # shellcheck disable=SC2086 # one word for each container
        docker rm -f $containers >/dev/null || true
    fi
    if [ -n "$engine" ]; then
        say "ending the engine"
        kill "$engine"
        wait "$engine" || true
        umount "$work/exec/netns/default" 2>/dev/null || true
        [ -n "$bridge_was_there" ] || ip link delete docker0 2>/dev/null || true
    fi
    rm -rf "$work"
    exit "$code"
}
trap end EXIT

start_engine() {
    [ "$(id -u)" = 0 ] || fail "no Docker engine answers, and only root can start one"
    need dockerd docker.io
    need iptables iptables
    need ip iproute2
    ip link show docker0 >/dev/null 2>&1 || bridge_was_there=
    say "starting a Docker engine"
    export DOCKER_HOST=unix://$work/docker.sock
    # It changes nothing on the host but its own bridge: published ports go through its proxy.
    dockerd --host "$DOCKER_HOST" --data-root "$cache/engine" --exec-root "$work/exec" \
        --pidfile "$work/dockerd.pid" --iptables=false --ip-forward=false --ip-masq=false \
        >"$work/dockerd.log" 2>&1 &
    engine=$!
    for _ in $(seq 300); do
        docker info >/dev/null 2>&1 && return
        kill -0 "$engine" 2>/dev/null || break
        sleep 0.1
    done
    tail -n 20 "$work/dockerd.log" >&2
    fail "the Docker engine did not start: its last words are above"
}

# --- the bases ----------------------------------------------------------------------------------

have() { docker image inspect "$1" >/dev/null 2>&1; }

make_base() {
    need debootstrap debootstrap
    say "debootstrap $suite"
    debootstrap --variant=minbase --include=ca-certificates,python3,python3-pip,python3-venv \
        "$suite" "$work/base" >"$work/debootstrap.log" 2>&1 ||
        { tail -n 20 "$work/debootstrap.log" >&2 && fail "debootstrap failed: see above"; }
    rm -rf "$work"/base/var/cache/apt/archives/*.deb "$work"/base/var/lib/apt/lists/*
    # Whatever this machine trusts to reach its package registries, the build in the image has to trust.
    cp -L /etc/ssl/certs/ca-certificates.crt "$work/base/etc/ssl/certs/ca-certificates.crt"
    tar -C "$work/base" -c . | docker import \
        --change 'ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt' \
        --change 'ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt' \
        --change 'CMD ["bash"]' - "$base" >/dev/null
    rm -rf "$work/base"
}

# Debian's Rust is too old, so this machine's goes into the base.
make_rust_base() {
    local container
    say "making a Rust base of this machine's toolchain"
    container=$(docker create --label lowmem-serve-test --network host "$base" bash -c \
        'apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev python3-pip')
    docker start -a "$container" >"$work/apt.log" 2>&1 ||
        { tail -n 20 "$work/apt.log" >&2 && fail "apt-get failed in the base: see above"; }
    tar -C "$(rustc --print sysroot)" -c bin lib | docker cp -q - "$container:/usr/local"
    docker commit --change 'CMD ["bash"]' "$container" "$rust_base" >/dev/null
    docker rm "$container" >/dev/null
}

need docker docker.io
docker info >/dev/null 2>&1 || start_engine
have "$base" || make_base
if [ "$wheels" = source ]; then
    need_rust
    have "$rust_base" || make_rust_base
else
    rust_base=$base
fi

# --- images ------------------------------------------------------------------------------------

# build BUILD_IMAGE RUNTIME_IMAGE WHEELS ARGUMENT...
build() {
    say "docker build $*"
    # The host's network, because a sandbox may route nothing else.
    docker build --quiet --network host --build-arg BUILD_IMAGE="$1" --build-arg RUNTIME_IMAGE="$2" \
        --build-arg WHEELS="$3" "${@:4}" . || fail "the image was not built: see above"
}

size() { docker image inspect --format '{{.Size}}' "$1"; }

# eventually SECONDS COMMAND...: true as soon as the command is.
eventually() {
    local until=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$until" ] || return 1
        sleep 0.1
    done
}
