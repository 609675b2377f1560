#!/usr/bin/env bash
# The `request` protocol: peer to peer, with consent given and refused.
#
#   scripts/request-private.sh                    builds chatd and chat first
#   CHATD_BIN_DIR=DIR scripts/request-private.sh  takes them from DIR
name=request-private
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
flags=(--protocol request)

start_server
join alice
join bob
sees alice "* bob is online"

chapter "Alice wants to talk to bob without the server: he is asked, and says yes"
types alice "private bob just between us"
sees_like bob "\* alice asks for your address*"
types bob "consent alice yes"
sees alice "ok"
# The text may be there before the answer is known to have been taken.
sees_both bob "ok" "alice: just between us"

chapter "Whoever asks again is asked about again, and this time he says no"
types alice "getaddress bob"
sees_like bob "\* alice asks for your address*"
types bob "consent alice no"
sees bob "ok"
sees_like alice "*no*"

chapter "Whoever is offline can't be asked, nor whoever has blocked one, nor nobody"
types alice "getaddress carol"
sees_like alice "*offline*"
types bob "block alice"
sees bob "ok"
sees alice "* note: bob has taken back the yes"
types alice "getaddress bob"
sees_like alice "*block*"
types alice "getaddress zoe"
sees_like alice "*zoe*"
stop_server
passes
