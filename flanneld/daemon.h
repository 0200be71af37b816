/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon: puts store, manager and fabric together on one event loop, and knows what is wrong.
 *
 *   store ──> manager ──> fabric ──> kernel
 *               │           │
 *               └─> daemon <┘ ──> subnet.env, systemd, status server
 */
#ifndef FLANNELD_DAEMON_H
#define FLANNELD_DAEMON_H

#include <sys/queue.h>

#include "fabric/fabric.h"
#include "flanneld/options.h"
#include "subnet/store.h"

struct daemon {
	const struct flanneld_options *options;
	struct event_base *base;
	struct http_client *http;
	struct store *store;
	struct store_watch *watch;
	struct manager *manager;
	struct fabric *fabric;
	struct rules *rules;
	struct status_server *status;
	struct event *timer;    /* the manager's deadline */
	struct event *deferred; /* what must not happen inside a callback */
	struct event *signals[4];
	char *node_id;
	char *node_name;
	int64_t started_ms;
	struct event *save;     /* the last known state, some time after a change */
	uint64_t saved_changes; /* manager_view.newest and .expires_ms when it was saved last */
	int64_t saved_expires_ms;
	bool save_failed;
	bool claim_pending; /* a configuration has come, see deferred */
	bool settled;       /* the kernel was equal to the leases at least once */
	bool env_dirty;     /* subnet.env must be written */
	bool ready_told;    /* READY=1 was sent */
	struct err env_error;
	struct fabric_previous previous; /* what the last run left, by its subnet.env */
	struct external external;        /* in use */
	struct err underlay_error;       /* why there is no external interface just now */
	char *last_status;               /* STATUS= sent last */
	LIST_HEAD(, pending) pending;    /* requests of the manager that the store works on */
	struct counters {
		uint64_t requests[STORE_OPS][STORE_UNKNOWN + 1]; /* by op and status */
		double request_seconds[STORE_OPS];
	} counters;
};

/* One thing that is wrong: a stable name and a sentence. */
struct daemon_problem {
	const char *name;
	char text[ERR_TEXT_SIZE];
};
#define DAEMON_PROBLEMS_MAX 16

/* What is wrong now; 0 if all is well. */
size_t daemon_problems(const struct daemon *d,
		       struct daemon_problem ret[static DAEMON_PROBLEMS_MAX]);
/* Lease held, devices up, kernel once equal to the leases, subnet.env written. *ret_reason: why
 * not. */
bool daemon_is_ready(const struct daemon *d, const char **ret_reason);

/* Runs until a signal. Returns the exit status. */
int daemon_run(const struct flanneld_options *options);

#endif
