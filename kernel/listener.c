/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/filter.h>
#include <sys/socket.h>

#define READ_SIZE (32 * 1024)

struct listener {
	struct mnl_socket *socket;
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
	int fd;

	l->socket = mnl_socket_open2(protocol, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!l->socket)
		return -errno;
	fd = mnl_socket_get_fd(l->socket);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if ((ignore_port_id && ignore(fd, ignore_port_id) < 0) ||
	    mnl_socket_bind(l->socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	for (size_t i = 0; i < groups_len; i++) {
		int group = groups[i];

		if (mnl_socket_setsockopt(l->socket, NETLINK_ADD_MEMBERSHIP, &group,
					  sizeof(group)) < 0)
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
	if (l->socket)
		mnl_socket_close(l->socket);
	free(l);
}

int listener_fd(const struct listener *l)
{
	return mnl_socket_get_fd(l->socket);
}

unsigned listener_read(struct listener *l, unsigned max, const struct listener_ops *ops, void *arg)
{
	unsigned count = 0;

	while (count < max) {
		const struct nlmsghdr *hdr;
		ssize_t n = mnl_socket_recvfrom(l->socket, l->buffer, sizeof(l->buffer));
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
		for (hdr = (void *)l->buffer; mnl_nlmsg_ok(hdr, left);
		     hdr = mnl_nlmsg_next(hdr, &left)) {
			ops->message(arg, hdr);
			count++;
		}
	}
	return count;
}
