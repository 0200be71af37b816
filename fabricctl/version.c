/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl version: ours and the daemon's. A daemon that is not there is no failure. */
#include "fabricctl/client.h"
#include "fabricctl/command.h"
#include "fabricctl/document.h"
#include "fabricctl/settings.h"
#include "fabricctl/text.h"
#include "lib/json.h"

#define ANSWER_TIMEOUT_MS 1000

int version_run(struct ctl *c)
{
	auto_settings struct settings settings = { 0 };
	auto_json json_t *daemon = NULL;
	auto_free char *safe = NULL;
	const char *version;
	json_t *document;
	int status = settings_read(c, false, &settings);
	struct err e = { 0 };

	if (status)
		return status;
	if (client_get(settings.socket, "/v1/status", "Status", ANSWER_TIMEOUT_MS, &daemon, &e) < 0)
		daemon = NULL;
	version = ctl_text(daemon, "version");
	if (document_is_wanted(c)) {
		document = ctl_document("Version");
		json_object_set_new(document, "fabricctl", json_string(VERSION));
		json_object_set_new(document, "flanneld",
				    version ? json_string(version) : json_null());
		document_print(c, document);
		return CTL_OK;
	}
	safe = text_escape(version ? version : "not running", c->utf8);
	fprintf(c->out, "fabricctl %s (flanneld %s, api %s)\n", VERSION, safe, CTL_API_VERSION);
	return CTL_OK;
}
