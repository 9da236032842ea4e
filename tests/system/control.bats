#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells; variables of lib.bash
#
# Control files and tables: usage afresh, a sentence after a write, one command a write, one snapshot
# for one open; and names, which round-trip whatever is in them.

load lib

setup() {
	begin_test 60
	start_lamb lamb
	start_sheepfs "$address"
}

teardown() {
	end_test
}

# shown DIRECTORY: the names in it, on one line
shown() {
	# shellcheck disable=SC2012 # this is about what ls shows
	ls -A "$1" | paste -sd ' '
}

# how_many DIRECTORY
how_many() {
	find "$1" -mindepth 1 | wc -l
}

@test "the tree holds what it should" {
	same "cluster config node status vdi volume" "$(shown "$mnt")"
	same "abort discover fence_timeout fenced io_timeout object_cache page_cache sheep_info" "$(shown "$mnt/config")"
	for file in vdi/{create,snapshot,clone,list,mount,unmount} \
		config/{sheep_info,page_cache,object_cache,io_timeout,fence_timeout,fenced,abort} \
		cluster/info node/{list,info} status/{workers,failovers}; do
		test -f "$mnt/$file"
	done
	# what is a value is read by everybody, what is a command by root alone
	same 644 "$(stat -c %a "$mnt/config/sheep_info")"
	same 600 "$(stat -c %a "$mnt/config/abort")"
	same 444 "$(stat -c %a "$mnt/status/workers")"
	test -d "$mnt/volume"
	same '' "$(ls -A "$mnt/volume")"
	fails_with 'No such file' cat "$mnt/vdi/nosuch"
	run ! touch "$mnt/vdi/nosuch"
	run ! mkdir "$mnt/nosuch"
	run ! rm -f "$mnt/vdi/mount"
	timeout 5 find "$mnt" -ls
}

@test "read afresh, a control file tells how it is used" {
	local file usage
	for file in mount unmount create snapshot clone; do
		usage=$(timeout 5 cat "$mnt/vdi/$file")
		contains "$usage" NAME
		[ "$(wc -l <<<"$usage")" -lt 12 ]
		# also in small pieces
		same "$usage" "$(timeout 5 dd if="$mnt/vdi/$file" bs=3 status=none)"
	done
	contains "$(cat "$mnt/vdi/create")" SIZE
}

@test "after a write, the same open file tells about that command; another one does not" {
	local usage
	usage=$(cat "$mnt/vdi/create")
	exec 9<>"$mnt/vdi/create"
	echo 'one 16M' >&9
	contains "$(cat <&9)" one
	same "$usage" "$(cat "$mnt/vdi/create")"
	# again, on the same file, for the next command; a failed one too
	run bash -c 'echo "one 16M" >&9'
	# shellcheck disable=SC2154 # set by run
	[ "$status" != 0 ]
	contains "$output" 'File exists'
	contains "$(cat <&9)" exist
	echo 'two 16M' >&9
	contains "$(cat <&9)" two
	exec 9>&-
	order vdi/mount one
	contains "$sentence" one
	same 1 "$(wc -l <<<"$sentence")"
}

@test "a plain echo > is enough, also with a truncating or appending open, also without a newline" {
	echo 'one 16M' >"$mnt/vdi/create"
	printf 'two 16M' >"$mnt/vdi/create"
	echo one >"$mnt/vdi/mount"
	echo two >>"$mnt/vdi/mount"
	same 'one two' "$(shown "$mnt/volume")"
	printf two >"$mnt/vdi/unmount"
	echo one | dd of="$mnt/vdi/unmount" status=none
	same '' "$(ls "$mnt/volume")"
	printf one | timeout 5 tee "$mnt/vdi/mount" >/dev/null
	same one "$(ls "$mnt/volume")"
	run bash -c "echo nosuch >'$mnt/vdi/mount'"
	contains "$output" 'No such file or directory'
	truncate -s 0 "$mnt/vdi/mount"
}

@test "one command a write" {
	printf 'one 16M\ntwo 16M\n' >"$T/two"
	fails_with 'Invalid argument' dd if="$T/two" of="$mnt/vdi/create" bs=4096
	run ! grep -E ' (one|two) ' "$mnt/vdi/list"
	refused vdi/mount 'one two' 'Invalid argument'
	# two writes, two commands
	bash -c 'echo "one 16M"; echo "two 16M"' >"$mnt/vdi/create"
	same 2 "$(grep -c -E '^. (one|two) ' "$mnt/vdi/list")"
}

@test "sizes as people write them" {
	create bytes 1048576
	create kilo 2048K
	create mega 3M
	create giga 1G
	create tera 1T object_size=8M
	local pair
	for pair in bytes:1048576 kilo:2097152 mega:3145728 giga:1073741824 tera:1099511627776; do
		attach "${pair%:*}"
		same "${pair#*:}" "$(stat -c %s "$(volume "${pair%:*}")")"
	done
}

@test "vdi/list shows every volume with its size, id and tag" {
	local list
	create one 16M
	create two 2G
	"$rawsheep" "$address" snapshot one golden
	list=$(cat "$mnt/vdi/list")
	contains "$(head -n 1 <<<"$list")" Name
	same 4 "$(wc -l <<<"$list")"
	grep -E '^  two +0 +2\.0 GB +0\.0 MB +0\.0 MB ' <<<"$list"
	grep -E '^s one +1 +16 MB .* golden +22$' <<<"$list"
	grep -E '^  one +0 +16 MB ' <<<"$list"
}

@test "vdi/list is one snapshot for one open" {
	local before
	create one 16M
	before=$(cat "$mnt/vdi/list")
	exec 9<"$mnt/vdi/list"
	head -c 20 <&9 >"$T/part"
	create two 16M
	cat <&9 >>"$T/part"
	exec 9<&-
	same "$before" "$(cat "$T/part")"
	contains "$(cat "$mnt/vdi/list")" two
	run ! bash -c "echo x >'$mnt/vdi/list'"
}

@test "many readers and writers of control files at once" {
	local n pids=()
	for n in {1..12}; do
		bash -c "echo 'vol$n 16M' >'$mnt/vdi/create' && echo vol$n >'$mnt/vdi/mount' && cat '$mnt/vdi/list' >/dev/null" 3>&- &
		pids+=("$!")
	done
	for n in "${pids[@]}"; do
		wait "$n"
	done
	same 12 "$(how_many "$mnt/volume")"
	for n in {1..12}; do
		bash -c "echo vol$n >'$mnt/vdi/unmount'" 3>&- &
		pids[n - 1]=$!
	done
	for n in "${pids[@]}"; do
		wait "$n"
	done
	same '' "$(ls "$mnt/volume")"
}

@test "config/sheep_info names the daemon in use" {
	attached one 16M
	contains "$(cat "$mnt/config/sheep_info")" "$address"
}

@test "names of all kinds are created, listed, attached and read back as they are typed" {
	local name long longest
	long=$(printf 'n%.0s' {1..255})
	longest=$(printf '%%40%.0s' {1..255})
	# shellcheck disable=SC2016 # not to be expanded
	for name in plain a%40b with%20space per%25cent %2Edot s%2Flash ctl%01%7F grün '*?[x]' "quote'\"" '$HOME' -n "$long" "$longest" UPPER; do
		create "$name 16M"
		# there names stand as they are, as in dog's list
		grep -aF -e "  $(printf '%b' "${name//%/\\x}") " "$mnt/vdi/list"
		attach "$name"
		test -f "$mnt/volume/$name"
		printf '%s' "$name" | dd of="$mnt/volume/$name" conv=notrunc status=none
	done
	same 15 "$(how_many "$mnt/volume")"
	# what ls shows can be typed back
	for name in "$mnt/volume"/*; do
		name=${name##*/}
		same "$name" "$(head -c "${#name}" "$mnt/volume/$name")"
		detach "$name"
	done
	same '' "$(ls -A "$mnt/volume")"
}

@test "any %XX may be typed, only the needed ones are shown" {
	create '%70l%61in 16M'
	order vdi/mount plai%6e
	same plain "$(ls "$mnt/volume")"
	refused vdi/mount plain 'File exists'
	detach %70lain
}

@test "a@b as a name is not volume a at tag b" {
	create 'a%40b 16M'
	create 'a 32M'
	"$rawsheep" "$address" snapshot a b
	attach a%40b
	attach a@b
	attach a
	same 16777216 "$(stat -c %s "$mnt/volume/a%40b")"
	same 33554432 "$(stat -c %s "$mnt/volume/a@b")"
	same 3 "$(how_many "$mnt/volume")"
}

@test "only root gives commands" {
	need setpriv
	run ! setpriv --reuid=65533 --regid=65533 --clear-groups bash -c "echo 'one 16M' >'$mnt/vdi/create'"
	same 1 "$(wc -l <"$mnt/vdi/list")"
}
