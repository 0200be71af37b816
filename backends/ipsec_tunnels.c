/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tunnels to peers as charon shows them: which stand, which it has given up, and its own words why. Pure.
 *
 * Its words are kept, since the reason of a failure is nowhere else: a kernel that lacks an algorithm looks to the
 * peer like proposals that do not match.
 *
 * Source: strongSwan, src/libcharon/plugins/vici/README.md (list-sa, log).
 */
#include <string.h>

#include "backends/ipsec_internal.h"

#define MISSED_MIN 2  /* looks without a tunnel: then it is begun again */
#define MISSED_MAX 12 /* ... when that has not helped, up to so many */
#define BEGUN_MAX  64 /* in one look */

/* ---- the table ---- */

static struct ipsec_tunnel *of_link(const struct hash_link *link)
{
	return link ? CONTAINER_OF(link, struct ipsec_tunnel, link) : NULL;
}

static uint64_t hash_of_subnet(const struct ip_net *subnet)
{
	return hash_bytes(subnet, sizeof(*subnet));
}

static uint64_t hash_of(const struct hash_link *link)
{
	return hash_of_subnet(&of_link(link)->end.subnet);
}

static void append_untold(struct ipsec_tunnels *ts, struct ipsec_tunnel *t)
{
	t->is_untold = true;
	t->next_untold = NULL;
	*(ts->untold ? &ts->last_untold->next_untold : &ts->untold) = t;
	ts->last_untold = t;
}

struct ipsec_tunnel *ipsec_tunnels_add(struct ipsec_tunnels *ts, const struct ip_net *subnet,
				       const struct ip_addr *public)
{
	struct ipsec_tunnel *t = xcalloc(1, sizeof(*t));

	t->end.subnet = *subnet;
	t->end.public = *public;
	t->patience = MISSED_MIN;
	hash_table_add(&ts->by_subnet, &t->link, hash_of);
	append_untold(ts, t);
	return t;
}

struct ipsec_tunnel *ipsec_tunnels_to(const struct ipsec_tunnels *ts, const struct ip_net *subnet)
{
	struct hash_link *link = hash_table_first(&ts->by_subnet, hash_of_subnet(subnet));

	while (link && !ip_net_equal(&of_link(link)->end.subnet, subnet))
		link = link->next;
	return of_link(link);
}

struct ipsec_tunnel *ipsec_tunnels_find(const struct ipsec_tunnels *ts,
					const struct vici_text *name)
{
	char text[IPSEC_NAME_SIZE];
	struct ipsec_end ours;
	struct ipsec_end theirs;
	struct ipsec_tunnel *t;

	if (!name->data || name->size >= sizeof(text) ||
	    !ipsec_read_name(vici_text_copy(name, text, sizeof(text)), &ours, &theirs) ||
	    !ip_net_equal(&ours.subnet, &ts->ours.subnet) ||
	    !ip_addr_equal(&ours.public, &ts->ours.public))
		return NULL;
	t = ipsec_tunnels_to(ts, &theirs.subnet);
	return t && ip_addr_equal(&t->end.public, &theirs.public) ? t : NULL;
}

struct ipsec_tunnel *ipsec_tunnels_next(const struct ipsec_tunnels *ts,
					const struct ipsec_tunnel *t)
{
	return of_link(hash_table_next(&ts->by_subnet, t ? &t->link : NULL, hash_of));
}

void ipsec_tunnel_name(const struct ipsec_tunnels *ts, const struct ipsec_tunnel *t,
		       char name[static IPSEC_NAME_SIZE], char child[static IPSEC_NAME_SIZE])
{
	ipsec_name(&ts->ours, &t->end, name, child);
}

struct ipsec_tunnel *ipsec_tunnels_tell(struct ipsec_tunnels *ts)
{
	struct ipsec_tunnel *t = ts->untold;

	if (t) {
		ts->untold = t->next_untold;
		t->is_untold = false;
	}
	return t;
}

void ipsec_tunnels_untell(struct ipsec_tunnels *ts)
{
	struct ipsec_tunnel *t = NULL;

	ts->untold = NULL;
	while ((t = ipsec_tunnels_next(ts, t)))
		append_untold(ts, t);
}

static void remove_untold(struct ipsec_tunnels *ts, const struct ipsec_tunnel *t)
{
	struct ipsec_tunnel **place = &ts->untold;
	struct ipsec_tunnel *before = NULL;

	for (; *place != t; place = &before->next_untold)
		before = *place;
	*place = t->next_untold;
	if (ts->last_untold == t)
		ts->last_untold = before;
}

void ipsec_tunnels_drop(struct ipsec_tunnels *ts, struct ipsec_tunnel *t)
{
	if (t->is_untold)
		remove_untold(ts, t);
	hash_table_remove(&ts->by_subnet, &t->link, hash_of);
	if (ts->shown == t)
		ts->shown = NULL;
	free(t);
}

void ipsec_tunnels_fini(struct ipsec_tunnels *ts)
{
	struct ipsec_tunnel *t;

	ts->untold = NULL;
	while ((t = ipsec_tunnels_next(ts, NULL))) {
		t->is_untold = false;
		ipsec_tunnels_drop(ts, t);
	}
}

/* ---- looking ---- */

void ipsec_tunnels_look(struct ipsec_tunnels *ts)
{
	struct ipsec_tunnel *t = NULL;

	while ((t = ipsec_tunnels_next(ts, t)))
		t->sees_ike = t->sees_up = false;
}

/* NAME { state, child-sas { NAME-ID { state, bytes-in, ... } } } */
static void on_sa(void *arg, enum vici_element element, unsigned depth,
		  const struct vici_text *name, const struct vici_text *value)
{
	struct ipsec_tunnels *ts = arg;

	if (element == VICI_SECTION && depth == 0)
		ts->shown = ipsec_tunnels_find(ts, name);
	if (element != VICI_VALUE || !ts->shown || !vici_text_is(name, "state"))
		return;
	/* One that is established, and has no tunnel in it, is not at work on one. */
	if (depth == 1)
		ts->shown->sees_ike |= !vici_text_is(value, "ESTABLISHED");
	if (depth == 3)
		ts->shown->sees_up |= vici_text_is(value, "INSTALLED") ||
				      vici_text_is(value, "REKEYING") ||
				      vici_text_is(value, "REKEYED");
}

int ipsec_tunnels_show(struct ipsec_tunnels *ts, const void *data, size_t size)
{
	ts->shown = NULL;
	return vici_walk(data, size, on_sa, ts, NULL);
}

/* Whether it is to be begun again: ever more rarely, and `left` of them now. */
static bool judge(struct ipsec_tunnel *t, unsigned *left)
{
	t->is_up = t->sees_up;
	if (t->is_up) {
		t->reason = 0;
		t->missed = 0;
		t->patience = MISSED_MIN;
		return false;
	}
	t->missed = (uint8_t)MIN(t->missed + 1, MISSED_MAX);
	if (t->missed < t->patience || t->sees_ike || !*left)
		return false;
	--*left;
	t->missed = 0;
	t->patience = (uint8_t)MIN(t->patience * 2, MISSED_MAX);
	return true;
}

bool ipsec_tunnels_judge(struct ipsec_tunnels *ts, ipsec_tunnel_fn *again, void *arg)
{
	struct ipsec_tunnel *t = NULL;
	unsigned left = BEGUN_MAX;
	bool changed = false;
	bool all = true;

	while ((t = ipsec_tunnels_next(ts, t))) {
		bool was_up = t->is_up;

		if (judge(t, &left))
			again(arg, t);
		changed |= was_up != t->is_up;
		all &= t->is_up;
	}
	if (all && ts->by_subnet.len)
		ts->lacks[0] = '\0';
	return changed;
}

/* ---- what charon says ---- */

struct line {
	struct vici_text name; /* of the connection */
	struct vici_text text;
};

static void on_line_value(void *arg, enum vici_element element, unsigned depth,
			  const struct vici_text *name, const struct vici_text *value)
{
	struct line *l = arg;

	if (element != VICI_VALUE || depth != 0)
		return;
	if (vici_text_is(name, "ikesa-name"))
		l->name = *value;
	else if (vici_text_is(name, "msg"))
		l->text = *value;
}

static const struct {
	const char *word; /* charon's */
	const char *meaning;
} reasons[] = {
	{ "", "" },
#define REASON(word, meaning)                                                                      \
	{                                                                                          \
		word, meaning " (charon: " word ")"                                                \
	}
	REASON("AUTHENTICATION_FAILED", "the hosts' PSK differ"),
	REASON("N(AUTH_FAILED)", "the hosts' PSK differ"),
	REASON("MAC mismatched", "the hosts' PSK differ"),
	REASON("no shared key", "the peer is not known by this address"),
	REASON("NO_PROPOSAL_CHOSEN",
	       "the hosts' ESPProposal differ, or a kernel lacks an algorithm of it"),
	REASON("N(NO_PROP)", "the hosts' ESPProposal differ, or a kernel lacks an algorithm of it"),
	REASON("no acceptable", "the hosts' ESPProposal differ"),
	REASON("TS_UNACCEPT", "the hosts do not agree on the subnets"),
	REASON("giving up", "it does not answer on UDP ports 500 and 4500"),
#undef REASON
};

const char *ipsec_tunnel_reason(const struct ipsec_tunnel *t)
{
	return reasons[t->reason].meaning;
}

bool ipsec_tunnels_log(struct ipsec_tunnels *ts, const void *data, size_t size)
{
	struct line l = { { 0 }, { 0 } };
	char text[IPSEC_LACKS_SIZE];
	struct ipsec_tunnel *t;

	if (vici_walk(data, size, on_line_value, &l, NULL) < 0)
		return false;
	vici_text_copy(&l.text, text, sizeof(text));
	/* Every kernel says it so, in this daemon's words. */
	if (strstr(text, "received netlink error")) {
		snprintf(ts->lacks, sizeof(ts->lacks), "%s", text);
		return true;
	}
	t = ipsec_tunnels_find(ts, &l.name);
	for (size_t i = 1; t && !t->is_up && i < ARRAY_LEN(reasons); i++) {
		if (!strstr(text, reasons[i].word))
			continue;
		t->reason = (uint8_t)i;
		return true;
	}
	return false;
}
