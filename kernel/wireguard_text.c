/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said on wireguard-go's socket: lines of key=value, keys in hexadecimal digits, and an empty
 * line at the end. Source: wireguard.com/xplatform.
 */
#include "kernel/wireguard.h"

#include <errno.h>
#include <string.h>

#define KEY_TEXT (2 * WIREGUARD_KEY_SIZE + 1)

/* As in wireguard_message.c: an allowed-ip is taken away by giving it to nobody, who leaves. */
static const uint8_t nobody[WIREGUARD_KEY_SIZE] = "flanneld: nobody has this key...";

static const char *key_format(const uint8_t *key, char buf[static KEY_TEXT])
{
	for (size_t i = 0; i < WIREGUARD_KEY_SIZE; i++)
		snprintf(buf + 2 * i, 3, "%02x", key[i]);
	return buf;
}

static void format_peer(const struct wireguard_peer *p, char *ret)
{
	char endpoint[IP_ADDR_TEXT + 32] = "";
	char preshared[KEY_TEXT];
	char address[IP_ADDR_TEXT];
	char key[KEY_TEXT];

	if (ip_addr_is_set(&p->address)) {
		ip_addr_format(&p->address, address);
		snprintf(endpoint, sizeof(endpoint),
			 p->address.family == AF_INET ? "endpoint=%s:%u\n" : "endpoint=[%s]:%u\n",
			 address, p->port);
	}
	snprintf(ret, WIREGUARD_TEXT_MAX,
		 "set=1\npublic_key=%s\npreshared_key=%s\n%spersistent_keepalive_interval=%u\n\n",
		 key_format(p->key, key), key_format(p->preshared, preshared), endpoint,
		 p->keepalive_s);
	explicit_bzero(preshared, sizeof(preshared));
}

static void format_interface(const struct wireguard_interface *i, char *ret)
{
	char key[KEY_TEXT];

	snprintf(ret, WIREGUARD_TEXT_MAX, "set=1\nprivate_key=%s\nfwmark=%u\nlisten_port=%u\n\n",
		 key_format(i->private_key, key), i->mark, i->port);
	explicit_bzero(key, sizeof(key));
}

void wireguard_format(const struct wireguard_change *c, char ret[static WIREGUARD_TEXT_MAX])
{
	char net[IP_NET_TEXT] = "";
	char key[KEY_TEXT];

	if (c->verb == WIREGUARD_PUT_ALLOWED_IP || c->verb == WIREGUARD_DROP_ALLOWED_IP)
		ip_net_format(&c->net, net);
	switch (c->verb) {
	case WIREGUARD_SET_INTERFACE:
		format_interface(&c->interface, ret);
		break;
	case WIREGUARD_PUT_PEER:
		format_peer(&c->peer, ret);
		break;
	case WIREGUARD_DROP_PEER:
		snprintf(ret, WIREGUARD_TEXT_MAX, "set=1\npublic_key=%s\nremove=true\n\n",
			 key_format(c->peer.key, key));
		break;
	case WIREGUARD_PUT_ALLOWED_IP:
		snprintf(ret, WIREGUARD_TEXT_MAX,
			 "set=1\npublic_key=%s\nupdate_only=true\nallowed_ip=%s\n\n",
			 key_format(c->peer.key, key), net);
		break;
	case WIREGUARD_DROP_ALLOWED_IP:
		key_format(nobody, key);
		snprintf(ret, WIREGUARD_TEXT_MAX,
			 "set=1\npublic_key=%s\nallowed_ip=%s\npublic_key=%s\nremove=true\n\n", key,
			 net, key);
		break;
	}
}

/* ---- reading ---- */

struct reader {
	const struct wireguard_visitor *visitor;
	void *arg;
	struct wireguard_interface interface;
	struct wireguard_peer peer;
	bool in_peer;
	bool peer_shown;
	bool ended;
	int code; /* errno= */
};

static int digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

static bool read_key(const char *text, uint8_t ret[static WIREGUARD_KEY_SIZE])
{
	if (strlen(text) != 2 * (size_t)WIREGUARD_KEY_SIZE)
		return false;
	for (size_t i = 0; i < WIREGUARD_KEY_SIZE; i++) {
		int high = digit(text[2 * i]);
		int low = digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		ret[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static bool read_number(const char *text, uint64_t max, uint64_t *ret)
{
	char *end = NULL;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end || text[0] == '-' || value > max)
		return false;
	*ret = value;
	return true;
}

/* 192.0.2.1:51820, [2001:db8::1]:51820 */
static bool read_endpoint(const char *text, struct wireguard_peer *ret)
{
	const char *colon = strrchr(text, ':');
	char address[IP_ADDR_TEXT + 2];
	struct ip_addr parsed;
	size_t size = colon ? (size_t)(colon - text) : 0;
	const char *first = address;
	uint64_t port = 0;

	if (!size || size >= sizeof(address) || !read_number(colon + 1, UINT16_MAX, &port))
		return false;
	memcpy(address, text, size);
	address[size] = '\0';
	if (address[0] == '[' && address[size - 1] == ']') {
		address[size - 1] = '\0';
		first++;
	}
	/* A link-local address has its interface behind it; ours never are. */
	address[strcspn(address, "%")] = '\0';
	if (ip_addr_parse(first, first == address ? AF_INET : AF_INET6, &parsed, NULL) < 0)
		return false;
	ret->address = parsed;
	ret->port = (uint16_t)port;
	return true;
}

static void show_peer(struct reader *r)
{
	if (!r->in_peer || r->peer_shown)
		return;
	r->peer_shown = true;
	if (r->visitor->peer)
		r->visitor->peer(r->arg, &r->peer);
}

static bool read_allowed_ip(struct reader *r, const char *text)
{
	struct ip_net net;

	if (ip_net_parse(text, strchr(text, ':') ? AF_INET6 : AF_INET, &net, NULL) < 0)
		return false;
	show_peer(r);
	if (r->visitor->allowed_ip)
		r->visitor->allowed_ip(r->arg, r->peer.key, &net);
	return true;
}

static bool read_peer_line(struct reader *r, const char *key, const char *value)
{
	struct wireguard_peer *p = &r->peer;
	uint64_t n = 0;

	if (strcmp(key, "preshared_key") == 0)
		return read_key(value, p->preshared);
	if (strcmp(key, "endpoint") == 0)
		return read_endpoint(value, p);
	if (strcmp(key, "allowed_ip") == 0)
		return read_allowed_ip(r, value);
	if (strcmp(key, "last_handshake_time_sec") == 0) {
		bool good = read_number(value, INT64_MAX, &n);

		p->handshake_s = (int64_t)n;
		return good;
	}
	if (strcmp(key, "tx_bytes") == 0)
		return read_number(value, UINT64_MAX, &p->sent_bytes);
	if (strcmp(key, "rx_bytes") == 0)
		return read_number(value, UINT64_MAX, &p->received_bytes);
	if (strcmp(key, "persistent_keepalive_interval") == 0) {
		bool good = read_number(value, UINT16_MAX, &n);

		p->keepalive_s = (uint16_t)n;
		return good;
	}
	/* protocol_version, last_handshake_time_nsec, and what there will be. */
	return true;
}

static bool read_line(struct reader *r, const char *key, const char *value)
{
	uint64_t n = 0;

	if (strcmp(key, "errno") == 0) {
		show_peer(r);
		r->ended = true;
		/* Negative, whatever its documentation says. */
		if (!read_number(value + (*value == '-'), INT32_MAX, &n))
			return false;
		r->code = -(int)n;
		return true;
	}
	if (strcmp(key, "public_key") == 0) {
		show_peer(r);
		r->in_peer = true;
		r->peer_shown = false;
		r->peer = (struct wireguard_peer){ 0 };
		return read_key(value, r->peer.key);
	}
	if (r->in_peer)
		return read_peer_line(r, key, value);
	if (strcmp(key, "private_key") == 0)
		return read_key(value, r->interface.private_key);
	if (strcmp(key, "listen_port") == 0) {
		if (!read_number(value, UINT16_MAX, &n))
			return false;
		r->interface.port = (uint16_t)n;
	} else if (strcmp(key, "fwmark") == 0) {
		if (!read_number(value, UINT32_MAX, &n))
			return false;
		r->interface.mark = (uint32_t)n;
	}
	return true;
}

int wireguard_parse(const char *text, size_t size, const struct wireguard_visitor *v, void *arg,
		    struct err *e)
{
	struct reader r = { .visitor = v, .arg = arg };
	const char *end = text + size;
	int rc = 0;

	while (rc == 0 && !r.ended && text < end) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		char line[WIREGUARD_TEXT_MAX];
		char *value;

		if (!stop || stop - text >= (ptrdiff_t)sizeof(line))
			break;
		memcpy(line, text, (size_t)(stop - text));
		line[stop - text] = '\0';
		text = stop + 1;
		value = strchr(line, '=');
		if (value)
			*value++ = '\0';
		if (!value || !read_line(&r, line, value))
			rc = err_set(e, -EPROTO, "wireguard-go: cannot read its %.40s", line);
		explicit_bzero(line, sizeof(line));
	}
	if (rc == 0 && !r.ended)
		rc = err_set(e, -EPROTO, "wireguard-go: its answer has no end");
	else if (rc == 0 && r.code)
		rc = err_set(e, r.code, "wireguard-go: %s", strerror(-r.code));
	if (rc == 0 && v->interface)
		v->interface(arg, &r.interface);
	explicit_bzero(&r, sizeof(r));
	return rc;
}
