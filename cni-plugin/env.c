/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/env.h"

#include <ctype.h>
#include <net/if.h>
#include <string.h>
#include <strings.h>

#include "cni-plugin/error.h"

#define FOR(command) (1u << (command))

static const char *const commands[] = {
	[CNI_ADD] = "ADD", [CNI_DEL] = "DEL",       [CNI_CHECK] = "CHECK",
	[CNI_GC] = "GC",   [CNI_STATUS] = "STATUS", [CNI_VERSION] = "VERSION",
};

const char *cni_command_name(enum cni_command command)
{
	return commands[command];
}

bool cni_is_identifier(const char *s)
{
	if (!isalnum((unsigned char)*s))
		return false;
	for (; *s; s++) {
		if (!isalnum((unsigned char)*s) && !strchr("_.-", *s))
			return false;
	}
	return true;
}

bool cni_is_ifname(const char *s)
{
	size_t size = strlen(s);

	if (size == 0 || size >= IFNAMSIZ || strcmp(s, ".") == 0 || strcmp(s, "..") == 0)
		return false;
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c <= ' ' || c == 0x7f || c == '/' || c == ':')
			return false;
	}
	return true;
}

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value ? value : "";
}

static int read_command(enum cni_command *ret, struct err *e)
{
	const char *text = variable("CNI_COMMAND");

	for (unsigned i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(text, commands[i]) == 0) {
			*ret = (enum cni_command)i;
			return 0;
		}
	}
	return cni_error(e, CNI_ENVIRONMENT, "unknown CNI_COMMAND: %.40s", text);
}

/*
 * CNI_PATH is not on the list, although runtimes set it: it is for finding delegates, and is missed
 * only when there is one to find.
 */
static int check_present(const struct cni_env *env, struct err *e)
{
	const unsigned attachment = FOR(CNI_ADD) | FOR(CNI_DEL) | FOR(CNI_CHECK);
	const struct {
		const char *name;
		const char *value;
		unsigned commands;
	} required[] = {
		{ "CNI_CONTAINERID", env->container_id, attachment },
		{ "CNI_NETNS", env->netns, FOR(CNI_ADD) | FOR(CNI_CHECK) },
		{ "CNI_IFNAME", env->ifname, attachment },
	};
	char missing[80] = "";
	size_t used = 0;

	for (unsigned i = 0; i < ARRAY_LEN(required); i++) {
		if (!(required[i].commands & FOR(env->command)) || required[i].value[0])
			continue;
		used += (size_t)snprintf(missing + used, sizeof(missing) - used, "%s%s",
					 used ? ", " : "", required[i].name);
	}
	if (used)
		return cni_error(e, CNI_ENVIRONMENT, "%s needs environment variables: %s",
				 cni_command_name(env->command), missing);
	if (!(attachment & FOR(env->command)))
		return 0;
	if (!cni_is_identifier(env->container_id))
		return cni_error(e, CNI_ENVIRONMENT, "CNI_CONTAINERID \"%.80s\" is not valid",
				 env->container_id);
	if (!cni_is_ifname(env->ifname))
		return cni_error(e, CNI_ENVIRONMENT, "CNI_IFNAME \"%.40s\" is not valid",
				 env->ifname);
	return 0;
}

int cni_env_read(struct cni_env *ret, struct err *e)
{
	const char *override = variable("CNI_NETNS_OVERRIDE");
	struct cni_env env = {
		.container_id = variable("CNI_CONTAINERID"),
		.netns = variable("CNI_NETNS"),
		.ifname = variable("CNI_IFNAME"),
		.path = variable("CNI_PATH"),
		.args_text = variable("CNI_ARGS"),
		.container_name = "",
		.netns_override = strcmp(override, "1") == 0 || strcasecmp(override, "true") == 0,
	};
	int rc = read_command(&env.command, e);

	if (rc == 0)
		rc = check_present(&env, e);
	if (rc == 0 && env.command == CNI_ADD && strlen(env.container_id) > CNI_ID_SIZE_MAX)
		rc = cni_error(e, CNI_ENVIRONMENT, "CNI_CONTAINERID has %zu bytes, at most %d",
			       strlen(env.container_id), CNI_ID_SIZE_MAX);
	if (rc == 0)
		*ret = env;
	return rc;
}

struct pair {
	char key[32];
	char value[80];
};

/*
 * Cuts the next pair off *text; false at the end. Only the first '=' separates: runtimes put names
 * with '=' in values. A key or value that does not fit is none of ours, and is cut short.
 */
static bool next_pair(const char **text, struct pair *ret, bool *ret_valid)
{
	const char *p = *text;
	size_t size = strcspn(p, ";");
	const char *equals = memchr(p, '=', size);

	if (!*p)
		return false;
	*text = p + size + (p[size] == ';');
	*ret_valid = equals && equals != p;
	if (!*ret_valid) {
		*ret_valid = size == 0;
		ret->key[0] = '\0';
		return true;
	}
	snprintf(ret->key, sizeof(ret->key), "%.*s", (int)MIN(equals - p, 1000), p);
	snprintf(ret->value, sizeof(ret->value), "%.*s", (int)MIN(p + size - equals - 1, 1000),
		 equals + 1);
	return true;
}

static int parse_bool(const char *text, bool *ret)
{
	if (strcmp(text, "1") == 0 || strcasecmp(text, "true") == 0)
		*ret = true;
	else if (strcmp(text, "0") == 0 || strcasecmp(text, "false") == 0)
		*ret = false;
	else
		return -1;
	return 0;
}

/* An address with or without a prefix length, which nobody needs here. */
static int parse_ip(const char *text, struct ip_addr *ret, struct err *e)
{
	struct ip_net net;

	if (!strchr(text, '/'))
		return ip_addr_parse(text, AF_UNSPEC, ret, e);
	if (ip_net_parse(text, AF_UNSPEC, &net, e) < 0)
		return e->code;
	*ret = net.addr;
	return 0;
}

int cni_args_parse(const char *text, struct cni_args *ret, struct err *e)
{
	struct cni_args args = { 0 };
	char unknown[32] = "";
	bool tolerant = true;
	struct pair pair;
	bool valid;

	while (next_pair(&text, &pair, &valid)) {
		if (!valid)
			return cni_error(e, CNI_ENVIRONMENT, "CNI_ARGS: a part is not KEY=VALUE");
		if (strcmp(pair.key, "IgnoreUnknown") == 0) {
			if (parse_bool(pair.value, &tolerant) < 0)
				return cni_error(e, CNI_ENVIRONMENT,
						 "CNI_ARGS: IgnoreUnknown is neither true nor "
						 "false: %s",
						 pair.value);
		} else if (strcmp(pair.key, "IP") == 0) {
			if (parse_ip(pair.value, &args.ip, e) < 0) {
				err_wrap(e, "CNI_ARGS: IP");
				return cni_classify(e, CNI_ENVIRONMENT);
			}
		} else if (strcmp(pair.key, "MAC") == 0) {
			if (mac_addr_parse(pair.value, &args.mac, e) < 0) {
				err_wrap(e, "CNI_ARGS: MAC");
				return cni_classify(e, CNI_ENVIRONMENT);
			}
			args.has_mac = true;
		} else if (pair.key[0]) {
			snprintf(unknown, sizeof(unknown), "%s", pair.key);
		}
	}
	if (!tolerant && unknown[0])
		return cni_error(e, CNI_ENVIRONMENT, "CNI_ARGS: unknown key %s", unknown);
	*ret = args;
	return 0;
}
