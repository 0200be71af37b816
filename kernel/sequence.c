/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/sequence.h"

#include <stdarg.h>
#include <string.h>

#include "kernel/message.h"

#define WHAT_SIZE 96

struct sequence {
	char *buffer;
	size_t used;
	size_t room;
	char (*what)[WHAT_SIZE]; /* one per request */
	size_t len;
	size_t cap;
	size_t acked; /* index of the request whose ack ends the wait */
	bool failed;
	struct err first;
};

struct sequence *sequence_new(void)
{
	return xcalloc(1, sizeof(struct sequence));
}

void sequence_free(struct sequence *s)
{
	if (!s)
		return;
	free(s->buffer);
	free(s->what);
	free(s);
}

struct nlmsghdr *sequence_reserve(struct sequence *s)
{
	return sequence_reserve_room(s, NETLINK_MESSAGE_MAX);
}

struct nlmsghdr *sequence_reserve_room(struct sequence *s, size_t size)
{
	if (s->used + size > s->room) {
		s->room = MAX(s->room * 2, s->used + size + 8 * (size_t)NETLINK_MESSAGE_MAX);
		s->buffer = xrealloc(s->buffer, s->room);
	}
	memset(s->buffer + s->used, 0, size);
	return (struct nlmsghdr *)(void *)(s->buffer + s->used);
}

static size_t commit(struct sequence *s)
{
	const struct nlmsghdr *hdr = (const void *)(s->buffer + s->used);

	GROW(s->what, s->len, s->cap);
	s->used += NLMSG_ALIGN(hdr->nlmsg_len);
	return s->len++;
}

void sequence_commit(struct sequence *s, const char *fmt, ...)
{
	va_list ap;

	s->acked = commit(s);
	va_start(ap, fmt);
	vsnprintf(s->what[s->acked], WHAT_SIZE, fmt, ap);
	va_end(ap);
}

void sequence_commit_marker(struct sequence *s)
{
	/* Not in one expression: committing may move `what`. */
	size_t i = commit(s);

	s->what[i][0] = '\0';
}

static void on_error(void *arg, size_t index, int code, const char *text)
{
	struct sequence *s = arg;

	if (s->failed)
		return;
	s->failed = true;
	err_set(&s->first, code, "%s: %s", s->what[index], text);
}

int sequence_run(struct sequence *s, struct netlink *nl, struct err *e)
{
	int rc = 0;

	s->failed = false;
	if (s->len)
		rc = netlink_send_sequence(nl, s->buffer, s->used, s->acked, on_error, s, e);
	if (rc == 0 && s->failed)
		rc = err_set(e, s->first.code, "%s", s->first.text);
	s->used = s->len = 0;
	return rc;
}
