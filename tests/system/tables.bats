#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells; variables of lib.bash
#
# cluster/info, node/list, node/info and vdi/list are what dog prints, byte for byte: on a real cluster
# and on lamb, in several time zones, with snapshots, clones, erasure codes and odd names.  Also how they
# are read: one snapshot for one open, fresh for each, by every tool.

load lib
load real

setup() {
	begin_test 120
}

teardown() {
	end_test
	real_stop
}

tables="cluster/info node/list node/info vdi/list"

# dog_at ADDRESS WORD WORD: what dog prints, in $TZ
dog_at() {
	timeout -k 1 60 "$DOG" "$2" "$3" -a "${1%:*}" -p "${1##*:}" 3>&-
}

# as_dog ADDRESS: all four equal dog's.  Space that is used changes while nobody looks: node/info is tried
# a few times.
as_dog() {
	local table try
	for table in $tables; do
		for ((try = 0; try < 5; try++)); do
			dog_at "$1" "${table%/*}" "${table#*/}" >"$T/dog"
			cat "$mnt/$table" >"$T/ours"
			! cmp -s "$T/dog" "$T/ours" || break
			sleep 0.2
		done
		[ -s "$T/dog" ] || fail "dog prints nothing for $table"
		diff "$T/dog" "$T/ours" || fail "$table differs from dog's, in time zone ${TZ:-(none)}"
	done
}

# Volumes of all kinds.  populate [COPIES-OPTION...]: what else vdi/create can say here
populate() {
	local name options
	create plain 64M
	create small 3M object_size=1M
	create large 2T object_size=4M
	create huge 10T object_size=16M
	for name in 'with%20space' '50%25' 'a%2Fb' 'c%40d' '%2Ehidden' 'tab%09inside' 'back\slash' \
		'%01%7F' 'two%0Alines' \
		'ümlaut' 'a-name-that-is-longer-than-its-column'; do
		create "$name" 16M
	done
	for options in "$@"; do
		create "v-${options//[=:]/-}" 64M "$options"
	done
	attach plain
	dd if=/dev/urandom of="$(volume plain)" bs=1M count=13 conv=notrunc,fsync status=none
	order vdi/snapshot 'plain snap1'
	dd if=/dev/urandom of="$(volume plain)" bs=1M count=5 seek=30 conv=notrunc,fsync status=none
	order vdi/snapshot 'plain a%20tag'
	order vdi/clone 'plain@snap1 copy'
	attach copy
	dd if=/dev/urandom of="$(volume copy)" bs=1M count=1 conv=notrunc,fsync status=none
	detach copy
	order vdi/snapshot 'copy of-a-clone'
}

# else every one of them is UTC
zones_are_known() {
	[ "$(TZ=Asia/Kolkata date +%z)" = +0530 ] || fail "this machine has no time zones: tzdata"
}

@test "on a real cluster, in several time zones" {
	local zone
	real_need
	real_start 3 2 "$T"
	# a gateway has no space.  It comes later: the daemon may crash when it is there at the format
	# shellcheck disable=SC2034 # of real.bash
	REAL_OPTIONS[3]=-g
	real_start_node 3
	wait_until 10 real_members 0 4
	start_sheepfs "$real_address"
	populate copies=1 copies=3 copies=2:1
	attach v-copies-2-1
	dd if=/dev/urandom of="$(volume v-copies-2-1)" bs=1M count=9 conv=notrunc,fsync status=none
	real_dog vdi create gone 16M
	real_dog vdi delete gone
	real_dog vdi create -y hyper 8T
	as_dog "$real_address"
	contains "$(cat "$mnt/vdi/list")" '2:1'
	same 4 "$(grep -c '^ [0-9]' "$mnt/node/info")"
	grep -P '^ [0-3]\t0\.0 MB\t0\.0 MB\t0\.0 MB\t  0%$' "$mnt/node/info"
	grep -P "^   [0-3]   127.0.0.1:${REAL_PORTS[3]} +\t 0 " "$mnt/node/list"
	zones_are_known
	for zone in Asia/Kolkata America/New_York UTC+9; do
		stop_sheepfs
		export TZ=$zone
		start_sheepfs "$real_address"
		as_dog "$real_address"
	done
	unset TZ
}

@test "a real cluster whose members come and go" {
	local gone
	real_need
	real_start 2 2 "$T"
	start_sheepfs "$real_address"
	create plain 16M
	gone=${REAL_PIDS[1]}
	kill -TERM "$gone"
	wait_until 15 real_members 0 1
	as_dog "$real_address"
	same 2 "$(grep -c '\[127' "$mnt/cluster/info")"
	rm -r "$REAL_DIR/1.1"
	real_start_node 1
	wait_until 10 real_members 0 2
	as_dog "$real_address"
}

@test "a real cluster that waits to be formatted says so" {
	real_need
	REAL_DIR=$(mktemp -d "$T/real.XXXXXX")
	real_start_node 0
	start_sheepfs "127.0.0.1:${REAL_PORTS[0]}"
	same 'Cluster status: Waiting for cluster to be formatted' "$(head -n 1 "$mnt/cluster/info")"
	diff <(dog_at "127.0.0.1:${REAL_PORTS[0]}" cluster info) "$mnt/cluster/info"
	diff <(dog_at "127.0.0.1:${REAL_PORTS[0]}" node list) "$mnt/node/list"
	refused vdi/create 'a 1G' '*' WAIT_FOR_FORMAT
	# with a target that serves, it is not used
	start_lamb lamb
	start_sheepfs -n both "127.0.0.1:${REAL_PORTS[0]},$address"
	create a 1G
	contains "$(cat "$mnt/cluster/info")" running
	same "$address" "$(cat "$mnt/config/sheep_info")"
}

@test "a real cluster that waits for its members says so" {
	local first second
	real_need
	real_start 2 2 "$T"
	first=${REAL_PIDS[0]} second=${REAL_PIDS[1]}
	real_dog cluster shutdown
	wait_until 15 real_ended "$first" "$second"
	real_run_again 0
	start_sheepfs "$real_address"
	same 'Cluster status: Waiting for other nodes to join cluster' "$(head -n 1 "$mnt/cluster/info")"
	same 1 "$(grep -c '^20.*\[127' "$mnt/cluster/info")"
	diff <(dog_at "$real_address" cluster info) "$mnt/cluster/info"
	diff <(dog_at "$real_address" node list) "$mnt/node/list"
	refused vdi/create 'a 1G' '*' WAIT_FOR_JOIN
	# once they are there, the same mount serves
	real_run_again 1
	wait_until 10 real_running 0
	create a 64M
	as_dog "$real_address"
}

@test "on lamb, dog prints what we print" {
	local zone
	[ -x "${DOG:-}" ] || skip "needs DOG"
	start_lamb lamb
	start_sheepfs "$address"
	populate
	as_dog "$address"
	zones_are_known
	for zone in Asia/Kolkata America/New_York; do
		stop_sheepfs
		export TZ=$zone
		start_sheepfs "$address"
		as_dog "$address"
	done
	unset TZ
}

@test "the formats, on lamb, without dog" {
	start_lamb lamb
	start_sheepfs "$address"
	attached a 64M
	dd if=/dev/zero of="$(volume a)" bs=1M count=5 conv=notrunc,fsync status=none
	order vdi/snapshot 'a snap1'
	same '  Name        Id    Size    Used  Shared    Creation time   VDI id  Copies  Tag   Block Size Shift' \
		"$(head -n 1 "$mnt/vdi/list")"
	grep -E '^s a            1   64 MB  8\.0 MB  0\.0 MB 20..-..-.. ..:..    1ec8c      1         snap1  22$' \
		"$mnt/vdi/list"
	grep -E '^  a            0   64 MB  0\.0 MB  8\.0 MB 20..-..-.. ..:..    1ec8d      1                22$' \
		"$mnt/vdi/list"
	same '  Id   Host:Port         V-Nodes       Zone' "$(head -n 1 "$mnt/node/list")"
	grep -P "^   0   $address +\t128 " "$mnt/node/list"
	same $'Id\tSize\tUsed\tAvail\tUse%' "$(head -n 1 "$mnt/node/info")"
	grep -P '^Total\t.*\t *[0-9]+%$' "$mnt/node/info"
	same $'Total virtual image size\t64 MB' "$(tail -n 1 "$mnt/node/info")"
	same 'Cluster status: running, auto-recovery enabled' "$(head -n 1 "$mnt/cluster/info")"
	grep -E "^20..-..-.. ..:..:..      1 \[$address:128\]$" "$mnt/cluster/info"
}

@test "every tool reads all of it; for everybody, and nobody writes" {
	local table file
	need less
	start_lamb lamb
	start_sheepfs "$address"
	create a 64M
	for table in $tables; do
		file=$mnt/$table
		cat "$file" >"$T/cat"
		[ -s "$T/cat" ]
		cp "$file" "$T/cp"
		dd if="$file" of="$T/dd" bs=7 status=none
		less "$file" >"$T/less"
		tail -c 1000000 "$file" >"$T/tail"
		tail -n +1 "$file" >"$T/tail-n"
		head -c 1000000 "$file" >"$T/head"
		sed '' "$file" >"$T/sed"
		for file in cp dd less tail tail-n head sed; do
			cmp "$T/cat" "$T/$file" || fail "$file reads $table otherwise"
		done
		same "$(wc -c <"$T/cat")" "$(wc -c <"$mnt/$table")"
		same "$(tail -n 1 "$T/cat")" "$(tail -n 1 "$mnt/$table")"
		same 444 "$(stat -c %a "$mnt/$table")"
		setpriv --reuid=65534 --clear-groups cat "$mnt/$table" | cmp - "$T/cat"
		run ! bash -c "echo x >'$mnt/$table'"
	done
}

@test "one open is one snapshot, every open a fresh one" {
	start_lamb lamb
	start_sheepfs "$address"
	create first 64M
	exec 8<"$mnt/vdi/list"
	create second 64M
	same 0 "$(grep -c second <&8)"
	same 1 "$(grep -c second "$mnt/vdi/list")"
	exec 8<&-
}

@test "nodes that may not be asked are left out, with the reason in the log" {
	local port took n
	real_need
	real_start 2 2 "$T"
	port=${REAL_PORTS[1]}
	start_sheepfs "$real_address" --nodes none
	same 1 "$(grep -c '^ [0-9]' "$mnt/node/info")"
	grep "node/info is without node 127.0.0.1:$port: it lies outside of what may be asked; --nodes" "$sheepfs_log"
	same 2 "$(grep -c 127.0.0.1 "$mnt/node/list")"
	stop_sheepfs
	start_sheepfs "$real_address" --nodes 10.0.0.0/8,127.0.0.1
	same 2 "$(grep -c '^ [0-9]' "$mnt/node/info")"
	# one that hangs costs its row and a moment, once for all who wait
	kill -STOP "${REAL_PIDS[1]}"
	took=$(now_ms)
	for n in 1 2 3 4 5; do
		client timeout 20 cat "$mnt/node/info"
	done
	for n in 0 1 2 3 4; do
		wait "${clients[n]}"
		same 1 "$(grep -c '^ [0-9]' "$T/client-$n.out")"
	done
	took=$(($(now_ms) - took))
	[ "$took" -lt 8000 ] || fail "a node that hangs held up node/info for $took ms"
	grep "node/info is without node 127.0.0.1:$port: it has not answered for 2 seconds" "$sheepfs_log"
	timeout 20 cat "$mnt/node/list" >"$T/list"
	same 2 "$(grep -c 127.0.0.1 "$T/list")"
	kill -CONT "${REAL_PIDS[1]}"
	same 2 "$(grep -c '^ [0-9]' "$mnt/node/info")"
}

# in_zone_of_host ZONE COMMAND...: where /etc/localtime is that zone and TZ does not say otherwise
in_zone_of_host() {
	# shellcheck disable=SC2016 # the inner shell's variables
	unshare --mount --propagation private env -u TZ bash -c '
		mount --bind "/usr/share/zoneinfo/$1" /etc/localtime && exec "${@:2}"' in "$@"
}

# serves_table TABLE FILE: a sheepfs for one table, where nobody else sees its mount
serves_table() {
	local try
	mkdir -p "$T/there"
	"$sheepfs_program" -f -s "$address" -t 10 --log "$T/there.log" --uids "$(uid_range)" "$T/there" 3>&- </dev/null &
	sheepfs_pids[there]=$!
	for ((try = 0; try < 200; try++)); do
		! timeout 5 cat "$T/there/$1" >"$2" 2>/dev/null || break
		sleep 0.05
	done
	kill "${sheepfs_pids[there]}"
	wait "${sheepfs_pids[there]}"
}

@test "without TZ the zone is that of /etc/localtime" {
	local zone
	[ -e /etc/localtime ] || skip "there is no /etc/localtime"
	zones_are_known
	start_lamb lamb
	start_sheepfs "$address"
	create a 64M
	stop_sheepfs
	export -f serves_table uid_range
	export T address sheepfs_program uid_next
	for zone in Asia/Kolkata America/New_York; do
		TZ=$zone start_sheepfs "$address"
		cp "$mnt/vdi/list" "$T/wanted"
		stop_sheepfs
		# shellcheck disable=SC2016 # the inner shell's variables
		in_zone_of_host "$zone" bash -c 'declare -A sheepfs_pids; serves_table vdi/list "$1"' bash "$T/found"
		cmp "$T/wanted" "$T/found"
		same 2 "$(wc -l <"$T/found")"
		cp "$T/found" "$T/found.${zone##*/}"
	done
	run ! cmp -s "$T/found.Kolkata" "$T/found.New_York"
}

# requests_of_list: how many requests a daemon is sent for one vdi/list
requests_of_list() {
	local before
	before=$(proxy_count watch requests)
	cat "$mnt/vdi/list" >"$T/list"
	echo $(($(proxy_count watch requests) - before))
}

@test "what is used of a snapshot is counted once, and of its volume each time" {
	local n lamb first second third
	start_lamb lamb
	lamb=$address
	start_proxy watch "$lamb"
	start_sheepfs "$lamb"
	attached base 1T object_size=1M
	for n in 1 2 3 4; do
		dd if=/dev/zero of="$(volume base)" bs=1M seek=$((n * 200000)) count=1 conv=notrunc,fsync status=none
		order vdi/snapshot "base s$n"
	done
	detach base
	start_sheepfs -n watched "$address"
	first=$(requests_of_list)
	cp "$T/list" "$T/first"
	# an index may change for a moment after its snapshot was taken
	sleep 10.5
	second=$(requests_of_list)
	third=$(requests_of_list)
	tell "vdi/list of a volume and 4 snapshots of 1 TiB: $first, $second, and then $third requests"
	cmp "$T/first" "$T/list"
	same "$first" "$second"
	# bitmaps and headers, and one of five indexes
	[ "$third" -lt $((first / 2)) ] || fail "it took $first requests, and then $third"
	[ "$third" -gt 0 ]
	attach base
	dd if=/dev/zero of="$(volume base)" bs=1M seek=7 count=3 conv=notrunc,fsync status=none
	detach base
	requests_of_list
	run ! cmp -s "$T/first" "$T/list"
}

@test "thousands of volumes, and large snapshots" {
	local n took requests watched
	start_lamb lamb
	start_sheepfs "$address"
	start_proxy watch "$address"
	watched=$address
	attached base 4T
	dd if=/dev/zero of="$(volume base)" bs=4k count=4 conv=notrunc,fsync status=none
	for n in 1 2 3 4 5; do
		order vdi/snapshot "base s$n" >"$T/out"
	done
	"$rawsheep" "$watched" create-many v 3000 1073741824 >"$T/out"
	start_sheepfs -n watched "$watched"
	took=$(now_ms)
	requests=$(requests_of_list)
	took=$(($(now_ms) - took))
	same 3007 "$(wc -l <"$T/list")"
	tell "vdi/list of 3006 VDIs took $took ms, $requests requests, $(proxy_count watch peak) at once"
	# both bitmaps, each header, the first of each index, and all of the six large ones
	[ "$requests" -lt $((2 * 3006 + 1000)) ]
	[ "$(proxy_count watch peak)" -ge 16 ]
	[ "$took" -lt 20000 ] || fail "vdi/list of 3006 VDIs took $took ms"
}
