# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of lib.bash
#
# A shared mapping of a volume with a page cache, which outlives those who serve it (tests/lib/mapper.c holds it).
#
# After `load lib`.

# start_mapper FILE
start_mapper() {
	mkfifo "$T/mapper.orders"
	client mapper "$1"
	mapper_pid=$client mapper_out=$client_out
	wait_until 10 grep -q mapped "$mapper_out"
}

mapper() {
	exec "$build/tests/lib/mapper" "$1" <>"$T/mapper.orders"
}

# mapping WORD...: an order to it; what it says is $mapping_says
mapping() {
	local before
	before=$(wc -l <"$mapper_out")
	echo "$*" >"$T/mapper.orders"
	wait_until 20 mapping_said "$before"
	mapping_says=$(tail -n 1 "$mapper_out")
}

mapping_said() {
	[ "$(wc -l <"$mapper_out")" -gt "$1" ]
}

# mapping_holds OFFSET BYTE
mapping_holds() {
	mapping read "$1"
	same "$2" "$mapping_says"
}

# byte_of FILE OFFSET: as a number
byte_of() {
	od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' '
}

# mapping_before N: a page is written to, and not synced, before death N
mapping_before() {
	mapping write "$((5000000 + $1 * 300000))" "$((100 + $1))"
	same written "$mapping_says"
}

# mapping_after N ADDRESS VOLUME NOISE: after death N it reads pages that nobody has read, which begin with NOISE,
# and those that were read; it writes to others, and after a sync all of it is at the daemon
mapping_after() {
	local page=$((8000000 + $1 * 300000)) offset
	offset=$(($1 * 700000))
	mapping_holds "$offset" "$(byte_of "$4" "$offset")"
	mapping_holds "$((5000000 + $1 * 300000))" "$((100 + $1))"
	mapping write "$page" "$((200 + $1))"
	mapping sync
	same synced "$mapping_says"
	for offset in $((5000000 + $1 * 300000)) "$page"; do
		mapping_holds "$offset" "$(byte_of_direct "$(volume "$3")" "$offset")"
		mapping_holds "$offset" "$("$rawsheep" "$2" read "$3" "$offset" 1 | byte_of - 0)"
	done
}

# byte_of_direct FILE OFFSET: past the page cache
byte_of_direct() {
	dd if="$1" bs=4096 skip=$(($2 / 4096)) count=1 iflag=direct status=none | byte_of - $(($2 % 4096))
}

stop_mapper() {
	still_there "$mapper_pid"
	kill "$mapper_pid"
	wait_until 5 gone "$mapper_pid"
}
