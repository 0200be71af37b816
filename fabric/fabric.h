/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fabric on this host: keeps the kernel equal to the leases.
 *
 * Takes leases from the manager, asks the backend what they mean, and drives the reconciler: at the
 * start, with what it read while the store listed the leases; after every change of a lease (writes
 * only), after a notification that contradicts what is wanted, after an overrun, after a refusal
 * with growing delay, and on a slow timer (dump, compare, write). Devices are looked after first,
 * since everything hangs on them.
 */
#ifndef FABRIC_FABRIC_H
#define FABRIC_FABRIC_H

#include "backends/backend.h"
#include "fabric/reconcile.h"
#include "fabric/external.h"
#include "fabric/plugin.h"
#include "fabric/reach.h"
#include "traffic/rules.h"
#include "subnet/manager.h"

struct event_base;
struct fabric;

struct fast_path_count_ops;
struct fast_path_options;
struct fast_path_view;

struct fabric_ops {
	/* Everything that was wanted has been written; some of it may have been refused. */
	void (*settled)(void *arg);
	/* The kernel could not be read, or a batch not be written; see fabric_view. It is tried again. */
	void (*failed)(void *arg);
	/* What fabric_problems says may be another now. */
	void (*problems_changed)(void *arg);
	/* The MTU for containers may be another now. */
	void (*mtu_changed)(void *arg);
	/*
	 * Something about the host's own interfaces, addresses or default route has changed. False
	 * if the host has no place in the underlay now, or does not follow its default route: then
	 * any change of an interface or an address may make that another, and is told.
	 */
	bool (*underlay_changed)(void *arg);
	/* What the backend runs is in another state now. publish: so is what our lease must say. */
	void (*backend_changed)(void *arg, bool publish);
};

/* Opens the netlink sockets in the current network namespace. */
int fabric_new(struct event_base *base, const struct fabric_ops *ops, void *arg,
	       struct fabric **ret, struct err *e) MUST_CHECK;
void fabric_free(struct fabric *f);
/* Before fabric_setup: the traffic rules that go with the objects, or NULL. Borrowed. blackhole:
 * the own subnet's addresses that no container has lead nowhere. */
void fabric_use_rules(struct fabric *f, struct rules *rules, bool blackhole);
/* Before fabric_setup: what we mark with what is ours (kernel/marks.h). Copied. */
void fabric_set_mark(struct fabric *f, const char *mark);
/* Before fabric_setup. Both live as long as the fabric. state_dir: where keys are kept. */
void fabric_identify(struct fabric *f, const char *node_id, const char *state_dir);
/* Before fabric_setup: what the CNI plugin made is kept (fabric/plugin.h). Borrowed. */
void fabric_keep_plugin(struct fabric *f, const struct plugin_options *options);
/* Before fabric_setup: packets between containers take the fast path (fastpath/fast_path.h). Borrowed. */
void fabric_use_fast_path(struct fabric *f, const struct fast_path_options *options);
/* fast_path_counts. `f` may be NULL, here and below. */
void fabric_count_fast_path(struct fabric *f, const struct fast_path_count_ops *ops, void *arg);
void fabric_view_fast_path(const struct fabric *f, struct fast_path_view *ret);
/* Before fabric_setup: peers are asked whether they answer (fabric/reach.h), each once in this time;
 * 0: not at all. */
void fabric_probe(struct fabric *f, int64_t interval_s);
struct netlink *fabric_netlink(struct fabric *f);

/* What the last run left behind, from its subnet.env; unset if there was none. */
struct fabric_previous {
	struct subnet own;
	struct ip_net networks[2];
};

/*
 * Reads the backend's configuration and takes this host's place in the underlay. Both are copied as
 * far as needed. What is of the previous run and no longer wanted goes once the new stands. From
 * now on the loop reads what the kernel has, until there is a subnet of our own.
 */
int fabric_setup(struct fabric *f, const struct network_config *config,
		 const struct external *external, const struct fabric_previous *previous,
		 struct err *e) MUST_CHECK;
/* The host's place in the underlay is another now; what must be published may be so too. */
int fabric_move(struct fabric *f, const struct external *external, struct err *e) MUST_CHECK;
/* What our lease must say; all unset before. -EAGAIN with a sentence: the backend does not know it
 * yet, backend_changed tells. */
int fabric_publish(const struct fabric *f, struct lease *ret_attributes, struct err *e) MUST_CHECK;
/* Adds what the backend says is wrong with what it runs, and containers that have the MTU of before. */
void fabric_problems(const struct fabric *f, struct problem_list *ret);
/* Our subnet. From the first call on the kernel is written to. */
void fabric_set_own(struct fabric *f, const struct subnet *own);
/* member->user is the fabric's. */
void fabric_peer(struct fabric *f, struct manager_member *member, bool gone);
/* Compare everything soon. */
void fabric_sync(struct fabric *f);
/* Compares everything and writes now; returns the number of writes. Blocks while that takes. */
uint64_t fabric_sync_now(struct fabric *f);
/* action: "create", "replace", "drop", or "shadowed": a route of another stands before ours; kind: of
 * an object, "device", or "table" for what the traffic rules lack. */
typedef void fabric_difference_fn(void *arg, const char *action, const char *kind,
				  const char *text);
/* Compare everything now and show what would be written. It is written by the next turn of the
 * loop. */
int fabric_diff(struct fabric *f, fabric_difference_fn *visit, void *arg, struct err *e) MUST_CHECK;

uint32_t fabric_pod_mtu(const struct fabric *f);
/* Families in which containers here can reach others: mask, 1 for IPv4, 2 for IPv6. */
unsigned fabric_families(const struct fabric *f);

/* What status shows. */
struct fabric_view {
	const struct fabric *fabric; /* whose view it is */
	bool started;
	bool devices_ok;
	const char *device_error;
	char backend[64];
	const struct external *external;
	const struct backend_device *devices;
	uint32_t ifindexes[BACKEND_DEVICES_MAX];
	size_t devices_len;
	const struct reconcile_counts *reconcile;
	char refused[400];             /* one of the objects that the kernel refused, and why; "" */
	struct netlink_counts netlink; /* about devices and what is on them, however it was said */
	char fight[400];               /* one of those that are fought; "" */
	size_t fights;                 /* how many there are */
	const char *unread;            /* why the kernel could not be read just now; "" */
	const char *unwritten;         /* why a batch could not be written; "" */
	size_t shadowed;               /* routes of peers that others' routes stand before */
	char shadow[400];              /* one of them; "" */
	size_t guarded;                /* addresses that the guard lets in */
	uint64_t overruns_total;
	uint64_t observations_total;
	uint64_t device_repairs_total;
	size_t peers;
	size_t ignored;        /* peers whose lease is of no use to us, */
	char ignored_why[400]; /* one of them, and why; "" */
	size_t reserved;       /* reservations of use here that no host of ours has claimed */
	const struct reach_counts *reach; /* NULL: peers are not asked whether they answer, */
	const char *reach_off;            /* and why; "" */
	int64_t reach_interval_s;
	int64_t last_observation_ms;
	double observation_s; /* how long it takes to read the kernel */
};
void fabric_view(const struct fabric *f, struct fabric_view *ret);

/* "ok", "pending", "failed" or "ignored", and in *ret_reason why (borrowed, "" if there is nothing
 * to say). */
const char *fabric_peer_state(const struct fabric *f, const struct manager_member *member,
			      const char **ret_reason);
/* Shows the kernel objects that a peer's lease means here: whether the kernel has each as wanted,
 * and its last error (or NULL). */
void fabric_peer_visit(const struct fabric *f, const struct manager_member *member,
		       void (*visit)(void *arg, const struct kernel_object *o, bool settled,
				     const char *error),
		       void *arg);
/* What has gone between this host and a peer. False: nothing here counts it. May read from the kernel. */
bool fabric_peer_traffic(const struct fabric *f, const struct manager_member *member,
			 struct backend_traffic *ret);
/* Takes in the answers that have come since it was asked the last time: what views say is as of now. */
void fabric_hear(struct fabric *f);
/* Which questions a peer answers; NULL: it is not asked. */
const struct reach_peer *fabric_peer_reach(const struct fabric *f,
					   const struct manager_member *member);
/* The state of our own objects: address and devices. */
const char *fabric_own_state(const struct fabric *f, const char **ret_reason);

#endif
