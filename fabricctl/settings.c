/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/settings.h"

#include <errno.h>
#include <string.h>

#include "lib/file.h"
#include "lib/options.h"
#include "stores/etcd/etcd_store.h"

#define ENVIRONMENT_PREFIX "FLANNELD_"
#define NODE_ID_MAX_SIZE   4096

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
		rc = options_read_file_of_others(specs, s, named.config_file, e);
	else if (rc == 0) {
		rc = options_read_file_of_others(specs, s, SETTINGS_CONFIG_FILE, e);
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
	static bool has_warned; /* a command that runs others says it once */
	struct err e;
	int rc = read_all(c, for_store, ret, &e);

	if (!has_warned)
		options_each_unknown_variable(specs, ENVIRONMENT_PREFIX, warn_of_variable);
	has_warned = true;
	if (rc == -EACCES)
		return ctl_fail(
			c, CTL_DENIED, "what the daemon was told is not for everybody to read",
			"sudo, or --config-file /dev/null and the store's options", "%s", e.text);
	if (rc < 0)
		return ctl_fail(c, CTL_USAGE, NULL, NULL, "%s", e.text);
	return CTL_OK;
}

static const char *default_endpoints(void)
{
	for (const struct option_spec *o = etcd_option_specs; o->name; o++) {
		if (strcmp(o->name, "etcd-endpoints") == 0)
			return o->value;
	}
	return "";
}

bool settings_know_store(const struct settings *s, bool is_asked_for, const json_t *status,
			 char *ret_why, size_t size)
{
	const json_t *used = json_object_get(json_object_get(status, "store"), "endpoints");
	const char *ours = s->store.etcd.endpoints;
	json_t *endpoint;
	size_t i;

	if (is_asked_for || strcmp(ours, default_endpoints()) != 0)
		return true;
	/* The defaults are nobody's wish, unless the daemon uses them. */
	json_array_foreach (used, i, endpoint) {
		const char *url = ctl_text(endpoint, "url");

		if (url && !strstr(ours, url)) {
			snprintf(ret_why, size,
				 "not asked: the daemon's is at %.80s, and this command was not "
				 "told of it (--etcd-endpoints, --config-file)",
				 url);
			return false;
		}
	}
	snprintf(ret_why, size, "not asked: nothing tells where it is (--etcd-endpoints)");
	return json_array_size(used) > 0;
}

void settings_fini(struct settings *s)
{
	options_fini(specs, s);
}
