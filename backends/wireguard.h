/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BACKENDS_WIREGUARD_H
#define BACKENDS_WIREGUARD_H

#include "backends/backend.h"

/* Encrypted, one WireGuard device for each family or one for both; public key and port in the lease. */
extern const struct backend_type backend_wireguard;

#endif
