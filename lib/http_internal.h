/* SPDX-License-Identifier: Apache-2.0 */
/* What http.c and http_grpc.c share; for nobody else. */
#ifndef LIB_HTTP_INTERNAL_H
#define LIB_HTTP_INTERNAL_H

#include "lib/http.h"

#include <sys/queue.h>

#include "lib/curl.h"

TAILQ_HEAD(http_calls, http_call);

/* Scheme, host and port that gRPC is spoken with; it lives as long as its client. */
struct http_origin {
	struct http_client *client;
	struct http_origin *next;
	char *name;
	bool is_tls;
	curl_socket_t *sockets; /* of its connections */
	size_t sockets_len;
	size_t sockets_cap;
	bool is_open;              /* a connection of HTTP/2 stands */
	size_t bytes;              /* that came of answers so far */
	struct http_call *opener;  /* is about to make one */
	struct http_calls held;    /* until it has */
	struct http_calls streams; /* open ones, of those with on_doubt */
};

struct http_client {
	curl_socket_t *sockets; /* open ones, for http_client_addresses_changed */
	size_t sockets_len;
	size_t sockets_cap;
	struct event_base *base;
	CURLM *multi;
	struct event *timer;
	struct event *kick;        /* looks at what a start has brought about */
	struct http_calls streams; /* with data to deliver */
	struct http_clock clock;
	struct http_client *apart; /* http_client_apart's; NULL: nobody has asked for it */
	struct http_client *owner; /* whose it is; NULL: this is none */
	struct http_calls ended;   /* their end is there, whatever libcurl thinks */
	struct http_origin *origins;
	size_t grpc_calls; /* libcurl has */
	size_t grpc_bytes; /* that came for them so far */
};

struct http_call {
	struct http_client *client;
	CURL *easy;
	struct curl_slist *headers;
	struct http_request request;
	char *certificate; /* shown to the server: its file, or what it is; NULL: none */
	char *in;
	size_t in_size;
	size_t in_cap;
	bool too_large;
	struct event *deadline; /* NULL: it has none */
	bool is_overdue;
	bool has_ended; /* is in client->ended: nothing that comes now changes how */
	TAILQ_ENTRY(http_call) ended_link;
	bool is_open;     /* an answer of status 200 has begun */
	bool open_is_due; /* ... and on_open is to be told so */
	bool in_streams;
	TAILQ_ENTRY(http_call) streams_link;
	char error[CURL_ERROR_SIZE];
	/* gRPC */
	struct http_origin *origin;
	bool is_opener; /* made a connection for itself */
	bool is_held;
	bool is_http1; /* so it was answered */
	bool is_late;  /* the connection that it counted on was gone: it was not sent */
	int unsent;    /* the -errno with which its opener failed */
	bool is_added; /* libcurl has it */
	char *out;     /* the request's body */
	size_t out_read;
	size_t bytes_before; /* origin->bytes, when it was sent */
	int grpc_status;     /* -1: none came */
	char *grpc_message;
	TAILQ_ENTRY(http_call) held_link;
	TAILQ_ENTRY(http_call) doubt_link; /* in origin->streams, if request.on_doubt */
};

/* Gives it to libcurl. */
void http_call_add(struct http_call *call);
/* It is told its end before the loop's next turn, unless it has one. */
void http_call_end(struct http_call *call);
curl_socket_t http_open_socket(struct http_client *client, const struct curl_sockaddr *addr);
int http_close_socket(struct http_client *client, curl_socket_t fd);
/* Bytes that came of an answer; CURLOPT_WRITEFUNCTION. */
size_t http_on_write(char *data, size_t size, size_t len, void *arg);

/* http_clock.c: takes note of a line of an answer's head if it is the Date. */
void http_clock_hear(struct http_client *client, CURL *easy, const char *line, size_t size);

/* http_grpc.c: what is different for a call with request.grpc. */
/* Sets it up and sends it. */
void http_grpc_start(struct http_call *call, const struct http_request *request);
/* It timed out, and is about to be taken from libcurl. */
void http_grpc_timed_out(struct http_call *call);
/*
 * Libcurl has looked at a socket, which had something to read (`readable`) when `bytes_before` had come
 * for calls: what it may have left unread, what was held and is no more, what came for nobody.
 */
void http_grpc_look(struct http_client *client, bool readable, size_t bytes_before);
/* Libcurl has ended it, but nothing was done by anybody: it may be sent again. */
bool http_grpc_may_go_again(struct http_call *call, CURLcode result);
/* Adds it or holds it. */
void http_grpc_send(struct http_call *call);
/* The call is about to be told its end: reply->code and error if they are not libcurl's. */
void http_grpc_judge(struct http_call *call, CURLcode result, struct http_reply *reply);
/* It goes: `reply` is what it is told, NULL if it was cancelled. */
void http_grpc_leave(struct http_call *call, const struct http_reply *reply);
void http_grpc_fini(struct http_client *client);

#endif
