/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fast path of this host: packets between containers that are handed on past bridge, routing and packet
 * filter, by two programs in the kernel (fast_path.bpf.c). This keeps their maps equal to what the kernel
 * knows of containers, and turns them off while somebody is there who would judge the packets on their
 * ordinary way.
 *
 *     rules of others, IPsec, programs and queues (obstacles.h, survey.h) ──> on or off
 *     neighbours of the bridges, and their ports (survey.h) ──> map containers, links (object.h)
 *
 * It looks when the kernel tells of a change, and once a second at what the kernel tells nobody: programs at
 * tcx, tables of iptables-legacy. When the daemon ends, all stays as it is.
 */
#ifndef FASTPATH_FAST_PATH_H
#define FASTPATH_FAST_PATH_H

#include <net/if.h>

#include "fastpath/maps.h"
#include "kernel/marks.h"
#include "kernel/nft.h"
#include "lib/options.h"
#include "lib/problem.h"

struct event_base;
struct fast_path;

/* What the options of the same names say. */
struct fast_path_options {
	char *fast_path; /* "auto", "on", "off" */
	char *fast_path_dir;
};

#define FAST_PATH_SEGMENTS 16
#define FAST_PATH_WHY_TEXT ERR_TEXT_SIZE

int fast_path_check_options(const struct fast_path_options *o, struct err *e) MUST_CHECK;

/* Opens sockets in the current network namespace, when it is to be on. `options` outlives it. `changed`:
 * what the view or problems say is another now. */
struct fast_path *fast_path_new(struct event_base *base, const struct fast_path_options *options,
				void (*changed)(void *arg), void *arg);

/* All of these do nothing if `f` is NULL. */

void fast_path_free(struct fast_path *f);

/* Where we are. Index 0 is IPv4, 1 IPv6; unset where the network has none. */
struct fast_path_place {
	char network[IFNAMSIZ]; /* names the directory: the first tunnel device */
	char mark[MARK_SIZE];
	char table[NFT_NAME_SIZE]; /* of our rules, which are no obstacle */
	struct ip_net networks[2];
	struct ip_net own[2];
	uint32_t tunnels[FAST_TUNNELS]; /* 0: none */
	uint16_t port;                  /* of UDP; 0: not a tunnel that there is a path into */
	uint32_t segments[FAST_PATH_SEGMENTS]; /* bridges that containers live behind */
	size_t segments_len;
};
/* Again whenever it may have changed. Copied. */
void fast_path_place(struct fast_path *f, const struct fast_path_place *place);
/* Everything else that is wanted stands: what an earlier run of ours left of it, and nobody wants, goes. */
void fast_path_sweep(struct fast_path *f);
/* Compares everything soon. */
void fast_path_sync(struct fast_path *f);

struct fast_path_view {
	const char *mode;
	bool on;
	const char *reason;      /* why it is off, or "" */
	size_t containers;       /* addresses that it is for, */
	size_t refused;          /* and those that it is not for, */
	const char *refused_why; /* for one of them; "" */
	uint64_t healed_total;   /* entries that somebody else changed, put back */
	uint64_t writes_total;
	uint64_t outcomes[FAST_OUTCOMES_LEN];
};
void fast_path_view(const struct fast_path *f, struct fast_path_view *ret);

#define FAST_PATH_COUNTS_REST_S 10 /* without a question; then nothing is counted any more */

/* What took the path since it is counted: to an address of another host's container and from it (`sent`), and
 * to the container here that is behind a device. */
struct fast_path_count_ops {
	void (*peer)(void *arg, const struct ip_addr *address, bool sent, uint64_t packets,
		     uint64_t bytes);
	void (*container)(void *arg, uint32_t ifindex, uint64_t packets, uint64_t bytes);
};
/* Shows it, after it has seen to it that there is counting; nothing if the path is off. */
void fast_path_counts(struct fast_path *f, const struct fast_path_count_ops *ops, void *arg);

/* Adds what is wrong. */
void fast_path_problems(const struct fast_path *f, struct problem_list *ret);
/* In what the maps are not as they are to be. action: "create", "replace", "drop". */
void fast_path_difference(const struct fast_path *f,
			  void (*visit)(void *arg, const char *action, const char *kind,
					const char *text),
			  void *arg);

/* "out", and "from a container into the tunnel". */
const char *fast_outcome_name(enum fast_outcome outcome);
const char *fast_outcome_text(enum fast_outcome outcome);

#endif
