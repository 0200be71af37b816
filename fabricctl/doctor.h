/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in the way of the fabric on this host: doctor.c gathers what can be known, prints what the
 * checks say and does what is safe. The checks are one function each: doctor_checks.c has those of the
 * fabric itself, doctor_host.c those of who else is at work on this host, doctor_store.c, doctor_consul.c and
 * doctor_directory.c those of the store.
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
	const struct err *store_error; /* why the store's options are of no use; code 0: they are */
	/* What is known. */
	json_t *status; /* the daemon's; NULL: it does not answer, and why: */
	struct err daemon_error;
	json_t *leases;     /* a SubnetList; NULL: from nowhere */
	json_t *containers; /* containers_list; NULL: the plugin cannot be asked, and why: */
	struct err containers_error;
	struct subnet_env env;   /* of subnet.env; all unset if it cannot be read, and why: */
	const char *subnet_file; /* which that is */
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

/* Those of doctor_host.c. */
void doctor_check_host(struct doctor *d);
/* Those of doctor_store.c. Blocks for the store's answers, some seconds at most. */
void doctor_check_store(struct doctor *d);
/* Of a store in Consul: doctor_consul.c, likewise. */
void doctor_check_consul(struct doctor *d);
/* Of one that is a directory: doctor_directory.c. */
void doctor_check_directory(struct doctor *d);

/* ---- for the checks ---- */

/* Adds a finding; `remedy` may be NULL. */
void doctor_say(struct doctor *d, const char *check, enum doctor_state state, const char *remedy,
		const char *fmt, ...) PRINTF(5, 6);
/* What the Date of the answers that `http` has got says of this host's clock; `url`: whose they are. */
struct http_client;
void doctor_say_clock(struct doctor *d, const struct http_client *http, const char *url);
/* A tunnel's device of ours? */
bool doctor_is_tunnel(const struct link_info *link);
/* The device that has the gateway's address; NULL: none. */
const struct link_info *doctor_find_bridge(const struct doctor *d);

/*
 * Of drivers whose offload of tunnels is known to spoil packets, whether this is one, by its name and
 * whether it segments packets inside UDP tunnels itself. Pure.
 */
bool doctor_offload_is_suspect(const char *driver, bool segments_tunnels);
/* When certificates that are good from and until these times are judged at `now_s`; the text, if there is
 * something to say, follows on the name of the file. Pure. */
enum doctor_state doctor_judge_validity(int64_t from_s, int64_t until_s, int64_t now_s, char *ret,
					size_t size);

/*
 * What a store loses in a directory of this file system, by its number (statfs(2)); NULL: nothing that is known of.
 * *ret_name: what it is called. Pure.
 */
const char *doctor_judge_file_system(uint64_t type, const char **ret_name);
/* Whether so much room (bytes that are free, files that may be made; 0: without a limit) is enough for a journal of
 * this size, which is written anew beside the old one. Pure. */
enum doctor_state doctor_judge_room(uint64_t free_bytes, uint64_t free_files,
				    uint64_t journal_bytes);

/* As a person would type it: "sysctl -w net/ipv4/ip_forward=1". Caller frees. */
char *doctor_fix_text(const struct doctor_fix *fix, const struct settings *settings);

#endif
