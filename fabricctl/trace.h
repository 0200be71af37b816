/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One packet's way through this host, step by step: trace.c reads the question and prints the answer,
 * trace_path.c walks. Every step is a question to the kernel; the leases only say whose addresses
 * these are, and what the fabric knows of the other host.
 */
#ifndef FABRICCTL_TRACE_H
#define FABRICCTL_TRACE_H

#include "fabricctl/ctl.h"
#include "fabricctl/owner.h"
#include "kernel/link.h"
#include "kernel/lookup.h"
#include "kernel/tunnel.h"
#include "traffic/chains.h"

enum trace_state {
	TRACE_OK,
	TRACE_WARNING, /* it passes, others may not */
	TRACE_UNKNOWN, /* it cannot be told from here */
	TRACE_STOPS,
};

struct trace {
	/* The question. */
	struct lookup_packet packet; /* iif_ifindex is found out */
	const json_t *leases;        /* a SubnetList; NULL: not known */
	/* For the kernel, open. */
	struct kernel kernel;
	struct chains *chains;
	/* On the way. */
	struct owner source;
	struct owner destination;
	struct link_info in;   /* where it comes in; ifindex 0: it is this host's own */
	uint32_t mtu_bytes;    /* of its sender's interface, as far as known; 0: not */
	bool here;             /* the destination is an address of this host itself */
	struct link_info port; /* of the bridge, that its sender is behind; ifindex 0: not known */
	struct mac_addr source_mac; /* its sender's; zero: not known */
	struct lookup_route route;
	struct link_info out;
	struct tunnel_way tunnel;
	struct link_info underlay; /* that the tunnel's packet leaves by; ifindex 0: none */
	/* The answer. */
	json_t *steps;     /* {"step", "state", "text", "remedy"} */
	json_t *stop;      /* the one that stops it, borrowed; NULL: none */
	bool elsewhere;    /* the source is not on this host: there are no steps */
	bool is_unknown;   /* of some step */
	bool reached_peer; /* what is left to do is another host's */
};

/* Opens what the kernel is asked by; *t is zeroed. trace_close in any case. */
int trace_open(struct trace *t, struct err *e) MUST_CHECK;
void trace_close(struct trace *t);

/* Walks. Fills in what is on the way, and the answer, in place of the ones before: one question may be
 * asked after the other, of the chains as they were when the first came to them. */
void trace_walk(struct trace *t);

/*
 * Adds a step "host" if what is left is another host's and the store is known: what it tells of itself
 * there. Waits for the store 200 ms at most.
 */
void trace_ask_host(const struct ctl *c, struct trace *t);

/* ---- for the steps ---- */

/* Adds a step; whether the packet goes on. `remedy` may be NULL. */
bool trace_say(struct trace *t, const char *step, enum trace_state state, const char *remedy,
	       const char *fmt, ...) PRINTF(5, 6);

#endif
