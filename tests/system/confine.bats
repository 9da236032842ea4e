#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells; variables of lib.bash
#
# What /proc says of each process: whose it is, what it may do, what it can see.

load lib

setup() {
	begin_test 60
	start_lamb lamb
	start_sheepfs "$address"
	attached one 16M
	attached two 16M
	front=$(front_pid)
	cluster=$(cluster_pid)
	one=$(worker_pid one)
	two=$(worker_pid two)
	confined=("$front" "$cluster" "$one" "$two")
}

teardown() {
	end_test
}

# status PID FIELD: its values, separated by one space
status() {
	awk -v field="$2:" '$1 == field { $1 = ""; print substr($0, 2) }' "/proc/$1/status"
}

@test "there are a front, a cluster worker and one worker for each volume, and nobody else" {
	local pid
	for pid in "${confined[@]}"; do
		[[ $pid =~ ^[0-9]+$ ]]
	done
	same 4 "$(wc -w <"/proc/$sheepfs_pid/task/$sheepfs_pid/children")"
	same 4 "$(our_confined | wc -l)"
	detach two
	wait_until 5 gone "$two"
	same 3 "$(our_confined | wc -l)"
}

@test "each is another user, from the range, in no group" {
	local pid uid uids=()
	for pid in "${confined[@]}"; do
		uid=$(status "$pid" Uid)
		uid=${uid%% *}
		same "$uid $uid $uid $uid" "$(status "$pid" Uid)"
		[ "$uid" -ge "$uid_first" ] && [ "$uid" -le $((uid_first + 49)) ]
		run ! grep -w 0 <<<"$(status "$pid" Gid)"
		same '' "$(status "$pid" Groups)"
		uids+=("$uid")
	done
	same 4 "$(printf '%s\n' "${uids[@]}" | sort -u | wc -l)"
}

@test "none has a capability, none can gain one, each has a system-call filter" {
	local pid set
	for pid in "${confined[@]}"; do
		for set in CapInh CapPrm CapEff CapBnd CapAmb; do
			same 0000000000000000 "$(status "$pid" "$set")"
		done
		same 1 "$(status "$pid" NoNewPrivs)"
		same 2 "$(status "$pid" Seccomp)"
	done
}

@test "none can be traced or looked into by another process of its user" {
	local pid
	for pid in "${confined[@]}"; do
		# /proc shows processes that are not dumpable as root's
		same 0 "$(stat -c %u "/proc/$pid/environ")"
	done
}

@test "each lives in namespaces of its own" {
	local pid kind link links
	for kind in net mnt pid ipc uts; do
		links=("$(readlink "/proc/$sheepfs_pid/ns/$kind")")
		for pid in "${confined[@]}"; do
			link=$(readlink "/proc/$pid/ns/$kind")
			[ -n "$link" ]
			links+=("$link")
		done
		same 5 "$(printf '%s\n' "${links[@]}" | sort -u | wc -l)"
	done
}

@test "each network is empty" {
	local pid
	for pid in "${confined[@]}"; do
		same lo "$(awk -F: 'NR > 2 { gsub(/ /, "", $1); print $1 }' "/proc/$pid/net/dev")"
		same '' "$(awk 'NR > 1' "/proc/$pid/net/route")"
	done
}

@test "each root directory is empty and cannot be written to" {
	local pid
	for pid in "${confined[@]}"; do
		same '' "$(ls -A "/proc/$pid/root/")"
		same '' "$(ls -A "/proc/$pid/cwd/")"
		fails_with 'Read-only file system' touch "/proc/$pid/root/x"
		same 1 "$(wc -l <"/proc/$pid/mountinfo")"
	done
}

@test "each holds the descriptors that it was given, and no others" {
	local pid fd target
	for pid in "${confined[@]}"; do
		for fd in "/proc/$pid/fd"/*; do
			target=$(readlink "$fd")
			case $target in
			socket:* | pipe:* | anon_inode:* | /dev/null | /memfd:* | "$sheepfs_log" | "$T/mnt.out") ;;
			/dev/fuse) same "$front" "$pid" ;;
			*) fail "process $pid, $(tr '\0' ' ' <"/proc/$pid/cmdline"): descriptor ${fd##*/} is $target" ;;
			esac
		done
	done
	# a worker shares memory with the front, and not with another worker
	same '' "$(comm -12 <(arenas "$one") <(arenas "$two"))"
	[ "$(comm -12 <(arenas "$one") <(arenas "$front") | wc -l)" = 2 ]
}

# Inode numbers of the shared memory that a process has mapped.
arenas() {
	awk '/memfd:/ { print $5 }' "/proc/$1/maps" | sort -u
}

@test "a worker cannot write to what the front gave it, nor the front to what the worker gives" {
	local read_only
	# one of the two arenas is read-only in the worker, the other in the front
	read_only=$(awk '/memfd:/ && $2 ~ /^r--/ { print $5 }' "/proc/$one/maps" | sort -u)
	same 1 "$(wc -w <<<"$read_only")"
	[ -z "$(awk -v inode="$read_only" '/memfd:/ && $5 == inode && $2 ~ /w/' "/proc/$one/maps")" ]
	[ -n "$(awk -v inode="$read_only" '/memfd:/ && $5 == inode && $2 ~ /^rw/' "/proc/$front/maps")" ]
	[ -z "$(awk '/memfd:/ && $2 ~ /x/' "/proc/$one/maps" "/proc/$front/maps")" ]
}

@test "the master keeps what it uses and no more" {
	# SETGID, SETUID, SETPCAP, SYS_ADMIN; DAC_READ_SEARCH where the mount point needs it
	local set kept
	kept=$(status "$sheepfs_pid" CapPrm)
	[ "$kept" = 00000000002001c0 ] || [ "$kept" = 00000000002001c4 ] || fail "it keeps $kept"
	for set in CapEff CapBnd; do
		same "$kept" "$(status "$sheepfs_pid" "$set")"
	done
	# what was dropped cannot come back
	same 0000000000000000 "$(status "$sheepfs_pid" CapInh)"
	same 0000000000000000 "$(status "$sheepfs_pid" CapAmb)"
	same 1 "$(status "$sheepfs_pid" NoNewPrivs)"
}

@test "no core dumps and no new processes" {
	local pid
	for pid in "${confined[@]}"; do
		same '0 0' "$(awk '/^Max core file size/ { print $5, $6 }' "/proc/$pid/limits")"
		same '0 0' "$(awk '/^Max processes/ { print $3, $4 }' "/proc/$pid/limits")"
	done
}

@test "ps tells the story" {
	local listing
	listing=$(ps -o args= --ppid "$sheepfs_pid")
	contains "$listing" sheepfs-front
	contains "$listing" 'sheepfs-worker cluster'
	contains "$listing" 'sheepfs-worker volume one'
	contains "$listing" 'sheepfs-worker volume two'
}
