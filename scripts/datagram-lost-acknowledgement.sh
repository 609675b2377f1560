#!/usr/bin/env bash
# The `datagram` protocol: what is not acknowledged is sent again, and waits at last.
#
#   scripts/datagram-lost-acknowledgement.sh                    builds chatd and chat first
#   CHATD_BIN_DIR=DIR scripts/datagram-lost-acknowledgement.sh  takes them from DIR
name=datagram-lost-acknowledgement
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
flags=(--protocol datagram)

# A client that acknowledges when it is told to: bob, by hand.
hash() { printf '%s' "$1" | sha256sum | cut -d ' ' -f 1; }

# by_hand TYPE COMMAND BODY
by_hand() {
    local dict
    dict="{'body': $3, 'header': {'message_type': '$1', 'command': '$2', 'recipient_data': ('127.0.0.1', $port)}}"
    say "bob sends: $2 $1"
    printf '%s' "[$dict, '$(hash "$dict")']" >&"$socket"
}

# by_hand_comes TEXT: the next datagram contains it.
by_hand_comes() {
    local datagram
    datagram=$(timeout "$limit" dd bs=4096 count=1 status=none <&"$socket") || fail "nothing comes for bob"
    say "            bob gets: $datagram"
    [[ $datagram == *"$1"* ]] || fail "bob should get: $1"
    passed
}

# by_hand_comes_soon TEXT: the same, but others may come before it.
by_hand_comes_soon() {
    local datagram=''
    until [[ $datagram == *"$1"* ]]; do
        datagram=$(timeout "$limit" dd bs=4096 count=1 status=none <&"$socket") || fail "bob should get: $1"
        say "            bob gets: $datagram"
    done
    passed
}

start_server
exec {socket}<>"/dev/udp/127.0.0.1/$port"
by_hand INITIATE_SESSION LOGIN "{'username': 'bob', 'password': '$(hash "$(password bob)")'}"
by_hand_comes "Greetings from the Chat Room!"

chapter "What bob does not acknowledge comes again, and again"
flags=(--insecure-plaintext)
join alice --wait delivered
by_hand_comes "alice is online!"
types alice "message bob hello"
for _ in 1 2 3; do by_hand_comes "Private message from alice: hello"; done

chapter "He acknowledges it, and it is delivered"
by_hand ACKNOWLEDGEMENT "" "{'username': 'alice', 'text': 'Message received by bob'}"
sees_like alice "ok *"

chapter "Of what he never acknowledges five copies come; then he counts as gone, and it waits"
flags=(--protocol datagram)
join carol
by_hand_comes "carol is online!"
sees alice "* carol is online"
types carol "message bob are you there?"
for _ in 1 2 3; do by_hand_comes "Private message from carol: are you there?"; done
limit=30
sees_soon carol "* bob is offline"
sees_soon alice "* bob is offline"

chapter "He logs in again, and gets it"
by_hand INITIATE_SESSION LOGIN "{'username': 'bob', 'password': '$(hash "$(password bob)")'}"
by_hand_comes_soon "Greetings from the Chat Room!"
by_hand_comes "Private message from carol: are you there?"
exec {socket}>&-
stop_server
passes
