/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the traffic rules: rules.c has the inputs (fabric, notifications, time) and the view,
 * rules_table.c our table of nf_tables and its sets, rules_mode.c the choice between nftables and
 * iptables and everything about iptables.
 */
#ifndef TRAFFIC_RULES_INTERNAL_H
#define TRAFFIC_RULES_INTERNAL_H

#include "traffic/rules.h"
#include "traffic/rules_iptables.h"
#include "kernel/filter_nft.h"
#include "kernel/iptables.h"
#include "lib/fight.h"

#define RULES_FOREIGN_MAX  16
#define RULES_BASES_MAX    64
#define RULES_TRACKED_TEXT 320

/* Tables of iptables-legacy that are looked at. */
enum {
	RULES_LEGACY_NAT,
	RULES_LEGACY_FILTER,
	RULES_LEGACY_MANGLE,
	RULES_LEGACY_RAW,
	RULES_LEGACY_TABLES
};
extern const char *const rules_legacy_tables[RULES_LEGACY_TABLES];

/* How FORWARD of iptables takes our packets. */
struct rules_stops {
	bool drops;   /* some of them, or all that nothing is known of */
	unsigned top; /* number of the first rule in it that stops some; 0: none */
};

/* What else is in the packet filter, as far as it concerns us. */
struct rules_survey {
	struct rules *r;
	unsigned iptables_chains; /* some may be ours by their names: mask of families, as below */
	bool table_is_full;       /* our table has the chains for masquerade and forwarding */
	/* Tables with our mark that nobody wants any more: they are swept, and stop nobody for long. */
	char former[RULES_FOREIGN_MAX][NFT_NAME_SIZE];
	size_t former_len;
	/* obstacles.c: chains of others that packets enter, and what stops ours */
	struct filter_nft *filter;
	struct nft_chain_info bases[RULES_BASES_MAX];
	size_t bases_len;
	struct nft_chain_info nats[RULES_BASES_MAX]; /* those of NAT */
	size_t nats_len;
	bool truncated; /* there are more */
	bool ufw;
	struct rules_stops nft[2];          /* by family: FORWARD of iptables on nf_tables */
	struct rules_stops legacy_stops[2]; /* and of iptables-legacy */
	char block[400];
	enum rules_iptables_kind block_kind; /* whose FORWARD that is; ANY: nobody's */
	char input_block[448];
	char output_block[448];
	struct nft_chain_info leftovers[RULES_FOREIGN_MAX];
	size_t leftovers_len;
	struct iptables_table legacy[2][RULES_LEGACY_TABLES]; /* by family */
	struct err legacy_error; /* some of it could not be looked at */
	/* tracking.c */
	bool tracks;                      /* somebody asks for the connections of packets */
	char tracked[RULES_TRACKED_TEXT]; /* why the tunnel's packets are; "": they need not be */
};

struct rules {
	struct event_base *base;
	const struct rules_options *options;
	void (*changed)(void *arg);
	void *arg;
	struct netlink *nl; /* NULL if the kernel has no nf_tables */
	struct nft_monitor *monitor;
	struct event *monitor_event;
	struct event *work; /* timer: compare, put back */
	struct event *tick; /* timer: what no notification tells */
	struct event *look; /* timer: others' rules have changed */
	struct event *calm; /* timer: the table has stood for a while */
	/* where we are */
	bool started;
	struct traffic_options traffic;
	struct ip_net exclude[TRAFFIC_EXCLUDE_MAX];
	struct traffic_place place;
	struct traffic_device devices[TRAFFIC_DEVICES];
	bool enable_nftables; /* the network's configuration asks for it */
	char table[NFT_NAME_SIZE];
	char mark[MARK_SIZE];
	/* what stands */
	const struct rules_listener *listener;
	void *listener_arg;
	bool dirty;       /* compare before anything else */
	bool touched;     /* our table, by the transaction that is being told */
	bool told;        /* the listener, by the transaction that is being told */
	char culprit[48]; /* who touched it last, ", by nft (pid 123)"; "" if not known */
	unsigned chains;  /* in our table, as of the last comparison */
	bool unsupported; /* the kernel lacks what the table needs */
	bool stands;      /* the table was once found or made as wanted */
	bool leftovers;   /* what flannel left behind has not been looked for */
	bool sweep_due;   /* nor tables with our mark that are not wanted, since all stands */
	struct err error;
	struct backoff backoff; /* of what fails */
	struct fight fight;     /* over the table */
	bool undone;            /* by others, and not compared since */
	bool gone;              /* undone, and elements have no place to stand in */
	/* iptables */
	enum rules_mode mode;
	const char *mode_reason;
	struct rules_iptables *iptables;
	enum rules_iptables_kind iptables_kind;
	bool iptables_dirty;
	unsigned iptables_top[2]; /* rules_stops.top that our jump was put before, by family */
	bool iptables_stands;
	enum rules_iptables_kind iptables_cleaning; /* the run under way removes; 0: it does not */
	unsigned iptables_leftovers; /* where to look for what we or flannel left: mask of kinds */
	struct err iptables_error;
	uint64_t iptables_writes;
	uint64_t digests[2][RULES_LEGACY_TABLES]; /* of the tables of iptables-legacy */
	/* for people */
	char forward_block[448];
	char input_block[448];
	char output_block[448];
	char tracked
		[RULES_TRACKED_TEXT]; /* why the tunnel's packets are tracked; "": they are not */
	bool tracked_told;
	unsigned peers_tried[2]; /* for that, by family */
	bool notrack_unsupported;
	char sysctl_missing[256];
	struct err probe_error; /* why it is not known what iptables-legacy does */
	struct nft_counter counters[2];
	struct rules_stranger strangers[RULES_STRANGERS_MAX];
	size_t strangers_len;
	int64_t dropped_ms; /* when a counter was last seen to rise; 0: never */
	uint64_t heals_total;
};

/* rules.c */
/* The table was altered by others and is put back. */
void rules_note_undone(struct rules *r, const char *why, double took_ms);
void rules_want_work(struct rules *r, int64_t delay_ms);
/* Notes and logs an error, and comes back later. */
void rules_fail(struct rules *r, struct err *state, const struct err *e);

/* rules_table.c */
int rules_table_settle(struct rules *r, struct err *e) MUST_CHECK;
void rules_table_read_counters(struct rules *r);
/* If it is due and ours stand: tables with our mark and other names go. */
void rules_table_sweep(struct rules *r);

/* obstacles.c */
/* For each chain of the namespace, before rules_find_obstacles. */
void rules_obstacle_chain(struct rules_survey *s, const struct nft_chain_info *c);
/* Walks our packets through the chains of others. */
void rules_find_obstacles(struct rules_survey *s);
/* For people. */
void rules_note_obstacles(struct rules *r, const struct rules_survey *s);

/* tracking.c */
/* Whether tunnel packets have to be tracked, into s->tracked: after rules_find_obstacles. */
void rules_judge_tracking(struct rules_survey *s);
/* There are other peers to try than when it was judged. */
bool rules_tracking_is_old(const struct rules *r);

/* rules_mode.c */
void rules_mode_choose(struct rules *r, const struct rules_survey *s);
/* As choose and drive, where our table cannot be made. */
void rules_mode_without_nftables(struct rules *r, const struct rules_survey *s);
/* Chains of traffic.h that belong into our table now. */
unsigned rules_mode_chains(const struct rules *r, const struct rules_survey *s);
/* Our jump has to stand before what stops us there. */
void rules_mode_stops(struct rules *r, const struct rules_survey *s);
/* Starts what there is to do with iptables. */
void rules_mode_drive(struct rules *r, const struct rules_survey *s);
void rules_mode_iptables_done(void *arg, int rc, unsigned writes, const struct err *e);
/* Whether iptables-legacy was changed since the last look. */
void rules_mode_tick(struct rules *r);
void rules_mode_survey(struct rules_survey *s);
void rules_survey_fini(struct rules_survey *s);

#endif
