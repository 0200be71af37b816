/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verbs of the protocol, one file each: add.c, del.c, check.c, gc.c, status.c.
 *
 * Each gets the checked environment and the configuration as far as netconf_read reads it, and
 * reports errors with the code that the runtime is to see.
 */
#ifndef CNI_PLUGIN_VERBS_H
#define CNI_PLUGIN_VERBS_H

#include "cni-plugin/env.h"
#include "cni-plugin/netconf.h"

/*
 * All or nothing. The result, in the configuration's version, goes to `print`: 0 or -errno. Until
 * the runtime has it nothing counts as attached, so that an ADD which it saw fail can be repeated.
 */
int verb_add(const struct cni_env *env, const struct netconf *n, int (*print)(const json_t *result),
	     struct err *e) MUST_CHECK;

/* Success if nothing of the attachment is left, whether or not there was anything. */
int verb_del(const struct cni_env *env, const struct netconf *n, struct err *e) MUST_CHECK;

/* CNI_MISMATCH names the first thing that is not as ADD made it. */
int verb_check(const struct cni_env *env, const struct netconf *n, struct err *e) MUST_CHECK;

/*
 * Undoes every attachment of the network that is not in `cni.dev/valid-attachments`. Without that
 * key: those whose interface is gone, which certainly nobody needs.
 */
int verb_gc(const struct cni_env *env, const struct netconf *n, struct err *e) MUST_CHECK;

/* 0 if an ADD would find what it needs, else CNI_NOT_AVAILABLE with the reason. */
int verb_status(const struct cni_env *env, const struct netconf *n, struct err *e) MUST_CHECK;

#endif
