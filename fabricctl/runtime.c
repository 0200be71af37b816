/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/runtime.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/file.h"
#include "lib/json.h"

#define FILE_MAX_SIZE ((size_t)1 << 20)

/* The value of one of the pairs. */
static const char *argument(const json_t *pairs, const char *name)
{
	json_t *pair;
	size_t i;

	json_array_foreach (pairs, i, pair) {
		const char *key = json_string_value(json_array_get(pair, 0));

		if (key && strcmp(key, name) == 0)
			return json_string_value(json_array_get(pair, 1));
	}
	return NULL;
}

int runtime_parse(const char *text, size_t size, char **ret_pod, struct err *e)
{
	auto_json json_t *document = NULL;
	const json_t *pairs;
	const char *space;
	const char *name;
	const char *kind;

	if (json_parse_object(text, size, &document, e) < 0)
		return e ? e->code : -EINVAL;
	kind = json_string_value(json_object_get(document, "kind"));
	if (!kind || strncmp(kind, "cniCache", strlen("cniCache")) != 0)
		return err_set(e, -EINVAL, "kind is \"%.40s\", must be cniCacheV1",
			       kind ? kind : "");
	pairs = json_object_get(document, "cniArgs");
	space = argument(pairs, "K8S_POD_NAMESPACE");
	name = argument(pairs, "K8S_POD_NAME");
	*ret_pod = xasprintf("%s%s%s", name && space ? space : "", name && space ? "/" : "",
			     name ? name : "");
	return 0;
}

enum runtime_view runtime_find(const char *directory, const char *network, const char *container_id,
			       const char *interface, char **ret_pod)
{
	auto_free char *results = xasprintf("%s/results", directory);
	auto_free char *path = xasprintf("%s/%s-%s-%s", results, network, container_id, interface);
	auto_free char *text = NULL;
	auto_free char *pod = NULL;
	size_t size = 0;
	int rc = file_read(path, FILE_MAX_SIZE, &text, &size, NULL);

	*ret_pod = NULL;
	if (rc == -ENOENT)
		return access(results, R_OK) == 0 ? RUNTIME_FORGOT : RUNTIME_SILENT;
	if (rc < 0 || runtime_parse(text, size, &pod, NULL) < 0)
		return RUNTIME_SILENT;
	*ret_pod = *pod ? STEAL(pod) : NULL;
	return RUNTIME_KNOWS;
}
