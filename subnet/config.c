/* SPDX-License-Identifier: Apache-2.0 */
#include "subnet/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <strings.h>

/* How the rules differ between the families. */
struct family_rules {
	int family;
	const char *network_key;
	const char *len_key;
	const char *min_key;
	const char *max_key;
	uint8_t default_len;     /* when Network leaves at least two bits above it */
	uint8_t longest_network; /* longest Network for which a length can be derived */
	uint8_t longest_subnet;  /* longest explicit subnet length */
};

const char network_config_keys[] = "Network SubnetLen SubnetMin SubnetMax IPv6Network "
				   "IPv6SubnetLen IPv6SubnetMin IPv6SubnetMax "
				   "EnableIPv4 EnableIPv6 EnableNFTables BackendChange Backend";

static const struct family_rules rules_v4 = { AF_INET,     "Network", "SubnetLen", "SubnetMin",
					      "SubnetMax", 24,        28,          30 };
static const struct family_rules rules_v6 = {
	AF_INET6, "IPv6Network", "IPv6SubnetLen", "IPv6SubnetMin", "IPv6SubnetMax", 64, 124, 126
};

/*
 * Every host needs its own subnet and the first is never used: less than two bits make no network.
 */
#define MIN_SUBNET_BITS 2

static int read_len(const json_t *object, const struct family_rules *r, struct network_family *f,
		    struct err *e)
{
	uint64_t len = 0;
	char net[IP_NET_TEXT];
	int rc;

	rc = json_read_uint(object, r->len_key, 0, ip_family_bits(r->family), &len, e);
	if (rc < 0)
		return rc;
	if (len == 0) {
		if (f->network.len > r->longest_network)
			return err_set(e, -EINVAL,
				       "%s is %s, too small: its length must be %u at most",
				       r->network_key, ip_net_format(&f->network, net),
				       r->longest_network);
		len = f->network.len + MIN_SUBNET_BITS <= r->default_len
			      ? r->default_len
			      : (unsigned)f->network.len + MIN_SUBNET_BITS;
	}
	if (len > r->longest_subnet || len < (unsigned)f->network.len + MIN_SUBNET_BITS)
		return err_set(e, -EINVAL, "%s is %u, must be from %u (%s + %u) to %u", r->len_key,
			       (unsigned)len, f->network.len + MIN_SUBNET_BITS, r->network_key,
			       MIN_SUBNET_BITS, r->longest_subnet);
	f->subnet_len = (uint8_t)len;
	return 0;
}

static int read_bound(const json_t *object, const char *key, const struct family_rules *r,
		      const struct network_family *f, struct ip_addr *inout, struct err *e)
{
	char addr_text[IP_ADDR_TEXT];
	char net_text[IP_NET_TEXT];
	struct ip_addr addr = { 0 };
	struct ip_net subnet;
	int rc;

	rc = json_read_ip_addr(object, key, r->family, &addr, e);
	if (rc < 0)
		return rc;
	if (!ip_addr_is_set(&addr) || ip_addr_is_unspecified(&addr))
		return 0;
	subnet = (struct ip_net){ addr, f->subnet_len };
	if (!ip_net_contains(&f->network, &addr))
		return err_set(e, -EINVAL, "%s is %s, must be inside %s %s", key,
			       ip_addr_format(&addr, addr_text), r->network_key,
			       ip_net_format(&f->network, net_text));
	if (ip_net_has_host_bits(&subnet))
		return err_set(e, -EINVAL, "%s is %s, must be the first address of a /%u subnet",
			       key, ip_addr_format(&addr, addr_text), f->subnet_len);
	*inout = addr;
	return 0;
}

static int read_family(const json_t *object, const struct family_rules *r, struct network_family *f,
		       struct err *e)
{
	char min_text[IP_ADDR_TEXT];
	char max_text[IP_ADDR_TEXT];
	u128 base;
	u128 step;
	int rc;

	if (!f->enabled)
		return 0;
	rc = json_read_ip_net(object, r->network_key, r->family, &f->network, e);
	if (rc < 0)
		return rc;
	if (!ip_net_is_set(&f->network))
		return err_set(e, -EINVAL, "%s is missing, must be an %s prefix", r->network_key,
			       r->family == AF_INET ? "IPv4" : "IPv6");
	f->network = ip_net_masked(&f->network);
	if (f->network.len == 0 || ip_addr_is_multicast(&f->network.addr) ||
	    ip_addr_is_loopback(&f->network.addr))
		return err_set(e, -EINVAL, "%s is %s, must be a range of unicast addresses",
			       r->network_key,
			       ip_net_format(&f->network, (char[IP_NET_TEXT]){ 0 }));
	rc = read_len(object, r, f, e);
	if (rc < 0)
		return rc;
	base = ip_addr_to_u128(&f->network.addr);
	step = ip_net_size(r->family, f->subnet_len);
	f->subnet_min = ip_addr_from_u128(r->family, base + step);
	f->subnet_max =
		ip_addr_from_u128(r->family, base + ip_net_size(r->family, f->network.len) - step);
	rc = read_bound(object, r->min_key, r, f, &f->subnet_min, e);
	if (rc == 0)
		rc = read_bound(object, r->max_key, r, f, &f->subnet_max, e);
	if (rc < 0)
		return rc;
	if (ip_addr_to_u128(&f->subnet_min) > ip_addr_to_u128(&f->subnet_max))
		return err_set(e, -EINVAL, "%s %s is above %s %s", r->min_key,
			       ip_addr_format(&f->subnet_min, min_text), r->max_key,
			       ip_addr_format(&f->subnet_max, max_text));
	return 0;
}

static int read_backend(const json_t *object, struct network_config *c, struct err *e)
{
	json_t *backend = NULL;
	const char *type = NULL;
	size_t i;
	int rc;

	rc = json_find(object, "Backend", &backend, e);
	if (rc < 0)
		return rc;
	if (!backend) {
		c->backend = json_object();
		return 0;
	}
	if (!json_is_object(backend))
		return err_set(e, -EINVAL,
			       "Backend must be an object such as {\"Type\": \"host-gw\"}");
	rc = json_read_string(backend, "Type", &type, e);
	if (rc < 0) {
		err_wrap(e, "Backend");
		return rc;
	}
	if (!type || !*type)
		return err_set(e, -EINVAL,
			       "Backend.Type is missing, must name a backend such as \"host-gw\"");
	if (strlen(type) >= sizeof(c->backend_type))
		return err_set(e, -EINVAL, "Backend.Type is \"%.40s...\", longer than %zu bytes",
			       type, sizeof(c->backend_type) - 1);
	for (i = 0; type[i]; i++)
		c->backend_type[i] = (char)tolower((unsigned char)type[i]);
	c->backend_type[i] = '\0';
	c->backend = json_incref(backend);
	return 0;
}

static int read_change(const json_t *object, bool *ret, struct err *e)
{
	const char *word = "restart";

	if (json_read_string(object, "BackendChange", &word, e) < 0)
		return e->code;
	*ret = strcmp(word, "majority") == 0;
	if (!*ret && strcmp(word, "restart") != 0)
		return err_set(e, -EINVAL,
			       "BackendChange is \"%.40s\", must be \"restart\" or \"majority\"",
			       word);
	return 0;
}

int network_config_parse(const char *text, size_t size, struct network_config *ret, struct err *e)
{
	auto_network_config struct network_config c = { .v4.enabled = true };
	auto_json json_t *object = NULL;
	int rc;

	if (size > NETWORK_CONFIG_MAX_SIZE)
		return err_set(e, -EINVAL, "%zu bytes long, must be %d at most", size,
			       NETWORK_CONFIG_MAX_SIZE);
	rc = json_parse_object(text, size, &object, e);
	if (rc == 0)
		rc = json_read_bool(object, "EnableIPv4", &c.v4.enabled, e);
	if (rc == 0)
		rc = json_read_bool(object, "EnableIPv6", &c.v6.enabled, e);
	if (rc == 0)
		rc = json_read_bool(object, "EnableNFTables", &c.enable_nftables, e);
	if (rc == 0)
		rc = read_change(object, &c.change_with_majority, e);
	if (rc < 0)
		return rc;
	if (!c.v4.enabled && !c.v6.enabled)
		return err_set(e, -EINVAL,
			       "EnableIPv4 and EnableIPv6 are both false, one must be true");
	rc = read_family(object, &rules_v4, &c.v4, e);
	if (rc == 0)
		rc = read_family(object, &rules_v6, &c.v6, e);
	if (rc == 0)
		rc = read_backend(object, &c, e);
	if (rc < 0)
		return rc;
	*ret = c;
	c.backend = NULL;
	return 0;
}

void network_config_fini(struct network_config *c)
{
	json_decref(c->backend);
	c->backend = NULL;
}

u128 network_family_capacity(const struct network_family *f)
{
	if (!f->enabled)
		return 0;
	return (ip_addr_to_u128(&f->subnet_max) - ip_addr_to_u128(&f->subnet_min)) /
		       ip_net_size(f->network.addr.family, f->subnet_len) +
	       1;
}

bool network_family_allows(const struct network_family *f, const struct ip_net *subnet)
{
	u128 base = ip_addr_to_u128(&subnet->addr);

	return f->enabled && ip_net_is_set(subnet) && subnet->len == f->subnet_len &&
	       subnet->addr.family == f->network.addr.family &&
	       base >= ip_addr_to_u128(&f->subnet_min) && base <= ip_addr_to_u128(&f->subnet_max);
}

/* ---- comparing ---- */

struct differences {
	char *buf;
	size_t size;
	size_t len;
};

static void differ(struct differences *d, const char *fmt, ...) PRINTF(2, 3);

static void differ(struct differences *d, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (d->len > 0 && d->len < d->size)
		d->len += (size_t)snprintf(d->buf + d->len, d->size - d->len, ", ");
	if (d->len >= d->size)
		return;
	va_start(ap, fmt);
	n = vsnprintf(d->buf + d->len, d->size - d->len, fmt, ap);
	va_end(ap);
	d->len += n > 0 ? (size_t)n : 0;
}

static void compare_bound(struct differences *d, const char *key, const struct ip_addr *now,
			  const struct ip_addr *was)
{
	char now_text[IP_ADDR_TEXT];
	char was_text[IP_ADDR_TEXT];

	if (!ip_addr_equal(now, was))
		differ(d, "%s is %s, was %s", key, ip_addr_format(now, now_text),
		       ip_addr_format(was, was_text));
}

static void compare_family(struct differences *d, const struct family_rules *r,
			   const struct network_family *now, const struct network_family *was)
{
	char now_text[IP_NET_TEXT];
	char was_text[IP_NET_TEXT];
	bool moved;

	if (now->enabled != was->enabled)
		differ(d, "%s is %s, was %s", r->family == AF_INET ? "EnableIPv4" : "EnableIPv6",
		       now->enabled ? "true" : "false", was->enabled ? "true" : "false");
	if (!now->enabled || !was->enabled)
		return;
	moved = !ip_net_equal(&now->network, &was->network);
	if (moved)
		differ(d, "%s is %s, was %s", r->network_key,
		       ip_net_format(&now->network, now_text),
		       ip_net_format(&was->network, was_text));
	if (now->subnet_len != was->subnet_len)
		differ(d, "%s is %u, was %u", r->len_key, now->subnet_len, was->subnet_len);
	/* They follow from the others unless they are given. */
	if (moved || now->subnet_len != was->subnet_len)
		return;
	compare_bound(d, r->min_key, &now->subnet_min, &was->subnet_min);
	compare_bound(d, r->max_key, &now->subnet_max, &was->subnet_max);
}

/* Keys in any case, as they are read. `seen`: those that both have were compared. */
static void compare_backend(struct differences *d, json_t *now, const json_t *was, bool seen)
{
	const char *key;
	json_t *value;

	json_object_foreach (now, key, value) {
		json_t *other = json_get_any_case(was, key);

		if (strcasecmp(key, "Type") != 0 && !(seen && other) && !json_is_null(value) &&
		    !json_equal(value, other))
			differ(d, "Backend.%s", key);
	}
}

bool network_config_differs(const struct network_config *now, const struct network_config *was,
			    const char *default_backend, char *buf, size_t size)
{
	const char *now_type = *now->backend_type ? now->backend_type : default_backend;
	const char *was_type = *was->backend_type ? was->backend_type : default_backend;
	struct differences d = { buf, size, 0 };

	buf[0] = '\0';
	compare_family(&d, &rules_v4, &now->v4, &was->v4);
	compare_family(&d, &rules_v6, &now->v6, &was->v6);
	if (now->enable_nftables != was->enable_nftables)
		differ(&d, "EnableNFTables is %s, was %s", now->enable_nftables ? "true" : "false",
		       was->enable_nftables ? "true" : "false");
	if (strcmp(now_type, was_type) != 0)
		differ(&d, "Backend.Type is %s, was %s", now_type, was_type);
	compare_backend(&d, now->backend, was->backend, false);
	compare_backend(&d, was->backend, now->backend, true);
	return d.len > 0;
}

bool network_config_keeps(const struct network_config *c, const struct subnet *own)
{
	bool v4 = c->v4.enabled && ip_net_is_set(&own->v4);
	bool v6 = c->v6.enabled && ip_net_is_set(&own->v6);

	return (v4 || v6) && (!v4 || network_family_allows(&c->v4, &own->v4)) &&
	       (!v6 || network_family_allows(&c->v6, &own->v6));
}

static int check_assigned(const char *key, const struct network_family *f,
			  const struct ip_net *assigned, struct err *e)
{
	char subnet[IP_NET_TEXT];
	char network[IP_NET_TEXT];

	if (!f->enabled)
		return 0;
	ip_net_format(&f->network, network);
	if (!ip_net_is_set(assigned))
		return err_set(e, -EINVAL, "no subnet of %s %s is assigned to this host", key,
			       network);
	if (!ip_net_contains_net(&f->network, assigned))
		return err_set(e, -EINVAL,
			       "the subnet %s that is assigned to this host is outside %s %s",
			       ip_net_format(assigned, subnet), key, network);
	return 0;
}

int network_config_has_room(const struct network_config *c, const struct subnet *assigned,
			    struct err *e)
{
	int rc = check_assigned("Network", &c->v4, &assigned->v4, e);

	return rc < 0 ? rc : check_assigned("IPv6Network", &c->v6, &assigned->v6, e);
}
