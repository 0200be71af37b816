/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/test.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "fabricctl/client.h"
#include "fabricctl/command.h"
#include "fabricctl/document.h"
#include "fabricctl/probe.h"
#include "fabricctl/text.h"
#include "kernel/lookup.h"
#include "lib/json.h"

#define ANSWER_TIMEOUT_MS 5000
#define PACKETS           3
#define GAP_MS            20
#define WAIT_MS           1000
#define DISRUPT_MAX_S     86400

enum outcome { PASSED, FAILED, SKIPPED };
static const char *const outcomes[] = { "ok", "failed", "skipped" };

struct test {
	const struct ctl *c;
	struct settings settings;
	json_t *leases;
	struct test_target *targets;
	size_t len;
	size_t cap;
	struct sandbox sandbox;
	struct netlink *nl;
	json_t *items;
	size_t failed;
};

/* ---- who is asked ---- */

static void add_target(struct test *t, const char *host, const struct ip_addr *address,
		       bool answers)
{
	GROW(t->targets, t->len, t->cap);
	t->targets[t->len++] =
		(struct test_target){ .host = host, .address = *address, .answers = answers };
}

/* Whose tunnel's device has the first address of the subnet, which answers whether there are containers or not. */
static bool has_device(const json_t *lease)
{
	static const char *const names[] = { "vxlan", "wireguard", "ipip", "udp" };
	const char *backend = ctl_text(lease, "backend");

	for (size_t i = 0; backend && i < ARRAY_LEN(names); i++) {
		if (strcmp(backend, names[i]) == 0)
			return true;
	}
	return false;
}

static void add_subnet(struct test *t, const json_t *lease, const char *key, const char *host)
{
	bool answers = has_device(lease);
	const char *text = ctl_text(lease, key);
	struct ip_net net;
	struct ip_addr address;

	if (!text || ip_net_parse(text, AF_UNSPEC, &net, NULL) < 0)
		return;
	/* Of others only the gateway of containers can have one, if there are any. */
	address = answers ? net.addr
			  : ip_addr_from_u128(net.addr.family, ip_addr_to_u128(&net.addr) + 1);
	add_target(t, host, &address, answers);
}

static bool is_named(const struct test *t, const json_t *lease, const char *name)
{
	static const char *const keys[] = { "node", "publicIP", "publicIPv6", "subnet",
					    "subnetV6" };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const char *text = ctl_text(lease, keys[i]);

		if (text && strcmp(text, name) == 0)
			return true;
	}
	return t->c->operands_len == 0;
}

/* The leases of that name ("": all), or the address if it is one. Whether there was any. */
static bool add_named(struct test *t, const char *name)
{
	size_t before = t->len;
	struct ip_addr address;
	json_t *lease;
	size_t i;

	json_array_foreach (json_object_get(t->leases, "items"), i, lease) {
		const char *node = ctl_text(lease, "node");
		const char *public = ctl_text(lease, "publicIP");
		const char *kernel = ctl_text(lease, "kernel");

		if (json_is_true(json_object_get(lease, "own")) || !is_named(t, lease, name) ||
		    (kernel && strcmp(kernel, "ignored") == 0) ||
		    json_is_true(json_object_get(lease, "reservation")))
			continue;
		add_subnet(t, lease, "subnet", node ? node : public ? public : "?");
		add_subnet(t, lease, "subnetV6", node ? node : public ? public : "?");
	}
	if (t->len == before && ip_addr_parse(name, AF_UNSPEC, &address, NULL) == 0)
		add_target(t, name, &address, true);
	return t->len > before;
}

static int find_targets(struct test *t)
{
	const struct ctl *c = t->c;
	struct err e;

	if (client_get(t->settings.socket, "/v1/subnets", "SubnetList", ANSWER_TIMEOUT_MS,
		       &t->leases, &e) < 0)
		return client_fail(c, t->settings.socket, &e, NULL);
	if (c->operands_len == 0)
		add_named(t, "");
	for (int i = 0; i < c->operands_len; i++) {
		if (!add_named(t, c->operands[i]))
			return ctl_fail(c, CTL_NOT_FOUND, NULL, "fabricctl subnets",
					"no host of the fabric is called \"%.80s\"",
					c->operands[i]);
	}
	return CTL_OK;
}

/* ---- the tests ---- */

static void say(struct test *t, const struct test_target *target, const char *test,
		enum outcome outcome, const char *fmt, ...) PRINTF(5, 6);

static void say(struct test *t, const struct test_target *target, const char *test,
		enum outcome outcome, const char *fmt, ...)
{
	enum ctl_color color = outcome == PASSED   ? COLOR_GOOD
			       : outcome == FAILED ? COLOR_BAD
						   : COLOR_DIM;
	const struct ctl *c = t->c;
	char address[IP_ADDR_TEXT];
	auto_free char *host = text_escape(target->host, c->utf8);
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	t->failed += outcome == FAILED;
	ip_addr_format(&target->address, address);
	json_append(t->items, json_pack("{s:o,s:s,s:s,s:s,s:o}", "host", json_text(target->host),
					"address", address, "test", test, "state",
					outcomes[outcome], "text", json_text(text)));
	if (document_is_wanted(c))
		return;
	fprintf(c->out, "%s%-7s%s  %-12s  %-15s  %-9s  %s\n", ctl_color_on(c, color),
		outcomes[outcome], ctl_color_off(c, color), host, address, test, text);
	fflush(c->out);
}

/* What fits into a packet to there: less where the route knows better. */
static uint32_t room_to(struct test *t, const struct ip_addr *dst)
{
	const struct lookup_packet p = { .dst = *dst };
	struct lookup_route way;

	if (lookup_route(t->nl, &p, &way, NULL) < 0 || !way.mtu_bytes)
		return t->sandbox.mtu_bytes;
	return MIN(way.mtu_bytes, t->sandbox.mtu_bytes);
}

/* Whether all were answered. */
static bool try_one(struct test *t, const struct test_target *target, const char *test,
		    uint8_t protocol, uint32_t size, bool silence_is_failure)
{
	bool v4 = target->address.family == AF_INET;
	const struct probe_question q = { .src = t->sandbox.addresses[v4 ? 0 : 1],
					  .dst = target->address,
					  .protocol = protocol,
					  .port = TEST_PORT,
					  .packets = PACKETS,
					  .gap_ms = GAP_MS,
					  .wait_ms = WAIT_MS,
					  .size = size,
					  .whole = size > 0,
					  .namespace_fd = t->sandbox.namespace_fd };
	struct probe_result r = { 0 };
	struct probe *probe;
	struct err e;

	if (!ip_addr_is_set(&q.src)) {
		say(t, target, test, SKIPPED, "containers here have no address of this family");
		return false;
	}
	if (probe_open(&q, &probe, &e) < 0) {
		say(t, target, test, FAILED, "%s", e.text);
		return false;
	}
	probe_run(probe, &r);
	probe_close(probe);
	if (r.sent && r.answered >= r.sent)
		say(t, target, test, PASSED, "%.2f ms%s", (double)r.rtt_us / 1000,
		    size ? ", whole" : "");
	else if (r.refused)
		say(t, target, test, FAILED, "not sent: %s", strerror(-r.refused));
	else
		say(t, target, test, silence_is_failure || r.answered ? FAILED : SKIPPED,
		    "%u of %u answered%s", r.answered, r.sent,
		    silence_is_failure ? "" : ", where nobody has to: a firewall there, perhaps");
	return r.sent && r.answered >= r.sent;
}

static void try_target(struct test *t, const struct test_target *target)
{
	uint8_t icmp =
		target->address.family == AF_INET ? (uint8_t)IPPROTO_ICMP : (uint8_t)IPPROTO_ICMPV6;
	uint32_t room = room_to(t, &target->address);
	char name[24];

	if (!try_one(t, target, "icmp", icmp, 0, target->answers))
		return;
	snprintf(name, sizeof(name), "icmp %u", room);
	if (room)
		try_one(t, target, name, icmp, room, true);
	try_one(t, target, "udp", IPPROTO_UDP, 0, false);
	try_one(t, target, "tcp", IPPROTO_TCP, 0, false);
}

static int try_flows(struct test *t, int64_t duration_s, struct err *e)
{
	auto_free struct test_flow *flows = xcalloc(t->len + 1, sizeof(*flows));
	size_t len = 0;

	/* What cannot be sent at all is no flow. */
	for (size_t i = 0; i < t->len; i++) {
		if (ip_addr_is_set(
			    &t->sandbox.addresses[t->targets[i].address.family == AF_INET ? 0 : 1]))
			t->targets[len++] = t->targets[i];
	}
	t->len = len;
	if (!document_is_wanted(t->c))
		fprintf(t->c->err,
			"a packet each %d ms to each of %zu addresses, for %lld s; Ctrl-C ends\n",
			TEST_FLOW_GAP_MS, len, (long long)duration_s);
	if (test_flows(&t->sandbox, t->targets, len, duration_s * 1000, flows, e) < 0)
		return e->code;
	for (size_t i = 0; i < len; i++) {
		const struct test_flow *f = &flows[i];
		enum outcome outcome = f->answered == f->sent                 ? PASSED
				       : t->targets[i].answers || f->answered ? FAILED
									      : SKIPPED;

		say(t, &t->targets[i], "flow", outcome, "%u of %u lost, longest gap %lld ms",
		    f->sent - f->answered, f->sent, (long long)f->longest_gap_ms);
		json_object_update_new(json_array_get(t->items, json_array_size(t->items) - 1),
				       json_pack("{s:i,s:i,s:f}", "sent", (int)f->sent, "lost",
						 (int)(f->sent - f->answered), "longestGapSeconds",
						 (double)f->longest_gap_ms / 1000));
	}
	return 0;
}

/* ---- the command ---- */

static void print_end(const struct test *t)
{
	const struct ctl *c = t->c;
	json_t *document;

	if (!document_is_wanted(c)) {
		fprintf(c->out, "%zu of %zu failed\n", t->failed, json_array_size(t->items));
		return;
	}
	document = ctl_document("Test");
	json_object_set_new(document, "failed", json_integer((json_int_t)t->failed));
	json_object_set(document, "items", t->items);
	document_print(c, document);
}

static int run_tests(struct test *t, int64_t disrupt_s, struct err *e)
{
	if (disrupt_s)
		return try_flows(t, disrupt_s, e);
	for (size_t i = 0; i < t->len && !test_is_over(); i++)
		try_target(t, &t->targets[i]);
	return 0;
}

static int listen_here(const struct test *t, struct err *e)
{
	const struct sandbox *s = &t->sandbox;
	char v4[IP_ADDR_TEXT] = "";
	char v6[IP_ADDR_TEXT] = "";

	if (ip_addr_is_set(&s->addresses[0]))
		ip_addr_format(&s->addresses[0], v4);
	if (ip_addr_is_set(&s->addresses[1]))
		ip_addr_format(&s->addresses[1], v6);
	fprintf(t->c->out, "on another host: fabricctl test %s%s%s\n", v4, *v4 && *v6 ? " " : "",
		v6);
	fflush(t->c->out);
	return test_listen(s, e);
}

static int in_sandbox(struct test *t, int64_t disrupt_s)
{
	const struct ctl *c = t->c;
	struct err e;
	int status = CTL_OK;

	test_catch_signals();
	if (sandbox_open(&t->settings, c->options.cni_config, &t->sandbox, &e) < 0)
		return ctl_fail(c, e.code == -EPERM || e.code == -EACCES ? CTL_DENIED : CTL_FAILED,
				e.text, NULL, "no container could be attached");
	if ((c->options.listen ? listen_here(t, &e) : run_tests(t, disrupt_s, &e)) < 0)
		status = ctl_fail(c, CTL_FAILED, NULL, NULL, "%s", e.text);
	if (sandbox_close(&t->sandbox, &e) < 0)
		status = ctl_fail(c, CTL_FAILED, e.text, "fabricctl pods",
				  "the container could not be detached");
	if (status == CTL_OK && !c->options.listen)
		print_end(t);
	return status == CTL_OK && t->failed ? CTL_FOUND : status;
}

static int read_options(const struct ctl *c, int64_t *ret_disrupt_s)
{
	struct err e;

	*ret_disrupt_s = 0;
	if (c->options.listen &&
	    (c->operands_len > 0 || c->options.disrupt || document_is_wanted(c)))
		return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command),
				"--listen goes with no host, no --disrupt and no --output");
	if (!c->options.disrupt)
		return CTL_OK;
	if (text_parse_duration(c->options.disrupt, ret_disrupt_s, &e) < 0 || *ret_disrupt_s < 1 ||
	    *ret_disrupt_s > DISRUPT_MAX_S)
		return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command),
				"--disrupt is \"%.40s\", must be a time from 1s to 1d",
				c->options.disrupt);
	return CTL_OK;
}

int test_run(struct ctl *c)
{
	struct test t = { .c = c, .items = json_array() };
	int64_t disrupt_s;
	struct err e;
	int status = read_options(c, &disrupt_s);

	if (status == CTL_OK)
		status = settings_read(c, false, &t.settings);
	if (status == CTL_OK && !c->options.listen)
		status = find_targets(&t);
	if (status == CTL_OK && netlink_open(NETLINK_ROUTE, &t.nl, &e) < 0)
		status = ctl_fail(c, CTL_FAILED, NULL, NULL, "%s", e.text);
	if (status == CTL_OK)
		status = in_sandbox(&t, disrupt_s);
	netlink_close(t.nl);
	json_decref(t.items);
	json_decref(t.leases);
	free(t.targets);
	settings_fini(&t.settings);
	return status;
}
