/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What strongSwan's charon is told for ipsec: a connection with its key for each peer, named as flannel names
 * them,
 *
 *   <our address>-<our subnet>-<their subnet>-<their address>
 *
 * charon runs beside us and outlives us, and what it holds stays when we stop. When it goes, all is told again to
 * the next one; where none answers one is started (backends/ipsec_process.c). A tunnel that it has given up is begun
 * again (backends/ipsec_tunnels.c).
 *
 * Source: strongSwan, src/libcharon/plugins/vici/README.md.
 */
#include "backends/ipsec_internal.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <string.h>

#include "lib/backoff.h"
#include "lib/clock.h"
#include "lib/log.h"

#define NOTE        "ipsec.used"
#define LOOK_S      5    /* between two looks at charon's tunnels */
#define PATIENCE_MS 2000 /* for one that somebody else starts, or starts again, to answer */

static const struct backoff_policy again = { .min_ms = 500, .max_ms = 10000 };
static const struct backoff_policy start_again = { .min_ms = 2000, .max_ms = 300000 };

struct ipsec_charon {
	struct ipsec *owner;
	const struct backend_env *env;
	struct vici *vici;
	struct ipsec_process *process; /* that we have started; NULL: none, or an earlier run has */
	struct event *retry;
	struct event *look;
	struct backoff backoff;
	struct backoff starts;
	int64_t start_ms; /* none is started before */
	bool answers;
	bool telling; /* of one connection, until it says what it makes of that */
	bool swept;
	bool wants_sweep;
	char failure[ERR_TEXT_SIZE]; /* why it does not answer */
	char unstarted
		[ERR_TEXT_SIZE]; /* why none could be started; "": it was, or was not needed */
	struct ipsec_tunnels tunnels;
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

static void tell(struct ipsec_charon *c);

static void on_loaded(void *arg, int rc, const void *data UNUSED, size_t size UNUSED,
		      const struct err *e)
{
	struct ipsec_charon *c = arg;

	c->telling = false;
	if (rc == -EREMOTEIO) {
		snprintf(c->tunnels.lacks, sizeof(c->tunnels.lacks), "%.150s", e->text);
		tell_health(c);
	}
	if (rc == 0 || rc == -EREMOTEIO)
		tell(c);
}

/* The next that it does not know of, when it has taken the last one: what waits to be sent is never much. */
static void tell(struct ipsec_charon *c)
{
	auto_vici_message struct vici_message m = { 0 };
	char name[IPSEC_NAME_SIZE];
	char child[IPSEC_NAME_SIZE];
	const struct ipsec_tunnel *t;

	if (!c->answers || c->telling)
		return;
	t = ipsec_tunnels_tell(&c->tunnels);
	if (!t)
		return;
	c->telling = true;
	ipsec_tunnel_name(&c->tunnels, t, name, child);
	ipsec_put_key(&m, c->owner, name, &t->end.public);
	request(c, "load-shared", &m, on_done);
	ipsec_put_connection(&m, c->owner, name, child, &t->end.subnet, &t->end.public);
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

/* What it knows of. */
static void unload_tunnel(struct ipsec_charon *c, const struct ipsec_tunnels *ts,
			  const struct ipsec_tunnel *t)
{
	char name[IPSEC_NAME_SIZE];
	char child[IPSEC_NAME_SIZE];

	if (!c->answers || t->is_untold)
		return;
	ipsec_tunnel_name(ts, t, name, child);
	unload(c, name);
}

static void initiate(void *arg, const struct ipsec_tunnel *t)
{
	struct ipsec_charon *c = arg;
	auto_vici_message struct vici_message m = { 0 };
	char name[IPSEC_NAME_SIZE];
	char child[IPSEC_NAME_SIZE];

	ipsec_tunnel_name(&c->tunnels, t, name, child);
	vici_value(&m, "ike", name);
	vici_value(&m, "child", child);
	vici_value(&m, "timeout", "-1");
	request(c, "initiate", &m, on_done);
}

/* ---- looking ---- */

static void on_looked(void *arg, int rc, const void *data UNUSED, size_t size UNUSED,
		      const struct err *e UNUSED)
{
	const struct timeval pause = { LOOK_S, 0 };
	struct ipsec_charon *c = arg;

	if (rc < 0)
		return;
	if (ipsec_tunnels_judge(&c->tunnels, initiate, c))
		tell_health(c);
	event_add(c->look, &pause);
}

static void look(struct ipsec_charon *c)
{
	auto_vici_message struct vici_message m = { 0 };

	ipsec_tunnels_look(&c->tunnels);
	request(c, "list-sas", &m, on_looked);
}

static void on_look(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	look(arg);
}

static void on_event(void *arg, const char *name, const void *data, size_t size)
{
	struct ipsec_charon *c = arg;

	if (strcmp(name, "log") == 0 && ipsec_tunnels_log(&c->tunnels, data, size))
		tell_health(c);
	else if (strcmp(name, "list-sa") == 0 && ipsec_tunnels_show(&c->tunnels, data, size) < 0)
		log_debug("charon", "a tunnel that cannot be read");
}

/* ---- what an earlier run left ---- */

static char *note_path(const struct ipsec_charon *c)
{
	return xasprintf("%s/" NOTE, c->env->state_dir);
}

/* Nothing of ours is there any more. */
static void forget(const struct ipsec_charon *c)
{
	auto_free char *path = note_path(c);

	unlink(path);
}

static void on_connection(void *arg, enum vici_element element, unsigned depth UNUSED,
			  const struct vici_text *name UNUSED, const struct vici_text *value)
{
	struct ipsec_charon *c = arg;
	struct ipsec_end ours;
	struct ipsec_end theirs;
	char text[IPSEC_NAME_SIZE];

	if (element != VICI_ITEM || value->size >= sizeof(text) ||
	    ipsec_tunnels_find(&c->tunnels, value))
		return;
	vici_text_copy(value, text, sizeof(text));
	if (!ipsec_read_name(text, &ours, &theirs))
		return;
	log_info("sweep", "charon's connection %s is nobody's, removed", text);
	unload(c, text);
}

static void on_connections(void *arg, int rc, const void *data, size_t size,
			   const struct err *e UNUSED)
{
	struct ipsec_charon *c = arg;

	if (rc < 0 || vici_walk(data, size, on_connection, c, NULL) < 0)
		return;
	c->swept = true;
	if (c->owner->leftover)
		forget(c);
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
	log_info("charon", "it answers; %zu connections are told", c->tunnels.by_subnet.len);
	c->answers = true;
	c->unstarted[0] = '\0';
	backoff_reset(&c->backoff);
	backoff_reset(&c->starts);
	ipsec_tunnels_untell(&c->tunnels);
	tell(c);
	if (c->wants_sweep)
		sweep(c);
	look(c);
	tell_health(c);
}

static void on_ended(void *arg, const struct err *e)
{
	struct ipsec_charon *c = arg;

	ipsec_process_free(STEAL(c->process));
	/* Status has it; the log has it once. */
	if (strcmp(c->unstarted, e->text) != 0)
		log_warn("charon", "%s", e->text);
	snprintf(c->unstarted, sizeof(c->unstarted), "%s", e->text);
	tell_health(c);
}

/* Another place than flannel's is somebody's who runs it. */
static const char *other_socket(void)
{
	const char *path = getenv("VICI_SOCKET");

	return path && *path ? path : NULL;
}

/* Where none answers for a while. */
static void start_one(struct ipsec_charon *c, int64_t now_ms)
{
	auto_free char *path = note_path(c);
	struct err e;

	if (other_socket() || c->owner->leftover || c->process || now_ms < c->start_ms)
		return;
	c->start_ms = now_ms + backoff_next(&c->starts, &start_again, now_ms);
	if (ipsec_process_start(c->env->loop, on_ended, c, &c->process, &e) < 0) {
		snprintf(c->unstarted, sizeof(c->unstarted), "%s", e.text);
		return;
	}
	backoff_reset(&c->backoff);
	if (ipsec_process_note(c->process, path, &e) < 0)
		log_warn("charon", "%s", e.text);
}

static void retry_later(struct ipsec_charon *c, int64_t now_ms)
{
	int64_t delay_ms = backoff_next(&c->backoff, &again, now_ms);
	const struct timeval pause = { delay_ms / 1000, delay_ms % 1000 * 1000 };

	event_add(c->retry, &pause);
}

static void on_lost(void *arg, const struct err *e)
{
	struct ipsec_charon *c = arg;
	int64_t now_ms = clock_boot_ms();

	vici_free(STEAL(c->vici));
	event_del(c->look);
	/* With charon go its connections. */
	if (c->owner->leftover && (e->code == -ENOENT || e->code == -ECONNREFUSED)) {
		forget(c);
		return;
	}
	snprintf(c->failure, sizeof(c->failure), "%s", e->text);
	if (c->answers) {
		log_warn("charon", "%s", c->failure);
		c->start_ms = now_ms + PATIENCE_MS;
	}
	c->answers = c->swept = c->telling = false;
	start_one(c, now_ms);
	retry_later(c, now_ms);
	tell_health(c);
}

static void connect_now(struct ipsec_charon *c)
{
	static const struct vici_ops ops = { .event = on_event, .lost = on_lost };
	const char *path = other_socket();
	struct err e;

	c->vici = vici_new(c->env->loop, path ? path : VICI_SOCKET, &ops, c);
	if (vici_register(c->vici, "log", NULL, NULL, &e) < 0 ||
	    vici_register(c->vici, "list-sa", on_answers, c, &e) < 0)
		log_warn("charon", "%s", e.text);
}

static void on_retry(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	connect_now(arg);
}

/* ---- tunnels ---- */

static void name_us(struct ipsec_charon *c)
{
	c->tunnels.ours.subnet = c->owner->own.v4;
	c->tunnels.ours.public = c->owner->host.public_v4;
}

void ipsec_charon_moved(struct ipsec_charon *c)
{
	struct ipsec_tunnels old;
	const struct ipsec_tunnel *t = NULL;

	if (!c)
		return;
	old = c->tunnels;
	c->tunnels = (struct ipsec_tunnels){ 0 };
	name_us(c);
	while ((t = ipsec_tunnels_next(&old, t))) {
		unload_tunnel(c, &old, t);
		ipsec_tunnels_add(&c->tunnels, &t->end.subnet, &t->end.public);
	}
	ipsec_tunnels_fini(&old);
	tell(c);
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
	name_us(c);
	c->retry = evtimer_new(env->loop, on_retry, c);
	c->look = evtimer_new(env->loop, on_look, c);
	c->start_ms = clock_boot_ms() + PATIENCE_MS;
	snprintf(c->failure, sizeof(c->failure), "it has not answered yet");
	path = note_path(c);
	if (x->leftover && ipsec_process_end(path)) {
		forget(c);
		return 0;
	}
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

static void ipsec_peer(struct backend *b, const struct lease *peer, const void *data UNUSED,
		       bool gone)
{
	struct ipsec_charon *c = ((struct ipsec *)b)->charon;
	struct ipsec_tunnel *t = ipsec_tunnels_to(&c->tunnels, &peer->subnet.v4);

	if (t && !gone && ip_addr_equal(&t->end.public, &peer->public_v4))
		return;
	if (t) {
		unload_tunnel(c, &c->tunnels, t);
		ipsec_tunnels_drop(&c->tunnels, t);
	}
	if (!gone)
		ipsec_tunnels_add(&c->tunnels, &peer->subnet.v4, &peer->public_v4);
	tell(c);
}

static void ipsec_sweep(struct backend *b)
{
	sweep(((struct ipsec *)b)->charon);
}

static void absent(const struct ipsec_charon *c, struct problem_list *ret)
{
	const char *hint = "";

	if (c->unstarted[0])
		hint = c->unstarted;
	else if (c->process)
		hint = "one was started, and has to load the plugin vici (Debian's package "
		       "strongswan-swanctl)";
	problem_add(
		ret, PROBLEM_ERROR, "charon-absent",
		"strongSwan's charon does not answer, so no tunnel is made or renewed: %.120s%s%s",
		c->failure, *hint ? "; " : "", hint);
}

static void ipsec_health(const struct backend *b, struct problem_list *ret)
{
	const struct ipsec_charon *c = ((const struct ipsec *)b)->charon;
	const struct ipsec_tunnel *first = NULL;
	const struct ipsec_tunnel *t = NULL;
	char text[IP_NET_TEXT];
	unsigned down = 0;

	if (c->owner->leftover)
		return;
	if (!c->answers)
		absent(c, ret);
	if (c->tunnels.lacks[0])
		problem_add(
			ret, PROBLEM_ERROR, "ipsec-refused",
			"the kernel or charon refused: %s; a peer takes that for proposals that do "
			"not match (NO_PROPOSAL_CHOSEN)",
			c->tunnels.lacks);
	while (c->answers && (t = ipsec_tunnels_next(&c->tunnels, t))) {
		/* One whose reason is known rather than one that has only begun. */
		if (!t->is_up && (!first || (t->reason && !first->reason)))
			first = t;
		down += !t->is_up;
	}
	if (down)
		problem_add(ret, PROBLEM_WARNING, "ipsec-down", "no tunnel to %s%s%s (%u of %zu)",
			    ip_net_format(&first->end.subnet, text), first->reason ? ": " : "",
			    ipsec_tunnel_reason(first), down, c->tunnels.by_subnet.len);
}

/* charon and what it holds stay. */
static void ipsec_stop(struct backend *b, bool keep_data_path UNUSED)
{
	struct ipsec *x = (struct ipsec *)b;
	struct ipsec_charon *c = STEAL(x->charon);

	vici_free(c->vici);
	ipsec_process_free(c->process);
	event_free(c->retry);
	event_free(c->look);
	ipsec_tunnels_fini(&c->tunnels);
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
