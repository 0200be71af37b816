/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network configuration of a network in Kubernetes: a file, which is a link into a directory that the
 * kubelet replaces by renaming another link over "..data". So it is the directory that is watched.
 */
#include "stores/kube/kube_internal.h"

#include <errno.h>
#include <event2/event.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "lib/file.h"
#include "lib/log.h"
#include "subnet/config.h"

struct kube_file {
	char *path;
	char *directory;
	int notify_fd; /* -1: changes are seen when somebody asks */
	struct event *notify;
	void (*changed)(void *arg);
	void *arg;
};

static void on_notify(evutil_socket_t fd, short what UNUSED, void *arg)
{
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	struct kube_file *f = arg;

	while (read(fd, buf, sizeof(buf)) > 0)
		;
	f->changed(f->arg);
}

static int watch(struct kube_file *f, struct event_base *base)
{
	f->notify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (f->notify_fd < 0)
		return -errno;
	if (inotify_add_watch(f->notify_fd, f->directory,
			      IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE) < 0)
		return -errno;
	f->notify = event_new(base, f->notify_fd, EV_READ | EV_PERSIST, on_notify, f);
	event_add(f->notify, NULL);
	return 0;
}

struct kube_file *kube_file_new(struct event_base *base, const char *path,
				void (*changed)(void *arg), void *arg)
{
	struct kube_file *f = xcalloc(1, sizeof(*f));
	const char *slash = strrchr(path, '/');
	int rc;

	f->path = xstrdup(path);
	f->directory = xstrndup(path, MAX((size_t)(slash - path), (size_t)1));
	f->changed = changed;
	f->arg = arg;
	rc = watch(f, base);
	if (rc < 0)
		log_debug("net-config", "%s: inotify: %s; looked at every hour instead",
			  f->directory, strerror(-rc));
	return f;
}

void kube_file_free(struct kube_file *f)
{
	if (!f)
		return;
	if (f->notify)
		event_free(f->notify);
	if (f->notify_fd >= 0)
		close(f->notify_fd);
	free(f->path);
	free(f->directory);
	free(f);
}

enum store_status kube_file_read(const struct kube_file *f, struct store_reply *reply)
{
	int rc = file_read(f->path, NETWORK_CONFIG_MAX_SIZE, &reply->config, &reply->config_size,
			   &reply->err);
	struct stat st;

	if (rc == -ENOENT || rc == -ENOTDIR) {
		err_set(&reply->err, -ENOENT, "net-config-path: there is no file %s", f->path);
		return STORE_ABSENT;
	}
	if (rc < 0) {
		err_wrap(&reply->err, "net-config-path");
		return STORE_UNAVAILABLE;
	}
	/* A file has no revisions; this one is another for each that it had. */
	if (stat(f->path, &st) == 0)
		reply->config_revision =
			(uint64_t)st.st_mtim.tv_sec * 1000 + (uint64_t)st.st_mtim.tv_nsec / 1000000;
	return STORE_OK;
}

const char *kube_file_path(const struct kube_file *f)
{
	return f->path;
}
