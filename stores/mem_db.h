/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store as a data structure: keys with revisions, a history of changes, leases that run out. What
 * etcd promises of these, without processes, network or clock: every call takes the time and is
 * over when it returns.
 *
 * mem_store gives it an event loop, file_store a directory, the simulator a network that loses
 * things. So the three have one meaning, and it is compared with that of etcd by
 * tests/integration/store_conformance.c.
 *
 * Keys are relative: "config", "subnets/10.5.1.0-24".
 */
#ifndef STORES_MEM_DB_H
#define STORES_MEM_DB_H

#include "subnet/store.h"

#define MEM_DB_CONFIG_KEY     "config"
#define MEM_DB_SUBNETS_PREFIX "subnets/"

/* One value of one key, or its end. Immutable; shared by table, history and copies. */
struct mem_entry {
	unsigned refs;
	char *key;
	char *value; /* NULL if deleted */
	size_t value_size;
	uint64_t create_revision; /* 0 if deleted */
	uint64_t mod_revision;
	int64_t handle;
	struct lease
		*lease; /* what it says, if it is one; for a deleted key only subnet and revision */
	char *junk;     /* why it is no lease, if it is a key among them */
};

struct mem_db;

/* A step that changed something; the same steps in the same order make the same store. */
enum mem_op_type { MEM_PUT, MEM_DELETE, MEM_GRANT, MEM_REVOKE, MEM_ALIVE };
struct mem_op {
	enum mem_op_type type;
	const char *key;   /* PUT, DELETE */
	const char *value; /* PUT */
	size_t size;
	int64_t handle; /* all but DELETE */
	int64_t ttl_s;  /* GRANT */
	int64_t at_ms;  /* GRANT, ALIVE */
};

/* Empty, at revision 1. */
struct mem_db *mem_db_new(void);
/* As it is now; entries are shared. What a snapshot is. */
struct mem_db *mem_db_copy(const struct mem_db *db);
void mem_db_free(struct mem_db *db);

/* From now on every step is told to `fn` once it is done; NULL: to nobody. */
void mem_db_on_step(struct mem_db *db, void (*fn)(void *arg, const struct mem_op *op), void *arg);
void mem_db_apply(struct mem_db *db, const struct mem_op *op);
/*
 * Building a store from what was written down: keys as they were, then the revision it was at.
 * Changes up to it are forgotten.
 */
void mem_db_load_key(struct mem_db *db, const char *key, const char *value, size_t size,
		     uint64_t create_revision, uint64_t mod_revision, int64_t handle);
void mem_db_load_revision(struct mem_db *db, uint64_t revision);
void mem_db_each_handle(const struct mem_db *db,
			void (*visit)(void *arg, int64_t handle, int64_t ttl_s, int64_t expires_ms),
			void *arg);

/* What kind of store it plays (enum store_trait); one that expires and is ordered unless told. */
void mem_db_set_traits(struct mem_db *db, unsigned traits);
unsigned mem_db_traits(const struct mem_db *db);
/* STORE_ASSIGNS: from now on this node has `subnet`, NULL: none. What it had goes, with its lease. */
void mem_db_assign(struct mem_db *db, const char *node, const struct subnet *subnet);
/* False if none is assigned. */
bool mem_db_assigned(const struct mem_db *db, const char *node, struct subnet *ret);

uint64_t mem_db_revision(const struct mem_db *db);
/* Changes before this revision are forgotten. */
uint64_t mem_db_compact_revision(const struct mem_db *db);
void mem_db_compact(struct mem_db *db, uint64_t revision);
size_t mem_db_keys(const struct mem_db *db);

/* Deletes what has run out. To be called before anything else at that time. */
void mem_db_expire(struct mem_db *db, int64_t now_ms);
/* When something runs out at the earliest (it may turn out to have been prolonged); INT64_MAX:
 * never. */
int64_t mem_db_next_expiry(const struct mem_db *db);

/* False if the handle exists. */
bool mem_db_grant(struct mem_db *db, int64_t now_ms, int64_t handle, int64_t ttl_s);
/* False if there is none. Deletes its keys, in one revision. */
bool mem_db_revoke(struct mem_db *db, int64_t handle);
/* Its full time from now on; 0 if there is none. */
int64_t mem_db_keep_alive(struct mem_db *db, int64_t now_ms, int64_t handle);
/* Seconds, rounded up; 0 if there is none. */
int64_t mem_db_time_left(const struct mem_db *db, int64_t now_ms, int64_t handle);
/* All leases start their time anew, as after the election of a leader or a restore. */
void mem_db_renew_all(struct mem_db *db, int64_t now_ms);

/* Unconditional. `handle` 0: none; it must exist otherwise. Returns the entry, borrowed. */
const struct mem_entry *mem_db_put(struct mem_db *db, const char *key, const char *value,
				   size_t size, int64_t handle);
/* False if there is no such key. */
bool mem_db_delete(struct mem_db *db, const char *key);
/* NULL if there is none. Borrowed until the next change. */
const struct mem_entry *mem_db_get(const struct mem_db *db, const char *key);
/* Calls for every key, in their order. */
void mem_db_each(struct mem_db *db, void (*visit)(void *arg, const struct mem_entry *entry),
		 void *arg);

/*
 * The history. A position is the number of a change since the beginning of time; `from_revision`
 * must not be before mem_db_compact_revision. A position beyond the last change has no entry yet.
 */
uint64_t mem_db_seek(const struct mem_db *db, uint64_t from_revision);
const struct mem_entry *mem_db_change(const struct mem_db *db, uint64_t position);

/*
 * Does what a store request asks for. `handle` is what a CREATE with a life is bound to. *ret is
 * released with store_reply_fini.
 */
void mem_db_execute(struct mem_db *db, int64_t now_ms, const struct store_request *request,
		    int64_t handle, struct store_reply *ret);
/* The event that tells of a change; its lease, if any, is the caller's. False if the key is none of
 * ours. */
bool mem_db_event(const struct mem_entry *entry, struct store_event *ret);

#endif
