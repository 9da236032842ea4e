/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loads: random writes with a journal of what was acknowledged, and the check of it afterwards.
 *
 * Every block says which object, which block and which write it is, so that a block found later is
 * known to be whole, in its place, and not older than the journal.
 */
#include "tests/lib/rawclient.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096U
#define LANES 8U
#define MAGIC UINT64_C(0x73656c6664657363)

/* A block says what it is: object, block, number of the write; the rest follows from these. */
static void fill_block(uint8_t *block, uint64_t object, uint64_t nr, uint64_t sequence)
{
	uint64_t words[BLOCK / 8] = {MAGIC, object, nr, sequence};

	for (unsigned i = 4; i < BLOCK / 8; i++)
		words[i] = (words[i - 1] ^ sequence) * UINT64_C(0x9e3779b97f4a7c15) + i;
	memcpy(block, words, BLOCK);
}

/* The number of the write that the block holds, 0 for zeros; dies when it is anything else. */
static uint64_t check_block(const uint8_t *block, uint64_t object, uint64_t nr)
{
	uint8_t expected[BLOCK];
	uint64_t words[4];

	memcpy(words, block, sizeof words);
	if (words[0] == MAGIC) {
		fill_block(expected, object, nr, words[3]);
		if (!memcmp(block, expected, BLOCK))
			return words[3];
	} else if (!block[0] && !memcmp(block, block + 1, BLOCK - 1)) {
		return 0;
	}
	raw_die("object %llu block %llu is torn or foreign", (unsigned long long)object,
	    (unsigned long long)nr);
}

struct lane {
	uint8_t *buffer;
	uint32_t object, first, blocks;
	uint64_t sequence;
	bool index; /* the object is there, its index write under way */
};

struct load {
	int fd;
	int journal;
	struct volume volume;
	uint64_t sequence;
	uint32_t part, parts; /* of the objects */
	struct lane lanes[LANES];
};

/* The last write the journal knows, so that numbers go on rising from load to load. */
static uint64_t last_sequence(const char *path)
{
	FILE *file = fopen(path, "re");
	unsigned long long sequence, last = 0;
	unsigned object, first, blocks;

	while (file && fscanf(file, "%u %u %u %llu", &object, &first, &blocks, &sequence) == 4)
		if (sequence > last)
			last = sequence;
	if (file)
		fclose(file);
	return last;
}

/* Sends a random write of the lane's objects. */
static bool begin_write(struct load *load, uint32_t id)
{
	uint32_t per_object = 1U << (load->volume.header.block_size_shift - 12);
	struct lane *lane = &load->lanes[id];
	struct sd_req req;

	lane->object = (uint32_t)random() % (load->volume.nr / LANES / load->parts);
	lane->object = (lane->object * load->parts + load->part) * LANES + id;
	lane->blocks = 1 + (uint32_t)random() % 16;
	lane->first = (uint32_t)random() % (per_object - lane->blocks);
	lane->sequence = ++load->sequence;
	for (uint32_t i = 0; i < lane->blocks; i++)
		fill_block(lane->buffer + i * BLOCK, lane->object, lane->first + i, lane->sequence);
	lane->index = false;
	req = raw_write_request(
	    &load->volume, lane->object, lane->blocks * BLOCK, lane->first * BLOCK);
	req.id = id;
	return raw_put(load->fd, &req, sizeof req) &&
	       raw_put(load->fd, lane->buffer, lane->blocks * BLOCK);
}

static bool begin_index_write(struct load *load, uint32_t id)
{
	struct lane *lane = &load->lanes[id];
	struct sd_req req = raw_object_request(SD_OP_WRITE_OBJ, SD_FLAG_WRITE,
	    sd_inode_oid(load->volume.vid), 4, SD_INODE_INDEX_OFFSET + 4 * (uint64_t)lane->object);

	req.id = id;
	lane->index = true;
	return raw_put(load->fd, &req, sizeof req) && raw_put(load->fd, &load->volume.vid, 4);
}

/* The lane's write is acknowledged, with its index entry: it must never be lost. */
static void write_journal(struct load *load, const struct lane *lane)
{
	char line[100];
	int size = snprintf(line, sizeof line, "%u %u %u %llu\n", lane->object, lane->first,
	    lane->blocks, (unsigned long long)lane->sequence);

	if (write(load->journal, line, (size_t)size) != size)
		raw_die("writing the journal: %s", strerror(errno));
}

void raw_load(
    int fd, const char *name, uint64_t seconds, const char *path, uint32_t part, uint32_t parts)
{
	struct load load = {
	    .fd = fd, .sequence = last_sequence(path) + 1000, .part = part, .parts = parts};
	time_t end = time(NULL) + (time_t)seconds;
	unsigned long acknowledged = 0, pending = LANES;
	bool alive = true;
	struct sd_rsp rsp;

	srandom((unsigned)(time(NULL) ^ getpid()));
	load.journal = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (load.journal < 0)
		raw_die("%s: %s", path, strerror(errno));
	raw_open(fd, name, &load.volume);
	if (load.volume.nr < LANES * parts || load.volume.header.block_size_shift < 17)
		raw_die("the load needs a volume of at least %u objects of 128 KiB", LANES * parts);
	for (uint32_t i = 0; i < LANES && alive; i++) {
		load.lanes[i].buffer = raw_allocate(16 * BLOCK);
		alive = begin_write(&load, i);
	}
	while (alive && pending && raw_get(fd, &rsp, sizeof rsp)) {
		struct lane *lane = &load.lanes[rsp.id % LANES];

		raw_must(rsp.result, "writing");
		if (!lane->index && load.volume.index[lane->object] != load.volume.vid) {
			alive = begin_index_write(&load, rsp.id);
			continue;
		}
		load.volume.index[lane->object] = load.volume.vid;
		write_journal(&load, lane);
		acknowledged++;
		if (time(NULL) < end)
			alive = begin_write(&load, rsp.id);
		else
			pending--;
	}
	printf("%lu writes acknowledged%s\n", acknowledged,
	    pending ? ", then the connection ended" : "");
	for (uint32_t i = 0; i < LANES; i++)
		free(load.lanes[i].buffer);
	free(load.volume.index);
	close(load.journal);
}

void raw_verify(int fd, const char *name, const char *path)
{
	FILE *file = fopen(path, "re");
	unsigned long long sequence, checked = 0;
	unsigned object, first, blocks;
	struct volume volume;
	uint32_t per_object;
	uint64_t *wanted;
	uint8_t *buffer;

	if (!file)
		raw_die("%s: %s", path, strerror(errno));
	raw_open(fd, name, &volume);
	per_object = 1U << (volume.header.block_size_shift - 12);
	wanted = raw_allocate(8 * (size_t)per_object * volume.nr);
	buffer = raw_allocate((size_t)per_object * BLOCK);
	while (fscanf(file, "%u %u %u %llu", &object, &first, &blocks, &sequence) == 4)
		for (uint64_t i = first; i < first + blocks; i++)
			wanted[(uint64_t)object * per_object + i] = sequence;
	for (uint32_t o = 0; o < volume.nr; o++) {
		memset(buffer, 0, (size_t)per_object * BLOCK);
		if (volume.index[o])
			raw_read(
			    fd, sd_data_oid(volume.index[o], o), buffer, per_object * BLOCK, 0);
		for (uint32_t i = 0; i < per_object; i++) {
			uint64_t want = wanted[(uint64_t)o * per_object + i];

			if (check_block(buffer + (size_t)i * BLOCK, o, i) < want)
				raw_die(
				    "object %u block %u: write %llu was acknowledged and is lost",
				    o, i, (unsigned long long)want);
			checked += want != 0;
		}
	}
	printf("%llu acknowledged blocks verified\n", checked);
	fclose(file);
	free(wanted);
	free(buffer);
	free(volume.index);
}

/* Snapshots until the connection ends: for killing the daemon in the middle of one. */
void raw_snapshots(int fd, const char *name)
{
	char tag[32];

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (unsigned i = 0;; i++) {
		snprintf(tag, sizeof tag, "t%u", i);
		raw_snapshot(fd, name, tag);
	}
}

/* Sends `count` creates at once, half-closes, and waits for the end (P 6.7). */
void raw_settle(int fd, const char *name, uint32_t count)
{
	struct volume volume;
	uint8_t block[BLOCK];
	unsigned answers = 0;
	struct sd_rsp rsp;

	raw_open(fd, name, &volume);
	for (uint32_t i = 0; i < count; i++) {
		struct sd_req req = raw_object_request(SD_OP_CREATE_AND_WRITE_OBJ, SD_FLAG_WRITE,
		    sd_data_oid(volume.vid, i), BLOCK, 0);

		fill_block(block, i, 0, 1);
		if (!raw_put(fd, &req, sizeof req) || !raw_put(fd, block, BLOCK))
			raw_die("the daemon closed the connection");
	}
	shutdown(fd, SHUT_WR);
	while (raw_get(fd, &rsp, sizeof rsp))
		answers++;
	printf("answers %u\n", answers);
	free(volume.index);
}
