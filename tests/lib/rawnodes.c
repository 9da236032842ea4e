/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the nodes of a cluster say of themselves, and whether two of them show the same objects.
 */
#include "tests/lib/rawclient.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE 4096U

static void print_id(const struct sd_node_id *id)
{
	char text[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, id->addr + 12, text, sizeof text);
	printf("%s:%u", text, id->port);
}

/* The epoch that the daemon puts into its answers. */
void raw_epoch(int fd)
{
	struct sd_req req = raw_request(SD_OP_GET_CLUSTER_DEFAULT, 0, 0);
	struct sd_rsp rsp;

	raw_must(raw_call(fd, &req, NULL, NULL, &rsp), "GET_CLUSTER_DEFAULT");
	printf("%u\n", rsp.epoch);
}

/* A line a node, and the same count in CLUSTER_INFO. */
void raw_nodes(int fd)
{
	struct sd_req req = raw_request(SD_OP_GET_NODE_LIST, 0, SD_NODE_LIST_SIZE);
	struct sd_cluster_info *info = raw_allocate(sizeof *info);
	struct sd_node *nodes = raw_allocate(SD_NODE_LIST_SIZE);
	struct sd_rsp rsp;
	uint32_t nr;

	raw_must(raw_call(fd, &req, NULL, nodes, &rsp), "GET_NODE_LIST");
	nr = rsp.node.nr_nodes;
	if (rsp.data_length != nr * sizeof *nodes)
		raw_die("%u nodes in %u bytes", nr, rsp.data_length);
	for (uint32_t i = 0; i < nr; i++) {
		print_id(&nodes[i].nid);
		printf(" vnodes %u zone %u\n", nodes[i].nr_vnodes, nodes[i].zone);
	}
	req = raw_request(SD_OP_CLUSTER_INFO, 0, sizeof *info);
	raw_must(raw_call(fd, &req, NULL, info, &rsp), "CLUSTER_INFO");
	if (info->nr_nodes != (int)nr || info->epoch != rsp.epoch ||
	    memcmp(&info->nodes[nr - 1].nid, &nodes[nr - 1].nid, sizeof nodes->nid) != 0)
		raw_die("CLUSTER_INFO says other things: %d nodes, epoch %u", info->nr_nodes,
		    info->epoch);
	free(info);
	free(nodes);
}

/* The history, newest first, with room for so many nodes in each record. */
void raw_epochs(int fd, uint32_t nr_nodes)
{
	size_t size = sizeof(struct sd_epoch_log) + nr_nodes * sizeof(struct sd_node);
	struct sd_req req = raw_request(SD_OP_STAT_CLUSTER, 0, (uint32_t)(size * 100));
	uint8_t *records = raw_allocate(size * 100);
	struct sd_rsp rsp;
	uint32_t result;

	req.cluster.nodes_nr = nr_nodes;
	result = raw_call(fd, &req, NULL, records, &rsp);
	if (result)
		printf("result 0x%02x length %u\n", result, rsp.data_length);
	for (size_t at = 0; at + size <= rsp.data_length; at += size) {
		struct sd_epoch_log log;

		memcpy(&log, records + at, sizeof log);
		printf("%u %llu%s", log.epoch, (unsigned long long)log.time,
		    log.ctime ? " first" : "");
		for (uint32_t i = 0; i < log.nr_nodes; i++) {
			struct sd_node node;

			memcpy(&node, records + at + sizeof log + i * sizeof node, sizeof node);
			printf(" ");
			print_id(&node.nid);
		}
		puts("");
	}
	free(records);
}

/* A line for each VDI that is locked or marked deleted. */
void raw_states(int fd)
{
	const uint32_t room = 512 * sizeof(struct sd_vdi_state);
	struct sd_req req = raw_request(SD_OP_GET_VDI_COPIES, 0, room);
	struct sd_vdi_state *states = raw_allocate(room);
	struct sd_rsp rsp;

	raw_must(raw_call(fd, &req, NULL, states, &rsp), "GET_VDI_COPIES");
	for (uint32_t i = 0; i < rsp.data_length / sizeof *states; i++) {
		if (states[i].lock_state == SD_LOCK_UNLOCKED && !states[i].deleted)
			continue;
		printf("%06x state %u deleted %u ", states[i].vid, states[i].lock_state,
		    states[i].deleted);
		print_id(states[i].lock_state == SD_LOCK_IS_SHARED ? &states[i].participants[0]
								   : &states[i].lock_owner);
		puts("");
	}
	free(states);
}

static void write_piece(int fd, uint8_t opcode, uint64_t oid, uint8_t value)
{
	struct sd_req req = raw_object_request(opcode, SD_FLAG_WRITE, oid, PIECE, 0);
	uint8_t piece[PIECE];
	struct sd_rsp rsp;

	memset(piece, value, sizeof piece);
	raw_must(raw_call(fd, &req, piece, NULL, &rsp), "writing");
}

static void expect_piece(int fd, uint64_t oid, uint8_t value, const char *what)
{
	uint8_t piece[PIECE];

	raw_read(fd, oid, piece, sizeof piece, 0);
	if (piece[0] != value || memcmp(piece, piece + 1, sizeof piece - 1) != 0)
		raw_die("object %016llx: %s through one node is not seen through the other",
		    (unsigned long long)oid, what);
}

/* Each of two nodes replaces, writes and removes objects that the other has just used. */
void raw_coherence(int fd, const char *name, const char *other, uint64_t count)
{
	int fds[2] = {fd, raw_dial(other)};
	struct volume volume;

	raw_open(fd, name, &volume);
	for (uint64_t i = 0; i < count; i++) {
		uint64_t oid = sd_data_oid(volume.vid, (uint32_t)(i % volume.nr));
		int one = fds[i % 2], two = fds[1 - i % 2];
		struct sd_req req = raw_object_request(SD_OP_REMOVE_OBJ, 0, oid, 0, 0);
		uint8_t value = (uint8_t)(i % 80 * 3 + 1);
		struct sd_rsp rsp;

		write_piece(one, SD_OP_CREATE_AND_WRITE_OBJ, oid, value);
		expect_piece(two, oid, value, "a creation");
		write_piece(two, SD_OP_WRITE_OBJ, oid, value + 1);
		expect_piece(one, oid, value + 1, "a write");
		write_piece(two, SD_OP_CREATE_AND_WRITE_OBJ, oid, value + 2);
		expect_piece(one, oid, value + 2, "a replacement");
		if (i % 3)
			continue;
		raw_must(raw_call(one, &req, NULL, NULL, &rsp), "REMOVE_OBJ");
		req = raw_object_request(SD_OP_READ_OBJ, 0, oid, PIECE, 0);
		if (raw_call(two, &req, NULL, NULL, &rsp) != SD_RES_NO_OBJ)
			raw_die("a removal through one node is not seen through the other");
	}
	printf("%llu rounds\n", (unsigned long long)count);
	close(fds[1]);
	free(volume.index);
}
