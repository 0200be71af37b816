/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon shows to those who only look: report, metrics and the status server.
 *
 *   daemon ──struct daemon_view──> report, metrics ──> status server ──struct status_ops──> daemon
 *
 * Filled by the daemon when it is asked, valid until the loop turns; nothing in it is to be changed.
 */
#ifndef FLANNELD_VIEW_H
#define FLANNELD_VIEW_H

#include "fabric/fabric.h"
#include "flanneld/health.h"
#include "flanneld/store_calls.h"
#include "subnet/manager.h"
#include "traffic/rules.h"

struct daemon_view {
	const char *node_id;
	const char *node_name;
	const char *subnet_file;
	bool masquerade;
	int64_t started_ms;
	int64_t started_wall_ms;
	bool ready; /* lease held, devices up, kernel once equal, subnet.env written */
	const char *ready_reason; /* why not */
	bool was_ready;           /* at least once */
	const struct health *health;
	const struct store_calls *store;
	struct manager_view manager;
	struct fabric_view fabric;
	struct rules_view rules;
	uint32_t pod_mtu_bytes; /* 0 before there is a backend */
	const char *own_state;  /* of our own kernel objects, see fabric_own_state */
	const char *own_reason;
};

#endif
