/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backend made only for tests, which uses every part of the interface (backends/backend.h). Whoever
 * links this file has it under the name "test".
 *
 *   device      flannel-test, of the kind bridge, from the moment the live part is ready
 *   key         of this host; its first bytes are published
 *   peers       2^Bits routes over the device for each, to the parts of its subnet
 *   live part   ready after DelayMs; lists the peers in test.peers, complains of more than CROWD
 */
#include <errno.h>
#include <event2/event.h>
#include <string.h>

#include "backends/backend.h"
#include "kernel/link.h"
#include "kernel/marks.h"
#include "lib/file.h"

#define OVERHEAD  100
#define KEY_SIZE  16
#define PEERS_MAX 64
#define CROWD     2

struct test {
	struct backend base;
	struct network_family family;
	char color[16];
	uint32_t bits, delay_ms;
	struct backend_host host;
	uint8_t key[KEY_SIZE];
	struct backend_device device;
	uint32_t ifindex;
	const struct backend_env *env;
	struct event *timer;
	bool ready;
	struct subnet peers[PEERS_MAX];
	size_t peers_len;
};

struct test_peer {
	uint32_t key;
	char color[16];
};

extern const struct backend_type backend_test;

static struct test *test_of(const struct backend *b)
{
	return (struct test *)b;
}

static void bridge_encode(struct nlmsghdr *h UNUSED, const void *spec UNUSED, bool change UNUSED)
{
}

static enum device_match bridge_match(const void *spec UNUSED, const struct link_info *link UNUSED)
{
	return DEVICE_SAME;
}

static const struct device_kind device_bridge = { .name = "bridge",
						  .encode = bridge_encode,
						  .match = bridge_match };

static int test_create(const struct network_config *config, struct backend **ret, struct err *e)
{
	uint64_t bits = 0;
	uint64_t delay = 0;
	const char *color = "red";
	struct test *t;

	if (json_read_string(config->backend, "Color", &color, e) < 0 ||
	    json_read_uint(config->backend, "Bits", 0, 6, &bits, e) < 0 ||
	    json_read_uint(config->backend, "DelayMs", 0, 60000, &delay, e) < 0)
		return e->code;
	if (strlen(color) >= sizeof(t->color))
		return err_set(e, -EINVAL, "Color is \"%s\", too long a word", color);
	t = xcalloc(1, sizeof(*t));
	t->base.type = &backend_test;
	t->base.needs_paths = true;
	t->family = config->v4;
	snprintf(t->color, sizeof(t->color), "%s", color);
	t->bits = (uint32_t)bits;
	t->delay_ms = (uint32_t)delay;
	*ret = &t->base;
	return 0;
}

static void test_free(struct backend *b)
{
	explicit_bzero(test_of(b)->key, KEY_SIZE);
	free(test_of(b));
}

static int test_set_host(struct backend *b, const struct backend_host *host, struct err *e UNUSED)
{
	struct test *t = test_of(b);

	memcpy(t->key, host->secret, sizeof(t->key));
	t->host = *host;
	t->device = (struct backend_device){ .name = "flannel-test",
					     .kind = &device_bridge,
					     .mac = backend_derive_mac(host->node_id, 1, AF_INET),
					     .mtu_bytes = host->lower[0].mtu_bytes - OVERHEAD,
					     .families = 1,
					     .guard = { { IPPROTO_UDP, 4242 } } };
	return 0;
}

static size_t test_devices(const struct backend *b, const struct backend_device **ret)
{
	*ret = &test_of(b)->device;
	return test_of(b)->ready ? 1 : 0;
}

static void test_device_is(struct backend *b, size_t device UNUSED, uint32_t ifindex,
			   const struct mac_addr *mac)
{
	test_of(b)->ifindex = ifindex;
	if (ifindex && !mac_addr_is_zero(mac))
		test_of(b)->device.mac = *mac;
}

static int test_publish(const struct backend *b, struct lease *own, struct err *e)
{
	const struct test *t = test_of(b);

	if (!t->ready)
		return err_set(e, -EAGAIN, "the test's own daemon is not ready");
	own->backend_type = xstrdup(backend_test.name);
	own->public_v4 = t->host.public_v4;
	own->backend_data = xasprintf("{\"Color\":\"%s\",\"Key\":%u}", t->color,
				      (unsigned)(t->key[0] << 16 | t->key[1] << 8 | t->key[2]));
	return 0;
}

static uint32_t test_pod_mtu(const struct backend *b)
{
	return test_of(b)->host.lower[0].mtu_bytes - OVERHEAD;
}

static void test_describe(const struct backend *b, char *buf, size_t size)
{
	snprintf(buf, size, "test, %s", test_of(b)->color);
}

static int test_peer_parse(const struct lease *peer, void **ret, struct err *e)
{
	auto_json json_t *object = NULL;
	const char *color = NULL;
	struct test_peer *p;
	uint64_t key = 0;
	const char *text = peer->backend_data ? peer->backend_data : "nothing";

	if (json_parse_object(text, strlen(text), &object, e) < 0 ||
	    json_read_string(object, "Color", &color, e) < 0 ||
	    json_read_uint(object, "Key", 0, 0xffffff, &key, e) < 0)
		return err_wrap(e, "BackendData");
	p = xcalloc(1, sizeof(*p));
	p->key = (uint32_t)key;
	snprintf(p->color, sizeof(p->color), "%s", color ? color : "");
	*ret = p;
	return 0;
}

static void test_describe_peer(const void *data, struct members *item)
{
	const struct test_peer *p = data;

	if (!p)
		return;
	member_text(item, "color", p->color);
	member_integer(item, "testKey", p->key);
}

static void test_want_own(const struct backend *b, const struct subnet *own, struct wants *ret)
{
	struct ip_net net = { own->v4.addr, 32 };
	struct kernel_object address = kernel_address(test_of(b)->ifindex, &net);

	if (test_of(b)->ifindex)
		wants_add(ret, &address);
}

static int test_want_peer(const struct backend *b, const struct lease *peer, const void *data,
			  const struct backend_path paths[static 2], struct wants *ret,
			  struct err *e)
{
	const struct test *t = test_of(b);
	const struct test_peer *p = data;
	struct ip_net piece = { peer->subnet.v4.addr, (uint8_t)(peer->subnet.v4.len + t->bits) };

	if (backend_check_public(peer, AF_INET, &t->family.network, &t->host, e) < 0)
		return e->code;
	if (strcmp(p->color, t->color) != 0)
		return err_set(e, -EINVAL, "Color is \"%s\", ours is \"%s\"", p->color, t->color);
	if (!paths[0].ifindex)
		return err_set(e, -EHOSTUNREACH, "no way leads to its public address");
	for (uint32_t i = 0; i < 1u << t->bits && t->ifindex; i++) {
		struct kernel_object o = kernel_route(&piece, NULL, t->ifindex, false,
						      fabric_route_protocol(&piece));

		wants_add(ret, &o);
		piece.addr = ip_addr_from_u128(AF_INET, ip_addr_to_u128(&piece.addr) +
								ip_net_size(AF_INET, piece.len));
	}
	return 0;
}

/* ---- the live part ---- */

static void on_ready(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct test *t = arg;

	t->ready = true;
	t->env->changed(t->env->arg, BACKEND_PUBLISH | BACKEND_DEVICES | BACKEND_WANTS);
}

static int test_start(struct backend *b, const struct backend_env *env, struct err *e UNUSED)
{
	struct test *t = test_of(b);
	struct timeval delay = { t->delay_ms / 1000, t->delay_ms % 1000 * 1000 };

	t->env = env;
	t->timer = evtimer_new(env->loop, on_ready, t);
	event_add(t->timer, &delay);
	return 0;
}

static void write_peers(const struct test *t)
{
	auto_free char *path = xasprintf("%s/test.peers", t->env->state_dir);
	char text[PEERS_MAX * (SUBNET_KEY_TEXT + 1)] = "";
	char key[SUBNET_KEY_TEXT];
	size_t used = 0;

	for (size_t i = 0; i < t->peers_len; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s\n",
					 subnet_format(&t->peers[i], key));
	if (file_replace(path, text, used, 0600, NULL) < 0)
		abort();
}

static void test_peer(struct backend *b, const struct lease *peer, const void *data UNUSED,
		      bool gone)
{
	struct test *t = test_of(b);

	for (size_t i = t->peers_len; i-- > 0;) {
		if (subnet_equal(&t->peers[i], &peer->subnet))
			t->peers[i] = t->peers[--t->peers_len];
	}
	if (!gone && t->peers_len < PEERS_MAX)
		t->peers[t->peers_len++] = peer->subnet;
	write_peers(t);
	/* From inside a call of the fabric, on purpose. */
	t->env->changed(t->env->arg, BACKEND_HEALTH);
}

static void test_health(const struct backend *b, struct problem_list *ret)
{
	if (test_of(b)->peers_len > CROWD)
		problem_add(ret, PROBLEM_WARNING, "test-crowded", "%zu peers",
			    test_of(b)->peers_len);
}

static void test_stop(struct backend *b, bool keep_data_path)
{
	struct test *t = test_of(b);

	event_free(STEAL(t->timer));
	t->peers_len = 0;
	if (!keep_data_path)
		write_peers(t);
}

static const struct backend_secret secret = { .name = "test.key", .size = KEY_SIZE };
static const struct backend_live live = {
	.start = test_start, .peer = test_peer, .health = test_health, .stop = test_stop
};

const struct backend_type backend_test = {
	.name = "test",
	.keys = "Color Bits DelayMs",
	.secret = &secret,
	.live = &live,
	.device_kind = &device_bridge,
	.create = test_create,
	.free = test_free,
	.set_host = test_set_host,
	.publish = test_publish,
	.devices = test_devices,
	.device_is = test_device_is,
	.want_own = test_want_own,
	.peer_parse = test_peer_parse,
	.want_peer = test_want_peer,
	.describe_peer = test_describe_peer,
	.pod_mtu = test_pod_mtu,
	.describe = test_describe,
};
