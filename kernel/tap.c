/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>

#include "lib/util.h"

/* Of a packet in a tunnel over IPv6: 40 bytes of IP, 8 of UDP, 8 of VXLAN, 14 of Ethernet, 40 of IP, 8, and
 * what is behind that. */
#define SNAP_SIZE   256
#define QUEUE_BYTES (1 << 20)

struct tap {
	int fd;
};

/* ---- which packets ---- */

void tap_pattern_add(struct tap_patterns *p, const void *bytes, size_t size)
{
	struct tap_pattern *item = &p->items[p->len++];

	memcpy(item->bytes, bytes, size);
	item->size = size;
}

void tap_pattern_add_flow(struct tap_patterns *p, const struct ip_addr *src, uint16_t src_port,
			  const struct ip_addr *dst, uint16_t dst_port)
{
	size_t size = ip_addr_size(src);
	uint16_t ports[2] = { htons(src_port), htons(dst_port) };
	uint8_t bytes[TAP_PATTERN_SIZE];

	memcpy(bytes, src->b, size);
	memcpy(bytes + size, dst->b, size);
	memcpy(bytes + 2 * size, ports, sizeof(ports));
	tap_pattern_add(p, bytes, 2 * size + sizeof(ports));
}

bool tap_patterns_match(const struct tap_patterns *p, const void *data, size_t size)
{
	for (size_t i = 0; i < p->len; i++) {
		if (memmem(data, size, p->items[i].bytes, p->items[i].size))
			return true;
	}
	return false;
}

/* ---- the socket ---- */

/*
 * Whether source or destination ends like the address: of IPv6 the last of four words, which is enough to
 * keep a busy device's other packets away. The data begin at the network's header. Others of the same
 * device wait in no queue of ours.
 */
static int set_filter(int fd, const struct ip_addr *either)
{
	bool v4 = either->family == AF_INET;
	uint32_t src_at = v4 ? 12 : 20;
	uint32_t dst_at = v4 ? 16 : 36;
	uint32_t word;
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xf0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, v4 ? 0x40 : 0x60, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, src_at),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 2, 0),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, dst_at),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SNAP_SIZE),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = { .len = ARRAY_LEN(code), .filter = code };

	memcpy(&word, either->b + (v4 ? 0 : 12), sizeof(word));
	code[4].k = code[6].k = ntohl(word);
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

int tap_open(uint32_t ifindex, const struct ip_addr *either, struct tap **ret, struct err *e)
{
	/* What leaves is shown to those alone who listen to all protocols. */
	struct sockaddr_ll address = { .sll_family = AF_PACKET,
				       .sll_protocol = htons(ETH_P_ALL),
				       .sll_ifindex = (int)ifindex };
	/* Of no protocol, so that nothing is queued before the filter is there. */
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int bytes = QUEUE_BYTES;

	if (fd < 0)
		return err_sys(e, -errno, "packets cannot be looked at");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (set_filter(fd, either) < 0 ||
	    bind(fd, (const struct sockaddr *)(const void *)&address, sizeof(address)) < 0) {
		int rc = err_sys(e, -errno, "packets of interface %u cannot be looked at", ifindex);

		close(fd);
		return rc;
	}
	*ret = xcalloc(1, sizeof(**ret));
	(*ret)->fd = fd;
	return 0;
}

void tap_close(struct tap *t)
{
	if (!t)
		return;
	close(t->fd);
	free(t);
}

void tap_read(struct tap *t, const struct tap_patterns *patterns, struct tap_count *count)
{
	for (;;) {
		uint8_t data[SNAP_SIZE];
		struct sockaddr_ll from;
		socklen_t size = sizeof(from);
		ssize_t n = recvfrom(t->fd, data, sizeof(data), 0, (struct sockaddr *)(void *)&from,
				     &size);
		bool out;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return;
		out = from.sll_pkttype == PACKET_OUTGOING;
		count->all += out;
		if (!tap_patterns_match(patterns, data, (size_t)n))
			continue;
		count->out += out;
		count->in += !out;
	}
}
