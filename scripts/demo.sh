#!/usr/bin/env bash
# Plays a scenario with several people on the real programs, shows what each of them sees, and checks it.
#
#   scripts/demo.sh                    builds chatd and chat first
#   CHATD_BIN_DIR=DIR scripts/demo.sh  takes them from DIR
name=demo
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"

# What the clients say when the server is killed.
killed='the connection was cut off; trying to come back'

chapter "A server starts: one program, nothing to set up"
start_server --lockout 5

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
expect 75 "chat: the message is safe on the server, but was not delivered within 3 s" \
    alice --wait delivered --timeout 3 message bob "and this?"
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
kill_server
for user in alice bob; do sees "$user" "chat: $killed"; done
types alice "message bob written while there was no server"
start_server --lockout 5

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
stop_server
for user in alice bob; do
    sees_soon "$user" "chat: the server stops; trying to come back"
    types "$user" "logout"
done
# Bob's no was the first thing of hers that came to nothing.
leaves alice 77
leaves bob 0

passes
