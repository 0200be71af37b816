/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/netlink.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#include "kernel/message.h"
#include "kernel/rehearsal.h"

#define RECEIVE_SIZE       (64 * 1024)
#define BATCH_SIZE         (48 * 1024)
#define BATCH_LEN          768
#define SOCKET_BUFFER_SIZE (4 * 1024 * 1024) /* acks of a batch in which every request fails */
#define REPLY_TIMEOUT_S    5
#define SEND_OVERHEAD      4096 /* the kernel's own share of a send buffer */
#define DUMP_ATTEMPTS      8

struct netlink {
	int fd;
	uint32_t port_id;
	uint32_t seq;
	struct netlink_counts counts;
	char *receive; /* RECEIVE_SIZE */
	int send_room; /* of the socket; 0: not asked yet */
};

struct netlink_batch {
	struct netlink *nl;
	netlink_error_fn *on_error;
	void *arg;
	size_t used;
	unsigned len;
	uint32_t first_seq;
	bool failed; /* a flush inside reserve failed; told by the next flush */
	struct err failure;
	void *cookies[BATCH_LEN];
	char buffer[BATCH_SIZE];
};

int netlink_socket_bind(int fd, uint32_t *ret_port_id)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	socklen_t size = sizeof(address);

	if (bind(fd, (struct sockaddr *)&address, size) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		return -errno;
	*ret_port_id = address.nl_pid;
	return 0;
}

ssize_t netlink_socket_receive(int fd, void *buffer, size_t size)
{
	for (;;) {
		struct sockaddr_nl from;
		struct iovec part = { buffer, size };
		struct msghdr message = {
			.msg_name = &from,
			.msg_namelen = sizeof(from),
			.msg_iov = &part,
			.msg_iovlen = 1,
		};
		ssize_t n = recvmsg(fd, &message, 0);

		if (n < 0)
			return -errno;
		if (message.msg_namelen != sizeof(from) || from.nl_pid != 0)
			continue;
		return message.msg_flags & MSG_TRUNC ? -EMSGSIZE : n;
	}
}

int netlink_open(int protocol, struct netlink **ret, struct err *e)
{
	struct timeval timeout = { .tv_sec = REPLY_TIMEOUT_S };
	int size = SOCKET_BUFFER_SIZE;
	int on = 1;
	struct netlink *nl;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	int rc;

	if (fd < 0)
		return err_sys(e, -errno, "netlink socket");
	nl = xcalloc(1, sizeof(*nl));
	nl->fd = fd;
	rc = netlink_socket_bind(fd, &nl->port_id);
	if (rc < 0) {
		netlink_close(nl);
		return err_sys(e, rc, "netlink socket");
	}
	/* All best effort: an old kernel answers with less detail, never wrongly. */
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	nl->seq = (uint32_t)time(NULL);
	nl->receive = xmalloc(RECEIVE_SIZE);
	*ret = nl;
	return 0;
}

void netlink_close(struct netlink *nl)
{
	if (!nl)
		return;
	close(nl->fd);
	free(nl->receive);
	free(nl);
}

uint32_t netlink_port_id(const struct netlink *nl)
{
	return nl->port_id;
}

const struct netlink_counts *netlink_counts(const struct netlink *nl)
{
	return &nl->counts;
}

static int send_bytes(struct netlink *nl, const void *data, size_t size, struct err *e)
{
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	ssize_t n;

	do {
		nl->counts.system_calls++;
		n = sendto(nl->fd, data, size, 0, (const void *)&kernel, sizeof(kernel));
	} while (n < 0 && errno == EINTR);
	return n < 0 ? err_sys(e, -errno, "netlink send") : 0;
}

static int receive_bytes(struct netlink *nl, size_t *ret_size, struct err *e)
{
	ssize_t n;

	do {
		nl->counts.system_calls++;
		n = netlink_socket_receive(nl->fd, nl->receive, RECEIVE_SIZE);
	} while (n == -EINTR);
	if (n == -EAGAIN)
		return err_set(e, -ETIMEDOUT, "netlink: no answer from the kernel within %d s",
			       REPLY_TIMEOUT_S);
	if (n < 0)
		return err_sys(e, (int)n, "netlink receive");
	*ret_size = (size_t)n;
	return 0;
}

/* The kernel's sentence inside an error message or at the end of a dump, or NULL. */
static const char *extended_text(const struct nlmsghdr *hdr)
{
	const struct nlmsgerr *error = nlmsg_data(hdr);
	bool done = hdr->nlmsg_type == NLMSG_DONE;
	size_t offset = done ? sizeof(error->error) : sizeof(*error);
	const struct nlattr *attr;

	if (!(hdr->nlmsg_flags & NLM_F_ACK_TLVS))
		return NULL;
	/* Without NLM_F_CAPPED the whole request stands between the error and the attributes. */
	if (!done && !(hdr->nlmsg_flags & NLM_F_CAPPED) &&
	    error->msg.nlmsg_len >= sizeof(error->msg))
		offset += error->msg.nlmsg_len - sizeof(error->msg);
	if (NLMSG_ALIGN(offset) >= nlmsg_size(hdr))
		return NULL;
	nlattr_for_each (attr, hdr, NLMSG_ALIGN(offset)) {
		if (nlattr_type(attr) == NLMSGERR_ATTR_MSG && nlattr_is_text(attr))
			return nlattr_data(attr);
	}
	return NULL;
}

/* The errno in an NLMSG_ERROR or NLMSG_DONE message: 0 or negative. */
static int message_code(const struct nlmsghdr *hdr)
{
	int code = 0;

	if (nlmsg_size(hdr) >= sizeof(code))
		memcpy(&code, nlmsg_data(hdr), sizeof(code));
	return code > 0 ? -EPROTO : code;
}

static int refused(struct netlink *nl, const struct nlmsghdr *hdr, struct err *e)
{
	const char *text = extended_text(hdr);
	int code = message_code(hdr);

	if (code == 0)
		return 0;
	nl->counts.errors++;
	if (text)
		return err_set(e, code, "%s (%s)", text, strerror(-code));
	return err_set(e, code, "%s", strerror(-code));
}

int netlink_call(struct netlink *nl, struct nlmsghdr *request,
		 void (*on_reply)(void *arg, const struct nlmsghdr *reply), void *arg,
		 struct err *e)
{
	int rc;

	request->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	request->nlmsg_seq = ++nl->seq;
	request->nlmsg_pid = 0;
	if (!on_reply && rehearsal_is_on())
		return 0;
	if (!on_reply)
		nl->counts.writes++;
	rc = send_bytes(nl, request, request->nlmsg_len, e);
	if (rc < 0)
		return rc;
	for (;;) {
		const struct nlmsghdr *hdr;
		size_t size;
		int left;

		rc = receive_bytes(nl, &size, e);
		if (rc < 0)
			return rc;
		left = (int)size;
		for (hdr = (void *)nl->receive; nlmsg_ok(hdr, left); hdr = nlmsg_next(hdr, &left)) {
			if (hdr->nlmsg_seq != request->nlmsg_seq)
				continue; /* late answer of a call that timed out */
			if (hdr->nlmsg_type == NLMSG_ERROR)
				return refused(nl, hdr, e);
			if (on_reply)
				on_reply(arg, hdr);
		}
	}
}

static int dump_once(struct netlink *nl, struct nlmsghdr *request,
		     void (*visit)(void *arg, const struct nlmsghdr *object), void *arg,
		     struct err *e)
{
	bool interrupted = false;
	int rc;

	request->nlmsg_flags |= NLM_F_REQUEST | NLM_F_DUMP;
	request->nlmsg_seq = ++nl->seq;
	request->nlmsg_pid = 0;
	nl->counts.dumps++;
	rc = send_bytes(nl, request, request->nlmsg_len, e);
	if (rc < 0)
		return rc;
	for (;;) {
		const struct nlmsghdr *hdr;
		size_t size;
		int left;

		rc = receive_bytes(nl, &size, e);
		if (rc < 0)
			return rc;
		left = (int)size;
		for (hdr = (void *)nl->receive; nlmsg_ok(hdr, left); hdr = nlmsg_next(hdr, &left)) {
			if (hdr->nlmsg_seq != request->nlmsg_seq)
				continue;
			interrupted |= hdr->nlmsg_flags & NLM_F_DUMP_INTR;
			if (hdr->nlmsg_type == NLMSG_ERROR)
				return refused(nl, hdr, e);
			if (hdr->nlmsg_type == NLMSG_DONE) {
				if (refused(nl, hdr, e) < 0)
					return err_wrap(e, "dump");
				if (interrupted)
					return err_set(e, -EINTR,
						       "dump: changed while it was read");
				return 0;
			}
			visit(arg, hdr);
		}
	}
}

int netlink_dump(struct netlink *nl, struct nlmsghdr *request,
		 void (*visit)(void *arg, const struct nlmsghdr *object), void (*forget)(void *arg),
		 void *arg, struct err *e)
{
	int rc = dump_once(nl, request, visit, arg, e);

	for (unsigned i = 1; i < DUMP_ATTEMPTS && rc == -EINTR; i++) {
		if (forget)
			forget(arg);
		rc = dump_once(nl, request, visit, arg, e);
	}
	return rc;
}

struct netlink_batch *netlink_batch_new(struct netlink *nl, netlink_error_fn *on_error, void *arg)
{
	struct netlink_batch *b = xcalloc(1, sizeof(*b));

	b->nl = nl;
	b->on_error = on_error;
	b->arg = arg;
	return b;
}

void netlink_batch_free(struct netlink_batch *b)
{
	free(b);
}

struct nlmsghdr *netlink_batch_reserve(struct netlink_batch *b)
{
	struct nlmsghdr *hdr;

	if (b->len == BATCH_LEN || b->used + NETLINK_MESSAGE_MAX > BATCH_SIZE) {
		struct err e;

		if (netlink_batch_flush(b, &e) < 0) {
			b->failed = true;
			b->failure = e;
		}
	}
	hdr = (struct nlmsghdr *)(void *)(b->buffer + b->used);
	memset(hdr, 0, sizeof(*hdr));
	return hdr;
}

void netlink_batch_commit(struct netlink_batch *b, void *cookie)
{
	struct nlmsghdr *hdr = (struct nlmsghdr *)(void *)(b->buffer + b->used);

	if (b->len == 0)
		b->first_seq = b->nl->seq + 1;
	hdr->nlmsg_flags |= NLM_F_REQUEST;
	hdr->nlmsg_seq = ++b->nl->seq;
	b->cookies[b->len++] = cookie;
	b->used += NLMSG_ALIGN(hdr->nlmsg_len);
	b->nl->counts.writes++;
}

/* Reads answers until the last request's has come. */
static int batch_collect(struct netlink_batch *b, uint32_t last_seq, struct err *e)
{
	for (;;) {
		const struct nlmsghdr *hdr;
		size_t size;
		int left;
		int rc = receive_bytes(b->nl, &size, e);

		if (rc < 0)
			return rc;
		left = (int)size;
		for (hdr = (void *)b->nl->receive; nlmsg_ok(hdr, left);
		     hdr = nlmsg_next(hdr, &left)) {
			uint32_t index = hdr->nlmsg_seq - b->first_seq;
			struct err why;

			if (hdr->nlmsg_type != NLMSG_ERROR || index > last_seq - b->first_seq)
				continue;
			if (refused(b->nl, hdr, &why) < 0)
				b->on_error(b->arg, b->cookies[index], why.code, why.text);
			if (hdr->nlmsg_seq == last_seq)
				return 0;
		}
	}
}

int netlink_batch_flush(struct netlink_batch *b, struct err *e)
{
	uint32_t last_seq;
	struct nlmsghdr *hdr;
	size_t offset = 0;
	int rc;

	if (b->failed) {
		b->failed = false;
		b->used = b->len = 0;
		return err_set(e, b->failure.code, "%s", b->failure.text);
	}
	if (b->len == 0 || rehearsal_is_on()) {
		b->used = b->len = 0;
		return 0;
	}
	last_seq = b->first_seq + b->len - 1;
	do {
		hdr = (struct nlmsghdr *)(void *)(b->buffer + offset);
		offset += NLMSG_ALIGN(hdr->nlmsg_len);
	} while (offset < b->used);
	hdr->nlmsg_flags |= NLM_F_ACK;
	rc = send_bytes(b->nl, b->buffer, b->used, e);
	if (rc == 0)
		rc = batch_collect(b, last_seq, e);
	b->used = b->len = 0;
	return rc;
}

/* The send buffer must hold a sequence as a whole. */
static void make_room(struct netlink *nl, size_t size)
{
	int fd = nl->fd;
	socklen_t len = sizeof(int);
	int want = (int)size + SEND_OVERHEAD;

	if (nl->send_room == 0 && getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &nl->send_room, &len) < 0)
		nl->send_room = 0;
	if (nl->send_room >= want)
		return;
	nl->send_room = 0;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &want, sizeof(want)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &want, sizeof(want));
}

int netlink_send_sequence(struct netlink *nl, void *requests, size_t size, size_t acked,
			  void (*on_error)(void *arg, size_t index, int code, const char *text),
			  void *arg, struct err *e)
{
	uint32_t first_seq = nl->seq + 1;
	size_t offset = 0;
	size_t len = 0;
	bool marked;
	int rc;

	if (rehearsal_is_on())
		return 0;
	for (size_t index = 0; offset < size; index++, len++) {
		struct nlmsghdr *hdr = (struct nlmsghdr *)(void *)((char *)requests + offset);

		hdr->nlmsg_flags |= NLM_F_REQUEST | (index == acked ? NLM_F_ACK : 0);
		hdr->nlmsg_seq = ++nl->seq;
		offset += NLMSG_ALIGN(hdr->nlmsg_len);
	}
	/* Between markers the opening one answers for the whole when it could not be put into
	 * force. */
	marked = acked + 1 < len;
	nl->counts.writes += len - (marked ? 2 : 0);
	make_room(nl, size);
	rc = send_bytes(nl, requests, size, e);
	while (rc == 0) {
		const struct nlmsghdr *hdr;
		size_t received;
		int left;

		rc = receive_bytes(nl, &received, e);
		if (rc < 0)
			break;
		left = (int)received;
		for (hdr = (void *)nl->receive; nlmsg_ok(hdr, left); hdr = nlmsg_next(hdr, &left)) {
			uint32_t index = hdr->nlmsg_seq - first_seq;
			struct err why;
			bool failed;

			if (hdr->nlmsg_type != NLMSG_ERROR || index >= len)
				continue;
			failed = refused(nl, hdr, &why) < 0;
			if (failed)
				on_error(arg, index, why.code, why.text);
			if (index == acked || (marked && index == 0 && failed))
				return 0;
		}
	}
	return rc;
}

int netlink_ask(struct netlink *nl, void *questions, size_t size, netlink_answer_fn *on_answer,
		void *arg, struct err *e)
{
	uint32_t first_seq = nl->seq + 1;
	size_t len = 0;
	int rc;

	for (size_t offset = 0; offset < size; len++) {
		struct nlmsghdr *hdr = (struct nlmsghdr *)(void *)((char *)questions + offset);

		hdr->nlmsg_flags |= NLM_F_REQUEST;
		hdr->nlmsg_seq = ++nl->seq;
		offset += NLMSG_ALIGN(hdr->nlmsg_len);
	}
	rc = send_bytes(nl, questions, size, e);
	for (size_t answered = 0; rc == 0 && answered < len;) {
		const struct nlmsghdr *hdr;
		size_t received;
		int left;

		rc = receive_bytes(nl, &received, e);
		left = rc == 0 ? (int)received : 0;
		for (hdr = (void *)nl->receive; nlmsg_ok(hdr, left); hdr = nlmsg_next(hdr, &left)) {
			uint32_t index = hdr->nlmsg_seq - first_seq;
			struct err why = { 0 };
			bool error = hdr->nlmsg_type == NLMSG_ERROR;

			if (index >= len)
				continue; /* late answer of a call that timed out */
			if (error)
				refused(nl, hdr, &why);
			on_answer(arg, index, error ? NULL : hdr, why.code, why.text);
			answered++;
		}
	}
	return rc;
}
