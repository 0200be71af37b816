/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs of `fabricctl config` share. */
#ifndef FABRICCTL_CONFIG_H
#define FABRICCTL_CONFIG_H

#include "fabricctl/ctl.h"
#include "subnet/config.h"

/* Reads a file, standard input if it is "-". Complains and returns the exit status. */
int config_read(const struct ctl *c, const char *name, char **ret, size_t *ret_size);
/* Syntax and rules, then the backend's own. On success the result is to be released. */
int config_validate(const char *text, size_t size, struct network_config *ret,
		    struct err *e) MUST_CHECK;
/*
 * The keys that mean nothing and that look like one which does: an array of sentences. Other unknown
 * keys may be somebody else's and are nobody's business. Pure.
 */
json_t *config_warnings(const char *text, size_t size, const struct network_config *config);
/* Prints them to ctl->err. */
void config_warn(const struct ctl *c, const json_t *warnings);
/* Complains about what is not valid; CTL_FOUND. */
int config_fail(const struct ctl *c, const char *name, const struct err *e);
/* "10.5.0.0/16, /24 each, 255 hosts, host-gw". Caller frees. */
char *config_describe(const struct network_config *config);

/*
 * What is different between two documents, as an array of
 * {"key":"Backend.VNI","before":1,"after":2}; before or after is null where there is no such key.
 * Pure. NULL is an empty document.
 */
json_t *config_changes(const json_t *before, const json_t *after);

/* fabricctl config set. Returns the exit status. */
int config_set(struct ctl *c, const char *name);

#endif
