#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031,SC2034,SC2154 # tests are subshells; variables of lib.bash, and for it
#
# A daemon that answers whatever it is asked, but ends no I/O for a minute.  The nodes are lambs on one store.

load lib

setup() {
	begin_test 170
	lamb_store=shared
	start_lamb a
	a=$address
	start_lamb b
	b=$address
	start_lamb c
	c=$address
}

teardown() {
	end_test
}

# stays NAME ADDRESS: it is at that daemon, with its first worker
stays() {
	[[ $(worker_row "$1" | tr -s ' ') == "$1 ready "*" 1 0 "*" 0 $2 -" ]] || fail "$(worker_row "$1")"
}

@test "a daemon that ends no I/O for a minute is left for one that reads; without such a one it is waited for" {
	local begin one two three n
	noise "$T/old" 1048576
	noise "$T/new" 1048576
	# one: the next target reads; two: there is none; three: the next one does not read either
	start_sheepfs -n mnt3 "$a,$c"
	attached three 16M object_size=1M
	start_sheepfs -n mnt2 "$a"
	attached two 16M object_size=1M
	start_sheepfs "$a,$b"
	attached one 16M object_size=1M
	dd if="$T/old" of="$(volume one)" bs=1M seek=5 oflag=direct conv=notrunc status=none
	for n in one two three; do
		case $n in
		two) use_sheepfs mnt2 ;;
		three) use_sheepfs mnt3 ;;
		esac
		dd if="$T/old" of="$(volume $n)" bs=1M oflag=direct conv=notrunc status=none
	done
	fault a half-dead
	fault c half-dead
	begin=$(now_ms)
	client dd if="$T/new" of="$T/mnt/volume/one" bs=1M oflag=direct conv=notrunc status=none
	one=$client
	client dd if="$T/new" of="$T/mnt2/volume/two" bs=1M oflag=direct conv=notrunc status=none
	two=$client
	client dd if="$T/new" of="$T/mnt3/volume/three" bs=1M oflag=direct conv=notrunc status=none
	three=$client
	use_sheepfs mnt
	# not before
	sleep 45
	stays one "$a"
	wait_until 40 served_by one "$b"
	tell "it went on $(($(now_ms) - begin)) ms after the daemon's last I/O"
	[ $(($(now_ms) - begin)) -ge 55000 ]
	grep "volume one: the daemon at $a answers, but has done no I/O for a minute; $b is asked whether it does" "$sheepfs_log"
	grep 'volume one: generation 1 ended: the daemon answers, but has done no I/O for a minute, and another target does; its callers' \
		"$sheepfs_log"
	grep -E "volume one goes on after [0-9]+ ms: generation 2, through $b" "$sheepfs_log"
	contains "$(sed 1d "$mnt/status/failovers")" 'has done no I/O for a minute'
	# what it was asked may still run: that waits, and the rest goes on
	run ! all_settled one
	still_there "$one"
	cmp -n 1048576 "$T/old" "$(volume one)" 0 5242880
	dd if="$T/new" of="$(volume one)" bs=1M seek=5 oflag=direct conv=notrunc status=none
	cmp -n 1048576 "$T/new" "$(volume one)" 0 5242880
	# the others stay where they are, and say why
	use_sheepfs mnt2
	wait_until 20 grep "volume two: the daemon at $a answers, but has done no I/O for a minute; there is no other to go to" \
		"$sheepfs_log"
	use_sheepfs mnt3
	wait_until 20 grep "volume three: the daemon at $a answers, .* $c is asked whether it does" "$sheepfs_log"
	wait_until 20 grep 'volume three: another daemon does not read it either, so it stays at this one: it has not answered' \
		"$sheepfs_log"
	sleep 10
	still_there "$two"
	still_there "$three"
	stays three "$a"
	# once, not with every question
	same 1 "$(grep -c 'no I/O for a minute' "$sheepfs_log")"
	same 1 "$(grep -c 'does not read it either' "$sheepfs_log")"
	use_sheepfs mnt2
	stays two "$a"
	# and when it does I/O again all is done
	fault a
	fault c
	for n in "$one" "$two" "$three"; do
		wait_until 20 gone "$n"
	done
	cmp -n 1048576 "$T/new" "$(volume two)"
	never_failed
	use_sheepfs mnt3
	cmp -n 1048576 "$T/new" "$(volume three)"
	never_failed
	use_sheepfs mnt
	wait_until 20 all_settled one
	grep "volume one: generation 1 is settled: the daemon at $a has ended all that it was asked" "$sheepfs_log"
	served_by one "$b"
	for n in 0 5242880; do
		cmp -n 1048576 "$T/new" "$(volume one)" 0 "$n"
	done
	never_failed
}
