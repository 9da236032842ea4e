#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2154 # variables of lib.bash
#
# The build: what is installed where, that it is hardened, and what configure says when a library is
# missing.

load lib

setup() {
	begin_test 100
}

teardown() {
	end_test
}

@test "make install DESTDIR= installs the programs and nothing outside of it" {
	need make
	make -C "$SHEEPFS_BUILD" install DESTDIR="$T/root" >"$T/install.log" 2>&1
	local prefix
	prefix=$T/root$(sed -n 's/^prefix = //p' "$SHEEPFS_BUILD/Makefile")
	[ -x "$prefix/sbin/sheepfs" ]
	[ -x "$prefix/bin/lamb" ]
	[ -x "$prefix/libexec/sheepfs/sheepfs-front" ]
	[ -x "$prefix/libexec/sheepfs/sheepfs-worker" ]
	[ -x "$T/root/sbin/umount.sheepfs" ]
	contains "$("$prefix/sbin/sheepfs" --version)" sheepfs
}

@test "programs are position independent, with full RELRO" {
	need readelf
	local program
	for program in "$sheepfs_program" "$lamb_program" "$SHEEPFS_LIBEXEC/sheepfs-front" \
		"$SHEEPFS_LIBEXEC/sheepfs-worker"; do
		contains "$(readelf -h "$program")" 'DYN ('
		contains "$(readelf -d "$program")" 'BIND_NOW'
		contains "$(readelf -lW "$program")" 'GNU_RELRO'
		contains "$(readelf -sW "$program")" '__stack_chk_fail'
	done
}

@test "configure names the Debian package of a missing library" {
	mkdir "$T/configure"
	cd "$T/configure"
	PKG_CONFIG_LIBDIR=/nonexistent PKG_CONFIG_PATH='' run "$BATS_TEST_DIRNAME/../../configure" -q
	[ "$status" != 0 ]
	contains "$output" 'apt-get install libfuse3-dev'
}
