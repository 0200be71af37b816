/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/mem_db.h"

#include <errno.h>

#define uthash_malloc(size) xmalloc(size)
#include <uthash.h>

struct mem_key {
	struct mem_entry *entry;
	UT_hash_handle hh;
};

struct mem_handle {
	int64_t id;
	int64_t ttl_s;
	int64_t expires_ms;
	UT_hash_handle hh;
};

struct mem_db {
	unsigned traits;
	uint64_t revision;
	uint64_t compact_revision;
	struct mem_key *keys;
	bool sorted; /* the keys are in the order that lists have */
	struct mem_handle *handles;
	int64_t next_expiry;
	struct mem_entry **history;
	size_t history_len;
	size_t history_cap;
	uint64_t history_base; /* position of history[0] */
	void (*on_step)(void *arg, const struct mem_op *op);
	void *on_step_arg;
};

static struct mem_entry *ref(struct mem_entry *e)
{
	e->refs++;
	return e;
}

static void unref(struct mem_entry *e)
{
	if (--e->refs > 0)
		return;
	free(e->key);
	free(e->value);
	lease_free(e->lease);
	free(e->junk);
	free(e);
}

struct mem_db *mem_db_new(void)
{
	struct mem_db *db = xcalloc(1, sizeof(*db));

	db->revision = 1;
	db->next_expiry = INT64_MAX;
	db->traits = STORE_EXPIRES | STORE_ORDERED | STORE_WRITES_CONFIG;
	return db;
}

static void add_key(struct mem_db *db, struct mem_entry *e)
{
	struct mem_key *k = xcalloc(1, sizeof(*k));

	k->entry = e;
	HASH_ADD_KEYPTR(hh, db->keys, e->key, strlen(e->key), k);
	db->sorted = false;
}

static struct mem_handle *add_handle(struct mem_db *db, int64_t id, int64_t ttl_s,
				     int64_t expires_ms)
{
	struct mem_handle *h = xcalloc(1, sizeof(*h));

	*h = (struct mem_handle){ .id = id, .ttl_s = ttl_s, .expires_ms = expires_ms };
	HASH_ADD(hh, db->handles, id, sizeof(h->id), h);
	db->next_expiry = MIN(db->next_expiry, expires_ms);
	return h;
}

struct mem_db *mem_db_copy(const struct mem_db *db)
{
	struct mem_db *copy = mem_db_new();
	struct mem_key *k;
	struct mem_key *tmp;
	struct mem_handle *h;
	struct mem_handle *tmp_h;

	copy->traits = db->traits;
	copy->revision = db->revision;
	copy->compact_revision = db->compact_revision;
	HASH_ITER (hh, db->keys, k, tmp)
		add_key(copy, ref(k->entry));
	HASH_ITER (hh, db->handles, h, tmp_h)
		add_handle(copy, h->id, h->ttl_s, h->expires_ms);
	copy->history_base = db->history_base;
	copy->history_len = copy->history_cap = db->history_len;
	if (db->history_len > 0)
		copy->history = xmalloc(db->history_len * sizeof(*copy->history));
	for (size_t i = 0; i < db->history_len; i++)
		copy->history[i] = ref(db->history[i]);
	return copy;
}

void mem_db_free(struct mem_db *db)
{
	struct mem_key *k;
	struct mem_key *tmp;
	struct mem_handle *h;
	struct mem_handle *tmp_h;

	if (!db)
		return;
	HASH_ITER (hh, db->keys, k, tmp) {
		HASH_DEL(db->keys, k);
		unref(k->entry);
		free(k);
	}
	HASH_ITER (hh, db->handles, h, tmp_h) {
		HASH_DEL(db->handles, h);
		free(h);
	}
	for (size_t i = 0; i < db->history_len; i++)
		unref(db->history[i]);
	free(db->history);
	free(db);
}

void mem_db_set_traits(struct mem_db *db, unsigned traits)
{
	db->traits = traits;
}

unsigned mem_db_traits(const struct mem_db *db)
{
	return db->traits;
}

uint64_t mem_db_revision(const struct mem_db *db)
{
	return db->revision;
}

uint64_t mem_db_compact_revision(const struct mem_db *db)
{
	return db->compact_revision;
}

size_t mem_db_keys(const struct mem_db *db)
{
	return HASH_COUNT(db->keys);
}

void mem_db_compact(struct mem_db *db, uint64_t revision)
{
	size_t n = 0;

	if (revision <= db->compact_revision || revision > db->revision)
		return;
	db->compact_revision = revision;
	while (n < db->history_len && db->history[n]->mod_revision < revision)
		unref(db->history[n++]);
	memmove(db->history, db->history + n, (db->history_len - n) * sizeof(*db->history));
	db->history_len -= n;
	db->history_base += n;
}

/* ---- steps ---- */

void mem_db_on_step(struct mem_db *db, void (*fn)(void *arg, const struct mem_op *op), void *arg)
{
	db->on_step = fn;
	db->on_step_arg = arg;
}

static void tell_step(struct mem_db *db, const struct mem_op *op)
{
	if (db->on_step)
		db->on_step(db->on_step_arg, op);
}

void mem_db_apply(struct mem_db *db, const struct mem_op *op)
{
	switch (op->type) {
	case MEM_PUT:
		mem_db_put(db, op->key, op->value, op->size, op->handle);
		break;
	case MEM_DELETE:
		mem_db_delete(db, op->key);
		break;
	case MEM_GRANT:
		mem_db_grant(db, op->at_ms, op->handle, op->ttl_s);
		break;
	case MEM_REVOKE:
		mem_db_revoke(db, op->handle);
		break;
	case MEM_ALIVE:
		mem_db_keep_alive(db, op->at_ms, op->handle);
		break;
	}
}

/* ---- changes ---- */

static void record(struct mem_db *db, struct mem_entry *e)
{
	GROW(db->history, db->history_len, db->history_cap);
	db->history[db->history_len++] = ref(e);
}

/* Reads the entry once, for everybody who will be told of it. */
static void understand(const struct mem_db *db, struct mem_entry *e)
{
	static const size_t prefix_size = sizeof(MEM_DB_SUBNETS_PREFIX) - 1;
	auto_lease struct lease *l = NULL;
	struct err err = { 0 };

	if (strncmp(e->key, MEM_DB_SUBNETS_PREFIX, prefix_size) != 0)
		return;
	l = lease_new();
	if (subnet_key_parse(e->key + prefix_size, &l->subnet, &err) < 0) {
		e->junk = xstrdup(err.text);
		return;
	}
	l->born = e->create_revision;
	l->mod_revision = e->mod_revision;
	l->id = (u128)e->handle;
	if (e->value && lease_value_parse(e->value, e->value_size, l, &err) < 0)
		l->problem = xstrdup(err.text);
	if (e->handle)
		l->flags = LEASE_EXPIRES;
	else if (db->traits & STORE_EXPIRES || !l->node_id || l->reserved)
		l->flags = LEASE_RESERVED;
	e->lease = lease_compact(STEAL(l));
}

static struct mem_key *find(const struct mem_db *db, const char *key)
{
	struct mem_key *k;

	HASH_FIND_STR(db->keys, key, k);
	return k;
}

/* At the current revision. */
static void delete_key(struct mem_db *db, struct mem_key *k)
{
	struct mem_entry *e = xcalloc(1, sizeof(*e));

	e->refs = 1;
	e->key = xstrdup(k->entry->key);
	e->mod_revision = db->revision;
	understand(db, e);
	HASH_DEL(db->keys, k);
	unref(k->entry);
	free(k);
	record(db, e);
	unref(e);
}

const struct mem_entry *mem_db_put(struct mem_db *db, const char *key, const char *value,
				   size_t size, int64_t handle)
{
	struct mem_entry *e = xcalloc(1, sizeof(*e));
	struct mem_key *k = find(db, key);

	e->refs = 1;
	e->key = xstrdup(key);
	e->value = xstrndup(value, size);
	e->value_size = size;
	e->mod_revision = ++db->revision;
	e->create_revision = k ? k->entry->create_revision : e->mod_revision;
	e->handle = handle;
	understand(db, e);
	if (k) {
		HASH_DEL(db->keys, k);
		unref(k->entry);
		free(k);
	}
	add_key(db, e);
	record(db, e);
	tell_step(db, &(struct mem_op){ .type = MEM_PUT,
					.key = e->key,
					.value = e->value,
					.size = size,
					.handle = handle });
	return e;
}

void mem_db_load_key(struct mem_db *db, const char *key, const char *value, size_t size,
		     uint64_t create_revision, uint64_t mod_revision, int64_t handle)
{
	struct mem_entry *e = xcalloc(1, sizeof(*e));

	e->refs = 1;
	e->key = xstrdup(key);
	e->value = xstrndup(value, size);
	e->value_size = size;
	e->mod_revision = mod_revision;
	e->create_revision = create_revision;
	e->handle = handle;
	understand(db, e);
	add_key(db, e);
}

void mem_db_load_revision(struct mem_db *db, uint64_t revision)
{
	db->revision = revision;
	db->compact_revision = revision + 1;
}

bool mem_db_delete(struct mem_db *db, const char *key)
{
	struct mem_key *k = find(db, key);

	if (!k)
		return false;
	db->revision++;
	delete_key(db, k);
	tell_step(db, &(struct mem_op){ .type = MEM_DELETE, .key = key });
	return true;
}

const struct mem_entry *mem_db_get(const struct mem_db *db, const char *key)
{
	const struct mem_key *k = find(db, key);

	return k ? k->entry : NULL;
}

static int by_key(const struct mem_key *a, const struct mem_key *b)
{
	return strcmp(a->entry->key, b->entry->key);
}

void mem_db_each(struct mem_db *db, void (*visit)(void *arg, const struct mem_entry *entry),
		 void *arg)
{
	struct mem_key *k;
	struct mem_key *tmp;

	if (!db->sorted)
		HASH_SRT(hh, db->keys, by_key);
	db->sorted = true;
	HASH_ITER (hh, db->keys, k, tmp)
		visit(arg, k->entry);
}

/* ---- handles ---- */

static struct mem_handle *find_handle(const struct mem_db *db, int64_t handle)
{
	struct mem_handle *h;

	HASH_FIND(hh, db->handles, &handle, sizeof(handle), h);
	return h;
}

bool mem_db_grant(struct mem_db *db, int64_t now_ms, int64_t handle, int64_t ttl_s)
{
	if (find_handle(db, handle))
		return false;
	ttl_s = MIN(ttl_s, STORE_TTL_MAX_S);
	add_handle(db, handle, ttl_s, now_ms + ttl_s * 1000);
	tell_step(db,
		  &(struct mem_op){
			  .type = MEM_GRANT, .handle = handle, .ttl_s = ttl_s, .at_ms = now_ms });
	return true;
}

bool mem_db_revoke(struct mem_db *db, int64_t handle)
{
	struct mem_handle *h = find_handle(db, handle);
	struct mem_key *k;
	struct mem_key *tmp;
	bool first = true;

	if (!h)
		return false;
	HASH_DEL(db->handles, h);
	free(h);
	HASH_ITER (hh, db->keys, k, tmp) {
		if (k->entry->handle != handle)
			continue;
		db->revision += first;
		first = false;
		delete_key(db, k);
	}
	tell_step(db, &(struct mem_op){ .type = MEM_REVOKE, .handle = handle });
	return true;
}

int64_t mem_db_keep_alive(struct mem_db *db, int64_t now_ms, int64_t handle)
{
	struct mem_handle *h = find_handle(db, handle);

	if (!h)
		return 0;
	h->expires_ms = now_ms + h->ttl_s * 1000;
	tell_step(db, &(struct mem_op){ .type = MEM_ALIVE, .handle = handle, .at_ms = now_ms });
	return h->ttl_s;
}

int64_t mem_db_time_left(const struct mem_db *db, int64_t now_ms, int64_t handle)
{
	const struct mem_handle *h = find_handle(db, handle);

	return h ? MAX((h->expires_ms - now_ms + 999) / 1000, (int64_t)1) : 0;
}

void mem_db_renew_all(struct mem_db *db, int64_t now_ms)
{
	struct mem_handle *h;
	struct mem_handle *tmp;

	HASH_ITER (hh, db->handles, h, tmp)
		h->expires_ms = now_ms + h->ttl_s * 1000;
}

void mem_db_each_handle(const struct mem_db *db,
			void (*visit)(void *arg, int64_t handle, int64_t ttl_s, int64_t expires_ms),
			void *arg)
{
	const struct mem_handle *h;

	for (h = db->handles; h; h = h->hh.next)
		visit(arg, h->id, h->ttl_s, h->expires_ms);
}

int64_t mem_db_next_expiry(const struct mem_db *db)
{
	return db->next_expiry;
}

void mem_db_expire(struct mem_db *db, int64_t now_ms)
{
	struct mem_handle *h;
	struct mem_handle *tmp;

	if (now_ms < db->next_expiry)
		return;
	db->next_expiry = INT64_MAX;
	HASH_ITER (hh, db->handles, h, tmp) {
		if (h->expires_ms <= now_ms)
			mem_db_revoke(db, h->id);
		else
			db->next_expiry = MIN(db->next_expiry, h->expires_ms);
	}
}

/* ---- history ---- */

uint64_t mem_db_seek(const struct mem_db *db, uint64_t from_revision)
{
	size_t low = 0;
	size_t high = db->history_len;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (db->history[middle]->mod_revision < from_revision)
			low = middle + 1;
		else
			high = middle;
	}
	return db->history_base + low;
}

const struct mem_entry *mem_db_change(const struct mem_db *db, uint64_t position)
{
	if (position < db->history_base || position - db->history_base >= db->history_len)
		return NULL;
	return db->history[position - db->history_base];
}

bool mem_db_event(const struct mem_entry *entry, struct store_event *ret)
{
	*ret = (struct store_event){ .revision = entry->mod_revision };
	if (strcmp(entry->key, MEM_DB_CONFIG_KEY) == 0) {
		ret->type = STORE_EVENT_CONFIG;
	} else if (entry->lease) {
		ret->type = entry->value ? STORE_EVENT_PUT : STORE_EVENT_DELETE;
		ret->lease = lease_copy(entry->lease);
	} else if (entry->junk) {
		ret->type = STORE_EVENT_JUNK;
		ret->key = entry->key;
		ret->reason = entry->value ? entry->junk : NULL;
	} else {
		return false;
	}
	return true;
}
