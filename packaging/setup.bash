# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# What ./demo and ./check share: installing what is missing and building.
#
# Owns the lists of Debian packages and the way to a finished build directory.

setup_build_packages=(build-essential autoconf automake pkg-config libfuse3-dev libevent-dev
	libseccomp-dev libcap-ng-dev libmount-dev libmd-dev libsystemd-dev)
# what the demonstration itself uses
setup_demo_packages=(e2fsprogs mount fuse3 procps)
# what the tests use besides
setup_test_packages=(libcmocka-dev bats fio e2fsprogs mount fuse3 strace iproute2 procps util-linux
	qemu-system-x86 qemu-utils attr xxd kmod cpio busybox-static ncat less mandoc systemd tzdata)

setup_say() {
	printf '\033[1m==\033[0m %s\n' "$*"
}

setup_root() {
	[ "$(id -u)" = 0 ] && return
	echo "$0: mounting and confining need root: run  sudo $0" >&2
	exit 1
}

# setup_install PACKAGE...: installs those that are missing; says what it does.
setup_install() {
	local missing=() p
	for p in "$@"; do
		dpkg-query -W -f '${db:Status-Abbrev}' "$p" 2>/dev/null | grep -q '^ii' || missing+=("$p")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	if ! command -v apt-get >/dev/null; then
		echo "$0: these Debian packages are missing and there is no apt-get: ${missing[*]}" >&2
		return 1
	fi
	setup_say "installing ${missing[*]}"
	# only what is on the machine may lie between us and the packages: no questions
	export DEBIAN_FRONTEND=noninteractive
	local log
	log=$(mktemp)
	if ! apt-get install -y --no-install-recommends "${missing[@]}" </dev/null >"$log" 2>&1; then
		apt-get update </dev/null >>"$log" 2>&1
		if ! apt-get install -y --no-install-recommends "${missing[@]}" </dev/null >>"$log" 2>&1; then
			tail -n 5 "$log" >&2
			echo "$0: apt-get could not install ${missing[*]}; its log is $log" >&2
			return 1
		fi
	fi
	rm -f "$log"
}

# setup_build SOURCE BUILD TARGETS [CONFIGURE-OPTION...]: an up-to-date build of SOURCE in BUILD.
setup_build() {
	local source=$1 build=$2 log
	local -a targets
	read -ra targets <<<"$3"
	shift 3
	if [ -e "$source/config.status" ]; then
		echo "$0: $source itself is configured: run  make distclean  there, builds go into folders of their own" >&2
		return 1
	fi
	mkdir -p "$build"
	log=$build/build.log
	if [ ! -x "$source/configure" ] || [ "$source/configure.ac" -nt "$source/configure" ] ||
		[ "$source/Makefile.am" -nt "$source/Makefile.in" ]; then
		setup_say "generating configure"
		(cd "$source" && autoreconf --install) >"$log" 2>&1 || {
			tail -n 20 "$log" >&2
			return 1
		}
	fi
	if [ ! -f "$build/Makefile" ] || [ "$(cat "$build/options" 2>/dev/null)" != "$*" ]; then
		setup_say "configuring ${*:-(plain)}"
		(cd "$build" && "$source/configure" -q "$@") >"$log" 2>&1 || {
			tail -n 20 "$log" >&2
			return 1
		}
		echo "$*" >"$build/options"
	fi
	setup_say "building in $build"
	local files=0
	make -C "$build" --no-print-directory -j"$(nproc)" "${targets[@]}" 2>&1 | tee "$log" | while read -r line; do
		case $line in
		*" CC "* | *" CCLD "*)
			files=$((files + 1))
			[ -t 1 ] && printf '\r   %3d %-50.50s' "$files" "${line##* }"
			;;
		esac
	done
	local status=${PIPESTATUS[0]}
	[ -t 1 ] && printf '\r%-60s\r' ''
	[ "$status" = 0 ] || tail -n 30 "$log" >&2
	return "$status"
}
