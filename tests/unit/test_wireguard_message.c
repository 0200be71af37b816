/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel/wireguard_message and kernel/wireguard_text: what a device is told and says, in netlink's
 * form and in wireguard-go's.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/time_types.h>
#include <linux/wireguard.h>
#include <netinet/in.h>

#include "kernel/message.h"
#include "kernel/wireguard.h"

#define TYPE 33

/* What a visitor was shown, one thing to a line. */
struct seen {
	char text[4096];
	size_t used;
};

static void PRINTF(2, 3) note(struct seen *s, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	s->used += (size_t)vsnprintf(s->text + s->used, sizeof(s->text) - s->used, fmt, args);
	va_end(args);
	assert_true(s->used < sizeof(s->text));
}

static void on_interface(void *arg, const struct wireguard_interface *i)
{
	note(arg, "interface %02x port %u mark %u\n", i->private_key[31], i->port, i->mark);
}

static void on_peer(void *arg, const struct wireguard_peer *p)
{
	char text[IP_ADDR_TEXT];

	note(arg, "peer %02x psk %02x at %s port %u every %u last %lld rx %llu tx %llu\n",
	     p->key[0], p->preshared[0], ip_addr_format(&p->address, text), p->port, p->keepalive_s,
	     (long long)p->handshake_s, (unsigned long long)p->received_bytes,
	     (unsigned long long)p->sent_bytes);
}

static void on_allowed_ip(void *arg, const uint8_t key[static WIREGUARD_KEY_SIZE],
			  const struct ip_net *net)
{
	char text[IP_NET_TEXT];

	note(arg, "  %02x %s\n", key[0], ip_net_format(net, text));
}

static const struct wireguard_visitor visitor = { .interface = on_interface,
						  .peer = on_peer,
						  .allowed_ip = on_allowed_ip };

/* ---- changes ---- */

static struct wireguard_change change(enum wireguard_verb verb)
{
	struct wireguard_change c = {
		.verb = verb,
		.ifindex = 9,
		.interface = { .port = 51820 },
		.peer = { .address = test_addr("192.0.2.11"), .port = 51820, .keepalive_s = 25 },
		.net = test_net("10.5.56.0/24"),
	};

	memset(c.interface.private_key, 1, WIREGUARD_KEY_SIZE);
	memset(c.peer.key, 0x85, WIREGUARD_KEY_SIZE);
	memset(c.peer.preshared, 7, WIREGUARD_KEY_SIZE);
	return c;
}

static size_t count_nests(const struct nlattr *nest)
{
	const struct nlattr *attr;
	size_t len = 0;

	nlattr_for_each_nested (attr, nest)
		len++;
	return len;
}

/* A request has the layout of an answer: what is said is read back, and how many peers it is about. */
static void test_requests(void **state UNUSED)
{
	static const struct {
		enum wireguard_verb verb;
		size_t peers;
		const char *read;
	} rows[] = {
		{ WIREGUARD_SET_INTERFACE, 0, "interface 01 port 51820 mark 0\n" },
		{ WIREGUARD_PUT_PEER, 1, "" },
		{ WIREGUARD_DROP_PEER, 1, "" },
		{ WIREGUARD_PUT_ALLOWED_IP, 1, "  85 10.5.56.0/24\n" },
		/* Nobody gets it, and leaves with it. */
		{ WIREGUARD_DROP_ALLOWED_IP, 2, "  66 10.5.56.0/24\n" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
		struct nlmsghdr *hdr = (struct nlmsghdr *)(void *)buffer;
		struct wireguard_change c = change(rows[i].verb);
		struct seen seen = { .used = 0 };
		const struct nlattr *attr;
		size_t peers = 0;

		wireguard_encode(&c, 1, TYPE, hdr);
		assert_int_equal(hdr->nlmsg_type, TYPE);
		assert_true(hdr->nlmsg_len < NETLINK_MESSAGE_MAX);
		wireguard_decode(hdr, &visitor, &seen);
		assert_string_equal(seen.text, rows[i].read);
		nlattr_for_each (attr, hdr, sizeof(struct genlmsghdr)) {
			if (nlattr_type(attr) == WGDEVICE_A_PEERS)
				peers = count_nests(attr);
		}
		assert_int_equal(peers, rows[i].peers);
	}
}

/* As many as go into one message, of the longest kind. */
static void test_many_changes_in_one_message(void **state UNUSED)
{
	char *buffer = xcalloc(1, WIREGUARD_MESSAGE_MAX);
	struct nlmsghdr *hdr = (struct nlmsghdr *)(void *)buffer;
	struct wireguard_change *c = xcalloc(WIREGUARD_CHANGES_MAX, sizeof(*c));
	const struct nlattr *attr;
	size_t peers = 0;

	for (unsigned verb = WIREGUARD_PUT_PEER; verb <= WIREGUARD_DROP_ALLOWED_IP; verb++) {
		for (size_t i = 0; i < WIREGUARD_CHANGES_MAX; i++) {
			c[i] = change((enum wireguard_verb)verb);
			c[i].peer.address = test_addr("2001:db8:1::11");
			c[i].net = test_net("fd10:244:0:57::/64");
		}
		wireguard_encode(c, WIREGUARD_CHANGES_MAX, TYPE, hdr);
		assert_true(hdr->nlmsg_len <= WIREGUARD_MESSAGE_MAX);
		nlattr_for_each (attr, hdr, sizeof(struct genlmsghdr)) {
			if (nlattr_type(attr) == WGDEVICE_A_PEERS)
				peers = count_nests(attr);
		}
		assert_int_equal(peers, verb == WIREGUARD_DROP_ALLOWED_IP
						? 2 * WIREGUARD_CHANGES_MAX
						: WIREGUARD_CHANGES_MAX);
	}
	free(c);
	free(buffer);
}

#define HEX85 "8585858585858585858585858585858585858585858585858585858585858585"
#define HEX07 "0707070707070707070707070707070707070707070707070707070707070707"
#define HEX01 "0101010101010101010101010101010101010101010101010101010101010101"
#define HEXNO "666c616e6e656c643a206e6f626f64792068617320746869" /* "flanneld: nobody has thi" */

static void test_requests_to_wireguard_go(void **state UNUSED)
{
	static const struct {
		enum wireguard_verb verb;
		const char *text;
	} rows[] = {
		{ WIREGUARD_SET_INTERFACE,
		  "set=1\nprivate_key=" HEX01 "\nfwmark=0\nlisten_port=51820\n\n" },
		{ WIREGUARD_PUT_PEER, "set=1\npublic_key=" HEX85 "\npreshared_key=" HEX07
				      "\nendpoint=192.0.2.11:51820\n"
				      "persistent_keepalive_interval=25\n\n" },
		{ WIREGUARD_DROP_PEER, "set=1\npublic_key=" HEX85 "\nremove=true\n\n" },
		{ WIREGUARD_PUT_ALLOWED_IP,
		  "set=1\npublic_key=" HEX85 "\nupdate_only=true\nallowed_ip=10.5.56.0/24\n\n" },
		{ WIREGUARD_DROP_ALLOWED_IP,
		  "set=1\npublic_key=" HEXNO "73206b65792e2e2e\nallowed_ip=10.5.56.0/24\n"
		  "public_key=" HEXNO "73206b65792e2e2e\nremove=true\n\n" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct wireguard_change c = change(rows[i].verb);
		char text[WIREGUARD_TEXT_MAX];

		wireguard_format(&c, text);
		assert_string_equal(text, rows[i].text);
	}
}

/* ---- what the kernel shows ---- */

static void put_allowed_ip(struct nlmsghdr *hdr, const char *text)
{
	struct ip_net net = test_net(text);
	struct nlattr *one = nlattr_nest_begin(hdr, 0);

	nlattr_put_u16(hdr, WGALLOWEDIP_A_FAMILY, net.addr.family);
	nlattr_put(hdr, WGALLOWEDIP_A_IPADDR, ip_addr_size(&net.addr), net.addr.b);
	nlattr_put_u8(hdr, WGALLOWEDIP_A_CIDR_MASK, net.len);
	nlattr_nest_end(hdr, one);
}

static void put_peer(struct nlmsghdr *hdr, uint8_t key, bool goes_on, const char *net)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons(51820),
				  .sin_addr.s_addr = htonl(0xc000020b) };
	struct __kernel_timespec last = { 1700000000, 5 };
	struct nlattr *one = nlattr_nest_begin(hdr, 0);
	struct nlattr *list;
	uint8_t bytes[WIREGUARD_KEY_SIZE];

	memset(bytes, key, sizeof(bytes));
	nlattr_put(hdr, WGPEER_A_PUBLIC_KEY, sizeof(bytes), bytes);
	memset(bytes, 7, sizeof(bytes));
	if (!goes_on) {
		nlattr_put(hdr, WGPEER_A_PRESHARED_KEY, sizeof(bytes), bytes);
		nlattr_put(hdr, WGPEER_A_LAST_HANDSHAKE_TIME, sizeof(last), &last);
		nlattr_put_u16(hdr, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, 25);
		nlattr_put_u64(hdr, WGPEER_A_TX_BYTES, 296);
		nlattr_put_u64(hdr, WGPEER_A_RX_BYTES, 92);
		nlattr_put(hdr, WGPEER_A_ENDPOINT, sizeof(at), &at);
	}
	list = nlattr_nest_begin(hdr, WGPEER_A_ALLOWEDIPS);
	put_allowed_ip(hdr, net);
	nlattr_nest_end(hdr, list);
	nlattr_nest_end(hdr, one);
}

static struct nlmsghdr *begin(char *buffer)
{
	struct nlmsghdr *hdr = nlmsg_begin(buffer);

	hdr->nlmsg_type = TYPE;
	nlmsg_put_header(hdr, sizeof(struct genlmsghdr));
	return hdr;
}

/* A peer with many allowed-ips goes on in a second message: it is one peer all the same. */
static void test_a_dump_in_two_messages(void **state UNUSED)
{
	char buffer[2048] __attribute__((aligned(8)));
	uint8_t key[WIREGUARD_KEY_SIZE] = { [31] = 0x41 };
	struct seen seen = { .used = 0 };
	struct nlmsghdr *hdr = begin(buffer);
	struct nlattr *peers;

	nlattr_put_u16(hdr, WGDEVICE_A_LISTEN_PORT, 51820);
	nlattr_put_u32(hdr, WGDEVICE_A_FWMARK, 7);
	nlattr_put(hdr, WGDEVICE_A_PRIVATE_KEY, sizeof(key), key);
	peers = nlattr_nest_begin(hdr, WGDEVICE_A_PEERS);
	put_peer(hdr, 0x85, false, "10.5.56.0/24");
	nlattr_nest_end(hdr, peers);
	wireguard_decode(hdr, &visitor, &seen);

	hdr = begin(buffer);
	peers = nlattr_nest_begin(hdr, WGDEVICE_A_PEERS);
	put_peer(hdr, 0x85, true, "fd10:244:0:57::/64");
	put_peer(hdr, 0x86, false, "10.5.57.0/24");
	nlattr_nest_end(hdr, peers);
	wireguard_decode(hdr, &visitor, &seen);
	assert_string_equal(
		seen.text,
		"interface 41 port 51820 mark 7\n"
		"peer 85 psk 07 at 192.0.2.11 port 51820 every 25 last 1700000000 rx 92 tx 296\n"
		"  85 10.5.56.0/24\n"
		"  85 fd10:244:0:57::/64\n"
		"peer 86 psk 07 at 192.0.2.11 port 51820 every 25 last 1700000000 rx 92 tx 296\n"
		"  86 10.5.57.0/24\n");
}

/* ---- what wireguard-go says ---- */

static const char answer[] =
	"private_key=0001010101010101010101010101010101010101010101010101010101010141\n"
	"listen_port=51820\nfwmark=7\n"
	"public_key=a4e09292b651c278b9772c569f5fa9bb13d906b46ab68c9df9dc2b4409f8a20d\n"
	"preshared_key=0000000000000000000000000000000000000000000000000000000000000000\n"
	"protocol_version=1\nendpoint=[2001:db8:1::11]:51821\nlast_handshake_time_sec=0\n"
	"last_handshake_time_nsec=0\ntx_bytes=0\nrx_bytes=0\npersistent_keepalive_interval=0\n"
	"public_key=85bd1d0a31d9b5a1cb1660407041736ea4fc20430d30c47b59094dcdf3c19e70\n"
	"preshared_key=0707070707070707070707070707070707070707070707070707070707070707\n"
	"protocol_version=1\nendpoint=192.0.2.11:51820\nlast_handshake_time_sec=1700000000\n"
	"last_handshake_time_nsec=5\ntx_bytes=296\nrx_bytes=92\npersistent_keepalive_interval=25\n"
	"allowed_ip=10.5.56.0/24\nallowed_ip=fd10:244:0:57::/64\nerrno=0\n\n";

static void test_an_answer_of_wireguard_go(void **state UNUSED)
{
	struct seen seen = { .used = 0 };
	struct err e;

	assert_int_equal(wireguard_parse(answer, strlen(answer), &visitor, &seen, &e), 0);
	assert_string_equal(
		seen.text,
		"peer a4 psk 00 at 2001:db8:1::11 port 51821 every 0 last 0 rx 0 tx 0\n"
		"peer 85 psk 07 at 192.0.2.11 port 51820 every 25 last 1700000000 rx 92 tx 296\n"
		"  85 10.5.56.0/24\n"
		"  85 fd10:244:0:57::/64\n"
		"interface 41 port 51820 mark 7\n");
}

static void test_answers_that_are_none(void **state UNUSED)
{
	static const struct {
		const char *text;
		int code;
		const char *reason;
	} rows[] = {
		{ "errno=0\n\n", 0, NULL },
		{ "errno=-98\n\n", -EADDRINUSE, "Address already in use" },
		{ "errno=22\n\n", -EINVAL, "Invalid argument" },
		{ "listen_port=51820\n", -EPROTO, "no end" },
		{ "", -EPROTO, "no end" },
		{ "private_key=00\nerrno=0\n\n", -EPROTO, "cannot read its private_key" },
		{ "listen_port=65536\nerrno=0\n\n", -EPROTO, "listen_port" },
		{ "what is this\nerrno=0\n\n", -EPROTO, "what is this" },
		{ "something_new=1\nerrno=0\n\n", 0, NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct seen seen = { .used = 0 };
		struct err e;

		assert_row(wireguard_parse(rows[i].text, strlen(rows[i].text), &visitor, &seen,
					   &e) == rows[i].code,
			   rows[i].text);
		if (rows[i].reason)
			assert_contains(e.text, rows[i].reason);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_many_changes_in_one_message),
		cmocka_unit_test(test_requests_to_wireguard_go),
		cmocka_unit_test(test_a_dump_in_two_messages),
		cmocka_unit_test(test_an_answer_of_wireguard_go),
		cmocka_unit_test(test_answers_that_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
