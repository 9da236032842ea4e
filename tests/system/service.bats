#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2154 # variables of lib.bash
#
# The service: what make install puts down for systemd is understood by it, as closed as it can be, and enough to live on.

load lib

packaging=$BATS_TEST_DIRNAME/../../packaging
processes=$BATS_TEST_DIRNAME/../../PROCESSES.md

setup() {
	begin_test 120
	unit=$build/sheepfs@.service
}

teardown() {
	end_test
}

# of KEY: its values in the unit, one a line
of() {
	sed -n "s/^$1=//p" "$unit"
}

# defined FILE NAME: the number that #define gives it
defined() {
	sed -n "s/^#define $2 \([0-9]*\).*/\1/p" "$BATS_TEST_DIRNAME/../../$1"
}

@test "systemd has nothing to say about the unit as it is installed" {
	local installed
	need systemd-analyze make
	make -C "$build" install DESTDIR="$T/root" >"$T/install.log" 2>&1
	installed=$(find "$T/root" -name 'sheepfs@.service')
	same "$(of ExecStart | cut -d' ' -f1)" "$(cd "$T/root" && find . -path '*/sbin/sheepfs' | sed 's/^.//')"
	mkdir "$T/units"
	sed "s,^ExecStart=,&$T/root," "$installed" >"$T/units/sheepfs@.service"
	run -0 systemd-analyze verify --man=no "$T/units/sheepfs@.service"
	same '' "$output"
}

@test "its exposure is 4.5 at most, and for each point that remains PROCESSES.md says why" {
	local name count=0
	need systemd-analyze
	systemd-analyze security --offline=true --threshold=45 "$unit" >"$T/security.out" 2>&1
	systemd-analyze security --offline=true --json=short "$unit" 2>"$T/json.err" | sed 's/},{/}\n{/g' >"$T/json"
	grep -v '"exposure":null' "$T/json" | sed -n 's/.*"name":"\([^"]*\)".*/\1/p' >"$T/names"
	while read -r name; do
		count=$((count + 1))
		grep -qF "\`$name\`" "$processes" || fail "PROCESSES.md does not say why $name"
	done <"$T/names"
	[ "$count" -gt 10 ]
}

@test "nothing in it gives it a mount namespace of its own, which would hide the volumes" {
	same '' "$(grep -E '^(Private(Mounts|Tmp|Devices|IPC|Users)|Protect(System|Home|Kernel[A-Za-z]*|ControlGroups|Proc)|ProcSubset|(ReadOnly|ReadWrite|Inaccessible|Exec|NoExec|Bind|BindReadOnly)Paths|TemporaryFileSystem|Root(Directory|Image)|DynamicUser|MountFlags|MountImages|LogNamespace)=' "$unit")"
}

@test "it is given the time and the room that sheepfs takes" {
	[ "$(of TimeoutStopSec)" -gt $(($(defined master/conf.c DEFAULT_TIMEOUT) +
		($(defined master/stop.c EXTRA) + $(defined master/stop.c HURRY) + $(defined master/stop.c LAST_LIMIT)) / 1000)) ]
	[ "$(of TimeoutStartSec)" -gt $(($(defined master/conf.c DEFAULT_TIMEOUT) + $(defined master/lamb.c START_LIMIT) / 1000)) ]
	# 200 volumes, each with its FUSE device, a witness, one connection for names, and those for data
	[ "$(of FileDescriptorStoreMax)" -ge $((2 * 200 * (3 + $(defined worker/main.c DATA_CONNECTIONS) +
		$(defined worker/main.c DATA_CONNECTIONS_MORE)) + 2)) ]
	[ "$(of LimitNOFILE)" -gt "$(of FileDescriptorStoreMax)" ]
}

# bounded CAPABILITY...: sheepfs on a store of lamb's user, with these and no others; a volume goes up, is written and goes down
bounded() {
	local capability set=-all
	for capability in "$@"; do
		set+=,+${capability,,}
	done
	mkdir -p "$T/mnt"
	: >"$T/mnt.log"
	setpriv --bounding-set "$set" "$sheepfs_program" -f -s "lamb:$T/store" --log "$T/mnt.log" --uids "$(uid_range)" "$T/mnt" \
		>"$T/mnt.out" 2>&1 3>&- </dev/null &
	sheepfs_pids[mnt]=$!
	remember "$!"
	use_sheepfs mnt
	wait_until 10 serving_or_gone
	serving mnt || return 1
	if [ ! -e "$T/made" ]; then
		create one 16M || return 1
		: >"$T/made"
	fi
	attach one || return 1
	dd if=/dev/urandom of="$(volume one)" bs=1M count=2 conv=notrunc status=none || return 1
	# one that is stopped must be killed
	kill -STOP "$(worker_pid one)"
	dd if="$(volume one)" of=/dev/null bs=1M count=2 status=none || return 1
	went_on one 1 || return 1
	detach one || return 1
	stop_sheepfs
	[ "$exit_status" = 0 ]
}

serving_or_gone() {
	gone "$sheepfs_pid" || serving mnt
}

@test "the capabilities that it is given are enough, and without any one of them it does not work" {
	local all=() one others status
	need setpriv
	all=($(of CapabilityBoundingSet | sed 's/CAP_//g'))
	[ ${#all[@]} -ge 4 ]
	install -d -m 0700 -o $((uid_next + 2)) -g $((uid_next + 2)) "$T/store"
	bounded "${all[@]}" || fail 'it does not work with all of them'
	if setpriv -d | grep -q '^Capability bounding set:.*sys_resource'; then
		run ! grep 'CAP_SYS_RESOURCE is needed' "$sheepfs_log"
	fi
	for one in "${all[@]}"; do
		others=()
		for other in "${all[@]}"; do
			[ "$other" = "$one" ] || others+=("$other")
		done
		status=0
		bounded "${others[@]}" >"$T/bounded.out" 2>&1 || status=$?
		if [ "$one" = SYS_RESOURCE ]; then
			same 0 "$status"
			grep -q 'CAP_SYS_RESOURCE is needed' "$sheepfs_log"
		elif [ "$status" = 0 ]; then
			fail "it works without CAP_$one"
		fi
		end_process "$sheepfs_pid" 15
		umount -l "$mnt" 2>/dev/null || :
	done
}

@test "a store that is another's is not taken without the right to, and the remedy is told" {
	local uid=$((uid_next + 2))
	need setpriv
	install -d -m 0700 -o 65533 "$T/store"
	run ! bounded SYS_ADMIN SETUID SETGID SETPCAP
	contains "$(<"$T/mnt.out")" "chown -R $uid:$uid $T/store does it"
	same 65533 "$(stat -c %u "$T/store")"
	# one that is open to root, but what is in it is not
	rmdir "$T/store"
	start_lamb store
	stop_lamb=${lamb_pids[store]}
	kill "$stop_lamb"
	wait_until 5 gone "$stop_lamb"
	mv "$T/store.store" "$T/store"
	chown -R "$uid:$uid" "$T/store"
	chmod 755 "$T/store"
	chmod 600 "$T/store/config"
	bounded SYS_ADMIN SETUID SETGID SETPCAP
}

# setting_of LINE: a config file with this line of the example, a log that is ours, and a mount point that is nowhere
setting_of() {
	local log=$1
	log=${log/#log = */log = $T/example.log}
	printf '%s\n' "$log" >"$C/test.conf"
	[[ $log == mountpoint* ]] || echo "mountpoint = $T/nowhere" >>"$C/test.conf"
}

@test "every line of the example is understood, and every setting has one" {
	local line name
	C=$(mktemp -d /run/sheepfs-test.XXXXXX)
	grep -E '^#?[a-z-]+ = ' "$packaging/sheepfs.conf.example" | sed "s/^#//; s,= /mnt/.*,= $T/nowhere," >"$T/lines"
	while read -r line; do
		setting_of "$line"
		run -2 timeout 5 "$sheepfs_program" -f -c "$C/test.conf"
		grep -q "mount point $T/nowhere does not exist" "$T/example.log" <(echo "$output") || fail "$line: $output"
	done <"$T/lines"
	rm -r "$C"
	for name in $("$sheepfs_program" --help | sed -n 's/^  ...\? *--\([a-z-]*\).*/\1/p'); do
		case $name in
		# these are for the command line, and there is a better way to say the others
		config | help | version | replace | foreground | debug | address | port | objectcache) ;;
		*) grep -q "^$name = " "$T/lines" || fail "the example has no $name" ;;
		esac
	done
}

@test "its users and directories are made" {
	need systemd-sysusers systemd-tmpfiles
	local user
	mkdir -p "$T/root/etc"
	systemd-sysusers --root="$T/root" "$packaging/sysusers.d/sheepfs.conf" >"$T/sysusers.out" 2>&1
	user=$("$sheepfs_program" --help | sed -n 's/.*(\([0-9]*\)-[0-9]*); nobody else.*/\1/p')
	same "sheepfs-front:$user sheepfs-cluster:$((user + 1)) sheepfs-lamb:$((user + 2))" \
		"$(awk -F: '{ print $1 ":" $3 }' "$T/root/etc/passwd" | paste -sd' ')"
	systemd-tmpfiles --root="$T/root" --create "$packaging/tmpfiles.d/sheepfs.conf"
	same '700 0 0' "$(stat -c '%a %u %g' "$T/root/run/sheepfs")"
	same '755 0 0' "$(stat -c '%a %u %g' "$T/root/etc/sheepfs")"
}
