/* SPDX-License-Identifier: Apache-2.0 */
/* The backend of the fabric: made, told where it stands, and what it runs beside kernel objects. */
#include <errno.h>
#include <event2/event.h>
#include <string.h>

#include "fabric/fabric_internal.h"
#include "fastpath/fast_path.h"
#include "kernel/rehearsal.h"
#include "lib/log.h"
#include "lib/secret.h"

/* From the loop, whatever the backend was in the middle of when it said so. */
static void on_changes(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct fabric *f = arg;
	unsigned changes = f->changes;

	f->changes = 0;
	if (changes & BACKEND_DEVICES)
		f->devices_dirty = true;
	if (changes & (BACKEND_DEVICES | BACKEND_WANTS))
		f->wants_dirty = true;
	if (f->devices_dirty || f->wants_dirty)
		fabric_want_work(f, 0);
	f->ops->backend_changed(f->arg, changes & BACKEND_PUBLISH);
}

static void on_changed(void *arg, unsigned what)
{
	struct fabric *f = arg;

	f->changes |= what;
	event_active(f->change_event, 0, 0);
}

static int load_secret(const struct fabric *f, uint8_t secret[static SECRET_KEY_MAX], struct err *e)
{
	const struct backend_secret *wanted = f->backend->type->secret;
	auto_free char *path = NULL;
	const char *from;
	bool taken = false;
	int rc;

	if (!wanted)
		return 0;
	path = xasprintf("%s/%s", f->state_dir, wanted->name);
	if (rehearsal_is_on() && access(path, F_OK) < 0)
		return err_sys(e, -errno, "%s, where this host's key is", path);
	if (!wanted->flannel_path)
		return secret_load(path, secret, wanted->size, e);
	from = getenv(wanted->flannel_variable);
	from = from ? from : wanted->flannel_path;
	rc = secret_take(path, from, secret, wanted->size, &taken, e);
	if (taken)
		log_info("takeover", "flannel's key in %s is ours now, and kept in %s", from, path);
	return rc;
}

int fabric_set_host(struct fabric *f, const struct external *x, struct err *e)
{
	uint8_t secret[SECRET_KEY_MAX];
	struct backend_host host = {
		.node_id = f->node_id,
		.secret = secret,
		.lower = { { x->places[0].ifindex, x->places[0].mtu_bytes },
			   { x->places[1].ifindex, x->places[1].mtu_bytes } },
		.local_v4 = x->places[0].local,
		.local_v6 = x->places[1].local,
		.public_v4 = x->places[0].public,
		.public_v6 = x->places[1].public,
	};
	int rc = load_secret(f, secret, e);

	if (rc == 0)
		rc = f->backend->type->set_host(f->backend, &host, e);
	explicit_bzero(secret, sizeof(secret));
	if (rc == 0)
		f->external = *x;
	return rc;
}

int fabric_start_backend(struct fabric *f, struct err *e)
{
	const struct backend_live *live = f->backend->type->live;
	int rc;

	f->env = (struct backend_env){ .loop = f->base,
				       .kernel = &f->kernel,
				       .state_dir = f->state_dir,
				       .changed = on_changed,
				       .arg = f };
	if (!f->change_event)
		f->change_event = event_new(f->base, -1, 0, on_changes, f);
	if (!live || rehearsal_is_on())
		return 0;
	rc = live->start(f->backend, &f->env, e);
	f->live = rc == 0;
	return rc;
}

void fabric_tell_own(const struct fabric *f)
{
	const struct backend_live *live = f->backend->type->live;

	if ((f->live || rehearsal_is_on()) && live && live->own)
		live->own(f->backend, &f->own);
}

/* Of all types but ours. */
static void find_former(struct fabric *f)
{
	for (size_t i = 0; backend_types[i] && !f->former; i++) {
		const struct backend_type *type = backend_types[i];

		if (type != f->backend->type && type->leftover)
			f->former = type->leftover(f->state_dir);
	}
	if (!f->former)
		return;
	log_info("leftover", "what backend %s left is removed", f->former->type->name);
	if (f->former->type->live->start(f->former, &f->env, NULL) < 0)
		backend_free(STEAL(f->former));
}

void fabric_sweep_live(struct fabric *f)
{
	const struct backend_live *live = f->live ? f->backend->type->live : NULL;

	if (live && live->sweep)
		live->sweep(f->backend);
	if (!f->former_sought)
		find_former(f);
	f->former_sought = true;
	if (f->former)
		f->former->type->live->sweep(f->former);
}

static void drop_former(struct fabric *f)
{
	if (f->former)
		f->former->type->live->stop(f->former, true);
	backend_free(STEAL(f->former));
	f->former_sought = false;
}

void fabric_drop_backend(struct fabric *f)
{
	drop_former(f);

	if (f->live)
		f->backend->type->live->stop(f->backend, true);
	f->live = false;
	f->changes = 0;
	/* They point into the backend. */
	memset(f->kernel.marks.devices, 0, sizeof(f->kernel.marks.devices));
	if (f->change_event)
		event_del(f->change_event);
	backend_free(STEAL(f->backend));
}

void fabric_tell_backend(const struct fabric *f, struct peer *p, bool used)
{
	const struct backend_live *live = f->live ? f->backend->type->live : NULL;

	if (!live || !live->peer || (used ? p->told && !p->changed : !p->told))
		return;
	p->told = used;
	live->peer(f->backend, p->member->lease, used ? p->data : NULL, !used);
}

bool fabric_peer_traffic(const struct fabric *f, const struct manager_member *member,
			 struct backend_traffic *ret)
{
	const struct backend_live *live = f->live ? f->backend->type->live : NULL;
	const struct peer *p = member->user;

	return live && live->traffic && p && p->data && live->traffic(f->backend, p->data, ret);
}

void fabric_problems(const struct fabric *f, struct problem_list *ret)
{
	if (f->large.len)
		problem_add(ret, PROBLEM_INFO, "containers-mtu",
			    "%zu container%s attached with an MTU of %u and keep%s it, but the "
			    "fabric carries %u now: large packets of theirs depend on path MTU "
			    "discovery until they are attached anew",
			    f->large.len, f->large.len == 1 ? " was" : "s were", f->large.mtu_bytes,
			    f->large.len == 1 ? "s" : "", fabric_pod_mtu(f));
	fabric_container_problems(f, ret);
	fast_path_problems(f->fast, ret);
	fabric_policy_problems(f, ret);
	fabric_reach_problems(f, ret);
	if (f->backend && f->backend->type->health)
		f->backend->type->health(f->backend, ret);
	if (f->live && f->backend->type->live->health)
		f->backend->type->live->health(f->backend, ret);
	if (f->former && f->former->type->live->health)
		f->former->type->live->health(f->former, ret);
}

int fabric_publish(const struct fabric *f, struct lease *ret_attributes, struct err *e)
{
	return f->backend->type->publish(f->backend, ret_attributes, e);
}
