/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/etcd/etcd_transport.h"

#include <errno.h>

int etcd_transport_failure(const struct http_reply *http, char text[ETCD_TEXT_MAX])
{
	snprintf(text, ETCD_TEXT_MAX, "%s", http->error);
	return http->code == -EFBIG ? ETCD_TOO_LARGE : ETCD_UNAVAILABLE;
}
