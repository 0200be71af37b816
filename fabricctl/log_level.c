/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl log-level: how much the daemon logs, and to have it log more or less for a while. */
#include "fabricctl/client.h"
#include "fabricctl/command.h"
#include "fabricctl/document.h"
#include "fabricctl/settings.h"
#include "lib/json.h"

#define ANSWER_TIMEOUT_MS 5000
#define PATH              "/v1/log-level"
#define KIND              "LogLevel"

int log_level_run(struct ctl *c)
{
	auto_settings struct settings settings = { 0 };
	auto_json json_t *document = NULL;
	auto_free char *path = NULL;
	auto_free char *level = NULL;
	struct err e;
	int status = settings_read(c, false, &settings);
	int rc;

	if (status)
		return status;
	if (c->operands_len == 0) {
		rc = client_get(settings.socket, PATH, KIND, ANSWER_TIMEOUT_MS, &document, &e);
	} else {
		path = xasprintf("%s?level=%s", PATH, c->operands[0]);
		rc = client_post(settings.socket, path, KIND, ANSWER_TIMEOUT_MS, &document, &e);
	}
	if (rc < 0)
		return client_fail(c, settings.socket, &e, "fabricctl status");
	if (document_is_wanted(c)) {
		document_print(c, json_incref(document));
		return CTL_OK;
	}
	level = ctl_safe(c, document, "level");
	fprintf(c->out, "%s\n", level);
	return CTL_OK;
}
