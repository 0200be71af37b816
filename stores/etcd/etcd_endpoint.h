/* SPDX-License-Identifier: Apache-2.0 */
/* One endpoint of an etcd cluster: where it is, how it is spoken with, what it answered last. */
#ifndef STORES_ETCD_ENDPOINT_H
#define STORES_ETCD_ENDPOINT_H

#include "lib/json.h"
#include "stores/etcd/etcd_transport.h"

struct etcd_endpoint {
	char *url; /* scheme://host:port */
	const struct etcd_transport *transport;
	unsigned dialect;
	char *no_grpc;    /* why it is asked by JSON, if that was not our wish */
	char *not_spoken; /* as it answered last: what it lacks, and what to do; NULL: nothing */
	uint64_t errors;
	char last_error[300];
};

/*
 * As endpoints_read. What is returned is released with etcd_endpoints_free, also if it failed.
 */
int etcd_endpoints_parse(const char *list, bool tls, const struct etcd_transport *transport,
			 struct etcd_endpoint **ret, size_t *ret_len, struct err *e) MUST_CHECK;
void etcd_endpoints_free(struct etcd_endpoint *endpoints, size_t len);

/* From now on it is asked by JSON: `why` goes on from its name. */
void etcd_endpoint_fall_back(struct etcd_endpoint *ep, const char *why);
/*
 * What an answer says of how it can be spoken with: after a failure (`failed`: there was none) who listens
 * there may be another, and `wished` is tried again. Of ETCD_NOT_SPOKEN `text` becomes the whole of it.
 */
void etcd_endpoint_note_answer(struct etcd_endpoint *ep, const struct etcd_transport *wished,
			       int code, bool failed, char text[ETCD_TEXT_MAX]);
void etcd_endpoint_note_failure(struct etcd_endpoint *ep, const char *text);
/* {"url":...,"current":bool,"transport":...,"transport_reason":...,"errors":n,"last_error":...} */
json_t *etcd_endpoint_describe(const struct etcd_endpoint *ep, bool current);

#endif
