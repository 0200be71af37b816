/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host-gw backend: no tunnel; every peer is the gateway to its subnet. For hosts that share a
 * link.
 */
#ifndef BACKENDS_HOST_GW_H
#define BACKENDS_HOST_GW_H

#include "backends/backend.h"

extern const struct backend_type backend_host_gw;

#endif
