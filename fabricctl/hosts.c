/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl hosts: how all hosts of the fabric are, the bad ones first. */
#include <string.h>

#include "fabricctl/command.h"
#include "fabricctl/document.h"
#include "fabricctl/fleet.h"
#include "fabricctl/lease_columns.h"
#include "fabricctl/table.h"
#include "lib/clock.h"
#include "subnet/lease_json.h"

enum column {
	COLUMN_NODE,
	COLUMN_SUBNET,
	COLUMN_STATE,
	COLUMN_PEERS,
	COLUMN_PROBLEM,
	COLUMN_SINCE,
	COLUMN_TEXT,
	COLUMN_PUBLIC_IP,
	COLUMN_VERSION,
	COLUMN_KERNEL,
	COLUMN_UP,
	COLUMN_MTU,
	COLUMN_REACH,
	COLUMN_RTT,
	COLUMNS
};
#define COLUMNS_PLAIN COLUMN_PUBLIC_IP

static const struct table_column columns[COLUMNS] = {
	[COLUMN_NODE] = { .name = "NODE", .key = "node", .shrinks = true },
	[COLUMN_SUBNET] = { .name = "SUBNET", .key = "subnet" },
	[COLUMN_STATE] = { .name = "STATE", .key = "state" },
	[COLUMN_PEERS] = { .name = "PEERS", .key = "peers" },
	[COLUMN_PROBLEM] = { .name = "PROBLEM", .key = "problem" },
	[COLUMN_SINCE] = { .name = "SINCE", .key = "since", .right = true },
	[COLUMN_TEXT] = { .name = "TEXT", .key = "text", .shrinks = true },
	[COLUMN_PUBLIC_IP] = { .name = "PUBLIC IP", .key = "publicIP" },
	[COLUMN_VERSION] = { .name = "VERSION", .key = "version" },
	[COLUMN_KERNEL] = { .name = "KERNEL", .key = "kernel" },
	[COLUMN_UP] = { .name = "UP", .key = "up", .right = true },
	[COLUMN_MTU] = { .name = "MTU", .key = "podMTU", .right = true },
	[COLUMN_REACH] = { .name = "REACH", .key = "reach" },
	[COLUMN_RTT] = { .name = "RTT", .key = "rttSeconds", .right = true },
};

/* The columns that people want to see first, and no others. */
static bool is_plain(const struct ctl *c)
{
	return c->format == FORMAT_TABLE && !c->options.columns;
}

static void set(struct table *t, enum column column, char *text, enum ctl_color color)
{
	table_set(t, column, text, color);
	free(text);
}

/* For people how long ago; for programs the time. */
static char *since(const struct ctl *c, int64_t wall_s)
{
	char text[CLOCK_TEXT];

	if (!wall_s)
		return NULL;
	if (c->format == FORMAT_RAW)
		return xstrdup(clock_format_utc(wall_s * 1000, text));
	return xstrdup(
		clock_format_duration(MAX(clock_wall_ms() / 1000 - wall_s, (int64_t)0), text));
}

/* "3 of 4": those that answer, of those that are asked. */
static void set_peers(struct table *t, const struct health_record *r)
{
	size_t all = 0;
	size_t well = r->reaches[HEALTH_WELL];

	for (size_t i = 0; i < HEALTH_REACHES; i++)
		all += r->reaches[i];
	if (all)
		set(t, COLUMN_PEERS, xasprintf("%zu/%zu", well, all),
		    well == all ? COLOR_NONE : COLOR_WARN);
}

/* The worst: they are in the order of causes. */
static const struct health_record_problem *worst(const struct health_record *r)
{
	const struct health_record_problem *found = NULL;

	for (size_t i = 0; i < r->problems_len; i++) {
		if (!found || r->problems[i].severity < found->severity)
			found = &r->problems[i];
	}
	return found;
}

static void set_problem(const struct ctl *c, struct table *t, const struct health_record *r)
{
	const struct health_record_problem *p = worst(r);
	size_t more = r->problems_len + r->problems_more - 1;
	enum ctl_color color;

	if (!p)
		return;
	color = p->severity == PROBLEM_ERROR     ? COLOR_BAD
		: p->severity == PROBLEM_WARNING ? COLOR_WARN
						 : COLOR_DIM;
	set(t, COLUMN_PROBLEM,
	    more && c->format != FORMAT_RAW ? xasprintf("%s +%zu", p->name, more)
					    : xstrdup(p->name),
	    color);
	set(t, COLUMN_SINCE, since(c, p->since_s), COLOR_NONE);
	table_set(t, COLUMN_TEXT, p->text, COLOR_NONE);
}

static void set_record(const struct ctl *c, struct table *t, const struct health_record *r)
{
	set_peers(t, r);
	set_problem(c, t, r);
	if (is_plain(c))
		return;
	table_set(t, COLUMN_VERSION, r->version, COLOR_NONE);
	table_set(t, COLUMN_KERNEL, r->kernel, COLOR_NONE);
	set(t, COLUMN_UP, since(c, r->started_s), COLOR_NONE);
	if (r->pod_mtu_bytes)
		set(t, COLUMN_MTU, xasprintf("%u", r->pod_mtu_bytes), COLOR_NONE);
}

static void add_row(const struct ctl *c, struct table *t, const struct fleet_host *h)
{
	static const char no_record[] =
		"nothing was heard of it for three minutes: its daemon does not run or does not "
		"reach the store, is an older one, or has health-record = false";
	static const char former[] =
		"its host tells of itself with another subnet: this lease is an "
		"old one of it, or it has a twin";
	const struct ip_addr *v4 = &h->lease->public_v4;
	const struct ip_addr *v6 = &h->lease->public_v6;
	char address[IP_ADDR_TEXT];

	table_add_row(t);
	table_set(t, COLUMN_NODE, h->lease->node_name, COLOR_NONE);
	table_set(t, COLUMN_SUBNET, h->subnet, COLOR_NONE);
	table_set(t, COLUMN_STATE, fleet_state_name(h->state), fleet_state_color(h->state));
	if (h->record)
		set_record(c, t, h->record);
	else if (h->state == FLEET_NO_RECORD)
		table_set(t, COLUMN_TEXT, h->is_former ? former : no_record, COLOR_NONE);
	if (is_plain(c))
		return;
	table_set(t, COLUMN_PUBLIC_IP, ip_addr_format(ip_addr_is_set(v4) ? v4 : v6, address),
		  COLOR_NONE);
	table_set(t, COLUMN_REACH, h->reach, COLOR_NONE);
	if (h->rtt_s >= 0)
		set(t, COLUMN_RTT,
		    c->format == FORMAT_RAW ? xasprintf("%.0f", h->rtt_s * 1e6)
					    : xasprintf("%.3g ms", h->rtt_s * 1e3),
		    COLOR_NONE);
}

static int print_table(const struct ctl *c, const struct fleet *f)
{
	auto_table struct table *t = table_new(columns, is_plain(c) ? COLUMNS_PLAIN : COLUMNS);

	for (size_t i = 0; i < f->len; i++)
		add_row(c, t, &f->hosts[i]);
	return table_print(t, c);
}

static void print_document(const struct ctl *c, const struct fleet *f)
{
	json_t *document = ctl_document("HostList");
	json_t *items = json_array();

	for (size_t i = 0; i < f->len; i++)
		json_array_append_new(items, fleet_host_json(&f->hosts[i]));
	json_object_set_new(document, "items", items);
	document_print(c, document);
}

static void print_items(const struct ctl *c, const struct fleet *f)
{
	for (size_t i = 0; i < f->len; i++) {
		if (c->format == FORMAT_JSONL)
			document_print_item(c, fleet_host_json(&f->hosts[i]));
		else
			fprintf(c->out, "%s\n", f->hosts[i].subnet);
	}
}

int hosts_run(struct ctl *c)
{
	auto_fleet struct fleet f;
	bool bad = false;
	int status = fleet_read(c, &f);

	if (status)
		return status;
	fleet_sort_by_state(&f);
	if (document_is_wanted(c))
		print_document(c, &f);
	else if (c->format == FORMAT_JSONL || c->format == FORMAT_NAME)
		print_items(c, &f);
	else
		status = print_table(c, &f);
	for (size_t i = 0; i < FLEET_STATES; i++)
		bad |= fleet_is_bad(i) && f.counts[i];
	return status ? status : bad ? CTL_FOUND : CTL_OK;
}
