/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl mesh: who reaches whom, as all hosts tell it. */
#include "fabricctl/mesh.h"

#include <string.h>

#include "fabricctl/command.h"
#include "fabricctl/document.h"
#include "fabricctl/table.h"
#include "fabricctl/text.h"
#include "lib/json.h"

#define MATRIX_HOSTS_MAX 12 /* of which the plain form shows the matrix itself */
#define WORST_SHOWN      20 /* hosts, where not all are shown */

const char *mesh_way_name(enum mesh_way way)
{
	static const char *const names[MESH_WAYS] = { "self",  "unknown",       "ok",    "new",
						      "lossy", "tunnel-silent", "silent" };

	return names[way];
}

/* ---- the matrix ---- */

struct mesh_place {
	struct ip_net subnet;
	size_t host;
};

static int by_subnet(const void *a, const void *b)
{
	const struct mesh_place *x = a;
	const struct mesh_place *y = b;

	return memcmp(&x->subnet, &y->subnet, sizeof(x->subnet));
}

/* The places are the caller's. */
static struct mesh_index index_hosts(const struct fleet *f)
{
	struct mesh_place *places = xcalloc(MAX(f->len, (size_t)1), sizeof(*places));

	for (size_t i = 0; i < f->len; i++) {
		const struct subnet *s = &f->hosts[i].lease->subnet;

		places[i].subnet = ip_net_is_set(&s->v4) ? s->v4 : s->v6;
		places[i].host = i;
	}
	qsort(places, f->len, sizeof(*places), by_subnet);
	return (struct mesh_index){ f, places };
}

size_t mesh_find(const struct mesh_index *index, const struct ip_net *subnet)
{
	const struct mesh_place *at =
		bsearch(&(struct mesh_place){ .subnet = *subnet }, index->places, index->fleet->len,
			sizeof(*index->places), by_subnet);

	return at ? at->host : index->fleet->len;
}

enum mesh_way mesh_way_of(const struct health_record_peer *p)
{
	switch (p->reach) {
	case HEALTH_NEW:
		return MESH_NEW;
	case HEALTH_TUNNEL_SILENT:
		return MESH_TUNNEL_SILENT;
	case HEALTH_SILENT:
		return MESH_SILENT;
	default:
		return p->loss_percent >= MESH_LOSS_MIN ? MESH_LOSSY : MESH_OK;
	}
}

static bool names_all(const struct health_record *r)
{
	size_t all = 0;

	for (size_t i = 0; i < HEALTH_REACHES; i++)
		all += r->reaches[i];
	return r->peers_len >= all;
}

/* Who is not named is no worse than those that are. */
enum mesh_way mesh_other_way(const struct fleet_host *from)
{
	return !from->record || names_all(from->record) ? MESH_UNKNOWN : MESH_OK;
}

static void fill_row(struct mesh *m, size_t from, const struct mesh_index *index)
{
	const struct health_record *r = m->fleet->hosts[from].record;
	enum mesh_way others = mesh_other_way(&m->fleet->hosts[from]);
	struct mesh_cell *row = &m->cells[from * m->len];

	for (size_t to = 0; to < m->len; to++)
		row[to] =
			(struct mesh_cell){ .way = to == from ? MESH_SELF : others, .rtt_us = -1 };
	for (size_t i = 0; r && i < r->peers_len; i++) {
		const struct health_record_peer *p = &r->peers[i];
		size_t to = mesh_find(index, &p->subnet);

		/* The first counts, should one be named again. */
		if (to < m->len && to != from && !row[to].named)
			row[to] = (struct mesh_cell){ .way = mesh_way_of(p),
						      .loss_percent = p->loss_percent,
						      .named = true,
						      .rtt_us = p->rtt_us };
	}
}

const char *mesh_init(struct mesh *m, const struct fleet *fleet, size_t max, char **patterns,
		      size_t patterns_len)
{
	struct mesh_index index = index_hosts(fleet);
	const char *unknown;

	*m = (struct mesh){ .fleet = &m->shown };
	unknown = mesh_choose(m, &index, max, patterns, patterns_len);
	free(index.places);
	m->len = m->shown.len;
	m->cells = xcalloc(MAX(m->len * m->len, (size_t)1), sizeof(*m->cells));
	index = index_hosts(&m->shown);
	for (size_t i = 0; i < m->len; i++)
		fill_row(m, i, &index);
	free(index.places);
	return unknown;
}

void mesh_fini(struct mesh *m)
{
	free(m->cells);
	free(m->bad);
	free(m->shown.hosts);
	*m = (struct mesh){ 0 };
}

/* ---- JSON ---- */

static json_t *way_json(const struct mesh *m, size_t from, size_t to)
{
	const struct mesh_cell *cell = mesh_cell(m, from, to);
	const struct fleet_host *hosts = m->fleet->hosts;

	return json_pack("{s:o,s:s,s:o,s:s,s:s,s:i,s:o}", "from", json_text(hosts[from].name),
			 "fromSubnet", hosts[from].subnet, "to", json_text(hosts[to].name),
			 "toSubnet", hosts[to].subnet, "reach", mesh_way_name(cell->way),
			 "lossPercent", (int)cell->loss_percent, "rttSeconds",
			 cell->rtt_us >= 0 ? json_real(cell->rtt_us / 1e6) : json_null());
}

json_t *mesh_json(const struct mesh *m)
{
	json_t *document = ctl_document("Mesh");
	json_t *hosts = json_array();
	json_t *items = json_array();
	json_t *counts = json_object();

	for (size_t i = 0; i < m->len; i++) {
		const struct fleet_host *h = &m->fleet->hosts[i];
		json_t *host = fleet_host_json(h);

		json_object_set_new(host, "others", json_string(mesh_way_name(mesh_other_way(h))));
		json_object_set_new(host, "badWays", json_integer(m->bad[i]));
		json_array_append_new(hosts, host);
		for (size_t to = 0; to < m->len; to++) {
			if (mesh_cell(m, i, to)->named)
				json_array_append_new(items, way_json(m, i, to));
		}
	}
	for (enum mesh_way way = MESH_UNKNOWN; way < MESH_WAYS; way++)
		json_object_set_new(counts, mesh_way_name(way),
				    json_integer((json_int_t)m->counts[way]));
	json_object_set_new(document, "hostsTotal", json_integer((json_int_t)m->total));
	json_object_set_new(document, "hosts", hosts);
	json_object_set_new(document, "counts", counts);
	json_object_set_new(document, "items", items);
	return document;
}

/* ---- text ---- */

static void print_summary(const struct ctl *c, const struct mesh *m)
{
	static const char *const phrases[MESH_WAYS] = {
		[MESH_UNKNOWN] = "unknown",
		[MESH_OK] = "ok",
		[MESH_NEW] = "not yet answered",
		[MESH_LOSSY] = "lossy",
		[MESH_TUNNEL_SILENT] = "silent through the tunnel",
		[MESH_SILENT] = "silent",
	};
	const char *separator = ":";

	fprintf(c->out, "%zu hosts, %zu ways", m->total, m->total * m->total - m->total);
	for (size_t i = MESH_WAYS; i-- > MESH_UNKNOWN;) {
		if (m->counts[i])
			fprintf(c->out, "%s %s%zu %s%s", separator,
				ctl_color_on(c, mesh_way_is_bad(i) ? COLOR_BAD : COLOR_NONE),
				m->counts[i], phrases[i],
				ctl_color_off(c, mesh_way_is_bad(i) ? COLOR_BAD : COLOR_NONE));
		else
			continue;
		separator = ",";
	}
	fputc('\n', c->out);
	if (m->len < m->total)
		fprintf(c->out,
			"shown are the %zu hosts with the most bad ways; fabricctl mesh NAME... "
			"shows "
			"others\n",
			m->len);
}

static char *rtt(const struct mesh_cell *cell)
{
	return cell->rtt_us >= 0 ? xasprintf("%.3g ms", cell->rtt_us / 1e3) : NULL;
}

static char *cell_text(const struct mesh_cell *cell)
{
	switch (cell->way) {
	case MESH_SELF:
		return xstrdup("\\");
	case MESH_UNKNOWN:
		return xstrdup("?");
	case MESH_OK:
		return cell->rtt_us >= 0 ? rtt(cell) : xstrdup("ok");
	case MESH_LOSSY:
		return xasprintf("%u%% lost", cell->loss_percent);
	default:
		return xstrdup(mesh_way_name(cell->way));
	}
}

static enum ctl_color cell_color(const struct mesh_cell *cell)
{
	if (mesh_way_is_bad(cell->way))
		return COLOR_BAD;
	return cell->way == MESH_OK ? COLOR_GOOD : COLOR_DIM;
}

/* A row for each host that asks, a column for each that is asked. */
static void print_matrix(const struct ctl *c, const struct mesh *m)
{
	struct table_column columns[MATRIX_HOSTS_MAX + 1] = { { .name = "FROM \\ TO" } };
	char *headings[MATRIX_HOSTS_MAX];
	auto_table struct table *t = NULL;

	for (size_t i = 0; i < m->len; i++) {
		headings[i] = text_escape(m->fleet->hosts[i].name, c->utf8);
		columns[i + 1] = (struct table_column){ .name = headings[i], .right = true };
	}
	t = table_new(columns, m->len + 1);
	for (size_t from = 0; from < m->len; from++) {
		table_add_row(t);
		table_set(t, 0, m->fleet->hosts[from].name, COLOR_NONE);
		for (size_t to = 0; to < m->len; to++) {
			const struct mesh_cell *cell = mesh_cell(m, from, to);
			auto_free char *text = cell_text(cell);

			table_set(t, to + 1, cell->way == MESH_SELF ? NULL : text,
				  cell_color(cell));
		}
	}
	(void)table_print(t, c);
	for (size_t i = 0; i < m->len; i++)
		free(headings[i]);
}

static void add_way(const struct ctl *c, struct table *t, const struct mesh *m, size_t from,
		    size_t to)
{
	const struct mesh_cell *cell = mesh_cell(m, from, to);
	auto_free char *loss = xasprintf("%u%%", cell->loss_percent);
	auto_free char *time = c->format != FORMAT_RAW ? rtt(cell)
			       : cell->rtt_us >= 0     ? xasprintf("%d", cell->rtt_us)
						       : NULL;

	table_add_row(t);
	table_set(t, 0, m->fleet->hosts[from].name, COLOR_NONE);
	table_set(t, 1, m->fleet->hosts[to].name, COLOR_NONE);
	table_set(t, 2, mesh_way_name(cell->way), cell_color(cell));
	table_set(t, 3, loss, COLOR_NONE);
	table_set(t, 4, time, COLOR_NONE);
}

/* `all`: each that a record names, else the bad ones. */
static void print_ways(const struct ctl *c, const struct mesh *m, bool all)
{
	static const struct table_column columns[] = {
		{ .name = "FROM" },
		{ .name = "TO" },
		{ .name = "REACH" },
		{ .name = "LOSS", .right = true },
		{ .name = "RTT", .right = true },
	};
	auto_table struct table *t = table_new(columns, ARRAY_LEN(columns));

	for (size_t from = 0; from < m->len; from++) {
		for (size_t to = 0; to < m->len; to++) {
			const struct mesh_cell *cell = mesh_cell(m, from, to);

			if (mesh_way_is_bad(cell->way) || (all && cell->named))
				add_way(c, t, m, from, to);
		}
	}
	(void)table_print(t, c);
}

static size_t count_bad(const struct mesh *m)
{
	size_t bad = 0;

	for (size_t way = 0; way < MESH_WAYS; way++)
		bad += mesh_way_is_bad(way) ? m->counts[way] : 0;
	return bad;
}

static int by_bad_ways(const void *a, const void *b, void *arg)
{
	const struct mesh *m = arg;
	size_t x = *(const size_t *)a;
	size_t y = *(const size_t *)b;

	if (m->bad[x] != m->bad[y])
		return m->bad[x] > m->bad[y] ? -1 : 1;
	return x < y ? -1 : 1;
}

/* Of so many that a list of the bad ways would be read by nobody: who has most of them. */
static void print_worst(const struct ctl *c, const struct mesh *m)
{
	static const struct table_column columns[] = { { .name = "NODE" },
						       { .name = "SUBNET" },
						       { .name = "STATE" },
						       { .name = "BAD WAYS", .right = true } };
	auto_table struct table *t = table_new(columns, ARRAY_LEN(columns));
	auto_free size_t *order = xcalloc(MAX(m->len, (size_t)1), sizeof(*order));

	for (size_t i = 0; i < m->len; i++)
		order[i] = i;
	qsort_r(order, m->len, sizeof(*order), by_bad_ways, (void *)m);
	for (size_t i = 0; i < MIN(m->len, (size_t)WORST_SHOWN) && m->bad[order[i]]; i++) {
		const struct fleet_host *h = &m->fleet->hosts[order[i]];
		auto_free char *bad = xasprintf("%u", m->bad[order[i]]);

		table_add_row(t);
		table_set(t, 0, h->name, COLOR_NONE);
		table_set(t, 1, h->subnet, COLOR_NONE);
		table_set(t, 2, fleet_state_name(h->state), fleet_state_color(h->state));
		table_set(t, 3, bad, COLOR_BAD);
	}
	(void)table_print(t, c);
}

static void print_text(const struct ctl *c, const struct mesh *m)
{
	bool small = m->len <= MATRIX_HOSTS_MAX;

	print_summary(c, m);
	if (small && m->len > 0) {
		fputc('\n', c->out);
		print_matrix(c, m);
	}
	if (c->format != FORMAT_WIDE && m->len < m->total && count_bad(m)) {
		fputc('\n', c->out);
		print_worst(c, m);
	} else if (c->format == FORMAT_WIDE || (!small && count_bad(m))) {
		fputc('\n', c->out);
		print_ways(c, m, c->format == FORMAT_WIDE);
	}
}

int mesh_run(struct ctl *c)
{
	auto_fleet struct fleet f;
	const char *unknown;
	struct mesh m;
	int status = fleet_read(c, &f);

	if (status)
		return status;
	unknown = mesh_init(&m, &f, MESH_HOSTS_MAX, c->operands, (size_t)c->operands_len);
	if (unknown) {
		mesh_fini(&m);
		return ctl_fail(c, CTL_NOT_FOUND, NULL, "fabricctl hosts",
				"no host of the fabric has the name or subnet %.80s", unknown);
	}
	switch (c->format) {
	case FORMAT_JSON:
	case FORMAT_YAML:
		document_print(c, mesh_json(&m));
		break;
	case FORMAT_SVG:
		mesh_print_svg(&m, c->out, false);
		break;
	case FORMAT_HTML:
		mesh_print_html(&m, c->out);
		break;
	case FORMAT_RAW:
		print_ways(c, &m, true);
		break;
	default:
		print_text(c, &m);
		break;
	}
	status = count_bad(&m) ? CTL_FOUND : CTL_OK;
	mesh_fini(&m);
	return status;
}
