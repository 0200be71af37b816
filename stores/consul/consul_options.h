/* SPDX-License-Identifier: Apache-2.0 */
/* What the store in Consul wants to be told. */
#ifndef STORES_CONSUL_OPTIONS_H
#define STORES_CONSUL_OPTIONS_H

#include "lib/options.h"

/* Bytes of the prefix as it is used: with a subnet behind it, it is a key of 512 bytes at most. */
#define CONSUL_PREFIX_MAX 256

struct consul_options {
	char *endpoints;  /* comma list of http://host:port, https://host:port or host:port */
	char *prefix;     /* of the keys; slashes at its ends and repeated ones do not count */
	char *datacenter; /* "" or NULL: the agent's */
	char *token_file; /* "" or NULL: no token; read for every call, so that it may change */
	char *ca_file;    /* "" or NULL: the system's */
	char *cert_file;
	char *key_file;
};

/* Of the options in `struct consul_options`, see lib/options.h. */
extern const struct option_spec consul_option_specs[];

/* -EINVAL names the option that is of no use, its value and what it may be; of files as file_open and
 * secret_read. */
int consul_options_check(void *options, struct err *e) MUST_CHECK;

/* "/coreos.com//network/" -> "coreos.com/network". -EINVAL: nothing is left, it is longer than
 * CONSUL_PREFIX_MAX, or there is in it what is no printable ASCII. Caller frees *ret. */
int consul_prefix_read(const char *given, char **ret, struct err *e) MUST_CHECK;

#endif
