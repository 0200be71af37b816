/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the wireguard backend share; for nobody else. */
#ifndef BACKENDS_WIREGUARD_INTERNAL_H
#define BACKENDS_WIREGUARD_INTERNAL_H

#include "backends/wireguard.h"
#include "kernel/device_wireguard.h"

#define WIREGUARD_MTU_MAX      65535
#define WIREGUARD_INNER_MIN_V4 576  /* RFC 791 */
#define WIREGUARD_INNER_MIN_V6 1280 /* RFC 8200 */

enum wireguard_mode { WIREGUARD_SEPARATE, WIREGUARD_AUTO, WIREGUARD_IPV4, WIREGUARD_IPV6 };

/* One family of what is inside. */
struct wireguard_side {
	bool enabled;
	bool works; /* here */
	int family;
	struct ip_net network;
	size_t device; /* which carries it */
};

struct wireguard_watch;

struct wireguard {
	struct backend base;
	enum wireguard_mode mode;
	uint16_t ports[2];
	uint16_t keepalive_s;
	uint32_t mtu_bytes; /* configured, of the underlay; 0: follow the underlay */
	uint8_t preshared[WIREGUARD_KEY_SIZE];
	uint8_t public_key[WIREGUARD_KEY_SIZE];
	struct backend_host host;
	struct wireguard_side sides[2];
	struct device_wireguard specs[BACKEND_DEVICES_MAX];
	struct backend_device devices[BACKEND_DEVICES_MAX];
	uint32_t ifindexes[BACKEND_DEVICES_MAX];
	size_t devices_len;
	struct wireguard_watch *watch; /* of the live part */
};

/* What a lease says, for each family. */
struct wireguard_lease {
	uint8_t key[2][WIREGUARD_KEY_SIZE];
	uint16_t port[2]; /* 0: as ours */
	bool has[2];
};

extern const char *const wireguard_mode_names[];

/* The MTU that the underlay needs for what is inside. */
static inline uint32_t wireguard_needed_mtu(size_t side)
{
	return (side == 0 ? WIREGUARD_INNER_MIN_V4 : WIREGUARD_INNER_MIN_V6) + WIREGUARD_OVERHEAD;
}

/* The keys of the Backend object, and whether they go together; sides are known before. */
int wireguard_read_config(struct wireguard *w, const json_t *backend, struct err *e) MUST_CHECK;

/* As peer_parse and describe_peer of struct backend_type. */
int wireguard_read_lease(const struct lease *peer, void **ret, struct err *e) MUST_CHECK;
void wireguard_describe_lease(const void *data, struct members *item);

/* What peers are seen to do (backends/wireguard_live.c). */
extern const struct backend_live wireguard_live;

#endif
