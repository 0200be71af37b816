/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/monitor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/filter.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#define DEFAULT_BUFFER_BYTES (8 * 1024 * 1024)
#define READ_SIZE            (32 * 1024)

struct monitor {
	struct mnl_socket *socket;
	char buffer[READ_SIZE];
};

/* Drops, in the kernel, notifications whose nlmsg_pid is `port_id`. */
static int ignore_own(int fd, uint32_t port_id)
{
	/* Classic BPF loads words in network order, the header is in host order. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_pid)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(port_id), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	struct sock_fprog program = { ARRAY_LEN(code), code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno
											   : 0;
}

int monitor_open(uint32_t ignore_port_id, int receive_buffer_bytes, struct monitor **ret,
		 struct err *e)
{
	static const int groups[] = { RTNLGRP_LINK,        RTNLGRP_NEIGH,      RTNLGRP_IPV4_IFADDR,
				      RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE };
	int size = receive_buffer_bytes ? receive_buffer_bytes : DEFAULT_BUFFER_BYTES;
	struct monitor *m = xcalloc(1, sizeof(*m));
	int fd;

	m->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!m->socket)
		goto fail;
	fd = mnl_socket_get_fd(m->socket);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (ignore_port_id && ignore_own(fd, ignore_port_id) < 0)
		goto fail;
	if (mnl_socket_bind(m->socket, 0, MNL_SOCKET_AUTOPID) < 0)
		goto fail;
	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		int group = groups[i];

		if (mnl_socket_setsockopt(m->socket, NETLINK_ADD_MEMBERSHIP, &group,
					  sizeof(group)) < 0)
			goto fail;
	}
	*ret = m;
	return 0;
fail : {
	int code = -errno;

	monitor_close(m);
	return err_sys(e, code, "netlink monitor");
}
}

void monitor_close(struct monitor *m)
{
	if (!m)
		return;
	if (m->socket)
		mnl_socket_close(m->socket);
	free(m);
}

int monitor_fd(const struct monitor *m)
{
	return mnl_socket_get_fd(m->socket);
}

static void deliver(const struct nlmsghdr *hdr, const struct monitor_ops *ops, void *arg)
{
	struct kernel_object object;
	struct link_info link;
	bool gone;

	if (kernel_object_decode(hdr, &object, &gone))
		ops->object(arg, &object, gone, hdr->nlmsg_pid);
	else if (link_decode(hdr, &link, &gone))
		ops->link(arg, &link, gone);
}

unsigned monitor_read(struct monitor *m, unsigned max, const struct monitor_ops *ops, void *arg)
{
	unsigned count = 0;

	while (count < max) {
		const struct nlmsghdr *hdr;
		ssize_t n = mnl_socket_recvfrom(m->socket, m->buffer, sizeof(m->buffer));
		int left = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == ENOBUFS || errno == ENOSPC)) {
			ops->overrun(arg);
			count++;
			continue;
		}
		if (n <= 0)
			break;
		for (hdr = (void *)m->buffer; mnl_nlmsg_ok(hdr, left);
		     hdr = mnl_nlmsg_next(hdr, &left)) {
			deliver(hdr, ops, arg);
			count++;
		}
	}
	return count;
}
