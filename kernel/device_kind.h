/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kinds of tunnel devices. A device is data: its kind and a specification that only the kind
 * understands. kernel/link.h makes it, fabric/device.h keeps it; neither knows one kind from
 * another. A new kind is one file, kernel/device_<name>.c, with one of these tables.
 */
#ifndef KERNEL_DEVICE_KIND_H
#define KERNEL_DEVICE_KIND_H

#include "kernel/kernel.h"

struct link_info;
struct link_new;

enum device_match {
	DEVICE_SAME,    /* as specified */
	DEVICE_MOVABLE, /* can be made so while it stays: link_change */
	DEVICE_OTHER,   /* another tunnel, which could only be deleted */
};

struct device_kind {
	const char *name; /* the kernel's: IFLA_INFO_KIND */
	/* Another one, of which some devices are of this kind too: those that match. NULL: none. */
	const char *other_name;

	/*
	 * Appends the attributes that IFLA_INFO_DATA holds to `hdr`, room LINK_DATA_MAX. `change`:
	 * only those that can be changed while the device is there.
	 */
	void (*encode)(struct nlmsghdr *hdr, const void *spec, bool change);

	/* Makes the device, down; NULL: link_create() does. */
	int (*create)(struct kernel *k, const struct link_new *device, struct err *e);

	/* What an existing device of this kind is, compared with the specification. */
	enum device_match (*match)(const void *spec, const struct link_info *link);

	/* Before one is made: an error says what else than the device the kernel lacks for it. NULL:
	 * nothing. */
	int (*prepare)(const void *spec, struct err *e);

	/*
	 * What is not an attribute of the device and must follow once it is made (keys, ports);
	 * NULL: nothing. Asked for whenever the device is looked after; writes only what differs. 1 if
	 * something did, else 0. It may take the device down for it.
	 */
	int (*configure)(struct kernel *k, uint32_t ifindex, const void *spec, struct err *e);

	/*
	 * Removes what configure made beside the device `link`, which was one of ours and is gone, or
	 * is another now. NULL: nothing.
	 */
	int (*release)(const struct link_info *link, struct err *e);

	/*
	 * Whether `link`, a device of this kind, keeps one with this specification from being made
	 * or set up: it holds its port, for instance. NULL: none ever does.
	 */
	bool (*conflicts)(const void *spec, const struct link_info *link);
};

#endif
