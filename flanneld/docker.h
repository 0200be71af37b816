/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docker's network and address driver (libnetwork's remote drivers): HTTP on a unix socket of its own,
 * by whose file name dockerd finds it.
 *
 *     dockerd ──POST /NetworkDriver.Join──> here ──flannel docker NetworkDriver.Join──> the CNI plugin
 *
 * What is always answered the same is answered here. Everything else the plugin does, run once for each
 * call (cni-plugin/docker.h): it has the addresses and the records of all containers, and the kernel may
 * take its time for a veth pair while our loop turns. Nothing is remembered between two calls, so a
 * restart of this daemon, or of dockerd, is none of a driver's business.
 *
 * Bounded: calls are as large as DOCKER_CALL_MAX_SIZE, DOCKER_RUNNING_MAX plugins run at a time, the
 * others wait; connections are those of flanneld/clients.h. Only root is answered.
 */
#ifndef FLANNELD_DOCKER_H
#define FLANNELD_DOCKER_H

#include "fabric/plugin.h"

#define DOCKER_CALL_MAX_SIZE ((size_t)1 << 18) /* of a container that publishes a thousand ports */
#define DOCKER_RUNNING_MAX   8

struct docker_server;
struct event_base;

/* What the options of the same names say. */
struct docker_options {
	char *docker_socket; /* "": there is no driver */
	char *cni_ipam_dir;
};

/* Checks the options that only this module understands. */
int docker_check_options(const struct docker_options *o, struct err *e) MUST_CHECK;

/*
 * Listens, if the options say so: *ret is NULL otherwise. The options and `subnet_file` must outlive it.
 * Errors as local_socket_listen.
 */
int docker_server_new(struct event_base *base, const struct docker_options *options,
		      const struct plugin_options *plugin, const char *subnet_file,
		      struct docker_server **ret, struct err *e) MUST_CHECK;
/* Calls that are under way end without an answer: dockerd asks again. */
void docker_server_free(struct docker_server *s);

#endif
