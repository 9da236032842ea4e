#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells; variables of lib.bash
#
# A volume is a disk: a file system on a loop device on it holds a real tree, over a detach and an attach.

load lib
load real

setup() {
	begin_test 240
	need mkfs.ext4 fsck.ext4 losetup
}

teardown() {
	local status=0
	end_test || status=$?
	real_stop || status=$?
	return "$status"
}

# Directories of /usr/share, smallest first, as far as they fit; fewer for a slow build.
choose_tree() {
	local limit=1600
	[ "${SHEEPFS_VARIANT:-plain}" = plain ] || limit=300
	(cd /usr/share && du -xsm -- * | sort -n | awk -F '\t' -v limit="$limit" '
		(sum += $1) <= limit { print $2 }') >"$T/chosen"
	[ -s "$T/chosen" ]
}

copy_tree() {
	(cd /usr/share && tar -c --one-file-system -f - -T "$T/chosen") | tar -x -f - -C "$1"
}

# sums DIRECTORY: of all files, in one order
sums() {
	(cd "$1" && xargs -a "$T/chosen" -d '\n' -I{} find ./{} -xdev -type f -print0 | sort -z |
		xargs -0 sha256sum)
}

# The whole story on whatever cluster is at $1; the volume stays attached.
tell_the_story() {
	start_sheepfs "$1"
	create disk 2G
	attach disk
	mkfs.ext4 -q -F "$mnt/volume/disk"
	mkdir "$T/disk"
	mount -o loop "$mnt/volume/disk" "$T/disk"
	choose_tree
	copy_tree "$T/disk"
	unmount_disk "$T/disk"
	detach disk
	run ! test -e "$mnt/volume/disk"

	attach disk
	fsck.ext4 -fn "$mnt/volume/disk"
	sums /usr/share >"$T/sums.source"
	mount -o loop,ro "$mnt/volume/disk" "$T/disk"
	sums "$T/disk" >"$T/sums.copy"
	unmount_disk "$T/disk"
	[ "$(wc -l <"$T/sums.copy")" -gt 100 ]
	cmp "$T/sums.source" "$T/sums.copy"
	tell "$(wc -l <"$T/sums.copy") files of /usr/share"
}

# The volume holds what another client of the cluster has read from it.
as_read_by_other() {
	dd if="$mnt/volume/disk" bs=1M iflag=direct status=none | cmp - "$T/other"
}

@test "ext4 on a loop device keeps a tree over detach and attach, on lamb" {
	start_lamb lamb
	tell_the_story "$address"
	# a raw client reads the same bytes
	detach disk
	"$rawsheep" "$address" read disk 0 2147483648 >"$T/other"
	attach disk
	as_read_by_other
}

@test "ext4 on a loop device keeps a tree over detach and attach, on a real cluster with two copies" {
	real_need
	real_start 3 2
	tell_the_story "$real_address"
	detach disk
	real_dog vdi read disk >"$T/other"
	attach disk
	as_read_by_other
}
