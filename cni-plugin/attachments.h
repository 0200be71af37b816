/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attachments that a runtime tells GC to keep: a set of (container id, interface name). Pure.
 */
#ifndef CNI_PLUGIN_ATTACHMENTS_H
#define CNI_PLUGIN_ATTACHMENTS_H

#include "lib/json.h"

struct attachments {
	bool known; /* false: the runtime sent no list */
	struct attachment *items;
	size_t len;
};

/*
 * Reads `cni.dev/valid-attachments`, or the older key `cni.dev/attachments`, out of the
 * configuration, whose texts are borrowed. CNI_CONFIG if a list is malformed: half a list would
 * free what is in use.
 */
int attachments_parse(const json_t *config, struct attachments *ret, struct err *e) MUST_CHECK;
void attachments_fini(struct attachments *a);

/* ifname "" asks for any interface of the container. */
bool attachments_have(const struct attachments *a, const char *container_id, const char *ifname);
/* By the key that rules_owner_key makes. */
bool attachments_have_key(const struct attachments *a, uint64_t key);

static inline void attachments_fini_ref(struct attachments *a)
{
	attachments_fini(a);
}
#define auto_attachments __attribute__((cleanup(attachments_fini_ref)))

#endif
