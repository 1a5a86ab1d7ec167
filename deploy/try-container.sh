#!/bin/sh
# Runs linmemd's image as a stranger would and prints each step:
#
#   1. as it comes: listens on the container's loopback only, nobody outside reaches it;
#   2. configured by deploy/linmemd.container.toml: ready, scraped, and a file uploaded and
#      downloaded, all from outside the container;
#   3. under a memory limit: the budget is 80 % of it, what goes beyond is refused, and a memory
#      filled up to it does not get the container killed;
#   4. docker stop while a fill runs: drains, the fill ends well, exit code 0.
#
# usage: deploy/try-container.sh [IMAGE]     (default: linmemd)
# environment: DOCKER (docker), LINMEMCTL (linmemctl of this checkout, built where it is not)
# needs: docker with a running engine, curl; promtool (Debian's prometheus) checks the page too
set -eu

image=${1:-linmemd}
docker=${DOCKER:-docker}
here=$(cd "$(dirname "$0")" && pwd)
name=linmemd-try-$$
# The container's memory limit, and the whole pages of 64 KiB in 80 % of it, less one for overhead.
limit_mib=512
pages=$((limit_mib * 16 * 80 / 100 - 1))
work=$(mktemp -d)

cleanup() {
    "$docker" rm -f "$name" >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

say() { printf '\n# %s\n' "$*"; }
show() {
    printf '$ %s\n' "$*"
    "$@"
}
fail() {
    printf 'FAILED: %s\n' "$*" >&2
    "$docker" logs --tail 40 "$name" >&2 2>&1 || true
    exit 1
}

# run OPTION...: the container, confined as the manifests here confine it.
run() {
    show "$docker" run -d --name "$name" --read-only --cap-drop ALL \
        --security-opt no-new-privileges --memory "${limit_mib}m" \
        -p 127.0.0.1::7420 -p 127.0.0.1::9420 "$@" "$image" >"$work/id" || fail "docker run"
    cat "$work/id"
    grpc=$("$docker" port "$name" 7420/tcp | head -n 1)
    http=$("$docker" port "$name" 9420/tcp | head -n 1)
}

# stop: SIGTERM, and the exit code that follows; the engine kills only after 20 s.
stop() {
    show "$docker" stop -t 20 "$name"
    code=$("$docker" inspect --format '{{.State.ExitCode}}' "$name")
    echo "exit code $code"
    [ "$code" = 0 ] || fail "exit code $code instead of 0"
}

if [ -z "${LINMEMCTL:-}" ]; then
    LINMEMCTL=$here/../target/release/linmemctl
    [ -x "$LINMEMCTL" ] || (cd "$here/.." && cargo build --release --locked --bin linmemctl)
fi
ctl() {
    printf '$ linmemctl %s\n' "$*"
    "$LINMEMCTL" --endpoint "http://$grpc" "$@" || fail "linmemctl $1"
}

say "The image as it comes: $image"
show "$docker" image inspect --format \
    'user {{.Config.User}}, entry {{.Config.Entrypoint}} {{.Config.Cmd}}, stop {{.Config.StopSignal}}' "$image"
run
up=
for _ in $(seq 100); do
    if "$docker" exec "$name" linmemctl info >"$work/info" 2>&1; then
        up=yes
        break
    fi
    sleep 0.1
done
[ -n "$up" ] || fail "linmemctl info inside the container: $(cat "$work/info")"
echo "inside the container: linmemctl info answers"
if curl -sS --max-time 2 "http://$http/readyz" >"$work/readyz" 2>&1; then
    fail "reached from outside though nothing was configured"
fi
echo "outside it: $(cat "$work/readyz")"
stop
show "$docker" rm "$name"

say "Configured to be reached: deploy/linmemd.container.toml"
run -v "$here/linmemd.container.toml:/etc/linmemd/linmemd.toml:ro"
echo "gRPC on $grpc, HTTP on $http"
ready=
for _ in $(seq 100); do
    if ready=$(curl -sS --fail --max-time 2 "http://$http/readyz" 2>/dev/null); then
        break
    fi
    ready=
    sleep 0.1
done
[ -n "$ready" ] || fail "/readyz is not 200 within 10 s"
show curl -sS --fail -i "http://$http/readyz"
echo
show curl -sS --fail "http://$http/healthz"
echo

say "A file in and out, from outside the container"
head -c 8000000 /dev/urandom >"$work/in"
ctl info
ctl upload --create --grow try "$work/in"
ctl ls
ctl show try
ctl download try "$work/out"
# A memory's size is whole pages: what follows the file is zero.
head -c 8000000 "$work/out" | cmp - "$work/in" || fail "other bytes came back"
echo "the same $(stat -c %s "$work/in") bytes came back"

say "Scraped, from outside the container"
show curl -sS --fail -o "$work/metrics" "http://$http/metrics"
grep -E '^linmemd_(build_info|tenant_memories|insecure_listeners|panics_total|draining)' "$work/metrics" ||
    fail "the page lacks linmemd's families"
echo "$(grep -c '^# TYPE' "$work/metrics") families, $(grep -vc '^#' "$work/metrics") series"
if command -v promtool >/dev/null; then
    promtool check metrics <"$work/metrics" || fail "promtool check metrics"
    echo "promtool check metrics: nothing to say"
fi
ctl rm try

say "Filled to the budget, under a memory limit of $limit_mib MiB"
ctl host >"$work/host"
grep -E '^(LIMIT|committed_bytes)' "$work/host"
grep -q '^committed_bytes.* 80 % of .*cgroup' "$work/host" || fail "the budget is not the control group's"
printf '$ linmemctl create beyond --pages %s\n' "$((pages + 2))"
if "$LINMEMCTL" --endpoint "http://$grpc" create beyond --pages "$((pages + 2))" \
    --max "$((pages + 2))" >"$work/beyond" 2>&1; then
    fail "a memory beyond the budget was made"
fi
cat "$work/beyond"
grep -qE 'HOST_EXHAUSTED' "$work/beyond" || fail "refused for another reason"
ctl create full --pages "$pages" --max "$pages"
ctl fill full 0 "$((pages * 65536))" 7
[ "$("$docker" inspect --format '{{.State.Running}} {{.State.OOMKilled}}' "$name")" = "true false" ] ||
    fail "the container did not outlive it"
echo "the container lives"
# Made anew, so that the next fill meets fresh pages and takes its time.
ctl rm full
ctl create full --pages "$pages" --max "$pages"

say "Stopped while a fill runs"
"$LINMEMCTL" --endpoint "http://$grpc" fill full 0 "$((pages * 65536))" 7 >"$work/fill" 2>&1 &
fill=$!
sleep 0.1
if kill -0 "$fill" 2>/dev/null; then echo "the fill runs"; else echo "the fill is over already"; fi
stop
wait "$fill" || fail "the fill was cut: $(cat "$work/fill")"
cat "$work/fill"
"$docker" logs "$name" >"$work/log" 2>&1
printf '$ docker logs | tail -n 15\n'
tail -n 15 "$work/log"
grep -qi drain "$work/log" || fail "the log says nothing of the drain"
say "OK: as it comes it is closed; configured it was reached, scraped, filled and drained"
