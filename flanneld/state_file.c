/* SPDX-License-Identifier: Apache-2.0 */
#include "flanneld/state_file.h"

#include <errno.h>
#include <malloc.h>

#include "fabric/options.h"
#include "lib/clock.h"
#include "lib/file.h"
#include "lib/log.h"

static char *path_of(const struct flanneld_options *o)
{
	return xasprintf("%s/last-known.json", o->state_dir);
}

int state_file_load(const struct flanneld_options *o, const struct store_place *place,
		    struct last_known *ret, int64_t *ret_left_ms, struct err *e)
{
	auto_free char *path = path_of(o);
	auto_free char *text = NULL;
	struct last_known k;
	int64_t left_ms;
	size_t size;
	int rc;

	rc = file_read_line(path, LAST_KNOWN_MAX_SIZE, &text, &size, e);
	if (rc < 0)
		return rc;
	if (last_known_parse_head(text, size, &k, e) < 0)
		return err_wrap(e, "%s", path);
	left_ms = last_known_left_ms(&k, clock_wall_ms());
	if (!store_place_is(place, k.network, k.cluster))
		rc = err_set(e, -EINVAL, "%s is of the network %s, not %s", path, k.network,
			     place->where);
	else if (!k.own)
		rc = err_set(e, -ENOENT, "%s has no lease of this host", path);
	else if (left_ms <= 0)
		rc = err_set(e, -ESTALE, "%s: the lease in it has run out", path);
	if (rc < 0) {
		last_known_fini(&k);
		return rc;
	}
	*ret = k;
	*ret_left_ms = left_ms;
	return 0;
}

int state_file_load_peers(const struct flanneld_options *o, struct last_known *known, struct err *e)
{
	auto_free char *path = path_of(o);
	auto_free char *text = NULL;
	struct last_known k;
	size_t size;
	int rc;

	rc = file_read(path, LAST_KNOWN_MAX_SIZE, &text, &size, e);
	if (rc < 0)
		return rc;
	if (last_known_parse(text, size, &k, e) < 0)
		return err_wrap(e, "%s", path);
	if (k.revision != known->revision || k.written_wall_s != known->written_wall_s) {
		rc = err_set(e, -EINVAL, "%s has been replaced", path);
	} else {
		known->peers = STEAL(k.peers);
		known->peers_len = k.peers_len;
		known->peers_left = k.peers_len = 0;
	}
	last_known_fini(&k);
	return rc;
}

static char *describe(const struct daemon *d, const struct manager_view *m)
{
	auto_free struct lease **peers = xcalloc(m->members_len, sizeof(*peers));
	const struct manager_member *member = NULL;
	struct last_known k = {
		.network = (char *)d->place.where,
		.cluster = (char *)d->place.cluster,
		.config = (char *)m->config_text,
		.own = (struct lease *)m->own,
		.peers = peers,
		.written_wall_s = clock_wall_ms() / 1000,
		.revision = m->newest,
	};

	if (m->expires_ms)
		k.expires_wall_s = clock_wall_of(m->expires_ms) / 1000;
	while ((member = manager_next(m->members, member))) {
		if (!member->own && !member->kept_until_ms && !member->lease->problem)
			peers[k.peers_len++] = member->lease;
	}
	return last_known_format(&k);
}

/* A renewal counts: in a network where nothing changes the lease in the file would run out. */
bool state_file_is_due(const struct daemon *d)
{
	struct manager_view m;

	manager_view(d->manager, &m);
	return m.state == MANAGER_HELD && m.config_text &&
	       (m.newest != d->saved_changes || m.expires_ms != d->saved_expires_ms);
}

void state_file_save(struct daemon *d)
{
	auto_free char *path = path_of(d->options);
	auto_free char *text = NULL;
	struct manager_view m;

	manager_view(d->manager, &m);
	if (!state_file_is_due(d))
		return;
	text = describe(d, &m);
	if (file_replace(path, text, strlen(text), 0600, &d->save_error) < 0)
		return;
	d->save_error.code = 0;
	d->saved_changes = m.newest;
	d->saved_expires_ms = m.expires_ms;
	/* The document was as large as all leases together. */
	free(STEAL(text));
	malloc_trim(0);
}

void state_file_restore(struct daemon *d)
{
	struct last_known known;
	int64_t left_ms;
	struct err e;
	int rc;

	/* It names the lease that was given back. */
	if (d->drain == DRAIN_RELEASED)
		return;
	rc = state_file_load(d->options, &d->place, &known, &left_ms, &e);
	if (rc == 0 && known.own) {
		const struct lease *own = known.own;

		/* Only addresses: which interface has them, if any, is seen when it is chosen. */
		d->external.places[0].local =
			ip_addr_is_set(&own->source_v4) ? own->source_v4 : own->public_v4;
		d->external.places[1].local =
			ip_addr_is_set(&own->source_v6) ? own->source_v6 : own->public_v6;
	}
	if (rc == 0)
		manager_set_last_known(d->manager, &known,
				       left_ms == INT64_MAX ? INT64_MAX
							    : clock_boot_ms() + left_ms);
	else if (rc != -ENOENT)
		log_info("state-file", "%s; it is not used", e.text);
}

void state_file_leave_options(const struct daemon *d)
{
	const struct fabric_left left = {
		.options = d->options->fabric,
		.node_id = d->node_id,
		.state_dir = d->options->state_dir,
		.subnet_file = d->options->subnet_file,
	};
	struct err e;

	if (fabric_left_save(&left, &e) < 0)
		log_warn("state-file", "%s; fabricctl diff --kernel will not know them", e.text);
}
