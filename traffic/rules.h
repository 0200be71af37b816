/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traffic rules on this host: keeps the kernel's packet filter equal to traffic/traffic.h.
 *
 * The guard always stands in a table of nf_tables of our own. Masquerade and forwarding stand there
 * too, or, on hosts where iptables drops what is forwarded, in chains of iptables, since an accept
 * in one table does not override the drop in another.
 *
 * One transaction writes the table; notifications of the kernel say when somebody else touched it,
 * and it is compared and put back. The guard's addresses follow the peers in the same turn as the
 * routes: added before, removed after. When the daemon stops, all of it stays.
 */
#ifndef TRAFFIC_RULES_H
#define TRAFFIC_RULES_H

#include "kernel/marks.h"
#include "kernel/object.h"
#include "traffic/traffic.h"
#include "lib/options.h"

struct event_base;
struct rules;

/* What the options of the same names say. Texts are "" if not given. */
struct rules_options {
	bool ip_masq;
	bool ip_masq_fully_random_disable;
	int64_t iptables_resync; /* seconds */
	bool iptables_forward_rules;
	struct option_list ip_masq_exclude;
	bool peer_guard;
	bool anti_spoofing;
	char *traffic_mode;
	char *traffic_table;
	bool set_sysctls;
};

enum rules_mode { RULES_NFTABLES, RULES_IPTABLES };
const char *rules_mode_name(enum rules_mode mode);

/*
 * Opens the sockets in the current network namespace. A kernel without nf_tables is no error here
 * but a problem that rules_view shows. `options` must outlive the rules.
 */
int rules_new(struct event_base *base, const struct rules_options *options,
	      void (*changed)(void *arg), void *arg, struct rules **ret, struct err *e) MUST_CHECK;
void rules_free(struct rules *r);

/* Checks the options that only this module understands. */
int rules_check_options(const struct rules_options *options, struct err *e) MUST_CHECK;

/* The functions that the fabric calls, from here to rules_sync, do nothing if `r` is NULL. */

/* Where we are. Index 0 is IPv4, 1 IPv6; unset where the network has none. */
struct rules_place {
	struct ip_net network[2];
	struct ip_net own[2];
	struct traffic_device devices[TRAFFIC_DEVICES];
	uint32_t ifindexes[TRAFFIC_DEVICES];
	size_t devices_len;
	uint32_t lower_ifindex; /* the external interface, never taken for a container's */
	bool enable_nftables;   /* the network's configuration asks for it */
	char mark[MARK_SIZE];   /* says whose our table and chains are */
};
/* Again whenever it changes. Copied. */
void rules_place(struct rules *r, const struct rules_place *place);

/* One block of memory, since most peers have one address. */
struct rules_addresses {
	uint8_t len;
	struct ip_addr addr[];
};
/*
 * A peer sends from these addresses from now on, a few at most. *held is who was let in for it, NULL
 * at first; the holder calls with none before it goes, or frees it when it goes with the rules.
 */
void rules_peer(struct rules *r, struct rules_addresses **held, const struct ip_addr *now,
		size_t len);

/* Before routes are written: rules stand, and new peers are let in. After: old ones no more. */
void rules_before_routes(struct rules *r);
void rules_after_routes(struct rules *r);

/* Finds the devices that containers live behind already. Blocks for a few small dumps. */
void rules_look_around(struct rules *r, struct netlink *route_nl);
/* Something was noticed in the kernel: perhaps containers live behind that device. */
void rules_object_seen(struct rules *r, const struct kernel_object *object);
/* A device is there, perhaps under another name than before. */
void rules_device_seen(struct rules *r, uint32_t ifindex, const char *name);
void rules_device_gone(struct rules *r, uint32_t ifindex);

/* Everything that is wanted stands: what carries our mark and is not wanted goes. */
void rules_sweep(struct rules *r);

/* Compare everything at the next occasion. */
void rules_sync(struct rules *r);

struct rules_view {
	bool started;
	const char *table;
	enum rules_mode mode;
	const char *mode_reason; /* why this mode */
	bool ok;                 /* what is wanted stands */
	const char *error;       /* if not; "": they are being written */
	const char
		*forward_block; /* who drops forwarded packets whatever we accept; "" if nobody */
	const char *sysctl_missing; /* forwarding is off; "" if not */
	bool guard;
	size_t peers; /* addresses that the guard lets in */
	uint64_t guard_dropped_total;
	uint64_t spoofed_dropped_total;
	bool dropped_lately;
	uint64_t heals_total;  /* times somebody else's change was undone */
	uint64_t writes_total; /* messages sent that change something */
};
/* Counters are as old as the last rules_refresh, which asks the kernel, or the last tick. */
void rules_refresh(struct rules *r);
void rules_view(const struct rules *r, struct rules_view *ret);

#endif
