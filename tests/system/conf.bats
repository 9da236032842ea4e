#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells; variables of lib.bash
#
# The config file, who may have written it, and the volumes that are attached at the start.

load lib

setup() {
	begin_test 60
	start_lamb lamb
	# a config file's place is root's alone, which /tmp is not
	C=$(mktemp -d /run/sheepfs-test.XXXXXX)
	conf=$C/test.conf
}

teardown() {
	rm -rf "$C"
	end_test
}

# settings LINE...: $conf, with the daemon, the mount point, the users and the log of this test
settings() {
	mkdir -p "$T/mnt"
	cat >"$conf" <<-EOT
		# of a test
		sheep = $address
		mountpoint = $T/mnt
		uids = $(uid_range)
		log = $T/mnt.log
	EOT
	printf '%s\n' "$@" >>"$conf"
}

# by_config [OPTION...]: starts it with $conf, in the background, and returns when it has said that it serves
by_config() {
	local status=0
	timeout 30 "$sheepfs_program" --config "$conf" "$@" >"$T/start.out" 2>"$T/start.err" 3>&- </dev/null || status=$?
	use_sheepfs mnt
	sheepfs_pid=$(sed -n 's/.* is served by process \([0-9]*\)$/\1/p' "$sheepfs_log" 2>/dev/null | tail -n 1)
	if [ -n "$sheepfs_pid" ]; then
		sheepfs_pids[mnt]=$sheepfs_pid
		remember "$sheepfs_pid"
	fi
	return "$status"
}

# made NAME...: volumes of 16M
made() {
	local name
	start_sheepfs -n maker "$address"
	for name in "$@"; do
		create "$name" 16M
	done
	stop_sheepfs maker
}

@test "a config file says all there is to say, and the command line more" {
	made one
	settings 'timeout = 3' 'pagecache = yes' 'volume = one'
	by_config --io-timeout 7
	same 1 "$(<"$mnt/config/page_cache")"
	same 7 "$(<"$mnt/config/io_timeout")"
	same "$address" "$(<"$mnt/config/sheep_info")"
	mounted "$mnt/volume/one"
}

@test "what is wrong in it is named with its line, and nothing is started" {
	settings 'timeout = soon'
	run ! by_config
	same 1 "$(wc -l <"$T/start.err")"
	contains "$(<"$T/start.err")" "$conf:6: timeout: \"soon\""
	not_mounted "$mnt"
	run -2 "$sheepfs_program" -c "$C/nosuch" "$T/mnt"
	contains "$output" "$C/nosuch"
	run -2 "$sheepfs_program" -c "$C" "$T/mnt"
	contains "$output" 'Is a directory'
	printf 'timeout = 3\n\0' >"$conf"
	run -2 "$sheepfs_program" -c "$conf" "$T/mnt"
	contains "$output" 'NUL'
	head -c 1048577 /dev/zero | tr '\0' '\n' >"$conf"
	run -2 "$sheepfs_program" -c "$conf" "$T/mnt"
	contains "$output" 'too large'
	# nor is this better the next time: systemd is not to start it again
	settings
	run -2 timeout 5 "$sheepfs_program" -f -c "$conf" "$T/nowhere"
	contains "$output" "$T/nowhere does not exist"
	run -2 timeout 5 "$sheepfs_program" -f -c "$conf" --log "$T/nowhere/log"
	contains "$output" "$T/nowhere/log"
}

# refused_as WORD...: $conf is, and these are in the sentence
refused_as() {
	local word
	run -2 timeout 5 "$sheepfs_program" -c "$conf"
	for word in "$@"; do
		contains "$output" "$word"
	done
}

# taken: it is read, and what is in it is judged
taken() {
	run -2 timeout 5 "$sheepfs_program" -c "$conf"
	contains "$output" "$conf:1: there is no setting \"nosuch\""
}

@test "a config file that others than root can change is refused, and so is one in such a directory" {
	echo 'nosuch = 1' >"$conf"
	taken
	chmod 664 "$conf"
	refused_as "$conf" 'mode 0664' chmod
	chmod 646 "$conf"
	refused_as "$conf" 'mode 0646'
	chmod 600 "$conf"
	chown 65533 "$conf"
	refused_as "$conf" "user 65533's" chown
	chown 0 "$conf"
	chmod 770 "$C"
	refused_as "$C" 'mode 0770'
	chmod 755 "$C"
	chown 65533 "$C"
	refused_as "$C" "user 65533's"
	chown 0 "$C"
	taken
	cp "$conf" "$T/test.conf"
	conf=$T/test.conf
	refused_as /tmp 'mode 1777'
}

@test "the way to the config file may lead through symbolic links, none of which others can change" {
	local real=$conf
	echo 'nosuch = 1' >"$conf"
	mkdir "$C/a" "$C/b"
	ln -s ../a/file "$C/b/link"
	ln -s "$conf" "$C/a/file"
	conf=$C/b/link
	taken
	# relative to where we are
	(cd "$C/b" && conf=link taken)
	# a link's directory, another link's, and what the last leads to
	chmod 777 "$C/b"
	refused_as "$C/b" 'mode 0777'
	chmod 755 "$C/b"
	chmod 777 "$C/a"
	refused_as "$C/a" 'mode 0777'
	(cd "$C/a" && conf=file refused_as "$C/a" 'mode 0777')
	chmod 755 "$C/a"
	chmod 666 "$real"
	refused_as "$real" 'mode 0666'
	chmod 600 "$real"
	taken
	chown -h 65533 "$C/a/file"
	refused_as "$C/a/file" "user 65533's"
	ln -sf file "$C/a/file"
	refused_as 'Too many levels of symbolic links'
}

@test "volumes of the start are attached when it says that it serves" {
	made one two
	settings 'volume = one'
	by_config --volume two
	mounted "$mnt/volume/one"
	mounted "$mnt/volume/two"
	grep -q 'mount one at the start: ' "$sheepfs_log"
	grep -q 'mount two at the start: ' "$sheepfs_log"
	dd if=/dev/urandom of="$(volume two)" bs=1M count=2 conv=notrunc status=none
	# they are volumes like others
	detach one
	attach one
}

@test "one that cannot be attached at the start is a line in the log, and the others are there" {
	made one
	settings 'volume = nosuch' 'volume = one' 'volume = one@evening'
	by_config
	mounted "$mnt/volume/one"
	same one "$(ls "$mnt/volume")"
	same 1 "$(grep -c 'mount nosuch at the start: there is no volume nosuch' "$sheepfs_log")"
	same 1 "$(grep -c 'mount one@evening at the start: ' "$sheepfs_log")"
}

@test "a start waits for its volumes no longer than --timeout, for all of them together" {
	local n lines=() before
	kill_lamb lamb
	for n in {1..40}; do
		lines+=("volume = v$n")
	done
	settings 'timeout = 2' "${lines[@]}"
	before=$(now_ms)
	by_config
	[ $(($(now_ms) - before)) -ge 2000 ]
	[ $(($(now_ms) - before)) -lt 8000 ]
	same 40 "$(grep -c 'mount v[0-9]* at the start: .*not attached within 2 s' "$sheepfs_log")"
	tree_serves
	start_lamb lamb
	attached one 16M
}

@test "volumes of the start on a store of our own" {
	made one
	kill_lamb lamb
	settings 'volume = one'
	sed -i "s,^sheep = .*,sheep = lamb:$T/lamb.store," "$conf"
	by_config
	mounted "$mnt/volume/one"
}

@test "more volumes at the start than commands may be pending" {
	local n
	settings
	for ((n = 0; n < 600; n++)); do
		echo "volume = v$n"
	done >>"$conf"
	by_config
	# there are not that many users, either
	same 600 "$(grep -c 'mount v[0-9]* at the start: ' "$sheepfs_log")"
	attached one 16M
}

@test "SIGTERM while the volumes of the start are being attached" {
	made one
	settings 'volume = one' 'volume = two'
	fault lamb mute
	use_sheepfs mnt
	client "$sheepfs_program" -c "$conf"
	wait_until 10 grep -q 'is served by process' "$sheepfs_log"
	sheepfs_pid=$(sed -n 's/.* is served by process \([0-9]*\)$/\1/p' "$sheepfs_log")
	remember "$sheepfs_pid"
	sleep 0.5
	still_there "$client"
	kill -TERM "$sheepfs_pid"
	wait_until 15 gone "$sheepfs_pid"
	wait_until 5 gone "$client"
	# it never served
	! wait "$client" || fail "it says that it served"
	not_mounted "$mnt"
	wait_until 3 no_confined
	same 2 "$(grep -c 'at the start: .*' "$sheepfs_log")"
	fault lamb
}

@test "a front that dies while the volumes of the start are being attached is made good" {
	made one
	settings 'volume = one'
	fault lamb mute
	use_sheepfs mnt
	client "$sheepfs_program" -c "$conf" --timeout 20
	wait_until 10 grep -q 'is served by process' "$sheepfs_log"
	sheepfs_pid=$(sed -n 's/.* is served by process \([0-9]*\)$/\1/p' "$sheepfs_log")
	sheepfs_pids[mnt]=$sheepfs_pid
	remember "$sheepfs_pid"
	sleep 0.3
	kill -KILL "$(front_pid)"
	wait_until 5 grep -q 'callers wait for the next one' "$sheepfs_log" || skip "this kernel cannot ask another front"
	still_there "$client"
	fault lamb
	wait_until 25 gone "$client"
	wait "$client"
	mounted "$mnt/volume/one"
	dd if=/dev/urandom of="$(volume one)" bs=1M count=2 conv=notrunc status=none
}

# kept_again N: the keeper's sheepfs has served N times
kept_again() {
	[ "$(grep -c '^ready' "$client_out")" = "$1" ]
}

@test "who goes on after another's death attaches what is new in the configuration, and nothing that was detached since" {
	made one two three
	settings 'volume = one' 'volume = two' 'volume = four'
	mkdir "$T/kept"
	use_sheepfs mnt
	client "$build/tests/lib/keeper" "$T/kept" "$sheepfs_program" -f -c "$conf"
	wait_until 10 kept_again 1
	sheepfs_pids[mnt]=$(<"$T/kept/pid")
	mounted "$mnt/volume/one"
	detach two
	echo 'volume = three' >>"$conf"
	kill -KILL "${sheepfs_pids[mnt]}"
	wait_until 5 gone "${sheepfs_pids[mnt]}"
	if ! wait_until 15 grep -q ' goes on with process' "$sheepfs_log"; then
		sheepfs_pids[mnt]=$(<"$T/kept/pid")
		skip "this kernel cannot ask another front"
	fi
	wait_until 10 kept_again 2
	sheepfs_pids[mnt]=$(<"$T/kept/pid")
	same "$(printf '%s\n' one three)" "$(ls "$mnt/volume")"
	mounted "$mnt/volume/one"
	mounted "$mnt/volume/three"
	same 1 "$(grep -c 'mount two at the start' "$sheepfs_log")"
	same 1 "$(grep -c 'mount four at the start' "$sheepfs_log")"
	dd if=/dev/urandom of="$(volume one)" bs=1M count=2 conv=notrunc status=none
}
