/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORES_ETCD_OPTIONS_H
#define STORES_ETCD_OPTIONS_H

#include "lib/options.h"

struct etcd_options {
	char *endpoints; /* comma list of http://host:port, https://host:port or host:port */
	char *transport; /* "grpc", "json"; "auto" or NULL: the former, and the latter where it is not spoken */
	char *prefix;  /* of the keys; repeated and trailing slashes do not count */
	char *ca_file; /* "" or NULL: the system's */
	char *cert_file;
	char *key_file;
	char *username; /* "" or NULL: no login */
	char *password;
	char *password_file; /* "" or NULL; read again at every login, so that it may change */
};

/* Of the options in `struct etcd_options`, see lib/options.h. */
extern const struct option_spec etcd_option_specs[];

/* Reads the password from its file, if there is one. */
int etcd_options_check(void *options, struct err *e) MUST_CHECK;
/* Whether what is needed together is there, and files can be read: -EINVAL, or as file_open. */
int etcd_options_are_usable(const struct etcd_options *o, struct err *e) MUST_CHECK;

#endif
