/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fabricctl trace --live: the packet is really sent, a few times, and looked for on each device that the walk
 * has named, there and back. So it is known at which step it vanished, as far as this host can see: what
 * happens on the other one is only known by what comes back.
 */
#ifndef FABRICCTL_TRACE_LIVE_H
#define FABRICCTL_TRACE_LIVE_H

#include "fabricctl/probe.h"
#include "fabricctl/trace.h"

#define LIVE_LOOKS_MAX 4 /* devices */
#define LIVE_HOPS_MAX  (2 * LIVE_LOOKS_MAX + 2)
#define LIVE_TEXT      400

/* Where packets are seen, in their order. */
struct live_hop {
	const char *name; /* of the device, or "sender" */
	bool back;        /* on the way back */
	bool exact;       /* ours can be told from others here: false where they are encrypted */
	unsigned seen;    /* of ours; meaningless if not exact */
	unsigned left;    /* packets that left to the same address meanwhile, ours or not */
	const char *step; /* what lies between the hop before and this one */
};

struct live {
	struct live_hop hops[LIVE_HOPS_MAX];
	size_t len;
	struct probe_result result;
	bool counts_packets; /* each question is one packet, as each answer is: not so with TCP */
	bool may_be_silent;  /* who takes it need not answer: UDP */
	const char *node;    /* of the other host, for people */
};

enum live_verdict {
	LIVE_ARRIVED, /* all are answered */
	LIVE_UNKNOWN, /* they left this host, and no answer means nothing */
	LIVE_LOST,
};

/* Where it stopped, in a sentence. Pure. */
enum live_verdict live_judge(const struct live *l, char ret_text[static LIVE_TEXT]);

/* Sends, after trace_walk. Blocks for two seconds at most. Errors as probe_open. */
int live_run(struct trace *t, struct live *ret, struct err *e) MUST_CHECK;

/* Prints it for people, or adds it to the document. */
void live_print(const struct ctl *c, const struct live *l);
json_t *live_json(const struct live *l);

#endif
