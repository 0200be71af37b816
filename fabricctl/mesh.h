/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who reaches whom: a matrix of all hosts, from what each tells of its peers.
 *
 *   fleet ──mesh_choose.c──> hosts to show ──> cells ──> table, JSON (mesh.c), picture (mesh_svg.c), page (mesh_html.c)
 */
#ifndef FABRICCTL_MESH_H
#define FABRICCTL_MESH_H

#include "fabricctl/fleet.h"

#define MESH_HOSTS_MAX 1024 /* in a matrix; of more the worst are shown */
#define MESH_LOSS_MIN  10   /* percent from which on a way that answers is a bad one */

/* From one host to another, as the first finds it. The bad ones last. */
enum mesh_way {
	MESH_SELF,
	MESH_UNKNOWN, /* it tells nothing of it */
	MESH_OK,
	MESH_NEW, /* asked, and not yet answered */
	MESH_LOSSY,
	MESH_TUNNEL_SILENT,
	MESH_SILENT,
	MESH_WAYS
};
const char *mesh_way_name(enum mesh_way way);
static inline bool mesh_way_is_bad(enum mesh_way way)
{
	return way >= MESH_LOSSY;
}

struct mesh_cell {
	uint8_t way; /* enum mesh_way */
	uint8_t loss_percent;
	bool named;     /* in the record: of the others it is known that they are no worse */
	int32_t rtt_us; /* -1: not known */
};

struct mesh {
	const struct fleet *fleet; /* those that are shown, in the order of the subnets */
	size_t len;                /* of them */
	struct mesh_cell *cells;   /* len * len, a row for each host that asks */
	size_t total;              /* hosts that there are, or of those that were asked for */
	size_t counts[MESH_WAYS];  /* of all ways between these */
	uint32_t *bad;      /* of each that is shown, its bad ways, there and back, with all */
	struct fleet shown; /* what it holds is the whole fleet's */
};

/* Hosts by the subnet that records name them by. */
struct mesh_index {
	const struct fleet *fleet; /* all; borrowed */
	struct mesh_place *places;
};

static inline const struct mesh_cell *mesh_cell(const struct mesh *m, size_t from, size_t to)
{
	return &m->cells[from * m->len + to];
}

/*
 * Of `max` hosts at most, those with the most bad ways. With patterns (fnmatch(3), of names and subnets) of those hosts
 * alone that fit one, and of those whose way from or to one of them is bad. Returns NULL, or the first pattern
 * that no host fits. Release with mesh_fini in any case; `fleet` must live as long.
 */
const char *mesh_init(struct mesh *m, const struct fleet *fleet, size_t max, char **patterns,
		      size_t patterns_len);
void mesh_fini(struct mesh *m);

/* ---- between the files ---- */

/* Chooses m->shown and counts. As mesh_init. */
const char *mesh_choose(struct mesh *m, const struct mesh_index *index, size_t max, char **patterns,
			size_t patterns_len);
/* Its place in the fleet; the number of hosts: there is none. */
size_t mesh_find(const struct mesh_index *index, const struct ip_net *subnet);
enum mesh_way mesh_way_of(const struct health_record_peer *p);
/* Of many peers the worst are named; how the others are. */
enum mesh_way mesh_other_way(const struct fleet_host *from);

/* An SVG document; `inside` a page: without its XML declaration. */
void mesh_print_svg(const struct mesh *m, FILE *out, bool inside);
/* A page that needs nothing else. */
void mesh_print_html(const struct mesh *m, FILE *out);
/* {"apiVersion","kind":"Mesh",...} */
json_t *mesh_json(const struct mesh *m);

#endif
