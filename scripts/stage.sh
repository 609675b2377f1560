# What the scenarios in this directory stand on: a server and clients of the real programs, what each of them sees, and a check
# of it. To be sourced, with `name` set to what the scenario is called.
#
# It uses a free port and a directory of its own, and leaves nothing behind. CHATD_BIN_DIR is where the programs are taken from; else
# they are built.
set -euo pipefail

# How long a single thing may take, in seconds.
limit=20

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [[ -n ${CHATD_BIN_DIR:-} ]]; then
    bin=$(cd "$CHATD_BIN_DIR" && pwd)
else
    (cd "$here" && cargo build --quiet --bins)
    bin=${CARGO_TARGET_DIR:-$here/target}/debug
fi

# Nothing of whoever runs this reaches the programs.
for variable in $(compgen -e); do
    case $variable in CHAT_* | CHATD_* | XDG_* | RUST_LOG | STATE_DIRECTORY | NO_COLOR) unset "$variable" ;; esac
done
export LC_ALL=C.UTF-8 TZ=UTC

work=$(mktemp -d "${TMPDIR:-/tmp}/chatd-$name.XXXXXX")
declare -A session_pid session_in session_out
# What all clients are told on their command lines.
flags=()
server_pid=''
port=0
steps=0

clean_up() {
    local pid
    for pid in "${session_pid[@]}" $server_pid; do
        # Stopped or ended ones too; those that are gone don't matter.
        { kill -KILL "$pid" && wait "$pid"; } 2>/dev/null || true
    done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

password() {
    case $1 in
    alice) echo wonderland ;;
    bob) echo builder ;;
    carol) echo christmas ;;
    dave) echo davidson ;;
    watch) echo what-happens ;;
    *) echo none ;;
    esac
}
for user in alice bob carol dave watch; do echo "$user $(password "$user")"; done >"$work/credentials.txt"
chmod 600 "$work/credentials.txt"

say() { printf '%s\n' "$*"; }

chapter() { printf '\n== %s\n' "$*"; }

passed() { steps=$((steps + 1)); }

fail() {
    say "$name: failed after $steps steps: $*" >&2
    say "$name: the server's log:" >&2
    sed 's/^/    /' "$work/log" >&2 || true
    exit 1
}

# start_server FLAG...: on a free port the first time, on the same one later.
start_server() {
    local line='' out
    rm -f "$work/server" && mkfifo "$work/server"
    exec {out}<>"$work/server"
    say "\$ chatd --port $port --credentials credentials.txt --data-dir data$(quoted "$@") &"
    "$bin/chatd" --port "$port" --bind 127.0.0.1 --credentials "$work/credentials.txt" --data-dir "$work/data" \
        "$@" >"$work/server" 2>>"$work/log" &
    server_pid=$!
    read -r -t "$limit" -u "$out" line || fail "chatd does not say that it listens"
    exec {out}>&-
    say "$line"
    [[ $line =~ ^chatd:\ listening\ on\ 127\.0\.0\.1:([0-9]+)$ ]] || fail "chatd says something else"
    port=${BASH_REMATCH[1]}
    passed
}

# kill_server: without a word.
kill_server() {
    say "\$ kill -9 $server_pid"
    # bash would tell of it itself.
    {
        kill -KILL "$server_pid"
        wait "$server_pid" || true
    } 2>/dev/null
    server_pid=''
}

# stop_server: in order, as whoever runs it does.
stop_server() {
    local status=0
    say "\$ kill $server_pid"
    kill "$server_pid"
    wait "$server_pid" || status=$?
    server_pid=''
    [[ $status == 0 ]] || fail "chatd should end with exit status 0, not $status"
    passed
}

# chat_as USER ARGUMENT...: the client, with the state and the password of that user.
chat_as() {
    local user=$1
    shift
    CHAT_HOST=127.0.0.1:$port CHAT_USER=$user CHAT_PASSWORD=${CHAT_PASSWORD:-$(password "$user")} \
        XDG_STATE_HOME=$work/$user exec "$bin/chat" "${flags[@]}" "$@"
}

# quoted WORD...: as one would type them.
quoted() {
    local word
    for word in "$@"; do
        if [[ $word == *[[:space:]?!]* ]]; then printf " '%s'" "$word"; else printf ' %s' "$word"; fi
    done
}

# expect STATUS TEXT USER ARGUMENT...: a command ends with STATUS, and its whole output is TEXT (times left out).
expect() {
    local status=0 wanted=$1 text=$2 user=$3 output
    shift 3
    say "$user\$ ${CHAT_PASSWORD:+CHAT_PASSWORD=$CHAT_PASSWORD }chat$(quoted "${flags[@]}" "$@")"
    output=$( (chat_as "$user" "$@") 2>&1 </dev/null) || status=$?
    if [[ -n $output ]]; then say "$output"; fi
    output=$(sed -E 's/^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8} //' <<<"$output")
    [[ $output == "$text" ]] || fail "expected: ${text:-nothing}"
    [[ $status == "$wanted" ]] || fail "expected exit status $wanted, got $status"
    if [[ $status != 0 ]]; then say "(exit status $status)"; fi
    passed
}

# expect_like STATUS PATTERN USER ARGUMENT...: the same, for an output that is like this.
expect_like() {
    local status=0 wanted=$1 pattern=$2 user=$3 output
    shift 3
    say "$user\$ ${CHAT_PASSWORD:+CHAT_PASSWORD=$CHAT_PASSWORD }chat$(quoted "${flags[@]}" "$@")"
    output=$( (chat_as "$user" "$@") 2>&1 </dev/null) || status=$?
    if [[ -n $output ]]; then say "$output"; fi
    # shellcheck disable=SC2053
    [[ $output == $pattern ]] || fail "expected: $pattern"
    [[ $status == "$wanted" ]] || fail "expected exit status $wanted, got $status"
    if [[ $status != 0 ]]; then say "(exit status $status)"; fi
    passed
}

# is_online USER: so sees an account that has no part in the scenario.
is_online() {
    local online
    online=$(CHAT_HOST=127.0.0.1:$port CHAT_USER=watch CHAT_PASSWORD=$(password watch) \
        "$bin/chat" --insecure-plaintext online)
    [[ $'\n'$online$'\n' == *$'\n'"$1"$'\n'* ]]
}

# comes_online USER
comes_online() {
    local end=$((SECONDS + limit))
    until is_online "$1"; do
        ((SECONDS < end)) || fail "$1 should be online"
        sleep 0.1
    done
}

# goes_offline USER
goes_offline() {
    local end=$((SECONDS + limit))
    while is_online "$1"; do
        ((SECONDS < end)) || fail "$1 should be offline"
        sleep 0.1
    done
}

# join USER FLAG...: begins a session, which takes its commands from a pipe, and waits until it is there.
join() {
    local user=$1 in out
    shift
    mkdir -p "$work/$user"
    rm -f "$work/$user/in" "$work/$user/out"
    mkfifo "$work/$user/in" "$work/$user/out"
    exec {in}<>"$work/$user/in" {out}<>"$work/$user/out"
    session_in[$user]=$in session_out[$user]=$out
    say "$user\$ chat$(quoted "${flags[@]}" "$@")"
    chat_as "$user" "$@" <"$work/$user/in" >"$work/$user/out" 2>&1 &
    session_pid[$user]=$!
    comes_online "$user"
}

# kill_session USER: without a word.
kill_session() {
    local in=${session_in[$1]} out=${session_out[$1]}
    say "\$ kill -9 $1's chat"
    # bash would tell of it itself.
    {
        kill -KILL "${session_pid[$1]}"
        wait "${session_pid[$1]}" || true
    } 2>/dev/null
    unset "session_pid[$1]"
    exec {in}>&- {out}>&-
}

# types USER LINE: gives a command to a session.
types() {
    say "$1> $2"
    printf '%s\n' "$2" >&"${session_in[$1]}"
}

# sees USER LINE: the next line that a session prints is this one.
sees() {
    local line=''
    read -r -t "$limit" -u "${session_out[$1]}" line || fail "$1 should see: $2"
    say "            $1 sees: $line"
    [[ $line == "$2" ]] || fail "$1 should see: $2"
    passed
}

# sees_like USER PATTERN: the same, for a line that is another one each time.
sees_like() {
    local line=''
    read -r -t "$limit" -u "${session_out[$1]}" line || fail "$1 should see: $2"
    say "            $1 sees: $line"
    # shellcheck disable=SC2053
    [[ $line == $2 ]] || fail "$1 should see: $2"
    passed
}

# sees_both USER LINE LINE: the next two lines are these, whichever comes first.
sees_both() {
    local user=$1 first='' second=''
    read -r -t "$limit" -u "${session_out[$user]}" first || fail "$user should see: $2"
    say "            $user sees: $first"
    read -r -t "$limit" -u "${session_out[$user]}" second || fail "$user should see: $3"
    say "            $user sees: $second"
    [[ $first == "$2" && $second == "$3" || $first == "$3" && $second == "$2" ]] || fail "$user should see: $2, and: $3"
    passed
}

# sees_soon USER LINE: the same, but other lines may come before it.
sees_soon() {
    local line=''
    until [[ $line == "$2" ]]; do
        read -r -t "$limit" -u "${session_out[$1]}" line || fail "$1 should see: $2"
        say "            $1 sees: $line"
    done
    passed
}

# leaves USER STATUS: a session ends by itself with this status, and without another line.
leaves() {
    local status=0 line='' in=${session_in[$1]} out=${session_out[$1]}
    wait "${session_pid[$1]}" || status=$?
    unset "session_pid[$1]"
    [[ $status == "$2" ]] || fail "$1's session should end with exit status $2, not $status"
    if read -r -t 0 -u "$out"; then
        read -r -u "$out" line
        fail "$1 should see nothing more, not: $line"
    fi
    exec {in}>&- {out}>&-
    passed
}

# passes: the scenario has come to its end.
passes() {
    printf '\n'
    say "$name: $steps steps passed"
}
