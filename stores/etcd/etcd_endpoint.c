/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/etcd/etcd_endpoint.h"

#include <errno.h>

#include "stores/etcd/etcd_json.h"

/* What may be shown of an endpoint that is refused: in front of the "@" may stand a password. */
static const char *without_user(const char *given)
{
	const char *at = strrchr(given, '@');

	return at ? at + 1 : given;
}

/* host:port or scheme://host:port, nothing behind it. */
static int read_url(const char *given, bool tls, char **ret, struct err *e)
{
	const char *host = given;
	const char *scheme = tls ? "https" : "http";
	size_t host_size;

	if (strncmp(given, "http://", 7) == 0) {
		scheme = "http";
		host += 7;
	} else if (strncmp(given, "https://", 8) == 0) {
		scheme = "https";
		host += 8;
	} else if (strstr(given, "://")) {
		return err_set(e, -EINVAL, "\"%.100s\": the scheme must be http or https",
			       without_user(given));
	}
	host_size = strcspn(host, "/?#");
	if (host_size == 0 || strcspn(host, " \t@") < host_size ||
	    (host[host_size] && strcmp(host + host_size, "/") != 0))
		return err_set(e, -EINVAL,
			       "\"%.100s\" must be http://host:port or https://host:port",
			       without_user(given));
	*ret = xasprintf("%s://%.*s", scheme, (int)host_size, host);
	return 0;
}

int etcd_endpoints_parse(const char *list, bool tls, const struct etcd_transport *transport,
			 struct etcd_endpoint **ret, size_t *ret_len, struct err *e)
{
	*ret = xcalloc(ETCD_ENDPOINTS_MAX, sizeof(**ret));
	*ret_len = 0;
	for (const char *p = list; *p;) {
		size_t size = strcspn(p, ",");
		const char *next = p + size + (p[size] == ',');
		auto_free char *given = NULL;

		while (size && (*p == ' ' || *p == '\t')) {
			p++;
			size--;
		}
		while (size && (p[size - 1] == ' ' || p[size - 1] == '\t'))
			size--;
		given = xstrndup(p, size);
		p = next;
		if (size == 0)
			continue;
		if (*ret_len == ETCD_ENDPOINTS_MAX)
			return err_set(e, -EINVAL, "more than %d endpoints", ETCD_ENDPOINTS_MAX);
		if (read_url(given, tls, &(*ret)[*ret_len].url, e) < 0)
			return -EINVAL;
		(*ret)[(*ret_len)++].transport = transport;
	}
	return *ret_len ? 0 : err_set(e, -EINVAL, "the list of endpoints is empty");
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
