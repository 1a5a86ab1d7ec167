# Sourced by the scripts below tests/: one daemon on ports of its own, started, scraped, drained.
#
# start_daemon PROGRAM [FLAG...]   sets DAEMON, GRPC, HTTP and DAEMON_LOG
# scrape                           prints the metrics page
# ended_by_its_drain               waits for one that a client drains; fails where it did not end in exit 0
# stop_daemon                      fails where it counted a panic or a drain did not end in exit 0

# Waits until a command succeeds, 30 s at most.
until_true() {
    local deadline=$((SECONDS + 30))
    until "$@"; do
        if ((SECONDS >= deadline)); then
            echo "never came true: $*" >&2
            return 1
        fi
        sleep 0.02
    done
}

start_daemon() {
    local program=$1
    shift
    DAEMON_LOG=$(mktemp)
    NO_COLOR=1 "$program" --listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0 "$@" 2>"$DAEMON_LOG" &
    DAEMON=$!
    trap kill_daemon EXIT
    if ! until_true daemon_speaks_or_ended || ! grep -q ' grpc=' "$DAEMON_LOG"; then
        cat "$DAEMON_LOG" >&2
        return 1
    fi
    GRPC=$(sed -n 's/.* grpc=\([^ ]*\).*/\1/p' "$DAEMON_LOG" | head -n 1)
    HTTP=$(sed -n 's/.* http=\([^ ]*\).*/\1/p' "$DAEMON_LOG" | head -n 1)
    export LINMEMCTL_ENDPOINT=http://$GRPC
}

daemon_speaks_or_ended() {
    grep -q ' grpc=' "$DAEMON_LOG" || ! kill -0 "$DAEMON" 2>/dev/null
}

# What must not outlive a script that fails.
kill_daemon() {
    if [[ -n ${DAEMON:-} ]]; then
        kill -KILL "$DAEMON" 2>/dev/null || true
        wait "$DAEMON" 2>/dev/null || true
        DAEMON=
    fi
}

scrape() {
    # Without curl: bash speaks enough HTTP.
    local address=${HTTP%:*} port=${HTTP##*:}
    exec 9<>"/dev/tcp/$address/$port"
    printf 'GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&9
    sed '1,/^\r$/d' <&9
    exec 9>&-
}

# The sum of the samples of a series, given as the beginning of its line.
metric() {
    scrape | awk -v series="$1" 'index($0, series) == 1 { sum += $NF } END { printf "%.0f\n", sum }'
}

stop_daemon() {
    local panics code=0
    panics=$(scrape | sed -n 's/^linmemd_panics_total //p')
    kill -TERM "$DAEMON"
    wait "$DAEMON" || code=$?
    DAEMON=
    if [[ $panics != 0 || $code != 0 ]]; then
        echo "linmemd ended with $code, panics: $panics" >&2
        tail -n 20 "$DAEMON_LOG" >&2
        return 1
    fi
    rm -f "$DAEMON_LOG"
}

ended_by_its_drain() {
    local code=0
    wait "$DAEMON" || code=$?
    DAEMON=
    # Nobody can scrape it any more: its log says whether something broke.
    if [[ $code != 0 ]] || grep -qi 'panic' "$DAEMON_LOG"; then
        echo "linmemd ended with $code" >&2
        tail -n 20 "$DAEMON_LOG" >&2
        return 1
    fi
    rm -f "$DAEMON_LOG"
}
