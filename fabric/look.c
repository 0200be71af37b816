/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/look.h"

#include <errno.h>
#include <event2/event.h>

#include "fabric/fabric_internal.h"
#include "kernel/rehearsal.h"
#include "lib/file.h"
#include "subnet/subnet_env.h"

/* The loop never runs: who would be told is nobody. */
static void ignore(void *arg UNUSED)
{
}

static bool ignore_underlay(void *arg UNUSED)
{
	return true;
}

static void ignore_backend(void *arg UNUSED, bool publish UNUSED)
{
}

static const struct fabric_ops ops = { .settled = ignore,
				       .failed = ignore,
				       .problems_changed = ignore,
				       .mtu_changed = ignore,
				       .underlay_changed = ignore_underlay,
				       .backend_changed = ignore_backend };

struct look {
	struct event_base *base;
	struct fabric *fabric;
	struct rules *rules;
	struct manager_member *members;
	size_t members_len;
	struct network_config config;
};

static void look_fini(struct look *l)
{
	for (size_t i = 0; i < l->members_len; i++) {
		if (l->members[i].user)
			fabric_peer(l->fabric, &l->members[i], true);
	}
	free(l->members);
	fabric_free(l->fabric);
	rules_free(l->rules);
	network_config_fini(&l->config);
	if (l->base)
		event_base_free(l->base);
}

static int open_all(struct look *l, const struct fabric_left *left, struct err *e)
{
	char mark[MARK_SIZE];
	int rc;

	l->base = event_base_new();
	if (!l->base)
		return err_set(e, -ENOMEM, "no event loop");
	rc = fabric_new(l->base, &ops, NULL, &l->fabric, e);
	if (rc == 0)
		rc = rules_new(l->base, &left->options.traffic, ignore, NULL, &l->rules, e);
	if (rc < 0)
		return rc;
	fabric_identify(l->fabric, left->node_id, left->state_dir);
	fabric_use_rules(l->fabric, l->rules, left->options.ip_blackhole_route);
	fabric_set_mark(l->fabric, mark_format(mark, left->node_id, left->state_dir));
	return 0;
}

/* As the daemon does at a start without its store: our last addresses, where the host still has them. */
static void recall_place(const struct lease *own, struct external *ret)
{
	*ret = (struct external){ 0 };
	ret->places[0].local = ip_addr_is_set(&own->source_v4) ? own->source_v4 : own->public_v4;
	ret->places[1].local = ip_addr_is_set(&own->source_v6) ? own->source_v6 : own->public_v6;
}

static int set_up(struct look *l, const struct fabric_left *left, const struct last_known *known,
		  struct err *e)
{
	struct fabric_previous previous = { 0 };
	struct external before;
	struct external external;
	auto_free char *env = NULL;
	int rc;

	if (file_read(left->subnet_file, SUBNET_ENV_MAX_SIZE, &env, NULL, NULL) == 0)
		subnet_env_recall(env, &previous.own, previous.networks);
	recall_place(known->own, &before);
	rc = external_choose(fabric_netlink(l->fabric), &left->options.external, &l->config,
			     &before, &external, e);
	return rc < 0 ? rc : fabric_setup(l->fabric, &l->config, &external, &previous, e);
}

static void add_peers(struct look *l, const struct last_known *known)
{
	l->members = xcalloc(known->peers_len, sizeof(*l->members));
	l->members_len = known->peers_len;
	for (size_t i = 0; i < known->peers_len; i++) {
		l->members[i].lease = known->peers[i];
		fabric_peer(l->fabric, &l->members[i], false);
	}
}

static int look(struct look *l, const struct fabric_left *left, const struct last_known *known,
		fabric_difference_fn *visit, void *arg, struct err *e)
{
	struct rules_view rules;
	int rc = network_config_parse(known->config, strlen(known->config), &l->config, e);

	if (rc == 0)
		rc = open_all(l, left, e);
	if (rc == 0)
		rc = set_up(l, left, known, e);
	if (rc < 0)
		return rc;
	add_peers(l, known);
	fabric_set_own(l->fabric, &known->own->subnet);
	fabric_before_routes(l->fabric);
	rules_view(l->rules, &rules);
	/* Without nf_tables there is nothing to compare there, and the daemon says so. */
	if (!rules.ok && rules_guards(l->rules) && *rules.error)
		return err_set(e, -EIO, "%s", rules.error);
	return fabric_diff(l->fabric, visit, arg, e);
}

int fabric_look(const struct fabric_left *left, const struct last_known *known,
		fabric_difference_fn *visit, void *arg, struct err *e)
{
	struct look l = { 0 };
	int rc;

	rehearsal_set(true);
	if (!known->own)
		return err_set(e, -ENOENT, "there was no lease");
	rc = look(&l, left, known, visit, arg, e);
	look_fini(&l);
	return rc;
}
