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

#define MISSED_MIN 2u  /* looks without a tunnel: then it is begun again */
#define MISSED_MAX 12u /* ... when that has not helped, up to so many */

/* ---- the table ---- */

struct ipsec_tunnel *ipsec_tunnels_add(struct ipsec_tunnels *ts, const struct ipsec *x,
				       const struct ip_net *subnet, const struct ip_addr *public)
{
	struct ipsec_tunnel *t = xcalloc(1, sizeof(*t));
	char child[IPSEC_NAME_SIZE];
	char name[IPSEC_NAME_SIZE];

	t->subnet = *subnet;
	t->public = *public;
	t->patience = MISSED_MIN;
	ipsec_name(x, subnet, public, name, child);
	t->name = xstrdup(name);
	HASH_ADD_KEYPTR(hh, ts->by_name, t->name, (unsigned)strlen(t->name), t);
	HASH_ADD(by_subnet, ts->by_subnet, subnet, sizeof(t->subnet), t);
	return t;
}

struct ipsec_tunnel *ipsec_tunnels_find(const struct ipsec_tunnels *ts,
					const struct vici_text *name)
{
	struct ipsec_tunnel *t = NULL;

	if (name->data)
		HASH_FIND(hh, ts->by_name, name->data, name->size, t);
	return t;
}

struct ipsec_tunnel *ipsec_tunnels_to(const struct ipsec_tunnels *ts, const struct ip_net *subnet)
{
	struct ipsec_tunnel *t = NULL;

	HASH_FIND(by_subnet, ts->by_subnet, subnet, sizeof(*subnet), t);
	return t;
}

/* The name without the addresses at both ends. */
const char *ipsec_tunnel_child(const struct ipsec_tunnel *t, char buf[static IPSEC_NAME_SIZE])
{
	const char *first = strchr(t->name, '-') + 1;

	snprintf(buf, IPSEC_NAME_SIZE, "%.*s", (int)(strrchr(t->name, '-') - first), first);
	return buf;
}

static void free_tunnel(struct ipsec_tunnel *t)
{
	free(t->name);
	free(t->reason);
	free(t);
}

void ipsec_tunnels_drop(struct ipsec_tunnels *ts, struct ipsec_tunnel *t)
{
	HASH_DEL(ts->by_name, t);
	HASH_DELETE(by_subnet, ts->by_subnet, t);
	if (ts->shown == t)
		ts->shown = NULL;
	free_tunnel(t);
}

void ipsec_tunnels_fini(struct ipsec_tunnels *ts)
{
	HASH_CLEAR(by_subnet, ts->by_subnet);
	while (ts->by_name) {
		struct ipsec_tunnel *t = ts->by_name;

		HASH_DEL(ts->by_name, t);
		free_tunnel(t);
	}
	ts->shown = NULL;
}

/* ---- looking ---- */

void ipsec_tunnels_look(struct ipsec_tunnels *ts)
{
	for (struct ipsec_tunnel *t = ts->by_name; t; t = t->hh.next)
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

/* Whether it is to be begun again: ever more rarely. */
static bool judge(struct ipsec_tunnel *t)
{
	t->is_up = t->sees_up;
	if (t->is_up) {
		free(STEAL(t->reason));
		t->missed = 0;
		t->patience = MISSED_MIN;
		return false;
	}
	if (++t->missed < t->patience || t->sees_ike)
		return false;
	t->missed = 0;
	t->patience = MIN(t->patience * 2, MISSED_MAX);
	return true;
}

bool ipsec_tunnels_judge(struct ipsec_tunnels *ts, ipsec_tunnel_fn *again, void *arg)
{
	bool changed = false;
	bool all = true;

	for (struct ipsec_tunnel *t = ts->by_name; t; t = t->hh.next) {
		bool was_up = t->is_up;

		if (judge(t))
			again(arg, t);
		changed |= was_up != t->is_up;
		all &= t->is_up;
	}
	if (all && ts->by_name)
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
	{ "AUTHENTICATION_FAILED", "the hosts' PSK differ" },
	{ "N(AUTH_FAILED)", "the hosts' PSK differ" },
	{ "MAC mismatched", "the hosts' PSK differ" },
	{ "no shared key", "the peer is not known by this address" },
	{ "NO_PROPOSAL_CHOSEN",
	  "the hosts' ESPProposal differ, or a kernel lacks an algorithm of it" },
	{ "N(NO_PROP)", "the hosts' ESPProposal differ, or a kernel lacks an algorithm of it" },
	{ "no acceptable", "the hosts' ESPProposal differ" },
	{ "TS_UNACCEPT", "the hosts do not agree on the subnets" },
	{ "giving up", "it does not answer on UDP ports 500 and 4500" },
};

bool ipsec_tunnels_log(struct ipsec_tunnels *ts, const void *data, size_t size)
{
	struct line l = { { 0 }, { 0 } };
	char text[IPSEC_REASON_SIZE];
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
	for (size_t i = 0; t && !t->is_up && i < ARRAY_LEN(reasons); i++) {
		if (!strstr(text, reasons[i].word))
			continue;
		free(t->reason);
		t->reason = xasprintf("%s (charon: %.80s)", reasons[i].meaning, text);
		return true;
	}
	return false;
}
