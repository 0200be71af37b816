/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fabric/plugin_find.h"
#include "fabricctl/containers.h"
#include "fabricctl/loop.h"
#include "kernel/netns.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/process.h"

#define CONFIG_DIRECTORY "/etc/cni/net.d"
#define CONFIG_MAX       ((size_t)1 << 20)
#define DEVICE           "eth0"
#define TIMEOUT_MS       30000
#define PLUGIN_PATHS     "/usr/lib/cni:/opt/cni/bin:/usr/local/libexec/cni:/usr/libexec/cni"

/* ---- the plugin's configuration ---- */

static void set_default(json_t *object, const char *key, const char *value)
{
	if (!json_object_get(object, key))
		json_object_set_new(object, key, json_string(value));
}

json_t *sandbox_config(const json_t *document, const struct settings *settings)
{
	const json_t *list = json_object_get(document, "plugins");
	const json_t *found = NULL;
	json_t *config;

	for (size_t i = 0; !found && i < MAX(json_array_size(list), (size_t)1); i++) {
		const json_t *one = list ? json_array_get(list, i) : document;
		const char *type = ctl_text(one, "type");

		if (type && strcmp(type, PLUGIN_NAME) == 0)
			found = one;
	}
	if (!found)
		return NULL;
	config = json_deep_copy(found);
	json_object_del(config, "capabilities");
	json_object_set(config, "name", json_object_get(document, "name"));
	json_object_set(config, "cniVersion", json_object_get(document, "cniVersion"));
	set_default(config, "name", "cbr0");
	set_default(config, "cniVersion", "1.0.0");
	set_default(config, "subnetFile", settings->subnet_file);
	set_default(config, "dataDir", settings->cni_data_dir);
	return config;
}

static int read_config(const char *path, const struct settings *settings, json_t **ret,
		       struct err *e)
{
	auto_free char *text = NULL;
	auto_json json_t *document = NULL;
	size_t size;
	int rc = file_read(path, CONFIG_MAX, &text, &size, e);

	if (rc == 0)
		rc = json_parse_object(text, size, &document, e);
	if (rc < 0)
		return err_wrap(e, "%s", path);
	*ret = sandbox_config(document, settings);
	return *ret ? 0 : err_set(e, -EINVAL, "%s has nothing of type " PLUGIN_NAME, path);
}

static int is_config(const struct dirent *entry)
{
	const char *end = strrchr(entry->d_name, '.');

	return end && (strcmp(end, ".conflist") == 0 || strcmp(end, ".conf") == 0);
}

/* The first that a runtime would find, and is ours. NULL: there is none. */
static json_t *find_config(const struct settings *settings)
{
	struct dirent **entries = NULL;
	int len = scandir(CONFIG_DIRECTORY, &entries, is_config, alphasort);
	json_t *config = NULL;

	for (int i = 0; i < len; i++) {
		auto_free char *path = xasprintf(CONFIG_DIRECTORY "/%s", entries[i]->d_name);

		if (!config && read_config(path, settings, &config, NULL) < 0)
			config = NULL;
		free(entries[i]);
	}
	free(entries);
	return config;
}

/* ---- the plugin ---- */

struct run {
	struct event_base *base;
	json_t *answer;
	struct err error;
	int rc;
};

static void on_done(void *arg, int rc, const char *output, const struct err *why)
{
	struct run *r = arg;
	const char *message;

	if (json_parse_object(output, strlen(output), &r->answer, NULL) < 0)
		r->answer = NULL;
	message = ctl_text(r->answer, "msg");
	r->rc = rc;
	if (rc < 0)
		err_set(&r->error, rc, "%s", message ? message : why->text);
	event_base_loopbreak(r->base);
}

/* *ret may be NULL in the end, if it said nothing. */
static int run_plugin(const struct settings *settings, const char *verb, const char *id,
		      int namespace_fd, const char *config, json_t **ret, struct err *e)
{
	auto_free char *path = plugin_find(settings->cni_plugin);
	auto_free char *command = xasprintf("CNI_COMMAND=%s", verb);
	auto_free char *container = xasprintf("CNI_CONTAINERID=%s", id);
	auto_free char *netns = xasprintf("CNI_NETNS=/proc/%d/fd/%d", (int)getpid(), namespace_fd);
	const char *const argv[] = { path, NULL };
	/* Without a namespace DEL goes by what was written down. */
	const char *const environment[] = { command,
					    container,
					    "CNI_IFNAME=" DEVICE,
					    "CNI_PATH=" PLUGIN_PATHS,
					    "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
					    namespace_fd < 0 ? "CNI_NETNS=" : netns,
					    NULL };
	const struct process_task task = {
		.argv = argv, .environment = environment, .input = config, .timeout_ms = TIMEOUT_MS
	};
	struct run r = { .base = NULL };
	struct process *process;

	if (!path)
		return err_set(e, -ENOENT, "there is no " PLUGIN_NAME " in " PLUGIN_DIRECTORIES);
	r.base = loop_new();
	r.rc = process_run(r.base, &task, on_done, &r, &process, &r.error);
	if (r.rc == 0)
		event_base_dispatch(r.base);
	event_base_free(r.base);
	if (r.rc < 0) {
		json_decref(r.answer);
		return err_set(e, r.rc, "%s: %s", verb, r.error.text);
	}
	*ret = r.answer;
	return 0;
}

/* ---- what others have left ---- */

static bool is_dead(const char *id)
{
	long pid = strtol(id + strlen(SANDBOX_PREFIX), NULL, 10);

	return pid > 0 && kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

static void give_back(const struct settings *settings, const char *config)
{
	auto_json json_t *list = NULL;
	json_t *item;
	struct err e;
	size_t i;

	if (containers_list(settings, &list, &e) < 0)
		return;
	json_array_foreach (json_object_get(list, "attachments"), i, item) {
		const char *id = ctl_text(item, "containerID");
		json_t *answer = NULL;

		if (id && strncmp(id, SANDBOX_PREFIX, strlen(SANDBOX_PREFIX)) == 0 && is_dead(id) &&
		    run_plugin(settings, "DEL", id, -1, config, &answer, &e) == 0)
			json_decref(answer);
	}
}

/* ---- the namespace ---- */

static int make_namespace(int *ret_fd, struct err *e)
{
	auto_close int own_fd = -1;
	int rc;

	if (netns_open_own(&own_fd, e) < 0)
		return e->code;
	if (unshare(CLONE_NEWNET) < 0)
		return err_sys(e, -errno, "a network namespace cannot be made");
	rc = netns_open_own(ret_fd, e);
	if (netns_enter(own_fd, NULL) < 0)
		abort(); /* whoever was let into another is let back */
	return rc;
}

static uint32_t mtu_in(int namespace_fd)
{
	auto_close int own_fd = -1;
	struct ifreq request = { .ifr_name = DEVICE };
	int rc = -1;

	if (netns_open_own(&own_fd, NULL) < 0 || netns_enter(namespace_fd, NULL) < 0)
		return 0;
	{
		auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		if (fd >= 0)
			rc = ioctl(fd, SIOCGIFMTU, &request);
	}
	if (netns_enter(own_fd, NULL) < 0)
		abort();
	return rc == 0 ? (uint32_t)request.ifr_mtu : 0;
}

static void take_addresses(struct sandbox *s, const json_t *answer)
{
	json_t *item;
	size_t i;

	json_array_foreach (json_object_get(answer, "ips"), i, item) {
		const char *text = ctl_text(item, "address");
		auto_free char *address =
			xstrndup(text ? text : "", strcspn(text ? text : "", "/"));
		struct ip_addr a;

		if (ip_addr_parse(address, AF_UNSPEC, &a, NULL) == 0)
			s->addresses[a.family == AF_INET ? 0 : 1] = a;
	}
}

static void forget(struct sandbox *s)
{
	if (s->namespace_fd >= 0)
		close(s->namespace_fd);
	free(s->config);
}

int sandbox_open(const struct settings *settings, const char *config_file, struct sandbox *ret,
		 struct err *e)
{
	struct sandbox s = { .namespace_fd = -1, .settings = settings };
	auto_json json_t *config = NULL;
	auto_json json_t *answer = NULL;

	if (config_file && read_config(config_file, settings, &config, e) < 0)
		return e->code;
	if (!config)
		config = find_config(settings);
	/* Another network has other reservations: what it leases a container may have. */
	if (!config)
		return err_set(e, -ENOENT,
			       "there is nothing of type " PLUGIN_NAME " in " CONFIG_DIRECTORY
			       "; --cni-config names the runtime's configuration");
	s.config = json_dumps(config, JSON_COMPACT);
	give_back(settings, s.config);
	snprintf(s.id, sizeof(s.id), SANDBOX_PREFIX "%d", (int)getpid());
	if (make_namespace(&s.namespace_fd, e) < 0 ||
	    run_plugin(settings, "ADD", s.id, s.namespace_fd, s.config, &answer, e) < 0) {
		forget(&s);
		return e->code;
	}
	take_addresses(&s, answer);
	s.mtu_bytes = mtu_in(s.namespace_fd);
	*ret = s;
	return 0;
}

int sandbox_close(struct sandbox *s, struct err *e)
{
	json_t *answer = NULL;
	int rc = run_plugin(s->settings, "DEL", s->id, s->namespace_fd, s->config, &answer, e);

	json_decref(answer);
	forget(s);
	return rc;
}
