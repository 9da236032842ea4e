#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells; variables of lib.bash
#
# Locks, and volumes that fail: whoever holds a volume holds it alone; what ended is brought back by
# unmount and mount.

load lib

setup() {
	begin_test 60
	start_lamb lamb
	start_sheepfs -n other "$address"
	start_sheepfs "$address"
	attached one 16M
}

teardown() {
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

@test "the lock of a killed worker is released, its callers get EIO, and it comes back" {
	local worker
	noise "$T/noise" 100000
	dd if="$T/noise" of="$(volume one)" bs=100000 conv=notrunc status=none
	attached two 16M
	worker=$(worker_pid one)
	client bash -c "while dd if='$(volume one)' of=/dev/null bs=4k status=none; do :; done"
	kill -KILL "$worker"
	wait_until 5 gone "$client"
	contains "$(cat "$client_out")" 'Input/output error'
	fails_with 'Input/output error' dd if="$(volume one)" of=/dev/null bs=4k count=1
	wait_until 5 grep -q 'one' "$sheepfs_log"
	# the other volume does not notice
	dd if="$(volume two)" of=/dev/null bs=1M status=none
	# its lock was released, before anybody asked for it
	wait_until 5 released one
	detach one
	attach one
	cmp -n 100000 "$T/noise" "$(volume one)"
}

# Another sheepfs can attach it.
released() {
	local status=0
	use_sheepfs other
	order vdi/mount "$1" && order vdi/unmount "$1" || status=1
	use_sheepfs mnt
	return "$status"
}

@test "all workers end at one moment: their locks are released by the next cluster worker" {
	local name workers=()
	attached two 16M
	attached three 16M
	for name in one two three; do
		workers+=("$(worker_pid "$name")")
	done
	workers+=("$(cluster_pid)")
	# a stopped master finds all of it at once
	kill -STOP "$sheepfs_pid"
	kill -KILL "${workers[@]}"
	sleep 0.2
	kill -CONT "$sheepfs_pid"
	for name in one two three; do
		wait_until 10 released "$name"
		detach "$name"
		attach "$name"
	done
	tree_serves
}

@test "a daemon that dies: EIO, the log names the cause, and with a new one it comes back" {
	noise "$T/noise" 100000
	dd if="$T/noise" of="$(volume one)" bs=100000 conv=notrunc,fsync status=none
	client bash -c "while dd if='$(volume one)' of=/dev/null bs=4k status=none; do :; done"
	kill_lamb lamb
	wait_until 5 gone "$client"
	contains "$(cat "$client_out")" 'Input/output error'
	wait_until 5 grep -q "$address" "$sheepfs_log"
	tree_serves
	start_lamb lamb
	fails_with 'Input/output error' dd if="$(volume one)" of=/dev/null bs=4k count=1
	detach one
	attach one
	cmp -n 100000 "$T/noise" "$(volume one)"
	contains "$(cat "$mnt/vdi/list")" one
}

@test "a failed volume that is in use stays, and is detached when it is free" {
	client tail -f "$(volume one)"
	sleep 0.3
	kill -KILL "$(worker_pid one)"
	wait_until 5 fails_with 'Input/output error' dd if="$(volume one)" of=/dev/null bs=4k count=1
	kill "$client"
	wait_until 5 gone "$client"
	detach one
	attach one
}

@test "a volume that is snapshotted by somebody else fails, and comes back with everything" {
	noise "$T/noise" 4000000
	dd if="$T/noise" of="$(volume one)" bs=1000000 count=2 conv=notrunc,fsync status=none
	"$rawsheep" "$address" snapshot one behind
	# writes find out: the vid has changed
	fails_with 'Input/output error' timeout 20 dd if="$T/noise" of="$(volume one)" bs=1000000 skip=2 seek=6 count=2 \
		conv=notrunc,fsync status=none
	fails_with 'Input/output error' timeout 5 dd if="$(volume one)" of=/dev/null bs=1M status=none
	grep 'volume one has failed' "$sheepfs_log"
	detach one
	attach one
	cmp -n 2000000 "$T/noise" "$(volume one)"
	dd if="$T/noise" of="$(volume one)" bs=1000000 skip=2 seek=6 count=2 conv=notrunc,fsync status=none
	cmp -n 2000000 "$T/noise" "$(volume one)" 2000000 6000000
	attach one@behind
	cmp -n 2000000 "$T/noise" "$(volume one@behind)"
	cmp -n 2000000 "$(volume one@behind)" /dev/zero 6000000 0
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
