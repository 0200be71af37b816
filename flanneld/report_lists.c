/* SPDX-License-Identifier: Apache-2.0 */
/* Leases and peers, an item each: the part of flanneld/report.h that grows with the fabric. */
#include <string.h>

#include "flanneld/report.h"
#include "lib/buffer.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "subnet/lease_json.h"

/* Both begin with their subnet: struct report_time, or a subnet. */
static int by_subnet(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct subnet));
}

static int by_subnet_of_member(const void *a, const void *b)
{
	const struct manager_member *const *x = a;
	const struct manager_member *const *y = b;

	return by_subnet(&(*x)->lease->subnet, &(*y)->lease->subnet);
}

/* Seconds; -1: not known. */
static int64_t time_left(const struct daemon_view *v, const struct manager_member *member,
			 const struct report_times *times)
{
	const struct report_time *found;

	if (member->own && v->manager.expires_ms)
		return MAX((v->manager.expires_ms - clock_boot_ms()) / 1000, (int64_t)0);
	if (member->own || !times)
		return -1;
	found = bsearch(&member->lease->subnet, times->items, times->len, sizeof(*times->items),
			by_subnet);
	return found ? found->seconds : -1;
}

static void put_members(struct members *item, const struct daemon_view *v,
			const struct manager_member *member, const struct report_times *times)
{
	const struct lease *l = member->lease;
	const char *reason = v->own_reason;
	const char *kernel =
		member->own ? v->own_state : fabric_peer_state(v->fabric.fabric, member, &reason);
	int64_t left_s = time_left(v, member, times);

	if (member->kept_until_ms && !*reason)
		reason = "gone from the store, kept for a moment in case it is claimed again";
	lease_put_members(l, item);
	backend_describe_lease(l, item);
	member_boolean(item, "own", member->own);
	member_boolean(item, "reservation", lease_is_reservation(l));
	member_boolean(item, "unbound", lease_is_unbound(l));
	if (left_s >= 0)
		member_integer(item, "expiresSeconds", left_s);
	else
		member_null(item, "expiresSeconds");
	lease_put_revision(l, item);
	member_text(item, "kernel", kernel);
	member_text(item, "reason", reason);
	report_put_reach(item, member->own ? NULL : fabric_peer_reach(v->fabric.fabric, member));
}

json_t *report_subnet(const struct daemon_view *v, const struct manager_member *member)
{
	json_t *object = json_object();
	struct members item = members_of(object);

	put_members(&item, v, member, NULL);
	return object;
}

static void add_junk(json_t *list, const struct manager_junk *j)
{
	auto_free char *key = xstrdup(j->key);
	auto_free char *reason = xstrdup(j->reason);

	util_make_printable(key);
	util_make_printable(reason);
	json_append(list, json_pack("{s:s,s:s}", "key", key, "reason", reason));
}

const struct manager_member **report_members(const struct daemon_view *v, size_t *ret_len)
{
	const struct manager_member **sorted;
	const struct manager_member *member = NULL;
	size_t len = 0;

	sorted = xmalloc(v->manager.members_len * sizeof(*sorted));
	while ((member = manager_next(v->manager.members, member)))
		sorted[len++] = member;
	qsort(sorted, len, sizeof(*sorted), by_subnet_of_member);
	*ret_len = len;
	return sorted;
}

/* ---- lists ---- */

struct report_list {
	struct members item; /* that is told */
	struct buffer items;
	const struct report_times *times; /* NULL: not known */
};

struct members *report_item(struct report_list *out)
{
	return &out->item;
}

void report_end_item(struct report_list *out)
{
	if (out->items.size)
		buffer_putc(&out->items, ',');
	members_put(&out->item, &out->items);
}

static char *list_text(const struct daemon_view *v, const char *fields, json_t *root,
		       report_items_fn *items, const struct report_times *times)
{
	auto_free const struct manager_member **sorted = NULL;
	auto_free char *head = NULL;
	struct report_list out = { .item = members_as_text(fields), .times = times };
	json_t *named = members_fields(&out.item);
	struct buffer all = { 0 };
	size_t len = 0;

	sorted = report_members(v, &len);
	for (size_t i = 0; i < len; i++)
		items(v, sorted[i], &out);
	if (named)
		json_object_set_new(root, "fields", named);
	head = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	/* An object, and not an empty one. */
	if (head) {
		buffer_put(&all, head, strlen(head) - 1);
		buffer_puts(&all, ",\"items\":[");
		buffer_put(&all, out.items.data, out.items.size);
		buffer_puts(&all, "]}");
	}
	members_fini(&out.item);
	buffer_fini(&out.items);
	return head ? buffer_steal(&all) : NULL;
}

char *report_list_text(const struct daemon_view *v, const char *fields, json_t *root,
		       report_items_fn *items)
{
	return list_text(v, fields, root, items, NULL);
}

/* Without its items. */
static json_t *subnet_list(const struct daemon_view *v)
{
	json_t *root = report_document("SubnetList");
	json_t *junk = json_array();
	const struct manager_junk *j;
	const struct manager_junk *tmp_junk;

	HASH_ITER (hh, v->manager.junk, j, tmp_junk)
		add_junk(junk, j);
	json_object_set_new(root, "source", json_string("daemon"));
	json_object_set_new(root, "junk", junk);
	return root;
}

static void put_subnet(const struct daemon_view *v, const struct manager_member *member,
		       struct report_list *out)
{
	put_members(&out->item, v, member, out->times);
	report_end_item(out);
}

json_t *report_subnets(const struct daemon_view *v)
{
	auto_free const struct manager_member **sorted = NULL;
	json_t *root = subnet_list(v);
	json_t *items = json_array();
	size_t len = 0;

	sorted = report_members(v, &len);
	for (size_t i = 0; i < len; i++)
		json_append(items, report_subnet(v, sorted[i]));
	json_object_set_new(root, "items", items);
	return root;
}

char *report_subnets_text(const struct daemon_view *v, const char *fields,
			  const struct report_times *times)
{
	return list_text(v, fields, subnet_list(v), put_subnet, times);
}

static json_t *target(const struct lease *l, uint16_t port)
{
	const struct ip_addr *at = ip_addr_is_set(&l->public_v4) ? &l->public_v4 : &l->public_v6;
	auto_free char *text = NULL;
	char address[IP_ADDR_TEXT];
	char subnet[SUBNET_KEY_TEXT];

	ip_addr_format(at, address);
	text = at->family == AF_INET ? xasprintf("%s:%u", address, port)
				     : xasprintf("[%s]:%u", address, port);
	return json_pack("{s:[s],s:{s:o,s:s,s:o}}", "targets", text, "labels", "node",
			 json_text(l->node_name), "subnet", subnet_format(&l->subnet, subnet),
			 "backend", json_text(l->backend_type));
}

json_t *report_targets(const struct daemon_view *v, uint16_t port)
{
	auto_free const struct manager_member **sorted = NULL;
	json_t *items = json_array();
	size_t len = 0;

	sorted = report_members(v, &len);
	for (size_t i = 0; i < len; i++) {
		const struct lease *l = sorted[i]->lease;

		/* flannel's hosts have no such metrics, and a reservation no host. */
		if (l->node_id && (ip_addr_is_set(&l->public_v4) || ip_addr_is_set(&l->public_v6)))
			json_append(items, target(l, port));
	}
	return items;
}

json_t *report_target_list(const struct daemon_view *v, uint16_t port)
{
	json_t *root = report_document("TargetList");

	json_object_set_new(root, "items", report_targets(v, port));
	return root;
}

static void add_object(void *arg, const struct kernel_object *o, bool settled, const char *error)
{
	int family = kernel_object_family(o);
	char text[KERNEL_OBJECT_TEXT];

	json_append(arg, json_pack("{s:s,s:s,s:s,s:b,s:o}", "kind", kernel_kind_of(o)->name,
				   "family", family == AF_INET6 ? "ipv6" : "ipv4", "object",
				   kernel_object_format(o, text), "settled", settled, "error",
				   lease_text_json(settled ? NULL : error)));
}

/* Null where no device counts by peers. */
static void put_traffic(struct members *item, const struct daemon_view *v,
			const struct manager_member *member)
{
	struct backend_traffic t = { 0 };
	bool known = fabric_peer_traffic(v->fabric.fabric, member, &t);
	int64_t now_s = clock_wall_ms() / 1000;

	if (known && t.handshake_s)
		member_integer(item, "handshakeSecondsAgo", MAX(now_s - t.handshake_s, (int64_t)0));
	else
		member_null(item, "handshakeSecondsAgo");
	if (known) {
		member_integer(item, "receivedBytes", (int64_t)t.received_bytes);
		member_integer(item, "sentBytes", (int64_t)t.sent_bytes);
	} else {
		member_null(item, "receivedBytes");
		member_null(item, "sentBytes");
	}
}

/* What people look at first: the state of the worst object of a kind, IPv4 and IPv6. */
static const struct {
	unsigned kind;
	const char *names[2];
} summed[] = {
	{ KERNEL_ROUTE, { "route", "routeV6" } },
	{ KERNEL_NEIGHBOUR, { "neighbour", "neighbourV6" } },
	{ KERNEL_FDB, { "fdb", "fdbV6" } },
};

enum { NONE, OK, PENDING, FAILED };

struct sum {
	int states[ARRAY_LEN(summed)][2];
};

static void add_state(void *arg, const struct kernel_object *o, bool settled, const char *error)
{
	unsigned family = kernel_object_family(o) == AF_INET6;
	int state = settled ? OK : error && *error ? FAILED : PENDING;
	struct sum *sum = arg;

	for (size_t i = 0; i < ARRAY_LEN(summed); i++) {
		if (kernel_kind_of(o) == kernel_kinds[summed[i].kind])
			sum->states[i][family] = MAX(sum->states[i][family], state);
	}
}

static void put_states(struct members *item, const struct daemon_view *v,
		       const struct manager_member *member)
{
	static const char *const names[] = {
		[OK] = "ok", [PENDING] = "pending", [FAILED] = "failed"
	};
	struct sum sum = { 0 };

	fabric_peer_visit(v->fabric.fabric, member, add_state, &sum);
	for (size_t i = 0; i < ARRAY_LEN(summed); i++) {
		for (unsigned family = 0; family < 2; family++)
			member_text_or_null(item, summed[i].names[family],
					    names[sum.states[i][family]]);
	}
}

static void put_peer(const struct daemon_view *v, const struct manager_member *member,
		     struct report_list *out)
{
	struct members *item = &out->item;

	if (member->own)
		return;
	put_members(item, v, member, NULL);
	put_states(item, v, member);
	if (members_wants(item, "objects")) {
		json_t *objects = json_array();

		fabric_peer_visit(v->fabric.fabric, member, add_object, objects);
		member_json(item, "objects", objects);
	}
	put_traffic(item, v, member);
	if (members_wants(item, "probes") || members_wants(item, "pathMTU"))
		report_put_probes(item, fabric_peer_reach(v->fabric.fabric, member));
	report_end_item(out);
}

char *report_peers_text(const struct daemon_view *v, const char *fields)
{
	return report_list_text(v, fields, report_document("PeerList"), put_peer);
}
