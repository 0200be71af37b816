/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "lib/clock.h"
#include "lib/http_internal.h"

#define DATE_MAX_SIZE 64 /* "Sun, 06 Nov 1994 08:49:37 GMT", or an older form */

static const char name[] = "date:";

/* Scheme, host and port of a URL. */
static void copy_origin(const char *url, char *ret, size_t size)
{
	const char *host = strstr(url, "://");
	size_t len = host ? (size_t)(host - url) + 3 : 0;

	len += strcspn(url + len, "/?#");
	snprintf(ret, size, "%.*s", (int)len, url);
}

void http_clock_hear(struct http_client *client, CURL *easy, const char *line, size_t size)
{
	char text[DATE_MAX_SIZE];
	char *url = NULL;
	time_t date;

	if (client->owner)
		client = client->owner;
	if (size <= strlen(name) || size - strlen(name) >= sizeof(text) ||
	    strncasecmp(line, name, strlen(name)) != 0)
		return;
	memcpy(text, line + strlen(name), size - strlen(name));
	text[size - strlen(name)] = '\0';
	date = curl.getdate(text, NULL);
	if (date < 0 || curl.easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &url) != CURLE_OK || !url)
		return;
	client->clock.ahead_of_boot_ms = (int64_t)date * 1000 - clock_boot_ms();
	copy_origin(url, client->clock.where, sizeof(client->clock.where));
}

const struct http_clock *http_client_clock(const struct http_client *client)
{
	return &client->clock;
}

int64_t http_clock_ahead_s(const struct http_clock *clock, int64_t boot_ms, int64_t wall_ms)
{
	return (wall_ms - boot_ms - clock->ahead_of_boot_ms) / 1000;
}
