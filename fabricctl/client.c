/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request in HTTP/1.0, whose answer goes on until the daemon closes the connection. Neither of
 * the clients at hand will do: libcurl takes longer to load than the daemon to answer, and that of
 * libevent 2.1 wants to connect by itself, to a host and port (it closes a connected unix socket).
 */
#include "fabricctl/client.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "fabricctl/loop.h"
#include "fabricctl/rows.h"
#include "lib/clock.h"
#include "lib/json.h"

#define CONNECT_TIMEOUT_S 2
#define HEAD_MAX_SIZE     ((size_t)16 << 10)
#define DOCUMENT_MAX_SIZE ((size_t)256 << 20)
#define PART_SIZE         ((size_t)64 << 10)

/* What a step of an exchange returns: an error, DONE or MORE. */
enum { DONE, MORE };

struct exchange {
	const char *kind;
	client_document_fn *fn; /* NULL: one document, to `document` */
	void *arg;
	json_t *document;
	struct err *e;
	int fd;
	int reader;          /* of what fn prints; -1: nobody who could go away */
	int64_t deadline_ms; /* 0: none */
	int status;          /* of HTTP; 0: the head is not complete yet */
	char *in;            /* received and not used yet, NUL-terminated */
	size_t in_size;
	size_t in_cap;
	size_t searched; /* no line ends before this */
	bool told;       /* fn was called */
};

static int dial(const char *path, struct err *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval timeout = { .tv_sec = CONNECT_TIMEOUT_S };
	auto_close int fd = -1;

	if (strlen(path) >= sizeof(addr.sun_path))
		return err_sys(e, -ENAMETOOLONG, "%s", path);
	memcpy(addr.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(e, -errno, "socket");
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	/* EAGAIN: for all that time as many others as may wait were waiting. */
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_sys(e, errno == EAGAIN ? -ETIMEDOUT : -errno, "%s", path);
	return STEAL_FD(fd);
}

static int ask(int fd, const char *method, const char *path, struct err *e)
{
	auto_free char *request = xasprintf("%s %s HTTP/1.0\r\nHost: flanneld\r\n"
					    "Content-Length: 0\r\n\r\n",
					    method, path);

	if (send(fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request))
		return err_sys(e, errno == EAGAIN ? -ETIMEDOUT : -errno, "send");
	return 0;
}

/* Until there is more to read, or an end of it: MORE. DONE: nobody reads what we print. */
static int await(struct exchange *x)
{
	struct pollfd fds[] = { { .fd = x->fd, .events = POLLIN }, { .fd = x->reader } };
	int64_t left_ms = x->deadline_ms ? x->deadline_ms - clock_boot_ms() : -1;
	int n;

	if (x->deadline_ms && left_ms <= 0)
		return err_set(x->e, -ETIMEDOUT, "no answer in time");
	n = poll(fds, ARRAY_LEN(fds), (int)left_ms);
	if (n < 0 && errno != EINTR)
		return err_sys(x->e, -errno, "poll");
	return n > 0 && fds[1].revents ? DONE : MORE;
}

static int read_document(const char *text, size_t size, const char *kind, json_t **ret,
			 struct err *e)
{
	auto_json json_t *document = NULL;
	const char *version;
	const char *got;
	struct err why;
	int rc = rows_parse(text, size, &document, &why);

	if (rc == -ENOENT)
		rc = json_parse_object(text, size, &document, &why);
	if (rc < 0)
		return err_set(e, -EPROTO, "the answer is %s", why.text);
	version = ctl_text(document, "apiVersion");
	got = ctl_text(document, "kind");
	if (!version || strcmp(version, CTL_API_VERSION) != 0 || !got || strcmp(got, kind) != 0)
		return err_set(e, -EPROTO, "the answer is a %.40s of %.40s, not a %s of %s",
			       got ? got : "document", version ? version : "no version", kind,
			       CTL_API_VERSION);
	*ret = STEAL(document);
	return 0;
}

/* The reason that the daemon gives is plain text. */
static bool is_sentence(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' && *text != '\n')
			return false;
	}
	return true;
}

/* All has come that will. */
static int finish(struct exchange *x)
{
	if (!x->status || x->told)
		return err_set(x->e, -ECONNRESET, "the daemon ended the connection");
	if (x->status == 403)
		return err_set(x->e, -EPERM, "%.200s", x->in);
	if (x->status == 503 && is_sentence(x->in))
		return err_set(x->e, -EAGAIN, "%.200s", x->in);
	if (x->status != 200)
		return err_set(x->e, -EPROTO, "status %d: %.200s", x->status, x->in);
	if (x->fn)
		return err_set(x->e, -EPROTO, "the answer is empty");
	return read_document(x->in, x->in_size, x->kind, &x->document, x->e);
}

static void drop(struct exchange *x, size_t size)
{
	x->in_size -= size;
	memmove(x->in, x->in + size, x->in_size + 1);
	x->searched = 0;
}

static int read_head(struct exchange *x)
{
	char *end = memmem(x->in, x->in_size, "\r\n\r\n", 4);

	if (!end && x->in_size < HEAD_MAX_SIZE)
		return MORE;
	if (!end || sscanf(x->in, "HTTP/1.%*u %3d", &x->status) != 1 || x->status < 100)
		return err_set(x->e, -EPROTO, "the answer is not HTTP");
	drop(x, (size_t)(end + 4 - x->in));
	return MORE;
}

/* Tells every document that is complete, one a line. */
static int tell(struct exchange *x)
{
	char *newline;

	while ((newline = memchr(x->in + x->searched, '\n', x->in_size - x->searched))) {
		auto_json json_t *document = NULL;
		size_t size = (size_t)(newline - x->in);
		int rc = read_document(x->in, size, x->kind, &document, x->e);

		if (rc < 0)
			return rc;
		drop(x, size + 1);
		x->told = true;
		if (!x->fn(x->arg, document))
			return DONE;
	}
	x->searched = x->in_size;
	return MORE;
}

static int receive(struct exchange *x)
{
	ssize_t n;
	int rc = MORE;

	if (x->in_cap < x->in_size + PART_SIZE + 1) {
		x->in_cap = MAX(x->in_cap * 2, x->in_size + PART_SIZE + 1);
		x->in = xrealloc(x->in, x->in_cap);
	}
	n = recv(x->fd, x->in + x->in_size, PART_SIZE, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return MORE;
	if (n < 0 && errno != ECONNRESET)
		return err_sys(x->e, -errno, "receive");
	x->in_size += n > 0 ? (size_t)n : 0;
	x->in[x->in_size] = '\0';
	if (n <= 0)
		return finish(x);
	if (x->in_size > DOCUMENT_MAX_SIZE)
		return err_set(x->e, -EFBIG, "the answer is larger than allowed");
	if (!x->status)
		rc = read_head(x);
	if (rc == MORE && x->status == 200 && x->fn)
		rc = tell(x);
	return rc;
}

static int exchange(struct exchange *x, const char *socket, const char *method, const char *path,
		    int64_t timeout_ms, FILE *out)
{
	auto_close int fd = dial(socket, x->e);
	int rc = fd < 0 ? fd : ask(fd, method, path, x->e);

	if (rc < 0)
		return rc;
	x->fd = fd;
	x->reader = out ? loop_reader(out) : -1;
	x->deadline_ms = timeout_ms ? clock_boot_ms() + timeout_ms : 0;
	do {
		rc = await(x);
		if (rc == MORE)
			rc = receive(x);
	} while (rc == MORE);
	free(x->in);
	return rc;
}

static int get_document(const char *socket, const char *method, const char *path, const char *kind,
			int64_t timeout_ms, json_t **ret, struct err *e)
{
	/* The last one is left to the end of the process: to take it apart takes as long as to print it. */
	static json_t *kept;
	struct exchange x = { .kind = kind, .e = e };
	int rc = exchange(&x, socket, method, path, timeout_ms, NULL);

	if (rc < 0)
		return rc;
	json_decref(kept);
	kept = json_incref(x.document);
	*ret = x.document;
	return 0;
}

char *client_list_path(const char *path, const char *fields)
{
	return fields ? xasprintf("%s?fields=%s", path, fields) : xstrdup(path);
}

int client_get(const char *socket, const char *path, const char *kind, int64_t timeout_ms,
	       json_t **ret, struct err *e)
{
	return get_document(socket, "GET", path, kind, timeout_ms, ret, e);
}

int client_post(const char *socket, const char *path, const char *kind, int64_t timeout_ms,
		json_t **ret, struct err *e)
{
	return get_document(socket, "POST", path, kind, timeout_ms, ret, e);
}

int client_follow(const char *socket, const char *path, const char *kind, FILE *out,
		  client_document_fn *fn, void *arg, struct err *e)
{
	struct exchange x = { .kind = kind, .fn = fn, .arg = arg, .e = e };

	return exchange(&x, socket, "GET", path, 0, out);
}

int client_fail(const struct ctl *c, const char *socket, const struct err *e, const char *hint)
{
	const char *reason = e->text;

	switch (e->code) {
	case -EPERM:
		return ctl_fail(c, CTL_DENIED, reason, "sudo", "flanneld at %s refuses", socket);
	case -EAGAIN:
		return ctl_fail(c, CTL_FAILED, reason, "fabricctl status",
				"flanneld at %s cannot do this now", socket);
	case -EACCES:
		return ctl_fail(c, CTL_DENIED, "the socket is for root and its group", "sudo",
				"cannot reach flanneld at %s: Permission denied", socket);
	case -ETIMEDOUT:
		return ctl_fail(c, CTL_NO_DAEMON, "the daemon is there but does not answer", hint,
				"cannot reach flanneld at %s: timed out", socket);
	case -ECONNRESET:
		return ctl_fail(c, CTL_NO_DAEMON,
				"the daemon was stopped, or has crashed (systemctl "
				"status flanneld)",
				hint, "the connection to flanneld at %s has ended", socket);
	case -ENOENT:
	case -ECONNREFUSED:
	case -ENOTDIR:
		return ctl_fail(c, CTL_NO_DAEMON,
				"the daemon is not running (systemctl status flanneld)", hint,
				"cannot reach flanneld at %s: %s", socket, strerror(-e->code));
	default:
		return ctl_fail(c, CTL_NO_DAEMON, reason, hint, "flanneld at %s cannot be asked",
				socket);
	}
}
