/* SPDX-License-Identifier: Apache-2.0 */
/* IPsec: ESP tunnels whose keys are strongSwan's charon's, policies in the kernel. */
#ifndef BACKENDS_IPSEC_H
#define BACKENDS_IPSEC_H

#include "backends/backend.h"

extern const struct backend_type backend_ipsec;

#endif
