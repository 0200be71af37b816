/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address reservations on disk, in host-local's format and under its lock.
 *
 * `<dataDir>/<network>/` has one file per reserved address, named by its text, that says "container
 * id CR LF interface"; `last_reserved_ip.<set>`, where the next walk begins; and `lock`, held with
 * flock(2) while anything is changed. The reference host-local can work on the same directory at
 * the same time.
 *
 * Two things differ inside. Nobody reads the directory: an address is tried by making its file,
 * which fails if it is taken, so the cost does not grow with the number of reservations; whom to
 * release is known from the plugin's own record. And a file appears with its content (linkat), so
 * that a kill leaves none behind that belongs to nobody; an empty file, which host-local leaves
 * when it is killed or a host loses power, is free for whoever holds the lock.
 */
#ifndef CNI_PLUGIN_POOL_H
#define CNI_PLUGIN_POOL_H

#include "cni-plugin/ranges.h"

#define POOL_DATA_DIR       "/var/lib/cni/networks"
#define POOL_LOCK_TIMEOUT_S 30

struct pool;

#define POOL_OTHERS_MAX     256 /* networks beside one's own that are looked at */
#define POOL_OWNER_SIZE_MAX 4096

/* Who a reservation belongs to. */
struct pool_owner {
	const char *container_id;
	const char *ifname; /* "" in files that very old versions wrote */
};

struct pool_address {
	size_t set; /* index of the range set it comes from */
	struct ip_addr addr;
	struct ip_addr gateway;
	uint8_t len; /* prefix length of its subnet */
};

/*
 * Opens the directory and takes the lock; waits POOL_LOCK_TIMEOUT_S for it at most, then
 * CNI_TRY_AGAIN. `create`: make what is missing; otherwise -ENOENT. The lock is held until
 * pool_close. With `create` the directory of all networks is locked first, so that two networks do
 * not choose the same address at the same time.
 */
int pool_open(const char *dir, bool create, struct pool **ret, struct err *e) MUST_CHECK;
void pool_close(struct pool *p);

/*
 * From now on an address counts as taken, too, if another network beside this one has reserved it
 * and `counts` says that this matters; NULL: always. `arg` lives until pool_close.
 */
typedef bool pool_counts_fn(void *arg, const char *network, const struct pool_owner *owner);
void pool_look_beside(struct pool *p, pool_counts_fn *counts, void *arg);

/* Calls `visit` with the directory and the name of each of these networks. */
void pool_list_beside(struct pool *p,
		      void (*visit)(void *arg, const char *dir, const char *network), void *arg);

/*
 * Chooses an address that is free now, but does not reserve it. `wanted` (may be NULL) must be in
 * the set and free: CNI_ADDRESS_UNAVAILABLE. None free: CNI_EXHAUSTED.
 */
int pool_choose(struct pool *p, const struct range_set *set, size_t set_index,
		const struct ip_addr *wanted, struct pool_address *ret, struct err *e) MUST_CHECK;

/* Reserves a chosen address for the owner and makes it the set's last. */
int pool_reserve(struct pool *p, const struct pool_address *a, const struct pool_owner *owner,
		 struct err *e) MUST_CHECK;

/* Frees the address if it is the owner's, else leaves it alone; both are success. */
int pool_release(struct pool *p, const struct ip_addr *a, const struct pool_owner *owner,
		 struct err *e) MUST_CHECK;

/* Whose it is; its texts live in `text`. False: nobody's. */
bool pool_find_owner(struct pool *p, const struct ip_addr *a, char text[static POOL_OWNER_SIZE_MAX],
		     struct pool_owner *ret);
/* True if the address is reserved for the owner. */
bool pool_is_owner(struct pool *p, const struct ip_addr *a, const struct pool_owner *owner);

/*
 * Reads every file of the directory: for when there is no record to go by. `visit` sees each
 * reservation and says whether to free it; the owner's texts live until it returns. *ret_freed (may
 * be NULL) counts.
 */
int pool_scan(struct pool *p,
	      bool (*visit)(void *arg, const struct ip_addr *a, const struct pool_owner *owner),
	      void *arg, size_t *ret_freed, struct err *e) MUST_CHECK;

/*
 * Frees everything the owner has, as host-local does: files with both names, else files with only
 * the id.
 */
int pool_release_all(struct pool *p, const struct pool_owner *owner, size_t *ret_freed,
		     struct err *e) MUST_CHECK;

/* 0 if the set has a free address; CNI_EXHAUSTED. Reads names only, and no more than it must. */
int pool_check_free(struct pool *p, const struct range_set *set, struct err *e) MUST_CHECK;

/*
 * Parses a reservation's content in place: cuts `text` into the owner's names. False if it names
 * nobody.
 */
bool pool_parse_owner(char *text, struct pool_owner *ret);

static inline void pool_close_ref(struct pool **p)
{
	pool_close(*p);
}
#define auto_pool __attribute__((cleanup(pool_close_ref)))

#endif
