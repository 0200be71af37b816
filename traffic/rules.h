/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traffic rules on this host: keeps the kernel's packet filter equal to traffic/traffic.h.
 *
 * The guard always stands in a table of nf_tables of our own. Masquerade and forwarding stand there
 * too, or, on hosts where iptables drops what is forwarded, in chains of iptables, since an accept
 * in one table does not override the drop in another.
 *
 * One transaction writes the table; notifications of the kernel say when somebody else touched it,
 * and it is compared and put back. What is in its sets are kernel objects like routes, and not written
 * here. When the daemon stops, all of it stays.
 */
#ifndef TRAFFIC_RULES_H
#define TRAFFIC_RULES_H

#include "kernel/marks.h"
#include "kernel/object.h"
#include "traffic/traffic.h"
#include "lib/options.h"

struct event_base;
struct nft_change;
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
	bool tunnel_notrack;
	char *traffic_mode;
	char *traffic_table;
	bool set_sysctls;
};

#define RULES_STRANGERS_MAX 16 /* that are shown: those seen last */
#define RULES_NEAREST_TEXT  260

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
	size_t devices_len;
	bool enable_nftables;       /* the network's configuration asks for it */
	char mark[MARK_SIZE];       /* says whose our table and chains are */
	char underlay[2][IFNAMSIZ]; /* the devices that tunnel packets come in from */
	struct ip_addr local[2];    /* and their addresses that those are for */
};
/* Again whenever it changes. Copied. */
void rules_place(struct rules *r, const struct rules_place *place);

/* Before routes are written: the table stands as it is wanted, or why not is known. */
void rules_before_routes(struct rules *r);

/* Who sends tunnel packets and is no peer. */
struct rules_stranger {
	struct ip_addr addr;
	uint64_t packets; /* since it was first seen, or forgotten */
	int64_t seen_ms;  /* its last one, CLOCK_BOOTTIME */
	char nearest
		[RULES_NEAREST_TEXT]; /* the peer whose address is most like it; "" if there is none */
};

/* ---- the elements of the table's sets (traffic_sets), which somebody else writes ---- */

typedef void rules_element_fn(void *arg, const void *key);

struct rules_listener {
	/* The table is made anew: shows the keys that belong into this set. */
	void (*elements)(void *arg, uint8_t set, rules_element_fn *visit, void *visit_arg);
	/* It was, by us; or it stands again after it was in doubt. */
	void (*replaced)(void *arg);
	/* Somebody else has added an element, or removed it. */
	void (*element)(void *arg, uint8_t set, const struct nft_element *el, bool gone);
	/* A table that is not ours was changed. True: whose transaction it was is to be told. */
	bool (*foreign)(void *arg, const struct nft_change *change);
	/* What was told since the last call was one transaction of this process. */
	void (*finished)(void *arg, uint32_t pid, const char *process);
	/* Notifications were lost. */
	void (*overrun)(void *arg);
	/* The peer whose address is most like this one, for people; ret[0] stays 0 if there is none. */
	void (*nearest)(void *arg, const struct ip_addr *addr, char ret[static RULES_NEAREST_TEXT]);
};
/* `listener` is borrowed. */
void rules_listen(struct rules *r, const struct rules_listener *listener, void *arg);
/* The socket that the table is written over; what it causes is not notified. NULL: none. */
struct netlink *rules_netlink(const struct rules *r);
struct nft_table rules_table(const struct rules *r);
/* Whether there is to be a guard, and with it elements. */
bool rules_guards(const struct rules *r);
/* Whether the table is there to put elements into. */
bool rules_stand(const struct rules *r);

/* Everything that is wanted stands: what carries our mark and is not wanted goes. */
void rules_sweep(struct rules *r);

/* In which way our table differs from what is wanted now, in a sentence; "" if in none, or if there
 * is to be none. Nothing is written. r may be NULL. */
int rules_difference(const struct rules *r, char *ret, size_t size, struct err *e) MUST_CHECK;

/* Compare everything at the next occasion. */
void rules_sync(struct rules *r);

struct rules_view {
	bool started;
	const char *table;
	enum rules_mode mode;
	const char *mode_reason; /* why this mode */
	bool ok;                 /* what is wanted stands */
	const char *error;       /* if not; "": they are being written */
	/* who stops packets whatever we accept, and what opens it; "" if nobody */
	const char *forward_block;  /* containers' */
	const char *input_block;    /* the tunnel's, that come in */
	const char *output_block;   /* and go out */
	const char *probe_error;    /* why it is not known who drops; "" if it is */
	char fight[256];            /* somebody undoes the table again and again; "" */
	const char *sysctl_missing; /* forwarding is off; "" if not */
	/* why the kernel tracks the tunnel's packets; "": it does not */
	const char *tracked;
	bool guard;
	uint64_t guard_dropped_total;
	uint64_t spoofed_dropped_total;
	bool dropped_lately;
	const struct rules_stranger *strangers; /* the one seen last first; borrowed */
	size_t strangers_len;
	uint64_t heals_total;  /* times somebody else's change was undone */
	uint64_t writes_total; /* messages sent that change something */
};
/* Counters are as old as the last rules_refresh, which asks the kernel, or the last tick. */
void rules_refresh(struct rules *r);
void rules_view(const struct rules *r, struct rules_view *ret);

#endif
