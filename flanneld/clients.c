/* SPDX-License-Identifier: Apache-2.0 */
#include "flanneld/clients.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "lib/log.h"

#define LOOK_S           1    /* at who has gone */
#define DESCRIPTORS_WANT 4096 /* more than that we never need */

struct client {
	struct clients *clients;
	struct bufferevent *bev; /* evhttp's; the reference to it is ours */
	uid_t user;
	bool known; /* its user was asked for */
	bool kept;
	bool dismissed;
	TAILQ_ENTRY(client) link;
};

struct clients {
	struct event_base *base;
	const char *server; /* for people */
	size_t max;
	size_t per_user;
	size_t read_ahead;
	TAILQ_HEAD(, client) list; /* silent longest first */
	struct event *look;
	struct evconnlistener *listener;
	struct event *resume;
	LIST_ENTRY(clients) link;
};

/* An error callback is given what evhttp registered, not what we could: found by the listener. */
static LIST_HEAD(, clients) all = LIST_HEAD_INITIALIZER(all);

/* ---- coming and going ---- */

/* evhttp has let go of it: its callbacks are gone. */
static bool is_gone(const struct client *client)
{
	bufferevent_event_cb event;

	bufferevent_getcb(client->bev, NULL, NULL, &event, NULL);
	return !event;
}

static void client_free(struct clients *c, struct client *client)
{
	TAILQ_REMOVE(&c->list, client, link);
	bufferevent_decref(client->bev);
	free(client);
}

static uid_t user_of(const struct client *client)
{
	evutil_socket_t fd = bufferevent_getfd(client->bev);
	socklen_t size = sizeof(int);
	struct ucred peer;
	int domain;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 || domain != AF_UNIX)
		return (uid_t)-1;
	size = sizeof(peer);
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ? (uid_t)-1 : peer.uid;
}

static size_t count(const struct clients *c, const uid_t *user, bool kept)
{
	const struct client *client;
	size_t len = 0;

	TAILQ_FOREACH (client, &c->list, link)
		len += !client->dismissed && (!user || client->user == *user) &&
		       (!kept || client->kept);
	return len;
}

/* The one that was silent longest, of this user or of any. evhttp sees the end and cleans up. */
static void dismiss_one(struct clients *c, const uid_t *user)
{
	struct client *client;

	TAILQ_FOREACH (client, &c->list, link) {
		if (client->dismissed || client->kept || (user && client->user != *user))
			continue;
		client->dismissed = true;
		log_info("client-dismissed",
			 "%zu connections to the %s, %zu of uid %d: the one that was "
			 "silent longest is closed",
			 count(c, NULL, false) + 1, c->server, count(c, &client->user, false) + 1,
			 (int)client->user);
		shutdown(bufferevent_getfd(client->bev), SHUT_RDWR);
		return;
	}
}

static void on_look(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	static const struct timeval later = { LOOK_S, 0 };
	struct clients *c = arg;
	struct client *next;

	for (struct client *client = TAILQ_FIRST(&c->list); client; client = next) {
		next = TAILQ_NEXT(client, link);
		if (is_gone(client)) {
			client_free(c, client);
			continue;
		}
		if (client->known)
			continue;
		client->known = true;
		client->user = user_of(client);
		if (count(c, &client->user, false) > c->per_user)
			dismiss_one(c, &client->user);
		else if (count(c, NULL, false) > c->max)
			dismiss_one(c, NULL);
	}
	if (!TAILQ_EMPTY(&c->list))
		event_add(c->look, &later);
}

/* For evhttp: what the next connection is read and written with. Its socket is not told yet. */
static struct bufferevent *on_connection(struct event_base *base, void *arg)
{
	struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	struct clients *c = arg;
	struct client *client;

	if (!bev)
		return NULL;
	bufferevent_setwatermark(bev, EV_READ, 0, c->read_ahead);
	bufferevent_incref(bev);
	client = xcalloc(1, sizeof(*client));
	client->clients = c;
	client->bev = bev;
	client->user = (uid_t)-1;
	TAILQ_INSERT_TAIL(&c->list, client, link);
	event_active(c->look, 0, 0);
	return bev;
}

static size_t descriptors(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (size_t)limit.rlim_cur : 1024;
}

struct clients *clients_new(struct event_base *base, struct evhttp *http, const char *server,
			    size_t per_user, size_t read_ahead)
{
	struct clients *c = xcalloc(1, sizeof(*c));
	size_t have = descriptors();
	/* There may be three listeners. */
	size_t room = have > CLIENTS_DESCRIPTORS ? (have - CLIENTS_DESCRIPTORS) / 3 : 0;

	c->base = base;
	c->server = server;
	c->max = MIN(MAX(room, (size_t)4), (size_t)CLIENTS_MAX);
	c->per_user = MIN(per_user, c->max);
	c->read_ahead = read_ahead;
	TAILQ_INIT(&c->list);
	c->look = evtimer_new(base, on_look, c);
	evhttp_set_bevcb(http, on_connection, c);
	LIST_INSERT_HEAD(&all, c, link);
	return c;
}

void clients_free(struct clients *c)
{
	if (!c)
		return;
	LIST_REMOVE(c, link);
	while (!TAILQ_EMPTY(&c->list))
		client_free(c, TAILQ_FIRST(&c->list));
	event_free(c->look);
	if (c->resume)
		event_free(c->resume);
	free(c);
}

/* ---- accepting ---- */

static const struct timeval accept_pause = { CLIENTS_ACCEPT_PAUSE_S, 0 };

static void on_resume(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct clients *c = arg;

	if (evconnlistener_enable(c->listener) < 0)
		event_add(c->resume, &accept_pause);
}

static void on_accept_error(struct evconnlistener *listener, void *arg UNUSED)
{
	int error = errno;
	struct clients *c;

	LIST_FOREACH (c, &all, link) {
		if (c->listener != listener)
			continue;
		log_warn("client-not-accepted", "%s; the %s takes nobody for %d s", strerror(error),
			 c->server, CLIENTS_ACCEPT_PAUSE_S);
		evconnlistener_disable(listener);
		event_add(c->resume, &accept_pause);
	}
}

int clients_guard_listener(struct clients *c, struct evconnlistener *listener)
{
	c->listener = listener;
	c->resume = evtimer_new(c->base, on_resume, c);
	evconnlistener_set_error_cb(listener, on_accept_error);
	return evconnlistener_enable(listener) < 0 ? -ENOMEM : 0;
}

/* ---- requests ---- */

static struct client *find(struct evhttp_request *request)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(request);
	struct bufferevent *bev = evhttp_connection_get_bufferevent(connection);
	struct client *client;
	struct clients *c;

	LIST_FOREACH (c, &all, link) {
		TAILQ_FOREACH (client, &c->list, link) {
			if (client->bev == bev)
				return client;
		}
	}
	return NULL;
}

void clients_touch(struct evhttp_request *request)
{
	struct client *client = find(request);

	if (!client)
		return;
	TAILQ_REMOVE(&client->clients->list, client, link);
	TAILQ_INSERT_TAIL(&client->clients->list, client, link);
}

uid_t clients_user(struct evhttp_request *request)
{
	const struct client *client = find(request);

	return client ? user_of(client) : (uid_t)-1;
}

bool clients_keep(struct evhttp_request *request)
{
	struct client *client = find(request);
	struct clients *c = client ? client->clients : NULL;
	uid_t user;

	if (!client)
		return false;
	user = user_of(client);
	if (count(c, NULL, true) >= CLIENTS_WATCHERS ||
	    count(c, &user, true) >= MIN((size_t)CLIENTS_WATCHERS_USER, c->per_user / 2))
		return false;
	client->user = user;
	client->kept = true;
	return true;
}

size_t clients_queued(void)
{
	const struct client *client;
	const struct clients *c;
	size_t size = 0;

	LIST_FOREACH (c, &all, link) {
		TAILQ_FOREACH (client, &c->list, link)
			size += evbuffer_get_length(bufferevent_get_output(client->bev));
	}
	return size;
}

void clients_raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= DESCRIPTORS_WANT)
		return;
	limit.rlim_cur = MIN(limit.rlim_max, (rlim_t)DESCRIPTORS_WANT);
	setrlimit(RLIMIT_NOFILE, &limit);
}
