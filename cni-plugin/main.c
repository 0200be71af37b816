/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CNI plugin `flannel`: attaches a container to the fabric. Reads the protocol's command,
 * answers in JSON. netavark's plugin protocol is another front of the same.
 *
 *   env.c, version.c, error.c   the protocol: variables, versions, codes
 *   netavark.c, netavark_run.c  netavark's: its requests made into CNI's, and the results into its
 *   streams.c                   stdin and stdout
 *   netconf.c, fabric.c         the runtime's configuration and the daemon's, made into one
 *   config.c, ranges.c, ports.c that, read for an interface that we make ourselves
 *   record.c, store.c, lock.c   what an attachment consists of, on disk until it is undone
 *   lookup.c                    the record of an attachment whose network had another name
 *   pool.c, reclaim.c           address reservations, and those that only the dead hold
 *   host.c, bridge.c, attach.c  the kernel objects; rules.c the traffic rules
 *   gateways.c                  what a bridge keeps of a subnet that the host had before
 *   hostside.c, keep.c          the host's part compared with the records, and put right
 *   rival.c                     a port of the host that another container has
 *   list.c                      the records shown
 *   docker*.c                   the same for docker, call by call, as the daemon passes them on
 *   undo.c                      all of these taken apart again
 *   exec.c                      other plugins, where the configuration names one
 *   hook.c                      hooks of runtimes that know no CNI, put into the protocol's words
 *   confine.c                   rights given up as soon as they are not needed
 *   add.c, del.c, check.c, ...  one verb each
 */
#include <string.h>
#include <sys/random.h>

#include "cni-plugin/confine.h"
#include "cni-plugin/docker.h"
#include "cni-plugin/error.h"
#include "cni-plugin/hook.h"
#include "cni-plugin/keep.h"
#include "cni-plugin/list.h"
#include "cni-plugin/netavark.h"
#include "cni-plugin/streams.h"
#include "cni-plugin/verbs.h"
#include "cni-plugin/version.h"

static int fail(const char *version, const struct err *e)
{
	auto_json json_t *j = json_pack("{s:s, s:i, s:o}", "cniVersion", version, "code",
					(int)cni_code_of(e), "msg", json_string(e->text));

	/* A text that quotes input may not be UTF-8, which JSON insists on. */
	if (!j)
		j = json_pack("{s:s, s:i, s:s}", "cniVersion", version, "code", (int)cni_code_of(e),
			      "msg", "error text is not valid UTF-8");
	streams_print(j);
	return EXIT_FAILURE;
}

static int read_netconf(struct netconf *ret, struct err *e)
{
	json_t *json = NULL;

	if (streams_read("network configuration", &json, e) < 0)
		return e->code;
	return netconf_read(json, ret, e);
}

static int parse_netconf(const char *text, size_t size, struct netconf *ret, struct err *e)
{
	json_t *json = NULL;

	if (json_parse_object(text, size, &json, e) < 0) {
		err_wrap(e, "network configuration");
		return cni_classify(e, CNI_DECODING);
	}
	return netconf_read(json, ret, e);
}

static int check_verb(const struct cni_env *env, const struct netconf *n, struct err *e)
{
	bool too_old = (env->command == CNI_CHECK && !version_has_check(n->cni_version)) ||
		       ((env->command == CNI_GC || env->command == CNI_STATUS) &&
			!version_has_gc_and_status(n->cni_version));

	if (!too_old)
		return 0;
	return cni_error(e, CNI_INCOMPATIBLE, "config version %s does not allow %s", n->cni_version,
			 cni_command_name(env->command));
}

static int run(const struct cni_env *env, const struct netconf *n, struct err *e)
{
	auto_json json_t *result = NULL;

	if (check_verb(env, n, e) < 0)
		return e->code;
	switch (env->command) {
	case CNI_ADD:
		return verb_add(env, n, streams_print, e);
	case CNI_DEL:
		return verb_del(env, n, e);
	case CNI_CHECK:
		return verb_check(env, n, e);
	case CNI_GC:
		return verb_gc(env, n, e);
	case CNI_STATUS:
		return verb_status(env, n, e);
	case CNI_VERSION:
		result = version_report();
		break;
	}
	return streams_print(result) < 0 ? cni_error(e, CNI_IO, "error writing to stdout") : 0;
}

/*
 * Nomad runs every plugin like this, and takes the first word that is a version for the plugin's.
 */
static int about(void)
{
	fputs("CNI flannel plugin v" VERSION "\n"
	      "CNI protocol versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0\n",
	      stderr);
	return EXIT_SUCCESS;
}

/* Its own choice costs the opening and closing of a file. 0 would be read as "choose". */
static void seed_json(void)
{
	uint32_t seed;

	if (getrandom(&seed, sizeof(seed), 0) == sizeof(seed))
		json_object_seed(seed | 1);
}

/* Hooks' output is for people, if anybody sees it. */
static int hook_command(int argc, char **argv)
{
	struct netconf n = { 0 };
	auto_free char *text = NULL;
	struct cni_env env;
	size_t size = 0;
	struct err e = { 0 };
	bool failed;

	confine_process();
	seed_json();
	failed = hook_prepare(argc, argv, &text, &size, &e) < 0 || cni_env_read(&env, &e) < 0 ||
		 parse_netconf(text, size, &n, &e) < 0 || run(&env, &n, &e) < 0;
	if (failed)
		fprintf(stderr, "flannel: %s\n", e.text);
	netconf_fini(&n);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Without the protocol's variables. */
static int run_by_hand(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";
	const char *data_dir = argc > 2 ? argv[2] : NETCONF_DATA_DIR;

	if (strcmp(word, "keep") == 0)
		return keep_command(data_dir);
	if (strcmp(word, "list") == 0)
		return list_command(data_dir);
	if (strcmp(word, "hook") == 0)
		return hook_command(argc - 2, argv + 2);
	if (strcmp(word, "docker") == 0)
		return docker_command(argc - 2, argv + 2);
	return about();
}

int main(int argc, char **argv)
{
	const char *command = getenv("CNI_COMMAND");
	struct netconf n = { .cni_version = VERSION_LATEST };
	struct cni_env env;
	struct err e = { 0 };
	int status = EXIT_SUCCESS;

	if (netavark_is_verb(argc > 1 ? argv[1] : "")) {
		confine_process();
		seed_json();
		return netavark_run(argc, argv);
	}
	if (!command || !command[0])
		return run_by_hand(argc, argv);
	confine_process();
	seed_json();
	if (cni_env_read(&env, &e) < 0)
		return fail(VERSION_LATEST, &e);
	if (env.command != CNI_VERSION && read_netconf(&n, &e) < 0)
		return fail(VERSION_LATEST, &e);
	if (run(&env, &n, &e) < 0)
		status = fail(n.cni_version, &e);
	netconf_fini(&n);
	return status;
}
