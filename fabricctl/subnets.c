/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fabricctl subnets: all leases. From the daemon, which knows what the kernel made of them, or from
 * the store, which needs no daemon.
 */
#include <errno.h>

#include "fabricctl/client.h"
#include "fabricctl/command.h"
#include "fabricctl/document.h"
#include "fabricctl/lease_source.h"
#include "lib/json.h"

#define ANSWER_TIMEOUT_MS 10000
/* The daemon must ask the store for the time left. When that takes longer, the list is worth more
 * than the times. */
#define TIME_LEFT_WAIT_MS 400
#define TIME_LEFT_LONG_MS 60000 /* unless it was asked for */

static int ask(const struct ctl *c, const struct lease_view *v, const char *socket, json_t **ret,
	       struct err *e)
{
	auto_free char *fields = lease_view_fields(v);
	auto_free char *path = client_list_path("/v1/subnets", fields);
	auto_free char *path_time_left = xasprintf("%s%ctimeLeft=%s", path, fields ? '&' : '?',
						   c->options.time_left ? "wait" : "1");
	int rc = -ETIMEDOUT;

	if (c->options.time_left)
		rc = client_get(socket, path_time_left, "SubnetList", TIME_LEFT_LONG_MS, ret, e);
	else if (lease_view_wants_time_left(v))
		rc = client_get(socket, path_time_left, "SubnetList", TIME_LEFT_WAIT_MS, ret, e);
	if (rc == -ETIMEDOUT)
		rc = client_get(socket, path, "SubnetList", ANSWER_TIMEOUT_MS, ret, e);
	return rc;
}

static bool on_document(void *arg, json_t *document)
{
	struct lease_view *v = arg;

	lease_view_update(v, document);
	return !ferror(v->c->out);
}

/* What Prometheus is to scrape; only the daemon knows at which port. */
static int print_targets(const struct ctl *c)
{
	auto_settings struct settings settings = { 0 };
	auto_json json_t *document = NULL;
	struct err e;
	int status;

	if (c->options.store || c->options.watch)
		return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command),
				"--output prom-sd goes with neither --store nor --watch");
	status = settings_read(c, false, &settings);
	if (status)
		return status;
	if (client_get(settings.socket, "/v1/targets", "TargetList", ANSWER_TIMEOUT_MS, &document,
		       &e) < 0)
		return client_fail(c, settings.socket, &e,
				   "healthz-ip and healthz-port in flanneld.conf");
	document_print(c, json_incref(json_object_get(document, "items")));
	return CTL_OK;
}

int subnets_run(struct ctl *c)
{
	auto_lease_view struct lease_view v;
	auto_settings struct settings settings = { 0 };
	auto_json json_t *document = NULL;
	int status = lease_view_init(&v, c);
	struct err e;
	int rc;

	if (status)
		return status;
	if (c->format == FORMAT_PROM_SD)
		return print_targets(c);
	if (c->options.store)
		return c->options.watch ? lease_source_watch(c, &v) : lease_source_print(c, &v);
	status = settings_read(c, false, &settings);
	if (status)
		return status;
	if (c->options.watch)
		rc = client_follow(settings.socket, "/v1/subnets?watch=1", "SubnetList", c->out,
				   on_document, &v, &e);
	else
		rc = ask(c, &v, settings.socket, &document, &e);
	if (rc < 0)
		return client_fail(c, settings.socket, &e, "fabricctl subnets --store");
	if (document)
		lease_view_print(&v, document);
	return CTL_OK;
}
