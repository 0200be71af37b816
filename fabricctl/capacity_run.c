/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl capacity: subnets of the network, addresses of this host's subnet, and how long they last. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "fabricctl/capacity.h"
#include "fabricctl/client.h"
#include "fabricctl/command.h"
#include "fabricctl/config.h"
#include "fabricctl/document.h"
#include "fabricctl/lease_source.h"
#include "fabricctl/reservations.h"
#include "lib/clock.h"
#include "lib/json.h"

#define ANSWER_TIMEOUT_MS 10000

struct network {
	struct network_family v4;
	struct network_family v6;
};

static int read_percent(const struct ctl *c, int64_t *ret)
{
	const char *text = c->options.warn;
	char *end;
	long value;

	*ret = CAPACITY_WARN_PERCENT;
	if (!text)
		return CTL_OK;
	value = text[0] >= '0' && text[0] <= '9' ? strtol(text, &end, 10) : 0;
	if (value < 1 || value > 100 || *end)
		return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command),
				"--warn is \"%.40s\", must be a number from 1 to 100", text);
	*ret = value;
	return CTL_OK;
}

/* ---- the network ---- */

static void read_family(const json_t *o, int family, struct network_family *ret)
{
	const char *network = ctl_text(o, "network");
	const char *min = ctl_text(o, "subnetMin");
	const char *max = ctl_text(o, "subnetMax");
	int64_t len = ctl_int(o, "subnetLen", -1);

	if (!network || !min || !max || len < 0 || len > (int64_t)ip_family_bits(family) ||
	    ip_net_parse(network, family, &ret->network, NULL) < 0 ||
	    ip_addr_parse(min, family, &ret->subnet_min, NULL) < 0 ||
	    ip_addr_parse(max, family, &ret->subnet_max, NULL) < 0)
		return;
	ret->subnet_len = (uint8_t)len;
	ret->enabled = true;
}

static int network_from_daemon(const struct ctl *c, const struct settings *s, struct network *ret)
{
	auto_json json_t *document = NULL;
	struct err e;

	if (client_get(s->socket, "/v1/config", "NetworkConfig", ANSWER_TIMEOUT_MS, &document, &e) <
	    0)
		return client_fail(c, s->socket, &e, "fabricctl capacity --store");
	read_family(json_object_get(document, "ipv4"), AF_INET, &ret->v4);
	read_family(json_object_get(document, "ipv6"), AF_INET6, &ret->v6);
	if (ret->v4.enabled || ret->v6.enabled)
		return CTL_OK;
	return ctl_fail(c, CTL_NOT_FOUND, "it waits for one in the store",
			"fabricctl config show --store",
			"flanneld has no network configuration yet");
}

static int network_from_store(const struct ctl *c, struct network *ret)
{
	auto_session struct session s;
	struct store_reply reply = { 0 };
	struct network_config config;
	int status = session_open(c, &s);
	struct err e;

	if (status)
		return status;
	session_ask(&s, &(struct store_request){ .op = STORE_CONFIG }, &reply);
	if (reply.status != STORE_OK) {
		status = session_fail(c, &s, &reply);
	} else if (config_validate(reply.config, reply.config_size, &config, &e) < 0) {
		status = config_fail(c, "what is in the store", &e);
	} else {
		*ret = (struct network){ config.v4, config.v6 };
		network_config_fini(&config);
	}
	store_reply_fini(&reply);
	return status;
}

/* ---- this host ---- */

struct addresses {
	struct ip_net subnet;
	int64_t used;
};

static void count_address(void *arg, const struct reservation *r)
{
	struct addresses *a = arg;

	a->used += r->address.family == a->subnet.addr.family &&
		   ip_net_contains(&a->subnet, &r->address);
}

/* null if it is not known which subnet this host has. */
static json_t *host_json(const struct ctl *c, const json_t *leases)
{
	const char *directory =
		c->options.cni_ipam_dir ? c->options.cni_ipam_dir : RESERVATIONS_DIRECTORY;
	struct addresses a = { 0 };
	const char *text = NULL;
	bool known;
	int64_t total;
	json_t *item;
	struct err e;
	size_t i;

	json_array_foreach (leases, i, item) {
		if (!text && json_is_true(json_object_get(item, "own")))
			text = ctl_text(item, "subnet") ? ctl_text(item, "subnet")
							: ctl_text(item, "subnetV6");
	}
	if (!text || ip_net_parse(text, AF_UNSPEC, &a.subnet, NULL) < 0)
		return json_null();
	total = capacity_addresses(&a.subnet);
	known = reservations_each(directory, count_address, &a, &e) == 0;
	return json_pack(
		"{s:s,s:s,s:I,s:o,s:o,s:o,s:o}", "subnet", text, "directory", directory,
		"addresses", total, "used", known ? json_integer(a.used) : json_null(), "free",
		known ? json_integer(MAX(total - a.used, (int64_t)0)) : json_null(), "usedPercent",
		known ? json_integer(total ? a.used * 100 / total : 100) : json_null(), "reason",
		known ? json_null() : json_text(e.text));
}

/* ---- the answer ---- */

static void print_label(const struct ctl *c, const char *label)
{
	fprintf(c->out, "%s%-9s%s ", ctl_color_on(c, COLOR_DIM), label,
		ctl_color_off(c, COLOR_DIM));
}

static enum ctl_color percent_color(const json_t *o, int64_t warn)
{
	return ctl_int(o, "usedPercent", 0) >= warn ? COLOR_BAD : COLOR_GOOD;
}

static void print_percent(const struct ctl *c, const json_t *o, int64_t warn)
{
	fprintf(c->out, "%s%" PRId64 " %%%s", ctl_color_on(c, percent_color(o, warn)),
		ctl_int(o, "usedPercent", 0), ctl_color_off(c, percent_color(o, warn)));
}

static void print_part(const struct ctl *c, const json_t *o, const char *key)
{
	if (ctl_int(o, key, 0))
		fprintf(c->out, ", %" PRId64 " %s", ctl_int(o, key, 0), key);
}

static void print_family(const struct ctl *c, const json_t *document, const char *name)
{
	const json_t *o = json_object_get(document, name);

	if (!json_is_object(o))
		return;
	print_label(c, name);
	fprintf(c->out, "%s, /%" PRId64 " each: %" PRId64 " of %" PRId64 " used",
		ctl_text(o, "network"), ctl_int(o, "subnetLen", 0), ctl_int(o, "used", 0),
		ctl_int(o, "subnets", 0));
	print_part(c, o, "reserved");
	print_part(c, o, "unbound");
	print_part(c, o, "outside");
	fprintf(c->out, ", %" PRId64 " free, side by side at most %" PRId64 "; ",
		ctl_int(o, "free", 0), ctl_int(o, "largestFreeRun", 0));
	print_percent(c, o, ctl_int(document, "warnPercent", 0));
	fputc('\n', c->out);
}

static void print_forecast(const struct ctl *c, const json_t *forecast)
{
	const json_t *rate = json_object_get(forecast, "hostsPerWeek");
	const json_t *full = json_object_get(forecast, "fullSeconds");
	char text[CLOCK_TEXT];

	print_label(c, "growth");
	if (json_is_real(rate))
		fprintf(c->out, "%.1f hosts a week, ", json_real_value(rate));
	if (json_is_integer(full))
		fprintf(c->out,
			"full in %s: ", clock_format_duration(json_integer_value(full), text));
	fprintf(c->out, "%s\n", ctl_text(forecast, "from"));
}

static void print_host(const struct ctl *c, const json_t *host, int64_t warn)
{
	auto_free char *subnet = ctl_safe(c, host, "subnet");
	auto_free char *reason = ctl_safe(c, host, "reason");

	if (!json_is_object(host))
		return;
	print_label(c, "here");
	if (ctl_text(host, "reason")) {
		fprintf(c->out, "%s, %" PRId64 " addresses; how many are used is not known: %s\n",
			subnet, ctl_int(host, "addresses", 0), reason);
		return;
	}
	fprintf(c->out, "%s: %" PRId64 " of %" PRId64 " addresses used, %" PRId64 " free; ", subnet,
		ctl_int(host, "used", 0), ctl_int(host, "addresses", 0), ctl_int(host, "free", 0));
	print_percent(c, host, warn);
	fputs("  (fabricctl pods)\n", c->out);
}

static void print(const struct ctl *c, const json_t *document)
{
	int64_t hosts = ctl_int(document, "hostsFree", 0);

	print_label(c, "hosts");
	fprintf(c->out, "%" PRId64 " more fit%s\n", hosts, hosts == 1 ? "s" : "");
	print_family(c, document, "ipv4");
	print_family(c, document, "ipv6");
	print_forecast(c, json_object_get(document, "forecast"));
	print_host(c, json_object_get(document, "host"), ctl_int(document, "warnPercent", 0));
}

/* A host needs a subnet of each family that there is. */
static int64_t hosts_free(const json_t *v4, const json_t *v6)
{
	return MIN(ctl_int(v4, "free", INT64_MAX), ctl_int(v6, "free", INT64_MAX));
}

static bool is_full(const json_t *document, int64_t warn)
{
	static const char *const parts[] = { "ipv4", "ipv6", "host" };

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		if (ctl_int(json_object_get(document, parts[i]), "usedPercent", 0) >= warn)
			return true;
	}
	return false;
}

int capacity_run(struct ctl *c)
{
	auto_settings struct settings settings = { 0 };
	auto_json json_t *leases = NULL;
	struct network network = { 0 };
	const json_t *items;
	json_t *document;
	int64_t warn;
	bool full;
	int status = read_percent(c, &warn);

	if (status == CTL_OK)
		status = settings_read(c, false, &settings);
	if (status == CTL_OK)
		status = c->options.store ? network_from_store(c, &network)
					  : network_from_daemon(c, &settings, &network);
	if (status == CTL_OK)
		status = lease_source_get(c, "fabricctl capacity --store", &leases);
	if (status)
		return status;
	items = json_object_get(leases, "items");
	document = ctl_document("Capacity");
	json_object_set_new(document, "source", json_string(c->options.store ? "store" : "daemon"));
	json_object_set_new(document, "warnPercent", json_integer(warn));
	json_object_set_new(document, "ipv4", capacity_of_family(&network.v4, items));
	json_object_set_new(document, "ipv6", capacity_of_family(&network.v6, items));
	json_object_set_new(document, "hostsFree",
			    json_integer(hosts_free(json_object_get(document, "ipv4"),
						    json_object_get(document, "ipv6"))));
	json_object_set_new(
		document, "forecast",
		capacity_forecast(items, ctl_int(document, "hostsFree", 0), clock_wall_ms()));
	json_object_set_new(document, "host", host_json(c, items));
	full = is_full(document, warn);
	if (document_is_wanted(c)) {
		document_print(c, document);
	} else {
		print(c, document);
		json_decref(document);
	}
	return full ? CTL_FOUND : CTL_OK;
}
