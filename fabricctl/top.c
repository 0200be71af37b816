/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/top.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <poll.h>

#include "fabricctl/client.h"
#include "fabricctl/command.h"
#include "fabricctl/document.h"
#include "fabricctl/containers.h"
#include "fabricctl/loop.h"
#include "fabricctl/owner.h"
#include "fabricctl/settings.h"
#include "fabricctl/table.h"
#include "kernel/counters.h"
#include "kernel/link.h"
#include "lib/clock.h"
#include "lib/json.h"

#define ANSWER_TIMEOUT_MS 5000
#define INTERVAL_MS       1000
#define NAMES_EVERY       10 /* intervals after which leases and containers are asked for again */
#define COUNT_MAX         1000000

struct rows {
	struct top_row *items;
	size_t len;
	size_t cap;
};

struct peer {
	struct ip_net net;
	const char *node;
	const char *subnet;
};

struct top {
	const struct ctl *c;
	struct settings settings;
	struct netlink *nl;
	struct top_memory memory;
	bool first;
	int64_t last_ms;
	/* Whose the numbers are. */
	json_t *leases;
	struct peer *peers;
	size_t peers_len;
	size_t peers_cap;
	json_t *containers;
	json_t *delivered; /* by the fast path, to the container behind a device */
	struct link_info *links;
	size_t links_len;
	struct err no_peers; /* why they are not counted; code 0: they are */
	/* Of this interval. */
	struct rows by_peer;
	struct rows by_container;
	double seconds;
};

/* ---- numbers ---- */

void top_memory_grow(struct top_memory *m, const char *name, bool first, uint64_t *packets,
		     uint64_t *bytes)
{
	json_t *before = json_object_get(m->seen, name);
	uint64_t packets_before = (uint64_t)json_integer_value(json_array_get(before, 0));
	uint64_t bytes_before = (uint64_t)json_integer_value(json_array_get(before, 1));
	uint64_t packets_now = *packets;
	uint64_t bytes_now = *bytes;

	if (before && packets_now >= packets_before && bytes_now >= bytes_before) {
		*packets -= packets_before;
		*bytes -= bytes_before;
	} else if (first) {
		*packets = *bytes = 0;
	}
	json_object_set_new(m->seen, name,
			    json_pack("[I,I]", (json_int_t)packets_now, (json_int_t)bytes_now));
}

const char *top_format(double number, char ret[static 16])
{
	static const char units[] = " kMGTP";
	size_t unit = 0;

	while (number >= 999.5 && unit + 1 < strlen(units)) {
		number /= 1000;
		unit++;
	}
	snprintf(ret, 16, unit && number < 99.95 ? "%.1f%.1s" : "%.0f%.1s", number,
		 unit ? &units[unit] : "");
	return ret;
}

static struct top_row *add_row(struct rows *rows, const char *name, const char *detail)
{
	GROW(rows->items, rows->len, rows->cap);
	rows->items[rows->len] = (struct top_row){ .name = name, .detail = detail };
	return &rows->items[rows->len++];
}

static int more_bytes(const void *a, const void *b)
{
	const struct top_row *x = a;
	const struct top_row *y = b;
	uint64_t x_bytes = x->received_bytes + x->sent_bytes;
	uint64_t y_bytes = y->received_bytes + y->sent_bytes;

	if (x_bytes != y_bytes)
		return x_bytes > y_bytes ? -1 : 1;
	return strcmp(x->name, y->name);
}

static void sort(struct rows *rows)
{
	if (rows->len)
		qsort(rows->items, rows->len, sizeof(*rows->items), more_bytes);
}

/* ---- whose they are ---- */

static void take_peer(struct top *t, const json_t *lease, const char *key)
{
	const char *subnet = ctl_text(lease, key);
	const char *node = ctl_text(lease, "node");
	const char *public = ctl_text(lease, "publicIP");
	struct peer peer = { .subnet = subnet, .node = node ? node : public ? public : subnet };

	if (!subnet || json_is_true(json_object_get(lease, "own")) ||
	    ip_net_parse(subnet, AF_UNSPEC, &peer.net, NULL) < 0)
		return;
	GROW(t->peers, t->peers_len, t->peers_cap);
	t->peers[t->peers_len++] = peer;
}

/* The rows of the interval before lent their names of what is replaced here. */
static int read_names(struct top *t, struct err *e)
{
	json_t *leases = NULL;
	json_t *lease;
	size_t i;

	t->by_peer.len = t->by_container.len = 0;
	if (client_get(t->settings.socket, "/v1/subnets", "SubnetList", ANSWER_TIMEOUT_MS, &leases,
		       &t->no_peers) == 0) {
		json_decref(t->leases);
		t->leases = leases;
		t->no_peers.code = 0;
		t->peers_len = 0;
		json_array_foreach (json_object_get(leases, "items"), i, lease) {
			take_peer(t, lease, "subnet");
			take_peer(t, lease, "subnetV6");
		}
	}
	json_decref(t->containers);
	if (containers_list(&t->settings, &t->containers, e) < 0)
		t->containers = NULL;
	free(STEAL(t->links));
	t->links_len = 0;
	return link_list(t->nl, &t->links, &t->links_len, e);
}

static const struct peer *peer_of(const struct top *t, const struct ip_addr *address)
{
	for (size_t i = 0; i < t->peers_len; i++) {
		if (ip_net_contains(&t->peers[i].net, address))
			return &t->peers[i];
	}
	return NULL;
}

/* ---- counting ---- */

static void count_peers(struct top *t)
{
	auto_json json_t *meter = NULL;
	json_t *item;
	size_t i;

	if (t->no_peers.code || client_post(t->settings.socket, "/v1/meter", "Meter",
					    ANSWER_TIMEOUT_MS, &meter, &t->no_peers) < 0)
		return;
	json_decref(t->delivered);
	t->delivered = json_incref(json_object_get(meter, "containers"));
	/* A row for each, as they are numbered, and one for what is nobody's. */
	for (i = 0; i < t->peers_len; i++)
		add_row(&t->by_peer, t->peers[i].node, t->peers[i].subnet);
	json_array_foreach (json_object_get(meter, "items"), i, item) {
		const char *text = ctl_text(item, "address");
		bool sent = json_is_true(json_object_get(item, "sent"));
		uint64_t packets = (uint64_t)ctl_int(item, "packets", 0);
		uint64_t bytes = (uint64_t)ctl_int(item, "bytes", 0);
		bool fast = json_is_true(json_object_get(item, "fastPath"));
		auto_free char *name = xasprintf("%s %s%s", text ? text : "", sent ? "to" : "from",
						 fast ? " fast" : "");
		const struct peer *peer;
		struct ip_addr address;
		struct top_row *row;

		if (!text || ip_addr_parse(text, AF_UNSPEC, &address, NULL) < 0)
			continue;
		top_memory_grow(&t->memory, name, t->first, &packets, &bytes);
		peer = peer_of(t, &address);
		if (!peer && t->by_peer.len == t->peers_len)
			add_row(&t->by_peer, "nobody's", NULL);
		row = &t->by_peer.items[peer ? (size_t)(peer - t->peers) : t->peers_len];
		*(sent ? &row->sent_packets : &row->received_packets) += packets;
		*(sent ? &row->sent_bytes : &row->received_bytes) += bytes;
	}
}

/* The first address of the container behind a link; NULL: the plugin did not attach it. */
static const char *address_behind(const struct top *t, const char *device)
{
	json_t *attachment;
	size_t i;

	json_array_foreach (json_object_get(t->containers, "attachments"), i, attachment) {
		const char *its = ctl_text(attachment, "device");

		if (its && strcmp(its, device) == 0)
			return json_string_value(
				json_array_get(json_object_get(attachment, "addresses"), 0));
	}
	return NULL;
}

/* A container's link: one that the plugin made, or a veth in a bridge. */
static bool is_container(const struct top *t, const struct link_info *link)
{
	return strcmp(link->kind, "veth") == 0 &&
	       (link->master_ifindex || address_behind(t, link->name));
}

/* What the fast path brings a container its link does not count. */
static void add_delivered(struct top *t, uint32_t ifindex, struct top_row *row)
{
	auto_free char *name = xasprintf("%u fast", ifindex);
	json_t *item;
	size_t i;

	json_array_foreach (t->delivered, i, item) {
		uint64_t packets = (uint64_t)ctl_int(item, "packets", 0);
		uint64_t bytes = (uint64_t)ctl_int(item, "bytes", 0);

		if (ctl_int(item, "ifindex", 0) != ifindex)
			continue;
		top_memory_grow(&t->memory, name, t->first, &packets, &bytes);
		row->received_packets += packets;
		row->received_bytes += bytes;
	}
}

static void on_counters(void *arg, const struct counters *c)
{
	struct top *t = arg;

	for (size_t i = 0; i < t->links_len; i++) {
		const struct link_info *link = &t->links[i];
		auto_free char *rx = NULL;
		auto_free char *tx = NULL;
		auto_free char *drops = NULL;
		struct counters now = *c;
		struct top_row *row;

		if (link->ifindex != c->ifindex || !is_container(t, link))
			continue;
		rx = xasprintf("%u rx", c->ifindex);
		tx = xasprintf("%u tx", c->ifindex);
		drops = xasprintf("%u drops", c->ifindex);
		row = add_row(&t->by_container, link->name, address_behind(t, link->name));
		top_memory_grow(&t->memory, rx, t->first, &now.rx_packets, &now.rx_bytes);
		top_memory_grow(&t->memory, tx, t->first, &now.tx_packets, &now.tx_bytes);
		top_memory_grow(&t->memory, drops, t->first, &now.rx_dropped, &now.tx_dropped);
		/* What the link sends the container receives. */
		row->received_packets = now.tx_packets;
		row->received_bytes = now.tx_bytes;
		add_delivered(t, c->ifindex, row);
		row->sent_packets = now.rx_packets;
		row->sent_bytes = now.rx_bytes;
		row->dropped = now.rx_dropped + now.tx_dropped;
	}
}

static int sample(struct top *t, struct err *e)
{
	int64_t now_ms = clock_boot_ms();

	t->by_peer.len = t->by_container.len = 0;
	count_peers(t);
	if (counters_visit(t->nl, on_counters, t, e) < 0)
		return e->code;
	t->seconds = t->first ? 0 : (double)(now_ms - t->last_ms) / 1000;
	t->last_ms = now_ms;
	sort(&t->by_peer);
	sort(&t->by_container);
	t->first = false;
	return 0;
}

/* ---- showing ---- */

static json_t *rows_json(const struct top *t, const struct rows *rows, const char *detail)
{
	json_t *list = json_array();

	for (size_t i = 0; i < rows->len; i++) {
		const struct top_row *r = &rows->items[i];
		double s = t->seconds;

		json_append(list,
			    json_pack("{s:s,s:o,s:f,s:f,s:f,s:f,s:f}", "name", r->name, detail,
				      r->detail ? json_text(r->detail) : json_null(),
				      "receivedPacketsPerSecond", (double)r->received_packets / s,
				      "receivedBytesPerSecond", (double)r->received_bytes / s,
				      "sentPacketsPerSecond", (double)r->sent_packets / s,
				      "sentBytesPerSecond", (double)r->sent_bytes / s,
				      "droppedPerSecond", (double)r->dropped / s));
	}
	return list;
}

/* One for each interval: of JSON a line. */
static void print_document(const struct top *t)
{
	struct ctl line = *t->c;
	json_t *document = ctl_document("Top");

	if (line.format == FORMAT_JSON)
		line.format = FORMAT_JSONL;
	json_object_set_new(document, "seconds", json_real(t->seconds));
	json_object_set_new(document, "peers",
			    t->no_peers.code ? json_null() : rows_json(t, &t->by_peer, "subnet"));
	json_object_set_new(document, "peersUnknown",
			    t->no_peers.code ? json_text(t->no_peers.text) : json_null());
	json_object_set_new(document, "containers", rows_json(t, &t->by_container, "address"));
	document_print(&line, document);
}

static int print_rows(const struct top *t, const struct rows *rows, const char *what)
{
	const struct table_column columns[] = {
		{ .name = what, .key = "name" },
		{ .name = "", .shrinks = true, .key = "detail" },
		{ .name = "IN PKT/S", .right = true, .key = "receivedPacketsPerSecond" },
		{ .name = "IN BIT/S", .right = true, .key = "receivedBytesPerSecond" },
		{ .name = "OUT PKT/S", .right = true, .key = "sentPacketsPerSecond" },
		{ .name = "OUT BIT/S", .right = true, .key = "sentBytesPerSecond" },
		{ .name = "DROP/S", .right = true, .key = "droppedPerSecond" },
	};
	auto_table struct table *table = table_new(columns, ARRAY_LEN(columns));

	for (size_t i = 0; i < rows->len; i++) {
		const struct top_row *r = &rows->items[i];
		const double numbers[] = { (double)r->received_packets,
					   8 * (double)r->received_bytes, (double)r->sent_packets,
					   8 * (double)r->sent_bytes, (double)r->dropped };

		table_add_row(table);
		table_set(table, 0, r->name, COLOR_NONE);
		table_set(table, 1, r->detail, COLOR_NONE);
		for (size_t n = 0; n < ARRAY_LEN(numbers); n++) {
			char text[16];

			table_set(table, n + 2, top_format(numbers[n] / t->seconds, text),
				  n == 4 && r->dropped ? COLOR_BAD : COLOR_NONE);
		}
	}
	return table_print(table, t->c);
}

/* The exit status: a column may be asked for that there is not. */
static int print_tables(const struct top *t)
{
	char when[CLOCK_TEXT];
	int status = CTL_OK;

	if (t->c->tty)
		fprintf(t->c->out, "\033[H\033[J%s; Ctrl-C ends\n\n",
			clock_format_utc(clock_wall_ms(), when));
	if (t->no_peers.code)
		fprintf(t->c->out, "peers are not counted: %s\n", t->no_peers.text);
	else
		status = print_rows(t, &t->by_peer, "PEER");
	if (status)
		return status;
	fputc('\n', t->c->out);
	status = print_rows(t, &t->by_container, "CONTAINER");
	if (!t->c->tty)
		fputc('\n', t->c->out);
	return status;
}

static int print(const struct top *t)
{
	int status = CTL_OK;

	if (t->c->format != FORMAT_TABLE)
		print_document(t);
	else
		status = print_tables(t);
	fflush(t->c->out);
	return status;
}

/* Until the interval is over. False: nobody reads any more. */
static bool pause_until(const struct ctl *c, int64_t due_ms)
{
	struct pollfd reader = { .fd = loop_reader(c->out) };
	int64_t left_ms;

	while ((left_ms = due_ms - clock_boot_ms()) > 0) {
		if (poll(&reader, 1, (int)left_ms) > 0)
			return false;
	}
	return !ferror(c->out);
}

static int run(struct top *t, int64_t count, int *ret_status, struct err *e)
{
	for (int64_t i = 0; count == 0 || i <= count; i++) {
		if (i > 0 && !pause_until(t->c, t->last_ms + INTERVAL_MS))
			return 0;
		if (i % NAMES_EVERY == 0 && read_names(t, e) < 0)
			return e->code;
		if (sample(t, e) < 0)
			return e->code;
		if (i > 0)
			*ret_status = print(t);
		if (*ret_status)
			return 0;
	}
	return 0;
}

/* 0: without end. */
static int read_count(const struct ctl *c, int64_t *ret)
{
	const char *text = c->options.count;
	char *end = NULL;
	long value = 0;

	*ret = 0;
	if (!text)
		return CTL_OK;
	errno = 0;
	if (text[0] >= '0' && text[0] <= '9')
		value = strtol(text, &end, 10);
	if (value < 1 || value > COUNT_MAX || errno || *end)
		return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command),
				"--count is \"%.40s\", must be a number from 1 to %d", text,
				COUNT_MAX);
	*ret = value;
	return CTL_OK;
}

int top_run(struct ctl *c)
{
	struct top t = { .c = c, .first = true, .memory = { .seen = json_object() } };
	struct err e;
	int64_t count;
	int status = read_count(c, &count);

	if (status == CTL_OK)
		status = settings_read(c, false, &t.settings);
	if (status == CTL_OK &&
	    (netlink_open(NETLINK_ROUTE, &t.nl, &e) < 0 || run(&t, count, &status, &e) < 0))
		status = ctl_fail(c, CTL_FAILED, NULL, NULL, "%s", e.text);
	netlink_close(t.nl);
	json_decref(t.memory.seen);
	json_decref(t.leases);
	json_decref(t.containers);
	json_decref(t.delivered);
	free(t.peers);
	free(t.links);
	free(t.by_peer.items);
	free(t.by_container.items);
	settings_fini(&t.settings);
	return status;
}
