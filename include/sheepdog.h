/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Sheepdog wire and on-disk layout, as the worker and lamb see it.
 *
 * Owns: opcodes, flags, result codes, object ids and every structure that
 * crosses a daemon connection, with size and offset assertions.  Facts are
 * those of the protocol reference; "P n" names its section.  Everything is
 * little-endian in natural x86-64 alignment and nothing is packed (P 1).
 *
 * Never: behaviour.  Only worker/ and lamb/ may include this file.
 */
#ifndef SHEEPFS_SHEEPDOG_H
#define SHEEPFS_SHEEPDOG_H

#include <stddef.h>
#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the Sheepdog wire is little-endian; this host is not supported"
#endif

/* proto_ver (P 1.4): public opcodes take 1, the internal ones exactly 0x0a. */
#define SD_PROTO_PUBLIC 0x01
#define SD_PROTO_INTERNAL 0x0a
#define SD_PROTO_PUBLIC_MAX 0x02
#define SD_OP_INTERNAL_FIRST 0x80

#define SD_DEFAULT_PORT 7000

enum sd_op { /* P 2.2 */
	SD_OP_CREATE_AND_WRITE_OBJ = 0x01,
	SD_OP_READ_OBJ = 0x02,
	SD_OP_WRITE_OBJ = 0x03,
	SD_OP_REMOVE_OBJ = 0x04,
	SD_OP_DISCARD_OBJ = 0x05,
	SD_OP_NEW_VDI = 0x11,
	SD_OP_LOCK_VDI = 0x12,
	SD_OP_RELEASE_VDI = 0x13,
	SD_OP_GET_VDI_INFO = 0x14,
	SD_OP_READ_VDIS = 0x15,
	SD_OP_FLUSH_VDI = 0x16,
	SD_OP_DEL_VDI = 0x17,
	SD_OP_GET_CLUSTER_DEFAULT = 0x18,
	SD_OP_GET_NODE_LIST = 0x82,
	SD_OP_MAKE_FS = 0x84,
	SD_OP_SHUTDOWN = 0x85,
	SD_OP_STAT_SHEEP = 0x86,
	SD_OP_STAT_CLUSTER = 0x87,
	SD_OP_GET_VDI_ATTR = 0x89,
	SD_OP_GET_STORE_LIST = 0x90,
	SD_OP_STAT_RECOVERY = 0x97,
	SD_OP_FLUSH_DEL_CACHE = 0x98,
	SD_OP_GET_OBJ_LIST = 0xa1,
	SD_OP_GET_VDI_COPIES = 0xab,
	SD_OP_MD_INFO = 0xb1,
	SD_OP_GET_HASH = 0xb4,
	SD_OP_STAT = 0xb8,
	SD_OP_GET_LOGLEVEL = 0xb9,
	SD_OP_SET_LOGLEVEL = 0xba,
	SD_OP_EXIST = 0xbd,
	SD_OP_CLUSTER_INFO = 0xbe,
	SD_OP_OIDS_EXIST = 0xc6,
	SD_OP_READ_DEL_VDIS = 0xc9,
};

enum sd_flag { /* P 1.5 */
	SD_FLAG_WRITE = 0x0001,
	SD_FLAG_COW = 0x0002,
	SD_FLAG_CACHE = 0x0004,
	SD_FLAG_DIRECT = 0x0008,
	SD_FLAG_PIGGYBACK = 0x0010,
	SD_FLAG_TGT = 0x0020,
	SD_FLAG_ATTR_CREAT = 0x0100,
	SD_FLAG_ATTR_EXCL = 0x0200,
	SD_FLAG_ATTR_DEL = 0x0400,
};

enum sd_result { /* P 7 */
	SD_RES_SUCCESS = 0x00,
	SD_RES_UNKNOWN = 0x01,
	SD_RES_NO_OBJ = 0x02,
	SD_RES_EIO = 0x03,
	SD_RES_VDI_EXIST = 0x04,
	SD_RES_INVALID_PARMS = 0x05,
	SD_RES_SYSTEM_ERROR = 0x06,
	SD_RES_VDI_LOCKED = 0x07,
	SD_RES_NO_VDI = 0x08,
	SD_RES_NO_BASE_VDI = 0x09,
	SD_RES_VDI_READ = 0x0a,
	SD_RES_VDI_WRITE = 0x0b,
	SD_RES_BASE_VDI_READ = 0x0c,
	SD_RES_BASE_VDI_WRITE = 0x0d,
	SD_RES_NO_TAG = 0x0e,
	SD_RES_STARTUP = 0x0f,
	SD_RES_VDI_NOT_LOCKED = 0x10,
	SD_RES_SHUTDOWN = 0x11,
	SD_RES_NO_MEM = 0x12,
	SD_RES_FULL_VDI = 0x13,
	SD_RES_VER_MISMATCH = 0x14,
	SD_RES_NO_SPACE = 0x15,
	SD_RES_WAIT_FOR_FORMAT = 0x16,
	SD_RES_WAIT_FOR_JOIN = 0x17,
	SD_RES_JOIN_FAILED = 0x18,
	SD_RES_HALT = 0x19,
	SD_RES_READONLY = 0x1a,
	SD_RES_INODE_INVALIDATED = 0x1d,
	SD_RES_OLD_NODE_VER = 0x81,
	SD_RES_NEW_NODE_VER = 0x82,
	SD_RES_NETWORK_ERROR = 0x86,
	SD_RES_BUFFER_SMALL = 0x88,
	SD_RES_NO_STORE = 0x8a,
	SD_RES_NO_SUPPORT = 0x8b,
	SD_RES_KILLED = 0x8d,
	SD_RES_AGAIN = 0x8f,
	SD_RES_STALE_OBJ = 0x90,
	SD_RES_CLUSTER_ERROR = 0x91,
	SD_RES_NOT_FOUND = 0x93,
	SD_RES_COLLECTING_CINFO = 0x95,
};

enum sd_lock_type { SD_LOCK_NORMAL = 0, SD_LOCK_SHARED = 1 }; /* P 6.3, 6.4 */
enum sd_lock_state { SD_LOCK_UNLOCKED = 1, SD_LOCK_LOCKED = 2, SD_LOCK_IS_SHARED = 3 };
enum sd_status { SD_STATUS_OK = 1, SD_STATUS_WAIT, SD_STATUS_SHUTDOWN, SD_STATUS_KILLED };
enum sd_cluster_flag { /* P 2.5 */
	SD_CLUSTER_STRICT = 0x01,
	SD_CLUSTER_DISKMODE = 0x02,
	SD_CLUSTER_AUTO_VNODES = 0x04,
	SD_CLUSTER_USE_LOCK = 0x08,
	SD_CLUSTER_RECYCLE_VID = 0x10,
};

/* Request header, 48 bytes (P 1.2). */
struct sd_req {
	uint8_t proto_ver;
	uint8_t opcode;
	uint16_t flags;
	uint32_t epoch; /* a client sends 0 */
	uint32_t id;
	uint32_t data_length; /* bytes that follow with SD_FLAG_WRITE, else room for the reply */
	union {
		struct {
			uint64_t oid;
			uint64_t cow_oid;
			uint8_t copies;
			uint8_t copy_policy;
			uint8_t ec_index;
			uint8_t reserved;
			uint32_t tgt_epoch;
			uint32_t offset;
			uint32_t pad;
		} obj;
		struct {
			uint64_t vdi_size;
			uint32_t base_vdi_id;
			uint8_t copies;
			uint8_t copy_policy;
			uint8_t store_policy;
			uint8_t block_size_shift;
			uint32_t snapid;
			uint32_t type; /* enum sd_lock_type */
			uint64_t pad;
		} vdi;
		struct {
			uint64_t oid;
			uint64_t ctime;
			uint8_t copies;
			uint8_t copy_policy;
			uint16_t flags;
			uint32_t tag;
			uint32_t nodes_nr;
			uint8_t block_size_shift;
			uint8_t pad[3];
		} cluster;
		uint8_t raw[32];
	};
};

/* Response header, 48 bytes (P 1.3). proto_ver is always 0. */
struct sd_rsp {
	uint8_t proto_ver;
	uint8_t opcode;
	uint16_t flags;
	uint32_t epoch;
	uint32_t id;
	uint32_t data_length; /* bytes that follow, whatever the result is */
	uint32_t result;      /* enum sd_result */
	union {
		struct {
			uint8_t copies;
			uint8_t pad[3];
			uint32_t offset[2]; /* u64 at 24 */
		} obj;
		struct {
			uint32_t rsvd;
			uint32_t vdi_id;
			uint32_t attr_id;
			uint8_t copies;
			uint8_t block_size_shift;
		} vdi;
		struct {
			uint32_t nr_nodes;
			uint32_t pad[2];
			uint32_t store_size[2]; /* u64 at 32 */
			uint32_t store_free[2]; /* u64 at 40 */
		} node;
		struct {
			uint32_t pad;
			uint8_t sha1[20];
		} hash;
		struct {
			uint8_t nr_copies;
			uint8_t copy_policy;
			uint8_t block_size_shift;
		} cluster_default;
		uint8_t raw[28];
	};
};

_Static_assert(sizeof(struct sd_req) == 48, "request header");
_Static_assert(sizeof(struct sd_rsp) == 48, "response header");
_Static_assert(offsetof(struct sd_req, obj.offset) == 40, "obj.offset");
_Static_assert(offsetof(struct sd_req, vdi.snapid) == 32, "vdi.snapid");
_Static_assert(offsetof(struct sd_req, cluster.nodes_nr) == 40, "cluster.nodes_nr");
_Static_assert(offsetof(struct sd_rsp, obj.offset) == 24, "rsp obj.offset");
_Static_assert(offsetof(struct sd_rsp, vdi.vdi_id) == 24, "rsp vdi.vdi_id");
_Static_assert(offsetof(struct sd_rsp, vdi.block_size_shift) == 33, "rsp vdi.shift");
_Static_assert(offsetof(struct sd_rsp, node.store_size) == 32, "rsp node.store_size");
_Static_assert(offsetof(struct sd_rsp, hash.sha1) == 24, "rsp hash.sha1");

/* Names (P 4.4). A field is NUL-terminated and NUL-padded. */
#define SD_MAX_NAME 255
#define SD_NAME_SIZE 256
#define SD_TAG_SIZE 256

/* Vids and the two bitmaps (P 2.3). Bit n is byte n/8, bit n%8. */
#define SD_NR_VDIS (1U << 24)
#define SD_VDI_BITMAP_SIZE (SD_NR_VDIS / 8)

/* Object ids (P 3.1). */
#define SD_OID_INODE (UINT64_C(1) << 63)
#define SD_OID_VMSTATE (UINT64_C(1) << 62)
#define SD_OID_ATTR (UINT64_C(1) << 61)
#define SD_OID_BTREE (UINT64_C(1) << 60)
#define SD_OID_LEDGER (UINT64_C(1) << 59)
#define SD_OID_TYPES (UINT64_C(0x1f) << 59)
#define SD_OID_VID_SHIFT 32

static inline uint64_t sd_inode_oid(uint32_t vid)
{
	return SD_OID_INODE | (uint64_t)vid << SD_OID_VID_SHIFT;
}

static inline uint64_t sd_data_oid(uint32_t vid, uint32_t index)
{
	return (uint64_t)vid << SD_OID_VID_SHIFT | index;
}

static inline uint32_t sd_oid_vid(uint64_t oid)
{
	return (oid >> SD_OID_VID_SHIFT) & 0xffffff;
}

/* The inode object (P 3.2). Clients read the header and only the index entries they need. */
#define SD_INODE_SIZE 12587576U
#define SD_INODE_HEADER_SIZE 4664U
#define SD_INODE_NR_INDEX (1U << 20)
#define SD_INODE_INDEX_OFFSET 4664U
#define SD_INODE_GREF_OFFSET 4198968U
#define SD_SHIFT_MIN 12 /* what a client accepts; dog makes 20..31 */
#define SD_SHIFT_MAX 31
#define SD_SHIFT_DEFAULT 22
#define SD_ATTR_SIZE 66320U
#define SD_BTREE_NODE_SIZE 4194304U
#define SD_LEDGER_SIZE 4194304U

struct sd_inode_header {
	char name[SD_NAME_SIZE]; /* name[0] == 0: deleted */
	char tag[SD_TAG_SIZE];
	uint64_t create_time; /* seconds << 32 | nanoseconds */
	uint64_t snap_ctime;  /* 0: writable; else when it became a snapshot */
	uint64_t vm_clock_nsec;
	uint64_t vdi_size; /* bytes */
	uint64_t vm_state_size;
	uint8_t copy_policy;  /* 0 replication, else (data/2) << 4 | parity */
	uint8_t store_policy; /* 0 array index, 1 B-tree ("hyper") */
	uint8_t nr_copies;
	uint8_t block_size_shift;
	uint32_t snap_id;
	uint32_t vdi_id;
	uint32_t parent_vdi_id; /* 0: none */
	uint32_t btree_counter;
	uint8_t unused[4092];
};

_Static_assert(sizeof(struct sd_inode_header) == SD_INODE_HEADER_SIZE, "inode header");
_Static_assert(offsetof(struct sd_inode_header, create_time) == 512, "create_time");
_Static_assert(offsetof(struct sd_inode_header, vdi_size) == 536, "vdi_size");
_Static_assert(offsetof(struct sd_inode_header, snap_id) == 556, "snap_id");
_Static_assert(offsetof(struct sd_inode_header, btree_counter) == 568, "btree_counter");

struct sd_gref { /* one per index entry, at SD_INODE_GREF_OFFSET (P 3.6) */
	int32_t generation;
	int32_t count;
};

/* Cluster and node tables (P 2.5). */
struct sd_node_id {
	uint8_t addr[16]; /* IPv4 in the last four bytes, network order */
	uint16_t port;
	uint8_t io_addr[16];
	uint16_t io_port;
	uint8_t pad[4];
};

struct sd_node {
	uint8_t internal[24];
	struct sd_node_id nid;
	uint16_t nr_vnodes;
	uint8_t pad[2];
	uint32_t zone;
	uint64_t space;
};

struct sd_epoch_log { /* followed by nodes_nr * struct sd_node */
	uint64_t ctime;
	uint64_t time;
	uint32_t epoch;
	uint32_t nr_nodes;
	uint8_t disable_recovery;
	uint8_t nr_copies;
	uint8_t copy_policy;
	uint8_t pad[3];
	uint16_t flags; /* enum sd_cluster_flag */
	char store[16];
};

#define SD_MAX_NODES 6144
#define SD_NODE_LIST_SIZE (SD_MAX_NODES * 80U)

struct sd_cluster_info {
	uint8_t proto_ver;
	uint8_t disable_recovery;
	int16_t nr_nodes;
	uint32_t epoch;
	uint64_t ctime;
	uint16_t flags;
	uint8_t nr_copies;
	uint8_t copy_policy;
	uint8_t status; /* enum sd_status */
	uint8_t block_size_shift;
	uint8_t pad[3];
	char store[16];
	uint8_t pad2[7];
	struct sd_node nodes[SD_MAX_NODES];
};

struct sd_vdi_state {
	uint32_t vid;
	uint8_t nr_copies;
	uint8_t snapshot;
	uint8_t deleted;
	uint8_t copy_policy;
	uint8_t block_size_shift;
	uint8_t pad[3];
	uint32_t parent_vid;
	uint32_t lock_state; /* enum sd_lock_state */
	struct sd_node_id lock_owner;
	uint32_t nr_participants;
	uint32_t participant_state[31];
	struct sd_node_id participants[31];
};

struct sd_recovery_state {
	uint8_t in_recovery;
	uint8_t pad[3];
	uint32_t state;
	uint64_t finished;
	uint64_t total;
};

_Static_assert(sizeof(struct sd_node_id) == 40, "node id");
_Static_assert(sizeof(struct sd_node) == 80, "node");
_Static_assert(offsetof(struct sd_node, space) == 72, "node space");
_Static_assert(sizeof(struct sd_epoch_log) == 48, "epoch log");
_Static_assert(sizeof(struct sd_cluster_info) == 491568, "cluster info");
_Static_assert(offsetof(struct sd_cluster_info, store) == 25, "cluster info store");
_Static_assert(sizeof(struct sd_vdi_state) == 1428, "vdi state");
_Static_assert(offsetof(struct sd_vdi_state, nr_participants) == 60, "participants");
_Static_assert(sizeof(struct sd_recovery_state) == 24, "recovery state");

/* FNV-1a-64, the hash behind vids and attribute ids (P 4.1). */
#define SD_FNV_BASIS UINT64_C(0xcbf29ce484222325)
#define SD_FNV_PRIME UINT64_C(0x100000001b3)

static inline uint64_t sd_fnv(const void *data, size_t size, uint64_t hash)
{
	const uint8_t *p = data;

	while (size--)
		hash = (hash ^ *p++) * SD_FNV_PRIME;
	return hash;
}

#endif
