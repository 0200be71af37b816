/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All hosts of the fabric, from one of them: each lease in the store with the health record that its
 * host keeps beside it. How this host reaches the others comes from its own daemon, if that answers.
 */
#ifndef FABRICCTL_FLEET_H
#define FABRICCTL_FLEET_H

#include "fabricctl/ctl.h"
#include "subnet/health_record.h"

/* The worst first: the order in which people are shown them. */
enum fleet_state {
	FLEET_DEGRADED,
	FLEET_NO_RECORD, /* its daemon is ours, and has told nothing for three minutes */
	FLEET_STARTING,
	FLEET_FLANNEL, /* it is not ours, and tells nothing */
	FLEET_OK,
	FLEET_STATES
};
const char *fleet_state_name(enum fleet_state state);
/* What it means for who asks how it is. */
bool fleet_is_bad(enum fleet_state state);
enum ctl_color fleet_state_color(enum fleet_state state);

struct fleet_host {
	struct lease *lease;
	struct health_record *record; /* NULL: none */
	enum fleet_state state;
	char *subnet;     /* as people see it */
	const char *name; /* borrowed from the lease; its subnet if it has none */
	char *reach;      /* how this host finds it; NULL: not known, or it is this one */
	double rtt_s;     /* -1: not known */
	bool own;
	bool is_former; /* its host tells of itself with another subnet */
};

struct fleet {
	struct fleet_host *hosts;
	size_t len;
	size_t counts[FLEET_STATES];
};

/* Asks the store; hosts in the order of their subnets. Complains with ctl_fail and returns its status;
 * *ret must be released with fleet_fini in any case. */
int fleet_read(const struct ctl *c, struct fleet *ret);
/* By what is worth looking at first, then by name. */
void fleet_sort_by_state(struct fleet *f);
void fleet_fini(struct fleet *f);
/* An item of a HostList. */
json_t *fleet_host_json(const struct fleet_host *h);

#define auto_fleet __attribute__((cleanup(fleet_fini)))

#endif
