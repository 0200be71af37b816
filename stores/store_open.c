/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/store_open.h"

#include <errno.h>
#include <string.h>

#include "stores/etcd/etcd_store.h"
#include "stores/file_store.h"

#define FILE_SCHEME "file:"

static const char *file_directory(const struct store_options *options)
{
	size_t size = sizeof(FILE_SCHEME) - 1;

	return strncmp(options->store, FILE_SCHEME, size) == 0 ? options->store + size : NULL;
}

int store_open(struct event_base *base, struct http_client *http,
	       const struct store_options *options, uint64_t (*random)(void), struct store **ret,
	       struct err *e)
{
	const char *directory = file_directory(options);

	if (strcmp(options->store, "etcd") == 0)
		return etcd_store_new(base, http, options->etcd_prefix, &options->etcd, random, ret,
				      e);
	if (!directory)
		return err_set(e, -EINVAL, "store is \"%.80s\", must be etcd or file:DIRECTORY",
			       options->store);
	if (directory[0] != '/')
		return err_set(e, -EINVAL, "store: \"%.80s\" is no absolute path", directory);
	return file_store_new(base, directory, random, ret, e);
}

const char *store_place(const struct store_options *options, char *buf, size_t size)
{
	if (file_directory(options))
		snprintf(buf, size, "%s", options->store);
	else
		snprintf(buf, size, "%s %s", options->etcd.endpoints, options->etcd_prefix);
	return buf;
}
