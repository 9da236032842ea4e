#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2154 # variables of lib.bash
#
# The build: what is installed where, that it is hardened, what configure says when a library is
# missing, and that a tarball is whole.

load lib

setup() {
	begin_test 100
}

teardown() {
	end_test
}

# variable NAME: of the Makefile
variable() {
	sed -n "s/^$1 = //p" "$SHEEPFS_BUILD/Makefile"
}

@test "make install DESTDIR= installs programs and man pages, and uninstall takes all of it away" {
	need make
	make -C "$SHEEPFS_BUILD" install DESTDIR="$T/root" >"$T/install.log" 2>&1
	local prefix page
	prefix=$T/root$(variable prefix)
	[ -x "$prefix/sbin/sheepfs" ]
	[ -x "$prefix/bin/lamb" ]
	[ -x "$prefix/libexec/sheepfs/sheepfs-front" ]
	[ -x "$prefix/libexec/sheepfs/sheepfs-worker" ]
	[ -x "$T/root/sbin/umount.sheepfs" ]
	[ -s "$T/root$(variable systemdsystemunitdir)/sheepfs@.service" ]
	[ -s "$T/root$(variable sysusersdir)/sheepfs.conf" ]
	[ -s "$T/root$(variable tmpfilesdir)/sheepfs.conf" ]
	[ -s "$(find "$T/root" -name sheepfs.conf.example)" ]
	for page in "$BATS_TEST_DIRNAME"/../../packaging/man/*; do
		[ -s "$prefix/share/man/man${page##*.}/${page##*/}" ]
	done
	contains "$("$prefix/sbin/sheepfs" --version)" sheepfs
	make -C "$SHEEPFS_BUILD" uninstall DESTDIR="$T/root" >>"$T/install.log" 2>&1
	same '' "$(find "$T/root" ! -type d)"
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

# tracked: what git tracks, or would if it were told to
tracked() {
	git -c safe.directory='*' -C "$BATS_TEST_DIRNAME/../.." ls-files "$@"
}

@test "the tarball holds every file that git tracks, and besides only what autoreconf makes" {
	need git make
	tracked >"$T/tracked" 2>/dev/null || skip "not a git checkout"
	tracked --cached --others --exclude-standard | sort >"$T/known"
	make -C "$SHEEPFS_BUILD" distdir distdir="$T/dist" >"$T/dist.log" 2>&1
	(cd "$T/dist" && find . -type f | sed 's,^\./,,' | sort) >"$T/have"
	same '' "$(comm -23 <(sort "$T/tracked") "$T/have")"
	same '' "$(comm -13 "$T/known" "$T/have" |
		grep -vE '^(configure|Makefile\.in|aclocal\.m4|build-aux/.*)$')"
	[ -x "$T/dist/check" ]
}

@test "make distcheck: a tarball builds out of a read-only tree, passes its unit tests, and uninstalls to nothing" {
	need make
	[ "${SHEEPFS_VARIANT:-plain}" = plain ] || skip "the plain build does it"
	limit 400
	mkdir "$T/dist"
	cd "$T/dist"
	"$BATS_TEST_DIRNAME/../../configure" -q >"$T/configure.log"
	make -j2 distcheck >"$T/distcheck.log" 2>&1
	contains "$(tail -n 5 "$T/distcheck.log")" 'ready for distribution'
	contains "$(tar -tf sheepfs-*.tar.xz)" /packaging/man/sheepfs.8
	# it ran tests, once
	same 1 "$(grep -c '^unit/msg: .* 0 failed' "$T/distcheck.log")"
}
