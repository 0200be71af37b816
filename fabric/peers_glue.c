/* SPDX-License-Identifier: Apache-2.0 */
/* Between the fabric and its peers: leases go in, and what is judged of them goes on to the log and
 * the guard. */
#include "fabric/fabric_internal.h"
#include "kernel/underlay.h"
#include "lib/log.h"

#define JUDGED_PER_TURN 1024 /* then the loop gets its turn */

/* How the kernel reaches a peer without us: what our own routes say must not count. */
static void find_paths(void *arg, const struct lease *l, struct backend_path ret[static 2])
{
	const struct ip_addr *addresses[] = { &l->public_v4, &l->public_v6 };
	const struct fabric *f = arg;

	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		struct underlay_route route;

		if (!ip_addr_is_set(addresses[i]) ||
		    underlay_route_to(f->nl, addresses[i], &route, NULL) < 0)
			continue;
		for (size_t d = 0; d < f->devices_len; d++) {
			if (route.ifindex == f->ifindexes[d])
				route.ifindex = 0;
		}
		ret[i].ifindex = route.ifindex;
		ret[i].on_link = route.ifindex && !ip_addr_is_set(&route.gateway);
	}
}

static void on_judged(void *arg, struct peer *p, bool used, const char *news)
{
	struct fabric *f = arg;
	char key[SUBNET_KEY_TEXT];

	if (news) {
		log_about("PEER", subnet_format(&p->member->lease->subnet, key));
		log_warn("peer-ignored", "%s: %s", key, news);
	}
	fabric_tell_backend(f, p, used);
	fabric_probe_peer(f, p, used);
}

void fabric_new_peers(struct fabric *f)
{
	static const struct peers_ops ops = { .paths = find_paths, .judged = on_judged };

	f->peers = peers_new(f->reconcile, &ops, f);
}

bool fabric_want_all(struct fabric *f)
{
	const struct peers_place place = {
		.backend = f->backend,
		.v4 = f->config.v4,
		.v6 = f->config.v6,
		.own = f->own,
		.local_v4 = f->external.places[0].local,
		.local_v6 = f->external.places[1].local,
		.segment_v4 = f->external.places[0].segment,
		.segment_v6 = f->external.places[1].segment,
		.blackhole = f->blackhole,
		.guard = rules_guards(f->rules),
		.devices_ok = f->devices_ok || f->devices_len == 0,
	};

	if (f->wants_dirty) {
		f->wants_dirty = false;
		f->judging = true;
		fabric_place_probing(f);
		peers_set_place(f->peers, &place);
	}
	if (!f->judging)
		return true;
	if (!peers_judge_some(f->peers, JUDGED_PER_TURN))
		return false;
	f->judging = false;
	fabric_want_containers(f);
	return true;
}

void fabric_peer(struct fabric *f, struct manager_member *member, bool gone)
{
	struct peer *p = member->user;

	if (gone && p) {
		fabric_tell_backend(f, p, false);
		fabric_probe_peer(f, p, false);
		peers_remove(f->peers, p);
		member->user = NULL;
	} else if (!gone && p) {
		peers_change(f->peers, p);
	} else if (!gone) {
		member->user = peers_add(f->peers, member);
	}
	if (f->started && !f->wants_dirty && !f->judging)
		peers_judge(f->peers);
	fabric_want_work(f, 0);
}

static void visit_error(void *arg, const struct kernel_object *o, bool settled, const char *error)
{
	char text[KERNEL_OBJECT_TEXT];

	if (!settled && error)
		log_warn("write-refused", "%s: %s: %s", (const char *)arg,
			 kernel_object_format(o, text), error);
}

void fabric_report_refused(const struct fabric *f)
{
	char key[SUBNET_KEY_TEXT];
	struct peer *p;

	if (f->backoff.failures > 0)
		return;
	reconcile_owner_visit(f->reconcile, peers_own(f->peers), visit_error, (void *)"own");
	for (p = peers_next(f->peers, NULL); p; p = peers_next(f->peers, p)) {
		if (p->owner.failed)
			reconcile_owner_visit(
				f->reconcile, &p->owner, visit_error,
				(void *)subnet_format(&p->member->lease->subnet, key));
	}
}

void fabric_describe_refused(const struct fabric *f, char *buf, size_t size)
{
	const struct reconcile_owner *owner;
	const struct kernel_object *object;
	const char *error;
	const struct peer *p;
	char text[KERNEL_OBJECT_TEXT];
	char who[LEASE_DESCRIBE_TEXT];

	buf[0] = '\0';
	if (!reconcile_refused_one(f->reconcile, &object, &owner, &error))
		return;
	p = fabric_is_container(f, owner) ? NULL : peers_of_owner(f->peers, owner);
	snprintf(buf, size, "%s%s%s: %s", kernel_object_format(object, text), p ? " of peer " : "",
		 p ? lease_describe(p->member->lease, who) : "", error);
}

void fabric_describe_ignored(const struct fabric *f, char *buf, size_t size)
{
	const char *reason;
	const struct peer *p = peers_ignored(f->peers, &reason);
	char who[LEASE_DESCRIBE_TEXT];

	buf[0] = '\0';
	if (p)
		snprintf(buf, size, "%s: %s", lease_describe(p->member->lease, who), reason);
}

const char *fabric_peer_state(const struct fabric *f, const struct manager_member *member,
			      const char **ret_reason)
{
	return peers_state(f->peers, member->user, ret_reason);
}

void fabric_peer_visit(const struct fabric *f, const struct manager_member *member,
		       void (*visit)(void *arg, const struct kernel_object *o, bool settled,
				     const char *error),
		       void *arg)
{
	const struct peer *p = member->user;

	if (p)
		reconcile_owner_visit(f->reconcile, &p->owner, visit, arg);
}

const char *fabric_own_state(const struct fabric *f, const char **ret_reason)
{
	const struct reconcile_owner *own = peers_own(f->peers);
	const char *error = reconcile_owner_error(f->reconcile, own);

	*ret_reason = "";
	if (f->started && !f->devices_ok) {
		*ret_reason = f->device_error.text;
		return "failed";
	}
	if (error) {
		*ret_reason = error;
		return "failed";
	}
	return !f->started || f->wants_dirty || f->judging || own->unsettled ? "pending" : "ok";
}
