/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/client.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "fabricctl/loop.h"
#include "lib/http.h"
#include "lib/json.h"

#define CONNECT_TIMEOUT_MS 2000
#define DOCUMENT_MAX_SIZE  ((size_t)256 << 20)

struct exchange {
	struct event_base *base;
	const char *kind;
	bool post;
	client_document_fn *fn;
	void *arg;
	char *line; /* begun, not ended yet */
	size_t line_size;
	size_t line_cap;
	json_t *document;
	struct err *e;
	int rc;
	bool told;     /* fn was called */
	bool done;     /* we want no more */
	bool finished; /* the call is no more */
};

/* libcurl says only that it could not connect; the kernel says why. */
static int probe(const char *path, struct err *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (strlen(path) >= sizeof(addr.sun_path))
		return err_sys(e, -ENAMETOOLONG, "%s", path);
	memcpy(addr.sun_path, path, strlen(path));
	if (fd < 0)
		return err_sys(e, -errno, "socket");
	/* EAGAIN: many others are waiting for it too. */
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 && errno != EAGAIN)
		return err_sys(e, -errno, "%s", path);
	return 0;
}

static int read_document(const char *text, size_t size, const char *kind, json_t **ret,
			 struct err *e)
{
	auto_json json_t *document = NULL;
	const char *version;
	const char *got;
	struct err why;

	if (json_parse_object(text, size, &document, &why) < 0)
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

static void end(struct exchange *x, int rc)
{
	x->rc = rc;
	x->done = true;
	event_base_loopbreak(x->base);
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

static void on_done(void *arg, const struct http_reply *reply)
{
	struct exchange *x = arg;

	x->finished = true;
	if (x->done)
		return;
	if (x->told)
		end(x, err_set(x->e, -ECONNRESET, "the daemon ended the connection"));
	else if (reply->code)
		end(x, err_set(x->e, reply->code, "%s", reply->error));
	else if (reply->status == 403)
		end(x, err_set(x->e, -EPERM, "%.200s", reply->body));
	else if (reply->status == 503 && is_sentence(reply->body))
		end(x, err_set(x->e, -EAGAIN, "%.200s", reply->body));
	else if (reply->status != 200)
		end(x, err_set(x->e, -EPROTO, "status %ld: %.200s", reply->status, reply->body));
	else if (x->fn)
		end(x, err_set(x->e, -EPROTO, "the answer is empty"));
	else
		end(x, read_document(reply->body, reply->body_size, x->kind, &x->document, x->e));
}

static void tell(struct exchange *x)
{
	auto_json json_t *document = NULL;
	int rc = read_document(x->line, x->line_size, x->kind, &document, x->e);

	x->line_size = 0;
	x->told = true;
	if (rc < 0)
		end(x, rc);
	else if (!x->fn(x->arg, document))
		end(x, 0);
}

static void on_data(void *arg, const char *data, size_t size)
{
	struct exchange *x = arg;

	while (size > 0 && !x->done) {
		const char *newline = memchr(data, '\n', size);
		size_t part = newline ? (size_t)(newline - data) : size;

		if (x->line_size + part > DOCUMENT_MAX_SIZE) {
			end(x, err_set(x->e, -EFBIG, "the answer is larger than allowed"));
			return;
		}
		if (x->line_size + part > x->line_cap) {
			x->line_cap = MAX(x->line_cap * 2, x->line_size + part);
			x->line = xrealloc(x->line, x->line_cap);
		}
		memcpy(x->line + x->line_size, data, part);
		x->line_size += part;
		data += part + (newline != NULL);
		size -= part + (newline != NULL);
		if (newline)
			tell(x);
	}
}

/* Runs one exchange on a loop of its own. */
static int exchange(struct exchange *x, const char *socket, const char *path, int64_t timeout_ms,
		    FILE *out)
{
	auto_free char *url = xasprintf("http://flanneld%s", path);
	struct http_client *http;
	struct http_call *call;
	struct event *closed = NULL;
	int rc = probe(socket, x->e);

	if (rc < 0)
		return rc;
	x->base = loop_new();
	http = http_client_new(x->base);
	if (!http) {
		event_base_free(x->base);
		return err_set(x->e, -EIO, "libcurl does not start");
	}
	if (out)
		closed = loop_watch_reader(x->base, out);
	call = http_call_start(http, &(struct http_request){
					     .url = url,
					     .body = x->post ? "" : NULL,
					     .unix_socket = socket,
					     .connect_timeout_ms = CONNECT_TIMEOUT_MS,
					     .timeout_ms = timeout_ms,
					     .max_reply_size = DOCUMENT_MAX_SIZE,
					     .on_data = x->fn ? on_data : NULL,
					     .on_done = on_done,
					     .arg = x,
				     });
	event_base_dispatch(x->base);
	if (!x->finished)
		http_call_cancel(call);
	if (closed)
		event_free(closed);
	http_client_free(http);
	event_base_free(x->base);
	free(x->line);
	return x->rc;
}

int client_get(const char *socket, const char *path, const char *kind, int64_t timeout_ms,
	       json_t **ret, struct err *e)
{
	struct exchange x = { .kind = kind, .e = e };
	int rc = exchange(&x, socket, path, timeout_ms, NULL);

	if (rc == 0)
		*ret = x.document;
	return rc;
}

int client_post(const char *socket, const char *path, const char *kind, int64_t timeout_ms,
		json_t **ret, struct err *e)
{
	struct exchange x = { .kind = kind, .post = true, .e = e };
	int rc = exchange(&x, socket, path, timeout_ms, NULL);

	if (rc == 0)
		*ret = x.document;
	return rc;
}

int client_follow(const char *socket, const char *path, const char *kind, FILE *out,
		  client_document_fn *fn, void *arg, struct err *e)
{
	struct exchange x = { .kind = kind, .fn = fn, .arg = arg, .e = e };

	return exchange(&x, socket, path, 0, out);
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
