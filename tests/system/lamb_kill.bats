#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
#
# lamb killed at any moment: nothing acknowledged is lost, nothing is half there.
# ROUNDS: how often (default 50).

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

start() {
	: >"$dir/out"
	"$lamb" -p 0 "$store" >"$dir/out" 2>>"$dir/log" 3>&- &
	pid=$!
	local i
	for ((i = 0; i < 200; i++)); do
		address=$(sed -n 's/^lamb: serving .* on //p' "$dir/out")
		[ -n "$address" ] && return 0
		kill -0 "$pid" || break
		sleep 0.02
	done
	cat "$dir/log"
	return 1
}

# kill_after SECONDS
kill_after() {
	sleep "$1"
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null || true
	pid=
}

stop_now() {
	kill_after 0
}

raw() {
	timeout 20 "$rawsheep" "$address" "$@"
}

@test "kill -9 under a load of writes and creates: every acknowledged write is there" {
	local round load acknowledged=0
	start
	# small objects: creates and index writes go on for many rounds
	raw create v $((256 << 20)) 17
	for ((round = 0; round < ${ROUNDS:-50}; round++)); do
		raw load v 20 "$dir/journal" >"$dir/load" 2>&1 3>&- &
		load=$!
		kill_after 0.$((RANDOM % 3 + 1))$((RANDOM % 10))
		wait "$load" || true
		grep "then the connection ended" "$dir/load" || grep "closed the connection" "$dir/load"
		[ ! -s "$dir/journal" ] || acknowledged=$(wc -l <"$dir/journal")
		start
		raw verify v "$dir/journal"
	done
	echo "# $acknowledged writes acknowledged in $round rounds" >&3
	[ "$acknowledged" -gt $((round * 10)) ]
}

@test "kill -9 while snapshots are taken: one working volume, all snapshots complete" {
	local round load reported
	start
	raw create v $((16 << 20))
	head -c 8388608 /dev/urandom >"$dir/data"
	raw write v 0 <"$dir/data"
	for ((round = 0; round < 10; round++)); do
		raw snapshots v >>"$dir/made" 2>"$dir/load" 3>&- &
		load=$!
		kill_after 0.1$((RANDOM % 10))
		wait "$load" || true
		start
		raw list >"$dir/list"
		[ "$(grep -c '^working v[@ ]' "$dir/list")" = 1 ]
		[ -z "$(ls "$store/new")" ]
		# every snapshot that was reported made the volume that was then the working one
		reported=$(wc -l <"$dir/made")
		[ "$(wc -l <"$dir/list")" -gt "$reported" ]
		raw read v 0 8388608 | cmp - "$dir/data"
		raw read v@t0 0 8388608 | cmp - "$dir/data"
	done
	echo "# $reported snapshots made in $round rounds" >&3
	[ "$reported" -gt "$round" ]
}

@test "kill -9 in a format or a deletion: what was there is whole, or gone" {
	local round client what
	for ((round = 0; round < 12; round++)); do
		rm -rf "$store"
		start
		raw create v $((64 << 20)) 17
		head -c 8388608 /dev/zero | tr '\0' 'x' >"$dir/data"
		raw write v 0 <"$dir/data"
		what=format
		((round % 2)) && what="delete v"
		# shellcheck disable=SC2086
		raw $what >/dev/null 2>&1 3>&- &
		client=$!
		kill_after 0.00$((RANDOM % 10))
		wait "$client" || true
		start
		if raw info v >"$dir/info" 2>/dev/null; then
			if [ "$what" = format ]; then
				raw read v 0 8388608 | cmp - "$dir/data"
			else # index entries go in runs; those that are left have their objects
				[ -z "$(raw read v 0 8388608 | tr -d 'x\0' | head -c 1)" ]
			fi
		else
			[ -z "$(raw list)" ]
			[ "$(find "$store"/obj.* -name '00*' | wc -l)" = 0 ]
		fi
		[ "$(find "$store" -maxdepth 1 -name 'obj.*' | wc -l)" = 1 ]
		stop_now
	done
}

@test "kill -9 in a deletion that gives back what others had shared: done once more, nothing is left" {
	local round client again=0
	for ((round = 0; round < 12; round++)); do
		rm -rf "$store"
		start
		raw create v $((16 << 20)) 12
		head -c 8388608 /dev/zero | tr '\0' 'x' >"$dir/data"
		raw write v 0 <"$dir/data"
		raw snapshot v one
		raw delete v
		raw delete v@one >"$dir/said" 2>&1 3>&- &
		client=$!
		# many of its 2048 objects have gone
		for ((client_waits = 0; client_waits < 500; client_waits++)); do
			[ "$(find "$store/obj.1" -name '00*' | wc -l)" = 2048 ] || break
		done
		stop_now
		wait "$client" || true
		start
		if raw list | grep -q 'v@one'; then
			again=$((again + 1))
			raw delete v@one
		fi
		[ -z "$(raw list)" ]
		[ -z "$(find "$store/obj.1" -name '00*')" ]
		stop_now
	done
	echo "# deletions that were begun again: $again of $round" >&3
}
