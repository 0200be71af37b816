/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wireguard-go: WireGuard as a process, with a tun device. It is told and asked by a socket that is
 * named like the device, one request and one answer at a time. The device is the process: one ends
 * with the other.
 *
 * Seen on 0.0.20220316 to 0.0.20260522: errors are negative; the lines before a bad one take effect;
 * a port that is taken loses the old one too; after SIGKILL the socket's file stays, and nobody is
 * behind it.
 */
#include "kernel/wireguard.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "kernel/rehearsal.h"
#include "lib/child.h"

#define DIRECTORY   "/var/run/wireguard"
#define TIMEOUT_S   5
#define ANSWER_STEP (64 * 1024)

static int connect_to(const char *name, int *ret_fd, struct err *e)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval timeout = { .tv_sec = TIMEOUT_S };
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), DIRECTORY "/%s.sock", name);
	if (fd < 0)
		return err_sys(e, -errno, "wireguard-go: socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return err_sys(e, -errno, "wireguard-go: %s", address.sun_path);
	*ret_fd = STEAL_FD(fd);
	return 0;
}

bool wireguard_go_answers(const char *name)
{
	auto_close int fd = -1;

	return connect_to(name, &fd, NULL) == 0;
}

static int send_all(int fd, const char *text, struct err *e)
{
	size_t size = strlen(text);
	size_t sent = 0;

	while (sent < size) {
		ssize_t n = send(fd, text + sent, size - sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno == EAGAIN ? -ETIMEDOUT : -errno,
				       "wireguard-go: send");
		sent += (size_t)n;
	}
	return 0;
}

static bool is_complete(const char *answer, size_t size)
{
	return size >= 2 && memcmp(answer + size - 2, "\n\n", 2) == 0;
}

/* What has grown is wiped where it was. */
static char *grow(char *old, size_t used, size_t *cap)
{
	char *larger;

	if (*cap - used >= ANSWER_STEP)
		return old;
	*cap = MAX(*cap * 2, (size_t)2 * ANSWER_STEP);
	larger = xmalloc(*cap);
	if (old) {
		memcpy(larger, old, used);
		explicit_bzero(old, used);
		free(old);
	}
	return larger;
}

static int receive_all(int fd, char **ret, size_t *ret_size, struct err *e)
{
	char *answer = NULL;
	size_t size = 0;
	size_t cap = 0;
	int rc = 0;

	while (rc == 0 && !is_complete(answer, size)) {
		ssize_t n;

		answer = grow(answer, size, &cap);
		n = recv(fd, answer + size, cap - size, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = err_sys(e, errno == EAGAIN ? -ETIMEDOUT : -errno,
				     "wireguard-go: receive");
		else if (n == 0)
			rc = err_set(e, -EPIPE, "wireguard-go: it ended before its answer");
		else if (size + (size_t)n > WIREGUARD_ANSWER_MAX)
			rc = err_set(e, -EMSGSIZE, "wireguard-go: its answer is too long");
		else
			size += (size_t)n;
	}
	if (rc < 0) {
		if (answer)
			explicit_bzero(answer, size);
		free(answer);
		return rc;
	}
	*ret = answer;
	*ret_size = size;
	return 0;
}

int wireguard_go_request(const char *name, const char *request, char **ret, size_t *ret_size,
			 struct err *e)
{
	auto_close int fd = -1;
	int rc = connect_to(name, &fd, e);

	/* Nobody is behind it, so there is no such device. */
	if (rc == -ENOENT || rc == -ECONNREFUSED) {
		if (e)
			e->code = -ENODEV;
		return -ENODEV;
	}
	if (rc == 0)
		rc = send_all(fd, request, e);
	return rc == 0 ? receive_all(fd, ret, ret_size, e) : rc;
}

int wireguard_go_start(const char *name, struct err *e)
{
	const char *const argv[] = { "wireguard-go", name, NULL };

	return rehearsal_is_on() ? 0 : child_run(argv, WIREGUARD_GO_START_MS, e);
}
