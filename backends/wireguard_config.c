/* SPDX-License-Identifier: Apache-2.0 */
/* What the network's configuration and a peer's lease say of wireguard. Both are flannel's forms. */
#include "backends/wireguard_internal.h"

#include <errno.h>
#include <string.h>

#include "lib/base64.h"

#define PORT_V4       51820
#define PORT_V6       51821
#define KEEPALIVE_MAX 65535

const char *const wireguard_mode_names[] = { "separate", "auto", "ipv4", "ipv6" };

/* ---- configuration ---- */

static int read_mode(const json_t *backend, enum wireguard_mode *ret, struct err *e)
{
	const char *text = wireguard_mode_names[WIREGUARD_SEPARATE];

	if (json_read_string(backend, "Mode", &text, e) < 0)
		return e->code;
	for (size_t i = 0; i < ARRAY_LEN(wireguard_mode_names); i++) {
		if (strcmp(text, wireguard_mode_names[i]) == 0) {
			*ret = (enum wireguard_mode)i;
			return 0;
		}
	}
	return err_set(e, -EINVAL, "Mode is \"%.40s\", must be separate, auto, ipv4 or ipv6", text);
}

/* Base64 of 32 bytes. What it is never stands in an error. */
static int read_key(const char *name, const char *text, uint8_t ret[static WIREGUARD_KEY_SIZE],
		    struct err *e)
{
	char *bytes = NULL;
	size_t size = 0;
	int rc = base64_decode(text, strlen(text), &bytes, &size, NULL);

	if (rc == 0 && size == WIREGUARD_KEY_SIZE)
		memcpy(ret, bytes, size);
	else
		rc = err_set(e, -EINVAL, "%s is not %d bytes in base64", name, WIREGUARD_KEY_SIZE);
	if (bytes)
		explicit_bzero(bytes, size);
	free(bytes);
	return rc;
}

static int read_preshared(const json_t *backend, struct wireguard *w, struct err *e)
{
	const char *text = NULL;

	if (json_read_string(backend, "PSK", &text, NULL) < 0)
		return err_set(e, -EINVAL, "PSK must be a string");
	return text && *text ? read_key("PSK", text, w->preshared, e) : 0;
}

static int read_numbers(const json_t *backend, struct wireguard *w, struct err *e)
{
	uint64_t port_v4 = PORT_V4;
	uint64_t port_v6 = PORT_V6;
	uint64_t keepalive = 0;
	uint64_t mtu = 0;
	int rc = json_read_uint(backend, "ListenPort", 1, 65535, &port_v4, e);

	if (rc == 0)
		rc = json_read_uint(backend, "ListenPortV6", 1, 65535, &port_v6, e);
	if (rc == 0)
		rc = json_read_uint(backend, "PersistentKeepaliveInterval", 0, KEEPALIVE_MAX,
				    &keepalive, e);
	if (rc == 0)
		rc = json_read_uint(backend, "MTU", 0, WIREGUARD_MTU_MAX, &mtu, e);
	if (rc < 0)
		return rc;
	w->ports[0] = (uint16_t)port_v4;
	w->ports[1] = (uint16_t)port_v6;
	w->keepalive_s = (uint16_t)keepalive;
	w->mtu_bytes = (uint32_t)mtu;
	return 0;
}

static int check_config(const struct wireguard *w, struct err *e)
{
	size_t least = w->sides[1].enabled ? 1 : 0;

	if (w->mtu_bytes && w->mtu_bytes < wireguard_needed_mtu(least))
		return err_set(e, -EINVAL, "MTU is %u, must be 0 or from %u to %u", w->mtu_bytes,
			       wireguard_needed_mtu(least), WIREGUARD_MTU_MAX);
	if (w->mode == WIREGUARD_IPV4 && !w->sides[0].enabled)
		return err_set(e, -EINVAL, "Mode is ipv4, but EnableIPv4 is false");
	if (w->mode == WIREGUARD_IPV6 && !w->sides[1].enabled)
		return err_set(e, -EINVAL, "Mode is ipv6, but EnableIPv6 is false");
	/* Each device has a socket of either family. */
	if (w->mode == WIREGUARD_SEPARATE && w->sides[0].enabled && w->sides[1].enabled &&
	    w->ports[0] == w->ports[1])
		return err_set(e, -EINVAL,
			       "ListenPort and ListenPortV6 are both %u, must be two different "
			       "ones in Mode separate",
			       w->ports[0]);
	return 0;
}

int wireguard_read_config(struct wireguard *w, const json_t *backend, struct err *e)
{
	int rc = read_mode(backend, &w->mode, e);

	if (rc == 0)
		rc = read_preshared(backend, w, e);
	if (rc == 0)
		rc = read_numbers(backend, w, e);
	return rc == 0 ? check_config(w, e) : rc;
}

/* ---- leases ---- */

static int parse_data(const char *text, uint8_t key[static WIREGUARD_KEY_SIZE], uint16_t *ret_port,
		      struct err *e)
{
	static const uint8_t zero[WIREGUARD_KEY_SIZE];
	auto_json json_t *object = NULL;
	const char *key_text = NULL;
	uint64_t port = 0;
	int rc = json_parse_object(text, strlen(text), &object, e);

	if (rc == 0)
		rc = json_read_string(object, "PublicKey", &key_text, e);
	if (rc == 0 && !key_text)
		rc = err_set(e, -EINVAL, "PublicKey is missing");
	if (rc == 0)
		rc = read_key("PublicKey", key_text, key, e);
	if (rc == 0 && memcmp(key, zero, sizeof(zero)) == 0)
		rc = err_set(e, -EINVAL, "PublicKey is zero, must be a key");
	/* flannel before 0.21 did not publish a port. */
	if (rc == 0)
		rc = json_read_uint(object, "Port", 0, 65535, &port, e);
	*ret_port = (uint16_t)port;
	return rc;
}

int wireguard_read_lease(const struct lease *peer, void **ret, struct err *e)
{
	const char *const texts[] = { peer->backend_data, peer->backend_v6_data };
	static const char *const names[] = { "BackendData", "BackendV6Data" };
	const struct ip_net *const subnets[] = { &peer->subnet.v4, &peer->subnet.v6 };
	struct wireguard_lease l = { 0 };
	struct wireguard_lease *kept;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (!ip_net_is_set(subnets[i]) || (i == 1 && backend_lacks_v6(peer)))
			continue;
		if (!texts[i])
			return err_set(e, -EINVAL, "%s: missing", names[i]);
		if (parse_data(texts[i], l.key[i], &l.port[i], e) < 0)
			return err_wrap(e, "%s", names[i]);
		l.has[i] = true;
	}
	kept = xmalloc(sizeof(*kept));
	*kept = l;
	*ret = kept;
	return 0;
}

void wireguard_describe_lease(const void *data, struct members *item)
{
	const struct wireguard_lease *l = data;
	size_t first = l && l->has[0] ? 0 : 1;

	if (!l || !l->has[first])
		return;
	auto_free char *key = base64_encode(l->key[first], sizeof(l->key[first]));

	member_text(item, "publicKey", key);
}
