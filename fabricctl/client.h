/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the daemon on this host: HTTP on its unix socket. */
#ifndef FABRICCTL_CLIENT_H
#define FABRICCTL_CLIENT_H

#include "fabricctl/ctl.h"

/*
 * Gets the document of `kind` under `path`; blocks for at most timeout_ms. Caller owns *ret.
 * -EACCES: not allowed to use the socket; -ETIMEDOUT: no answer in time; -EPROTO: an answer that is
 * none; -EAGAIN: the daemon cannot answer this now, the text says why; anything else: nobody is
 * there.
 */
int client_get(const char *socket, const char *path, const char *kind, int64_t timeout_ms,
	       json_t **ret, struct err *e) MUST_CHECK;

/* The same for what the daemon is to do. -EPERM: it does this for root only. */
int client_post(const char *socket, const char *path, const char *kind, int64_t timeout_ms,
		json_t **ret, struct err *e) MUST_CHECK;

/* The path of a list of which only these members of items are needed, NULL: all. Caller frees. */
char *client_list_path(const char *path, const char *fields);

/* What client_follow tells; false ends it. The document is borrowed. */
typedef bool client_document_fn(void *arg, json_t *document);

/*
 * Gets one document a line until the daemon ends, nobody reads `out` any more or `fn` returns
 * false: then 0. Errors as client_get; -ECONNRESET: the daemon ended.
 */
int client_follow(const char *socket, const char *path, const char *kind, FILE *out,
		  client_document_fn *fn, void *arg, struct err *e) MUST_CHECK;

/* Complains that the daemon could not be asked, and returns the exit status. `hint` may be NULL. */
int client_fail(const struct ctl *c, const char *socket, const struct err *e, const char *hint);

#endif
