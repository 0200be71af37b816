/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fast path, shared among its files.
 *
 *   fast_path.c   when it looks, and what comes of it
 *   write.c       maps and links made as they are to be
 *   counts.c      what goes where, counted while somebody watches
 *   view.c        for people
 */
#ifndef FASTPATH_FAST_PATH_INTERNAL_H
#define FASTPATH_FAST_PATH_INTERNAL_H

#include "fastpath/fast_path.h"
#include "fastpath/survey.h"

/* What is to be looked at. */
#define LOOK_CHAINS 0x01
#define LOOK_LEGACY 0x02
#define LOOK_PORTS  0x04
#define LOOK_APPLY  0x08 /* nothing, but the place is another */
#define LOOK_MAPS   0x10
#define LOOK_ALL    0x1f

struct fast_path {
	struct event_base *base;
	const struct fast_path_options *options;
	void (*changed)(void *arg);
	void *arg;
	bool placed;
	struct fast_path_place place;
	struct fast_scope scope;
	char *directory;
	struct netlink *route;
	struct netlink *nft;  /* NULL: the kernel has no nf_tables */
	struct netlink *xfrm; /* NULL: no IPsec */
	struct listener *listener;
	struct nft_monitor *monitor;
	struct event *listener_event;
	struct event *monitor_event;
	struct event *work;
	struct event *tick;
	unsigned ticks;
	unsigned due; /* LOOK_ */
	int64_t rest_until_ms;
	int64_t work_at_ms; /* if it is pending */
	/* what was found */
	struct fast_object *object; /* NULL: not loaded */
	struct err load_error;
	int64_t load_again_ms;
	char chains_why[FAST_WHY_TEXT];
	char legacy_why[FAST_WHY_TEXT];
	char policies_why[FAST_WHY_TEXT];
	struct err unread;
	struct err unwritten;
	struct fast_survey survey;
	struct fast_survey before; /* what was written last */
	/* what came of it */
	unsigned lines; /* of the log, */
	int64_t lines_until_ms;
	bool told; /* the log, of what was found first */
	bool on;
	char reason[FAST_PATH_WHY_TEXT];
	bool settled; /* once at least, so that what differs then was changed by somebody */
	uint64_t healed_total;
	uint64_t writes_total;
	int64_t counts_until_ms; /* 0: nothing is counted */
};

/* Not "auto", before it has proved itself. */
bool fast_path_is_wanted(const struct fast_path *f);

/* fast_path.c */
/* Makes the settings in the kernel what they are to be; on: the path is open. */
void fast_path_switch(struct fast_path *f, bool on);

/* counts.c */
/* Ends the counting that nobody has asked for any more. */
void fast_path_counts_rest(struct fast_path *f);

/* write.c */
/* What fails is in f->unwritten. tunnels: their devices are not watched by others. */
void fast_path_write_containers(struct fast_path *f);
void fast_path_write_links(struct fast_path *f, bool tunnels);

#endif
