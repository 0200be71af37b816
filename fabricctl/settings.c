/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/settings.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "lib/file.h"
#include "lib/options.h"

#define ENVIRONMENT_PREFIX  "FLANNELD_"
#define DEFAULT_CONFIG_FILE "/etc/flannel/flanneld.conf"
#define FILE_MAX_SIZE       ((size_t)1 << 20)
#define NODE_ID_MAX_SIZE    4096

#define AT(field) offsetof(struct settings, field)

/* Names and defaults are the daemon's. */
/* clang-format off */
static const struct option_spec specs[] = {
	{ .name = "socket", .type = OPTION_TEXT, .offset = AT(socket),
	  .value = "/run/flannel/flanneld.sock" },
	{ .name = "", .type = OPTION_TABLE, .offset = AT(store), .table = store_option_specs },
	{ .name = "node-id", .type = OPTION_TEXT, .offset = AT(node_id) },
	{ .name = "state-dir", .type = OPTION_TEXT, .offset = AT(state_dir), .value = "/var/lib/flannel" },
	{ .name = "subnet-file", .type = OPTION_TEXT, .offset = AT(subnet_file), .value = "/run/flannel/subnet.env" },
	{ .name = "cni-plugin", .type = OPTION_TEXT, .offset = AT(cni_plugin) },
	{ .name = "cni-data-dir", .type = OPTION_TEXT, .offset = AT(cni_data_dir), .value = "/var/lib/cni/flannel" },
	{ .name = "config-file", .type = OPTION_TEXT, .offset = AT(config_file) },
	{ 0 },
};
/* clang-format on */

static int read_arguments(const struct ctl *c, struct settings *s, struct err *e)
{
	auto_free char **argv = xcalloc((size_t)c->options.settings_len + 2, sizeof(*argv));
	char name[] = "fabricctl";
	int first;

	argv[0] = name;
	for (int i = 0; i < c->options.settings_len; i++)
		argv[i + 1] = c->options.settings[i];
	return options_read_arguments(specs, s, c->options.settings_len + 1, argv, &first, e);
}

static char *trim(char *s)
{
	char *end;

	while (isspace((unsigned char)*s))
		s++;
	end = s + strlen(s);
	while (end > s && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return s;
}

/* The daemon complains about lines that it does not understand; for us they are not there. */
static int read_line(struct settings *s, char *line, struct err *e)
{
	auto_free char *flag = NULL;
	char program[] = "fabricctl";
	char *argv[2] = { program, NULL };
	char *equals;
	int first;

	line = trim(line);
	equals = strchr(line, '=');
	if (*line == '#' || !equals)
		return 0;
	*equals = '\0';
	line = trim(line);
	if (!options_find(specs, line))
		return 0;
	flag = xasprintf("--%s=%s", line, trim(equals + 1));
	argv[1] = flag;
	return options_read_arguments(specs, s, 2, argv, &first, e);
}

static int read_file(struct settings *s, const char *path, struct err *e)
{
	auto_free char *text = NULL;
	char *rest;
	int rc = file_read(path, FILE_MAX_SIZE, &text, NULL, e);

	rest = text;
	while (rc == 0 && rest) {
		char *line = strsep(&rest, "\n");

		rc = read_line(s, line, e);
	}
	return rc;
}

static void read_node_id(struct settings *s)
{
	auto_free char *path = xasprintf("%s/node-id", s->state_dir);
	auto_free char *text = NULL;

	if (*s->node_id || file_read(path, NODE_ID_MAX_SIZE, &text, NULL, NULL) < 0)
		return;
	text[strcspn(text, " \t\r\n")] = '\0';
	free(s->node_id);
	s->node_id = STEAL(text);
}

/* The other sources may name the file, so they are read before it and again after it. */
static int read_all(const struct ctl *c, bool for_store, struct settings *s, struct err *e)
{
	auto_settings struct settings named = { 0 };
	int rc;

	options_init(specs, s);
	options_init(specs, &named);
	rc = options_read_environment(specs, &named, ENVIRONMENT_PREFIX, e);
	if (rc == 0)
		rc = read_arguments(c, &named, e);
	if (rc == 0 && *named.config_file)
		rc = read_file(s, named.config_file, e);
	else if (rc == 0) {
		rc = read_file(s, DEFAULT_CONFIG_FILE, e);
		if (rc == -ENOENT || rc == -ENOTDIR || !for_store)
			rc = 0;
	}
	if (rc == 0)
		rc = options_read_environment(specs, s, ENVIRONMENT_PREFIX, e);
	if (rc == 0)
		rc = read_arguments(c, s, e);
	if (rc == 0 && for_store) {
		read_node_id(s);
		rc = store_options_check(&s->store, e);
	}
	return rc;
}

/* One that has no like here may be the daemon's. */
static void warn_of_variable(const char *name, const char *nearest)
{
	if (nearest)
		fprintf(stderr, "fabricctl: %s in the environment is unknown; did you mean %s?\n",
			name, nearest);
}

int settings_read(const struct ctl *c, bool for_store, struct settings *ret)
{
	struct err e;
	int rc = read_all(c, for_store, ret, &e);

	options_each_unknown_variable(specs, ENVIRONMENT_PREFIX, warn_of_variable);
	if (rc == -EACCES)
		return ctl_fail(
			c, CTL_DENIED, "what the daemon was told is not for everybody to read",
			"sudo, or --config-file /dev/null and the store's options", "%s", e.text);
	if (rc < 0)
		return ctl_fail(c, CTL_USAGE, NULL, NULL, "%s", e.text);
	return CTL_OK;
}

void settings_fini(struct settings *s)
{
	options_fini(specs, s);
}
