/* SPDX-License-Identifier: Apache-2.0 */
/*
 * extension: commands of the configuration make the data path.
 *
 *   PreStartupCommand      before our lease is written; what it says on stdout is published as BackendData
 *   PostStartupCommand     when our lease is held, and again when it is another
 *   SubnetAddCommand       for each peer (extension_peers.h), and again when its lease has changed; at a start again if it was
 *                          not run in this boot, or the first two, which may have made all anew, are there
 *   SubnetRemoveCommand    when it has left
 *
 * In their environment are NETWORK (Post), SUBNET, IPV6SUBNET, PUBLIC_IP, PUBLIC_IPV6; on stdin of the last
 * two is what the peer published. There are no kernel objects and no device of ours, so also no guard.
 */
#include "backends/extension.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>

#include "backends/extension_peers.h"
#include "lib/backoff.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/process.h"

#define TIMEOUT_S     60
#define SAID_MAX      16384 /* bytes of PreStartupCommand's output: it has to fit a lease */
#define FILE_NAME     "extension.json"
#define OWN_VARIABLES 5

static const struct backoff_policy retry = { .min_ms = 1000, .max_ms = 60000 };

/* A command that is run until it has worked. */
struct step {
	const char *name;
	struct command command;
	struct extension *owner;
	void (*worked)(struct extension *x, const char *output);
	struct process *process;
	struct event *timer;
	struct backoff backoff;
	struct err error; /* code 0: none */
	bool done;
};

struct extension {
	struct backend base;
	struct step pre, post;
	struct extension_commands commands; /* of peers */
	struct ip_net network[2];
	struct backend_host host;
	struct subnet own;
	bool has_own;
	char *data;    /* what pre said */
	bool leftover; /* of an earlier configuration: peers are only removed */
	const struct backend_env *env;
	struct extension_peers *peers;
};

static struct extension *extension_of(const struct backend *b)
{
	return (struct extension *)b;
}

/* ---- configuration ---- */

static void extension_free(struct backend *b)
{
	struct extension *x = extension_of(b);

	command_fini(&x->pre.command);
	command_fini(&x->post.command);
	command_fini(&x->commands.add);
	command_fini(&x->commands.remove);
	free(x->data);
	free(x);
}

static void on_pre(struct extension *x, const char *output);
static void on_post(struct extension *x, const char *output);

static struct extension *new_extension(void)
{
	struct extension *x = xcalloc(1, sizeof(*x));

	x->base.type = &backend_extension;
	x->pre = (struct step){ .name = "PreStartupCommand", .owner = x, .worked = on_pre };
	x->post = (struct step){ .name = "PostStartupCommand", .owner = x, .worked = on_post };
	return x;
}

static int extension_create(const struct network_config *config, struct backend **ret,
			    struct err *e)
{
	struct extension *x = new_extension();
	uint64_t seconds = TIMEOUT_S;

	if (command_read(config->backend, x->pre.name, &x->pre.command, e) < 0 ||
	    command_read(config->backend, x->post.name, &x->post.command, e) < 0 ||
	    command_read(config->backend, "SubnetAddCommand", &x->commands.add, e) < 0 ||
	    command_read(config->backend, "SubnetRemoveCommand", &x->commands.remove, e) < 0 ||
	    json_read_uint(config->backend, "TimeoutSeconds", 1, 3600, &seconds, e) < 0) {
		extension_free(&x->base);
		return e->code;
	}
	x->commands.timeout_ms = (int64_t)seconds * 1000;
	if (config->v4.enabled)
		x->network[0] = config->v4.network;
	if (config->v6.enabled)
		x->network[1] = config->v6.network;
	*ret = &x->base;
	return 0;
}

static int extension_set_host(struct backend *b, const struct backend_host *host,
			      struct err *e UNUSED)
{
	extension_of(b)->host = *host;
	extension_of(b)->host.node_id = NULL;
	return 0;
}

static uint32_t extension_pod_mtu(const struct backend *b)
{
	return backend_least_mtu(&extension_of(b)->host);
}

static void extension_describe(const struct backend *b UNUSED, char *buf, size_t size)
{
	snprintf(buf, size, "extension");
}

/* ---- leases ---- */

static int extension_publish(const struct backend *b, struct lease *own, struct err *e)
{
	const struct extension *x = extension_of(b);
	auto_json json_t *data = NULL;

	if (!x->pre.done)
		return err_set(e, -EAGAIN, "%s: %s", x->pre.name,
			       x->pre.error.code ? x->pre.error.text : "it has not ended yet");
	own->backend_type = xstrdup(backend_extension.name);
	if (x->data) {
		data = json_text(x->data);
		own->backend_data = json_dumps(data, JSON_COMPACT | JSON_ENCODE_ANY);
	}
	own->public_v4 = x->host.public_v4;
	own->public_v6 = x->host.public_v6;
	if (ip_addr_is_set(&own->public_v4))
		own->mtu_v4_bytes = backend_publish_mtu(x->host.lower[0].mtu_bytes);
	if (ip_addr_is_set(&own->public_v6))
		own->mtu_v6_bytes = backend_publish_mtu(x->host.lower[1].mtu_bytes);
	return 0;
}

static int extension_peer_parse(const struct lease *peer, void **ret, struct err *e)
{
	auto_json json_t *data = NULL;

	*ret = NULL;
	if (!peer->backend_data)
		return 0;
	data = json_loads(peer->backend_data, JSON_DECODE_ANY, NULL);
	if (!json_is_string(data))
		return err_set(e, -EINVAL, "BackendData must be a string");
	*ret = xstrdup(json_string_value(data));
	return 0;
}

/* No objects, but who is of no use is told so. */
static int extension_want_peer(const struct backend *b, const struct lease *peer,
			       const void *data UNUSED,
			       const struct backend_path paths[static 2] UNUSED,
			       struct wants *ret UNUSED, struct err *e)
{
	const struct extension *x = extension_of(b);
	bool v4 = ip_net_is_set(&peer->subnet.v4);

	return backend_check_public(peer, v4 ? AF_INET : AF_INET6, &x->network[v4 ? 0 : 1],
				    &x->host, e);
}

/* ---- steps ---- */

static void run_step(struct step *s);

static void on_pause_over(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	run_step(arg);
}

static void on_step(void *arg, int rc, const char *output, const struct err *e)
{
	struct step *s = arg;
	struct extension *x = s->owner;
	int64_t delay_ms;

	s->process = NULL;
	if (rc == 0) {
		log_info("extension", "%s has run", s->name);
		s->error.code = 0;
		backoff_reset(&s->backoff);
		s->done = true;
		s->worked(x, output);
		return;
	}
	delay_ms = backoff_next(&s->backoff, &retry, clock_boot_ms());
	s->error = *e;
	if (!s->timer)
		s->timer = evtimer_new(x->env->loop, on_pause_over, s);
	event_add(s->timer, &(struct timeval){ delay_ms / 1000, delay_ms % 1000 * 1000 });
	x->env->changed(x->env->arg, BACKEND_HEALTH | (s == &x->pre ? BACKEND_PUBLISH : 0));
}

static size_t own_variables(const struct extension *x, char variables[][EXTENSION_VARIABLE_SIZE])
{
	if (!x->has_own)
		return 0;
	extension_variable_net(variables[0], "NETWORK", &x->network[0]);
	extension_variable_net(variables[1], "SUBNET", &x->own.v4);
	extension_variable_net(variables[2], "IPV6SUBNET", &x->own.v6);
	extension_variable_address(variables[3], "PUBLIC_IP", &x->host.public_v4);
	extension_variable_address(variables[4], "PUBLIC_IPV6", &x->host.public_v6);
	return OWN_VARIABLES;
}

static void run_step(struct step *s)
{
	struct extension *x = s->owner;
	char variables[OWN_VARIABLES][EXTENSION_VARIABLE_SIZE];
	const char *pointers[OWN_VARIABLES];
	size_t len = own_variables(x, variables);
	struct process_task task = { .input = "\n",
				     .output_max = SAID_MAX,
				     .timeout_ms = x->commands.timeout_ms };
	char **environment;
	char **argv;
	struct err e;
	int rc;

	for (size_t i = 0; i < len; i++)
		pointers[i] = variables[i];
	argv = command_expand(&s->command, pointers, len);
	environment = command_environment(pointers, len);
	task.argv = (const char *const *)argv;
	task.environment = (const char *const *)environment;
	rc = argv[0] ? process_run(x->env->loop, &task, on_step, s, &s->process, &e)
		     : err_set(&e, -EINVAL, "no word of the command is left");
	command_free_words(argv);
	command_free_words(environment);
	if (rc < 0)
		on_step(s, rc, "", &e);
}

static void stop_step(struct step *s)
{
	process_cancel(STEAL(s->process));
	if (s->timer)
		event_free(STEAL(s->timer));
	s->done = false;
}

static void begin_step(struct step *s)
{
	stop_step(s);
	s->error.code = 0;
	backoff_reset(&s->backoff);
	if (s->command.words) {
		run_step(s);
	} else {
		s->done = true;
		s->worked(s->owner, NULL);
	}
}

static char *trimmed(const char *text)
{
	size_t size;

	text += strspn(text, " \t\n\v\f\r");
	size = strlen(text);
	while (size && strchr(" \t\n\v\f\r", text[size - 1]))
		size--;
	return xstrndup(text, size);
}

static void on_pre(struct extension *x, const char *output)
{
	free(x->data);
	x->data = output ? trimmed(output) : NULL;
	x->env->changed(x->env->arg, BACKEND_PUBLISH | BACKEND_HEALTH);
}

static void on_post(struct extension *x, const char *output UNUSED)
{
	extension_peers_go(x->peers);
	x->env->changed(x->env->arg, BACKEND_HEALTH);
}

/* ---- the live part ---- */

static int extension_start(struct backend *b, const struct backend_env *env, struct err *e UNUSED)
{
	struct extension *x = extension_of(b);
	auto_free char *path = xasprintf("%s/" FILE_NAME, env->state_dir);

	x->env = env;
	x->peers = extension_peers_new(env->loop, &x->commands, path,
				       !x->pre.command.words && !x->post.command.words);
	if (x->leftover)
		extension_peers_go(x->peers);
	else
		begin_step(&x->pre);
	return 0;
}

static void extension_own(struct backend *b, const struct subnet *own)
{
	struct extension *x = extension_of(b);

	x->own = *own;
	x->has_own = true;
	if (x->peers)
		begin_step(&x->post);
}

static void extension_peer(struct backend *b, const struct lease *peer, const void *data, bool gone)
{
	struct extension *x = extension_of(b);

	if (gone)
		extension_peers_gone(x->peers, &peer->subnet);
	else
		extension_peers_want(x->peers, peer, data);
}

static void extension_sweep(struct backend *b)
{
	extension_peers_sweep(extension_of(b)->peers);
}

static void step_health(const struct step *s, struct problem_list *ret)
{
	if (s->error.code)
		problem_add(ret, PROBLEM_ERROR, "extension-failed", "%s: %s", s->name,
			    s->error.text);
}

static void extension_health(const struct backend *b, struct problem_list *ret)
{
	const struct extension *x = extension_of(b);

	step_health(&x->pre, ret);
	step_health(&x->post, ret);
	extension_peers_health(x->peers, ret);
}

/* Commands take their time: who starts next finds in the file whom to remove. */
static void extension_stop(struct backend *b, bool keep_data_path UNUSED)
{
	struct extension *x = extension_of(b);

	stop_step(&x->pre);
	stop_step(&x->post);
	extension_peers_free(STEAL(x->peers));
}

static struct backend *extension_leftover(const char *state_dir)
{
	auto_free char *path = xasprintf("%s/" FILE_NAME, state_dir);
	struct extension *x = new_extension();
	struct err e;

	if (extension_peers_leftover(path, &x->commands, &e) < 0) {
		if (e.code != -ENOENT)
			log_warn("leftover", "%s: %s", path, e.text);
		extension_free(&x->base);
		return NULL;
	}
	x->leftover = true;
	return &x->base;
}

static const struct backend_live live = {
	.start = extension_start,
	.own = extension_own,
	.peer = extension_peer,
	.sweep = extension_sweep,
	.health = extension_health,
	.stop = extension_stop,
};

const struct backend_type backend_extension = {
	.name = "extension",
	.foreign_devices = true,
	.keys = "PreStartupCommand PostStartupCommand SubnetAddCommand SubnetRemoveCommand "
		"TimeoutSeconds",
	.live = &live,
	.create = extension_create,
	.free = extension_free,
	.set_host = extension_set_host,
	.publish = extension_publish,
	.peer_parse = extension_peer_parse,
	.want_peer = extension_want_peer,
	.pod_mtu = extension_pod_mtu,
	.describe = extension_describe,
	.leftover = extension_leftover,
};
