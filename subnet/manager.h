/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manager: which subnet is ours, who the peers are, and how to keep it so. A state machine
 * without I/O.
 *
 *   WAIT_CONFIG   no configuration of use yet; asked for again
 *   LISTING       who is there? a lease of ours is adopted, else a subnet is chosen
 *   CLAIMING      asked for, or written and not yet known to overlap nobody older
 *   HELD          ours: kept alive, its key watched and compared with every list
 *   LOST          expired or deleted: the same subnet is asked for again and again
 *   CONFLICT      another host has it, or has our node id: nothing of ours is changed, until the
 *                 other's claim ends
 *
 * The first three lead to HELD once; after it only the last three occur, since then containers
 * have addresses of the subnet and no other will do.
 *
 * A store may assign the subnets itself (STORE_ASSIGNS). Then none is chosen here and nothing needs to
 * be verified: ours is asked for, waited for if there is none yet, and one that is assigned in the
 * place of what containers use is a CONFLICT.
 *
 * Inputs are method calls that carry the time; outputs are calls of struct manager_ops. Nothing
 * here reads a clock, a file or a random source, so that a thousand of them can be simulated and
 * every path tested.
 *
 * Losing the lease is not a data-plane event: peers stay as they are, the subnet is claimed again,
 * and what is wrong has a name that status shows.
 */
#ifndef SUBNET_MANAGER_H
#define SUBNET_MANAGER_H

#include "lib/hash.h"
#include "lib/log.h"
#include "subnet/config.h"
#include "subnet/last_known.h"
#include "subnet/store.h"

#define uthash_malloc(size) xmalloc(size)
#include <uthash.h>

#define MANAGER_DEFAULT_TTL_S  86400
#define MANAGER_ANTI_ENTROPY_S 300
#define MANAGER_JUNK_MAX                                                                           \
	STORE_JUNK_MAX /* unreadable keys remembered by name; more are only counted */
#define MANAGER_REASON_SIZE ERR_TEXT_SIZE

enum manager_state {
	MANAGER_WAIT_CONFIG,
	MANAGER_LISTING,
	MANAGER_CLAIMING,
	MANAGER_HELD,
	MANAGER_LOST,
	MANAGER_CONFLICT,
};
const char *manager_state_name(enum manager_state state);

/* One lease as the manager knows it. `user` belongs to who listens, NULL at first. */
struct manager_member {
	struct lease *lease; /* compact */
	void *user;
	struct hash_link link;
	/* Gone from the store, but its host may claim it until then; 0: it is in the store. */
	int64_t kept_until_ms;
	uint32_t seen; /* number of the list that last had it */
	bool own;
	bool twin;     /* another host's, though it has our node id or our public address */
	bool defended; /* it has our id, but its host answered when we asked for it */
};

/*
 * The one after `member`, NULL: the first; NULL after the last; in no order. To remove one, ask for
 * the next before.
 */
struct manager_member *manager_next(const struct hash_table *members,
				    const struct manager_member *member);
/* NULL if there is none. */
struct manager_member *manager_member_of(const struct hash_table *members, const struct subnet *s);

struct manager_junk {
	char *key;
	char *reason;
	uint32_t seen; /* number of the list that last had it */
	UT_hash_handle hh;
};

struct manager_options {
	const char *node_id;
	const char *node_name;
	struct subnet previous; /* from subnet.env; unset if none */
	int64_t ttl_s;
	int64_t renew_margin_s; /* renew at the latest when this much is left */
	int64_t anti_entropy_s;
	unsigned traits; /* of the store, enum store_trait */
	uint64_t seed;
	const char *default_backend; /* type of a configuration without Backend; a literal */
};

struct manager_ops {
	/* Hand the request to the store; its answer goes to manager_reply with the same id. */
	void (*submit)(void *arg, uint64_t id, const struct store_request *request);
	/* Watch from this revision on, instead of what was watched before; 0: stop watching. */
	void (*watch)(void *arg, uint64_t from_revision);
	/* Whether this one can be used here, apart from what the manager itself knows of it. */
	int (*check_config)(void *arg, const struct network_config *config, struct err *e);
	/* The first valid configuration. Answer with manager_claim or manager_reject_config, not
	 * from inside. */
	void (*config)(void *arg, const struct network_config *config);
	/* A peer came, changed or is about to be forgotten (`gone`). */
	void (*peer)(void *arg, struct manager_member *member, bool gone);
	/* Our own lease is now this one (first claim, or claimed again); it may differ from the
	 * last. */
	void (*own)(void *arg, const struct lease *own);
	/* Something a person should read. `event` is a literal. */
	void (*note)(void *arg, enum log_level level, const char *event, const char *text);
	/* The peers of the last known state, which are wanted now: filled in if there are
	 * peers_left. False if they cannot be read, and then it is not used. */
	bool (*recall)(void *arg, struct last_known *known);
};

struct manager;

struct manager *manager_new(const struct manager_options *options, const struct manager_ops *ops,
			    void *arg);
void manager_free(struct manager *m);

/*
 * What was known when the store was last heard, for a start without it: taken over by this call, to
 * be made before manager_start. Our lease in it lasts until `expires_ms` (INT64_MAX: for ever).
 *
 * It is used once, if the first answer is that the store cannot be reached. Then configuration, own
 * lease and peers are told as if the store had said so, the view says `stale`, and the store is
 * asked on; its first list puts everything right.
 */
void manager_set_last_known(struct manager *m, struct last_known *known, int64_t expires_ms);

/*
 * Which cluster it is that answers, if that is known: to be told before its answer. A last known
 * state of another one is not used, or not any longer than until its list.
 */
void manager_heard(struct manager *m, const char *cluster);

/* What this host is called in a store that knows it by a name of its own: before its first list. Copied. */
void manager_set_node_name(struct manager *m, const char *name);

/* Begins: asks for the configuration. */
void manager_start(struct manager *m, int64_t now_ms);
/* No subnet is picked that overlaps these: what this host reaches without the fabric. */
void manager_avoid(struct manager *m, const struct ip_net *v4, const struct ip_net *v6);
/* The configuration is usable; `attributes` is what our lease publishes (its subnet is ignored).
 * Copied. */
void manager_claim(struct manager *m, int64_t now_ms, const struct lease *attributes);
/* The configuration cannot be used now: the host is not ready for it. It is read again soon. */
void manager_reject_config(struct manager *m, int64_t now_ms, const char *reason);
/* What we publish has changed. Copied; written as soon as the lease is held. */
void manager_publish(struct manager *m, int64_t now_ms, const struct lease *attributes);

/* Prolongs the lease now instead of later. False if it is not held, or cannot expire. What comes of
 * it is counted in the view: renewals_ok, renewals_failed. */
bool manager_renew(struct manager *m, int64_t now_ms);

void manager_reply(struct manager *m, int64_t now_ms, uint64_t id, struct store_reply *reply);
void manager_event(struct manager *m, int64_t now_ms, struct store_event *event);
/* To be called at or after manager_deadline. */
void manager_tick(struct manager *m, int64_t now_ms);
/* When manager_tick is due; INT64_MAX: never. */
int64_t manager_deadline(const struct manager *m);

/* What status shows. Pointers are borrowed until the next call on `m`. */
struct manager_view {
	enum manager_state state;
	/* What it is called that it is not HELD, in a store that assigns subnets:
	 * "subnet-not-assigned", "subnet-reassigned"; NULL: the state's name. */
	const char *state_problem;
	const char *reason; /* why it is not HELD, or what is wrong although it is; "" if nothing */
	bool stale; /* what is in use is the last known state, the store was not heard yet */
	const struct network_config *config; /* NULL before there is one */
	const char *config_text;             /* as the store has it; NULL before there is one */
	uint64_t newest;                     /* revision of the newest change in what is in use */
	uint64_t config_revision;
	/* How what the store has differs from the configuration in use: "config-changed" (a restart
	 * takes it), "config-renumbers", "config-invalid", "config-missing" (a restart does not);
	 * NULL: it is the same. And a sentence. */
	const char *config_problem;
	const char *config_reason;
	/* Somebody writes over our lease again and again, or has lately: a problem's name and a
	 * sentence; NULL: nobody does. */
	const char *rival_name;
	const char *rival;
	const struct lease *own; /* NULL before the first claim */
	bool assigned;           /* the store has chosen its subnet */
	int64_t expires_ms;      /* of the lease, on the caller's clock; 0: never or unknown */
	int64_t renewed_ms;
	bool watch_live;
	const char *watch_reason;
	uint64_t revision;                /* the newest the store told us */
	const struct hash_table *members; /* manager_next: all leases, our own too */
	size_t members_len;
	size_t unreadable; /* members with a problem */
	/* Pairs of other hosts' leases with one public address, the first of them in a sentence. */
	size_t shared;
	const char *shared_text;
	size_t unbound; /* members that are unbound: lease_is_unbound */
	size_t kept;    /* members that are gone from the store */
	size_t twins;   /* members marked so */
	const struct manager_junk *junk;
	size_t junk_len; /* may be more than are remembered */
	uint64_t renewals_ok;
	uint64_t renewals_failed;
	uint64_t lost_total;
	uint64_t lists_total;
	uint64_t events_total;
	uint64_t watch_restarts_total;
};
void manager_view(const struct manager *m, struct manager_view *ret);
/* Those that are unbound, the first by name, in a sentence; false if none is. */
bool manager_describe_unbound(const struct manager *m, char text[static MANAGER_REASON_SIZE]);
/* One of the twins, in a sentence; returns what the problem is called, NULL if there are none. */
const char *manager_describe_twin(const struct manager *m, char text[static MANAGER_REASON_SIZE]);

#endif
