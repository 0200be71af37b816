/* SPDX-License-Identifier: Apache-2.0 */
/* A stream of messages from one endpoint, whichever transport brings them. */
#ifndef STORES_ETCD_STREAM_H
#define STORES_ETCD_STREAM_H

#include "stores/etcd/etcd_transport.h"

struct etcd_stream;

/* Who hears what comes. Nothing does after on_end or etcd_stream_close; each callback may close it. */
struct etcd_listener {
	void (*on_message)(void *arg, struct etcd_watch_message *m);
	/* Why it has ended: a gRPC code, ETCD_TOO_LARGE if a message is larger than allowed. */
	void (*on_end)(void *arg, int code, const char *text);
	/* As http_request has it; neither the stream nor any other may be closed from it. */
	void (*on_doubt)(void *arg);
	void *arg;
	size_t message_max; /* bytes of one message */
};

/* `request` says where, and what is sent; the rest of it is filled in. Both are copied. */
struct etcd_stream *etcd_stream_open(struct http_client *http,
				     const struct etcd_transport *transport,
				     const struct http_request *request,
				     const struct etcd_listener *listener);
/* NULL is fine. */
void etcd_stream_close(struct etcd_stream *stream);

#endif
