/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the manager share; for nobody else.
 *
 *   manager.c          the state machine: inputs, states, deadlines
 *   manager_members.c  the picture of the store
 *   manager_claim.c    the choice of a subnet
 */
#ifndef SUBNET_MANAGER_INTERNAL_H
#define SUBNET_MANAGER_INTERNAL_H

#include "subnet/manager.h"

/* One outstanding request of a kind is enough; a reply with another id is of an abandoned one. */
struct manager {
	char *node_id;
	char *node_name;
	struct subnet previous;
	int64_t ttl_s;
	int64_t renew_margin_s;
	int64_t anti_entropy_s;
	uint64_t random;
	const struct manager_ops *ops;
	void *arg;

	enum manager_state state;
	char reason[MANAGER_REASON_SIZE];
	char watch_reason[MANAGER_REASON_SIZE];

	bool has_config;
	bool config_announced; /* ops->config was called, its answer is awaited or has come */
	bool config_changed;
	struct network_config config;
	char *config_text;
	uint64_t config_revision;

	struct lease *attributes; /* what we publish; NULL before manager_claim */
	struct lease *own;        /* as it stands in the store, as far as we know */
	int64_t expires_ms;
	int64_t renewed_ms;

	struct manager_member *members;
	struct manager_junk *junk;
	size_t junk_len;
	size_t unreadable;
	uint32_t list_number;
	uint64_t revision;      /* newest seen in events and lists */
	uint64_t list_revision; /* of the last list taken in */
	bool watching;
	bool watch_live;

	/* Deadlines, INT64_MAX when not set. */
	int64_t retry_at; /* the step that the state stands for */
	int64_t keepalive_at;
	int64_t anti_entropy_at;
	int64_t config_at;
	unsigned failures;

	uint64_t last_id;
	uint64_t config_id; /* 0: none under way */
	uint64_t list_id;
	uint64_t claim_id; /* create or update */
	uint64_t keepalive_id;
	struct subnet claiming;
	bool creating;

	struct manager_view counts; /* only the totals are used */
};

uint64_t manager_random(struct manager *m);
void manager_note(struct manager *m, enum log_level level, const char *event, const char *fmt, ...)
	PRINTF(4, 5);

/* manager_members.c */
struct manager_member *manager_find(const struct manager *m, const struct subnet *s);
/* Marks one member as ours and all others as peers; tells the listener of those that changed sides.
 * NULL: none is. */
void manager_set_own(struct manager *m, const struct subnet *own);
/* Takes `lease` in, unless what is known is newer. */
void manager_upsert(struct manager *m, struct lease *lease);
void manager_forget(struct manager *m, struct manager_member *member);
/* A list replaces the picture; its leases are taken out of the reply. */
void manager_take_list(struct manager *m, struct store_reply *reply);
void manager_add_junk(struct manager *m, const char *key, const char *reason);
void manager_remove_junk(struct manager *m, const char *key);
void manager_forget_junk(struct manager *m);

/* manager_claim.c */
bool manager_same_text(const char *a, const char *b);
/*
 * Whether a lease in the store is this host's: by node id; without one (flannel wrote it) by public
 * address; a host that lost its id, say by a new installation, is known by address and name
 * together.
 */
bool manager_is_ours(const struct manager *m, const struct lease *l);
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
void manager_warn_of_same_address(struct manager *m);

#endif
