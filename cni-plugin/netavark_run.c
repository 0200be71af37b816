/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of netavark's protocol: stdin and stdout, and between them those of CNI. */
#include <errno.h>
#include <string.h>

#include "cni-plugin/error.h"
#include "cni-plugin/netavark.h"
#include "cni-plugin/streams.h"
#include "cni-plugin/verbs.h"
#include "lib/log.h"

/* Prints the network as it is to be kept. */
static int create(const char *netns UNUSED, struct err *e)
{
	auto_json json_t *network = NULL;

	if (streams_read("network", &network, e) < 0 || netavark_check_network(network, e) < 0)
		return e->code;
	/* Names of containers are not answered here, and podman would show that they are. */
	json_object_set_new(network, "dns_enabled", json_false());
	return streams_print(network) < 0 ? cni_error(e, CNI_IO, "error writing to stdout") : 0;
}

static int print_status(const json_t *result)
{
	auto_json json_t *status = netavark_status(result);

	return streams_print(status);
}

typedef int read_fn(const json_t *request, const char *netns, struct cni_env *ret_env,
		    json_t **ret_config, struct err *e);
typedef int cni_verb_fn(const struct cni_env *env, const struct netconf *n, struct err *e);

/* The request on stdin, in CNI's words. */
static int translate(const char *netns, read_fn *read, cni_verb_fn *verb, struct err *e)
{
	auto_json json_t *request = NULL;
	json_t *config = NULL;
	struct cni_env env;
	struct netconf n;
	int rc;

	if (streams_read("request", &request, e) < 0 ||
	    read(request, netns, &env, &config, e) < 0 || netconf_read(config, &n, e) < 0)
		return e->code;
	rc = verb(&env, &n, e);
	netconf_fini(&n);
	return rc;
}

static int add(const struct cni_env *env, const struct netconf *n, struct err *e)
{
	return verb_add(env, n, print_status, e);
}

static int setup(const char *netns, struct err *e)
{
	return translate(netns, netavark_read_setup, add, e);
}

/*
 * Then what others left of whom nobody will ask again: those whose teardown failed or never came,
 * because the host or its caller died.
 */
static void collect_dead(const struct netconf *n)
{
	struct cni_env env = CNI_ENV_EMPTY;
	struct err e;

	env.command = CNI_GC;
	if (verb_gc(&env, n, &e) < 0)
		log_warn("gc-incomplete", "%s", e.text);
}

static int del(const struct cni_env *env, const struct netconf *n, struct err *e)
{
	int rc = verb_del(env, n, e);

	collect_dead(n);
	return rc;
}

static int teardown(const char *netns, struct err *e)
{
	return translate(netns, netavark_read_teardown, del, e);
}

static int info(const char *netns UNUSED, struct err *e)
{
	auto_json json_t *about =
		json_pack("{s:s, s:s}", "version", VERSION, "api_version", NETAVARK_API_VERSION);

	return streams_print(about) < 0 ? cni_error(e, CNI_IO, "error writing to stdout") : 0;
}

static const struct verb {
	const char *name;
	bool needs_netns;
	int (*run)(const char *netns, struct err *e);
} verbs[] = {
	{ "create", false, create },
	{ "setup", true, setup },
	{ "teardown", true, teardown },
	{ "info", false, info },
};

static const struct verb *find(const char *word)
{
	for (unsigned i = 0; i < ARRAY_LEN(verbs); i++) {
		if (strcmp(verbs[i].name, word) == 0)
			return &verbs[i];
	}
	return NULL;
}

bool netavark_is_verb(const char *word)
{
	return find(word) != NULL;
}

int netavark_run(int argc, char **argv)
{
	const struct verb *verb = find(argv[1]);
	const char *netns = argc > 2 ? argv[2] : "";
	auto_json json_t *answer = NULL;
	struct err e = { 0 };
	int rc = 0;

	if (verb->needs_netns && !netns[0])
		rc = cni_error(&e, CNI_ENVIRONMENT, "%s needs the path of a network namespace",
			       verb->name);
	if (rc == 0)
		rc = verb->run(netns, &e);
	if (rc == 0)
		return EXIT_SUCCESS;
	answer = json_pack("{s:o}", "error", json_text(e.text));
	streams_print(answer);
	return EXIT_FAILURE;
}
