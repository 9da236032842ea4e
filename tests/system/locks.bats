#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells; variables of lib.bash
#
# Locks, and what becomes of them when something dies: whoever holds a volume holds it alone, and keeps it over
# the death of a worker or a daemon.

load lib

setup() {
	begin_test 60
	start_lamb lamb
	start_sheepfs -n other "$address"
	start_sheepfs "$address"
	attached one 16M
}

teardown() {
	kill -CONT "$sheepfs_pid" 2>/dev/null || :
	end_test
}

# other ORDER...: by the second sheepfs
other() {
	use_sheepfs other
	"$@"
	use_sheepfs mnt
}

@test "what one sheepfs has attached is busy for another, until it is detached" {
	other refused vdi/mount one 'Device or resource busy' one
	detach one
	other attach one
	refused vdi/mount one 'Device or resource busy' one
	other detach one
	attach one
}

@test "umount of the volume's file is a detach, too" {
	timeout 10 umount "$(volume one)"
	wait_until 5 not_shown one
	wait_until 5 no_worker one
	other attach one
}

not_shown() {
	[ ! -e "$mnt/volume/$1" ]
}

no_worker() {
	[ -z "$(worker_pid "$1")" ]
}

@test "a snapshot is locked by nobody" {
	detach one
	"$rawsheep" "$address" snapshot one golden
	attach one@golden
	other attach one@golden
	attach one
}

@test "SIGTERM releases what was attached" {
	stop_sheepfs
	same 0 "$exit_status"
	other attach one
}

@test "a killed worker: its callers wait a moment, the lock stays ours, nothing is lost" {
	local worker
	noise "$T/noise" 100000
	dd if="$T/noise" of="$(volume one)" bs=100000 conv=notrunc status=none
	attached two 16M
	worker=$(worker_pid one)
	start_reader "$(volume one)"
	kill -KILL "$worker"
	wait_until 10 went_on one 1
	grep -F 'volume one: generation 1 ended: it was killed by signal 9 (Killed); its callers wait for the next one' "$sheepfs_log"
	grep -E "volume one goes on after [0-9]+ ms: generation 2, through $address" "$sheepfs_log"
	wait_until 10 grep -q "volume one: generation 1 is settled: the daemon at $address has ended all" "$sheepfs_log"
	[ "$(worker_pid one)" != "$worker" ]
	other refused vdi/mount one 'Device or resource busy' one
	stop_reader
	cmp -n 100000 "$T/noise" "$(volume one)"
	# the other volume does not notice
	dd if="$(volume two)" of=/dev/null bs=1M status=none
	run ! grep 'volume two: generation' "$sheepfs_log"
	# at its end it is released
	detach one
	other attach one
	cmp -n 100000 "$T/noise" "$T/other/volume/one"
}

# Another sheepfs can attach it.
released() {
	local status=0
	use_sheepfs other
	order vdi/mount "$1" && order vdi/unmount "$1" || status=1
	use_sheepfs mnt
	return "$status"
}

@test "all workers end at one moment: each volume goes on, with its lock" {
	local name workers=()
	attached two 16M
	attached three 16M
	for name in one two three; do
		noise "$T/$name.noise" 1000000
		dd if="$T/$name.noise" of="$(volume "$name")" bs=1M conv=notrunc status=none
		workers+=("$(worker_pid "$name")")
	done
	workers+=("$(cluster_pid)")
	# a stopped master finds all of it at once
	kill -STOP "$sheepfs_pid"
	kill -KILL "${workers[@]}"
	sleep 0.2
	kill -CONT "$sheepfs_pid"
	for name in one two three; do
		cmp -n 1000000 "$T/$name.noise" "$(volume "$name")"
		went_on "$name" 1
		other refused vdi/mount "$name" 'Device or resource busy' "$name"
		detach "$name"
		released "$name"
		attach "$name"
	done
	tree_serves
}

@test "a daemon that dies: callers wait, the log names it, and with a new one they go on" {
	noise "$T/noise" 100000
	dd if="$T/noise" of="$(volume one)" bs=100000 conv=notrunc,fsync status=none
	start_reader "$(volume one)"
	kill_lamb lamb
	wait_until 10 grep -q 'volume one: generation 1 ended: ' "$sheepfs_log"
	contains "$(grep 'volume one: generation 1 ended: ' "$sheepfs_log")" 'its callers wait for the next one'
	tree_serves
	sleep 1
	still_there "$client"
	run ! went_on one 1
	start_lamb lamb
	wait_until 10 went_on one 1
	stop_reader
	cmp -n 100000 "$T/noise" "$(volume one)"
	contains "$(cat "$mnt/vdi/list")" one
	detach one
	attach one
	cmp -n 100000 "$T/noise" "$(volume one)"
}

@test "a failed volume that is in use stays, and is detached when it is free" {
	# shellcheck disable=SC2016 # the inner shell's variable
	client bash -c 'exec sleep 1000 <"$1"' holder "$(volume one)"
	sleep 0.3
	"$rawsheep" "$address" delete one
	kill -KILL "$(worker_pid one)"
	wait_until 10 grep -q 'volume one has failed: ' "$sheepfs_log"
	fails_with 'Input/output error' dd if="$(volume one)" of=/dev/null bs=4k count=1
	refused vdi/unmount one 'Device or resource busy' one
	contains "$(grep '^one ' "$mnt/status/workers")" failed
	kill "$client"
	wait_until 5 gone "$client"
	detach one
	attached one 16M
	cmp -n 16777216 "$(volume one)" /dev/zero
}

@test "a volume that is snapshotted by somebody else goes on as what it has become" {
	noise "$T/noise" 4000000
	dd if="$T/noise" of="$(volume one)" bs=1000000 count=2 conv=notrunc,fsync status=none
	"$rawsheep" "$address" snapshot one behind
	# writes find out: the vid has changed
	timeout 20 dd if="$T/noise" of="$(volume one)" bs=1000000 skip=2 seek=6 count=2 conv=notrunc,fsync status=none
	went_on one 1
	run ! grep 'volume one has failed' "$sheepfs_log"
	cmp -n 2000000 "$T/noise" "$(volume one)"
	cmp -n 2000000 "$T/noise" "$(volume one)" 2000000 6000000
	# its lock went with it
	other refused vdi/mount one 'Device or resource busy' one
	detach one
	attach one
	cmp -n 2000000 "$T/noise" "$(volume one)"
	cmp -n 2000000 "$T/noise" "$(volume one)" 2000000 6000000
	attach one@behind
	cmp -n 2000000 "$T/noise" "$(volume one@behind)"
	cmp -n 2000000 "$(volume one@behind)" /dev/zero 6000000 0
}

@test "a lock that vanished with its cluster and is somebody else's now is not taken for ours" {
	kill_lamb lamb
	wait_until 10 grep -q 'volume one: generation 1 ended' "$sheepfs_log"
	# it is refused meanwhile: who only met a broken connection does not take it for the cluster's restart
	sleep 1
	# too slow to be the first at the new one
	kill -STOP "$sheepfs_pid"
	start_lamb lamb
	use_sheepfs other
	wait_until 10 attach one
	use_sheepfs mnt
	kill -CONT "$sheepfs_pid"
	wait_until 20 grep -q 'volume one has failed: .*locked' "$sheepfs_log"
	fails_with 'Input/output error' dd if="$(volume one)" of=/dev/null bs=4k count=1
	# and his lock is not released with it
	detach one
	refused vdi/mount one 'Device or resource busy' 'locked by another client'
}

@test "a volume that is locked by somebody else is busy" {
	create two 16M
	fault lamb locked=two
	refused vdi/mount two 'Device or resource busy' two
	fault lamb
	attach two
}

@test "a cluster without locks: attach works, and says that nothing is enforced" {
	start_lamb lax --no-lock
	start_sheepfs -n lax1 "$address"
	attached free 16M
	contains "$sentence" lock
	start_sheepfs -n lax2 "$address"
	attach free
	contains "$sentence" lock
	# where they are enforced, nothing is said of them
	use_sheepfs mnt
	detach one
	attach one
	run ! grep -i lock <<<"$sentence"
}

@test "SIGKILL of everything: the lock stays in the cluster, and the refusal tells of it" {
	kill -KILL "$sheepfs_pid"
	wait_until 5 gone "$sheepfs_pid"
	wait_until 5 not_one_left
	other refused vdi/mount one 'Device or resource busy' lock
	umount -l "$(volume one)"
	umount -l "$mnt"
}

# Of the killed sheepfs; the other one has its cluster worker and its front.
not_one_left() {
	[ "$(our_confined | wc -l)" = 2 ]
}

@test "a cluster without locks: attach works, and its sentence says that nothing is enforced" {
	start_lamb free --no-lock
	start_sheepfs -n unlocked "$address"
	use_sheepfs unlocked
	create plain 16M
	attach plain
	contains "$sentence" 'does not enforce locks'
	detach plain
	use_sheepfs mnt
}
