/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/backend.h"

#include <errno.h>

#include "backends/vxlan.h"

const struct backend_type *const backend_types[] = { &backend_vxlan, NULL };

int backend_create(const struct network_config *config, const struct backend_host *host,
		   struct backend **ret, struct err *e)
{
	char known[200] = "";
	size_t used = 0;

	for (size_t i = 0; backend_types[i]; i++) {
		if (strcmp(backend_types[i]->name, config->backend_type) == 0) {
			if (backend_types[i]->create(config, host, ret, e) < 0)
				return err_wrap(e, "Backend");
			return 0;
		}
		used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", i ? ", " : "",
					 backend_types[i]->name);
	}
	return err_set(e, -EINVAL, "Backend.Type is \"%s\", must be one of: %s",
		       config->backend_type, known);
}

void backend_free(struct backend *b)
{
	if (b)
		b->type->free(b);
}

/* FNV-1a, then mixed so that ids differing in one character differ in all bytes. */
static uint64_t hash(uint64_t seed, const void *data, size_t size)
{
	const uint8_t *p = data;
	uint64_t h = seed;

	for (size_t i = 0; i < size; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	return h;
}

struct mac_addr backend_derive_mac(const char *node_id, uint32_t network, int family)
{
	uint64_t h = hash(0xcbf29ce484222325u, node_id, strlen(node_id));
	struct mac_addr mac;

	h = hash(h, &network, sizeof(network));
	h = hash(h, &family, sizeof(family));
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdu;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53u;
	h ^= h >> 33;
	for (unsigned i = 0; i < sizeof(mac.b); i++)
		mac.b[i] = (uint8_t)(h >> (8 * i));
	mac.b[0] = (uint8_t)((mac.b[0] & 0xfe) | 0x02);
	return mac;
}
