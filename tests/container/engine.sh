#!/usr/bin/env bash
# A container engine for the container tests, from Debian packages alone: what is missing is
# installed, a daemon is started only if none answers, and only that daemon is stopped again.
#
#   engine.sh up       make an engine answer; prints its environment as NAME=value lines,
#                      ENGINE_STARTED=1 among them if it is this script's own
#   engine.sh images   fill wheels/, build the base and the chain image; prints their names likewise
#                      (nothing without root and apt-get: then the public images serve)
#   engine.sh down     stop the daemon that `up` started; images stay for the next run
#   engine.sh purge    down, and remove all that this script has written outside the repository
#
# Exit status 77 means that this machine cannot run containers; the last line says why.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
root=${VOLQUORUM_ENGINE_DIR:-/var/tmp/volquorum-engine-$(id -u)}
release=bookworm         # its python3 is the 3.11 that the project asks for
plugin_release=trixie    # the first Debian release with compose v2
base_image=volquorum-base:$release
chain_image=volquorum-chain:local
foundry=$repository/node_modules/@foundry-rs

say() { echo "engine: $*" >&2; }
cannot() { say "$*"; exit 77; }
gently() { nice -n 10 ionice -c 3 "$@"; }

archive() { # the Debian mirror that this machine already uses
    local found
    found=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' |
        awk -v release="$release" '$2 == release && !found { found = $1 } END { print found }')
    [[ $found ]] || cannot "needs apt-get with a mirror of Debian $release"
    echo "$found"
}

install_packages() {
    local missing=()
    command -v dockerd >/dev/null || missing+=(docker.io iptables)
    command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
    ((${#missing[@]})) || return 0
    [[ $(id -u) == 0 ]] || cannot "needs root to install ${missing[*]}"
    command -v apt-get >/dev/null || cannot "needs apt-get to install ${missing[*]}"
    say "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    gently apt-get update -qq >&2 || cannot "apt-get update failed"
    gently apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 \
        "${missing[@]}" >&2 || cannot "apt-get could not install ${missing[*]}"
}

choose() { # the engine and the client settings of this machine, else our own
    docker info >/dev/null 2>&1 || export DOCKER_HOST=unix://$root/docker.sock
    complete || export DOCKER_CONFIG=$root/config
}

complete() { docker compose version >/dev/null 2>&1 && docker buildx version >/dev/null 2>&1; }

install_plugins() {
    complete && return 0
    command -v apt-get >/dev/null || cannot "needs docker compose v2 and buildx, or apt-get to fetch them"
    local work=$root/plugins mirror
    mirror=$(archive)
    say "fetching compose and buildx from Debian $plugin_release"
    rm -rf "$work"
    mkdir -p "$work"/{lists,cache/archives}/partial "$DOCKER_CONFIG/cli-plugins"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $plugin_release main" \
        >"$work/sources.list"
    # A private list and cache: this machine's own package lists stay as they are.
    local options=(-qq -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
    (
        cd "$work"
        gently apt-get "${options[@]}" update >&2
        gently apt-get "${options[@]}" download docker-compose docker-buildx >&2
        for package in *.deb; do dpkg-deb -x "$package" unpacked; done
        mv unpacked/usr/libexec/docker/cli-plugins/docker-* "$DOCKER_CONFIG/cli-plugins/"
    ) || cannot "compose and buildx could not be fetched"
    rm -rf "$work"
    docker compose version >&2
}

start_daemon() {
    [[ $(id -u) == 0 ]] || cannot "no container engine answers, and starting one needs root"
    say "starting dockerd in $root"
    nice -n 5 setsid dockerd --data-root "$root/data" --exec-root "$root/exec" --log-level warn \
        --pidfile "$root/dockerd.pid" --host "$DOCKER_HOST" >"$root/dockerd.log" 2>&1 </dev/null 9>&- &
    for _ in $(seq 60); do
        docker info >/dev/null 2>&1 && return 0
        kill -0 $! 2>/dev/null || break
        sleep 0.5
    done
    tail -n 5 "$root/dockerd.log" >&2
    stop_daemon
    cannot "dockerd did not start; see $root/dockerd.log"
}

stop_daemon() {
    [[ -f $root/dockerd.pid ]] || return 0
    local pid
    pid=$(<"$root/dockerd.pid")
    [[ $(cat "/proc/$pid/comm" 2>/dev/null) == dockerd ]] || return 0
    say "stopping dockerd"
    kill "$pid"
    for _ in $(seq 120); do
        [[ -d /proc/$pid ]] || return 0
        sleep 0.5
    done
    say "dockerd ($pid) is still running"
    return 1
}

up() {
    choose
    if docker info >/dev/null 2>&1; then
        say "using the engine that answers"
    else
        install_packages
        start_daemon
        echo ENGINE_STARTED=1
    fi
    install_plugins
    env | grep -E '^DOCKER_(HOST|CONFIG)=' || true
}

build_base() {
    docker image inspect "$base_image" >/dev/null 2>&1 && return 0
    install_packages
    local mirror
    mirror=$(archive)
    say "building $base_image"
    # Laid out like the public python image: `python` on the path, nothing that pip refuses to touch.
    gently mmdebstrap --quiet --variant=minbase --include=python3.11-venv,ca-certificates \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook='ln -s /usr/bin/python3.11 "$1/usr/local/bin/python"' \
        --customize-hook='rm -f "$1"/usr/lib/python3.11/EXTERNALLY-MANAGED "$1/etc/resolv.conf" "$1/etc/hostname"' \
        "$release" - "$mirror" |
        docker import --change 'ENV LANG=C.UTF-8' --change 'CMD ["python"]' - "$base_image" >&2
}

build_chain() {
    [[ -x $foundry/anvil-linux-amd64/bin/anvil ]] || cannot "needs npm's anvil in $foundry"
    say "building $chain_image"
    local context=$root/chain
    rm -rf "$context"
    mkdir -p "$context"
    cp "$foundry/anvil-linux-amd64/bin/anvil" "$foundry/cast-linux-amd64/bin/cast" "$context"
    DOCKER_BUILDKIT=1 docker build --quiet --tag "$chain_image" --build-arg "BASE_IMAGE=$base_image" \
        --file "$repository/tests/container/chain.Dockerfile" "$context" >&2
    rm -rf "$context"
}

fill_wheels() { # pip on this machine knows its indexes; the build then needs none
    local stamp=$repository/wheels/.stamp python=$repository/.venv/bin/python requirements pins
    [[ -x $python ]] || python=python3.11
    requirements=$("$python" - "$repository/pyproject.toml" <<'PYTHON'
import sys, tomllib
project = tomllib.load(open(sys.argv[1], "rb"))
print(*project["build-system"]["requires"], *project["project"]["dependencies"], sep="\n")
PYTHON
    )
    pins=$({ echo "$requirements"; cat "$repository/constraints.txt"; } | sha256sum)
    [[ -f $stamp && $(<"$stamp") == "$pins" ]] && return 0
    say "filling wheels/"
    gently "$python" -m pip download -qq --dest "$repository/wheels" --only-binary :all: \
        ${VOLQUORUM_TORCH_INDEX:+--extra-index-url "$VOLQUORUM_TORCH_INDEX"} \
        --constraint "$repository/constraints.txt" --requirement <(echo "$requirements") >&2
    echo "$pins" >"$stamp"
}

images() {
    choose
    if ! [[ $(id -u) == 0 ]] || ! command -v apt-get >/dev/null; then
        say "the images come from their public registries"
        return 0
    fi
    build_base
    build_chain
    fill_wheels
    printf '%s\n' "BASE_IMAGE=$base_image" "CHAIN_IMAGE=$chain_image" PIP_NO_INDEX=1
}

mkdir -p "$root"
exec 9>"$root/lock"
flock 9 # one at a time; whoever comes second finds the work done
case ${1:-} in
up | images) "$1" ;;
down) stop_daemon ;;
purge) stop_daemon && rm -rf "$root" ;;
*) sed -n '2,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2 && exit 2 ;;
esac
