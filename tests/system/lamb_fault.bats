#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
#
# lamb's fault knobs do what they say: tests of clients rely on them.

bats_require_minimum_version 1.5.0

setup() {
	: "${SHEEPFS_BUILD:?names the build directory}"
	lamb=$SHEEPFS_BUILD/lamb/lamb
	rawsheep=$SHEEPFS_BUILD/tests/lib/rawsheep
	dir=$(mktemp -d "${BATS_TMPDIR:-/tmp}/lamb.XXXXXX")
	store=$dir/store
	: >"$dir/knobs"
	: >"$dir/out"
	"$lamb" -p 0 --fault-file "$dir/knobs" "$store" >"$dir/out" 2>"$dir/log" 3>&- &
	pid=$!
	local i
	for ((i = 0; i < 200; i++)); do
		address=$(sed -n 's/^lamb: serving .* on //p' "$dir/out")
		[ -n "$address" ] && break
		sleep 0.02
	done
	raw create v $((16 << 20))
	printf 'some data' | raw write v 4096
	vid=$(raw info v | awk 'NR == 1 { print $3 }')
	oid=0x00${vid}00000000
}

teardown() {
	if kill -KILL "$pid" 2>/dev/null; then
		wait "$pid" 2>/dev/null || true
	fi
	rm -rf "$dir"
}

raw() {
	timeout 5 "$rawsheep" "$address" "$@"
}

# fault [KNOB]...: these and no others
fault() {
	local i before
	before=$(grep -c 'knobs' "$dir/log" || true)
	printf '%s\n' "$@" >"$dir/knobs"
	kill -HUP "$pid"
	for ((i = 0; i < 100; i++)); do
		[ "$(grep -c 'knobs' "$dir/log")" -gt "$before" ] && return 0
		sleep 0.02
	done
	return 1
}

# expect ANSWER KEY=VALUE...
expect() {
	local answer=$1
	shift
	run raw request "$@"
	echo "$* -> $output"
	[ "$output" = "$answer" ]
}

# muted COMMAND...: gets no answer within half a second
muted() {
	run timeout 0.5 "$rawsheep" "$address" "$@"
	[ "$status" = 124 ]
}

@test "mute: nothing is answered; what was held is answered afterwards" {
	fault mute
	muted list
	raw request op=0x18 >"$dir/late" 3>&- &
	local client=$!
	sleep 0.3
	[ ! -s "$dir/late" ]
	fault
	wait "$client"
	grep "result 0x00" "$dir/late"
}

@test "mute-vdi and mute-data: one volume's objects, and nothing else" {
	raw create w $((16 << 20))
	raw write w 0 <<<other
	fault mute-vdi=v
	muted read v 0 10
	muted request op=2 oid="$oid" length=10
	[ "$(raw read w 0 5)" = other ]
	muted list
	fault mute-data=v
	raw list | grep "working v"
	muted read v 4096 9
	[ "$(raw read w 0 5)" = other ]
	fault
	[ "$(raw read v 4096 9)" = "some data" ]
}

@test "delay" {
	fault delay=read:400
	local begun=${EPOCHREALTIME/./}
	raw request op=2 oid="$oid" length=10
	[ $((${EPOCHREALTIME/./} - begun)) -ge 380000 ]
	begun=${EPOCHREALTIME/./}
	raw request op=0x18
	[ $((${EPOCHREALTIME/./} - begun)) -lt 300000 ]
}

@test "shuffle: answers come in another order, and all of them" {
	fault shuffle
	raw create big $((64 << 20)) 17
	raw load big 1 "$dir/journal"
	raw verify big "$dir/journal"
	[ "$(wc -l <"$dir/journal")" -gt 10 ]
}

@test "readonly, halt, no-space: writes to data, and nothing else" {
	local knob
	for knob in readonly:0x1a halt:0x19 no-space:0x15; do
		fault "${knob%:*}"
		expect "result ${knob#*:} length 0" op=3 flags=1 oid="$oid" length=4 fill=4
		expect "result ${knob#*:} length 0" op=1 flags=1 oid="$oid" length=4 fill=4
		expect "result 0x00 length 9" op=2 oid="$oid" length=9
		expect "result 0x00 length 0" op=3 flags=1 oid=0x80"$vid"00000000 length=0
	done
	fault
	[ "$(raw read v 4096 9)" = "some data" ]
}

@test "wait-for-join: all but the forced operations; STAT_CLUSTER with its data" {
	fault wait-for-join
	expect "result 0x17 length 0" op=2 oid="$oid" length=9
	expect "result 0x17 length 48" op=0x87 version=10 length=48
	expect "result 0x00 length 0" op=0x18
	expect "result 0x00 length 80" op=0x82 version=10 length=491520
}

@test "locked: somebody else holds the lock of that name" {
	raw create w $((16 << 20))
	fault locked=v
	raw lock v | grep "result 0x07 vid $vid"
	raw lock w | grep "result 0x00"
	fault
	raw lock v | grep "result 0x00"
}

@test "trim: READ answers without the zeros at their ends" {
	fault trim
	expect "result 0x00 length 9" op=2 oid="$oid" length=100000
	expect "result 0x00 length 4" op=2 oid="$oid" length=4096 offset=4101
	expect "result 0x00 length 0" op=2 oid="$oid" length=100000 offset=100000
}

@test "error-payload: errors carry bytes" {
	fault error-payload
	expect "result 0x02 length 512" op=2 oid=0x00"$vid"00000003 length=4096
	expect "result 0x00 length 9" op=2 oid="$oid" length=9
}

@test "drop-before and drop-after: the Nth request ends the connection, run or not" {
	fault drop-before=write:2
	expect "result 0x00 length 0" op=3 flags=1 oid="$oid" length=4 fill=4
	expect "closed" op=3 flags=1 oid="$oid" length=8 fill=8
	expect "result 0x00 length 0" op=3 flags=1 oid="$oid"
	[ "$(raw read v 0 16 | tr -d '\0')" = xxxx ]
	fault drop-after=write:1
	expect "closed" op=3 flags=1 oid="$oid" length=8 fill=8
	[ "$(raw read v 0 16 | tr -d '\0')" = xxxxxxxx ]
}

@test "snapshot-pause: an allocation in the pause is lost, as upstream loses it" {
	fault snapshot-pause=600
	raw snapshot v one 3>&- &
	local client=$!
	sleep 0.3
	# the entry of object 2, as a client would write it after a create
	expect "result 0x00 length 0" op=3 flags=1 oid=0x80"$vid"00000000 length=4 fill=4 offset=4672
	# the barrier waits for the snapshot
	local begun=${EPOCHREALTIME/./}
	raw info v
	[ $((${EPOCHREALTIME/./} - begun)) -ge 150000 ]
	wait "$client"
	raw info v | grep -x "owned 0 inherited 1"
	raw info v@one | grep -x "owned 1 inherited 0"
}

@test "a wrong knob in the file changes nothing" {
	fault readonly
	fault readonly nonsense
	grep '"nonsense" is no fault knob' "$dir/log"
	expect "result 0x1a length 0" op=3 flags=1 oid="$oid" length=4 fill=4
}
