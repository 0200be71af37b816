/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/endpoints.h"

#include <errno.h>
#include <string.h>

#include "lib/buffer.h"

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

int endpoints_read(const char *list, bool tls, char ***ret, size_t *ret_len, struct err *e)
{
	*ret = xcalloc(ENDPOINTS_MAX, sizeof(**ret));
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
		if (*ret_len == ENDPOINTS_MAX)
			return err_set(e, -EINVAL, "more than %d endpoints", ENDPOINTS_MAX);
		if (read_url(given, tls, &(*ret)[*ret_len], e) < 0)
			return -EINVAL;
		(*ret_len)++;
	}
	return *ret_len ? 0 : err_set(e, -EINVAL, "the list of endpoints is empty");
}

void endpoints_free(char **urls, size_t len)
{
	for (size_t i = 0; i < len; i++)
		free(urls[i]);
	free(urls);
}

char *endpoints_escape(const char *text, const char *also)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
	auto_buffer struct buffer b = { 0 };

	for (const char *c = text; *c; c++) {
		if (strchr(plain, *c) || strchr(also, *c))
			buffer_putc(&b, *c);
		else
			buffer_printf(&b, "%%%02X", (unsigned char)*c);
	}
	return buffer_steal(&b);
}
