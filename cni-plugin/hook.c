/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/hook.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "cni-plugin/error.h"
#include "cni-plugin/netconf.h"
#include "lib/file.h"
#include "lib/json.h"

#define PID_MAX (1 << 22) /* PID_MAX_LIMIT */

void hook_event_fini(struct hook_event *event)
{
	free(event->container_id);
	memset(event, 0, sizeof(*event));
}

static int read_state(const json_t *j, struct hook_event *event, struct err *e)
{
	const char *status = NULL;
	const char *id = NULL;
	uint64_t pid = 0;

	if (json_read_string(j, "id", &id, e) < 0 || json_read_string(j, "status", &status, e) < 0)
		return e->code;
	if (!id || !status)
		return err_set(e, -EINVAL, "%s is missing", id ? "status" : "id");
	/* What the number of a process that has ended may be is left to the runtime. */
	if (strcmp(status, "stopped") == 0) {
		event->command = CNI_DEL;
	} else if (strcmp(status, "creating") == 0 || strcmp(status, "created") == 0 ||
		   strcmp(status, "running") == 0) {
		event->command = CNI_ADD;
		if (json_read_uint(j, "pid", 1, PID_MAX, &pid, e) < 0)
			return e->code;
		if (pid == 0)
			return err_set(e, -EINVAL, "pid is missing, status is \"%s\"", status);
	} else {
		return err_set(e, -EINVAL,
			       "status is \"%.40s\", must be creating, created, running or stopped",
			       status);
	}
	event->pid = (int64_t)pid;
	event->container_id = xstrdup(id);
	return 0;
}

int hook_parse_state(const char *text, size_t size, struct hook_event *ret, struct err *e)
{
	struct hook_event event = { 0 };
	auto_json json_t *j = NULL;

	if (json_parse_object(text, size, &j, e) < 0 || read_state(j, &event, e) < 0) {
		err_wrap(e, "state on stdin");
		return cni_classify(e, CNI_DECODING);
	}
	*ret = event;
	return 0;
}

static int read_oci(struct hook_event *ret, struct err *e)
{
	auto_free char *text = NULL;
	size_t size = 0;

	if (file_read_stdin(HOOK_STATE_SIZE_MAX, &text, &size, e) < 0) {
		err_wrap(e, "state on stdin");
		return cni_classify(e, CNI_IO);
	}
	return hook_parse_state(text, size, ret, e);
}

static int read_lxc(const char *type, struct hook_event *ret, struct err *e)
{
	const char *name = getenv("LXC_NAME");
	const char *pid = getenv("LXC_PID");
	struct hook_event event = { .command = CNI_ADD };
	char *end = NULL;

	if (!name)
		return cni_error(e, CNI_ENVIRONMENT, "LXC_NAME is missing");
	if (strcmp(type, "post-stop") == 0) {
		event.command = CNI_DEL;
	} else if (strcmp(type, "start-host") != 0) {
		return cni_error(e, CNI_ENVIRONMENT,
				 "LXC_HOOK_TYPE is \"%.40s\", must be start-host or post-stop",
				 type);
	} else {
		event.pid = pid ? strtol(pid, &end, 10) : 0;
		if (event.pid < 1 || event.pid > PID_MAX || *end)
			return cni_error(e, CNI_ENVIRONMENT,
					 "LXC_PID is \"%.40s\", must be a process, 1 to %d",
					 pid ? pid : "", PID_MAX);
	}
	event.container_id = xstrdup(name);
	*ret = event;
	return 0;
}

/* Other plugins are looked for where this one is. */
static void set_path(void)
{
	char path[PATH_MAX];
	ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	if (size <= 0)
		return;
	path[size] = '\0';
	slash = strrchr(path, '/');
	if (slash)
		*slash = '\0';
	setenv("CNI_PATH", path, 0);
}

static void set_variables(const struct hook_event *event, const char *interface)
{
	auto_free char *netns = xasprintf("/proc/%" PRId64 "/ns/net", event->pid);

	setenv("CNI_COMMAND", cni_command_name(event->command), 1);
	setenv("CNI_CONTAINERID", event->container_id, 1);
	setenv("CNI_IFNAME", interface, 1);
	setenv("CNI_NETNS", event->command == CNI_ADD ? netns : "", 1);
	set_path();
}

int hook_prepare(int argc, char **argv, char **ret, size_t *ret_size, struct err *e)
{
	const char *type = getenv("LXC_HOOK_TYPE");
	auto_hook_event struct hook_event event = { 0 };
	int rc;

	/* What LXC adds to the line in its version 0. */
	if (argc < 1 || argc > 2)
		return cni_error(e, CNI_ENVIRONMENT, "usage: flannel hook FILE [INTERFACE]%s",
				 getenv("LXC_NAME") ? "; lxc.hook.version must be 1" : "");
	rc = type ? read_lxc(type, &event, e) : read_oci(&event, e);
	if (rc < 0)
		return rc;
	if (file_read(argv[0], NETCONF_SIZE_MAX, ret, ret_size, e) < 0)
		return cni_classify(e, CNI_CONFIG);
	set_variables(&event, argc > 1 ? argv[1] : HOOK_INTERFACE);
	return 0;
}
