/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the ipsec backend share; for nobody else. */
#ifndef BACKENDS_IPSEC_INTERNAL_H
#define BACKENDS_IPSEC_INTERNAL_H

#include "backends/ipsec.h"
#include "lib/hash.h"
#include "lib/vici.h"

#define IPSEC_NAME_SIZE  (2 * (IP_ADDR_TEXT + IP_NET_TEXT))
#define IPSEC_LACKS_SIZE 160

struct ipsec_charon;

struct ipsec {
	struct backend base;
	struct ip_net network;
	char *preshared; /* wiped when freed */
	char *proposal;
	bool encapsulate; /* ESP in UDP always, not only where there is NAT */
	struct backend_host host;
	struct subnet own;           /* as the live part was told */
	struct ipsec_charon *charon; /* of the live part */
	bool leftover;               /* of an earlier configuration: connections are only removed */
};

struct ipsec *ipsec_new(void);
void ipsec_free(struct ipsec *x);

/* ---- ipsec_message.c ---- */

/* A host, to charon: its subnet, and the address that others send to. */
struct ipsec_end {
	struct ip_net subnet;
	struct ip_addr public;
};

/* flannel's names of the connection to a peer, and of the tunnel in it. */
void ipsec_name(const struct ipsec_end *ours, const struct ipsec_end *theirs,
		char name[static IPSEC_NAME_SIZE], char child[static IPSEC_NAME_SIZE]);
/* The other way: false if a connection is not called as those of a fabric are, whoever's they are. */
bool ipsec_read_name(const char *name, struct ipsec_end *ret_ours, struct ipsec_end *ret_theirs);
/* The request load-shared, with a secret in it, and load-conn. */
void ipsec_put_key(struct vici_message *m, const struct ipsec *x, const char *name,
		   const struct ip_addr *public);
void ipsec_put_connection(struct vici_message *m, const struct ipsec *x, const char *name,
			  const char *child, const struct ip_net *subnet,
			  const struct ip_addr *public);

/* ---- ipsec_tunnels.c ---- */

/* There may be thousands: names are made when they are needed, reasons are one of a few. */
struct ipsec_tunnel {
	struct hash_link link;
	struct ipsec_tunnel *next_untold;
	struct ipsec_end end; /* theirs; the subnet is the key */
	bool is_untold;       /* charon does not know of it yet */
	bool is_up;           /* as the last look has shown */
	bool sees_up;         /* as the present one does */
	bool sees_ike;        /* charon is at work on it */
	uint8_t missed;
	uint8_t patience;
	uint8_t reason; /* why it is not up: see ipsec_tunnel_reason; 0: not known */
};

/* Zero-initialised is none. */
struct ipsec_tunnels {
	struct ipsec_end ours; /* by which their names are made */
	struct hash_table by_subnet;
	struct ipsec_tunnel *untold, *last_untold;
	struct ipsec_tunnel *shown;   /* during a look: whose elements these are */
	char lacks[IPSEC_LACKS_SIZE]; /* what the kernel refused to charon; "": nothing */
};

typedef void ipsec_tunnel_fn(void *arg, const struct ipsec_tunnel *t);

/* To a subnet that has none yet; charon is to be told of it. */
struct ipsec_tunnel *ipsec_tunnels_add(struct ipsec_tunnels *ts, const struct ip_net *subnet,
				       const struct ip_addr *public);
/* NULL: there is none; by the connection's name, and by the peer's subnet. */
struct ipsec_tunnel *ipsec_tunnels_find(const struct ipsec_tunnels *ts,
					const struct vici_text *name);
struct ipsec_tunnel *ipsec_tunnels_to(const struct ipsec_tunnels *ts, const struct ip_net *subnet);
/* All of them, in no order: the one after `t`, the first for NULL; NULL after the last. */
struct ipsec_tunnel *ipsec_tunnels_next(const struct ipsec_tunnels *ts,
					const struct ipsec_tunnel *t);
/* Of the connection, and of the tunnel in it. */
void ipsec_tunnel_name(const struct ipsec_tunnels *ts, const struct ipsec_tunnel *t,
		       char name[static IPSEC_NAME_SIZE], char child[static IPSEC_NAME_SIZE]);
/* Static. "": not known. */
const char *ipsec_tunnel_reason(const struct ipsec_tunnel *t);
/* The first that charon is to be told of, which it is then: one after the other. NULL: it knows of all. */
struct ipsec_tunnel *ipsec_tunnels_tell(struct ipsec_tunnels *ts);
/* It knows of none. */
void ipsec_tunnels_untell(struct ipsec_tunnels *ts);
/* Frees it. */
void ipsec_tunnels_drop(struct ipsec_tunnels *ts, struct ipsec_tunnel *t);
void ipsec_tunnels_fini(struct ipsec_tunnels *ts);
/* A look begins; an event list-sa of it, -EBADMSG if it is none; and it is over: `again` for each that is to be
 * begun again, a few at a time. True if what stands is not what stood. */
void ipsec_tunnels_look(struct ipsec_tunnels *ts);
int ipsec_tunnels_show(struct ipsec_tunnels *ts, const void *data, size_t size);
bool ipsec_tunnels_judge(struct ipsec_tunnels *ts, ipsec_tunnel_fn *again, void *arg);
/* An event log. True if it says why a tunnel does not stand. */
bool ipsec_tunnels_log(struct ipsec_tunnels *ts, const void *data, size_t size);

/* ---- ipsec_process.c ---- */

struct event_base;
struct ipsec_process;

/* From the loop: it has ended, and why. The process is to be freed then, which is allowed inside. */
typedef void ipsec_ended_fn(void *arg, const struct err *e);

/* Starts charon. -ENOENT: there is none. */
int ipsec_process_start(struct event_base *loop, ipsec_ended_fn *ended, void *arg,
			struct ipsec_process **ret, struct err *e) MUST_CHECK;
/* It goes on, and nothing is told of it any more. NULL: nothing. */
void ipsec_process_free(struct ipsec_process *p);
/* Writes down which it is, for a later run. */
int ipsec_process_note(const struct ipsec_process *p, const char *path, struct err *e) MUST_CHECK;
/* Ends the one that is written there, if it still runs: what it holds goes with it. False: there is none. */
bool ipsec_process_end(const char *path);

/* ---- ipsec_charon.c ---- */

/* The host stands elsewhere now: all connections are named anew. charon may be NULL. */
void ipsec_charon_moved(struct ipsec_charon *c);

extern const struct backend_live ipsec_live;
/* See backend_type. */
struct backend *ipsec_leftover(const char *state_dir);

#endif
