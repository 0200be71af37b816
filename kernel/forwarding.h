/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The switch that makes this host a router in IPv6. A router takes nothing from another one's
 * advertisements, unless accept_ra is 2: with the switch Linux deletes the default route that the host
 * has from them.
 */
#ifndef KERNEL_FORWARDING_H
#define KERNEL_FORWARDING_H

#include "lib/err.h"

/*
 * Turns it on, if it is off; before that, makes the interfaces that have routes of advertisements keep
 * them, and tells `kept` (may be NULL) of each. If that cannot be done it stays off. Blocks for a dump
 * of those routes.
 */
int forwarding_turn_on_v6(void (*kept)(const char *interface), struct err *e) MUST_CHECK;

#endif
