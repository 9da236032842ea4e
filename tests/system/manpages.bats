#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2154 # variables of lib.bash
#
# The man pages: well-formed, and they say what there is: every option, every file.

load lib

setup() {
	begin_test 30
	pages=$BATS_TEST_DIRNAME/../../packaging/man
}

teardown() {
	end_test
}

@test "every page is well-formed" {
	local page
	need mandoc
	for page in "$pages"/*; do
		# which other pages there are is the host's business
		same '' "$(mandoc -Tlint -W style "$page" 2>/dev/null | grep -v 'STYLE: referenced manual not found')"
	done
}

# options_of PROGRAM: the long options that its help shows, each with its letter, if it has one
options_of() {
	"$1" --help | awk '/^ +-/ {
		sub(/^ +/, "")
		sub(/   *.*/, "")
		letter = /^-[A-Za-z],/ ? substr($0, 2, 1) : "none"
		while (match($0, /--[a-z][a-z-]*/)) {
			print substr($0, RSTART, RLENGTH), letter
			$0 = substr($0, RSTART + RLENGTH)
		}
	}' | sort
}

# options_in PAGE: those that are described in it
options_in() {
	awk '/^\.It Fl/ {
		letter = "none"
		for (i = 2; i < NF; i++)
			if ($i == "Fl" && $(i + 1) ~ /^-/)
				print "-" $(i + 1), letter
			else if ($i == "Fl")
				letter = $(i + 1)
	}' "$1" | sort
}

# options_above PAGE: letters, and names without one, in its synopsis
options_above() {
	sed -n '/^\.Sh SYNOPSIS/,/^\.Sh DESCRIPTION/s/^\.Op Fl \([A-Za-z-]*\).*/\1/p' "$1" |
		sed 's/^\([A-Za-z]*\)$/\1/; /^-/!s/./&\n/g' | sed '/^$/d; s/^-/--/' | sort
}

# described PROGRAM PAGE: what the one offers is what the other describes
described() {
	[ -n "$(options_of "$1")" ]
	same "$(options_of "$1")" "$(options_in "$2")"
	same "$(options_of "$1" | awk '{ print $2 == "none" ? $1 : $2 }' | sort)" "$(options_above "$2")"
}

@test "every option of the help stands in its page and its synopsis, and no other" {
	described "$sheepfs_program" "$pages/sheepfs.8"
	described "$lamb_program" "$pages/lamb.8"
}

@test "every file of the tree is described" {
	local file
	start_lamb lamb
	start_sheepfs "$address"
	(cd "$mnt" && find . -type f | sed 's,^\./,,' | sort) >"$T/have"
	grep -E '^\.It Pa' "$pages/sheepfs-control-files.5" | sed 's/^.It Pa //' | tr ' ' '\n' |
		grep -E '^[a-z]+/[a-z_]+$' | sort >"$T/described"
	[ -s "$T/have" ]
	same "$(<"$T/have")" "$(<"$T/described")"
	# and its README row
	while read -r file; do
		grep -qF "\`$file\`" "$BATS_TEST_DIRNAME/../../README.md" || fail "README.md does not name $file"
	done <"$T/have"
}
