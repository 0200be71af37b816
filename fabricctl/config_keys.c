/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of a network configuration that were mistyped, and so do nothing at all. */
#include <string.h>
#include <strings.h>

#include "backends/backend.h"
#include "fabricctl/config.h"
#include "fabricctl/text.h"
#include "lib/json.h"
#include "lib/nearest.h"

static const char *keys_of(const char *type)
{
	for (size_t i = 0; backend_types[i]; i++) {
		if (strcmp(backend_types[i]->name, type) == 0 && backend_types[i]->keys)
			return backend_types[i]->keys;
	}
	return "";
}

/* Looks at one key of an object; `inside` is "Backend." or "". The other list is of the other place. */
static void look_at(const char *key, const char *inside, const char *known, const char *elsewhere,
		    json_t *ret)
{
	auto_free char *words = xasprintf("%s %s", known, elsewhere);
	struct nearest nearest = { .word = key };
	size_t own = strlen(known);
	char *rest = words;
	char *one;

	while ((one = strsep(&rest, " "))) {
		bool here = (size_t)(one - words) < own;

		if (here && strcasecmp(one, key) == 0)
			return;
		if (!here && *one && strcasecmp(one, key) == 0) {
			json_array_append_new(
				ret,
				json_sprintf("%s%.60s means nothing there: it belongs %s", inside,
					     key, *inside ? "beside Backend" : "into Backend"));
			return;
		}
		if (here && *one)
			nearest_consider(&nearest, one);
	}
	/* A short one is near to everything. */
	if (nearest.best && nearest.distance * 2 < strlen(key))
		json_array_append_new(ret, json_sprintf("%s%.60s means nothing; did you mean %s%s?",
							inside, key, inside, nearest.best));
}

json_t *config_warnings(const char *text, size_t size, const struct network_config *config)
{
	auto_free char *backend = xasprintf("Type %s", keys_of(backend_type_name(config)));
	auto_json json_t *document = NULL;
	json_t *warnings = json_array();
	json_t *value;
	const char *key;

	if (json_parse_object(text, size, &document, NULL) < 0)
		return warnings;
	json_object_foreach (document, key, value)
		look_at(key, "", network_config_keys, backend, warnings);
	json_object_foreach (config->backend, key, value)
		look_at(key, "Backend.", backend, network_config_keys, warnings);
	return warnings;
}

void config_warn(const struct ctl *c, const json_t *warnings)
{
	json_t *one;
	size_t i;

	json_array_foreach (warnings, i, one) {
		auto_free char *safe = text_escape(json_string_value(one), c->utf8);

		fprintf(c->err, "warning: %s\n", safe);
	}
}
