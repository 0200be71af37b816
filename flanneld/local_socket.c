/* SPDX-License-Identifier: Apache-2.0 */
#include "flanneld/local_socket.h"

#include <errno.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "flanneld/clients.h"
#include "lib/file.h"

#define BACKLOG 16

/* Whether a daemon answers on this socket. */
static bool is_alive(const struct sockaddr_un *addr)
{
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0;
}

static int make_directory(const char *path, struct err *e)
{
	auto_free char *dir = xstrdup(path);
	char *slash = strrchr(dir, '/');

	if (!slash || slash == dir)
		return 0;
	*slash = '\0';
	return file_make_directories(dir, 0755, e);
}

/* Born with no rights beyond `mode`: nobody connects before it is set. */
static int bind_socket(int fd, const struct sockaddr_un *addr, mode_t mode)
{
	mode_t before = umask(0777 & ~mode);
	int rc = bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 ? -errno : 0;

	umask(before);
	if (rc == 0 && (chmod(addr->sun_path, mode) < 0 || listen(fd, BACKLOG) < 0))
		rc = -errno;
	return rc;
}

int local_socket_listen(struct event_base *base, struct evhttp *http, struct clients *clients,
			const char *path, mode_t mode, struct err *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct evconnlistener *listener;
	auto_close int fd = -1;
	int rc;

	if (strlen(path) >= sizeof(addr.sun_path))
		return err_set(e, -EINVAL, "\"%s\" is longer than %zu bytes", path,
			       sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, path, strlen(path));
	if (make_directory(path, e) < 0)
		return e->code;
	if (is_alive(&addr))
		return err_set(e, -EADDRINUSE, "%s: another flanneld is running", path);
	unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	rc = fd < 0 ? -errno : bind_socket(fd, &addr, mode);
	if (rc < 0)
		return err_sys(e, rc, "%s", path);
	listener = evconnlistener_new(base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE, 0, fd);
	if (!listener)
		return err_set(e, -EIO, "%s: cannot listen", path);
	fd = -1;
	evhttp_bind_listener(http, listener);
	rc = clients_guard_listener(clients, listener);
	return rc < 0 ? err_sys(e, rc, "%s", path) : 0;
}

bool local_socket_is_root(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}
