/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in the way of the fabric on this host: doctor.c gathers what can be known, prints what the
 * checks say and does what is safe; doctor_checks.c has the checks, one function each.
 *
 * The daemon judges most of it all the time, so where it answers its problems are taken over. What it
 * does not look at, and everything where it is dead, is read from the kernel and from files.
 */
#ifndef FABRICCTL_DOCTOR_H
#define FABRICCTL_DOCTOR_H

#include "fabricctl/settings.h"
#include "kernel/link.h"
#include "subnet/subnet_env.h"

#define DOCTOR_FIXES_MAX 32

enum doctor_state { DOCTOR_OK, DOCTOR_WARNING, DOCTOR_ERROR };

/* What is safe to do about a finding. */
struct doctor_fix {
	enum doctor_fix_kind {
		DOCTOR_SYSCTL, /* gives `path`, below /proc/sys/net, this value */
		DOCTOR_KEEP,   /* has the CNI plugin put back what it made */
		DOCTOR_SYNC,   /* has the daemon compare the kernel with the leases */
	} kind;
	char path[80];
	unsigned value;
};

struct doctor {
	const struct ctl *c;
	const struct settings *settings;
	/* What is known. */
	json_t *status; /* the daemon's; NULL: it does not answer, and why: */
	struct err daemon_error;
	json_t *leases;     /* a SubnetList; NULL: from nowhere */
	json_t *containers; /* containers_list; NULL: the plugin cannot be asked, and why: */
	struct err containers_error;
	struct subnet_env env; /* of subnet.env; all unset if it cannot be read, and why: */
	struct err env_error;
	struct link_info *links;
	size_t links_len;
	/* What is found. */
	json_t *checks; /* {"check", "state", "text", "remedy"} */
	size_t warnings;
	size_t errors;
	struct doctor_fix fixes[DOCTOR_FIXES_MAX]; /* each once */
	size_t fixes_len;
};

/* Makes all checks. */
void doctor_check(struct doctor *d);

/* As a person would type it: "sysctl -w net/ipv4/ip_forward=1". Caller frees. */
char *doctor_fix_text(const struct doctor_fix *fix, const struct settings *settings);

#endif
