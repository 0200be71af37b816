/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CNI_ARGS, the container id and the interface name: texts that users have a hand in; and the lines
 * of an environment, where an input has any.
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "cni-plugin/env.h"

/* One variable in a line; the last of one name holds. The C library never frees what setenv copies. */
static void read_environment(char *text)
{
	static const char *const names[] = { "CNI_COMMAND",       "CNI_CONTAINERID", "CNI_NETNS",
					     "CNI_IFNAME",        "CNI_PATH",        "CNI_ARGS",
					     "CNI_NETNS_OVERRIDE" };
	char *variables[ARRAY_LEN(names) + 1] = { 0 };
	char **before = environ;
	struct cni_env env;
	char *save = NULL;
	struct err e;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		for (size_t i = 0; i < ARRAY_LEN(names); i++) {
			size_t size = strlen(names[i]);
			size_t at = 0;

			if (strncmp(line, names[i], size) != 0 || line[size] != '=')
				continue;
			while (variables[at] && strncmp(variables[at], line, size + 1) != 0)
				at++;
			variables[at] = line;
		}
	}
	environ = variables;
	if (cni_env_read(&env, &e) == 0)
		FUZZ_CHECK(cni_command_name(env.command)[0] &&
			   (!env.ifname[0] || cni_is_ifname(env.ifname) || env.command != CNI_ADD));
	else
		FUZZ_CHECK(e.text[0]);
	environ = before;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = xstrndup((const char *)data, size);
	struct cni_args args;
	struct err e;

	if (cni_args_parse(text, &args, &e) == 0)
		FUZZ_CHECK(!ip_addr_is_set(&args.ip) || args.ip.family == AF_INET ||
			   args.ip.family == AF_INET6);
	else
		FUZZ_CHECK(e.text[0]);
	/* Whatever passes is one path component that is not a way up. */
	if (cni_is_identifier(text) || cni_is_ifname(text))
		FUZZ_CHECK(text[0] && !strchr(text, '/') && strcmp(text, ".") != 0 &&
			   strcmp(text, "..") != 0);
	if (strchr(text, '\n'))
		read_environment(text);
	return 0;
}
