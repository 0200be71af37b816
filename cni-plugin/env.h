/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the runtime says in the environment: the command and its CNI_ variables, checked.
 * Specification, section 2.
 */
#ifndef CNI_PLUGIN_ENV_H
#define CNI_PLUGIN_ENV_H

#include "lib/addr.h"

/* Bytes of a container id at ADD: with the interface's name it must fit a reservation's file. */
#define CNI_ID_SIZE_MAX 4000

enum cni_command {
	CNI_ADD,
	CNI_DEL,
	CNI_CHECK,
	CNI_GC,
	CNI_STATUS,
	CNI_VERSION,
};

/* The keys of CNI_ARGS that mean something to us. */
struct cni_args {
	struct ip_addr ip; /* AF_UNSPEC: none */
	struct mac_addr mac;
	bool has_mac;
};

/* Texts are borrowed from the environment; "" where a variable is unset. */
struct cni_env {
	enum cni_command command;
	const char *container_id;
	const char *netns; /* may be "" on DEL */
	const char *ifname;
	const char *path; /* directories to look for delegates in, separated by colons */
	const char *args_text;
	bool netns_override; /* CNI_NETNS may be our own namespace */
	/*
	 * Of those who ask once and never again: whatever they leave behind is ours to find. CNI's
	 * runtimes repeat a DEL until it succeeds.
	 */
	bool asks_once;
	const char *container_name; /* for people; "" if it is not told */
};

/* What others than a runtime's environment fill in: none of the texts is ever NULL. */
#define CNI_ENV_EMPTY                                                                              \
	{                                                                                          \
		.container_id = "", .netns = "", .ifname = "", .path = "", .args_text = "",        \
		.container_name = ""                                                               \
	}

/*
 * Reads the variables and checks those that the command needs. All that are missing are named in
 * one error, CNI_ENVIRONMENT; an unknown command is one too.
 */
int cni_env_read(struct cni_env *ret, struct err *e) MUST_CHECK;

/*
 * "K=V;K2=V2". Keys that we do not know are the business of others in the chain and are passed
 * over, unless the caller insists with IgnoreUnknown=false. CNI_ENVIRONMENT.
 */
int cni_args_parse(const char *text, struct cni_args *ret, struct err *e) MUST_CHECK;

const char *cni_command_name(enum cni_command command);

/* The grammar of container ids and network names: a letter or digit, then those and "_.-". */
bool cni_is_identifier(const char *s);
/*
 * What may name an interface: 1 to 15 bytes, not "." or "..", without slash, colon, white space,
 * control bytes.
 */
bool cni_is_ifname(const char *s);

#endif
