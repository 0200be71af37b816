/* SPDX-License-Identifier: Apache-2.0 */
#include "subnet/lease.h"

#include <ctype.h>
#include <errno.h>

#include "lib/buffer.h"
#include "lib/json.h"

/* "addr-len" in `size` bytes. 0.0.0.0-0 stands for "no IPv4" and gives an unset prefix. */
static int parse_part(const char *p, size_t size, int family, struct ip_net *ret)
{
	char text[IP_NET_TEXT];
	char *dash;
	struct ip_net n;

	if (size == 0 || size >= sizeof(text))
		return -EINVAL;
	memcpy(text, p, size);
	text[size] = '\0';
	dash = strrchr(text, '-');
	if (!dash)
		return -EINVAL;
	*dash = '/';
	if (ip_net_parse(text, family, &n, NULL) < 0)
		return -EINVAL;
	if (n.len == 0) {
		if (family != AF_INET || !ip_addr_is_unspecified(&n.addr))
			return -EINVAL;
		n = (struct ip_net){ 0 };
	}
	*ret = n;
	return 0;
}

int subnet_key_parse(const char *key, struct subnet *ret, struct err *e)
{
	const char *amp = strchr(key, '&');
	size_t v4_size = amp ? (size_t)(amp - key) : strlen(key);
	struct subnet s = { 0 };

	if (parse_part(key, v4_size, AF_INET, &s.v4) < 0 ||
	    (amp && parse_part(amp + 1, strlen(amp + 1), AF_INET6, &s.v6) < 0) ||
	    (!ip_net_is_set(&s.v4) && !ip_net_is_set(&s.v6)))
		return err_set(e, -EINVAL, "not a subnet key such as 10.5.52.0-24");
	if ((ip_net_is_set(&s.v4) && ip_net_has_host_bits(&s.v4)) ||
	    (ip_net_is_set(&s.v6) && ip_net_has_host_bits(&s.v6)))
		return err_set(e, -EINVAL, "host bits are set in the subnet");
	*ret = s;
	return 0;
}

const char *subnet_key_format(const struct subnet *s, char buf[static SUBNET_KEY_TEXT])
{
	char v4[IP_ADDR_TEXT] = "0.0.0.0";
	char v6[IP_ADDR_TEXT];

	if (ip_net_is_set(&s->v4))
		ip_addr_format(&s->v4.addr, v4);
	if (ip_net_is_set(&s->v6))
		snprintf(buf, SUBNET_KEY_TEXT, "%s-%u&%s-%u", v4, s->v4.len,
			 ip_addr_format(&s->v6.addr, v6), s->v6.len);
	else
		snprintf(buf, SUBNET_KEY_TEXT, "%s-%u", v4, s->v4.len);
	return buf;
}

const char *subnet_format(const struct subnet *s, char buf[static SUBNET_KEY_TEXT])
{
	char v4[IP_NET_TEXT];
	char v6[IP_NET_TEXT];
	bool both = ip_net_is_set(&s->v4) && ip_net_is_set(&s->v6);

	snprintf(buf, SUBNET_KEY_TEXT, "%s%s%s",
		 ip_net_is_set(&s->v4) || !ip_net_is_set(&s->v6) ? ip_net_format(&s->v4, v4) : "",
		 both ? "," : "", ip_net_is_set(&s->v6) ? ip_net_format(&s->v6, v6) : "");
	return buf;
}

bool subnet_equal(const struct subnet *a, const struct subnet *b)
{
	return ip_net_equal(&a->v4, &b->v4) && ip_net_equal(&a->v6, &b->v6);
}

bool subnet_overlaps(const struct subnet *a, const struct subnet *b)
{
	return (ip_net_is_set(&a->v4) && ip_net_is_set(&b->v4) &&
		ip_net_overlaps(&a->v4, &b->v4)) ||
	       (ip_net_is_set(&a->v6) && ip_net_is_set(&b->v6) && ip_net_overlaps(&a->v6, &b->v6));
}

/* A public address: 0.0.0.0 and :: mean none, as flannel writes for a family it does not use. */
static int read_public(const json_t *object, const char *key, int family, struct ip_addr *ret,
		       struct err *e)
{
	struct ip_addr a = { 0 };
	int rc = json_read_ip_addr(object, key, family, &a, e);

	if (rc == 0 && ip_addr_is_set(&a) && !ip_addr_is_unspecified(&a))
		*ret = a;
	return rc;
}

static int read_text(const json_t *object, const char *key, char **ret, struct err *e)
{
	const char *text = NULL;
	int rc = json_read_string(object, key, &text, e);

	if (rc < 0 || !text || !*text)
		return rc;
	if (strlen(text) > LEASE_TEXT_MAX)
		return err_set(e, -EINVAL, "%s is %zu bytes long, must be %d at most", key,
			       strlen(text), LEASE_TEXT_MAX);
	*ret = xstrdup(text);
	return 0;
}

static int read_mtu(const json_t *object, const char *key, uint16_t *ret, struct err *e)
{
	uint64_t mtu = 0;
	int rc = json_read_uint(object, key, 0, UINT16_MAX, &mtu, e);

	if (rc == 0)
		*ret = (uint16_t)mtu;
	return rc;
}

static int read_raw(const json_t *object, const char *key, char **ret, struct err *e)
{
	json_t *v = NULL;
	int rc = json_find(object, key, &v, e);

	if (rc == 0 && v)
		*ret = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
	return rc;
}

/* Who does not say which host he is says no more than a name, as a reservation has for people. */
static void forget_node(struct lease *l)
{
	l->source_v4 = l->source_v6 = (struct ip_addr){ 0 };
	l->mtu_v4_bytes = l->mtu_v6_bytes = 0;
	l->reserved = false;
	free(STEAL(l->claim));
}

/* Ours; somebody else's Node does not spoil the lease. */
static int read_node(const json_t *object, struct lease *l, struct err *e)
{
	json_t *node = NULL;
	int rc = json_find(object, "Node", &node, e);

	if (rc < 0 || !json_is_object(node))
		return rc;
	rc = read_text(node, "ID", &l->node_id, e);
	if (rc == 0)
		rc = read_text(node, "Name", &l->node_name, e);
	if (rc == 0)
		rc = read_text(node, "Claim", &l->claim, e);
	if (rc == 0)
		rc = read_public(node, "Source", AF_INET, &l->source_v4, e);
	if (rc == 0)
		rc = read_public(node, "SourceIPv6", AF_INET6, &l->source_v6, e);
	if (rc == 0)
		rc = read_mtu(node, "MTU", &l->mtu_v4_bytes, e);
	if (rc == 0)
		rc = read_mtu(node, "MTUIPv6", &l->mtu_v6_bytes, e);
	if (rc == 0)
		rc = json_read_bool(node, "Reserved", &l->reserved, e);
	if (rc == 0 && !l->node_id)
		forget_node(l);
	return rc;
}

int lease_value_parse(const char *text, size_t size, struct lease *ret, struct err *e)
{
	auto_json json_t *object = NULL;
	struct lease l = { 0 };
	int rc;

	if (size > LEASE_VALUE_MAX_SIZE)
		return err_set(e, -EINVAL, "value of %zu bytes, must be %d at most", size,
			       LEASE_VALUE_MAX_SIZE);
	rc = json_parse_object(text, size, &object, e);
	if (rc < 0)
		return rc;
	rc = read_public(object, "PublicIP", AF_INET, &l.public_v4, e);
	if (rc == 0)
		rc = read_public(object, "PublicIPv6", AF_INET6, &l.public_v6, e);
	if (rc == 0)
		rc = read_text(object, "BackendType", &l.backend_type, e);
	if (rc == 0)
		rc = read_raw(object, "BackendData", &l.backend_data, e);
	if (rc == 0)
		rc = read_raw(object, "BackendV6Data", &l.backend_v6_data, e);
	if (rc == 0)
		rc = read_node(object, &l, e);
	if (rc < 0) {
		lease_fini(&l);
		return rc;
	}
	l.subnet = ret->subnet;
	l.id = ret->id;
	l.born = ret->born;
	l.mod_revision = ret->mod_revision;
	l.flags = ret->flags;
	*ret = l;
	return 0;
}

/* "name":"text" behind a comma. */
static void put_text(struct buffer *out, const char *name, const char *text)
{
	buffer_puts(out, ",\"");
	buffer_puts(out, name);
	buffer_puts(out, "\":");
	buffer_put_json(out, text);
}

static void put_addr(struct buffer *out, const char *name, const struct ip_addr *a)
{
	char text[IP_ADDR_TEXT];

	if (ip_addr_is_set(a))
		put_text(out, name, ip_addr_format(a, text));
}

/* JSON as it came. */
static void put_raw(struct buffer *out, const char *name, const char *json)
{
	if (!json)
		return;
	buffer_puts(out, ",\"");
	buffer_puts(out, name);
	buffer_puts(out, "\":");
	buffer_puts(out, json);
}

/* What flannel ignores. */
static void put_node(struct buffer *out, const struct lease *l)
{
	buffer_puts(out, ",\"Node\":{\"ID\":");
	buffer_put_json(out, l->node_id);
	put_text(out, "Name", l->node_name);
	put_addr(out, "Source", &l->source_v4);
	put_addr(out, "SourceIPv6", &l->source_v6);
	if (l->mtu_v4_bytes)
		buffer_printf(out, ",\"MTU\":%u", l->mtu_v4_bytes);
	if (l->mtu_v6_bytes)
		buffer_printf(out, ",\"MTUIPv6\":%u", l->mtu_v6_bytes);
	if (l->reserved)
		buffer_puts(out, ",\"Reserved\":true");
	if (l->claim)
		put_text(out, "Claim", l->claim);
	buffer_putc(out, '}');
}

char *lease_value_format(const struct lease *l)
{
	struct buffer out = { 0 };
	char addr[IP_ADDR_TEXT] = "0.0.0.0";

	if (ip_addr_is_set(&l->public_v4))
		ip_addr_format(&l->public_v4, addr);
	buffer_puts(&out, "{\"PublicIP\":");
	buffer_put_json(&out, addr);
	if (ip_addr_is_set(&l->public_v6))
		put_addr(&out, "PublicIPv6", &l->public_v6);
	else
		put_raw(&out, "PublicIPv6", "null");
	if (l->backend_type)
		put_text(&out, "BackendType", l->backend_type);
	put_raw(&out, "BackendData", l->backend_data);
	put_raw(&out, "BackendV6Data", l->backend_v6_data);
	if (l->node_id)
		put_node(&out, l);
	buffer_putc(&out, '}');
	return buffer_steal(&out);
}

const char *lease_id_format(u128 id, char buf[static LEASE_ID_TEXT])
{
	uint64_t high = (uint64_t)(id >> 64);

	if (high)
		snprintf(buf, LEASE_ID_TEXT, "%llx%016llx", (unsigned long long)high,
			 (unsigned long long)(uint64_t)id);
	else
		snprintf(buf, LEASE_ID_TEXT, "%llx", (unsigned long long)(uint64_t)id);
	return buf;
}

u128 lease_id_parse(const char *text)
{
	u128 id = 0;

	for (; isxdigit((unsigned char)*text); text++)
		id = id << 4 | (unsigned)(isdigit((unsigned char)*text)
						  ? *text - '0'
						  : tolower((unsigned char)*text) - 'a' + 10);
	return id;
}

const char *lease_describe(const struct lease *l, char buf[static LEASE_DESCRIBE_TEXT])
{
	char key[SUBNET_KEY_TEXT];

	subnet_format(&l->subnet, key);
	if (l->node_name)
		snprintf(buf, LEASE_DESCRIBE_TEXT, "%.64s (%s)", l->node_name, key);
	else
		snprintf(buf, LEASE_DESCRIBE_TEXT, "%s", key);
	return buf;
}

struct lease *lease_new(void)
{
	return xcalloc(1, sizeof(struct lease));
}

static char *copy_text(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

struct lease *lease_copy(const struct lease *l)
{
	struct lease *copy = lease_new();

	*copy = *l;
	copy->backend_type = copy_text(l->backend_type);
	copy->backend_data = copy_text(l->backend_data);
	copy->backend_v6_data = copy_text(l->backend_v6_data);
	copy->node_id = copy_text(l->node_id);
	copy->node_name = copy_text(l->node_name);
	copy->claim = copy_text(l->claim);
	copy->problem = copy_text(l->problem);
	copy->compact = false;
	return copy;
}

static size_t text_size(const char *s)
{
	return s ? strlen(s) + 1 : 0;
}

static void move_text(char **text, char **room)
{
	size_t size = text_size(*text);

	if (!size)
		return;
	memcpy(*room, *text, size);
	*text = *room;
	*room += size;
}

struct lease *lease_compact(struct lease *l)
{
	size_t size = text_size(l->backend_type) + text_size(l->backend_data) +
		      text_size(l->backend_v6_data) + text_size(l->node_id) +
		      text_size(l->node_name) + text_size(l->claim) + text_size(l->problem);
	struct lease *compact;
	char *room;

	if (l->compact)
		return l;
	compact = xmalloc(sizeof(*compact) + size);
	room = (char *)(compact + 1);
	*compact = *l;
	compact->compact = true;
	move_text(&compact->backend_type, &room);
	move_text(&compact->backend_data, &room);
	move_text(&compact->backend_v6_data, &room);
	move_text(&compact->node_id, &room);
	move_text(&compact->node_name, &room);
	move_text(&compact->claim, &room);
	move_text(&compact->problem, &room);
	lease_free(l);
	return compact;
}

void lease_fini(struct lease *l)
{
	if (l->compact)
		return;
	free(STEAL(l->backend_type));
	free(STEAL(l->backend_data));
	free(STEAL(l->backend_v6_data));
	free(STEAL(l->node_id));
	free(STEAL(l->node_name));
	free(STEAL(l->claim));
	free(STEAL(l->problem));
}

void lease_free(struct lease *l)
{
	if (!l)
		return;
	lease_fini(l);
	free(l);
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

bool lease_equal(const struct lease *a, const struct lease *b)
{
	return subnet_equal(&a->subnet, &b->subnet) &&
	       ip_addr_equal(&a->public_v4, &b->public_v4) &&
	       ip_addr_equal(&a->public_v6, &b->public_v6) &&
	       same_text(a->backend_type, b->backend_type) &&
	       same_text(a->backend_data, b->backend_data) &&
	       same_text(a->backend_v6_data, b->backend_v6_data) &&
	       ip_addr_equal(&a->source_v4, &b->source_v4) &&
	       ip_addr_equal(&a->source_v6, &b->source_v6) && a->mtu_v4_bytes == b->mtu_v4_bytes &&
	       a->mtu_v6_bytes == b->mtu_v6_bytes && same_text(a->node_id, b->node_id) &&
	       same_text(a->node_name, b->node_name) && a->reserved == b->reserved &&
	       a->out_of_use == b->out_of_use && same_text(a->claim, b->claim) &&
	       same_text(a->problem, b->problem);
}
