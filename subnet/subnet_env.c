/* SPDX-License-Identifier: Apache-2.0 */
#include "subnet/subnet_env.h"

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
			unsigned mtu_bytes, bool ip_masq)
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
	if (fclose(out) != 0)
		abort();
	return text;
}

/*
 * The value of `line` if it assigns `name`: copied into `buf` without quotes and trailing blanks.
 */
static bool read_value(const char *line, size_t size, const char *name,
		       char buf[static IP_NET_TEXT])
{
	const char *end = line + size;
	size_t name_size = strlen(name);

	while (line < end && (*line == ' ' || *line == '\t'))
		line++;
	if (end - line > 7 && memcmp(line, "export ", 7) == 0)
		line += 7;
	while (line < end && *line == ' ')
		line++;
	if ((size_t)(end - line) <= name_size || memcmp(line, name, name_size) != 0 ||
	    line[name_size] != '=')
		return false;
	line += name_size + 1;
	while (end > line && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
		end--;
	if (end - line >= 2 && (*line == '"' || *line == '\'') && end[-1] == *line) {
		line++;
		end--;
	}
	if (end - line >= IP_NET_TEXT)
		return false;
	memcpy(buf, line, (size_t)(end - line));
	buf[end - line] = '\0';
	return true;
}

static void read_subnet(const char *line, size_t size, const char *name, int family,
			struct ip_net *ret)
{
	char value[IP_NET_TEXT];
	struct ip_net net;

	if (!read_value(line, size, name, value))
		return;
	if (ip_net_parse(value, family, &net, NULL) == 0 && net.len > 0)
		*ret = ip_net_masked(&net);
	else
		*ret = (struct ip_net){ 0 };
}

/* The last assignment of each of two names, one for each family. */
static void parse_pair(const char *text, const char *v4_name, const char *v6_name,
		       struct ip_net ret[static 2])
{
	ret[0] = ret[1] = (struct ip_net){ 0 };
	while (*text) {
		size_t size = strcspn(text, "\n");

		read_subnet(text, size, v4_name, AF_INET, &ret[0]);
		read_subnet(text, size, v6_name, AF_INET6, &ret[1]);
		text += size;
		text += *text == '\n';
	}
}

void subnet_env_parse(const char *text, struct subnet *ret_subnet)
{
	struct ip_net pair[2];

	parse_pair(text, "FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET", pair);
	*ret_subnet = (struct subnet){ pair[0], pair[1] };
}

void subnet_env_parse_networks(const char *text, struct ip_net ret[static 2])
{
	parse_pair(text, "FLANNEL_NETWORK", "FLANNEL_IPV6_NETWORK", ret);
}
