/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/fabric.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "cni-plugin/error.h"
#include "lib/file.h"
#include "lib/log.h"

#define FILE_SIZE_MAX (64 * 1024)
#define LINE_SIZE_MAX 2048
#define IPV6_MTU_MIN  1280

static bool has_network(const struct fabric *f, int family)
{
	for (size_t i = 0; i < f->networks_len; i++) {
		if (f->networks[i].addr.family == family)
			return true;
	}
	return false;
}

/* A comma list; a network that is there already is not added again. */
static int read_networks(char *value, int family, struct fabric *f, struct err *e)
{
	char *save = NULL;

	for (char *p = strtok_r(value, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
		struct ip_net net;
		bool known = false;

		if (ip_net_parse(p, family, &net, e) < 0)
			return e->code;
		for (size_t i = 0; i < f->networks_len; i++)
			known |= ip_net_equal(&f->networks[i], &net);
		if (known)
			continue;
		if (f->networks_len == FABRIC_NETWORKS_MAX)
			return err_set(e, -EINVAL, "more than %u networks", FABRIC_NETWORKS_MAX);
		f->networks[f->networks_len++] = net;
	}
	return 0;
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

struct parser {
	struct fabric fabric;
	bool has_mtu;
	bool has_ip_masq;
};

static int read_line(char *line, struct parser *p, struct err *e)
{
	char *equals = strchr(line, '=');
	struct fabric *f = &p->fabric;
	const char *key = line;
	char *value;
	int rc = 0;

	if (!equals)
		return 0;
	*equals = '\0';
	value = equals + 1;
	if (strcmp(key, "FLANNEL_NETWORK") == 0) {
		rc = read_networks(value, AF_INET, f, e);
	} else if (strcmp(key, "FLANNEL_IPV6_NETWORK") == 0) {
		rc = read_networks(value, AF_INET6, f, e);
	} else if (strcmp(key, "FLANNEL_SUBNET") == 0) {
		rc = ip_net_parse(value, AF_INET, &f->subnet, e);
	} else if (strcmp(key, "FLANNEL_IPV6_SUBNET") == 0) {
		rc = ip_net_parse(value, AF_INET6, &f->subnet_v6, e);
	} else if (strcmp(key, "FLANNEL_MTU") == 0) {
		rc = read_mtu(value, &f->mtu_bytes, e);
		p->has_mtu = true;
	} else if (strcmp(key, "FLANNEL_IPMASQ") == 0) {
		f->ip_masq = strcmp(value, "true") == 0;
		p->has_ip_masq = true;
	}
	return rc < 0 ? err_wrap(e, "%s", key) : 0;
}

static int check_complete(const struct parser *p, struct err *e)
{
	const struct fabric *f = &p->fabric;
	const struct {
		bool present;
		const char *names;
	} parts[] = {
		{ has_network(f, AF_INET) || has_network(f, AF_INET6),
		  "FLANNEL_NETWORK, FLANNEL_IPV6_NETWORK" },
		{ ip_net_is_set(&f->subnet) || ip_net_is_set(&f->subnet_v6),
		  "FLANNEL_SUBNET, FLANNEL_IPV6_SUBNET" },
		{ p->has_mtu, "FLANNEL_MTU" },
		{ p->has_ip_masq, "FLANNEL_IPMASQ" },
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

int fabric_parse(const char *text, struct fabric *ret, struct err *e)
{
	struct parser parser = { 0 };
	const char *p = text;
	int rc;

	while (*p) {
		size_t size = strcspn(p, "\n");
		char line[LINE_SIZE_MAX];

		if (size >= sizeof(line))
			return err_set(e, -EINVAL, "a line is longer than %d bytes",
				       LINE_SIZE_MAX - 1);
		memcpy(line, p, size);
		line[size] = '\0';
		if (size && line[size - 1] == '\r')
			line[size - 1] = '\0';
		rc = read_line(line, &parser, e);
		if (rc < 0)
			return rc;
		p += size + (p[size] == '\n');
	}
	rc = check_complete(&parser, e);
	if (rc == 0)
		*ret = parser.fabric;
	return rc;
}

/*
 * Whoever can write the file, or put another in its place, decides how all containers are attached.
 */
static int check_writers(const char *path, struct err *e)
{
	auto_free char *dir = xstrdup(path);
	char *slash = strrchr(dir, '/');
	struct stat st;

	if (stat(path, &st) == 0 && st.st_mode & S_IWOTH)
		return cni_error(e, CNI_CONFIG, "%s: anybody may write this file", path);
	if (!slash)
		return 0;
	slash[slash == dir] = '\0';
	if (stat(dir, &st) == 0 && st.st_mode & S_IWOTH && !(st.st_mode & S_ISVTX))
		return cni_error(e, CNI_CONFIG, "%s: anybody may replace this file", path);
	return 0;
}

/* IPv6 needs 1280 bytes, and is no reason to do without IPv4. The daemon names the problem. */
static void leave_out_ipv6(struct fabric *f)
{
	size_t len = 0;

	if (f->mtu_bytes >= IPV6_MTU_MIN || !ip_net_is_set(&f->subnet_v6) ||
	    !ip_net_is_set(&f->subnet) || f->mtu_bytes == 0)
		return;
	log_warn("ipv6-left-out", "FLANNEL_MTU is %u, IPv6 needs %d", f->mtu_bytes, IPV6_MTU_MIN);
	f->subnet_v6 = (struct ip_net){ 0 };
	for (size_t i = 0; i < f->networks_len; i++) {
		if (f->networks[i].addr.family == AF_INET)
			f->networks[len++] = f->networks[i];
	}
	f->networks_len = len;
}

int fabric_read(const char *path, struct fabric *ret, struct err *e)
{
	auto_free char *text = NULL;
	int rc;

	if (check_writers(path, e) < 0)
		return e->code;
	rc = file_read(path, FILE_SIZE_MAX, &text, NULL, e);
	if (rc == -ENOENT)
		return cni_error(e, CNI_TRY_AGAIN,
				 "%s does not exist: flanneld has not got a subnet yet", path);
	if (rc == 0) {
		rc = fabric_parse(text, ret, e);
		if (rc < 0)
			err_wrap(e, "%s", path);
		else
			leave_out_ipv6(ret);
	}
	return rc < 0 ? cni_classify(e, CNI_CONFIG) : 0;
}
