/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/containers.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>

#include "fabric/plugin_find.h"
#include "fabricctl/loop.h"
#include "lib/json.h"
#include "lib/process.h"

#define TIMEOUT_MS 10000

struct answer {
	struct event_base *base;
	const char *path;
	json_t *document;
	struct err error;
	int rc;
};

/* What it could not read is in its answer, whatever its exit status. */
static void on_done(void *arg, int rc, const char *output, const struct err *why)
{
	struct answer *a = arg;
	json_t *list = NULL;

	a->rc = json_parse_object(output, strlen(output), &a->document, &a->error);
	if (a->rc == 0)
		a->rc = json_find(a->document, "attachments", &list, &a->error);
	if (a->rc == 0 && !json_is_array(list))
		a->rc = -EINVAL;
	if (a->rc < 0 && rc < 0)
		a->error = *why;
	else if (a->rc < 0)
		err_set(&a->error, -EINVAL,
			"%.120s does not know \"list\": it is another plugin of that name, or an "
			"older one",
			a->path);
	event_base_loopbreak(a->base);
}

static int run(struct event_base *base, const char *path, const char *data_dir, json_t **ret,
	       struct err *e)
{
	const char *argv[] = { path, "list", data_dir, NULL };
	struct answer a = { .base = base, .path = path };
	struct process *process;
	int rc = process_start(base, argv, NULL, TIMEOUT_MS, on_done, &a, &process, e);

	if (rc < 0)
		return rc;
	event_base_dispatch(base);
	if (a.rc < 0) {
		json_decref(a.document);
		*e = a.error;
		return e->code;
	}
	*ret = a.document;
	return 0;
}

int containers_list(const struct settings *s, json_t **ret, struct err *e)
{
	auto_free char *path = plugin_find(s->cni_plugin);
	struct event_base *base;
	int rc;

	if (!path && *s->cni_plugin)
		return err_set(e, -ENOENT, "there is no %.120s", s->cni_plugin);
	if (!path)
		return err_set(e, -ENOENT, "there is no " PLUGIN_NAME " in " PLUGIN_DIRECTORIES);
	base = loop_new();
	rc = run(base, path, s->cni_data_dir, ret, e);
	event_base_free(base);
	return rc;
}

static bool has_address(const json_t *attachment, const struct ip_addr *address)
{
	struct ip_addr one;
	json_t *item;
	size_t i;

	json_array_foreach (json_object_get(attachment, "addresses"), i, item) {
		const char *text = json_string_value(item);

		if (text && ip_addr_parse(text, address->family, &one, NULL) == 0 &&
		    ip_addr_equal(&one, address))
			return true;
	}
	return false;
}

const json_t *containers_find(const json_t *list, const struct ip_addr *address)
{
	json_t *item;
	size_t i;

	json_array_foreach (json_object_get(list, "attachments"), i, item) {
		if (has_address(item, address))
			return item;
	}
	return NULL;
}
