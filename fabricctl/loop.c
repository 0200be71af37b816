/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/loop.h"

#include <event2/event.h>
#include <poll.h>
#include <sys/stat.h>

#include "lib/util.h"

struct event_base *loop_new(void)
{
	struct event_base *base = event_base_new();

	if (!base)
		abort();
	return base;
}

/* A pipe that we write to becomes "readable" only when its other end is closed. */
static void on_ready(evutil_socket_t fd, short what UNUSED, void *arg)
{
	struct pollfd p = { .fd = (int)fd };

	/* Anything else: it is also open for reading, and nothing can be learnt from it. */
	if (poll(&p, 1, 0) > 0 && p.revents & (POLLERR | POLLHUP | POLLNVAL))
		event_base_loopbreak(arg);
}

int loop_reader(FILE *out)
{
	struct stat st;

	if (fstat(fileno(out), &st) < 0 || (!S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode)))
		return -1;
	return fileno(out);
}

struct event *loop_watch_reader(struct event_base *base, FILE *out)
{
	struct event *event;

	if (loop_reader(out) < 0)
		return NULL;
	event = event_new(base, loop_reader(out), EV_READ, on_ready, base);
	event_add(event, NULL);
	return event;
}
