/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/plugin_find.h"

#include <string.h>

#include "lib/process.h"
#include "lib/util.h"

char *plugin_find(const char *told)
{
	auto_free char *directories = xstrdup(PLUGIN_DIRECTORIES);
	char *rest = directories;
	char *directory;

	if (*told)
		return process_exists(told) ? xstrdup(told) : NULL;
	while ((directory = strsep(&rest, ","))) {
		char *path = xasprintf("%s/" PLUGIN_NAME, directory + strspn(directory, " "));

		if (process_exists(path))
			return path;
		free(path);
	}
	return NULL;
}
