/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fabricctl diff and sync: where the kernel differs from what the leases want, and an end to that.
 */
#include "fabricctl/diff.h"

#include <string.h>

#include "fabricctl/client.h"
#include "fabricctl/command.h"
#include "fabricctl/diff_kernel.h"
#include "fabricctl/document.h"
#include "fabricctl/settings.h"
#include "fabricctl/text.h"
#include "lib/json.h"

/* Large fabrics are compared within a second; a daemon that has more to do than that is behind. */
#define ANSWER_TIMEOUT_MS 30000

static void print_difference(const struct ctl *c, const json_t *item)
{
	static const struct {
		const char *action;
		char sign;
		enum ctl_color color;
	} signs[] = {
		{ "create", '+', COLOR_GOOD },
		{ "drop", '-', COLOR_BAD },
		{ "replace", '~', COLOR_WARN },
	};
	const char *action = ctl_text(item, "action");
	const char *object = ctl_text(item, "object");
	auto_free char *safe = text_escape(object ? object : "-", c->utf8);
	enum ctl_color color = COLOR_NONE;
	char sign = '?';

	for (size_t i = 0; action && i < ARRAY_LEN(signs); i++) {
		if (strcmp(action, signs[i].action) == 0) {
			sign = signs[i].sign;
			color = signs[i].color;
		}
	}
	fprintf(c->out, "%s%c %s%s\n", ctl_color_on(c, color), sign, safe, ctl_color_off(c, color));
}

int diff_print(const struct ctl *c, const json_t *document)
{
	const json_t *items = json_object_get(document, "items");
	json_t *item;
	size_t i;

	if (document_is_wanted(c)) {
		document_print(c, json_incref((json_t *)document));
	} else {
		json_array_foreach (items, i, item)
			print_difference(c, item);
	}
	return json_array_size(items) ? CTL_FOUND : CTL_OK;
}

int diff_run(struct ctl *c)
{
	auto_settings struct settings settings = { 0 };
	auto_json json_t *document = NULL;
	struct err e;
	int status;

	if (c->options.store && !c->options.kernel)
		return ctl_fail(
			c, CTL_USAGE, NULL, "fabricctl diff --kernel --store",
			"the daemon compares with what it has heard of the store; --store is for "
			"--kernel");
	status = settings_read(c, false, &settings);
	if (status)
		return status;
	if (c->options.kernel) {
		status = diff_kernel(c, &settings, &document);
		return status ? status : diff_print(c, document);
	}
	if (client_get(settings.socket, "/v1/diff", "Diff", ANSWER_TIMEOUT_MS, &document, &e) < 0)
		return client_fail(c, settings.socket, &e, "fabricctl diff --kernel");
	return diff_print(c, document);
}

/* What others undo again and again waits for its time, also when somebody asks. */
static size_t count_differences(const char *socket)
{
	auto_json json_t *document = NULL;
	struct err e;

	if (client_get(socket, "/v1/diff", "Diff", ANSWER_TIMEOUT_MS, &document, &e) < 0)
		return 0;
	return json_array_size(json_object_get(document, "items"));
}

static void print_sync(const struct ctl *c, const json_t *document, size_t left)
{
	int64_t writes = ctl_int(document, "writes", 0);

	if (writes)
		fprintf(c->out, "applied %lld change%s in %.1f ms\n", (long long)writes,
			writes == 1 ? "" : "s",
			1000 * json_real_value(json_object_get(document, "seconds")));
	else if (!left)
		fprintf(c->out, "nothing to do: the kernel is as the leases want it\n");
	if (left)
		fprintf(c->out, "%zu still differ%s, see fabricctl diff and status\n", left,
			left == 1 ? "s" : "");
}

int sync_run(struct ctl *c)
{
	auto_settings struct settings settings = { 0 };
	auto_json json_t *document = NULL;
	struct err e;
	int status;

	if (c->options.dry_run)
		return diff_run(c);
	status = settings_read(c, false, &settings);
	if (status)
		return status;
	if (client_post(settings.socket, "/v1/sync", "Sync", ANSWER_TIMEOUT_MS, &document, &e) < 0)
		return client_fail(c, settings.socket, &e, "fabricctl status");
	if (document_is_wanted(c)) {
		document_print(c, json_incref(document));
		return CTL_OK;
	}
	print_sync(c, document, count_differences(settings.socket));
	return CTL_OK;
}
