/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon: puts store, manager and fabric together on one event loop.
 *
 *   store ──> manager ──> fabric ──> kernel
 *               │           │
 *               └─> daemon <┘ ──> subnet.env, systemd, status server
 */
#ifndef FLANNELD_DAEMON_H
#define FLANNELD_DAEMON_H

#include "fabric/fabric.h"
#include "flanneld/drain.h"
#include "flanneld/health.h"
#include "flanneld/options.h"
#include "flanneld/store_calls.h"

struct daemon {
	const struct flanneld_options *options;
	struct event_base *base;
	struct http_client *http;
	struct store *store;
	struct store_place place; /* of the store; complete once it was heard */
	struct store_host host;   /* what the store says to us, see host.h */
	char host_public[2][IP_ADDR_TEXT];
	int state_lock; /* descriptor of the locked state directory, or -1 */
	struct store_watch *watch;
	struct manager *manager;
	struct fabric *fabric;
	struct rules *rules;
	struct meter *meter;
	struct status_server *status;
	struct docker_server *docker; /* NULL: not asked for */
	struct event *timer;          /* the manager's deadline */
	struct event *health_timer;   /* when there is something to tell of it */
	struct event *deferred;       /* what must not happen inside a callback */
	struct event *watchdog;       /* NULL: systemd asked for none */
	struct event *signals[4];
	char *node_id;
	char *node_name;
	int64_t started_ms;
	int64_t started_wall_ms;
	struct event *save;     /* the last known state, some time after a change */
	uint64_t saved_changes; /* manager_view.newest and .expires_ms when it was saved last */
	int64_t saved_expires_ms;
	struct err save_error; /* why it could not be written */
	bool claim_pending;    /* a configuration has come, see deferred */
	bool is_set_up;        /* there is a backend: it can be asked what our lease must say */
	bool publish_wanted;   /* what our lease must say is another now, see deferred */
	bool claim_wanted; /* what our lease must say is to be claimed with, see publish_error */
	bool settled;      /* the kernel was equal to the leases at least once */
	enum drain_state drain;
	bool leaving;      /* it ends as soon as the store has been told, see host_leave */
	bool env_dirty;    /* subnet.env must be written */
	bool ready_told;   /* in the log */
	bool started_told; /* READY=1 was sent */
	bool reloading;    /* RELOADING=1 was sent, and not yet READY=1 again */
	struct subnet_file *subnet_file;
	struct record *record; /* NULL: none is written */
	struct wall_clock *wall_clock;
	struct fabric_previous previous; /* what the last run left, by its subnet.env */
	struct external external;        /* in use */
	struct err underlay_error;       /* why there is no external interface just now */
	struct err publish_error; /* why the backend cannot say yet what our lease must say */
	char *last_status;        /* STATUS= sent last */
	struct store_calls calls;
	struct health health;
};

/* What waits for the daemon to have started, docker for example, waits for so long and no longer. */
#define DAEMON_START_MAX_MS 20000

/* Runs until a signal. Returns the exit status. */
int daemon_run(const struct flanneld_options *options);

#endif
