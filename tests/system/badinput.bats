#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells; variables of lib.bash
#
# Bad input gets a clear error, and nothing is changed by it.

load lib

setup() {
	begin_test 90
}

teardown() {
	end_test
}

# start_fails WORD OPTION...: one line on stderr with WORD in it, a non-zero exit, no mount
start_fails() {
	local word=$1 status=0
	shift
	mkdir -p "$T/mnt"
	timeout -k 1 10 "$sheepfs_program" --uids "$(uid_range)" "$@" >"$T/start.out" 2>"$T/start.err" 3>&- || status=$?
	cat "$T/start.out" "$T/start.err"
	if [ "$status" = 0 ] || [ "$status" -ge 124 ]; then
		fail "sheepfs $*: status $status"
	fi
	same 1 "$(wc -l <"$T/start.err")"
	contains "$(cat "$T/start.err")" "$word"
	not_mounted "$T/mnt" || fail "sheepfs $* left a mount"
	same '' "$(our_confined)"
}

before() {
	list_before=$(cat "$mnt/vdi/list")
	names_before=$(ls "$mnt/volume")
}

nothing_changed() {
	tree_serves
	same "$list_before" "$(cat "$mnt/vdi/list")"
	same "$names_before" "$(ls "$mnt/volume")"
}

@test "addresses that are none are refused at the start, by name" {
	local bad
	for bad in nonsense 127.0.0.1:0 127.0.0.1:70000 127.0.0.1:7000x 127.0.0.1:-1 127.0.0.300:7000 1.2.3:7000 \
		'[::1:7000' '[127.0.0.1]:7000' no.such.host.example:7000 '127.0.0.1:7000,' 127.0.0.1:7000,bad unix: unix:relative \
		"unix:/$(printf '%0200d' 1)"; do
		start_fails "${bad##*,}" -s "$bad" "$T/mnt"
	done
	start_fails '' -s '' "$T/mnt"
	start_fails 70000 -p 70000 "$T/mnt"
	start_fails 0 -p 0 "$T/mnt"
	start_fails nonsense -a nonsense "$T/mnt"
	run ! timeout 5 "$sheepfs_program" -s
}

@test "other options that make no sense are refused at the start, by name" {
	start_fails x -t x "$T/mnt"
	start_fails -5 -t -5 "$T/mnt"
	start_fails backwards --uids backwards "$T/mnt"
	start_fails 500-400 --uids 500-400 "$T/mnt"
	start_fails 0-100 --uids 0-100 "$T/mnt"
	start_fails "$T/no/such/log" --log "$T/no/such/log" "$T/mnt"
	start_fails "$T/nowhere" "$T/nowhere"
	run ! timeout 5 "$sheepfs_program" --no-such-option "$T/mnt"
	run ! timeout 5 "$sheepfs_program"
	run ! timeout 5 "$sheepfs_program" "$T/mnt" "$T/mnt"
	not_mounted "$T/mnt"
}

@test "names that cannot be attached" {
	local list_before names_before
	start_lamb lamb
	start_sheepfs "$address"
	attached one 16M
	cd "$T"
	before
	refused vdi/mount nosuch 'No such file or directory' nosuch
	refused vdi/mount one 'File exists' one
	refused vdi/mount '' 'Invalid argument'
	refused vdi/mount ' ' 'Invalid argument'
	refused vdi/mount "$(printf 'x%.0s' {1..300})" 'File name too long' 255
	refused vdi/mount ../x 'Invalid argument' %
	refused vdi/mount a/b 'Invalid argument' %2F
	# shellcheck disable=SC2016 # not to be expanded
	refused vdi/mount '$(touch x)' 'Invalid argument'
	# shellcheck disable=SC2016
	refused vdi/mount '$(touch${IFS}x)' 'No such file or directory'
	# shellcheck disable=SC2016
	refused vdi/mount '`touch%20x`;touch%20x' 'No such file or directory'
	refused vdi/mount 'bad%zz' 'Invalid argument' %
	refused vdi/mount 'nul%00' 'Invalid argument'
	refused vdi/mount 'one@' 'Invalid argument'
	refused vdi/mount 'one@nosuch' 'No such file or directory' nosuch
	refused vdi/mount 'one@7' 'No such file or directory'
	refused vdi/mount 'one@99999999999' '*'
	refused vdi/mount 'a@b@c' 'Invalid argument'
	refused vdi/unmount nosuch '*' nosuch
	refused vdi/unmount one@1 '*'
	refused vdi/create 'one 16M' 'File exists' one
	[ ! -e "$T/x" ] && [ ! -e "$mnt/x" ]
	nothing_changed
	# the attached one is as it was
	dd if=/dev/urandom of="$mnt/volume/one" bs=4k count=1 conv=notrunc status=none
}

@test "five megabytes written to a control file" {
	local file list_before names_before
	start_lamb lamb
	start_sheepfs "$address"
	attached one 16M
	before
	for file in vdi/mount vdi/unmount vdi/create; do
		fails_with 'error' dd if=/dev/zero of="$mnt/$file" bs=5000000 count=1
		head -c 5000000 /dev/zero | tr '\0' 'a' >"$T/letters"
		fails_with 'error' dd if="$T/letters" of="$mnt/$file" bs=5000000 count=1
		fails_with 'error' dd if=/dev/urandom of="$mnt/$file" bs=4095 count=1
	done
	nothing_changed
}

# attach_fails SECONDS: within them, with a sentence that names the daemon's address
attach_fails() {
	local begin
	begin=$(now_ms)
	refused vdi/mount one "${2:-*}" "$address"
	tell "$BATS_TEST_DESCRIPTION: ${error}, $(($(now_ms) - begin)) ms: $sentence"
	[ $(($(now_ms) - begin)) -lt $(($1 * 1000)) ]
	tree_serves
	same '' "$(ls "$mnt/volume")"
}

@test "a target that refuses" {
	address=127.0.0.1:$(free_port)
	start_sheepfs "$address" -t 2
	attach_fails 4 'Connection timed out'
	# and when there is one after all
	lamb_ports[lamb]=${address##*:}
	start_lamb lamb
	attached one 16M
}

@test "a target that accepts and says nothing" {
	start_lamb lamb
	start_proxy proxy "$address"
	proxy_mode proxy mute
	start_sheepfs "$address" -t 2
	attach_fails 5 'Connection timed out'
	fails_with '' cat "$mnt/vdi/list"
}

@test "a target that answers garbage" {
	local mode
	start_lamb lamb
	start_proxy proxy "$address"
	start_sheepfs "$address" -t 1
	create one 16M
	for mode in wrong-id huge-length short-header garbage close; do
		proxy_mode proxy "$mode"
		attach_fails 5
		fails_with '' cat "$mnt/vdi/list"
	done
	proxy_mode proxy pass
	attach one
}

@test "the next target is taken when the first one lies" {
	local mode first
	start_lamb lamb
	start_proxy proxy "$address"
	first=$address
	address=127.0.0.1:${lamb_ports[lamb]}
	start_sheepfs "$first,$address"
	create one 16M
	for mode in refuse-new wrong-id huge-length short-header garbage close; do
		proxy_mode proxy "$mode"
		attach one
		contains "$(cat "$mnt/config/sheep_info")" "$address"
		# a table that was asked for when its daemon began to lie is an error, the next is not
		cat "$mnt/vdi/list" >/dev/null || cat "$mnt/vdi/list" >/dev/null
		detach one
	done
}

@test "garbage in the middle of I/O: that volume goes on at the next target, the other and the tree go on" {
	local mode writer writer_out first
	start_lamb lamb
	start_proxy proxy "$address"
	first=$address
	address=127.0.0.1:${lamb_ports[lamb]}
	# what the liar was asked may still run: writes to the same places wait that long, and no longer
	start_sheepfs "$first,$address" --fence-timeout 1
	create one 16M
	create two 64M
	# two's worker leads around the proxy
	proxy_mode proxy refuse-new
	attach two
	client bash -c "while dd if=/dev/urandom of='$mnt/volume/two' bs=64k count=200 conv=notrunc status=none &&
		dd if='$mnt/volume/two' of=/dev/null bs=64k count=200 status=none; do :; done; echo ended"
	writer=$client writer_out=$client_out
	noise "$T/noise" 12000000
	for mode in wrong-id huge-length short-header garbage close; do
		proxy_mode proxy pass
		attach one
		start_rounds "$(volume one)"
		proxy_mode proxy "$mode"
		wait_until 20 tail_has_gone_on one "$address"
		stop_rounds
		tree_serves
		gone "$writer" && fail "the other volume was disturbed by $mode"
		proxy_mode proxy pass
		detach one
		: >"$sheepfs_log"
		cat "$mnt/vdi/list" >/dev/null || cat "$mnt/vdi/list" >/dev/null
	done
	attach one
	cmp -n 12000000 "$T/noise" "$(volume one)"
	kill "$writer"
	wait_until 5 gone "$writer"
	same '' "$(cat "$writer_out")"
}

# tail_has_gone_on NAME TARGET: through this one, in what the log holds since it was emptied
tail_has_gone_on() {
	grep -q "volume $1 goes on after .* through $2; before: " "$sheepfs_log"
}

@test "garbage in the middle of I/O, and no other daemon: its callers wait until it is sane" {
	local mode n=0
	start_lamb lamb
	start_proxy proxy "$address"
	start_sheepfs "$address"
	attached one 16M
	noise "$T/noise" 12000000
	for mode in wrong-id huge-length short-header garbage close; do
		n=$(failovers one)
		start_rounds "$(volume one)"
		proxy_mode proxy "$mode"
		wait_until 20 ended_again one "$((n + 1))"
		sleep 0.5
		gone "$client" && fail "its caller got an error of $mode: $(cat "$client_out")"
		timeout 5 cat "$mnt/vdi/mount" "$mnt/status/workers"
		proxy_mode proxy pass
		wait_until 20 went_on one "$((n + 1))"
		stop_rounds
	done
	run ! grep 'volume one has failed' "$sheepfs_log"
	cat "$mnt/vdi/list" >/dev/null || cat "$mnt/vdi/list" >/dev/null
	detach one
	attach one
	cmp -n 12000000 "$T/noise" "$(volume one)"
}

# start_rounds FILE: a client writes $T/noise to it and reads it back, again and again
start_rounds() {
	rm -f "$T/enough" "$T/rounds"
	client rounds "$1"
	wait_until 20 test -s "$T/rounds"
}

# Another whole round, and no error in any.
stop_rounds() {
	: >"$T/rounds"
	wait_until 20 test -s "$T/rounds"
	touch "$T/enough"
	wait_until 20 gone "$client"
	same fine "$(tail -n 1 "$client_out")"
}

# Writes $T/noise and reads it back, until it has been enough.
rounds() {
	while [ ! -e "$T/enough" ]; do
		dd if="$T/noise" of="$1" bs=64k conv=notrunc status=none || exit
		dd if="$1" bs=64k iflag=count_bytes count="$(stat -c %s "$T/noise")" status=none | cmp - "$T/noise" || exit
		echo round >>"$T/rounds"
	done
	echo fine
}

# How often a generation of it has ended.
failovers() {
	grep -c "volume $1: generation [0-9]* ended: " "$sheepfs_log" || :
}

# ended_again NAME N
ended_again() {
	[ "$(failovers "$1")" -ge "$2" ]
}
