/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lease: one host's claim on one subnet, and what its peers must know to reach it. Here are the
 * value and its two text forms in the store, which are flannel's, byte for byte:
 *
 *   key    10.5.52.0-24                         IPv4
 *          10.6.77.0-24&fd10:244:0:5c::-64      both
 *          0.0.0.0-0&fd10:244:0:51::-64         IPv6 only
 *   value  {"PublicIP":"10.99.0.11","PublicIPv6":null,"BackendType":"...","BackendData":{...},
 *           "Node":{"ID":"...","Name":"...","MTU":1500}}
 *
 * Node is ours; flannel ignores it. With IPv6 it has "MTUIPv6", and behind NAT "Source" and
 * "SourceIPv6" as well; "Reserved" if its host has taken over a reservation. Bytes from outside become
 * binary here or are refused with a reason.
 */
#ifndef SUBNET_LEASE_H
#define SUBNET_LEASE_H

#include "lib/addr.h"

#define SUBNET_KEY_TEXT      80
#define LEASE_DESCRIBE_TEXT  (SUBNET_KEY_TEXT + 72)
#define LEASE_VALUE_MAX_SIZE (64 * 1024)
#define LEASE_ID_TEXT        33
#define LEASE_TEXT_MAX       253 /* bytes of a node id, node name or backend type */

/* Either family may be unset, not both. */
struct subnet {
	struct ip_net v4;
	struct ip_net v6;
};

enum lease_flag {
	LEASE_EXPIRES = 1,  /* it runs out unless it is kept alive */
	LEASE_RESERVED = 2, /* it never ends, and is never ours to delete: a person wrote it */
};

/* Not on a boundary of 16 bytes, of which there would be room for nothing else. */
typedef u128 lease_id __attribute__((aligned(8)));

/* Ordered by size: there is one for every host of the fabric. */
struct lease {
	/* What the store says of it. */
	lease_id id;           /* opaque: by what the store keeps it alive; 0: by nothing */
	uint64_t born;         /* who was there first: the smaller the older */
	uint64_t mod_revision; /* grows with every change in the store */
	/* What its host says. */
	char *backend_type; /* NULL if absent */
	char *backend_data; /* compact JSON, NULL if absent; the backend's business */
	char *backend_v6_data;
	char *node_id; /* NULL on leases that flannel wrote */
	char *node_name;
	char *claim;   /* where a host with this id is that asks whether the lease's own one lives;
			  NULL: nobody asks. Ours only. */
	char *problem; /* NULL, or why the value cannot be read: taken, but of use to nobody */
	struct subnet subnet;
	struct ip_addr public_v4; /* where peers send, unset if the host has none */
	struct ip_addr public_v6;
	/* Where its packets come from, if that is not where they are sent to (NAT); ours only. */
	struct ip_addr source_v4;
	struct ip_addr source_v6;
	/* Of its underlay, as far as its tunnels use it, in each family; ours only, 0: not said. */
	uint16_t mtu_v4_bytes;
	uint16_t mtu_v6_bytes;
	uint8_t flags; /* enum lease_flag */
	bool reserved; /* it was kept for its host before that came; ours only */
	/* Its host takes no containers, where the store has a place for that (store_host.out_of_use). Not in the
	 * value, and not said of other hosts. */
	bool out_of_use;
	bool compact; /* the texts stand behind it, see lease_compact */
};

/* Kept for a host by a person: what a host has not written, or has taken over as that. */
static inline bool lease_is_reservation(const struct lease *l)
{
	return l->flags & LEASE_RESERVED && (!l->node_id || l->reserved);
}

/* A host's, of which somebody wrote the key without the store's lease that would end it. */
static inline bool lease_is_unbound(const struct lease *l)
{
	return l->flags & LEASE_RESERVED && l->node_id && !l->reserved;
}

int subnet_key_parse(const char *key, struct subnet *ret, struct err *e) MUST_CHECK;
const char *subnet_key_format(const struct subnet *s, char buf[static SUBNET_KEY_TEXT]);
/* For people: "10.5.52.0/24", "10.6.77.0/24,fd10:244:0:5c::/64". */
const char *subnet_format(const struct subnet *s, char buf[static SUBNET_KEY_TEXT]);
bool subnet_equal(const struct subnet *a, const struct subnet *b);
/* In either family. */
bool subnet_overlaps(const struct subnet *a, const struct subnet *b);

/*
 * Fills everything but subnet and what the store says from a value. On error *ret is untouched. The
 * result owns its strings: lease_fini.
 */
int lease_value_parse(const char *text, size_t size, struct lease *ret, struct err *e) MUST_CHECK;
/* Caller frees. */
char *lease_value_format(const struct lease *l);

/* An id in hexadecimal digits, as people see it. */
const char *lease_id_format(u128 id, char buf[static LEASE_ID_TEXT]);
/* Back again; what is no digit ends it. */
u128 lease_id_parse(const char *text);

/* Whose it is, for people: "node-c (10.5.3.0/24)"; without a name the subnet alone. Long names are cut. */
const char *lease_describe(const struct lease *l, char buf[static LEASE_DESCRIBE_TEXT]);

struct lease *lease_new(void);
struct lease *lease_copy(const struct lease *l);
/*
 * The same in one allocation, texts and all: for those that are kept by the thousand. `l` is
 * consumed. No text of the result may be replaced; a copy's may.
 */
struct lease *lease_compact(struct lease *l);
void lease_fini(struct lease *l);
void lease_free(struct lease *l);
/* Same subnet and same published attributes; what the store says of it does not count. */
bool lease_equal(const struct lease *a, const struct lease *b);

static inline void lease_free_ref(struct lease **l)
{
	lease_free(*l);
}
#define auto_lease __attribute__((cleanup(lease_free_ref)))

#endif
