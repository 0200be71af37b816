/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <sys/socket.h>

#include "kernel/message.h"
#include "kernel/netlink.h"

#define READ_SIZE (32 * 1024)

struct listener {
	int fd;
	char buffer[READ_SIZE];
};

/* Drops, in the kernel, notifications whose nlmsg_pid is `port_id`. */
static int ignore(int fd, uint32_t port_id)
{
	/* Classic BPF loads words in network order, the header is in host order. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_pid)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(port_id), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	struct sock_fprog program = { ARRAY_LEN(code), code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

static int open_socket(struct listener *l, int protocol, const int *groups, size_t groups_len,
		       uint32_t ignore_port_id, int size)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	uint32_t port_id;
	int rc;

	l->fd = fd;
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (ignore_port_id && ignore(fd, ignore_port_id) < 0)
		return -errno;
	rc = netlink_socket_bind(fd, &port_id);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < groups_len; i++) {
		int group = groups[i];

		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
			return -errno;
	}
	return 0;
}

int listener_open(int protocol, const int *groups, size_t groups_len, uint32_t ignore_port_id,
		  int receive_buffer_bytes, struct listener **ret, struct err *e)
{
	struct listener *l = xcalloc(1, sizeof(*l));
	int rc = open_socket(l, protocol, groups, groups_len, ignore_port_id, receive_buffer_bytes);

	if (rc < 0) {
		listener_close(l);
		return err_sys(e, rc, "netlink notifications");
	}
	*ret = l;
	return 0;
}

void listener_close(struct listener *l)
{
	if (!l)
		return;
	if (l->fd >= 0)
		close(l->fd);
	free(l);
}

int listener_fd(const struct listener *l)
{
	return l->fd;
}

unsigned listener_read(struct listener *l, unsigned max, const struct listener_ops *ops, void *arg)
{
	unsigned count = 0;

	while (count < max) {
		const struct nlmsghdr *hdr;
		ssize_t n = netlink_socket_receive(l->fd, l->buffer, sizeof(l->buffer));
		int left = (int)n;

		if (n == -EINTR)
			continue;
		if (n == -ENOBUFS || n == -EMSGSIZE) {
			ops->overrun(arg);
			count++;
			continue;
		}
		if (n <= 0)
			break;
		for (hdr = (void *)l->buffer; nlmsg_ok(hdr, left); hdr = nlmsg_next(hdr, &left)) {
			ops->message(arg, hdr);
			count++;
		}
	}
	return count;
}
