#!/usr/bin/env bash
# Plays a scenario with several people on the real programs, shows what each of them sees, and checks it.
#
#   scripts/demo.sh                    builds chatd and chat first
#   CHATD_BIN_DIR=DIR scripts/demo.sh  takes them from DIR
#
# It uses a free port and a directory of its own, and leaves nothing behind.
set -euo pipefail

# How long a single thing may take, in seconds.
limit=20
lockout=5
# What the clients say when the server is killed.
killed='the connection was cut off; trying to come back'

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

work=$(mktemp -d "${TMPDIR:-/tmp}/chatd-demo.XXXXXX")
declare -A session_pid session_in session_out
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
    esac
}
for user in alice bob carol; do echo "$user $(password "$user")"; done >"$work/credentials.txt"
chmod 600 "$work/credentials.txt"

say() { printf '%s\n' "$*"; }

chapter() { printf '\n== %s\n' "$*"; }

passed() { steps=$((steps + 1)); }

fail() {
    say "demo: failed after $steps steps: $*" >&2
    say "demo: the server's log:" >&2
    sed 's/^/    /' "$work/log" >&2 || true
    exit 1
}

# start_server: on a free port the first time, on the same one later.
start_server() {
    local line='' out
    rm -f "$work/server" && mkfifo "$work/server"
    exec {out}<>"$work/server"
    say "\$ chatd --port $port --credentials credentials.txt --data-dir data --lockout $lockout &"
    "$bin/chatd" --port "$port" --bind 127.0.0.1 --credentials "$work/credentials.txt" --data-dir "$work/data" \
        --lockout "$lockout" >"$work/server" 2>>"$work/log" &
    server_pid=$!
    read -r -t "$limit" -u "$out" line || fail "chatd does not say that it listens"
    exec {out}>&-
    say "$line"
    [[ $line =~ ^chatd:\ listening\ on\ 127\.0\.0\.1:([0-9]+)$ ]] || fail "chatd says something else"
    port=${BASH_REMATCH[1]}
    passed
}

# chat_as USER ARGUMENT...: the client, with the state and the password of that user.
chat_as() {
    local user=$1
    shift
    CHAT_HOST=127.0.0.1:$port CHAT_USER=$user CHAT_PASSWORD=${CHAT_PASSWORD:-$(password "$user")} \
        XDG_STATE_HOME=$work/$user exec "$bin/chat" "$@"
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
    say "$user\$ ${CHAT_PASSWORD:+CHAT_PASSWORD=$CHAT_PASSWORD }chat$(quoted "$@")"
    output=$( (chat_as "$user" "$@") 2>&1 </dev/null) || status=$?
    if [[ -n $output ]]; then say "$output"; fi
    output=$(sed -E 's/^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8} //' <<<"$output")
    [[ $output == "$text" ]] || fail "expected: ${text:-nothing}"
    [[ $status == "$wanted" ]] || fail "expected exit status $wanted, got $status"
    if [[ $status != 0 ]]; then say "(exit status $status)"; fi
    passed
}

# join USER: begins a session, which takes its commands from a pipe, and waits until it is there.
join() {
    local user=$1 in out end other=alice
    if [[ $user == alice ]]; then other=bob; fi
    mkdir -p "$work/$user"
    rm -f "$work/$user/in" "$work/$user/out"
    mkfifo "$work/$user/in" "$work/$user/out"
    exec {in}<>"$work/$user/in" {out}<>"$work/$user/out"
    session_in[$user]=$in session_out[$user]=$out
    say "$user\$ chat"
    chat_as "$user" <"$work/$user/in" >"$work/$user/out" 2>&1 &
    session_pid[$user]=$!
    end=$((SECONDS + limit))
    until [[ $'\n'$(chat_as "$other" online)$'\n' == *$'\n'"$user"$'\n'* ]]; do
        ((SECONDS < end)) || fail "$user should be online"
        sleep 0.1
    done
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

chapter "A server starts: one program, nothing to set up"
start_server

chapter "The first time, chat remembers the server's certificate, once a log-in has proved it; from then on no other will do"
certificate=$(grep -o 'SHA256:[0-9A-F:]*' "$work/log")
say "the server's log says: certificate $certificate"
for user in alice bob carol; do
    expect 0 "chat: first time at 127.0.0.1 port $port: from now on only its certificate will do, $certificate; it stands in\
 $work/$user/chat/known_servers" "$user" online
    expect 0 "" "$user" online
done

chapter "Three wrong passwords lock the name out, for where they came from; even the right one is refused then"
refused="chat: wrong name or password, or too many wrong tries: wait a minute after three"
for _ in 1 2 3; do CHAT_PASSWORD=guess expect 77 "$refused" carol online; done
expect 77 "$refused" carol online

chapter "Two people talk"
join alice
join bob
sees alice "* bob is online"
types alice "message bob hello, bob"
sees bob "alice: hello, bob"
sees alice "ok 1"
types bob "message alice hello, alice"
sees bob "ok 2"
sees alice "bob: hello, alice"
types alice "online"
sees alice "bob"

chapter "A script sends something in alice's name: her session goes on undisturbed, and nobody sees it come and go"
expect 0 "" alice message bob "the backup is done"
sees bob "alice: the backup is done"
expect 67 "chat: there is no user zoe" alice message zoe hi

chapter "Somebody who is offline gets it later"
types bob "logout"
leaves bob 0
sees alice "* bob is offline"
types alice "message bob you have left already?"
sees alice "ok 4"
expect 75 "chat: the message is safe on the server, but was not delivered within 0.5 s" \
    alice --wait delivered --timeout 0.5 message bob "and this?"
join bob
sees alice "* bob is online"
sees bob "alice: you have left already?"
sees bob "alice: and this?"

chapter "The lock-out is over by itself, and carol comes in; a broadcast goes to everyone who is online"
end=$((SECONDS + limit))
until (chat_as carol online) >/dev/null 2>&1; do
    ((SECONDS < end)) || fail "carol should not be locked out for ever"
    sleep 0.2
done
passed
join carol
sees alice "* carol is online"
sees bob "* carol is online"
types carol "broadcast lunch is ready"
sees carol "ok 6"
sees alice "carol (to everyone): lunch is ready"
sees bob "carol (to everyone): lunch is ready"

chapter "Bob blocks carol: carol is told, nothing of hers reaches him, and he is invisible to her"
types bob "block carol"
sees bob "ok"
types carol "message bob why?"
sees carol "chat: line 2: bob has blocked you"
expect 77 "chat: bob has blocked you" carol message bob "why not?"
expect 0 "alice" carol online
types carol "logout"
leaves carol 77
sees alice "* carol is offline"
sees bob "* carol is offline"

chapter "Accounts: the operator makes one while the server runs; whoever has it changes the password"
say "\$ chatd user add dora"
output=$("$bin/chatd" user --data-dir "$work/data" --credentials "$work/credentials.txt" add dora <<<"given-by-the-operator")
say "$output"
[[ $output == "dora has an account" ]] || fail "the operator should have made an account"
passed
cp -r "$work/alice" "$work/dora" && rm -f "$work/dora/chat/127"*
printf '%s\n' "her own" >"$work/new-password"
CHAT_PASSWORD=given-by-the-operator expect 0 "the password is changed" dora --new-password-file "$work/new-password" passwd
CHAT_PASSWORD=given-by-the-operator expect 77 "$refused" dora online
CHAT_PASSWORD='her own' expect 0 "alice
bob" dora online
say "\$ chatd user remove dora"
output=$("$bin/chatd" user --data-dir "$work/data" --credentials "$work/credentials.txt" remove dora)
say "$output"
[[ $output == "dora has no account any more" ]] || fail "the operator should have removed the account"
passed
CHAT_PASSWORD='her own' expect 77 "$refused" dora online

chapter "Between the two: bob is asked, says yes, and they talk without the server, which has nothing of it"
asks="* alice asks for your address, to talk to you without the server: 'consent alice yes' or 'consent alice no' within 120 s"
types alice "private bob just between us"
sees bob "$asks"
types bob "consent alice yes"
sees bob "ok"
sees alice "* bob is asked, and has 120 s to answer"
sees_like alice "\* bob says yes: 127.0.0.1 port *, for 600 s"
sees alice "* a private conversation with bob has begun"
sees bob "* a private conversation with alice has begun"
sees bob "alice (privately): just between us"
sees alice "ok"
types bob "private alice nobody else reads this?"
sees alice "bob (privately): nobody else reads this?"
sees bob "ok"
types alice "private bob not even the operator"
sees bob "alice (privately): not even the operator"
sees alice "ok"
types bob "end private alice"
sees bob "ok"
sees bob "* the private conversation with alice is over: you have ended the conversation"
sees alice "* the private conversation with bob is over: bob has ended it"
types bob "revoke alice"
sees bob "ok"
sees alice "* bob has taken back the yes"

chapter "A no: alice is told, and what she wrote goes through the server only because she says so"
types alice "private bob and once more"
sees bob "$asks"
types bob "consent alice no"
sees bob "ok"
sees alice "* bob is asked, and has 120 s to answer"
sees alice "* no address of bob: the answer is no"
sees_like alice "chat: line *: not said to bob: no address of bob: the answer is no; 'deliver bob' sends it through the server"
types alice "deliver bob"
sees alice "ok 7"
sees bob "alice: and once more"

chapter "kill -9: the server dies without a word"
say "\$ kill -9 $server_pid"
# bash would tell of it itself.
{
    kill -KILL "$server_pid"
    wait "$server_pid" || true
} 2>/dev/null
server_pid=''
for user in alice bob; do sees "$user" "chat: $killed"; done
types alice "message bob written while there was no server"
start_server

chapter "The sessions come back by themselves; nothing is lost, and nothing comes twice"
for user in alice bob; do sees_soon "$user" "chat: connected again"; done
sees_soon alice "ok 8"
sees_soon bob "alice: written while there was no server"
expect 0 "alice -> bob: hello, bob
bob -> alice: hello, alice
alice -> bob: the backup is done
alice -> bob: you have left already?
alice -> bob: and this?
alice -> bob: and once more
alice -> bob: written while there was no server" bob history alice

chapter "An orderly end: the server tells everyone, and has everything on its disk"
say "\$ kill $server_pid"
kill "$server_pid"
status=0
wait "$server_pid" || status=$?
server_pid=''
[[ $status == 0 ]] || fail "chatd should end with exit status 0, not $status"
passed
for user in alice bob; do
    sees_soon "$user" "chat: the server stops; trying to come back"
    types "$user" "logout"
done
# Bob's no was the first thing of hers that came to nothing.
leaves alice 77
leaves bob 0

say
say "demo: $steps steps passed"
