/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/capacity.h"

#include <inttypes.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "subnet/pool.h"

#define NUMBER_MAX  ((u128)1 << 53)
#define DAY_MS      ((int64_t)86400 * 1000)
#define WINDOW_DAYS 30 /* what is older says little about the weeks to come */

static int64_t number(u128 n)
{
	return (int64_t)MIN(n, NUMBER_MAX);
}

/* A reservation stays one when its host has come: it never ends, whoever is there. */
static const char *class_of(const json_t *item)
{
	if (json_is_true(json_object_get(item, "unbound")))
		return "unbound";
	return json_is_true(json_object_get(item, "reservation")) ? "reserved" : "used";
}

struct counts {
	int64_t used;
	int64_t reserved;
	int64_t unbound;
	int64_t outside;
};

static void count(struct counts *n, const char *class)
{
	if (strcmp(class, "unbound") == 0)
		n->unbound++;
	else if (strcmp(class, "reserved") == 0)
		n->reserved++;
	else
		n->used++;
}

json_t *capacity_of_family(const struct network_family *f, const json_t *leases)
{
	const char *key = f->network.addr.family == AF_INET6 ? "subnetV6" : "subnet";
	auto_free struct ip_net *taken = xcalloc(json_array_size(leases) + 1, sizeof(*taken));
	char network[IP_NET_TEXT];
	struct counts n = { 0 };
	size_t len = 0;
	u128 total;
	u128 left;
	json_t *item;
	size_t i;

	if (!f->enabled)
		return json_null();
	json_array_foreach (leases, i, item) {
		const char *text = ctl_text(item, key);

		if (!text || ip_net_parse(text, f->network.addr.family, &taken[len], NULL) < 0)
			continue;
		if (network_family_allows(f, &taken[len]))
			count(&n, class_of(item));
		else
			n.outside++;
		len++;
	}
	total = network_family_capacity(f);
	left = pool_free_count(f, taken, len);
	return json_pack("{s:s,s:i,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "network",
			 ip_net_format(&f->network, network), "subnetLen", f->subnet_len, "subnets",
			 number(total), "used", n.used, "reserved", n.reserved, "unbound",
			 n.unbound, "outside", n.outside, "free", number(left), "largestFreeRun",
			 number(pool_largest_run(f, taken, len)), "usedPercent",
			 total ? (int64_t)((double)(total - left) * 100 / (double)total) : 100);
}

static json_t *unknown(const char *why)
{
	return json_pack("{s:s,s:n,s:n}", "from", why, "hostsPerWeek", "fullSeconds");
}

json_t *capacity_forecast(const json_t *leases, int64_t free, int64_t now_ms)
{
	int64_t from_ms = now_ms - WINDOW_DAYS * DAY_MS;
	int64_t oldest_ms = now_ms;
	int64_t dated = 0;
	int64_t young = 0;
	auto_free char *from = NULL;
	double days;
	json_t *item;
	size_t i;

	json_array_foreach (leases, i, item) {
		const char *text = ctl_text(item, "created");
		int64_t made_ms;

		if (!text || clock_parse_utc(text, &made_ms) < 0)
			continue;
		dated++;
		young += made_ms > from_ms;
		oldest_ms = MIN(oldest_ms, made_ms);
	}
	if (dated == 0)
		return unknown("cannot be known: the store tells who was first, and not when");
	if (now_ms - oldest_ms < DAY_MS)
		return unknown("cannot be known yet: the oldest lease is younger than a day");
	days = (double)(now_ms - MAX(from_ms, oldest_ms)) / (double)DAY_MS;
	from = xasprintf("%" PRId64 " of %" PRId64 " leases were made in the last %.0f days; those "
			 "that are gone again are not counted",
			 young, dated, days);
	return json_pack(
		"{s:s,s:f,s:o}", "from", from, "hostsPerWeek", (double)young * 7 / days,
		"fullSeconds",
		young ? json_integer((json_int_t)((double)free * days * 86400 / (double)young))
		      : json_null());
}

/* Not the subnet's own address, the gateway's and, of IPv4, the broadcast's. */
int64_t capacity_addresses(const struct ip_net *subnet)
{
	int family = subnet->addr.family;
	u128 size = ip_net_size(family, subnet->len);
	u128 others = family == AF_INET ? 3 : 2;

	return size == 0 ? number(NUMBER_MAX) : size > others ? number(size - others) : 0;
}
