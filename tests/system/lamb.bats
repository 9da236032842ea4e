#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
#
# shellcheck disable=SC2086,SC2030,SC2031 # vids are hex digits; every test is a subshell of its own
#
# lamb by itself, through a client that shares no code with it.

bats_require_minimum_version 1.5.0

setup() {
	: "${SHEEPFS_BUILD:?names the build directory}"
	lamb=$SHEEPFS_BUILD/lamb/lamb
	rawsheep=$SHEEPFS_BUILD/tests/lib/rawsheep
	dir=$(mktemp -d "${BATS_TMPDIR:-/tmp}/lamb.XXXXXX")
	store=$dir/store
	pid=
}

teardown() {
	if [ -n "$pid" ] && kill -KILL "$pid" 2>/dev/null; then
		wait "$pid" 2>/dev/null || true
	fi
	rm -rf "$dir"
}

# start [OPTION]...: a lamb on $store and a free port; sets pid and address
start() {
	: >"$dir/out"
	"$lamb" -p 0 "$@" "$store" >"$dir/out" 2>>"$dir/log" 3>&- &
	pid=$!
	local i
	for ((i = 0; i < 200; i++)); do
		address=$(sed -n 's/^lamb: serving .* on \([0-9.]*:[0-9]*\).*/\1/p' "$dir/out")
		[ -n "$address" ] && return 0
		kill -0 "$pid" || break
		sleep 0.02
	done
	cat "$dir/log"
	return 1
}

# stop SIGNAL: ends it
stop() {
	kill "-$1" "$pid"
	wait "$pid" || true
	pid=
}

raw() {
	timeout 20 "$rawsheep" "$address" "$@"
}

# data SIZE FILE: random bytes
data() {
	head -c "$1" /dev/urandom >"$2"
}

# expect_result CODE KEY=VALUE...: the answer to a request, with nothing behind it
expect_result() {
	local code=$1
	shift
	run raw request "$@"
	echo "$* -> $output"
	[ "$output" = "result $code length 0" ]
}

@test "what was written is read back, also after a restart" {
	start
	raw create v $((64 << 20))
	data 10000000 "$dir/data"
	raw write v 3000001 <"$dir/data"
	raw read v 3000001 10000000 | cmp - "$dir/data"
	raw read v 0 3000001 | cmp - <(head -c 3000001 /dev/zero)
	stop TERM
	start
	raw read v 3000001 10000000 | cmp - "$dir/data"
	run raw create v 4194304
	[[ $output == *"result 0x04"* ]]
	raw list | grep -x "working v .* size 67108864 shift 22 snap_id 1 parent 000000"
}

@test "other object sizes" {
	start
	data 3000000 "$dir/data"
	local shift
	for shift in 12 20 23; do
		raw create "v$shift" $((8 << 20)) "$shift"
		raw write "v$shift" 1234567 <"$dir/data"
		raw read "v$shift" 1234567 3000000 | cmp - "$dir/data"
	done
	[ "$(stat -c %s "$store"/obj.1/00* | sort -nu | tr '\n' ' ')" = "4096 1048576 8388608 " ]
}

@test "GET_HASH is what sha1sum says" {
	start
	raw create v $((64 << 20))
	data 5000000 "$dir/data"
	raw write v 0 <"$dir/data"
	[ "$(raw hash v 0)" = "$(head -c 4194304 "$dir/data" | sha1sum | cut -d' ' -f1)" ]
	# the second object ends in zeros
	[ "$(raw hash v 1)" = "$({ tail -c +4194305 "$dir/data"; head -c 3388608 /dev/zero; } | sha1sum | cut -d' ' -f1)" ]
}

@test "a snapshot stays, its volume and a clone diverge, also after a restart" {
	start
	raw create v $((16 << 20))
	data 8000000 "$dir/old"
	data 3000000 "$dir/new"
	raw write v 0 <"$dir/old"
	raw snapshot v one
	raw clone v@one c
	raw write v 2000000 <"$dir/new"
	raw write c 4500000 <"$dir/new"
	for _ in 1 2; do
		raw read v@one 0 8000000 | cmp - "$dir/old"
		raw read v 0 2000000 | cmp - <(head -c 2000000 "$dir/old")
		raw read v 2000000 3000000 | cmp - "$dir/new"
		raw read c 0 4500000 | cmp - <(head -c 4500000 "$dir/old")
		raw read c 4500000 3000000 | cmp - "$dir/new"
		raw info v | grep -x "owned 2 inherited 0"
		raw info c | grep -x "owned 1 inherited 1"
		stop TERM
		start
	done
}

@test "data of a snapshot is read-only" {
	start
	raw create v $((16 << 20))
	data 4194304 "$dir/data"
	raw write v 0 <"$dir/data"
	local vid
	vid=$(raw info v | awk 'NR == 1 { print $3 }')
	raw snapshot v one
	expect_result 0x1a op=3 flags=1 length=512 fill=512 oid=0x00${vid}00000000
	expect_result 0x1a op=1 flags=1 length=512 fill=512 oid=0x00${vid}00000001
	expect_result 0x1a op=3 flags=1 oid=0x00${vid}00000007
	expect_result 0x1a op=4 oid=0x00${vid}00000000
	raw read v@one 0 4194304 | cmp - "$dir/data"
}

@test "a volume that was deleted gives its space back; what a clone shares stays" {
	start
	raw create v $((16 << 20))
	raw create w $((16 << 20))
	data 8388608 "$dir/data"
	raw write v 0 <"$dir/data"
	raw write w 0 <"$dir/data"
	raw snapshot w one
	raw clone w@one c
	raw delete v
	raw delete w
	raw delete w@one
	raw read c 0 8388608 | cmp - "$dir/data"
	[ "$(raw list | wc -l)" = 1 ]
	[ "$(find "$store/obj.1" -name '00*' | wc -l)" = 2 ]
	run raw info v
	[[ $output == *"result 0x08"* ]]
	stop TERM
	start
	raw read c 0 8388608 | cmp - "$dir/data"
	[ "$(raw list | wc -l)" = 1 ]
	raw create v 4194304
	# of a clone's data some are its own; with the last one that shares them the others go, too
	raw snapshot c two
	raw write c 0 4194304 <"$dir/data"
	[ "$(find "$store/obj.1" -name '00*' | wc -l)" = 3 ]
	raw delete c@two
	[ "$(find "$store/obj.1" -name '00*' | wc -l)" = 2 ]
	raw read c 0 8388608 | cmp - "$dir/data"
	raw delete c
	[ -z "$(find "$store/obj.1" -name '00*')" ]
}

@test "DEL_VDI with index entries left only marks the volume, until the next start" {
	start
	raw create v $((16 << 20))
	raw write v 0 <<<data
	raw mark-deleted v
	[ -z "$(raw list)" ]
	run raw create v $((16 << 20))
	[[ $output == *"result 0x04"* ]]
	[ "$(raw read v 0 4)" = data ]
	stop TERM
	start
	raw list | grep "working v"
	[ "$(raw read v 0 4)" = data ]
	raw create empty $((16 << 20))
	raw mark-deleted empty
	raw create empty $((16 << 20))
}

@test "a format begins anew, with other locks and vids" {
	start --no-lock
	raw create v $((16 << 20))
	raw write v 0 <<<data
	raw format
	[ -z "$(raw list)" ]
	[ -z "$(find "$store" -name '*00*')" ]
	raw create v $((16 << 20))
	raw lock v | grep "result 0x00"
	raw lock v | grep "result 0x07"
	raw read v 0 4 | cmp - <(head -c 4 /dev/zero)
	stop TERM
	start
	raw list | grep "working v"
}

@test "requests that are wrong get the protocol's error, and the connection goes on" {
	start
	raw create v $((16 << 20))
	raw write v 0 <<<data
	local vid oid
	vid=$(raw info v | awk 'NR == 1 { print $3 }')
	oid=0x00${vid}00000000
	expect_result 0x05 op=0x7f
	expect_result 0x05 op=0xf0 version=10
	expect_result 0x14 op=2 version=3 oid=$oid length=512
	expect_result 0x14 op=0x82 version=2 length=491520
	expect_result 0x14 op=0x82 version=11 length=491520
	expect_result 0x05 op=2 oid=$oid length=2 offset=4194303
	expect_result 0x05 op=2 oid=$oid length=4194305
	expect_result 0x05 op=2 oid=$oid length=0xfffffff0 offset=0xfffffff0
	expect_result 0x05 op=3 flags=1 oid=$oid length=100 fill=100 offset=4194300
	expect_result 0x05 op=3 oid=$oid length=100
	expect_result 0x05 op=1 flags=1 oid=0x80${vid}00000000 length=100 fill=100
	expect_result 0x05 op=2 oid=0x80${vid}00000000 length=1 offset=12587576
	expect_result 0x05 op=2 oid=0x07${vid}00000000 length=1
	expect_result 0x02 op=2 oid=0x00${vid}00000003 length=512
	expect_result 0x02 op=3 flags=1 oid=0x00${vid}00000003 length=9 fill=9
	expect_result 0x02 op=1 flags=3 oid=0x00${vid}00000003 cow=0x00${vid}00000002 length=9 fill=9
	expect_result 0x05 op=0x15 length=100
	expect_result 0x05 op=0xc9 version=10 length=100
	expect_result 0x88 op=0xab version=10 length=100
	expect_result 0x88 op=0xa1 version=10 length=4
	expect_result 0x05 op=0x82 version=10 length=79
	expect_result 0x05 op=0xbe version=10 length=491567
	expect_result 0x05 op=0xb1 version=10 length=263687
	expect_result 0x05 op=0xb8 version=10 length=119
	expect_result 0x05 op=0x97 version=10 length=23
	expect_result 0x05 op=0x14 flags=1 length=100 fill=100
	expect_result 0x05 op=0x16 oid=0x80${vid}00000000
	expect_result 0x05 op=3 flags=1 oid=$oid length=70000000 fill=70000000
	[ "$(raw request op=3 flags=1 oid=$oid length=0x7fffffff)" = closed ]
	raw request op=2 oid=$oid | grep -x "result 0x00 length 0"
	[ "$(raw read v 0 4)" = data ]
}

@test "locks: once only, forgotten at the end; not enforced without the flag" {
	start
	raw create v $((16 << 20))
	raw lock v | grep "result 0x00"
	raw lock v | grep "result 0x07"
	local vid
	vid=$(raw info v | awk 'NR == 1 { print $3 }')
	raw request op=0x13 base=0x$vid
	raw lock v | grep "result 0x00"
	stop KILL
	start
	raw lock v | grep "result 0x00"
	stop TERM
	store=$dir/other
	start --no-lock
	raw create v $((16 << 20))
	raw lock v | grep "result 0x00"
	raw lock v | grep "result 0x00"
}

@test "a half-close: everything that was sent runs, then the connection ends" {
	start
	raw create v $((400 << 20))
	raw settle v 100
	[ "$(find "$store/obj.1" -name '00*' | wc -l)" = 100 ]
	stop TERM
	# slow requests: the end comes only after them
	start --fault delay=create:700
	local begun=${EPOCHREALTIME/./}
	raw create w $((400 << 20))
	raw settle w 10
	[ $((${EPOCHREALTIME/./} - begun)) -ge 600000 ]
	[ "$(find "$store/obj.1" -name '00*' | wc -l)" = 110 ]
}

@test "SIGTERM ends the requests under way first" {
	start --fault delay=write:600
	raw create v $((16 << 20))
	raw write v 0 <<<before
	(printf 'after!' | raw write v 0) 3>&- &
	local writer=$!
	sleep 0.3
	kill -TERM "$pid"
	wait "$writer"
	wait "$pid"
	start
	[ "$(raw read v 0 6)" = 'after!' ]
}

@test "a client that does not read, and one that sends half a request, stop nobody" {
	start
	raw create v $((64 << 20))
	data 67108864 "$dir/data"
	raw write v 0 <"$dir/data"
	local vid i port=${address##*:}
	vid=$(raw info v | awk 'NR == 1 { print $3 }')
	# 40 connections, each with twenty reads of 4 MiB whose answers nobody takes
	local oid="\x00\x00\x00\x00\x${vid:4:2}\x${vid:2:2}\x${vid:0:2}\x00"
	local header="\x01\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x40\x00$oid"
	header+=$(printf '\\x00%.0s' {1..24})
	local fds=() fd
	for ((i = 0; i < 40; i++)); do
		exec {fd}<>"/dev/tcp/127.0.0.1/$port"
		fds+=("$fd")
		printf "$header%.0s" {1..20} >&"$fd"
		exec {fd}<>"/dev/tcp/127.0.0.1/$port"
		fds+=("$fd")
		printf '\x01\x03\x01' >&"$fd"
	done
	raw read v 0 67108864 | cmp - "$dir/data"
	[ "$(awk '/VmRSS/ { print $2 }' "/proc/$pid/status")" -lt 1000000 ]
	for fd in "${fds[@]}"; do
		exec {fd}>&-
	done
	raw read v 0 4194304 | cmp - <(head -c 4194304 "$dir/data")
}

@test "a unix socket; one left by a death is replaced, one in use is not" {
	"$lamb" --unix "$dir/sock" "$store" >"$dir/out" 2>&1 3>&- &
	pid=$!
	for ((i = 0; i < 100; i++)); do
		grep -q serving "$dir/out" && break
		sleep 0.02
	done
	grep -x "lamb: serving $store on unix:$dir/sock" "$dir/out"
	address=unix:$dir/sock
	raw create v 4194304
	run ! timeout 5 "$lamb" --unix "$dir/sock" "$dir/other"
	[[ $output == *"cannot listen on the unix socket $dir/sock"* ]]
	stop KILL
	[ -S "$dir/sock" ]
	start --unix "$dir/sock"
	address=unix:$dir/sock
	raw list | grep "working v"
}

@test "what it refuses to start on" {
	start
	mkdir "$dir/held"
	local fd
	exec {fd}<"$dir/held"
	flock -x "$fd"
	run ! timeout 5 "$lamb" -p 0 "$dir/held"
	[[ $output == *"$dir/held is in use by another lamb, which serves it alone"* ]]
	exec {fd}<&-
	[ -z "$(ls -A "$dir/held")" ]
	mkdir "$dir/full"
	touch "$dir/full/file"
	run ! timeout 5 "$lamb" -p 0 "$dir/full"
	[[ $output == *"is not a lamb store and not empty"*file* ]]
	[ "$(ls -A "$dir/full")" = file ]
	run ! timeout 5 "$lamb" -p 0 "$dir/full/file"
	[[ $output == *"Not a directory"* ]]
	run ! timeout 5 "$lamb" -p 0 "$dir/missing/store"
	[[ $output == *"No such file"* ]]
	run ! timeout 5 "$lamb" -p 70000 "$dir/a"
	[[ $output == *"port \"70000\""* ]]
	run ! timeout 5 "$lamb" -p "${address##*:}" "$dir/a"
	[[ $output == *"cannot listen on 127.0.0.1 port ${address##*:}"* ]]
	run ! timeout 5 "$lamb" -b nonsense "$dir/a"
	[[ $output == *"\"nonsense\" is no IPv4 or IPv6 address"* ]]
	run ! timeout 5 "$lamb" --fault nonsense "$dir/a"
	[[ $output == *"\"nonsense\" is no fault knob"* ]]
	run ! timeout 5 "$lamb"
	[[ $output == *"exactly one STORE"* ]]
	mkdir "$dir/damaged"
	echo "lamb store 2" >"$dir/damaged/config"
	run ! timeout 5 "$lamb" -p 0 "$dir/damaged"
	[[ $output == *"another version"* ]]
	echo "something else" >"$dir/damaged/config"
	run ! timeout 5 "$lamb" -p 0 "$dir/damaged"
	[[ $output == *"damaged or not lamb's"* ]]
	raw list
}

@test "left-overs of a death are removed at the start" {
	start
	raw create v 4194304
	stop KILL
	echo half >"$store/new/17"
	mkdir "$store/obj.2"
	touch "$store/obj.2/8000000100000000"
	start
	raw list | grep "working v"
	[ -z "$(ls "$store/new")" ]
	[ ! -e "$store/obj.2" ]
}

@test "the cluster's own command line works on it" {
	[ -x "${DOG:-}" ] || skip "needs DOG"
	start
	dog() { timeout 60 "$DOG" "$1" "$2" -a "${address%:*}" -p "${address#*:}" "${@:3}"; }
	head -c 5000000 /dev/urandom >"$dir/noise"
	dog vdi create disk 64M
	dog vdi write disk 4096 5000000 <"$dir/noise"
	dog vdi snapshot -s first disk
	dog vdi clone -s first disk copy
	dog vdi write copy 4096 512 </dev/zero
	dog vdi read -s first disk 4096 5000000 | cmp - "$dir/noise"
	dog vdi read copy 4608 4999488 | cmp - <(tail -c +513 "$dir/noise")
	dog vdi list | grep '^c copy'
	dog node list | grep -F "$address"
	dog node info | grep Total
	dog cluster info | grep 'running, auto-recovery enabled'
	dog vdi delete copy
	! dog vdi list | grep copy
}

@test "GET_HASH is the SHA-1 of an object's content" {
	[ -x "${DOG:-}" ] || skip "needs DOG"
	start
	raw create v 4194304
	printf abc | raw write v 0 3
	timeout 20 "$DOG" vdi check v -a "${address%:*}" -p "${address##*:}" 3>&-
}
