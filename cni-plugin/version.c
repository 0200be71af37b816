/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/version.h"

#include <string.h>

#include "cni-plugin/error.h"

static const struct {
	const char *text;
	enum version_shape shape;
} versions[] = {
	{ "0.1.0", VERSION_SHAPE_IP4_IP6 },    { "0.2.0", VERSION_SHAPE_IP4_IP6 },
	{ "0.3.0", VERSION_SHAPE_INTERFACES }, { "0.3.1", VERSION_SHAPE_INTERFACES },
	{ "0.4.0", VERSION_SHAPE_INTERFACES }, { "1.0.0", VERSION_SHAPE_1_0 },
	{ "1.1.0", VERSION_SHAPE_1_1 },
};

static int find(const char *version)
{
	for (unsigned i = 0; i < ARRAY_LEN(versions); i++) {
		if (strcmp(version, versions[i].text) == 0)
			return (int)i;
	}
	return -1;
}

int version_check(const char *version, struct err *e)
{
	char all[80] = "";
	size_t used = 0;

	if (find(version) >= 0)
		return 0;
	for (unsigned i = 0; i < ARRAY_LEN(versions); i++)
		used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s", used ? ", " : "",
					 versions[i].text);
	return cni_error(e, CNI_INCOMPATIBLE,
			 "incompatible CNI version: config is \"%.40s\", plugin supports [%s]",
			 version, all);
}

enum version_shape version_shape(const char *version)
{
	int i = find(version);

	return i < 0 ? VERSION_SHAPE_1_1 : versions[i].shape;
}

bool version_has_check(const char *version)
{
	return find(version) >= find("0.4.0");
}

bool version_has_gc_and_status(const char *version)
{
	return find(version) >= find("1.1.0");
}

json_t *version_report(void)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < ARRAY_LEN(versions); i++)
		json_array_append_new(list, json_string(versions[i].text));
	return json_pack("{s:s, s:o}", "cniVersion", VERSION_LATEST, "supportedVersions", list);
}
