/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the container runtime has noted of attachments: libcni, which containerd, CRI-O, podman and
 * Nomad are built on, keeps one file for each, from the ADD to the DEL:
 *
 *   <directory>/results/<network>-<container id>-<interface>
 *   {"kind": "cniCacheV1", "cniArgs": [["K8S_POD_NAMESPACE", "default"], ["K8S_POD_NAME", "web"]], ...}
 */
#ifndef FABRICCTL_RUNTIME_H
#define FABRICCTL_RUNTIME_H

#include <jansson.h>

#include "lib/err.h"

#define RUNTIME_DIRECTORY "/var/lib/cni"

enum runtime_view {
	RUNTIME_SILENT, /* it keeps no such files here, or they cannot be read: nothing is known */
	RUNTIME_KNOWS,
	RUNTIME_FORGOT, /* it has files, and none for this one */
};

/* *ret_pod: "default/web", "web", Nomad's "default/web.frontend", or NULL if it names none; caller frees. */
enum runtime_view runtime_find(const char *directory, const char *network, const char *container_id,
			       const char *interface, char **ret_pod);

/*
 * The same of an attachment that the plugin has listed. netavark keeps no such files; the name of its
 * container is in the list.
 */
enum runtime_view runtime_view(const char *directory, const json_t *attachment, char **ret_pod);

/* The name in one such file; "" if there is none. -EINVAL: it is no such file. Caller frees. */
int runtime_parse(const char *text, size_t size, char **ret_pod, struct err *e) MUST_CHECK;

#endif
