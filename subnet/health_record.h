/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a host tells of itself, beside its lease in the store: its verdict, what is wrong there, and
 * which peers answer it worst. One line of JSON. Pure.
 *
 *   daemon ──format──> store ──parse──> fabricctl hosts, mesh
 *
 * No daemon reads it, and nothing is decided by it: whoever can write there can make people read a
 * lie, and that is all.
 */
#ifndef SUBNET_HEALTH_RECORD_H
#define SUBNET_HEALTH_RECORD_H

#include "lib/problem.h"
#include "subnet/lease.h"

#define HEALTH_RECORD_MAX_SIZE     ((size_t)16 * 1024)
#define HEALTH_RECORD_PEERS_MAX    64 /* that are named: all of a small fabric, else the worst */
#define HEALTH_RECORD_PROBLEMS_MAX 8
#define HEALTH_RECORD_TEXT_MAX     300 /* bytes of a problem's sentence */

enum health_verdict { HEALTH_OK, HEALTH_STARTING, HEALTH_DEGRADED };
const char *health_verdict_name(enum health_verdict verdict);

/* Of one peer, as this host finds it. The states are those of fabric/reach.h, in their order. */
enum health_reach { HEALTH_NEW, HEALTH_WELL, HEALTH_TUNNEL_SILENT, HEALTH_SILENT, HEALTH_REACHES };
const char *health_reach_name(enum health_reach reach);

struct health_record_peer {
	struct ip_net subnet; /* its lease's, IPv4 if it has that */
	enum health_reach reach;
	uint8_t loss_percent; /* of the last questions */
	int32_t rtt_us;       /* -1: not known */
};

struct health_record_problem {
	char *name;
	enum problem_severity severity;
	int64_t since_s; /* wall clock */
	char *text;
};

/* Texts are never NULL in what was parsed; "" where nothing was said. */
struct health_record {
	char *node_id;
	char *node_name;
	char *version; /* of the daemon */
	char *kernel;  /* its release */
	char *backend;
	int64_t written_s; /* wall clock of that host */
	int64_t started_s;
	enum health_verdict verdict;
	struct subnet subnet;
	struct ip_addr public_v4;
	struct ip_addr public_v6;
	uint32_t pod_mtu_bytes;
	struct health_record_problem problems[HEALTH_RECORD_PROBLEMS_MAX];
	size_t problems_len;
	size_t problems_more;           /* that are not named */
	size_t reaches[HEALTH_REACHES]; /* peers in each state; all 0: none is asked */
	struct health_record_peer peers[HEALTH_RECORD_PEERS_MAX];
	size_t peers_len;
};

/* Adds one peer that was found; of more than there is room for the worst stay. */
void health_record_add_peer(struct health_record *r, const struct health_record_peer *peer);
/* ... after the last one: the order is that of the subnets. */
void health_record_sort_peers(struct health_record *r);
/*
 * Whether `b` says something that `a` does not: another verdict, another problem (its sentence may
 * have counts in it, and does not count), other peers that do not answer, a time that is another by
 * half and by 2 ms. When it was written does not count.
 */
bool health_record_differs(const struct health_record *a, const struct health_record *b);

/* Caller frees. */
char *health_record_format(const struct health_record *r);
/* -EINVAL: no record. What cannot be read of it is left out, since newer ones may say more. *ret is
 * released with health_record_fini. */
int health_record_parse(const char *text, size_t size, struct health_record *ret,
			struct err *e) MUST_CHECK;
void health_record_fini(struct health_record *r);

#endif
