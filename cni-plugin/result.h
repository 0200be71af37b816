/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The result of an ADD: one model inside, one JSON shape per version of the specification outside.
 *
 * Read back it is the prevResult of CHECK and DEL, or what an address plugin answered. Source: the
 * specification, section 5, and its older editions for the shapes before 1.0.0.
 */
#ifndef CNI_PLUGIN_RESULT_H
#define CNI_PLUGIN_RESULT_H

#include <net/if.h>

#include "lib/json.h"

#define RESULT_LEN_MAX 1024 /* interfaces, addresses or routes that one may list */

struct result_interface {
	char name[IFNAMSIZ];
	struct mac_addr mac;
	bool has_mac;
	uint32_t mtu_bytes; /* 0: not told */
	char *sandbox;      /* NULL: on the host */
};

struct result_address {
	int interface; /* index into interfaces; -1: none */
	struct ip_net net;
	struct ip_addr gateway; /* may be unset */
};

struct result_route {
	struct ip_net dst; /* host bits as given */
	struct ip_addr gateway;
	uint32_t mtu_bytes;
	uint32_t advmss_bytes;
	int64_t priority; /* the next three: -1 if not given */
	int64_t table;
	int64_t scope;
};

struct result {
	struct result_interface *interfaces;
	size_t interfaces_len;
	size_t interfaces_cap;
	struct result_address *addresses;
	size_t addresses_len;
	size_t addresses_cap;
	struct result_route *routes;
	size_t routes_len;
	size_t routes_cap;
	json_t *dns; /* an object, or NULL */
};

void result_fini(struct result *r);

/* sandbox may be NULL. Returns the index. */
size_t result_add_interface(struct result *r, const char *name, const struct mac_addr *mac,
			    uint32_t mtu_bytes, const char *sandbox);
void result_add_address(struct result *r, const struct ip_net *net, const struct ip_addr *gateway);
void result_add_route(struct result *r, const struct result_route *route);

/* Reads one route object, of a result or of the configuration. -EINVAL. */
int result_parse_route(const json_t *json, struct result_route *ret, struct err *e) MUST_CHECK;

/*
 * In the shape of `version`, which is a supported one. The shapes before 0.3.0 have room for one
 * address per family and need at least one: CNI_UNSUPPORTED_FIELD otherwise. Caller owns the
 * object.
 */
int result_to_json(const struct result *r, const char *version, json_t **ret,
		   struct err *e) MUST_CHECK;

/*
 * Reads any shape; `version` is the configuration's, for results that do not say theirs.
 * CNI_DECODING if it is malformed or of a shape that does not go with `version`. Initializes *ret;
 * result_fini frees it.
 */
int result_parse(const json_t *json, const char *version, struct result *ret,
		 struct err *e) MUST_CHECK;

static inline void result_fini_ref(struct result *r)
{
	result_fini(r);
}
#define auto_result __attribute__((cleanup(result_fini_ref)))

#endif
