/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `flannel hook FILE [INTERFACE]`: the plugin as a hook of runtimes that know no CNI. What they say
 * of the container's life is translated into the protocol's variables, and the verb runs as ever; its
 * configuration is FILE's.
 *
 *   OCI runtimes (runc, crun)   createRuntime and poststop hooks: the state, JSON, on stdin
 *   LXC                         start-host and post-stop hooks: LXC_ variables, lxc.hook.version 1
 *
 * Source: the runtime specification, config.md "POSIX-platform Hooks" and runtime.md "State";
 * lxc.container.conf(5), "CONTAINER HOOKS".
 */
#ifndef CNI_PLUGIN_HOOK_H
#define CNI_PLUGIN_HOOK_H

#include "cni-plugin/env.h"

#define HOOK_STATE_SIZE_MAX (1024 * 1024) /* with all annotations of an image */
#define HOOK_INTERFACE      "eth0"

/* What happened to which container. */
struct hook_event {
	enum cni_command command; /* CNI_ADD or CNI_DEL */
	char *container_id;       /* not checked yet: that is cni_env_read's */
	int64_t pid;              /* whose network namespace it is; 0 at CNI_DEL */
};

/* A runtime's state. CNI_DECODING with key, value and what is allowed. hook_event_fini frees. */
int hook_parse_state(const char *text, size_t size, struct hook_event *ret,
		     struct err *e) MUST_CHECK;
void hook_event_fini(struct hook_event *event);

/*
 * Finds out what happened, sets the CNI_ variables accordingly (CNI_PATH: where this program is,
 * unless there is one), and reads the configuration. `argv`: from FILE on. Caller frees *ret.
 * CNI_ENVIRONMENT, CNI_DECODING, CNI_IO.
 */
int hook_prepare(int argc, char **argv, char **ret, size_t *ret_size, struct err *e) MUST_CHECK;

static inline void hook_event_fini_ref(struct hook_event *event)
{
	hook_event_fini(event);
}
#define auto_hook_event __attribute__((cleanup(hook_event_fini_ref)))

#endif
