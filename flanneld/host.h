/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the store says to this host besides its lease (struct store_host): what it is called there, which
 * addresses people want it to publish, and whether it is to say when it is out of use.
 */
#ifndef FLANNELD_HOST_H
#define FLANNELD_HOST_H

#include "flanneld/daemon.h"

/* Before the manager is made: the store's name of this host is its node name from now on, if it is known.
 * -EINVAL: nothing tells which of the store's hosts this is. */
int host_start(struct daemon *d, struct err *e) MUST_CHECK;

/* The store has said something: before the manager is told. Publishes again what is to be another now. */
void host_heard(struct daemon *d);

/* How to choose the external interface. Its texts are borrowed from *d. */
struct external_options host_options(struct daemon *d);

/* Puts what is to be published instead of the host's own addresses in their place, and whether it is out of use. */
void host_overwrite(const struct daemon *d, struct lease *attributes);

/*
 * The daemon is to end: true if the store is told of it first, after which the loop ends, in a few seconds at
 * the latest. False: it may end now; so if it is asked once more.
 */
bool host_leave(struct daemon *d);
/* After each answer of the store, when host_leave() was true: it was told, or there is nothing to tell. */
bool host_has_left(const struct daemon *d);

#endif
