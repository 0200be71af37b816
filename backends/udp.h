/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BACKENDS_UDP_H
#define BACKENDS_UDP_H

#include "backends/backend.h"

/* The bare IPv4 packet in UDP, one device; neither type nor data in the lease. */
extern const struct backend_type backend_udp;

#endif
