/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An asynchronous HTTP client: libcurl's multi interface driven by a libevent loop.
 *
 * A call ends in exactly one on_done, from the loop, never from inside http_call_start and never
 * after http_call_cancel. Reply bodies are bounded. A dead peer is noticed by TCP keepalive and
 * user timeout; a peer that is alive but silent only by the caller's timeout.
 */
#ifndef LIB_HTTP_H
#define LIB_HTTP_H

#include "lib/err.h"

/* Connections to one host and port at a time; a call beyond them waits, within its timeout. */
#define HTTP_HOST_CONNECTIONS_MAX 8

struct event_base;
struct http_client;
struct http_call;

/* PEM, each as the path of a file or as a text; NULL: the system's roots, no client certificate. Peer
 * and host name are always verified. */
struct http_tls {
	const char *ca_file;
	const char *cert_file;
	const char *key_file;
	const char *ca_pem;
	const char *cert_pem;
	const char *key_pem;
};

struct http_reply {
	int code;              /* 0, or a negative errno if there was no complete answer; of gRPC,
			     -EPROTONOSUPPORT: the other end does not speak it, nothing was done */
	long status;           /* HTTP status, 0 if none came */
	int64_t retry_after_s; /* what the header of this name asks for, also as a date; 0: nothing */
	const char *body;      /* NUL-terminated; empty when streamed */
	size_t body_size;
	const char *error; /* sentence if code is not 0 */
	bool sent;         /* false: not one byte of the request left, so nobody has acted on it */
	const struct http_call *call; /* for http_reply_header */
	/* gRPC; if there was none the answer is a failure, whatever `code` says: -1 */
	int grpc_status;
	const char *grpc_message; /* a line of text, "" if there was none */
};

struct http_request {
	const char *url;
	const char *const *headers; /* "Name: value" lines, NULL-terminated; may be NULL */
	const char *method;         /* "PATCH"; NULL: POST if there is a body, else GET */
	const char *body;           /* copied */
	size_t body_size;
	const char *unix_socket;    /* NULL: TCP */
	const struct http_tls *tls; /* may be NULL */
	int64_t connect_timeout_ms;
	int64_t timeout_ms;    /* of the whole call; 0: none */
	size_t max_reply_size; /* of a stream: between two deliveries */
	/*
	 * A connection of its own, closed afterwards. On one that was kept open and turns out to be
	 * closed libcurl sends the request again by itself, and the first may have been acted on.
	 */
	bool fresh;
	/*
	 * By HTTP/2, with a body of gRPC's frames, to the end that grpc-status is. All such calls to
	 * one host and port share a connection, `fresh` ones as well: what that is to avoid is
	 * avoided otherwise. With on_data our side of the stream stays open until the call ends.
	 */
	bool grpc;
	/* If set, told once when an answer with status 200 has begun, before its first piece. */
	void (*on_open)(void *arg);
	/* If set, the reply body comes in pieces as it arrives, only for status 200; others are
	 * collected. */
	void (*on_data)(void *arg, const char *data, size_t size);
	/*
	 * Of a stream by gRPC, may be NULL: there is reason to doubt that it will bring anything. No
	 * connection can be made to its server now, or it has said what is no part of an answer while nothing but
	 * streams was open: such is GOAWAY, with which a server that is about to end takes no more
	 * calls and which libcurl keeps to itself, but a ping is too. No call may be started or
	 * cancelled from it.
	 */
	void (*on_doubt)(void *arg);
	void (*on_done)(void *arg, const struct http_reply *reply);
	void *arg;
};

struct http_client *http_client_new(struct event_base *base);
/* Loads libcurl, without which http_call_start must not be called. Errors as those of curl_load. */
int http_client_load(struct http_client *client, struct err *e) MUST_CHECK;
/* All calls must be done or cancelled. */
void http_client_free(struct http_client *client);

/*
 * Another client on the same loop, whose connections have nothing to do with this one's: libcurl takes
 * an answer in HTTP/1.1 as word that no connection to that host and port can be shared, those of gRPC too,
 * and has the next call wait until it knows. It is this one's, what it hears of clocks as well. Loads
 * libcurl, as http_client_load.
 */
int http_client_apart(struct http_client *client, struct http_client **ret,
		      struct err *e) MUST_CHECK;

/*
 * Cuts each connection whose own address this host no longer has: what it sends will never be
 * answered. Calls under way on it end with an error, the next ones connect anew. To be called when
 * addresses may have changed; the others stay, whatever else has.
 */
void http_client_addresses_changed(struct http_client *client);

/* The clock of whoever answers, as the headers called Date tell it. */
struct http_clock {
	int64_t ahead_of_boot_ms; /* of CLOCK_BOOTTIME, so that it stays right when our own clock is set */
	char where[128];          /* "https://192.0.2.201:2379"; "": none has told it yet */
};

/* As the newest answer has it that came over a network; those of gRPC without TLS do not. */
const struct http_clock *http_client_clock(const struct http_client *client);
/* By how much a wall clock that shows `wall_ms` at `boot_ms` is ahead of it; negative: behind. A Date has
 * no fractions of a second, and was sent some time before it came. */
int64_t http_clock_ahead_s(const struct http_clock *clock, int64_t boot_ms, int64_t wall_ms);

struct http_call *http_call_start(struct http_client *client, const struct http_request *request);
/* The value of a header of the answer, the first of that name; NULL: there is none. Of use inside on_done, and
 * gone after it. */
const char *http_reply_header(const struct http_reply *reply, const char *name);
/* May be called from on_open, on_data and, for other calls, from on_done. NULL is fine. */
void http_call_cancel(struct http_call *call);

#endif
