/* SPDX-License-Identifier: Apache-2.0 */
#include "flanneld/identity.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "lib/file.h"
#include "lib/hash.h"
#include "lib/log.h"

#define ID_MAX_SIZE 128

static int check_id(const char *id, struct err *e)
{
	size_t size = strlen(id);

	for (size_t i = 0; i < size; i++) {
		if (!isalnum((unsigned char)id[i]) && !strchr("-_.:", id[i]))
			size = 0;
	}
	if (size == 0 || size > ID_MAX_SIZE)
		return err_set(e, -EINVAL,
			       "node-id is \"%.80s\", must be 1 to %d letters, digits, '-', '_', "
			       "'.' or ':'",
			       id, ID_MAX_SIZE);
	return 0;
}

static int read_id(const char *path, char **ret, struct err *e)
{
	auto_free char *text = NULL;
	int rc = file_read(path, ID_MAX_SIZE + 2, &text, NULL, e);

	if (rc < 0)
		return rc;
	text[strcspn(text, " \t\r\n")] = '\0';
	rc = check_id(text, e);
	if (rc < 0)
		return err_wrap(e, "%s", path);
	*ret = STEAL(text);
	return 0;
}

/* Not the machine id itself, which its manual page asks to keep to the machine. */
static char *derive_id(const char *machine_id)
{
	uint64_t a = HASH_FNV_INIT;
	uint64_t b = 0x84222325cbf29ce4u;

	for (const char *p = machine_id; *p; p++) {
		a = hash_fnv1a(a, p, 1);
		b = (b ^ a) * 0x9e3779b97f4a7c15u;
		b ^= b >> 31;
	}
	return xasprintf("m%016llx%016llx", (unsigned long long)a, (unsigned long long)b);
}

static char *random_id(void)
{
	unsigned char bytes[16];
	char text[sizeof(bytes) * 2 + 1];

	util_random(bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return xstrdup(text);
}

int identity_node_id(const char *given, const char *state_dir, char **ret, struct err *e)
{
	auto_free char *path = xasprintf("%s/node-id", state_dir);
	auto_free char *machine_id = NULL;
	auto_free char *id = NULL;
	auto_free char *line = NULL;
	struct err why;
	int rc;

	if (*given) {
		rc = check_id(given, e);
		if (rc == 0)
			*ret = xstrdup(given);
		return rc;
	}
	rc = read_id(path, ret, e);
	if (rc != -ENOENT)
		return rc;
	id = random_id();
	line = xasprintf("%s\n", id);
	if (file_replace(path, line, strlen(line), 0644, &why) == 0) {
		*ret = STEAL(id);
		return 0;
	}
	rc = read_id("/etc/machine-id", &machine_id, e);
	if (rc < 0)
		return err_set(e, rc, "no identity: %s; set node-id", why.text);
	log_warn("node-id", "%s; using one derived from /etc/machine-id", why.text);
	*ret = derive_id(machine_id);
	return 0;
}

char *identity_node_name(const char *given)
{
	char name[HOST_NAME_MAX + 1] = "";

	if (*given)
		return xstrndup(given, 253);
	gethostname(name, sizeof(name) - 1);
	return xstrdup(name);
}
