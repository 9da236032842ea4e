#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A job for tests/vm/run: a volume is a disk on Debian 12's own kernel, Linux 6.1.
#
# From lamb's start to the end of the last process: attach, ext4 on a loop device, fio's checksums,
# detach, attach, the same bytes, a clean stop, and a kernel that has nothing to complain about.
#
# programs: awk cmp fio fsck.ext4 losetup mkfs.ext4 pgrep sha256sum
# modules: crc32c-intel crc32c_generic ext4 fuse loop
set -u -o pipefail
mnt=/mnt/sheep disk=/mnt/disk
lamb_log=/tmp/lamb.log sheepfs_log=/tmp/sheepfs.log
mkdir -p "$mnt" "$disk"
sanitized=
! grep -q libasan ./sheepfs || sanitized=yes

fail() {
	echo "FAILED after ${SECONDS} s: $*"
	for log in /tmp/*.log /tmp/*.out; do
		echo "---- $log"
		tail -n 40 "$log"
	done
	echo "---- processes and mounts"
	ps -e -o pid,ppid,uid,stat,wchan:24,args | grep -v ' \[.*\]$'
	grep -E ' (fuse|ext4)' /proc/mounts
	echo "---- the kernel"
	dmesg | tail -n 40
	exit 1
}

step() {
	echo "$(cut -d' ' -f1 /proc/uptime) s: $*"
}

# must COMMAND...: within a minute
must() {
	timeout 60 "$@" >/tmp/must.out 2>&1 || fail "$* (status $?)"
}

# wait_until SECONDS COMMAND...
wait_until() {
	local i tries=$(($1 * 10))
	shift
	for ((i = 0; i < tries; i++)); do
		"$@" && return
		sleep 0.1
	done
	fail "gave up waiting for: $*"
}

# order FILE TEXT: to a control file
order() {
	timeout 30 bash -c 'exec 9<>"$1" && { echo "$2" >&9; s=$?; cat <&9; exit $s; }' - \
		"$mnt/$1" "$2" >/tmp/order.out 2>&1 || fail "echo $2 > $1"
}

# verify NAME FILE SIZE OPTION...: random blocks of 512 bytes to 1 MiB, read back and checked
verify() {
	timeout 100 fio --name="$1" --filename="$2" --size="$3" --rw=randwrite --bsrange=512-1M \
		--blockalign=512 --verify=crc32c --do_verify=1 --verify_fatal=1 "${@:4}" >/tmp/fio.out 2>&1 ||
		fail "fio $1 (status $?)"
	! grep -E 'verify:|bad magic|io_u error' /tmp/fio.out || fail "fio $1"
	grep -q 'err= 0' /tmp/fio.out || fail "fio $1 says nothing"
}

# Processes of ours.
running() {
	local exe
	for exe in /proc/[0-9]*/exe; do
		[[ $(readlink "$exe") != /vm/* ]] || echo "$(<"${exe%/exe}/comm")"
	done
}

no_more() {
	[ ! -d "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null
}

# ends PID SECONDS: with SIGTERM, and status 0
ends() {
	kill -TERM "$1"
	wait_until "$2" no_more "$1"
	wait "$1" || fail "process $1 ended with status $?"
}

# loop_on FILE [OPTION...]: mounts it on $disk by a loop device; $loop
loop_on() {
	must losetup --find --show "${@:2}" "$1"
	loop=$(</tmp/must.out)
	must mount "$loop" "$disk"
}

loop_off() {
	must umount "$disk"
	must losetup -d "$loop"
	wait_until 10 test ! -e "/sys/block/${loop#/dev/}/loop"
}

[[ $(uname -r) == 6.1.* ]] || fail "this is kernel $(uname -r)"
step "kernel $(uname -r)"
echo 60 >/proc/sys/kernel/hung_task_timeout_secs

./lamb -p 0 /tmp/store >"$lamb_log" 2>&1 &
lamb=$!
wait_until 20 grep -q serving "$lamb_log"
address=$(sed -n 's/.* on \([^ ]*\)$/\1/p' "$lamb_log")
[[ $address == 127.0.0.1:* ]] || fail "lamb's address: $address"
SHEEPFS_LIBEXEC=/vm ./sheepfs -f -s "$address" --log "$sheepfs_log" "$mnt" >/tmp/sheepfs.out 2>&1 &
sheepfs=$!
wait_until 20 test -e "$mnt/vdi/mount"
step "sheepfs serves"

order vdi/create "v1 256M"
order vdi/mount v1
order vdi/create "v2 128M object_size=1M"
order vdi/mount v2
[ "$(stat -c %s "$mnt/volume/v1")" = 268435456 ] || fail "the size of v1"
[ "$(running | sort | uniq -c | tr -s ' \n' ' ')" = \
	" 1 lamb 1 sheepfs 1 sheepfs-front 3 sheepfs-worker " ] ||
	fail "these run: $(running)"
for pid in $(ps -e -o pid,comm | sed -n 's/^ *\([0-9]*\) sheepfs-.*/\1/p'); do
	grep -q '^CapEff:.0*$' "/proc/$pid/status" && grep -q '^NoNewPrivs:.1$' "/proc/$pid/status" &&
		grep -q '^Seccomp:.2$' "/proc/$pid/status" || fail "process $pid is not confined"
done
for pid in $(ps -e -o pid,comm | sed -n 's/^ *\([0-9]*\) sheepfs-.*/\1/p'); do
	[ "$(<"/proc/$pid/oom_score_adj")" = -900 ] || fail "process $pid may be killed early"
	# what PR_SET_IO_FLUSHER sets: PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE
	flags=$(sed 's/.*) //' "/proc/$pid/stat" | cut -d ' ' -f 7)
	[ $((flags & 0x180000)) = $((0x180000)) ] || fail "process $pid may wait for its own writeback: flags $flags"
	# a sanitizer's memory is not locked
	[ -n "$sanitized" ] || [ "$(awk '/^VmLck/ { print $2 }' "/proc/$pid/status")" -gt 1000 ] ||
		fail "process $pid may be paged out"
done
step "two volumes are attached"

must mkfs.ext4 -q -F "$mnt/volume/v1"
loop_on "$mnt/volume/v1"
verify direct "$disk/direct" 8M --ioengine=libaio --direct=1 --iodepth=32
must dd if=/dev/urandom of="$disk/noise" bs=1M count=4 conv=fsync
noise=$(sha256sum <"$disk/noise")
loop_off
step "ext4 on a loop device: fio finds what it wrote"

# this kernel's loop device asks for a page at a time unless it is told to go past the page cache
loop_on "$mnt/volume/v1" --direct-io=on
[ "$(<"/sys/block/${loop#/dev/}/loop/dio")" = 1 ] || fail "no direct I/O by the loop device"
verify buffered "$disk/buffered" 16M --ioengine=psync --direct=0 --fsync=16
loop_off
step "the same with direct I/O by the loop device"

verify direct "$mnt/volume/v2" 64M --ioengine=libaio --direct=1 --iodepth=32
verify buffered "$mnt/volume/v2" 32M --ioengine=libaio --direct=0 --iodepth=32
step "the volume itself: fio finds what it wrote"

order vdi/unmount v1
[ ! -e "$mnt/volume/v1" ] || fail "v1 is still there"
order vdi/mount v1
must fsck.ext4 -fn "$mnt/volume/v1"
loop_on "$mnt/volume/v1" --direct-io=on
[ "$(sha256sum <"$disk/noise")" = "$noise" ] || fail "other bytes after detach and attach"
verify buffered "$disk/buffered" 16M --ioengine=psync --direct=0 --fsync=16 --verify_only=1
loop_off
order vdi/unmount v1
step "the same after detach and attach, and fsck finds nothing"

# more dirty pages than there is memory, all of which are written through processes that have no more themselves
if [ -z "$sanitized" ]; then
	mkdir /cgroup
	mount -t cgroup2 none /cgroup && echo +memory >/cgroup/cgroup.subtree_control || fail "no memory cgroup"
	mkdir /cgroup/small && echo 120M >/cgroup/small/memory.max
	for pid in $$ "$sheepfs" $(ps -e -o pid,comm | sed -n 's/^ *\([0-9]*\) sheepfs-.*/\1/p'); do
		echo "$pid" >/cgroup/small/cgroup.procs
	done
	order vdi/mount v1
	loop_on "$mnt/volume/v1" --direct-io=on
	must dd if=/dev/zero of="$disk/zeros" bs=1M count=180
	must sync -f "$disk/zeros"
	[ "$(sha256sum <"$disk/noise")" = "$noise" ] || fail "other bytes after times of little memory"
	rm "$disk/zeros"
	loop_off
	order vdi/unmount v1
	echo $$ >/cgroup/cgroup.procs
	step "180 MiB of dirty pages in a group of 120 MiB"
fi

# v2 is left to it
ends "$sheepfs" 30
ends "$lamb" 10

# the same store, by a lamb of sheepfs' own
SHEEPFS_LIBEXEC=/vm SHEEPFS_LAMB=/vm/lamb ./sheepfs -f -s lamb:/tmp/store --log "$sheepfs_log" "$mnt" >/tmp/sheepfs.out 2>&1 &
sheepfs=$!
wait_until 20 test -e "$mnt/vdi/mount"
order vdi/mount v1
order vdi/snapshot "v1 evening"
order vdi/clone "v1@evening v3"
order vdi/mount v3
loop_on "$mnt/volume/v3" --direct-io=on
[ "$(sha256sum <"$disk/noise")" = "$noise" ] || fail "other bytes on a clone"
loop_off
grep -q '^ *v3\|c v3 ' "$mnt/vdi/list" || fail "vdi/list has no v3"
grep -q '^Cluster status: running' "$mnt/cluster/info" || fail "cluster/info"
step "a lamb of its own on the same store: a snapshot and a clone of it"
ends "$sheepfs" 30
[ -z "$(running)" ] || fail "still running: $(running)"

# a worker that dies is made good; a front that dies ends the mounts, since this kernel cannot ask another one
SHEEPFS_LIBEXEC=/vm SHEEPFS_LAMB=/vm/lamb ./sheepfs -f -s lamb:/tmp/store --log "$sheepfs_log" "$mnt" >/tmp/sheepfs.out 2>&1 &
sheepfs=$!
wait_until 20 test -e "$mnt/vdi/mount"
order vdi/mount v2
fio --name=killed --filename="$mnt/volume/v2" --size=32M --rw=randwrite --bsrange=512-256k --blockalign=512 --verify=crc32c \
	--verify_fatal=1 --verify_backlog=64 --ioengine=libaio --direct=1 --iodepth=16 --time_based --runtime=6 >/tmp/killed.out 2>&1 &
killed=$!
for n in 1 2 3 4; do
	sleep 1
	kill -KILL "$(pgrep -f 'sheepfs-worker volume v2')"
done
wait "$killed" || fail "fio over the deaths of workers: $(tail -n 3 /tmp/killed.out)"
step "four workers died, and nothing is missing"
! SHEEPFS_LIBEXEC=/vm ./sheepfs -s lamb:/tmp/store --replace "$mnt" >/tmp/replace.out 2>&1 || fail "it was replaced"
grep -q 'cannot be replaced: this kernel cannot ask another front' /tmp/replace.out || fail "replace: $(cat /tmp/replace.out)"
must dd if="$mnt/volume/v2" of=/dev/null bs=1M count=1
step "a replacement is refused, and nothing is changed"
front=$(pgrep -x sheepfs-front)
kill -KILL "$front"
wait_until 20 no_more "$sheepfs"
! wait "$sheepfs" || fail "it ended as if nothing had happened"
grep -q 'this kernel cannot ask another front' "$sheepfs_log" || fail "the log does not say why"
[ -z "$(running)" ] || fail "still running: $(running)"
step "the front died, and the mounts with it"
! grep ' fuse' /proc/mounts | grep -v fusectl || fail "mounts are left"

# the master's death, with something that keeps its descriptors: likewise, and the next one begins anew
mkdir /tmp/kept
SHEEPFS_LIBEXEC=/vm SHEEPFS_LAMB=/vm/lamb ./keeper /tmp/kept ./sheepfs -f -s lamb:/tmp/store --log "$sheepfs_log" "$mnt" \
	>/tmp/kept.out 2>&1 &
keeper=$!
wait_until 20 grep -q ready /tmp/kept.out
order vdi/mount v2
kill -KILL "$(</tmp/kept/pid)"
wait_until 30 eval '[ "$(grep -c ready /tmp/kept.out)" = 2 ]'
grep -q 'cannot be gone on with: this kernel cannot ask another front' "$sheepfs_log" || fail "the log does not say why"
[ -z "$(ls "$mnt/volume")" ] || fail "there are volumes: $(ls "$mnt/volume")"
kill -TERM "$(</tmp/kept/pid)"
wait_until 20 no_more "$keeper"
[ -z "$(running)" ] || fail "still running: $(running)"
step "the master died, its mounts ended, and the next one serves"
! grep ' fuse' /proc/mounts | grep -v fusectl || fail "mounts are left"
! dmesg | grep -E 'BUG|WARNING|Oops|blocked for more than|general protection|segfault|I/O error' ||
	fail "the kernel complains"
step "stopped; nothing is left"
