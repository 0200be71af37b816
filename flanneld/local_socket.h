/* SPDX-License-Identifier: Apache-2.0 */
/* A unix socket that an HTTP server of ours listens on. */
#ifndef FLANNELD_LOCAL_SOCKET_H
#define FLANNELD_LOCAL_SOCKET_H

#include <sys/types.h>

#include "lib/err.h"

struct clients;
struct event_base;
struct evhttp;

/*
 * Listens at `path`, whose directories are made (0755) if they are missing; what a dead daemon left
 * there is replaced. `clients` are those of `http`. -EADDRINUSE: a daemon answers there; others as
 * the system says. The sentence names the path. Whoever stops unlinks it.
 */
int local_socket_listen(struct event_base *base, struct evhttp *http, struct clients *clients,
			const char *path, mode_t mode, struct err *e) MUST_CHECK;

/* Whether the one at the other end of `fd` is root, or who we are. */
bool local_socket_is_root(int fd);

#endif
