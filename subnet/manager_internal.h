/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the manager share; for nobody else.
 *
 *   manager.c          inputs, lists, events, deadlines
 *   manager_config.c   the network configuration
 *   manager_lease.c    the own lease: claimed, adopted, verified, kept, lost
 *   manager_adopt.c    ... found in the store
 *   manager_own.c      the own key once it is held
 *   manager_members.c  the picture of the store
 *   manager_claim.c    the choice of a subnet
 *   manager_addresses.c   addresses that two others publish
 */
#ifndef SUBNET_MANAGER_INTERNAL_H
#define SUBNET_MANAGER_INTERNAL_H

#include "lib/backoff.h"
#include "subnet/manager.h"

#define MANAGER_PUBLISHED_MAX 8

/* One outstanding request of a kind is enough; a reply with another id is of an abandoned one. */
struct manager {
	char *node_id;
	char *node_name;
	struct subnet previous;
	int64_t ttl_s;
	int64_t renew_margin_s;
	int64_t anti_entropy_s;
	unsigned traits;
	uint64_t random;
	const char *default_backend;
	const struct manager_ops *ops;
	void *arg;

	enum manager_state state;
	const char *state_problem; /* NULL: it has the state's name */
	char reason[MANAGER_REASON_SIZE];
	char watch_reason[MANAGER_REASON_SIZE];

	bool has_config;
	bool config_announced;      /* ops->config was called, its answer is awaited or has come */
	const char *config_problem; /* as in the view */
	char config_reason[MANAGER_REASON_SIZE];
	struct network_config config;
	char *config_text;
	uint64_t config_revision;

	struct last_known last_known; /* unused so far; config NULL: there is none */
	int64_t last_known_expires_ms;
	bool stale;

	struct backoff rewrites;         /* of our own lease, since somebody else writes it too */
	int64_t rewrite_at;              /* when it is looked at again, INT64_MAX when not set */
	int64_t rival_until_ms;          /* until then who wrote over our lease is a problem */
	char rival[MANAGER_REASON_SIZE]; /* ... in a sentence; "": nobody did */
	const char *rival_name;          /* ... and what it is called */
	struct ip_net avoid[2];          /* IPv4, IPv6 */
	struct lease *attributes;        /* what we publish; NULL before manager_claim */
	/* Addresses this process has published, so that an answer of long ago is known as ours. */
	struct ip_addr published[MANAGER_PUBLISHED_MAX];
	unsigned published_len; /* may be more than are remembered */
	struct lease *own;      /* as it stands in the store, as far as we know */
	int64_t expires_ms;
	int64_t renewed_ms;

	struct hash_table members;
	struct manager_junk *junk;
	size_t junk_len;
	size_t unreadable;
	size_t unbound;
	bool addresses_changed; /* since they were compared */
	int64_t addresses_at;   /* when they are to be; INT64_MAX when not set */
	size_t shared;          /* pairs of leases with one address, the first in a sentence: */
	char shared_text[MANAGER_REASON_SIZE];
	size_t twins;
	const struct manager_member *twin; /* one of them */
	uint32_t list_number;
	bool first_list;        /* it is being taken in */
	uint64_t revision;      /* up to here the picture is whole: lists, and events in order */
	uint64_t newest;        /* of anything in the picture, single leases in replies too */
	uint64_t list_revision; /* of the last list taken in; 0: none since history broke */
	uint64_t floor;         /* the store was seen at this revision */
	/* The floor when the list under way was asked for: a store that answers with less went back
	 * in time. */
	uint64_t list_floor;
	int64_t resync_ms;     /* when history broke last */
	uint64_t before_break; /* the newest revision before it broke; 0 once a list was taken in */
	/* What is no newer was there when we took our lease over, or came back with a store of the
	 * past: nobody is writing it now. */
	uint64_t past_revision;
	int64_t doubt_until_ms; /* until then who is missing from the store is not taken for gone */
	size_t kept;            /* members with kept_until_ms */
	int64_t held_ms;        /* when the lease became HELD last */
	bool watching;
	bool watch_live;

	/* Deadlines, INT64_MAX when not set. */
	int64_t retry_at; /* the step that the state stands for */
	int64_t keepalive_at;
	int64_t anti_entropy_at;
	int64_t config_at;
	int64_t kept_at;        /* the first of the kept members is to be forgotten */
	unsigned config_polls;  /* without a configuration that is of use */
	struct backoff backoff; /* of what the store refuses or does not answer */
	unsigned races;         /* lost in a row since the last list */
	unsigned contested;     /* times that another host with our id wrote over our lease */

	uint64_t last_id;
	uint64_t config_id;           /* 0: none under way */
	uint64_t census_id;           /* a list that only says which backends the others have */
	struct store_reply undecided; /* the configuration that waits for it */
	uint64_t list_id;
	uint64_t claim_id; /* create or update */
	uint64_t keepalive_id;
	int64_t claim_asked_ms;
	uint64_t claim_floor; /* as list_floor, for the claim under way */
	int64_t keepalive_asked_ms;
	bool creating;       /* the claim under way is a create */
	bool was_held;       /* from the first time on this host's containers use own->subnet */
	bool adopting;       /* `own` was found in the store; it is ours once it is known to live */
	bool verifying;      /* our key is in the store; who else is there must become known */
	bool renewal_failed; /* the last keepalive */
	bool write_failed;   /* the last update */
	bool challenging;    /* the claim under way asks whether the lease's host lives */
	uint64_t challenged; /* revision of that question; 0: none is open */
	struct subnet challenged_subnet;
	int64_t challenge_ms;   /* until then its host has time to answer */
	bool taken_over;        /* `own` had another public address when it was adopted */
	struct subnet claiming; /* what the create under way asks for */
	char complaint[MANAGER_REASON_SIZE]; /* the failure said last, so that it is said once */

	struct manager_view counts; /* only the totals are used */
};

static inline bool manager_is_assigned(const struct manager *m)
{
	return m->traits & STORE_ASSIGNS;
}

/* manager.c */
uint64_t manager_random(struct manager *m);
void manager_note(struct manager *m, enum log_level level, const char *event, const char *fmt, ...)
	PRINTF(4, 5);
/* A failure that may come again and again: noted when it is another than the last one. */
void manager_complain(struct manager *m, enum log_level level, const char *event, const char *text);
void manager_set_state(struct manager *m, enum manager_state state, const char *reason);
/* Returns the request's id. */
uint64_t manager_submit(struct manager *m, enum store_op op, const struct lease *lease);
/* When to try again what has failed; by chance, so that hosts which failed together do not come back
 * together. */
int64_t manager_backoff(struct manager *m, int64_t now_ms);
/* The revisions of before mean nothing any more. `before`: the revision the store had, if it is
 * known that it went back. */
void manager_break_history(struct manager *m, uint64_t revision, uint64_t before);
/* Asks for a list, unless one is on its way. */
void manager_list(struct manager *m);
/* Watches from the last list on, unless that is so already. */
void manager_watch_from_list(struct manager *m, int64_t now_ms);

/* manager_config.c */
void manager_read_config(struct manager *m);
void manager_on_config(struct manager *m, int64_t now_ms, struct store_reply *reply);
void manager_on_census(struct manager *m, int64_t now_ms, struct store_reply *list);

/* manager_restore.c */
/* Starts from the last known state if there is one; `reason` says why. False if there is none. */
bool manager_restore(struct manager *m, int64_t now_ms, const char *reason);

/* manager_lease.c */
/* First claim: what is ours already, or a free subnet. */
void manager_choose(struct manager *m, int64_t now_ms);
/* The step that the state waits to repeat: retry_at has come. */
void manager_retry(struct manager *m, int64_t now_ms);
void manager_claim_failed(struct manager *m, int64_t now_ms, const struct err *e);
/*
 * Goes on with a claim that waits for the picture to be whole up to it. `listed`: the picture is
 * a list, so what is not in it is not in the store.
 */
void manager_settle(struct manager *m, int64_t now_ms, bool listed);
/* Our key, which was in the picture, is gone. */
void manager_own_deleted(struct manager *m, int64_t now_ms);
void manager_expire(struct manager *m, int64_t now_ms);
void manager_keep_alive(struct manager *m, int64_t now_ms);
/* What our lease shall say that stands there as `in_store`. Caller frees. */
struct lease *manager_wanted(const struct manager *m, const struct lease *in_store);
const struct ip_addr *manager_public_address(const struct lease *l);
/*
 * Writes what we publish over a key of the own lease. If somebody has written that without the store's
 * lease it is bound to a new one, as long as it is ours (by id and address): a reservation it is only
 * where one stood when its host came.
 */
void manager_update(struct manager *m, const struct lease *in_store);
void manager_abandon_keepalive(struct manager *m);
/* A lease that is held has a reason only while something goes wrong: it does not any more. */
void manager_complaint_over(struct manager *m);
void manager_lost(struct manager *m, int64_t now_ms, const char *why);
/* The store says that ours is another host's: we keep what runs and say so until it is resolved. */
void manager_conflict(struct manager *m, int64_t now_ms, const struct lease *holder);
void manager_on_created(struct manager *m, int64_t now_ms, struct store_reply *reply);
void manager_on_updated(struct manager *m, int64_t now_ms, struct store_reply *reply);
void manager_on_keepalive(struct manager *m, int64_t now_ms, struct store_reply *reply);

/* What is under way for a lease that is ours no more. */
void manager_abandon(struct manager *m);
/* The own lease is known to live: who else is there decides. */
void manager_alive(struct manager *m, int64_t now_ms);

/* manager_adopt.c */
/* `in_store` is ours, as far as it says. */
void manager_adopt(struct manager *m, int64_t now_ms, const struct lease *in_store);
/* Our question stands in it; consumed. */
void manager_on_challenged(struct manager *m, int64_t now_ms, struct lease *marked);

/* manager_own.c */
/* What we publish, or did: a lease with its address is no other host's. */
void manager_remember_address(struct manager *m, const struct lease *published);
/* An address that this process publishes or has published. */
bool manager_is_our_address(const struct manager *m, const struct lease *l);
/* While HELD: our own key as the picture has it now against what we hold. */
void manager_check_own(struct manager *m, int64_t now_ms);
/* What waits for its time there. */
void manager_tick_own(struct manager *m, int64_t now_ms);
/* While HELD: deletes what is this host's beside the lease it holds, all or one (NULL: none). */
void manager_remove_leftovers(struct manager *m);
void manager_remove_leftover(struct manager *m, const struct manager_member *member);

/* manager_addresses.c */
void manager_compare_addresses(struct manager *m);
/* After each input: they are to be compared soon if something has changed. */
void manager_await_addresses(struct manager *m, int64_t now_ms);

/* manager_members.c */
/* At the end, telling nobody. */
void manager_drop_members(struct manager *m);
/* Looks through all members for twins, after what we publish has changed. */
void manager_find_twins(struct manager *m);
struct manager_member *manager_find(const struct manager *m, const struct subnet *s);
/* Marks one member as ours and all others as peers; tells the listener of those that changed sides.
 * NULL: none is. */
void manager_set_own(struct manager *m, const struct subnet *own);
/* Takes `lease` in, unless what is known is newer. */
void manager_upsert(struct manager *m, struct lease *lease);
void manager_forget(struct manager *m, struct manager_member *member);
/*
 * The store does not have it any more, as of `revision`. A host that runs this daemon claims its
 * lost lease again at once, so that what leads to it stays for a moment; after the store went back
 * in time that holds for everybody, and for longer.
 */
void manager_depart(struct manager *m, int64_t now_ms, struct manager_member *member,
		    uint64_t revision);
/* Forgets those that did not come back in time. */
void manager_forget_departed(struct manager *m, int64_t now_ms);
/* A list replaces the picture; its leases are taken out of the reply. */
void manager_take_list(struct manager *m, int64_t now_ms, struct store_reply *reply);
void manager_add_junk(struct manager *m, const char *key, const char *reason);
void manager_remove_junk(struct manager *m, const char *key);
/* All of it, or what the last list did not have. */
void manager_forget_junk(struct manager *m, bool all);

/* manager_claim.c */
bool manager_same_text(const char *a, const char *b);
bool manager_same_public(const struct lease *a, const struct lease *b);
/*
 * Whether a lease in the store is this host's.
 *
 * With our node id: if public address, name, or the subnet of our last run is ours as well. An id
 * alone is no proof: a copied disk image brings its id to another host.
 * Without one (flannel wrote it): by public address, as flannel does.
 * With another id: by address and name together, a host that was installed anew.
 */
bool manager_is_ours(const struct manager *m, const struct lease *l);
/* Ours beyond doubt: it may be overlapped by another claim of ours, and deleted. */
bool manager_is_surely_ours(const struct manager *m, const struct lease *l);
/* Whether a lease that is not ours names this host all the same: by id or by public address. */
bool manager_is_twin(const struct manager *m, const struct lease *l);
/* The best of the leases that are ours, NULL if there is none. */
struct manager_member *manager_find_ours(const struct manager *m);
/* A lease of another host, made before revision `before`, that overlaps `s` and is not `except`;
 * NULL if none. */
const struct manager_member *manager_overlapping(const struct manager *m, const struct subnet *s,
						 const struct manager_member *except,
						 uint64_t before);
/* One family's part of the subnet to claim: from our lease, else from the last run, else a free
 * one. -ENOSPC. */
int manager_choose_family(struct manager *m, const struct network_family *f, bool v6,
			  const struct manager_member *ours, struct ip_net *ret,
			  struct err *e) MUST_CHECK;

#endif
