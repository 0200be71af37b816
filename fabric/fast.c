/* SPDX-License-Identifier: Apache-2.0 */
/* Between the fabric and the fast path: where we are, and which bridges containers live behind. */
#include "fabric/fabric_internal.h"
#include "fastpath/fast_path.h"
#include "kernel/link.h"

static void on_changed(void *arg)
{
	const struct fabric *f = arg;

	f->ops->problems_changed(f->arg);
}

void fabric_use_fast_path(struct fabric *f, const struct fast_path_options *options)
{
	f->fast = fast_path_new(f->base, options, on_changed, f);
}

void fabric_place_fast_path(struct fabric *f)
{
	struct fast_path_place place;

	memset(&place, 0, sizeof(place));
	for (size_t i = 0; i < f->devices_len && i < ARRAY_LEN(place.tunnels); i++) {
		if (i == 0)
			snprintf(place.network, sizeof(place.network), "%s", f->devices[i].name);
		if (!f->devices[i].has_neighbours)
			continue;
		place.tunnels[i] = f->ifindexes[i];
		place.port = f->devices[i].udp_port;
	}
	if (!*place.network)
		snprintf(place.network, sizeof(place.network), "%s", rules_table(f->rules).name);
	snprintf(place.mark, sizeof(place.mark), "%s", f->mark);
	snprintf(place.table, sizeof(place.table), "%s", rules_table(f->rules).name);
	place.networks[0] = f->kernel.marks.networks[0];
	place.networks[1] = f->kernel.marks.networks[1];
	place.own[0] = f->own.v4;
	place.own[1] = f->own.v6;
	place.segments_len = fabric_container_devices(f, place.segments, FAST_PATH_SEGMENTS);
	fast_path_place(f->fast, &place);
}

void fabric_count_fast_path(struct fabric *f, const struct fast_path_count_ops *ops, void *arg)
{
	fast_path_counts(f ? f->fast : NULL, ops, arg);
}

void fabric_view_fast_path(const struct fabric *f, struct fast_path_view *ret)
{
	fast_path_view(f ? f->fast : NULL, ret);
}
