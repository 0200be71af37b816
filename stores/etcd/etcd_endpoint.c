/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/etcd/etcd_endpoint.h"

#include "lib/endpoints.h"
#include "stores/etcd/etcd_json.h"

int etcd_endpoints_parse(const char *list, bool tls, const struct etcd_transport *transport,
			 struct etcd_endpoint **ret, size_t *ret_len, struct err *e)
{
	char **urls;
	int rc = endpoints_read(list, tls, &urls, ret_len, e);

	*ret = xcalloc(ENDPOINTS_MAX, sizeof(**ret));
	for (size_t i = 0; i < *ret_len; i++) {
		(*ret)[i].transport = transport;
		(*ret)[i].url = STEAL(urls[i]);
	}
	endpoints_free(urls, *ret_len);
	return rc;
}

void etcd_endpoints_free(struct etcd_endpoint *endpoints, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		free(endpoints[i].url);
		free(endpoints[i].no_grpc);
		free(endpoints[i].not_spoken);
	}
	free(endpoints);
}

void etcd_endpoint_fall_back(struct etcd_endpoint *ep, const char *why)
{
	free(ep->no_grpc);
	ep->no_grpc = xstrdup(why);
	ep->transport = &etcd_json_transport;
	ep->dialect = 0;
}

void etcd_endpoint_note_answer(struct etcd_endpoint *ep, const struct etcd_transport *wished,
			       int code, bool failed, char text[ETCD_TEXT_MAX])
{
	auto_free char *lack = xstrdup(text);

	if (code == ETCD_NOT_SPOKEN && ep->no_grpc)
		snprintf(text, ETCD_TEXT_MAX, "%.*s, and %.*s", ETCD_TEXT_MAX / 4, ep->no_grpc,
			 ETCD_TEXT_MAX / 2, lack);
	if (code == ETCD_NOT_SPOKEN || !failed) {
		free(ep->not_spoken);
		ep->not_spoken = code == ETCD_NOT_SPOKEN ? xstrdup(text) : NULL;
	}
	if (ep->no_grpc && (code == ETCD_NOT_SPOKEN || failed)) {
		free(STEAL(ep->no_grpc));
		ep->transport = wished;
		ep->dialect = 0;
	}
}

void etcd_endpoint_note_failure(struct etcd_endpoint *ep, const char *text)
{
	ep->errors++;
	snprintf(ep->last_error, sizeof(ep->last_error), "%.*s", (int)sizeof(ep->last_error) - 1,
		 text);
}

json_t *etcd_endpoint_describe(const struct etcd_endpoint *ep, bool current)
{
	return json_pack("{s:s,s:b,s:s,s:o,s:I,s:o}", "url", ep->url, "current", (int)current,
			 "transport", ep->transport->name, "transport_reason",
			 json_text(ep->no_grpc ? ep->no_grpc : ""), "errors",
			 (json_int_t)ep->errors, "last_error", json_text(ep->last_error));
}
