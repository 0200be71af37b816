/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What strongSwan's charon is told for ipsec, and what it says: a connection with its key for each peer, named
 * as flannel names them,
 *
 *   <our address>-<our subnet>-<their subnet>-<their address>
 *
 * charon runs beside us and outlives us, and what it holds stays when we stop. When it goes, all is told again to
 * the next one. A tunnel that it has given up is begun again.
 *
 * Its own words about a connection are kept, since the reason of a failure is nowhere else: a kernel that lacks
 * an algorithm looks to the peer like proposals that do not match.
 *
 * Source: strongSwan, src/libcharon/plugins/vici/README.md.
 */
#include "backends/ipsec_internal.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <string.h>
#include <uthash.h>

#include "lib/backoff.h"
#include "lib/clock.h"
#include "lib/log.h"

#define NOTE        "ipsec.used"
#define LOOK_S      5 /* between two looks at charon's tunnels */
#define MISSED_MAX  2 /* looks without a tunnel: then it is begun again */
#define REASON_SIZE 160

static const struct backoff_policy again = { .min_ms = 500, .max_ms = 10000 };

struct tunnel {
	UT_hash_handle hh;
	char name[IPSEC_NAME_SIZE]; /* of the connection; the key */
	char child[IPSEC_NAME_SIZE];
	struct ip_net subnet;
	struct ip_addr public;
	bool has_ike; /* as the last look has shown */
	bool is_up;
	bool sees_ike; /* as the present one does */
	bool sees_up;
	unsigned missed;
	char reason[REASON_SIZE]; /* why it is not up; "": not known */
};

struct ipsec_charon {
	struct ipsec *owner;
	const struct backend_env *env;
	struct vici *vici;
	struct event *retry;
	struct event *look;
	struct backoff backoff;
	bool answers;
	bool swept;
	bool wants_sweep;
	char failure[ERR_TEXT_SIZE]; /* why it does not answer */
	char lacks[REASON_SIZE];     /* what the kernel refused to charon; "": nothing */
	struct tunnel *tunnels;
	struct tunnel *shown; /* during a look: whose elements these are */
};

static void tell_health(const struct ipsec_charon *c)
{
	c->env->changed(c->env->arg, BACKEND_HEALTH);
}

/* ---- requests ---- */

static void on_done(void *arg UNUSED, int rc, const void *data UNUSED, size_t size UNUSED,
		    const struct err *e)
{
	if (rc == -EREMOTEIO || rc == -EOPNOTSUPP)
		log_debug("charon", "%s", e->text);
}

/* What cannot be sent is sent when charon is there again. */
static void request(struct ipsec_charon *c, const char *command, struct vici_message *m,
		    vici_done_fn *done)
{
	struct err e;

	if (c->vici && vici_request(c->vici, command, m, done, c, &e) < 0 && e.code != -ENOTCONN)
		log_warn("charon", "%s: %s", command, e.text);
	vici_message_fini(m);
}

static void on_loaded(void *arg, int rc, const void *data UNUSED, size_t size UNUSED,
		      const struct err *e)
{
	struct ipsec_charon *c = arg;

	if (rc != -EREMOTEIO)
		return;
	snprintf(c->lacks, sizeof(c->lacks), "%.150s", e->text);
	tell_health(c);
}

static void load(struct ipsec_charon *c, const struct tunnel *t)
{
	auto_vici_message struct vici_message m = { 0 };

	ipsec_put_key(&m, c->owner, t->name, &t->public);
	request(c, "load-shared", &m, on_done);
	ipsec_put_connection(&m, c->owner, t->name, t->child, &t->subnet, &t->public);
	request(c, "load-conn", &m, on_loaded);
}

static void unload(struct ipsec_charon *c, const char *name)
{
	auto_vici_message struct vici_message m = { 0 };

	vici_value(&m, "name", name);
	request(c, "unload-conn", &m, on_done);
	vici_value(&m, "ike", name);
	vici_value(&m, "force", "yes");
	vici_value(&m, "timeout", "-1");
	request(c, "terminate", &m, on_done);
	vici_value(&m, "id", name);
	request(c, "unload-shared", &m, on_done);
}

static void initiate(struct ipsec_charon *c, const struct tunnel *t)
{
	auto_vici_message struct vici_message m = { 0 };

	vici_value(&m, "ike", t->name);
	vici_value(&m, "child", t->child);
	vici_value(&m, "timeout", "-1");
	request(c, "initiate", &m, on_done);
}

/* ---- looking ---- */

static void on_child_value(struct tunnel *t, const struct vici_text *name,
			   const struct vici_text *value)
{
	if (vici_text_is(name, "state"))
		t->sees_up |= vici_text_is(value, "INSTALLED") || vici_text_is(value, "REKEYING") ||
			      vici_text_is(value, "REKEYED");
}

static struct tunnel *find(const struct ipsec_charon *c, const struct vici_text *name)
{
	struct tunnel *t = NULL;

	if (name->data)
		HASH_FIND(hh, c->tunnels, name->data, name->size, t);
	return t;
}

/* NAME { child-sas { NAME-ID { state, bytes-in, ... } } } */
static void on_sa(void *arg, enum vici_element element, unsigned depth,
		  const struct vici_text *name, const struct vici_text *value)
{
	struct ipsec_charon *c = arg;

	if (element == VICI_SECTION && depth == 0) {
		c->shown = find(c, name);
		if (c->shown)
			c->shown->sees_ike = true;
	}
	if (element == VICI_VALUE && depth == 3 && c->shown)
		on_child_value(c->shown, name, value);
}

static void judge(struct ipsec_charon *c, struct tunnel *t)
{
	bool changed = t->is_up != t->sees_up;

	t->is_up = t->sees_up;
	t->has_ike = t->sees_ike;
	if (t->is_up)
		t->reason[0] = '\0';
	t->missed = t->is_up ? 0 : t->missed + 1;
	if (t->missed >= MISSED_MAX && !t->has_ike) {
		t->missed = 1;
		initiate(c, t);
	}
	if (changed)
		tell_health(c);
}

static void on_looked(void *arg, int rc, const void *data UNUSED, size_t size UNUSED,
		      const struct err *e UNUSED)
{
	const struct timeval pause = { LOOK_S, 0 };
	struct ipsec_charon *c = arg;
	bool all = true;

	if (rc < 0)
		return;
	for (struct tunnel *t = c->tunnels; t; t = t->hh.next) {
		judge(c, t);
		all &= t->is_up;
	}
	if (all && c->tunnels)
		c->lacks[0] = '\0';
	event_add(c->look, &pause);
}

static void look(struct ipsec_charon *c)
{
	auto_vici_message struct vici_message m = { 0 };

	for (struct tunnel *t = c->tunnels; t; t = t->hh.next)
		t->sees_ike = t->sees_up = false;
	request(c, "list-sas", &m, on_looked);
}

static void on_look(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	look(arg);
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

static void on_log(struct ipsec_charon *c, const void *data, size_t size)
{
	static const char *const reasons[] = { "NO_PROP",   "AUTH",        "no acceptable",
					       "giving up", "TS_UNACCEPT", "no shared key" };
	struct line l = { { 0 }, { 0 } };
	char text[REASON_SIZE];
	struct tunnel *t;

	if (vici_walk(data, size, on_line_value, &l, NULL) < 0)
		return;
	vici_text_copy(&l.text, text, sizeof(text));
	/* Every kernel says it so, in this daemon's words. */
	if (strstr(text, "received netlink error")) {
		snprintf(c->lacks, sizeof(c->lacks), "%s", text);
		tell_health(c);
		return;
	}
	t = find(c, &l.name);
	for (size_t i = 0; t && !t->is_up && i < ARRAY_LEN(reasons); i++) {
		if (strstr(text, reasons[i]))
			snprintf(t->reason, sizeof(t->reason), "%s", text);
	}
}

static void on_event(void *arg, const char *name, const void *data, size_t size)
{
	struct ipsec_charon *c = arg;

	c->shown = NULL;
	if (strcmp(name, "log") == 0)
		on_log(c, data, size);
	else if (strcmp(name, "list-sa") == 0 && vici_walk(data, size, on_sa, c, NULL) < 0)
		log_debug("charon", "a tunnel that cannot be read");
}

/* ---- what an earlier run left ---- */

static void on_connection(void *arg, enum vici_element element, unsigned depth UNUSED,
			  const struct vici_text *name UNUSED, const struct vici_text *value)
{
	struct ipsec_charon *c = arg;
	char text[IPSEC_NAME_SIZE];

	if (element != VICI_ITEM || value->size >= sizeof(text) || find(c, value))
		return;
	vici_text_copy(value, text, sizeof(text));
	if (!ipsec_is_name(text))
		return;
	log_info("sweep", "charon's connection %s is nobody's, removed", text);
	unload(c, text);
}

static char *note_path(const struct ipsec_charon *c)
{
	return xasprintf("%s/" NOTE, c->env->state_dir);
}

static void on_connections(void *arg, int rc, const void *data, size_t size,
			   const struct err *e UNUSED)
{
	struct ipsec_charon *c = arg;

	if (rc < 0 || vici_walk(data, size, on_connection, c, NULL) < 0)
		return;
	c->swept = true;
	if (c->owner->leftover) {
		auto_free char *path = note_path(c);

		unlink(path);
	}
}

static void sweep(struct ipsec_charon *c)
{
	auto_vici_message struct vici_message m = { 0 };

	c->wants_sweep = true;
	if (c->answers && !c->swept)
		request(c, "get-conns", &m, on_connections);
}

/* ---- the connection to charon ---- */

static void on_answers(void *arg, int rc, const void *data UNUSED, size_t size UNUSED,
		       const struct err *e UNUSED)
{
	struct ipsec_charon *c = arg;

	if (rc < 0)
		return;
	log_info("charon", "it answers; %u connections are told", HASH_COUNT(c->tunnels));
	c->answers = true;
	backoff_reset(&c->backoff);
	for (struct tunnel *t = c->tunnels; t; t = t->hh.next)
		load(c, t);
	if (c->wants_sweep)
		sweep(c);
	look(c);
	tell_health(c);
}

static void on_lost(void *arg, const struct err *e)
{
	struct ipsec_charon *c = arg;
	int64_t delay_ms = backoff_next(&c->backoff, &again, clock_boot_ms());
	const struct timeval pause = { delay_ms / 1000, delay_ms % 1000 * 1000 };

	vici_free(STEAL(c->vici));
	snprintf(c->failure, sizeof(c->failure), "%s", e->text);
	if (c->answers)
		log_warn("charon", "%s", c->failure);
	c->answers = c->swept = false;
	event_del(c->look);
	event_add(c->retry, &pause);
	tell_health(c);
}

static void connect_now(struct ipsec_charon *c)
{
	static const struct vici_ops ops = { .event = on_event, .lost = on_lost };
	const char *path = getenv("VICI_SOCKET");
	struct err e;

	c->vici = vici_new(c->env->loop, path && *path ? path : VICI_SOCKET, &ops, c);
	if (vici_register(c->vici, "log", NULL, NULL, &e) < 0 ||
	    vici_register(c->vici, "list-sa", on_answers, c, &e) < 0)
		log_warn("charon", "%s", e.text);
}

static void on_retry(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	connect_now(arg);
}

/* ---- tunnels ---- */

static void drop(struct ipsec_charon *c, struct tunnel *t)
{
	HASH_DEL(c->tunnels, t);
	if (c->answers)
		unload(c, t->name);
	free(t);
}

static void add(struct ipsec_charon *c, const struct ip_net *subnet, const struct ip_addr *public)
{
	struct tunnel *t = xcalloc(1, sizeof(*t));

	t->subnet = *subnet;
	t->public = *public;
	ipsec_name(c->owner, subnet, public, t->name, t->child);
	HASH_ADD(hh, c->tunnels, name, (unsigned)strlen(t->name), t);
	if (c->answers)
		load(c, t);
}

void ipsec_charon_moved(struct ipsec_charon *c)
{
	struct tunnel *old = c ? c->tunnels : NULL;
	struct tunnel *next;

	if (!c)
		return;
	c->tunnels = NULL;
	for (struct tunnel *t = old; t; t = next) {
		next = t->hh.next;
		if (c->answers)
			unload(c, t->name);
		add(c, &t->subnet, &t->public);
	}
	while (old) {
		struct tunnel *t = old;

		HASH_DEL(old, t);
		free(t);
	}
}

/* ---- the live part ---- */

static int ipsec_start(struct backend *b, const struct backend_env *env, struct err *e UNUSED)
{
	struct ipsec *x = (struct ipsec *)b;
	struct ipsec_charon *c = xcalloc(1, sizeof(*c));
	auto_free char *path = NULL;
	auto_close int note = -1;

	x->charon = c;
	c->owner = x;
	c->env = env;
	c->retry = evtimer_new(env->loop, on_retry, c);
	c->look = evtimer_new(env->loop, on_look, c);
	snprintf(c->failure, sizeof(c->failure), "it has not answered yet");
	path = note_path(c);
	if (!x->leftover)
		note = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	connect_now(c);
	return 0;
}

static void ipsec_own(struct backend *b, const struct subnet *own)
{
	struct ipsec *x = (struct ipsec *)b;
	bool changed = memcmp(&x->own, own, sizeof(*own)) != 0;

	x->own = *own;
	if (changed)
		ipsec_charon_moved(x->charon);
}

static struct tunnel *find_subnet(const struct ipsec_charon *c, const struct ip_net *subnet)
{
	for (struct tunnel *t = c->tunnels; t; t = t->hh.next) {
		if (t->subnet.len == subnet->len && ip_addr_equal(&t->subnet.addr, &subnet->addr))
			return t;
	}
	return NULL;
}

static void ipsec_peer(struct backend *b, const struct lease *peer, const void *data UNUSED,
		       bool gone)
{
	struct ipsec_charon *c = ((struct ipsec *)b)->charon;
	struct tunnel *t = find_subnet(c, &peer->subnet.v4);

	if (t && !gone && ip_addr_equal(&t->public, &peer->public_v4))
		return;
	if (t)
		drop(c, t);
	if (!gone)
		add(c, &peer->subnet.v4, &peer->public_v4);
}

static void ipsec_sweep(struct backend *b)
{
	sweep(((struct ipsec *)b)->charon);
}

static void ipsec_health(const struct backend *b, struct problem_list *ret)
{
	const struct ipsec_charon *c = ((const struct ipsec *)b)->charon;
	const struct tunnel *first = NULL;
	char text[IP_NET_TEXT];
	unsigned down = 0;

	if (c->owner->leftover)
		return;
	if (!c->answers)
		problem_add(
			ret, PROBLEM_ERROR, "charon-absent",
			"strongSwan's charon does not answer, so no tunnel is made or renewed: %s",
			c->failure);
	if (c->lacks[0])
		problem_add(
			ret, PROBLEM_ERROR, "ipsec-refused",
			"the kernel or charon refused: %s; a peer takes that for proposals that do "
			"not match (NO_PROPOSAL_CHOSEN)",
			c->lacks);
	for (const struct tunnel *t = c->tunnels; t && c->answers; t = t->hh.next) {
		first = !t->is_up && !first ? t : first;
		down += !t->is_up;
	}
	if (down)
		problem_add(ret, PROBLEM_WARNING, "ipsec-down", "no tunnel to %s%s%s (%u of %u)",
			    ip_net_format(&first->subnet, text), first->reason[0] ? ": " : "",
			    first->reason, down, HASH_COUNT(c->tunnels));
}

/* charon and what it holds stay. */
static void ipsec_stop(struct backend *b, bool keep_data_path UNUSED)
{
	struct ipsec *x = (struct ipsec *)b;
	struct ipsec_charon *c = STEAL(x->charon);

	vici_free(c->vici);
	event_free(c->retry);
	event_free(c->look);
	while (c->tunnels) {
		struct tunnel *t = c->tunnels;

		HASH_DEL(c->tunnels, t);
		free(t);
	}
	free(c);
}

struct backend *ipsec_leftover(const char *state_dir)
{
	auto_free char *path = xasprintf("%s/" NOTE, state_dir);
	struct ipsec *x;

	if (access(path, F_OK) < 0)
		return NULL;
	x = ipsec_new();
	x->leftover = true;
	return &x->base;
}

const struct backend_live ipsec_live = {
	.start = ipsec_start,
	.own = ipsec_own,
	.peer = ipsec_peer,
	.sweep = ipsec_sweep,
	.health = ipsec_health,
	.stop = ipsec_stop,
};
