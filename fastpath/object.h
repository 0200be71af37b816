/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The programs of the fast path in the kernel, and their maps: loaded by libbpf, pinned in a directory of the
 * BPF file system, attached to devices by links that are pinned too (fastpath/pins.h). So they outlive the daemon, and the next
 * one takes the maps over and puts its programs in place of the former ones', each at once.
 *
 *     DIRECTORY/settings, containers, devices, outcomes, metered, delivered   maps (fastpath/maps.h)
 *     DIRECTORY/link-12                                   the program at the device with index 12
 *
 * libbpf is loaded when it is needed. Kernels need tcx (Linux 6.6). All calls block for the kernel alone.
 */
#ifndef FASTPATH_OBJECT_H
#define FASTPATH_OBJECT_H

#include "fastpath/maps.h"
#include "lib/err.h"

struct fast_object;

enum fast_program { FAST_FROM_CONTAINER, FAST_FROM_TUNNEL, FAST_PROGRAMS };

/* The object file; NULL: this was built without. */
const void *fast_object_embedded(size_t *ret_size);

/*
 * Loads programs and maps; maps that stand in `directory` are taken over with what is in them, and programs
 * that are attached are replaced. -ENOTSUP, -ELIBACC, -ENODEV: built without; no libbpf; the kernel or the
 * BPF file system cannot.
 */
int fast_object_load(const char *directory, const char *owner, struct fast_object **ret,
		     struct err *e) MUST_CHECK;
/* What is in the kernel stays. */
void fast_object_free(struct fast_object *o);

/* Attaches the program at the ingress of a device, unless it is. */
int fast_object_attach(const struct fast_object *o, uint32_t ifindex, enum fast_program program,
		       struct err *e) MUST_CHECK;
void fast_object_detach(const struct fast_object *o, uint32_t ifindex);
/* Shows the devices that links are pinned for, of which some may be gone. */
void fast_object_links_visit(const struct fast_object *o,
			     void (*visit)(void *arg, uint32_t ifindex), void *arg);
/* How many programs of others tcx has at the device, both ways. 0 if that cannot be asked. */
unsigned fast_object_strangers(const struct fast_object *o, uint32_t ifindex);

int fast_object_set(const struct fast_object *o, const struct fast_settings *set,
		    struct err *e) MUST_CHECK;
int fast_object_get(const struct fast_object *o, struct fast_settings *ret,
		    struct err *e) MUST_CHECK;
/* Counts since the maps were made. */
void fast_object_outcomes(const struct fast_object *o, uint64_t ret[static FAST_OUTCOMES_LEN]);

/* What was counted while settings said so: to and from an address, and what a container received. */
struct fast_count_ops {
	void (*metered)(void *arg, const struct fast_metered *key, const struct fast_count *sum);
	void (*delivered)(void *arg, uint32_t ifindex, const struct fast_count *sum);
};
void fast_object_counts_visit(const struct fast_object *o, const struct fast_count_ops *ops,
			      void *arg);
void fast_object_counts_forget(const struct fast_object *o);

/* Puts a container in, with its device. -ENODEV: the device is gone. */
int fast_object_put(const struct fast_object *o, const struct fast_address *address,
		    const struct fast_container *c, struct err *e) MUST_CHECK;
void fast_object_drop(const struct fast_object *o, const struct fast_address *address);
/* Shows each that is in, and whether its device is. */
void fast_object_containers_visit(const struct fast_object *o,
				  void (*visit)(void *arg, const struct fast_address *address,
						const struct fast_container *c, bool device),
				  void *arg);

#endif
