/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The status server: HTTP on a unix socket, and on TCP if asked.
 *
 *   /healthz  /livez      200 while the loop turns
 *   /readyz               200 or 503 with the reason
 *   /metrics              Prometheus text
 *   /v1/status /v1/subnets /v1/peers /v1/config   JSON for fabricctl; on the unix socket only
 *   /v1/mtu               how large packets to each peer may be
 *   /v1/events            what the log said last, 1000 lines
 *   /v1/diff              what differs between kernel and leases at this instant
 *   POST /v1/sync         compare and write now; root only
 *   /v1/lease             this host's own
 *   POST /v1/lease/renew  prolong it now, answered when the store has; root only
 *   /v1/subnets?watch=1   the list, then again after every change, one JSON object a line, with
 *                         "changes":[{"type":"PUT|DELETE","object":{...}}], what happened since the
 *                         last line one by one, and "changesLost", how many of them are not there
 */
#ifndef FLANNELD_STATUS_H
#define FLANNELD_STATUS_H

#include "flanneld/drain.h"
#include "flanneld/view.h"
#include "traffic/meter.h"

struct event_base;
struct status_server;

struct status_options {
	const char *socket; /* path */
	const char *healthz_ip;
	uint16_t healthz_port; /* 0: not on TCP */
};

/* What the server needs of the daemon. */
struct status_ops {
	/* counters: those that the kernel keeps are read first. */
	void (*view)(void *arg, bool counters, struct daemon_view *ret);
	int (*diff)(void *arg, fabric_difference_fn *visit, void *visit_arg, struct err *e);
	uint64_t (*sync)(void *arg);
	bool (*renew)(void *arg); /* manager_renew */
	/* See drain.h; what is so already is no error. */
	int (*drain)(void *arg, enum drain_state state, struct err *e);
	void (*ask)(void *arg, const struct store_request *request, store_calls_fn *fn,
		    void *fn_arg);
	/* meter_read, and fast_path_counts */
	int (*meter)(void *arg, meter_fn *visit, const struct fast_path_count_ops *fast,
		     void *visit_arg, struct err *e);
};

/*
 * -EADDRINUSE and others: the sentence names the address. A stale socket of a dead daemon is
 * replaced. `ops` must outlive the server.
 */
int status_server_new(struct event_base *base, const struct status_options *options,
		      const struct status_ops *ops, void *arg, struct status_server **ret,
		      struct err *e) MUST_CHECK;
void status_server_free(struct status_server *s);
/* Something that /v1/subnets shows may be different now, or a renewal has ended. Cheap if nobody
 * waits. */
void status_server_changed(struct status_server *s);
/* A peer's lease is this now, or is about to be forgotten. As cheap. */
void status_server_lease(struct status_server *s, const struct manager_member *member, bool gone);

#endif
