#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
#
# shellcheck disable=SC2030,SC2031 # every test is a subshell of its own
#
# Several lambs on one store are one cluster: members, epochs, locks, coherence, deaths, freezes.

bats_require_minimum_version 1.5.0

setup() {
	: "${SHEEPFS_BUILD:?names the build directory}"
	lamb=$SHEEPFS_BUILD/lamb/lamb
	rawsheep=$SHEEPFS_BUILD/tests/lib/rawsheep
	dir=$(mktemp -d "${BATS_TMPDIR:-/tmp}/lamb.XXXXXX")
	store=$dir/store
	declare -gA pids=() addresses=()
}

teardown() {
	local pid
	for pid in "${pids[@]}"; do
		if kill -KILL "$pid" 2>/dev/null; then
			wait "$pid" 2>/dev/null || true
		fi
	done
	run ! grep -hE 'Sanitizer|runtime error' "$dir"/log.*
	rm -rf "$dir"
}

# node NAME [OPTION...]: a lamb on $store; started again, it has the port it had
node() {
	local name=$1 port=${addresses[$1]:-:0} i
	shift
	: >"$dir/out.$name"
	: >>"$dir/knobs.$name"
	"$lamb" -p "${port##*:}" --fault-file "$dir/knobs.$name" "$@" "$store" >"$dir/out.$name" 2>>"$dir/log.$name" 3>&- &
	pids[$name]=$!
	for ((i = 0; i < 250; i++)); do
		addresses[$name]=$(sed -n 's/^lamb: serving .* on \([0-9.]*:[0-9]*\).*/\1/p' "$dir/out.$name")
		[ -n "${addresses[$name]}" ] && return 0
		kill -0 "${pids[$name]}" || break
		sleep 0.02
	done
	cat "$dir/log.$name"
	return 1
}

# stop NAME SIGNAL
stop() {
	kill "-$2" "${pids[$1]}"
	wait "${pids[$1]}" || true
	unset "pids[$1]"
}

# at NAME COMMAND...: rawsheep through that node
at() {
	local name=$1
	shift
	timeout 30 "$rawsheep" "${addresses[$name]}" "$@"
}

# knobs NAME [KNOB]...: these and no others
knobs() {
	local name=$1 i before
	shift
	before=$(grep -c 'knobs' "$dir/log.$name" || true)
	printf '%s\n' "$@" >"$dir/knobs.$name"
	kill -HUP "${pids[$name]}"
	for ((i = 0; i < 100; i++)); do
		[ "$(grep -c 'knobs' "$dir/log.$name")" -gt "$before" ] && return 0
		sleep 0.02
	done
	return 1
}

# until_true COMMAND...: within five seconds
until_true() {
	local i
	for ((i = 0; i < 250; i++)); do
		"$@" && return 0
		sleep 0.02
	done
	echo "never: $*"
	return 1
}

epoch_is() {
	[ "$(at "$1" epoch)" = "$2" ]
}

is_stopped() {
	[ "$(awk '{ print $3 }' "/proc/${pids[$1]}/stat")" = T ]
}

# sorted ADDRESS...: as node lists have them
sorted() {
	printf '%s\n' "$@" | sort -t: -k2n
}

listed() {
	at "$1" nodes | cut -d' ' -f1
}

vid_of() {
	at a info "$1" | awk 'NR == 1 { print $3 }'
}

@test "nodes list each other; the epoch rises when one joins and when one is killed" {
	node a
	[ "$(at a epoch)" = 1 ]
	[ "$(listed a)" = "${addresses[a]}" ]
	node b
	# a was told of nothing, and says it with its next answer
	[ "$(at a epoch)" = 2 ]
	node c
	local n
	for n in a b c; do
		[ "$(listed $n)" = "$(sorted "${addresses[@]}")" ]
		[ "$(at $n epoch)" = 3 ]
		[ "$(at $n nodes | grep -c 'vnodes 128')" = 3 ]
		[ "$(at $n nodes | awk '{ print $5 }' | sort -u | wc -l)" = 3 ]
	done
	sleep 1.1 # so that the time is seen to rise
	stop b KILL
	# it is missing at once
	[ "$(listed a)" = "$(sorted "${addresses[a]}" "${addresses[c]}")" ]
	[ "$(at a epoch)" = 4 ]
	[ "$(at c epoch)" = 4 ]
	# a death that nobody asks about is seen as well
	stop c KILL
	until_true epoch_is a 5
	[ "$(listed a)" = "${addresses[a]}" ]
	at a epochs 3 | tee "$dir/history"
	[ "$(awk '{ print $1 }' "$dir/history" | tr '\n' ' ')" = "5 4 3 2 1 " ]
	[ "$(awk '{ print $2 }' "$dir/history")" = "$(awk '{ print $2 }' "$dir/history" | sort -rn)" ]
	[ "$(awk '$1 == 4 { print $2 }' "$dir/history")" -gt "$(awk '$1 == 3 { print $2 }' "$dir/history")" ]
	[ "$(sed -n 3p "$dir/history" | cut -d' ' -f3- | tr ' ' '\n')" = "$(sorted "${addresses[@]}")" ]
	[ "$(sed -n 1p "$dir/history" | cut -d' ' -f3-)" = "first ${addresses[a]}" ]
	[ "$(grep -c first "$dir/history")" = 1 ]
	# too little room for an epoch of three, and for none at all
	[ "$(at a epochs 2)" = "result 0x88 length 0" ]
	[ "$(at a epochs 0 | wc -l)" = 5 ]
}

@test "one that is killed and comes back has left in between, however quickly" {
	node a
	node b
	kill -KILL "${pids[b]}"
	wait "${pids[b]}" || true
	node b
	[ "$(at a epoch)" = 4 ]
	[ "$(at b epoch)" = 4 ]
	at a epochs 2 | sed -n 2p | grep -x "3 [0-9]* ${addresses[a]}"
}

@test "the end of a node in peace is a leave, too" {
	node a
	node b
	stop a TERM
	until_true epoch_is b 3
	[ "$(listed b)" = "${addresses[b]}" ]
}

@test "a restart of the whole cluster keeps the epoch; one that does not come back raises it" {
	node a
	stop a KILL
	node a
	[ "$(at a epoch)" = 1 ]
	node b
	node c
	[ "$(at a epoch)" = 3 ]
	local pid n
	for pid in "${pids[@]}"; do kill -KILL "$pid"; done
	for pid in "${pids[@]}"; do wait "$pid" || true; done
	for n in c a b; do node $n; done
	for n in a b c; do [ "$(at $n epoch)" = 3 ]; done
	sleep 2.5
	for n in a b c; do [ "$(at $n epoch)" = 3 ]; done
	[ "$(listed b)" = "$(sorted "${addresses[@]}")" ]
	# the history is durable
	[ "$(at a epochs 3 | awk '{ print $1 }' | tr '\n' ' ')" = "3 2 1 " ]
	for pid in "${pids[@]}"; do kill -KILL "$pid"; done
	for pid in "${pids[@]}"; do wait "$pid" || true; done
	unset "pids[c]"
	node a
	node b
	[ "$(at a epoch)" = 3 ]
	until_true epoch_is b 4
	[ "$(at a epochs 3 | sed -n 1p | cut -d' ' -f4- | tr ' ' '\n')" = "$(sorted "${addresses[a]}" "${addresses[b]}")" ]
}

@test "a lock is one for all, survives the death of its node, and ends with the cluster" {
	node a
	node b
	at a create v $((16 << 20))
	at a lock v | grep "result 0x00"
	at b lock v | grep "result 0x07"
	at b states | grep "$(vid_of v) state 2 deleted 0 ${addresses[a]}"
	stop a KILL
	at b lock v | grep "result 0x07"
	at b states | grep "state 2 deleted 0 ${addresses[a]}"
	node c
	at c lock v | grep "result 0x07"
	at c states | grep "state 2 deleted 0 ${addresses[a]}"
	# released through whatever node
	at c request op=0x13 base=0x"$(at c info v | awk 'NR == 1 { print $3 }')"
	[ -z "$(at b states)" ]
	at c lock v | grep "result 0x00"
	stop b KILL
	stop c KILL
	node b
	[ -z "$(at b states)" ]
	at b lock v | grep "result 0x00"
}

@test "what is made, changed and deleted through one node is so through the other, at once" {
	node a
	node b
	local i vid
	for ((i = 0; i < 20; i++)); do
		at a create "v$i" $((16 << 20))
		at b info "v$i" | grep "working v$i "
		at b create "w$i" $((16 << 20))
		at a info "w$i" | grep "working w$i "
	done
	vid=$(vid_of v0)
	printf 'before' | at b write v0 0
	at a snapshot v0 one
	# the old vid is a snapshot to b, and its successor is known
	[ "$(at b request op=3 flags=1 length=4 fill=4 oid=0x00"${vid}"00000000)" = "result 0x1a length 0" ]
	printf 'after!' | at b write v0 0
	[ "$(at a read v0 0 6)" = 'after!' ]
	[ "$(at a read v0@one 0 6)" = before ]
	# b must not free what the clone that a made may share
	at a clone v0@one c
	at b delete v0
	at b delete v0@one
	[ "$(at a read c 0 6)" = before ]
	[ "$(at b read c 0 6)" = before ]
	# a mark that only lasts as long as the cluster, for one that joins later as well
	printf 'x' | at a write v1 0
	at a mark-deleted v1
	run ! bash -c "'$rawsheep' ${addresses[b]} list | grep 'v1 '"
	node c
	run ! bash -c "'$rawsheep' ${addresses[c]} list | grep 'v1 '"
	at c delete w3
	run at a info w3
	[[ $output == *"result 0x08"* ]]
	[ "$(at a list | sort)" = "$(at c list | sort)" ]
}

@test "objects that are replaced, written and removed in turn through two nodes" {
	node a
	node b
	at a create v $((4 << 20)) 16
	at a coherence v "${addresses[b]}" 500
}

@test "the same names and other names, made through two nodes at once" {
	node a
	node b
	local i one two
	at a create-many x 60 1048576 >"$dir/x" 3>&- &
	one=$!
	at b create-many y 60 1048576 >"$dir/y" 3>&- &
	two=$!
	wait "$one"
	wait "$two"
	[ "$(cat "$dir/x" "$dir/y" | sort -u | wc -l)" = 120 ]
	[ "$(at a list | wc -l)" = 120 ]
	for ((i = 0; i < 15; i++)); do
		at a create "same$i" 1048576 >"$dir/a.$i" 2>&1 3>&- &
		one=$!
		at b create "same$i" 1048576 >"$dir/b.$i" 2>&1 3>&- &
		two=$!
		wait "$one" || true
		wait "$two" || true
		[ "$(cat "$dir/a.$i" "$dir/b.$i" | grep -c 'result 0x04')" = 1 ]
	done
	[ "$(at b list | sort)" = "$(at a list | sort)" ]
	[ "$(at b list | wc -l)" = 135 ]
}

@test "writes and creates through two nodes, with deaths and comings back: nothing acknowledged is lost" {
	local round one two
	node a
	node b
	at a create v $((256 << 20)) 17
	for ((round = 0; round < ${ROUNDS:-6}; round++)); do
		at a load v 1 "$dir/journal.a" 0 2 >"$dir/load.a" 2>&1 3>&- &
		one=$!
		at b load v 20 "$dir/journal.b" 1 2 >"$dir/load.b" 2>&1 3>&- &
		two=$!
		sleep 0.$((RANDOM % 5 + 2))
		stop b KILL
		# the survivor is not disturbed
		wait "$one"
		wait "$two" || true
		grep 'writes acknowledged$' "$dir/load.a"
		at a verify v "$dir/journal.a"
		at a verify v "$dir/journal.b"
		node b
		at b verify v "$dir/journal.a"
		at b verify v "$dir/journal.b"
	done
	echo "# $(cat "$dir/journal.a" "$dir/journal.b" | wc -l) writes acknowledged in $round rounds" >&3
	# nothing that the dead ones were making is left
	[ -z "$(ls "$store/new")" ]
}

# discard_half NODE: the first half of the objects of the VDI $vid
discard_half() {
	local i
	for ((i = 0; i < 32; i++)); do
		at "$1" request op=5 oid=0x00"$vid"000000"$(printf %02x $i)"
	done
}

@test "what both give up at once is given up once, and nothing is left of it" {
	node a
	node b
	local one two vid
	at a create v $((8 << 20)) 17
	at a create w $((8 << 20)) 17
	at a create kept $((8 << 20)) 17
	head -c 8388608 /dev/zero | tr '\0' 'x' >"$dir/data"
	at a write v 0 <"$dir/data"
	at b write w 0 <"$dir/data"
	at b write kept 0 <"$dir/data"
	vid=$(vid_of v)
	# half of the entries discarded through both, then all of both volumes deleted
	discard_half a >"$dir/discarded.a" 3>&- &
	one=$!
	discard_half b >"$dir/discarded.b" 3>&- &
	two=$!
	wait "$one"
	wait "$two"
	[ "$(sort -u "$dir/discarded.a" "$dir/discarded.b")" = "result 0x00 length 0" ]
	at b info v | grep -x "owned 32 inherited 0"
	[ "$(find "$store/obj.1" -name "00${vid}*" | wc -l)" = 32 ]
	at a delete v 3>&- &
	one=$!
	at b delete w 3>&- &
	two=$!
	wait "$one"
	wait "$two"
	[ "$(find "$store/obj.1" -name '00*' | wc -l)" = 64 ]
	at a read kept 0 8388608 | cmp - "$dir/data"
	at b read kept 0 8388608 | cmp - "$dir/data"
}

@test "killed in the middle of snapshots and creations: the other goes on, with one working volume" {
	local round client reported=0
	node a
	node b
	at a create v $((16 << 20))
	head -c 5000000 /dev/urandom >"$dir/data"
	at a write v 0 <"$dir/data"
	for ((round = 0; round < 8; round++)); do
		timeout 20 "$rawsheep" "${addresses[b]}" snapshots v >>"$dir/made" 2>&1 3>&- &
		client=$!
		sleep 0.1$((RANDOM % 10))
		stop b KILL
		# without waiting: the first that asks waits for what is mended
		at a info v >/dev/null
		[ "$(at a list | grep -c '^working v[@ ]')" = 1 ]
		at a snapshot v "of-a$round"
		wait "$client" || true
		at a read v 0 5000000 | cmp - "$dir/data"
		node b
		[ "$(at b list | grep -c '^working v[@ ]')" = 1 ]
		at b read v 0 5000000 | cmp - "$dir/data"
	done
	[ "$(at a list | sort)" = "$(at b list | sort)" ]
	reported=$(grep -c '^[0-9a-f]*$' "$dir/made")
	echo "# $reported snapshots made in $round rounds" >&3
	[ "$reported" -gt 3 ]
}

@test "a cluster operation of one node holds back writes, lookups and operations of the other" {
	node a --fault snapshot-pause=700
	node b
	at a create v $((16 << 20))
	printf 'before' | at b write v 0
	local client begun vid
	vid=$(vid_of v)
	at a snapshot v one 3>&- &
	client=$!
	sleep 0.3
	begun=${EPOCHREALTIME/./}
	[ "$(at b request op=3 flags=1 length=4 fill=4 oid=0x00"${vid}"00000000)" = "result 0x1a length 0" ]
	[ $((${EPOCHREALTIME/./} - begun)) -ge 150000 ]
	wait "$client"
	at a snapshot v two 3>&- &
	client=$!
	sleep 0.3
	begun=${EPOCHREALTIME/./}
	at b info v | grep "snap_id 3"
	[ $((${EPOCHREALTIME/./} - begun)) -ge 150000 ]
	# reads wait for nobody
	[ "$(at b read v@one 0 6)" = before ]
	wait "$client"
	# nor do two operations run at once
	at a snapshot v again 3>&- &
	client=$!
	sleep 0.3
	begun=${EPOCHREALTIME/./}
	at b create other $((16 << 20))
	[ $((${EPOCHREALTIME/./} - begun)) -ge 150000 ]
	wait "$client"
	# killed in there: nobody stays blocked
	at a snapshot v three 3>&- &
	client=$!
	sleep 0.3
	stop a KILL
	wait "$client" || true
	begun=${EPOCHREALTIME/./}
	at b info v
	printf 'after!' | at b write v 0
	[ $((${EPOCHREALTIME/./} - begun)) -lt 1000000 ]
	[ "$(at b list | grep -c '^working v[@ ]')" = 1 ]
}

@test "freeze: a member still, nobody waits for it, and what it had taken runs after the thaw" {
	node a
	node b
	at a create v $((16 << 20))
	printf 'before' | at a write v 0
	local vid client
	vid=$(vid_of v)
	knobs b freeze=write:1
	timeout 20 "$rawsheep" "${addresses[b]}" request op=3 flags=1 length=6 fill=6 oid=0x00"${vid}"00000000 >"$dir/late" 3>&- &
	client=$!
	until_true is_stopped b
	# more than a node that is taken for dead would get
	sleep 1
	[ "$(listed a)" = "$(sorted "${addresses[@]}")" ]
	[ "$(at a epoch)" = 2 ]
	[ "$(at a read v 0 6)" = before ]
	printf 'middle' | at a write v 0
	at a create w $((16 << 20))
	at a snapshot w one
	at a delete w
	node c
	[ "$(at c epoch)" = 3 ]
	[ ! -s "$dir/late" ]
	[ "$(at a read v 0 6)" = middle ]
	kill -CONT "${pids[b]}"
	wait "$client"
	grep "result 0x00" "$dir/late"
	[ "$(at a read v 0 6)" = xxxxxx ]
	# it has learnt what it slept through
	[ "$(at b epoch)" = 3 ]
	at b list | grep 'w@one'
	# again; a write to what became a snapshot meanwhile is refused
	knobs b freeze=write:1
	timeout 20 "$rawsheep" "${addresses[b]}" request op=3 flags=1 length=6 fill=6 oid=0x00"${vid}"00000000 >"$dir/late" 3>&- &
	client=$!
	until_true is_stopped b
	at a snapshot v one
	kill -CONT "${pids[b]}"
	wait "$client"
	grep "result 0x1a" "$dir/late"
}

@test "freeze at random moments of a load holds nobody up" {
	node a
	node b
	at a create v $((64 << 20)) 17
	at a create w $((64 << 20)) 17
	local round client begun
	for ((round = 0; round < 5; round++)); do
		timeout 20 "$rawsheep" "${addresses[b]}" load v 1 "$dir/journal" 3>&- &
		client=$!
		sleep 0.$((RANDOM % 4 + 1))
		knobs b freeze || true
		until_true is_stopped b
		begun=${EPOCHREALTIME/./}
		at a create "x$round" $((16 << 20))
		printf 'data' | at a write w 0
		at a snapshot w "one$round"
		at a info v
		[ $((${EPOCHREALTIME/./} - begun)) -lt 2000000 ]
		kill -CONT "${pids[b]}"
		wait "$client"
		: >"$dir/knobs.b"
	done
	at a verify v "$dir/journal"
}

@test "half-dead: probes and tables are answered, object I/O is not" {
	node a
	at a create v $((16 << 20))
	printf 'some data' | at a write v 0
	local vid client
	vid=$(vid_of v)
	knobs a half-dead
	at a request op=0x18 | grep "result 0x00"
	at a nodes
	at a epochs 1
	run timeout 0.5 "$rawsheep" "${addresses[a]}" request op=2 length=9 oid=0x00"${vid}"00000000
	[ "$status" = 124 ]
	timeout 20 "$rawsheep" "${addresses[a]}" request op=2 length=9 oid=0x00"${vid}"00000000 >"$dir/late" 3>&- &
	client=$!
	sleep 0.3
	[ ! -s "$dir/late" ]
	knobs a
	wait "$client"
	grep "result 0x00 length 9" "$dir/late"
}

@test "a format through one node is one for all" {
	node a
	node b
	at a create v $((16 << 20))
	printf 'some data' | at b write v 0
	at a lock v
	at a format
	[ -z "$(at b list)" ]
	[ "$(at b epoch)" = 1 ]
	[ "$(listed b)" = "$(sorted "${addresses[@]}")" ]
	[ "$(at b epochs 2 | wc -l)" = 1 ]
	at b create v $((16 << 20))
	[ "$(at b read v 0 4 | tr -d '\0')" = '' ]
	printf 'other' | at b write v 0
	[ "$(at a read v 0 5)" = other ]
	at a lock v | grep "result 0x00"
	[ "$(find "$store" -maxdepth 1 -name 'obj.*')" = "$store/obj.2" ]
	stop b KILL
	until_true epoch_is a 2
}

@test "a shutdown ends all of them" {
	node a
	node b
	at a request op=0x85 version=10 | grep "result 0x00"
	wait "${pids[a]}"
	wait "${pids[b]}"
	pids=()
	node a
	node b
	[ "$(at b epoch)" = 2 ]
}

@test "the cluster's own command line sees all nodes" {
	[ -x "${DOG:-}" ] || skip "needs DOG"
	node a
	node b
	dog() { timeout 60 "$DOG" "$2" "$3" -a 127.0.0.1 -p "${addresses[$1]#*:}" "${@:4}" 3>&-; }
	local n
	for n in a b; do
		dog $n node list | grep -F "${addresses[a]}"
		dog $n node list | grep -F "${addresses[b]}"
		dog $n cluster info | grep -E " 2 \[127.0.0.1:[0-9]+:128, 127.0.0.1:[0-9]+:128\]"
		dog $n cluster info | grep -E " 1 \[127.0.0.1:[0-9]+:128\]"
		[ "$(dog $n node info | grep -c '^ [01]')" = 2 ]
	done
	dog a vdi create disk 64M
	dog b vdi list | grep disk
	head -c 5000000 /dev/urandom >"$dir/noise"
	dog b vdi write disk 0 5000000 <"$dir/noise"
	dog a vdi read disk 0 5000000 | cmp - "$dir/noise"
	dog a vdi snapshot -s one disk
	dog b vdi clone -s one disk copy
	dog a vdi delete disk
	dog b vdi read copy 0 5000000 | cmp - "$dir/noise"
	stop b KILL
	dog a node list | grep -F "${addresses[a]}"
	run ! bash -c "'$DOG' node list -a 127.0.0.1 -p ${addresses[a]#*:} | grep -F ${addresses[b]}"
}
