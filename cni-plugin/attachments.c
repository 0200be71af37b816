/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/attachments.h"

#include <string.h>

#include "cni-plugin/error.h"
#include "cni-plugin/rules.h"

struct attachment {
	const char *container_id;
	const char *ifname;
	uint64_t key;
};

void attachments_fini(struct attachments *a)
{
	free(a->items);
	a->items = NULL;
	a->len = 0;
}

static int append(const json_t *item, struct attachments *a, struct err *e)
{
	const char *ifname = NULL;
	const char *id = NULL;

	if (!json_is_object(item))
		return cni_error(e, CNI_CONFIG, "an attachment must be an object");
	if (json_read_string(item, "containerID", &id, e) < 0 ||
	    json_read_string(item, "ifname", &ifname, e) < 0)
		return cni_classify(e, CNI_CONFIG);
	if (!id || !ifname)
		return cni_error(e, CNI_CONFIG, "an attachment needs containerID and ifname");
	a->items[a->len++] = (struct attachment){ .container_id = id,
						  .ifname = ifname,
						  .key = rules_owner_key(id, ifname) };
	return 0;
}

int attachments_parse(const json_t *config, struct attachments *ret, struct err *e)
{
	auto_attachments struct attachments a = { 0 };
	json_t *list = NULL;
	const json_t *item;
	size_t i;

	if (json_find(config, "cni.dev/valid-attachments", &list, e) < 0 ||
	    (!list && json_find(config, "cni.dev/attachments", &list, e) < 0))
		return cni_classify(e, CNI_CONFIG);
	if (list && !json_is_array(list))
		return cni_error(e, CNI_CONFIG, "cni.dev/valid-attachments must be a list");
	a.known = list != NULL;
	a.items = xcalloc(json_array_size(list), sizeof(*a.items));
	json_array_foreach (list, i, item) {
		if (append(item, &a, e) < 0)
			return err_wrap(e, "cni.dev/valid-attachments[%zu]", i);
	}
	*ret = a;
	a = (struct attachments){ 0 };
	return 0;
}

bool attachments_have(const struct attachments *a, const char *container_id, const char *ifname)
{
	for (size_t i = 0; i < a->len; i++) {
		if (strcmp(a->items[i].container_id, container_id) == 0 &&
		    (!ifname[0] || strcmp(a->items[i].ifname, ifname) == 0))
			return true;
	}
	return false;
}

bool attachments_have_key(const struct attachments *a, uint64_t key)
{
	for (size_t i = 0; i < a->len; i++) {
		if (a->items[i].key == key)
			return true;
	}
	return false;
}
