/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports of a container that are published on the host: the capability portMappings, as a runtime gives it
 * and as a record keeps it.
 *
 *   [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "192.0.2.1", "count": 1}]
 *
 * Pure. Source: the CNI conventions, "portMappings"; `count`, of ports in a row, is ours.
 */
#ifndef CNI_PLUGIN_PORTS_H
#define CNI_PLUGIN_PORTS_H

#include "lib/json.h"

#define PORTS_MAX 1024 /* host ports of one attachment */

struct port_mapping {
	uint8_t protocol;    /* IPPROTO_TCP, UDP, SCTP */
	struct ip_addr host; /* on this address alone; unset: on all; zeros: on all of the family */
	uint16_t host_port;  /* host order; 1 to 65535 */
	uint16_t container_port;
	uint16_t count; /* from both on; 1 at least */
};

struct ports {
	struct port_mapping *items;
	size_t len;
};

/*
 * `list` may be NULL. Mappings without a host port are left out, as others do. -EINVAL names the
 * entry and the key: also where one host port is there twice, and more than PORTS_MAX. ports_fini frees.
 */
int ports_parse(const json_t *list, struct ports *ret, struct err *e) MUST_CHECK;
void ports_fini(struct ports *p);

/* Caller owns it. */
json_t *ports_json(const struct ports *p);

/* Is it published on addresses of this family? */
bool ports_has_family(const struct port_mapping *m, int family);
/* ... and on all of them? */
bool ports_is_on_all(const struct port_mapping *m);
/* "tcp", "udp", "sctp" */
const char *ports_protocol_name(uint8_t protocol);

#endif
