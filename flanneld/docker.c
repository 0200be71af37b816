/* SPDX-License-Identifier: Apache-2.0 */
/* Source: libnetwork/docs/remote.md, docs/ipam.md; what dockerd 20.10, 26 and 28 send. */
#include "flanneld/docker.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <string.h>
#include <sys/queue.h>

#include "fabric/plugin_find.h"
#include "flanneld/clients.h"
#include "flanneld/local_socket.h"
#include "flanneld/status_internal.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/process.h"

#define HEADERS_MAX_SIZE 8192
#define TIMEOUT_S        30
#define CALL_TIMEOUT_MS  60000
#define OUTPUT_MAX       65536
#define MODE             0600
#define CONTENT_TYPE     "application/vnd.docker.plugins.v1.1+json"
#define NOTHING          "{}"
#define PUBLISH          "NetworkDriver.ProgramExternalConnectivity"
#define KEY_PORTS        "com.docker.network.portmap"

static const struct method {
	const char *name;
	const char *answer; /* NULL: the plugin's */
} methods[] = {
	{ "Plugin.Activate", "{\"Implements\":[\"NetworkDriver\",\"IpamDriver\"]}" },
	{ "NetworkDriver.GetCapabilities",
	  "{\"Scope\":\"local\",\"ConnectivityScope\":\"global\"}" },
	{ "NetworkDriver.CreateNetwork", NULL },
	{ "NetworkDriver.DeleteNetwork", NOTHING },
	{ "NetworkDriver.CreateEndpoint", NULL },
	{ "NetworkDriver.DeleteEndpoint", NULL },
	{ "NetworkDriver.EndpointOperInfo", "{\"Value\":{}}" },
	{ "NetworkDriver.Join", NULL },
	{ "NetworkDriver.Leave", NOTHING },
	{ PUBLISH, NULL },
	{ "NetworkDriver.RevokeExternalConnectivity", NULL },
	{ "NetworkDriver.DiscoverNew", NOTHING },
	{ "NetworkDriver.DiscoverDelete", NOTHING },
	{ "IpamDriver.GetCapabilities",
	  "{\"RequiresMACAddress\":true,\"RequiresRequestReplay\":true}" },
	{ "IpamDriver.GetDefaultAddressSpaces",
	  "{\"LocalDefaultAddressSpace\":\"flannel\",\"GlobalDefaultAddressSpace\":\"flannel\"}" },
	{ "IpamDriver.RequestPool", NULL },
	{ "IpamDriver.ReleasePool", NOTHING },
	{ "IpamDriver.RequestAddress", NULL },
	{ "IpamDriver.ReleaseAddress", NULL },
};

/* One that the plugin is to do. */
struct call {
	struct docker_server *server;
	struct evhttp_request *request; /* NULL: who asked has gone */
	const struct method *method;
	char *body;
	struct process *process; /* NULL: it waits for its turn */
	TAILQ_ENTRY(call) link;
};

struct docker_server {
	struct event_base *base;
	const struct docker_options *options;
	const struct plugin_options *plugin;
	const char *subnet_file;
	struct evhttp *http;
	struct clients *clients;
	bool listens;
	bool stopping;
	TAILQ_HEAD(calls, call) calls; /* first come, first run */
	size_t running;
};

int docker_check_options(const struct docker_options *o, struct err *e)
{
	int rc = *o->docker_socket ? options_check_path("docker-socket", o->docker_socket, e) : 0;

	return rc < 0 ? rc : options_check_path("cni-ipam-dir", o->cni_ipam_dir, e);
}

/* ---- answers ---- */

static void reply_error(struct evhttp_request *request, int code, const char *text)
{
	auto_json json_t *answer = json_pack("{s:o}", "Err", json_text(text));
	auto_free char *body = json_dumps(answer, JSON_COMPACT);

	status_reply_text(request, code, CONTENT_TYPE, body ? body : NOTHING);
}

static void call_free(struct call *c)
{
	struct docker_server *s = c->server;

	if (c->request)
		evhttp_connection_set_closecb(evhttp_request_get_connection(c->request), NULL,
					      NULL);
	TAILQ_REMOVE(&s->calls, c, link);
	free(c->body);
	free(c);
}

/* The plugin's error is an answer of its own, if it came so far. */
static void answer(struct call *c, int rc, const char *output, const struct err *e)
{
	const char *name = c->method->name;
	auto_json json_t *said = NULL;
	const char *text = NULL;

	if (rc < 0 && json_parse_object(output, strlen(output), &said, NULL) == 0)
		text = json_string_value(json_object_get(said, "Err"));
	if (rc < 0)
		log_warn("docker-call-failed", "%s: %s", name, text ? text : e->text);
	if (!c->request)
		return;
	if (rc < 0)
		reply_error(c->request, 500, text ? text : e->text);
	else
		status_reply_text(c->request, 200, CONTENT_TYPE, output);
}

/* ---- calls ---- */

static void run_next(struct docker_server *s);

static void on_done(void *arg, int rc, const char *output, const struct err *e)
{
	struct call *c = arg;
	struct docker_server *s = c->server;

	c->process = NULL;
	answer(c, rc, output, e);
	s->running--;
	call_free(c);
	run_next(s);
}

static int start(struct call *c, struct err *e)
{
	struct docker_server *s = c->server;
	auto_free char *path = plugin_find(s->plugin->cni_plugin);
	const char *argv[] = { path,
			       "docker",
			       c->method->name,
			       s->plugin->cni_data_dir,
			       s->options->cni_ipam_dir,
			       s->subnet_file,
			       NULL };
	const struct process_task task = { .argv = argv,
					   .input = c->body,
					   .output_max = OUTPUT_MAX,
					   .timeout_ms = CALL_TIMEOUT_MS };

	if (!path)
		return err_set(e, -ENOENT, "there is no %s: it does what docker asks for",
			       *s->plugin->cni_plugin ? s->plugin->cni_plugin
						      : PLUGIN_NAME " in " PLUGIN_DIRECTORIES);
	if (process_run(s->base, &task, on_done, c, &c->process, e) < 0)
		return e->code;
	s->running++;
	return 0;
}

static void run_next(struct docker_server *s)
{
	struct call *next;
	struct err e;

	for (struct call *c = TAILQ_FIRST(&s->calls); c && s->running < DOCKER_RUNNING_MAX;
	     c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->process || start(c, &e) == 0)
			continue;
		answer(c, e.code, "", &e);
		call_free(c);
	}
}

/* What is under way is done to its end: dockerd asks again, and gets the same answer. */
static void on_client_gone(struct evhttp_connection *connection UNUSED, void *arg)
{
	struct call *c = arg;
	struct evhttp_request *request = STEAL(c->request);

	if (!c->server->stopping)
		evhttp_request_free(request);
	if (!c->process)
		call_free(c);
}

/* The body as it is; what a zero byte cuts off makes no JSON either. */
static char *body_of(struct evhttp_request *request)
{
	struct evbuffer *body = evhttp_request_get_input_buffer(request);
	size_t size = evbuffer_get_length(body);
	char *text = xcalloc(1, size + 1);

	evbuffer_copyout(body, text, size);
	return text;
}

/* Most containers publish no port, and need not wait for a program to say so. */
static bool is_for_nothing(const struct method *method, const char *body)
{
	auto_json json_t *call = NULL;
	const json_t *ports;

	if (strcmp(method->name, PUBLISH) != 0 ||
	    json_parse_object(body, strlen(body), &call, NULL) < 0)
		return false;
	ports = json_object_get(json_object_get(call, "Options"), KEY_PORTS);
	return json_is_array(ports) && json_array_size(ports) == 0;
}

static void enqueue(struct docker_server *s, struct evhttp_request *request,
		    const struct method *method)
{
	char *body = body_of(request);
	struct call *c;

	if (is_for_nothing(method, body)) {
		status_reply_text(request, 200, CONTENT_TYPE, NOTHING);
		free(body);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	*c = (struct call){ .server = s, .request = request, .method = method, .body = body };
	TAILQ_INSERT_TAIL(&s->calls, c, link);
	evhttp_connection_set_closecb(evhttp_request_get_connection(request), on_client_gone, c);
	run_next(s);
}

static const struct method *find_method(struct evhttp_request *request)
{
	const char *path = evhttp_request_get_uri(request);

	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		if (path[0] == '/' && strcmp(path + 1, methods[i].name) == 0)
			return &methods[i];
	}
	return NULL;
}

static bool is_root(struct evhttp_request *request)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(request);

	return local_socket_is_root(
		bufferevent_getfd(evhttp_connection_get_bufferevent(connection)));
}

static void on_request(struct evhttp_request *request, void *arg)
{
	const struct method *method = find_method(request);
	struct docker_server *s = arg;

	if (!is_root(request))
		reply_error(request, 403, "only root may do this");
	else if (!method)
		reply_error(request, 404, "there is no such call");
	else if (method->answer)
		status_reply_text(request, 200, CONTENT_TYPE, method->answer);
	else
		enqueue(s, request, method);
}

/* ---- life ---- */

int docker_server_new(struct event_base *base, const struct docker_options *options,
		      const struct plugin_options *plugin, const char *subnet_file,
		      struct docker_server **ret, struct err *e)
{
	struct docker_server *s;

	if (!*options->docker_socket)
		return 0;
	s = xcalloc(1, sizeof(*s));
	*s = (struct docker_server){
		.base = base, .options = options, .plugin = plugin, .subnet_file = subnet_file
	};
	TAILQ_INIT(&s->calls);
	s->http = evhttp_new(base);
	evhttp_set_allowed_methods(s->http, EVHTTP_REQ_POST);
	evhttp_set_max_headers_size(s->http, HEADERS_MAX_SIZE);
	evhttp_set_max_body_size(s->http, (ev_ssize_t)DOCKER_CALL_MAX_SIZE);
	evhttp_set_timeout(s->http, TIMEOUT_S);
	evhttp_set_gencb(s->http, on_request, s);
	s->clients = clients_new(base, s->http, "driver for docker", CLIENTS_MAX,
				 HEADERS_MAX_SIZE + DOCKER_CALL_MAX_SIZE);
	if (local_socket_listen(base, s->http, s->clients, options->docker_socket, MODE, e) < 0) {
		err_wrap(e, "docker-socket");
		docker_server_free(s);
		return e->code;
	}
	s->listens = true;
	*ret = s;
	return 0;
}

void docker_server_free(struct docker_server *s)
{
	if (!s)
		return;
	s->stopping = true;
	evhttp_free(s->http);
	clients_free(s->clients);
	while (!TAILQ_EMPTY(&s->calls)) {
		struct call *c = TAILQ_FIRST(&s->calls);

		process_cancel(c->process);
		c->request = NULL;
		call_free(c);
	}
	if (s->listens)
		unlink(s->options->docker_socket);
	free(s);
}
