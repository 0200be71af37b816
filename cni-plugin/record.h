/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an attachment consists of, on disk, from before its first part is made until its last part
 * is gone.
 *
 * Names, addresses and the MAC are chosen before anything is touched, written down, and only then
 * made. So whatever instant a process dies at, the record tells the next DEL, GC or ADD all there
 * may be to undo, and what does not exist costs nothing to undo. A record is marked complete by the
 * ADD that came to its end.
 *
 * `<dataDir>/@<network>/<container id>@<interface>`, JSON, replaced by rename. Not fsynced: when
 * the host loses power its containers and their interfaces go too, what may be left are
 * reservations, and those are found without a record. `@` cannot occur in ids, so flannel's own
 * files, `<dataDir>/<container id>`, never collide.
 */
#ifndef CNI_PLUGIN_RECORD_H
#define CNI_PLUGIN_RECORD_H

#include <net/if.h>

#include "cni-plugin/config.h"
#include "lib/json.h"

#define RECORD_ADDRESSES_MAX  64
#define RECORD_UNMASKED_MAX   96
#define RECORD_SIZE_MAX       (1024 * 1024)
#define RECORD_LOCK_TIMEOUT_S 60

/* How the parts were made, and so how they are undone. */
enum record_kind {
	RECORD_NATIVE,   /* by us */
	RECORD_DELEGATE, /* by another plugin, which is executed again to undo them */
};

struct record {
	enum record_kind kind;
	bool complete;
	bool ptp;
	bool asks_once;       /* nobody repeats what failed (env.h) */
	char *container_name; /* for people; NULL: not told */
	char *container_id;
	char *ifname;
	char *network;
	char host_ifname[IFNAMSIZ]; /* our end of the veth pair */
	struct mac_addr host_mac;   /* by which we know it: names are used again */
	struct mac_addr mac;        /* the container's end */
	char bridge[IFNAMSIZ];      /* "" for ptp */
	bool masquerade;
	bool mac_guard;
	/* Where masquerading ends, each once; empty in the records of versions that did not note it. */
	struct ip_net unmasked[RECORD_UNMASKED_MAX];
	size_t unmasked_len;
	bool hairpin; /* from here on for CHECK, and to put it back (keep.h) */
	bool isolated;
	bool promiscuous;
	struct config_vlans vlans;
	uint32_t mtu_bytes;
	/*
	 * What the host answers to, on `gateway_device`: the bridge, its VLAN interface, or our end
	 * of the link.
	 */
	char gateway_device[IFNAMSIZ];
	struct ip_net gateways[RECORD_ADDRESSES_MAX];
	size_t gateways_len;
	char *pool_dir;    /* where the addresses are reserved; NULL: not by us */
	char *subnet_file; /* where their subnet is from; NULL: from the configuration */
	struct ip_addr addresses[RECORD_ADDRESSES_MAX];
	size_t addresses_len;
	struct ports ports; /* of the host that lead to the first address of their family */
	/*
	 * The configuration for the plugin to execute: the whole attachment's, or if native the
	 * address plugin's.
	 */
	json_t *delegate;
};

/* The records of one network. */
struct store;

/* `create`: make the directories that are missing (0700); otherwise -ENOENT. */
int store_open(const char *data_dir, const char *network, bool create, struct store **ret,
	       struct err *e) MUST_CHECK;
void store_close(struct store *s);

/*
 * Keeps other processes off this attachment until store_close. -ETIMEDOUT after
 * RECORD_LOCK_TIMEOUT_S.
 */
int store_lock(struct store *s, const char *container_id, const char *ifname,
	       struct err *e) MUST_CHECK;

/* The same, but -EAGAIN at once if another process works on the attachment. */
int store_try_lock(struct store *s, const char *container_id, const char *ifname,
		   struct err *e) MUST_CHECK;

/*
 * Keeps those off who change the attachment, until store_close or the next lock: for who only reads,
 * maybe on a file system that he may not write. -EAGAIN, -ETIMEDOUT as above.
 */
int store_share(struct store *s, const char *container_id, const char *ifname, unsigned timeout_s,
		struct err *e) MUST_CHECK;

/* True if there is a record, whatever it says. */
bool store_has(struct store *s, const char *container_id, const char *ifname);
/* -ENOENT: none. -EINVAL: it is damaged, or of a version newer than ours. record_fini frees. */
int store_read(struct store *s, const char *container_id, const char *ifname, struct record *ret,
	       struct err *e) MUST_CHECK;
/* When it was written, or marked as complete: milliseconds since 1970. -ENOENT: none. */
int store_written(struct store *s, const char *container_id, const char *ifname,
		  int64_t *ret_wall_ms) MUST_CHECK;
/* Writes or replaces; r->complete is false. */
int store_write(struct store *s, const struct record *r, struct err *e) MUST_CHECK;
/* Marks the record that was written last as complete. */
int store_complete(struct store *s, struct err *e) MUST_CHECK;
/* Also succeeds where there is none. */
int store_remove(struct store *s, const char *container_id, const char *ifname,
		 struct err *e) MUST_CHECK;

/*
 * Calls `visit` with the names that each record's file has; the record is read by the visitor, who
 * may remove it. A damaged record is visited too. Names that were too long for a file are read out
 * of the record.
 */
int store_list(struct store *s,
	       void (*visit)(void *arg, const char *container_id, const char *ifname), void *arg,
	       struct err *e) MUST_CHECK;

/* Calls `visit` with each network that has records here, until it says false. -ENOENT */
int store_each_network(const char *data_dir, bool (*visit)(void *arg, const char *network),
		       void *arg, struct err *e) MUST_CHECK;

/*
 * The JSON form, for the file and for tests. Parsing checks every name as if the runtime had sent
 * it.
 */
json_t *record_to_json(const struct record *r);
int record_parse(const char *text, size_t size, struct record *ret, struct err *e) MUST_CHECK;
void record_fini(struct record *r);

/*
 * The configuration that flannel's own plugin left for a container: the generated object; caller
 * owns it. -ENOENT. It has no interface name: one file stands for all of a container's attachments.
 */
int record_read_flannel(const char *data_dir, const char *container_id, json_t **ret,
			struct err *e) MUST_CHECK;
int record_remove_flannel(const char *data_dir, const char *container_id, struct err *e) MUST_CHECK;
/* Calls `visit` with every container id that has a file which flannel's plugin may have written. */
int record_list_flannel(const char *data_dir, void (*visit)(void *arg, const char *container_id),
			void *arg, struct err *e) MUST_CHECK;

static inline void record_fini_ref(struct record *r)
{
	record_fini(r);
}
#define auto_record __attribute__((cleanup(record_fini_ref)))

static inline void store_close_ref(struct store **s)
{
	store_close(*s);
}
#define auto_store __attribute__((cleanup(store_close_ref)))

#endif
