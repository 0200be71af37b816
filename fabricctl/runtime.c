/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/runtime.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "kernel/marks.h"
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

/*
 * Kubernetes has a pod's namespace and name there, podman the name alone; Nomad the job's namespace,
 * and the job and its group, which it joins by a dot in the names of allocations.
 */
static char *name_of(const json_t *pairs)
{
	const char *space = argument(pairs, "K8S_POD_NAMESPACE");
	const char *name = argument(pairs, "K8S_POD_NAME");
	const char *group = NULL;

	if (!name) {
		space = argument(pairs, "NOMAD_NAMESPACE");
		name = argument(pairs, "NOMAD_JOB_ID");
		group = argument(pairs, "NOMAD_GROUP_NAME");
	}
	if (!name)
		return xstrdup("");
	return xasprintf("%s%s%s%s%s", space ? space : "", space ? "/" : "", name, group ? "." : "",
			 group ? group : "");
}

int runtime_parse(const char *text, size_t size, char **ret_pod, struct err *e)
{
	auto_json json_t *document = NULL;
	const char *kind;

	if (json_parse_object(text, size, &document, e) < 0)
		return e ? e->code : -EINVAL;
	kind = json_string_value(json_object_get(document, "kind"));
	if (!kind || strncmp(kind, "cniCache", strlen("cniCache")) != 0)
		return err_set(e, -EINVAL, "kind is \"%.40s\", must be cniCacheV1",
			       kind ? kind : "");
	*ret_pod = name_of(json_object_get(document, "cniArgs"));
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
	/* dockerd keeps what it knows to itself. */
	if (network && strcmp(network, MARK_DOCKER_NETWORK) == 0)
		return RUNTIME_SILENT;
	if (rc == -ENOENT)
		return access(results, R_OK) == 0 ? RUNTIME_FORGOT : RUNTIME_SILENT;
	if (rc < 0 || runtime_parse(text, size, &pod, NULL) < 0)
		return RUNTIME_SILENT;
	*ret_pod = *pod ? STEAL(pod) : NULL;
	return RUNTIME_KNOWS;
}

enum runtime_view runtime_view(const char *directory, const json_t *attachment, char **ret_pod)
{
	const char *name = json_string_value(json_object_get(attachment, "containerName"));

	if (!json_is_true(json_object_get(attachment, "asksOnce")))
		return runtime_find(
			directory, json_string_value(json_object_get(attachment, "network")),
			json_string_value(json_object_get(attachment, "containerID")),
			json_string_value(json_object_get(attachment, "interface")), ret_pod);
	*ret_pod = name && *name ? xstrdup(name) : NULL;
	return RUNTIME_SILENT;
}
