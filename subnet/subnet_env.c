/* SPDX-License-Identifier: Apache-2.0 */
#include "subnet/subnet_env.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void put_net(FILE *out, const char *name, const struct ip_net *net)
{
	char text[IP_NET_TEXT];

	fprintf(out, "%s=%s\n", name, ip_net_format(net, text));
}

/* The first usable address of the subnet with its prefix length: the gateway of the host's
 * containers. */
static struct ip_net gateway(const struct ip_net *subnet)
{
	struct ip_net n = *subnet;

	n.addr = ip_addr_from_u128(n.addr.family, ip_addr_to_u128(&n.addr) + 1);
	return n;
}

char *subnet_env_format(const struct network_config *config, const struct subnet *own,
			unsigned mtu_bytes, bool ip_masq, bool drained)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	struct ip_net gw;

	if (!out)
		abort();
	if (config->v4.enabled && ip_net_is_set(&own->v4)) {
		gw = gateway(&own->v4);
		put_net(out, "FLANNEL_NETWORK", &config->v4.network);
		put_net(out, "FLANNEL_SUBNET", &gw);
	}
	if (config->v6.enabled && ip_net_is_set(&own->v6)) {
		gw = gateway(&own->v6);
		put_net(out, "FLANNEL_IPV6_NETWORK", &config->v6.network);
		put_net(out, "FLANNEL_IPV6_SUBNET", &gw);
	}
	fprintf(out, "FLANNEL_MTU=%u\n", mtu_bytes);
	fprintf(out, "FLANNEL_IPMASQ=%s\n", ip_masq ? "true" : "false");
	if (drained)
		fputs("FLANNEL_DRAINED=true\n", out);
	if (fclose(out) != 0)
		abort();
	return text;
}

/* ---- reading ---- */

#define LINE_SIZE_MAX 2048

struct reader {
	struct subnet_env env;
	bool has_mtu;
	bool has_ip_masq;
};

static bool has_network(const struct subnet_env *env, int family)
{
	for (size_t i = 0; i < env->networks_len; i++) {
		if (env->networks[i].addr.family == family)
			return true;
	}
	return false;
}

static void drop_networks(struct subnet_env *env, int family)
{
	size_t kept = 0;

	for (size_t i = 0; i < env->networks_len; i++) {
		if (env->networks[i].addr.family != family)
			env->networks[kept++] = env->networks[i];
	}
	env->networks_len = kept;
}

static int add_network(struct subnet_env *env, const char *text, int family, struct err *e)
{
	struct ip_net net;

	if (ip_net_parse(text, family, &net, e) < 0)
		return e->code;
	for (size_t i = 0; i < env->networks_len; i++) {
		if (ip_net_equal(&env->networks[i], &net))
			return 0;
	}
	if (env->networks_len == SUBNET_ENV_NETWORKS_MAX)
		return err_set(e, -EINVAL, "more than %u networks", SUBNET_ENV_NETWORKS_MAX);
	env->networks[env->networks_len++] = net;
	return 0;
}

/* A comma list. All of it or nothing. */
static int read_networks(char *value, int family, struct subnet_env *env, struct err *e)
{
	char *save = NULL;

	drop_networks(env, family);
	for (char *p = strtok_r(value, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
		if (add_network(env, p, family, e) < 0) {
			drop_networks(env, family);
			return e->code;
		}
	}
	return 0;
}

static int read_subnet(const char *value, int family, struct ip_net *ret, struct err *e)
{
	*ret = (struct ip_net){ 0 };
	return ip_net_parse(value, family, ret, e);
}

static int read_mtu(const char *value, uint32_t *ret, struct err *e)
{
	char *end;
	unsigned long mtu = strtoul(value, &end, 10);

	if (*value < '0' || *value > '9' || *end || mtu > 65535)
		return err_set(e, -EINVAL, "\"%.40s\" is not a number up to 65535", value);
	*ret = (uint32_t)mtu;
	return 0;
}

/* A prefix of no use leaves its key unset. */
static int assign(struct reader *r, const char *key, char *value, struct err *e)
{
	struct subnet_env *env = &r->env;
	int rc = 0;

	if (strcmp(key, "FLANNEL_NETWORK") == 0) {
		rc = read_networks(value, AF_INET, env, e);
	} else if (strcmp(key, "FLANNEL_IPV6_NETWORK") == 0) {
		rc = read_networks(value, AF_INET6, env, e);
	} else if (strcmp(key, "FLANNEL_SUBNET") == 0) {
		rc = read_subnet(value, AF_INET, &env->subnet, e);
	} else if (strcmp(key, "FLANNEL_IPV6_SUBNET") == 0) {
		rc = read_subnet(value, AF_INET6, &env->subnet_v6, e);
	} else if (strcmp(key, "FLANNEL_MTU") == 0) {
		rc = read_mtu(value, &env->mtu_bytes, e);
		r->has_mtu = true;
	} else if (strcmp(key, "FLANNEL_DRAINED") == 0) {
		env->drained = strcmp(value, "true") == 0;
	} else if (strcmp(key, "FLANNEL_IPMASQ") == 0) {
		env->ip_masq = strcmp(value, "true") == 0;
		env->ip_masq_plain = env->ip_masq || strcmp(value, "false") == 0;
		r->has_ip_masq = true;
	}
	return rc < 0 ? err_wrap(e, "%s", key) : 0;
}

/* The next line, without its end, into `buf`; -E2BIG if it is too long. Moves on in any case. */
static int take_line(const char **text, char buf[static LINE_SIZE_MAX])
{
	size_t size = strcspn(*text, "\n");
	const char *line = *text;

	*text += size + (line[size] == '\n');
	if (size >= LINE_SIZE_MAX)
		return -E2BIG;
	memcpy(buf, line, size);
	buf[size] = '\0';
	if (size && buf[size - 1] == '\r')
		buf[size - 1] = '\0';
	return 0;
}

/* The value in "key=value", of which the key is left; NULL if it is no such thing. */
static char *split(char *line)
{
	char *equals = strchr(line, '=');

	if (!equals)
		return NULL;
	*equals = '\0';
	return equals + 1;
}

static int check_complete(const struct reader *r, struct err *e)
{
	const struct subnet_env *env = &r->env;
	const struct {
		bool present;
		const char *names;
	} parts[] = {
		{ has_network(env, AF_INET) || has_network(env, AF_INET6),
		  "FLANNEL_NETWORK, FLANNEL_IPV6_NETWORK" },
		{ ip_net_is_set(&env->subnet) || ip_net_is_set(&env->subnet_v6),
		  "FLANNEL_SUBNET, FLANNEL_IPV6_SUBNET" },
		{ r->has_mtu, "FLANNEL_MTU" },
		{ r->has_ip_masq, "FLANNEL_IPMASQ" },
	};
	char missing[160] = "";
	size_t used = 0;

	for (unsigned i = 0; i < ARRAY_LEN(parts); i++) {
		if (parts[i].present)
			continue;
		used += (size_t)snprintf(missing + used, sizeof(missing) - used, "%s%s",
					 used ? ", " : "", parts[i].names);
	}
	return used ? err_set(e, -EINVAL, "missing %s", missing) : 0;
}

int subnet_env_parse(const char *text, struct subnet_env *ret, struct err *e)
{
	struct reader r = { 0 };
	char line[LINE_SIZE_MAX];

	while (*text) {
		char *value;

		if (take_line(&text, line) < 0)
			return err_set(e, -EINVAL, "a line is longer than %d bytes",
				       LINE_SIZE_MAX - 1);
		value = split(line);
		if (value && assign(&r, line, value, e) < 0)
			return e->code;
	}
	if (check_complete(&r, e) < 0)
		return e->code;
	*ret = r.env;
	return 0;
}

/* ---- what a shell would take as well ---- */

/* A line without blanks around it and "export" before it. */
static char *plain(char *line)
{
	size_t size;

	line += strspn(line, " \t");
	if (strncmp(line, "export ", 7) == 0)
		line += 7 + strspn(line + 7, " ");
	size = strlen(line);
	while (size && strchr(" \t\r", line[size - 1]))
		line[--size] = '\0';
	return line;
}

static char *unquoted(char *value)
{
	size_t size = strlen(value);

	if (size < 2 || !strchr("\"'", *value) || value[size - 1] != *value)
		return value;
	value[size - 1] = '\0';
	return value + 1;
}

static struct ip_net one_prefix(const struct ip_net *net)
{
	return net->len > 0 ? ip_net_masked(net) : (struct ip_net){ 0 };
}

static struct ip_net one_network(const struct subnet_env *env, int family)
{
	struct ip_net found = { 0 };
	unsigned count = 0;

	for (size_t i = 0; i < env->networks_len; i++) {
		if (env->networks[i].addr.family != family)
			continue;
		found = one_prefix(&env->networks[i]);
		count++;
	}
	return count == 1 ? found : (struct ip_net){ 0 };
}

void subnet_env_recall(const char *text, struct subnet *ret_subnet,
		       struct ip_net ret_networks[static 2])
{
	struct reader r = { 0 };
	char buf[LINE_SIZE_MAX];

	while (*text) {
		struct err ignored;
		char *line;
		char *value;

		if (take_line(&text, buf) < 0)
			continue;
		line = plain(buf);
		value = split(line);
		if (value)
			(void)!assign(&r, line, unquoted(value), &ignored);
	}
	*ret_subnet = (struct subnet){ one_prefix(&r.env.subnet), one_prefix(&r.env.subnet_v6) };
	ret_networks[0] = one_network(&r.env, AF_INET);
	ret_networks[1] = one_network(&r.env, AF_INET6);
}
