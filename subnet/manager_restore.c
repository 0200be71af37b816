/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A start without the store: the data path of a host must not wait for it after a reboot. What was
 * known last is told to the listener as if the store had said it; the first list replaces it.
 */
#include "subnet/manager_internal.h"

void manager_set_last_known(struct manager *m, struct last_known *known, int64_t expires_ms)
{
	last_known_fini(&m->last_known);
	m->last_known = *known;
	m->last_known_expires_ms = expires_ms;
	*known = (struct last_known){ 0 };
}

bool manager_restore(struct manager *m, int64_t now_ms, const char *reason)
{
	struct last_known *k = &m->last_known;
	struct network_config config;
	char text[SUBNET_KEY_TEXT];
	struct err e;

	if (!k->config || !k->own || now_ms >= m->last_known_expires_ms)
		return false;
	if (k->peers_left && !m->ops->recall(m->arg, k)) {
		last_known_fini(k);
		return false;
	}
	if (network_config_parse(k->config, strlen(k->config), &config, &e) < 0) {
		last_known_fini(k);
		return false;
	}
	m->stale = true;
	m->has_config = true;
	m->config = config;
	m->config_text = xstrdup(k->config);
	m->previous = k->own->subnet;
	/* The store may be one of the past when it comes back. */
	m->before_break = k->revision;
	lease_free(m->own);
	m->own = lease_copy(k->own);
	manager_remember_address(m, m->own);
	if (m->last_known_expires_ms != INT64_MAX)
		m->expires_ms = m->last_known_expires_ms;
	for (size_t i = 0; i < k->peers_len; i++)
		manager_upsert(m, lease_copy(k->peers[i]));
	manager_upsert(m, lease_copy(k->own));
	manager_set_own(m, &m->own->subnet);
	manager_note(m, LOG_LEVEL_WARN, "last-known-state",
		     "%s; starting from what was known last: %s and %zu other leases", reason,
		     subnet_format(&m->own->subnet, text), m->members.len - 1);
	manager_set_state(m, MANAGER_LISTING, reason);
	manager_list(m);
	m->ops->config(m->arg, &m->config);
	return true;
}

void manager_heard(struct manager *m, const char *cluster)
{
	struct last_known *k = &m->last_known;

	if (!k->cluster || !*k->cluster || !*cluster || strcmp(k->cluster, cluster) == 0)
		return;
	manager_note(m, LOG_LEVEL_WARN, "store-is-another",
		     "what was known last is of the cluster %s, the store is %s: %s", k->cluster,
		     cluster,
		     m->stale ? "its peers are forgotten, this host's containers keep their subnet"
			      : "it is not used");
	/* Its revisions say nothing here, and who is missing was never there. */
	if (m->stale)
		m->before_break = 0;
	last_known_fini(k);
}
