/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/vici.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define HEADER_SIZE  4
#define READ_STEP    (16 * 1024)
#define PACKETS_TURN 64 /* handled in one turn of the loop */

struct request {
	struct request *next;
	uint8_t *bytes; /* with the header; wiped when sent or dropped */
	size_t size;
	size_t sent;
	bool registers;
	vici_done_fn *done;
	void *arg;
};

struct vici {
	const struct vici_ops *ops;
	void *arg;
	int fd;
	struct event *readable;
	struct event *writable;
	struct event *timer;
	struct request *first, **last;
	size_t waiting;
	uint8_t *in;
	size_t in_size;
	size_t in_cap;
	struct err failure; /* code 0: none; it is told from the loop */
	bool lost;
	unsigned inside; /* functions of this file that call back */
	bool freed;      /* in a callback: it goes when they have ended */
};

/* ---- packets ---- */

static bool has_name(enum vici_packet_type type)
{
	return type == VICI_EVENT;
}

ssize_t vici_packet_read(const uint8_t *data, size_t size, struct vici_packet *ret, struct err *e)
{
	struct vici_packet p = { 0 };
	uint32_t length;
	size_t skip = 1;

	if (size < HEADER_SIZE)
		return 0;
	memcpy(&length, data, sizeof(length));
	length = ntohl(length);
	if (length < 1 || length > VICI_MESSAGE_MAX)
		return err_set(e, -EMSGSIZE, "vici: a packet of %u bytes, must be from 1 to %d",
			       length, VICI_MESSAGE_MAX);
	if (size - HEADER_SIZE < length)
		return 0;
	data += HEADER_SIZE;
	p.type = (enum vici_packet_type) * data;
	if (p.type != VICI_RESPONSE && p.type != VICI_UNKNOWN && p.type != VICI_CONFIRM &&
	    p.type != VICI_EVENT_UNKNOWN && p.type != VICI_EVENT)
		return err_set(e, -EBADMSG, "vici: a packet of type %d", (int)p.type);
	if (has_name(p.type)) {
		if (length < 2 || (size_t)data[1] + 2 > length)
			return err_set(e, -EBADMSG, "vici: an event's name is cut");
		vici_text_copy(&(struct vici_text){ (const char *)data + 2, data[1] }, p.name,
			       sizeof(p.name));
		skip = (size_t)data[1] + 2;
	}
	p.data = data + skip;
	p.size = length - skip;
	if (vici_walk(p.data, p.size, NULL, NULL, e) < 0)
		return -EBADMSG;
	*ret = p;
	return (ssize_t)length + HEADER_SIZE;
}

static struct request *new_request(enum vici_packet_type type, const char *name,
				   const struct vici_message *m)
{
	size_t named = strlen(name);
	size_t length = 2 + named + (m ? m->size : 0);
	struct request *r = xcalloc(1, sizeof(*r));
	uint32_t header = htonl((uint32_t)length);

	r->size = HEADER_SIZE + length;
	r->bytes = xmalloc(r->size);
	memcpy(r->bytes, &header, sizeof(header));
	r->bytes[HEADER_SIZE] = (uint8_t)type;
	r->bytes[HEADER_SIZE + 1] = (uint8_t)named;
	memcpy(r->bytes + HEADER_SIZE + 2, name, named);
	if (m && m->size)
		memcpy(r->bytes + HEADER_SIZE + 2 + named, m->data, m->size);
	return r;
}

static void wipe(struct request *r)
{
	if (r->bytes)
		explicit_bzero(r->bytes, r->size);
	free(STEAL(r->bytes));
}

static void free_request(struct request *r)
{
	wipe(r);
	free(r);
}

/* ---- the connection ---- */

static struct request *take_first(struct vici *v)
{
	struct request *r = v->first;

	v->first = r->next;
	if (!v->first)
		v->last = &v->first;
	v->waiting--;
	return r;
}

static void fail(struct vici *v, const struct err *e)
{
	if (v->failure.code || v->lost)
		return;
	v->failure = *e;
	event_active(v->timer, EV_TIMEOUT, 0);
}

static void dispose(struct vici *v)
{
	if (v->fd >= 0)
		close(v->fd);
	free(v->in);
	free(v);
}

static void leave(struct vici *v)
{
	if (--v->inside == 0 && v->freed)
		dispose(v);
}

/* Answers all that wait, then says so. */
static void lose(struct vici *v)
{
	struct err e = v->failure;

	v->lost = true;
	event_del(v->timer);
	if (v->readable)
		event_del(v->readable);
	if (v->writable)
		event_del(v->writable);
	v->inside++;
	while (!v->freed && v->first) {
		struct request *r = take_first(v);

		if (r->done)
			r->done(r->arg, e.code, NULL, 0, &e);
		free_request(r);
	}
	if (!v->freed)
		v->ops->lost(v->arg, &e);
	leave(v);
}

static void await_answer(struct vici *v)
{
	const struct timeval limit = { VICI_TIMEOUT_MS / 1000, 0 };

	if (v->first)
		event_add(v->timer, &limit);
	else
		event_del(v->timer);
}

static void send_first(struct vici *v)
{
	struct request *r = v->first;
	struct err e;
	ssize_t n = 0;

	while (r && r->bytes && r->sent < r->size && n >= 0) {
		n = send(v->fd, r->bytes + r->sent, r->size - r->sent, MSG_NOSIGNAL);
		if (n >= 0)
			r->sent += (size_t)n;
		else if (errno == EINTR)
			n = 0;
	}
	if (n < 0 && errno == EAGAIN) {
		event_add(v->writable, NULL);
		return;
	}
	if (n < 0) {
		err_sys(&e, -errno, "vici: send");
		fail(v, &e);
		return;
	}
	if (r)
		wipe(r);
}

static void on_writable(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	send_first(arg);
}

static int judge(const struct request *r, const struct vici_packet *p, struct err *e)
{
	struct vici_text success = vici_find(p->data, p->size, "success");
	struct vici_text reason = vici_find(p->data, p->size, "errmsg");
	char text[200];

	if (p->type == VICI_UNKNOWN || p->type == VICI_EVENT_UNKNOWN)
		return err_set(e, -EOPNOTSUPP, "charon does not know this %s",
			       r->registers ? "event" : "command");
	if (success.data && !vici_text_is(&success, "yes"))
		return err_set(e, -EREMOTEIO, "charon: %s",
			       reason.data ? vici_text_copy(&reason, text, sizeof(text))
					   : "refused without a reason");
	*e = (struct err){ 0 };
	return 0;
}

static void on_answer(struct vici *v, const struct vici_packet *p)
{
	struct request *r = v->first;
	struct err e;
	int rc;

	/* An answer to nothing, or of the wrong sort. */
	if (!r || r->bytes ||
	    r->registers != (p->type == VICI_CONFIRM || p->type == VICI_EVENT_UNKNOWN)) {
		err_set(&e, -EBADMSG, "vici: an answer to nothing that was asked");
		fail(v, &e);
		return;
	}
	take_first(v);
	rc = judge(r, p, &e);
	if (r->done)
		r->done(r->arg, rc, p->data, p->size, &e);
	free_request(r);
	if (v->freed)
		return;
	await_answer(v);
	send_first(v);
}

static void on_packet(struct vici *v, const struct vici_packet *p)
{
	if (p->type != VICI_EVENT) {
		on_answer(v, p);
		return;
	}
	v->ops->event(v->arg, p->name, p->data, p->size);
}

/* Takes the packets that are complete; what is left moves to the front. */
static void take_packets(struct vici *v)
{
	unsigned handled = 0;
	size_t at = 0;

	v->inside++;
	while (handled < PACKETS_TURN && !v->freed && !v->failure.code) {
		struct vici_packet p;
		struct err e;
		ssize_t n = vici_packet_read(v->in + at, v->in_size - at, &p, &e);

		if (n < 0)
			fail(v, &e);
		if (n <= 0)
			break;
		on_packet(v, &p);
		at += (size_t)n;
		handled++;
	}
	memmove(v->in, v->in + at, v->in_size - at);
	v->in_size -= at;
	if (handled == PACKETS_TURN && !v->freed)
		event_active(v->readable, EV_READ, 0);
	leave(v);
}

static void on_readable(evutil_socket_t fd, short what UNUSED, void *arg)
{
	struct vici *v = arg;
	struct err e;
	ssize_t n;

	if (v->in_cap - v->in_size < READ_STEP && v->in_cap < VICI_MESSAGE_MAX + READ_STEP) {
		v->in_cap = MIN(MAX(v->in_cap * 2, (size_t)2 * READ_STEP),
				(size_t)VICI_MESSAGE_MAX + READ_STEP);
		v->in = xrealloc(v->in, v->in_cap);
	}
	n = v->in_size == v->in_cap ? 0 : recv(fd, v->in + v->in_size, v->in_cap - v->in_size, 0);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		err_sys(&e, -errno, "vici: receive");
		fail(v, &e);
		return;
	}
	if (n == 0 && v->in_size < v->in_cap) {
		err_set(&e, -ECONNRESET, "charon has closed the connection");
		fail(v, &e);
		return;
	}
	v->in_size += n > 0 ? (size_t)n : 0;
	take_packets(v);
}

static void on_timer(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct vici *v = arg;

	if (!v->failure.code)
		err_set(&v->failure, -ETIMEDOUT, "charon has not answered in %d s",
			VICI_TIMEOUT_MS / 1000);
	lose(v);
}

static int open_socket(struct vici *v, const char *path, struct err *e)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(e, -ENAMETOOLONG, "%s: longer than a socket's name may be", path);
	memcpy(address.sun_path, path, strlen(path));
	v->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (v->fd < 0)
		return err_sys(e, -errno, "vici: socket");
	/* A UNIX socket is connected at once, or never. */
	if (connect(v->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return err_sys(e, -errno, "%s", path);
	return 0;
}

struct vici *vici_new(struct event_base *loop, const char *path, const struct vici_ops *ops,
		      void *arg)
{
	struct vici *v = xcalloc(1, sizeof(*v));
	struct err e;

	v->ops = ops;
	v->arg = arg;
	v->fd = -1;
	v->last = &v->first;
	v->timer = evtimer_new(loop, on_timer, v);
	if (open_socket(v, path, &e) < 0) {
		fail(v, &e);
		return v;
	}
	v->readable = event_new(loop, v->fd, EV_READ | EV_PERSIST, on_readable, v);
	v->writable = event_new(loop, v->fd, EV_WRITE, on_writable, v);
	event_add(v->readable, NULL);
	return v;
}

void vici_free(struct vici *v)
{
	if (!v)
		return;
	while (v->first)
		free_request(take_first(v));
	if (v->readable)
		event_free(STEAL(v->readable));
	if (v->writable)
		event_free(STEAL(v->writable));
	if (v->timer)
		event_free(STEAL(v->timer));
	v->freed = true;
	if (v->inside == 0)
		dispose(v);
}

static int queue(struct vici *v, struct request *r, vici_done_fn *done, void *arg)
{
	r->done = done;
	r->arg = arg;
	*v->last = r;
	v->last = &r->next;
	if (v->waiting++ == 0 && !v->failure.code) {
		await_answer(v);
		send_first(v);
	}
	return 0;
}

static int check_room(const struct vici *v, struct err *e)
{
	if (v->lost)
		return err_set(e, -ENOTCONN, "%s", v->failure.text);
	if (v->waiting >= VICI_WAITING_MAX)
		return err_set(e, -ENOBUFS, "vici: %zu requests wait already", v->waiting);
	return 0;
}

int vici_request(struct vici *v, const char *command, struct vici_message *m, vici_done_fn *done,
		 void *arg, struct err *e)
{
	struct request *r;
	int rc = check_room(v, e);

	if (rc == 0 && m && (m->failed || m->depth || m->size > VICI_MESSAGE_MAX - 64))
		rc = err_set(e, -EMSGSIZE, "vici: %s: something in it is too long", command);
	if (rc == 0) {
		r = new_request(VICI_REQUEST, command, m);
		rc = queue(v, r, done, arg);
	}
	if (m)
		vici_message_fini(m);
	return rc;
}

int vici_register(struct vici *v, const char *event, vici_done_fn *done, void *arg, struct err *e)
{
	struct request *r;
	int rc = check_room(v, e);

	if (rc < 0)
		return rc;
	r = new_request(VICI_REGISTER, event, NULL);
	r->registers = true;
	return queue(v, r, done, arg);
}
