/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of vici, strongSwan's control socket, in the loop: nothing blocks.
 *
 * A connection carries requests, of which one is answered at a time, and events that were registered
 * for, between and during them. It is opened once and lives until it breaks; who uses it decides when
 * to open another.
 *
 * Source: strongSwan, src/libcharon/plugins/vici/README.md.
 */
#ifndef LIB_VICI_H
#define LIB_VICI_H

#include "lib/vici_message.h"

#define VICI_SOCKET      "/var/run/charon.vici"
#define VICI_TIMEOUT_MS  10000 /* for an answer */
#define VICI_WAITING_MAX 65536 /* requests that wait */

struct event_base;
struct vici;

/*
 * From the loop, never from inside a call of this module. Messages live as long as the call. After `lost`
 * nothing comes any more, and the connection is of no use but to be freed, which is allowed from inside any
 * of them.
 */
struct vici_ops {
	void (*event)(void *arg, const char *name, const void *data, size_t size);
	/* It could not be opened, or has ended, or what came was not vici; requests that wait were
	 * answered with the same error before. */
	void (*lost)(void *arg, const struct err *e);
};

/* An answer. rc: 0, or negative with the reason in `e`: -EREMOTEIO with charon's own words if its answer says
 * success=no. */
typedef void vici_done_fn(void *arg, int rc, const void *data, size_t size, const struct err *e);

/* Opens a connection; how that went is told by the first answer, or `lost`. ops live until vici_free. */
struct vici *vici_new(struct event_base *loop, const char *path, const struct vici_ops *ops,
		      void *arg);
/* Nothing of it is called after. NULL: nothing. */
void vici_free(struct vici *v);

/*
 * Sends one request when those before it were answered. The message is taken and left empty; NULL: none.
 * `done`, which may be NULL, is called exactly once, but for vici_free. -EMSGSIZE: the message has something
 * too long; -ENOBUFS: too many wait; -ENOTCONN: it was lost. Then `done` is not called.
 */
int vici_request(struct vici *v, const char *command, struct vici_message *m, vici_done_fn *done,
		 void *arg, struct err *e) MUST_CHECK;
/* The same for wanting to be told of this event. */
int vici_register(struct vici *v, const char *event, vici_done_fn *done, void *arg,
		  struct err *e) MUST_CHECK;

/* ---- one packet, for the client and its fuzzer ---- */

enum vici_packet_type {
	VICI_REQUEST = 0,
	VICI_RESPONSE = 1,
	VICI_UNKNOWN = 2,
	VICI_REGISTER = 3,
	VICI_CONFIRM = 5,
	VICI_EVENT_UNKNOWN = 6,
	VICI_EVENT = 7,
};

struct vici_packet {
	enum vici_packet_type type;
	char name[VICI_NAME_MAX + 1]; /* of an event; printable */
	const uint8_t *data;          /* the message, well formed */
	size_t size;
};

/*
 * What charon sends, as far as `size` bytes of it are here: the packet's bytes with its length, 0 if it is
 * not complete, -EBADMSG or -EMSGSIZE if it is none.
 */
ssize_t vici_packet_read(const uint8_t *data, size_t size, struct vici_packet *ret,
			 struct err *e) MUST_CHECK;

#endif
