/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the lease machinery asks of a shared store, whichever it is: etcd, Consul, a directory, memory.
 *
 * A store keeps one network configuration and a set of leases, each with a revision that grows with
 * every change. It answers requests asynchronously, each exactly once, from the loop, never from
 * inside store_submit. It never decides policy: which subnet to claim and what to do when one is
 * lost is subnet/manager's business.
 *
 * What a store need not have is named by its traits: an expiry of leases, a choice of subnet by the
 * client.
 */
#ifndef SUBNET_STORE_H
#define SUBNET_STORE_H

#include "lib/problem.h"
#include "subnet/lease.h"

/* So many leases are used; a list of more is an error, and what is told beyond is set aside. */
#define STORE_LEASES_MAX 65536
/* No lease lives longer, whatever its store says: etcd's own limit. */
#define STORE_TTL_MAX_S INT64_C(9000000000)
/* So many unreadable keys are named, by so many bytes; more are only counted. */
#define STORE_JUNK_MAX     1000
#define STORE_JUNK_KEY_MAX 512

struct store;
struct event_base;
struct http_client;

enum store_op {
	STORE_CONFIG, /* read the network configuration */
	STORE_LIST,   /* read all leases at one revision */
	STORE_CREATE, /* make `lease` if nobody has its subnet; its id is made with it */
	/* Replace `lease` if mod_revision is still the same; id and flags stay. Whoever ASSIGNS may
	 * replace what the lease's own host has written whatever the revision is. */
	STORE_UPDATE,
	STORE_BIND,       /* the same, and it gets an id of its own, where leases expire */
	STORE_KEEPALIVE,  /* prolong what lease->id stands for */
	STORE_REMOVE,     /* delete `lease` if its mod_revision is still the same */
	STORE_TIME_LEFT,  /* seconds until it runs out; INVALID: this store does not tell */
	STORE_CONFIG_SET, /* replace the configuration if its revision is still config_revision */
	/* Where health is kept: what hosts tell of themselves, beside the leases (subnet/health_record.h). */
	STORE_HEALTH_SET,  /* put this host's record, whatever stands there; it ends after ttl_s */
	STORE_HEALTH_KEEP, /* ... from now, once more */
	STORE_HEALTH_LIST, /* read all records, or the one of health_name */
	STORE_OPS
};

/* How a request ended. Only OK means that it did what was asked. */
enum store_status {
	STORE_OK,
	/* CONFIG: there is none. KEEPALIVE, TIME_LEFT, HEALTH_KEEP: it has expired */
	STORE_ABSENT,
	STORE_CONFLICT,    /* a write found somebody else there: reply->holder says who, if known */
	STORE_DENIED,      /* the store refuses us: credentials or permissions */
	STORE_INVALID,     /* the store does not accept the request: retrying is of no use */
	STORE_UNAVAILABLE, /* not reached, or it cannot answer now: nothing was changed */
	STORE_UNKNOWN,     /* a write was sent, its end not seen: it may have happened or not */
};

struct store_request {
	enum store_op op;
	const struct lease *lease; /* borrowed until store_submit returns */
	/* CREATE, BIND: its life without KEEPALIVE; 0: for ever. HEALTH_SET, HEALTH_KEEP: not 0 */
	int64_t ttl_s;
	const char *config;       /* CONFIG_SET; borrowed as well */
	uint64_t config_revision; /* CONFIG_SET: 0: there must be none */
	/*
	 * HEALTH_SET, HEALTH_KEEP: a node id, always the same of one store. HEALTH_LIST: any node id, of
	 * which nothing is expected, as it may come from a lease: the reply has its record or none;
	 * NULL: all. Borrowed.
	 */
	const char *health_name;
	const char *health; /* HEALTH_SET; borrowed as well */
};

/* What a host tells of itself; bytes from outside. */
struct store_health {
	char *name;
	char *text; /* NUL-terminated */
	size_t size;
};

/* A key among the leases that cannot be read as one. */
struct store_junk {
	char *key;
	char *reason;
};

struct store_reply {
	enum store_status status;
	struct err err; /* set unless OK */
	/* Of the store when it answered, 0: it does not tell. LIST: the one the list is of. */
	uint64_t revision;
	char *config; /* CONFIG: NUL-terminated */
	size_t config_size;
	uint64_t config_revision; /* CONFIG, CONFIG_SET */
	struct lease **leases;    /* LIST; entries may be taken out (set to NULL) */
	size_t leases_len;
	struct store_junk *junk; /* LIST: the first STORE_JUNK_MAX */
	size_t junk_len;
	size_t junk_more;            /* LIST: and so many more */
	struct store_health *health; /* HEALTH_LIST */
	size_t health_len;
	/* CONFLICT, if known; CREATE, UPDATE, BIND: the lease as it stands now */
	struct lease *holder;
	int64_t ttl_s; /* CREATE, BIND, KEEPALIVE, TIME_LEFT */
};

typedef void store_reply_fn(void *arg, struct store_reply *reply);

enum store_event_type {
	STORE_EVENT_PUT,    /* `lease` was made or changed */
	STORE_EVENT_DELETE, /* the lease on `lease->subnet` is gone */
	STORE_EVENT_CONFIG, /* the configuration changed or went away */
	STORE_EVENT_JUNK,   /* an unreadable key was written (`reason` set) or deleted (NULL) */
	STORE_EVENT_LIVE,   /* connected: from now on changes are told as they happen */
	STORE_EVENT_LOST,   /* not connected: changes come late, after the next LIVE */
	STORE_EVENT_RESYNC, /* history is gone, the watch has ended: list again, watch from there */
};

struct store_event {
	enum store_event_type type;
	uint64_t revision;   /* of this change */
	struct lease *lease; /* PUT, DELETE; may be taken (set to NULL) */
	const char *key;     /* JUNK */
	const char *reason;  /* JUNK, LOST, RESYNC: a sentence */
};

struct store_watch;
typedef void store_event_fn(void *arg, struct store_event *event);

struct store_ops {
	void (*submit)(struct store *s, const struct store_request *request, store_reply_fn *fn,
		       void *arg);
	struct store_watch *(*watch)(struct store *s, uint64_t from_revision, store_event_fn *fn,
				     void *arg);
	void (*watch_stop)(struct store_watch *w);
	/* Fills a JSON object with what an operator wants to know: endpoints, states, counts. */
	void (*describe)(struct store *s, void *json_object);
	/* Adds what is wrong with it beyond what its answers say; NULL: nothing ever is. */
	void (*problems)(struct store *s, struct problem_list *list);
	/*
	 * Asks whoever answers for the time, once, so that the HTTP client's clock is known; NULL: its
	 * answers tell that by themselves, or it has none.
	 */
	void (*ask_clock)(struct store *s);
	void (*free)(struct store *s);
};

/* First member of every store's own struct. */
struct store {
	const struct store_ops *ops;
	const struct store_type *type; /* NULL in tests that make a store without one */
};

/* What a store is like, beyond what all are. */
enum store_trait {
	/*
	 * It says itself which subnet a host has. CREATE of a lease without a subnet asks for the
	 * one that is ours: OK, or ABSENT if none is assigned yet; with a subnet it asks for that
	 * one or none: CONFLICT if another is assigned, `holder` says which. REMOVE is not asked
	 * for. A lease is its host's by the node's name.
	 */
	STORE_ASSIGNS = 1,
	STORE_EXPIRES = 2, /* leases that nobody keeps alive end */
	STORE_ORDERED = 4, /* lease->born is the revision it was made at; else it must ASSIGN */
	STORE_WRITES_CONFIG = 8, /* CONFIG_SET can be asked for */
	STORE_KEEPS_HEALTH = 16, /* HEALTH_SET, HEALTH_KEEP, HEALTH_LIST can be asked for */
	STORE_DATED =
		32, /* lease->born is when it was made, in ms of the wall clock; 0: not known */
};

struct store_open_args {
	struct event_base *base;
	struct http_client *http; /* NULL if the caller has none */
	const char *where;        /* what was written after the scheme and a colon, or "" */
	const void *options;      /* its own, those of store_type.options */
	uint64_t (*random)(void); /* for ids and back-off, from the loop */
};

#define STORE_PLACE_MAX 300

/* Which network this is of: a state kept of another is of no use. */
struct store_place {
	char where[STORE_PLACE_MAX]; /* known at once: a prefix, a directory */
	char cluster[40];            /* who answers there; "": unknown yet, or nothing tells */
};

#define STORE_NODE_MAX 254

/* When lease->out_of_use is to be published; each has those before it in it. */
enum store_out_of_use {
	STORE_OUT_NEVER, /* the store has no place for it, or is not to say so */
	STORE_OUT_DRAINED,
	STORE_OUT_STOPPED, /* also when the daemon ends in order */
};

/* What a store says to this host besides its lease. */
struct store_host {
	char node[STORE_NODE_MAX]; /* the name that its lease has in the store; "": not known yet */
	struct ip_addr overwrite_v4; /* published instead of the own address, if set */
	struct ip_addr overwrite_v6;
	struct ip_addr public_v4; /* to be used as the option public-ip, at start */
	struct ip_addr public_v6;
	enum store_out_of_use out_of_use; /* always the same of one store */
};

/* One kind of store. */
struct store_type {
	const char *scheme;       /* "etcd", "consul": what --store names it by */
	unsigned traits;          /* enum store_trait */
	unsigned list_interval_s; /* a list is dear: compared this often; 0: as others are */
	/* Reads the files that its options name, before `open`; NULL: none does. */
	int (*check)(void *options, struct err *e);
	/* -EINVAL names the option that is of no use. Asks nobody anything yet. */
	int (*open)(const struct store_open_args *args, struct store **ret, struct err *e);
	void (*place)(const struct store *s, struct store_place *ret);
	/* NULL: nothing. What it says is known when CONFIG was answered, and may be another after each
	 * reply and event. -EINVAL: nothing tells which of the store's hosts this is. */
	int (*host)(const struct store *s, struct store_host *ret, struct err *e);
};

static inline void store_submit(struct store *s, const struct store_request *request,
				store_reply_fn *fn, void *arg)
{
	s->ops->submit(s, request, fn, arg);
}

/*
 * Tells every change from `from_revision` on, in order, reconnecting by itself, until stopped or
 * RESYNC. A store that keeps no history tells of what changed twice meanwhile the last change, of what
 * went after all that came, and RESYNC at once if it cannot know: if its last list was of another
 * revision than the one before this, and something has changed since.
 */
static inline struct store_watch *store_watch(struct store *s, uint64_t from_revision,
					      store_event_fn *fn, void *arg)
{
	return s->ops->watch(s, from_revision, fn, arg);
}

/* No event comes after this. Must be called after RESYNC too. May be called inside an event. */
static inline void store_watch_stop(struct store_watch *w)
{
	if (w)
		(*(struct store **)w)->ops->watch_stop(w);
}

/* Requests under way are dropped without an answer. */
static inline void store_free(struct store *s)
{
	if (s)
		s->ops->free(s);
}

const char *store_op_name(enum store_op op);
const char *store_status_name(enum store_status status);
/* Releases everything in the reply that was not taken. */
void store_reply_fini(struct store_reply *reply);

#endif
