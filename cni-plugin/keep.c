/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/keep.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <time.h>

#include "cni-plugin/bridge.h"
#include "cni-plugin/error.h"
#include "cni-plugin/hostside.h"
#include "cni-plugin/rules.h"
#include "cni-plugin/undo.h"
#include "kernel/sequence.h"

#define COMMAND_WAIT_S  1 /* an ADD takes milliseconds */
#define CARRIER_MAX_MS  1000
#define CARRIER_STEP_US 500
#define METRIC_V6       256 /* of the kernel's own routes (IP6_RT_PRIO_ADDRCONF) */

/* A bridge, as some records want it, that was looked at. */
struct bridge_seen {
	struct record *want; /* of which only what concerns the bridge is set */
	struct device bridge;
	bool right;
	bool announce; /* the gateways' MAC may be another now */
};

struct keep {
	struct host *host;
	const char *data_dir;
	const struct record *own;
	unsigned wait_s;
	struct keep_report *report;
	struct rules_standing *standing;
	struct bridge_seen *bridges;
	size_t bridges_len;
	size_t bridges_cap;
	struct store *store; /* of the network that is looked at */
};

/* ---- the report ---- */

static void note(struct keep_texts *t, const char *text)
{
	for (size_t i = 0; i < t->len; i++) {
		if (strcmp(t->items[i].text, text) == 0) {
			t->items[i].count++;
			return;
		}
	}
	if (t->len == KEEP_TEXTS_MAX) {
		t->more++;
		return;
	}
	t->items[t->len].text = xstrdup(text);
	t->items[t->len++].count = 1;
}

/* What was wrong, and what came of putting it right. */
static void note_outcome(struct keep *k, const struct err *wrong, int rc, const struct err *e)
{
	if (rc < 0)
		note(&k->report->failed, e->text);
	else
		note(&k->report->repaired, wrong->text);
}

static json_t *texts_json(const struct keep_texts *t)
{
	json_t *list = json_array();

	for (size_t i = 0; i < t->len; i++) {
		const char *text = t->items[i].text;
		auto_free char *counted =
			t->items[i].count > 1 ? xasprintf("%s (%zu times)", text, t->items[i].count)
					      : xstrdup(text);

		json_append(list, json_text(counted));
	}
	if (t->more) {
		auto_free char *more = xasprintf("and %zu more", t->more);

		json_append(list, json_text(more));
	}
	return list;
}

json_t *keep_report_json(const struct keep_report *r)
{
	return json_pack("{s:I, s:o, s:o}", "attachments", (json_int_t)r->attachments, "repaired",
			 texts_json(&r->repaired), "failed", texts_json(&r->failed));
}

static void texts_fini(struct keep_texts *t)
{
	for (size_t i = 0; i < t->len; i++)
		free(t->items[i].text);
}

void keep_report_fini(struct keep_report *r)
{
	texts_fini(&r->repaired);
	texts_fini(&r->failed);
}

/* ---- the bridge ---- */

static struct config config_of(const struct record *r)
{
	struct config c = { .keep_other_addresses = true,
			    .hairpin = r->hairpin,
			    .isolated = r->isolated,
			    .promiscuous = r->promiscuous,
			    .vlans = r->vlans,
			    .mtu_bytes = r->mtu_bytes };

	memcpy(c.bridge, r->bridge, sizeof(c.bridge));
	return c;
}

static bool same_bridge(const struct record *a, const struct record *b)
{
	if (strcmp(a->bridge, b->bridge) != 0 || a->promiscuous != b->promiscuous ||
	    strcmp(a->gateway_device, b->gateway_device) != 0 || a->gateways_len != b->gateways_len)
		return false;
	for (size_t i = 0; i < a->gateways_len; i++) {
		if (!ip_net_equal(&a->gateways[i], &b->gateways[i]))
			return false;
	}
	return true;
}

static struct record *bridge_part(const struct record *r)
{
	struct record *part = xcalloc(1, sizeof(*part));

	memcpy(part->bridge, r->bridge, sizeof(part->bridge));
	memcpy(part->gateway_device, r->gateway_device, sizeof(part->gateway_device));
	memcpy(part->gateways, r->gateways, sizeof(part->gateways));
	part->gateways_len = r->gateways_len;
	part->promiscuous = r->promiscuous;
	return part;
}

/* As the kernel makes it with the address, so that it goes with the address. */
static int put_connected(struct keep *k, const struct record *r, const struct device *gateway,
			 struct err *e)
{
	auto_sequence struct sequence *s = sequence_new();
	struct attach_routed have = { 0 };
	char text[IP_NET_TEXT];
	int rc = attach_read_routed(k->host, gateway->ifindex, &have, e);

	for (size_t i = 0; i < r->gateways_len && rc == 0; i++) {
		const struct ip_net *address = &r->gateways[i];
		bool v4 = address->addr.family == AF_INET;
		struct inet_route route = { .dst = ip_net_masked(address),
					    .ifindex = gateway->ifindex,
					    .priority = v4 ? 0 : METRIC_V6,
					    .scope = INET_SCOPE_ANY,
					    .protocol = RTPROT_KERNEL };

		if (v4)
			route.source = address->addr;
		if (attach_has_connected(&have, address))
			continue;
		inet_encode_route_add(&route, sequence_reserve(s));
		sequence_commit(s, "%s: add the route to %s", gateway->name,
				ip_net_format(&route.dst, text));
	}
	hostside_routed_fini(&have);
	if (rc == 0)
		rc = sequence_run(s, k->host->nl, e);
	return rc < 0 ? cni_classify(e, CNI_KERNEL) : 0;
}

static int put_bridge(struct keep *k, const struct record *r, struct bridge_seen *b, struct err *e)
{
	struct config c = config_of(r);
	struct device gateway;
	bool others = false;

	if (bridge_ensure(k->host, &c, &b->bridge, e) < 0)
		return e->code;
	b->announce = true;
	if (r->gateways_len == 0)
		return 0;
	if (bridge_ensure_gateways(k->host, &c, &b->bridge, r->gateways, r->gateways_len, &gateway,
				   &others, e) < 0)
		return e->code;
	return put_connected(k, r, &gateway, e);
}

/* Looks once at each bridge, however many containers it has. */
static struct bridge_seen *keep_bridge(struct keep *k, const struct record *r)
{
	struct bridge_seen *b;
	struct err wrong;
	struct err e;
	int rc = 0;

	for (size_t i = 0; i < k->bridges_len; i++) {
		if (same_bridge(k->bridges[i].want, r))
			return &k->bridges[i];
	}
	GROW(k->bridges, k->bridges_len, k->bridges_cap);
	b = &k->bridges[k->bridges_len++];
	*b = (struct bridge_seen){ .want = bridge_part(r) };
	if (hostside_check_bridge(k->host, r, &b->bridge, &wrong) < 0 ||
	    hostside_check_gateways(k->host, r, &wrong) < 0) {
		rc = put_bridge(k, r, b, &e);
		note_outcome(k, &wrong, rc, &e);
	}
	b->right = rc == 0;
	return b;
}

/*
 * A bridge that was made again has another MAC, and containers would go on using the former one for
 * their gateway for some 45 s: the kernel announces all addresses when the MAC is said again, once
 * the ports carry.
 */
static void announce(struct keep *k, const struct record *bridge)
{
	auto_sequence struct sequence *s = sequence_new();
	const struct timespec step = { .tv_nsec = CARRIER_STEP_US * 1000 };
	struct device d = { 0 };
	struct err ignored;

	if (bridge->gateways_len == 0)
		return;
	for (unsigned us = 0; us < CARRIER_MAX_MS * 1000 && !d.operational; us += CARRIER_STEP_US) {
		if (us)
			nanosleep(&step, NULL);
		if (device_get(k->host->nl, bridge->gateway_device, &d, &ignored) < 0)
			return;
	}
	(void)!host_set_ipv6(k->host, 1, &ignored, "conf/%s/ndisc_notify", d.name);
	device_encode_arp_notify(d.ifindex, sequence_reserve(s));
	sequence_commit(s, "%s: announce addresses", d.name);
	device_encode_mac(d.ifindex, &d.mac, sequence_reserve(s));
	sequence_commit(s, "%s: announce", d.name);
	if (sequence_run(s, k->host->nl, &ignored) < 0)
		note(&k->report->failed, ignored.text);
}

/* ---- one attachment ---- */

static void keep_port(struct keep *k, const struct record *r, const struct device *link)
{
	const struct bridge_seen *b = keep_bridge(k, r);
	struct config c = config_of(r);
	struct err wrong;
	struct err e;

	if (b->right && hostside_check_link(r, link, &b->bridge, &wrong) < 0)
		note_outcome(k, &wrong, bridge_put_port(k->host, &c, &b->bridge, link, &e), &e);
}

static void keep_routed(struct keep *k, const struct record *r, const struct device *link)
{
	struct attach_routed have;
	struct err wrong;
	struct err e;

	if (hostside_check_routed(k->host, r, link->ifindex, &have, &wrong) < 0 ||
	    hostside_check_link(r, link, NULL, &wrong) < 0)
		note_outcome(k, &wrong, attach_put_routed(k->host, r, &have, &e), &e);
	hostside_routed_fini(&have);
}

static void keep_rules(struct keep *k, const struct record *r)
{
	struct err wrong;
	struct err e;
	int rc;

	if (rules_standing_check(k->host, k->standing, r, &wrong) == 0)
		return;
	rc = rules_install(k->host, r, &e);
	/* Where the kernel has no guard for bridges there is none to be put back. */
	if (rc < 0 || !k->host->no_guard)
		note_outcome(k, &wrong, rc, &e);
}

static void keep_record(struct keep *k, const struct record *r)
{
	struct device link;
	struct err e;

	if (r->kind != RECORD_NATIVE || !r->complete || !undo_find_link(k->host, r, &link))
		return;
	k->report->attachments++;
	if (r->ptp)
		keep_routed(k, r, &link);
	else
		keep_port(k, r, &link);
	keep_rules(k, r);
	if (rules_open_localhost(r, &e) < 0)
		note(&k->report->failed, e.text);
}

static bool is_own(const struct keep *k, const char *container_id, const char *ifname)
{
	return k->own && strcmp(k->own->container_id, container_id) == 0 &&
	       strcmp(k->own->ifname, ifname) == 0;
}

static void visit_record(void *arg, const char *container_id, const char *ifname)
{
	struct keep *k = arg;
	auto_record struct record r = { 0 };
	struct err e;
	int rc;

	if (is_own(k, container_id, ifname))
		return;
	rc = store_share(k->store, container_id, ifname, k->wait_s, &e);
	if (rc == 0)
		rc = store_read(k->store, container_id, ifname, &r, &e);
	if (rc == 0)
		keep_record(k, &r);
	else if (rc != -ENOENT && rc != -EAGAIN && rc != -ETIMEDOUT)
		note(&k->report->failed, e.text);
}

static bool visit_network(void *arg, const char *network)
{
	auto_store struct store *store = NULL;
	struct keep *k = arg;
	struct err e;

	if (store_open(k->data_dir, network, false, &store, &e) == 0) {
		k->store = store;
		if (store_list(store, visit_record, k, &e) < 0)
			note(&k->report->failed, e.text);
	} else if (e.code != -ENOENT) {
		note(&k->report->failed, e.text);
	}
	return true;
}

int keep_all(struct host *h, const char *data_dir, const struct record *own, unsigned wait_s,
	     struct keep_report *ret, struct err *e)
{
	struct keep k = {
		.host = h, .data_dir = data_dir, .own = own, .wait_s = wait_s, .report = ret
	};
	int rc;

	*ret = (struct keep_report){ 0 };
	rc = rules_standing_read(h, &k.standing, e);
	if (rc == 0)
		rc = store_each_network(data_dir, visit_network, &k, e);
	for (size_t i = 0; i < k.bridges_len; i++) {
		/* An ADD has put it right itself by now. */
		if (k.bridges[i].announce || own)
			announce(&k, k.bridges[i].want);
		free(k.bridges[i].want);
	}
	free(k.bridges);
	rules_standing_free(k.standing);
	return rc;
}

static int print_report(const struct keep_report *r)
{
	auto_json json_t *j = keep_report_json(r);

	if (json_dumpf(j, stdout, JSON_COMPACT) < 0 || fputc('\n', stdout) == EOF ||
	    fflush(stdout) == EOF)
		return EXIT_FAILURE;
	if (r->failed.len)
		fprintf(stderr, "%s\n", r->failed.items[0].text);
	return r->failed.len ? EXIT_FAILURE : EXIT_SUCCESS;
}

int keep_command(const char *data_dir)
{
	auto_host struct host h = HOST_NONE;
	struct keep_report report = { 0 };
	struct err e;
	int status;
	int rc = host_open(&h, &e);

	if (rc == 0)
		rc = keep_all(&h, data_dir, NULL, COMMAND_WAIT_S, &report, &e);
	if (rc < 0 && rc != -ENOENT)
		note(&report.failed, e.text);
	status = print_report(&report);
	keep_report_fini(&report);
	return status;
}
