/* SPDX-License-Identifier: Apache-2.0 */
/* The vxlan backend: one tunnel device for each family, three objects for each peer and family. */
#ifndef BACKENDS_VXLAN_H
#define BACKENDS_VXLAN_H

#include "backends/backend.h"

#define VXLAN_DEFAULT_VNI  1
#define VXLAN_DEFAULT_PORT 8472 /* Linux's, not IANA's 4789: what flannel clusters use */
#define VXLAN_OVERHEAD_V4  50   /* inner Ethernet 14, VXLAN 8, UDP 8, IPv4 20 */
#define VXLAN_OVERHEAD_V6  70

extern const struct backend_type backend_vxlan;

#endif
