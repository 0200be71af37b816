#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# libevent 2.1.12 (2.1.12-stable-8+deb12u1 of Debian 12): an HTTP client over a connection that the caller has made,
# evhttp_connection_base_bufferevent_new() with a bufferevent that is connected to a UNIX socket.
#
# One would expect: the request is written to the connection that was handed over, since that is what the bufferevent is for; address
# and port are needed for the Host header.
# What happens: the first request closes the connected socket and dials address and port by TCP. The server behind the UNIX socket sees
# a connection without a byte, and whoever listens at the TCP port gets the request. Nothing reports it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -o APT::Sandbox::User=root download -qq libevent-dev=2.1.12-stable-8+deb12u1 libevent-2.1-7=2.1.12-stable-8+deb12u1 >/dev/null
for package in *.deb; do dpkg -x "$package" .; done
lib=$work/usr/lib/$(uname -m)-linux-gnu

cat >client.c <<'C'
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static int unix_connections, tcp_connections, unix_requests, tcp_requests;
static struct event_base *base;

static void on_request(struct evhttp_request *request, void *counter)
{
	++*(int *)counter;
	evhttp_send_reply(request, 200, "OK", NULL);
}

static void on_answer(struct evhttp_request *request, void *arg)
{
	(void)arg;
	printf("answer: %d\n", request ? evhttp_request_get_response_code(request) : -1);
	event_base_loopbreak(base);
}

static struct bufferevent *count(struct event_base *b, void *counter)
{
	++*(int *)counter;
	return bufferevent_socket_new(b, -1, BEV_OPT_CLOSE_ON_FREE);
}

static struct evhttp *serve(struct evconnlistener *listener, int *connections, int *requests)
{
	struct evhttp *http = evhttp_new(base);

	if (!listener || !evhttp_bind_listener(http, listener))
		exit(2);
	evhttp_set_bevcb(http, count, connections);
	evhttp_set_gencb(http, on_request, requests);
	return http;
}

static struct bufferevent *bev;
static struct sockaddr_in tcp = { .sin_family = AF_INET };

static void ask(evutil_socket_t fd, short what, void *arg)
{
	struct evhttp_connection *connection;
	struct evhttp_request *request;

	(void)fd, (void)what, (void)arg;
	connection = evhttp_connection_base_bufferevent_new(base, NULL, bev, "127.0.0.1", ntohs(tcp.sin_port));
	request = evhttp_request_new(on_answer, NULL);
	evhttp_add_header(evhttp_request_get_output_headers(request), "Host", "localhost");
	if (evhttp_make_request(connection, request, EVHTTP_REQ_GET, "/"))
		exit(2);
}

static void on_event(struct bufferevent *of, short what, void *arg)
{
	(void)of, (void)arg;
	if (!(what & BEV_EVENT_CONNECTED))
		exit(2);
	printf("connected to the UNIX socket\n");
	event_base_once(base, -1, EV_TIMEOUT, ask, NULL, NULL);
}

int main(void)
{
	struct sockaddr_un path = { .sun_family = AF_UNIX, .sun_path = "socket" };
	struct timeval limit = { 10, 0 };
	socklen_t size = sizeof(tcp);
	struct evconnlistener *listener;

	tcp.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	base = event_base_new();
	listener = evconnlistener_new_bind(base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE, 8, (struct sockaddr *)&path, sizeof(path));
	serve(listener, &unix_connections, &unix_requests);
	listener = evconnlistener_new_bind(base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE, 8, (struct sockaddr *)&tcp, sizeof(tcp));
	serve(listener, &tcp_connections, &tcp_requests);
	getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&tcp, &size);
	bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(bev, NULL, NULL, on_event, NULL);
	if (bufferevent_socket_connect(bev, (struct sockaddr *)&path, sizeof(path)))
		return 2;
	event_base_loopexit(base, &limit);
	event_base_dispatch(base);
	printf("UNIX socket: %d connection, %d requests\n", unix_connections, unix_requests);
	printf("TCP port: %d connection, %d request\n", tcp_connections, tcp_requests);
	return !(unix_connections == 1 && unix_requests == 0 && tcp_connections == 1 && tcp_requests == 1);
}
C
gcc -Wall -I usr/include -I "usr/include/$(uname -m)-linux-gnu" client.c "$lib"/libevent-2.1.so.7 -Wl,-rpath,"$lib" -o client
echo "libevent 2.1.12"
./client
