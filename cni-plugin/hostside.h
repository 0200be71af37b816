/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side of an attachment, compared with its record: for CHECK, which tells what is wrong,
 * and for keep.h, which puts it right.
 *
 * Each function looks at one part: 0, or CNI_MISMATCH with a sentence for the first thing that is not
 * as ADD made it, or CNI_KERNEL.
 */
#ifndef CNI_PLUGIN_HOSTSIDE_H
#define CNI_PLUGIN_HOSTSIDE_H

#include "cni-plugin/attach.h"
#include "cni-plugin/host.h"
#include "cni-plugin/record.h"
#include "kernel/device.h"

/* The bridge is there, is one, up, and promiscuous if it is to be. *ret: as far as it is there. */
int hostside_check_bridge(struct host *h, const struct record *r, struct device *ret,
			  struct err *e) MUST_CHECK;

/* Our end of the link, as `d` shows it: up, a port of the bridge, with its flags. NULL: routed. */
int hostside_check_link(const struct record *r, const struct device *d, const struct device *bridge,
			struct err *e) MUST_CHECK;

/* The interface that carries them is there, up, and has the gateways' addresses. */
int hostside_check_gateways(struct host *h, const struct record *r, struct err *e) MUST_CHECK;

/*
 * The same of a routed link, with the ways to the container. *ret (set in any case): what there is,
 * for attach_put_routed; freed by hostside_routed_fini.
 */
int hostside_check_routed(struct host *h, const struct record *r, uint32_t ifindex,
			  struct attach_routed *ret, struct err *e) MUST_CHECK;
void hostside_routed_fini(struct attach_routed *r);

#endif
