/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netavark's plugin protocol, by which podman 5 and later attach containers: `flannel create`,
 * `setup NETNS`, `teardown NETNS`, `info`, with JSON on stdin and stdout. An error is
 * {"error": "..."} and exit status 1.
 *
 * A request is made into the environment and the configuration that a CNI runtime would give for
 * the same container (netavark.c, pure), the verbs do the rest (netavark_run.c). What CNI's callers do
 * and these do not: a setup that failed is not followed by a teardown, and a teardown that failed is
 * not repeated. So each teardown collects what others left that are dead (gc.c).
 *
 * Source: netavark's documentation of its plugin API, and what netavark 1.14 and 1.17 under podman 5.4
 * were seen to send.
 */
#ifndef CNI_PLUGIN_NETAVARK_H
#define CNI_PLUGIN_NETAVARK_H

#include "cni-plugin/env.h"
#include "lib/json.h"

#define NETAVARK_API_VERSION "1.0.0"

/* create, setup, teardown, info */
bool netavark_is_verb(const char *word);

/* Answers argv[1], one of these. Returns the exit status. */
int netavark_run(int argc, char **argv);

/* ---- pure ---- */

/*
 * Checks a network that is to be made: a name, no subnets, options that we know. CNI_CONFIG.
 * `network` is what create gets on stdin.
 */
int netavark_check_network(const json_t *network, struct err *e) MUST_CHECK;

/*
 * `request` is what setup gets on stdin. Fills in *ret_env, which borrows from it and from `netns`, and
 * makes the configuration, which the caller owns. CNI_CONFIG with the key at fault.
 */
int netavark_read_setup(const json_t *request, const char *netns, struct cni_env *ret_env,
			json_t **ret_config, struct err *e) MUST_CHECK;

/*
 * The same for a teardown, which looks at no more than it needs: a network whose options nobody would
 * accept any more is taken down all the same.
 */
int netavark_read_teardown(const json_t *request, const char *netns, struct cni_env *ret_env,
			   json_t **ret_config, struct err *e) MUST_CHECK;

/* What setup answers, made of the result of an ADD in the shape of 1.1.0; caller owns it. */
json_t *netavark_status(const json_t *result);

#endif
