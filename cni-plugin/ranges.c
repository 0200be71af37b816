/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/ranges.h"

#include <errno.h>
#include <string.h>

void ranges_fini(struct ranges *r)
{
	for (size_t i = 0; i < r->len; i++)
		free(r->sets[i].items);
	free(r->sets);
	r->sets = NULL;
	r->len = 0;
}

static struct ip_addr plus(const struct ip_addr *a, u128 n)
{
	return ip_addr_from_u128(a->family, ip_addr_to_u128(a) + n);
}

static int compare(const struct ip_addr *a, const struct ip_addr *b)
{
	return memcmp(a->b, b->b, sizeof(a->b));
}

static bool range_has(const struct range *r, const struct ip_addr *a)
{
	return a->family == r->start.family && compare(a, &r->start) >= 0 &&
	       compare(a, &r->end) <= 0;
}

static int check_subnet(const struct ip_net *subnet, struct err *e)
{
	char text[IP_NET_TEXT];

	if (ip_net_has_host_bits(subnet)) {
		struct ip_net masked = ip_net_masked(subnet);
		char network[IP_ADDR_TEXT];

		return err_set(e, -EINVAL,
			       "subnet %s: Network has host bits set. For a subnet mask of length "
			       "%u the network address is %s",
			       ip_net_format(subnet, text), subnet->len,
			       ip_addr_format(&masked.addr, network));
	}
	if (subnet->len > ip_family_bits(subnet->addr.family) - 2)
		return err_set(e, -EINVAL, "subnet %s is too small to allocate from",
			       ip_net_format(subnet, text));
	return 0;
}

/* Fills in what is not given and checks what is. */
static int complete(struct range *r, struct err *e)
{
	int family = r->subnet.addr.family;
	u128 size = ip_net_size(family, r->subnet.len); /* 0: all of IPv6 */
	char subnet[IP_NET_TEXT];
	char text[IP_ADDR_TEXT];

	if (check_subnet(&r->subnet, e) < 0)
		return e->code;
	ip_net_format(&r->subnet, subnet);
	if (!ip_addr_is_set(&r->gateway))
		r->gateway = plus(&r->subnet.addr, 1);
	if (!ip_addr_is_set(&r->start))
		r->start = plus(&r->subnet.addr, 1);
	else if (!ip_net_contains(&r->subnet, &r->start))
		return err_set(e, -EINVAL, "rangeStart %s is not in subnet %s",
			       ip_addr_format(&r->start, text), subnet);
	/* IPv4 keeps the broadcast address out. */
	if (!ip_addr_is_set(&r->end))
		r->end = plus(&r->subnet.addr, size - (family == AF_INET ? 2 : 1));
	else if (!ip_net_contains(&r->subnet, &r->end))
		return err_set(e, -EINVAL, "rangeEnd %s is not in subnet %s",
			       ip_addr_format(&r->end, text), subnet);
	if (compare(&r->start, &r->end) > 0)
		return err_set(e, -EINVAL, "rangeStart %s is behind rangeEnd",
			       ip_addr_format(&r->start, text));
	return 0;
}

static int parse_range(const json_t *json, struct range *ret, struct err *e)
{
	struct range r = { 0 };

	if (!json_is_object(json))
		return err_set(e, -EINVAL, "a range must be an object");
	if (json_read_ip_net(json, "subnet", AF_UNSPEC, &r.subnet, e) < 0)
		return e->code;
	if (!ip_net_is_set(&r.subnet))
		return err_set(e, -EINVAL, "subnet is missing");
	if (json_read_ip_addr(json, "rangeStart", r.subnet.addr.family, &r.start, e) < 0 ||
	    json_read_ip_addr(json, "rangeEnd", r.subnet.addr.family, &r.end, e) < 0 ||
	    json_read_ip_addr(json, "gateway", r.subnet.addr.family, &r.gateway, e) < 0 ||
	    complete(&r, e) < 0)
		return e->code;
	*ret = r;
	return 0;
}

static bool overlap(const struct range *a, const struct range *b)
{
	return range_has(a, &b->start) || range_has(a, &b->end) || range_has(b, &a->start);
}

static int check_overlap(const struct range_set *set, const struct range *r, struct err *e)
{
	for (size_t i = 0; i < set->len; i++) {
		char a[IP_NET_TEXT];
		char b[IP_NET_TEXT];

		if (overlap(&set->items[i], r))
			return err_set(e, -EINVAL, "ranges in %s and %s overlap",
				       ip_net_format(&set->items[i].subnet, a),
				       ip_net_format(&r->subnet, b));
	}
	return 0;
}

static int append_range(struct range_set *set, const json_t *json, struct err *e)
{
	struct range r;

	if (parse_range(json, &r, e) < 0 || check_overlap(set, &r, e) < 0)
		return e->code;
	if (set->len && set->items[0].start.family != r.start.family)
		return err_set(e, -EINVAL, "a range set mixes IPv4 and IPv6");
	set->items = xrealloc(set->items, (set->len + 1) * sizeof(r));
	set->items[set->len++] = r;
	return 0;
}

/* `json` is a list of ranges, or a single range where `single`. */
static int append_set(struct ranges *all, const json_t *json, bool single, struct err *e)
{
	struct range_set set = { 0 };
	const json_t *item;
	int rc = 0;
	size_t i;

	if (all->len == RANGES_SETS_MAX)
		return err_set(e, -EINVAL, "more than %d range sets", RANGES_SETS_MAX);
	if (single) {
		rc = append_range(&set, json, e);
	} else if (!json_is_array(json) || json_array_size(json) == 0 ||
		   json_array_size(json) > RANGES_PER_SET_MAX) {
		rc = err_set(e, -EINVAL, "a range set must be a list of 1 to %d ranges",
			     RANGES_PER_SET_MAX);
	} else {
		json_array_foreach (json, i, item) {
			rc = append_range(&set, item, e);
			if (rc < 0)
				break;
		}
	}
	for (size_t k = 0; k < all->len && rc == 0; k++) {
		for (size_t n = 0; n < set.len && rc == 0; n++)
			rc = check_overlap(&all->sets[k], &set.items[n], e);
	}
	if (rc < 0) {
		free(set.items);
		return err_wrap(e, "range set %zu", all->len);
	}
	all->sets = xrealloc(all->sets, (all->len + 1) * sizeof(set));
	all->sets[all->len++] = set;
	return 0;
}

static int append_sets(struct ranges *all, const json_t *list, const char *key, struct err *e)
{
	const json_t *item;
	size_t i;

	if (!list)
		return 0;
	if (!json_is_array(list))
		return err_set(e, -EINVAL, "%s must be a list of range sets", key);
	json_array_foreach (list, i, item) {
		if (append_set(all, item, false, e) < 0)
			return err_wrap(e, "%s", key);
	}
	return 0;
}

int ranges_parse(const json_t *ipam, const json_t *runtime, struct ranges *ret, struct err *e)
{
	auto_ranges struct ranges all = { 0 };
	json_t *at_run = NULL;
	json_t *sets = NULL;

	if (json_find(runtime, "ipRanges", &at_run, e) < 0 ||
	    json_find(ipam, "ranges", &sets, e) < 0)
		return e->code;
	if (append_sets(&all, at_run, "ipRanges", e) < 0)
		return e->code;
	if (json_get_any_case(ipam, "subnet") && append_set(&all, ipam, true, e) < 0)
		return e->code;
	if (append_sets(&all, sets, "ranges", e) < 0)
		return e->code;
	if (all.len == 0)
		return err_set(e, -EINVAL, "no address ranges are configured");
	*ret = all;
	all = (struct ranges){ 0 };
	return 0;
}

const struct range *range_set_find(const struct range_set *set, const struct ip_addr *a)
{
	for (size_t i = 0; i < set->len; i++) {
		if (range_has(&set->items[i], a))
			return &set->items[i];
	}
	return NULL;
}

void range_walk_init(struct range_walk *w, const struct range_set *set, const struct ip_addr *last)
{
	const struct range *r = last && ip_addr_is_set(last) ? range_set_find(set, last) : NULL;

	memset(w, 0, sizeof(*w));
	w->set = set;
	w->begins_behind = r != NULL;
	w->index = r ? (size_t)(r - set->items) : 0;
	w->at = r ? *last : set->items[0].start;
}

static void step(struct range_walk *w)
{
	if (ip_addr_equal(&w->at, &w->set->items[w->index].end)) {
		w->index = (w->index + 1) % w->set->len;
		w->at = w->set->items[w->index].start;
	} else {
		w->at = plus(&w->at, 1);
	}
}

bool range_walk_next(struct range_walk *w, struct ip_addr *ret, const struct range **ret_range)
{
	do {
		if (w->started || w->begins_behind)
			step(w);
		if (!w->started)
			w->first = w->at;
		else if (ip_addr_equal(&w->at, &w->first))
			return false;
		w->started = true;
	} while (ip_addr_equal(&w->at, &w->set->items[w->index].gateway));
	*ret = w->at;
	*ret_range = &w->set->items[w->index];
	return true;
}

char *range_set_format(const struct range_set *set)
{
	char *all = xstrdup("");

	for (size_t i = 0; i < set->len; i++) {
		char start[IP_ADDR_TEXT];
		char end[IP_ADDR_TEXT];
		char *longer = xasprintf("%s%s%s-%s", all, i ? "," : "",
					 ip_addr_format(&set->items[i].start, start),
					 ip_addr_format(&set->items[i].end, end));

		free(all);
		all = longer;
	}
	return all;
}
