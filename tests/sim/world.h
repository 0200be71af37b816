/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulated world: virtual time, one queue of things to happen, one source of randomness, a
 * store that is a data structure, and hosts with the real lease manager. The same seed gives the
 * same run, to the last message.
 *
 *   main.c      seeds, workers, options
 *   world.c     time, randomness, the store and what goes wrong with it
 *   host.c      a host: the manager, and the network between it and the store
 *   flannel.c   a host that claims the way flannel does
 *   fault.c     what goes wrong, and when
 *   check.c     what must hold all the same
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "lib/backoff.h"
#include "subnet/manager.h"
#include "stores/mem_db.h"

#define SECOND     1000
#define MINUTE     (60 * SECOND)
#define NEVER      INT64_MAX
#define CALL_LIMIT (10 * SECOND) /* after which the client gives a request up */
/* A dead stream is noticed by then. */
#define STREAM_LIMIT (25 * SECOND)

struct world;
struct host;

/* What may happen. `host` may be NULL; a thing that happens to a host waits while it is paused, and
 * is forgotten when the host has crashed since. */
struct item {
	int64_t at;
	uint64_t number; /* equal times: in the order they were planned */
	struct host *host;
	uint64_t life;
	void (*run)(struct world *w, struct item *item);
	void *data;
	void (*drop)(void *data); /* NULL: nothing to free */
	uint64_t token;
};

/* One host with the real manager. */
struct host {
	struct world *w;
	unsigned index;
	bool flannel;
	uint64_t life;     /* number of the process; grows with every crash */
	struct manager *m; /* NULL while it is down */
	char node_id[40];
	char name[40];
	struct ip_addr address;
	unsigned attributes;     /* number of what is published */
	struct subnet previous;  /* what subnet.env says */
	struct last_known known; /* what the state directory says */
	int64_t clock_ms;        /* by how much its wall clock is wrong */
	bool cut;                /* no packet from or to the store */
	bool same_as_other;      /* made with another host's id or address */
	int64_t paused_until;
	int64_t disturbed_at; /* when something last kept it from the store */
	int64_t tick_at;
	/* the stream of changes */
	struct {
		bool wanted;
		bool connected;
		bool silent; /* half open: nothing comes through any more */
		bool planned;
		uint64_t epoch;
		uint64_t next_revision;
		uint64_t position;
		uint64_t cluster;
		struct backoff backoff;
	} watch;
	uint64_t cluster; /* of the last answer */
	/* what check.c remembers */
	bool held;
	struct subnet held_subnet;
	int64_t untrue_since; /* held, but not in the store */
	unsigned in_flight;
	uint64_t requests;
	uint64_t notes;
	int64_t window_at;
	uint64_t window_requests;
	uint64_t window_notes;
	/* flannel's */
	struct lease *plan;
	bool active;
	int64_t expires_ms;
};

/* Two hosts that hold the same addresses, and since when. */
struct overlap {
	struct host *a;
	struct host *b;
	int64_t since;
};

struct world {
	uint64_t seed;
	uint64_t random;
	int64_t now;
	bool trace;
	struct item *queue; /* a binary heap */
	size_t queue_len;
	size_t queue_cap;
	uint64_t planned;
	uint64_t steps;
	uint64_t steps_at_once; /* without time going on */
	/* the store */
	struct mem_db *db;
	struct mem_db *snapshot;
	uint64_t cluster;
	bool store_down;
	bool store_hangs; /* down, and connections are not refused */
	uint64_t told_revision;
	char *config;
	int64_t store_disturbed_at;
	/* the kind of this run */
	unsigned traits;   /* of the store */
	unsigned assigned; /* subnets that were ever assigned, in a store that does that */
	int64_t ttl_s;
	int64_t flannel_ttl_s;
	int64_t end;
	int64_t quiet_from;
	int64_t delay_ms;
	unsigned loss_permille;
	unsigned zombie_permille;
	bool unsafe; /* something in it breaks leases that were kept as they should be */
	bool keeps_state;
	char *other_config;   /* of which some hosts know, others not; NULL: none */
	bool restored_unseen; /* to a greater revision of another history: nobody can see it */
	bool tight;           /* hardly more subnets than hosts */
	bool lost_deletes;
	bool duplicates;
	bool no_history; /* the watch tells differences, as that of Consul does */
	bool dead_keepalives;
	uint64_t faults; /* kinds that occur, one bit each */
	int64_t fault_interval;
	unsigned faults_happened;
	/* hosts */
	struct host *hosts;
	unsigned hosts_len;
	struct overlap *overlaps;
	size_t overlaps_len;
	size_t overlaps_cap;
	/* verdict */
	char *violation;
};

/* world.c */
uint64_t world_random(struct world *w);
/* 0 to limit - 1. */
uint64_t world_below(struct world *w, uint64_t limit);
bool world_chance(struct world *w, unsigned permille);
/* Of one packet. */
int64_t world_delay(struct world *w);
/* `token` is the thing's own business. */
void world_plan(struct world *w, int64_t at, struct host *h,
		void (*run)(struct world *w, struct item *item), uint64_t token);
/* `data` is freed by `drop` if the thing does not come to pass; else by `run`. */
void world_plan_data(struct world *w, int64_t at, struct host *h,
		     void (*run)(struct world *w, struct item *item), void *data,
		     void (*drop)(void *data));
void world_trace(struct world *w, const struct host *h, const char *fmt, ...) PRINTF(3, 4);
/* The first one counts; it ends the run. */
void world_violation(struct world *w, const struct host *h, const char *fmt, ...) PRINTF(3, 4);
/* After every change of the store: whoever watches will hear of it. */
void world_store_changed(struct world *w);
void world_write_config(struct world *w);
/* An empty one, of this run's kind. */
struct mem_db *world_new_db(const struct world *w);
/* The store's own hand: this host has a subnet from now on that nobody had before. */
void world_assign(struct world *w, const struct host *h);
/* `ret` must be released with world_fini in any case. True if everything held. */
bool world_run(struct world *w, uint64_t seed, unsigned hosts, int64_t minutes, bool trace);
void world_fini(struct world *w);

/* host.c */
void host_start(struct host *h);
void host_crash(struct host *h);
bool host_reachable(const struct host *h);
void host_stream_dies(struct host *h, int64_t within_ms);
/* The store has changed. */
void host_watch_news(struct host *h);
void host_publish(struct host *h);
struct lease *host_attributes(const struct host *h);
void host_disturbed(struct host *h);

/* flannel.c */
void flannel_start(struct host *h);
void flannel_crash(struct host *h);

/* fault.c */
void fault_choose(struct world *w);
void fault_happens(struct world *w, struct item *item);
/* Everything works again, and stays so. */
void fault_calm(struct world *w);

/* check.c */
void check_host(struct host *h);
void check_now(struct world *w);
void check_end(struct world *w);

#endif
