/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what a client sends to the status server, in pieces: the loop turns, and a client
 * that comes after it is answered. A zero byte is where the client pauses.
 */
#include "tests/fuzz/fuzz.h"

#include <signal.h>
#include <event2/event.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "fastpath/fast_path.h"
#include "flanneld/status.h"
#include "lib/log.h"
#include "stores/mem_store.h"

static struct sockaddr_un address = { .sun_family = AF_UNIX };
static struct event_base *base;
static struct status_server *server;
static const struct health health; /* all is well */
static struct store_calls calls;
static struct manager *manager;

static uint64_t random_u64(void)
{
	return 1;
}

static void view(void *arg UNUSED, bool counters UNUSED, struct daemon_view *ret)
{
	static struct reconcile_counts reconcile;
	static struct external external = { .places = { { .ifindex = 2, .name = "eth0" } } };

	*ret = (struct daemon_view){
		.node_id = "id",
		.node_name = "name",
		.subnet_file = "/run/flannel/subnet.env",
		.ready_reason = "there is no lease yet",
		.health = &health,
		.store = &calls,
		.fabric = { .device_error = "", .reconcile = &reconcile, .external = &external },
		.rules = { .table = "flannel.1",
			   .mode_reason = "",
			   .sysctl_missing = "",
			   .error = "",
			   .forward_block = "",
			   .tracked = "",
			   .probe_error = "" },
		.own_state = "",
		.own_reason = "",
	};
	manager_view(manager, &ret->manager);
}

static int diff(void *arg UNUSED, fabric_difference_fn *visit UNUSED, void *visit_arg UNUSED,
		struct err *e UNUSED)
{
	return 0;
}

static uint64_t sync_now(void *arg UNUSED)
{
	return 0;
}

static bool renew(void *arg UNUSED)
{
	return true;
}

static int drain(void *arg UNUSED, enum drain_state state UNUSED, struct err *e)
{
	return err_set(e, -1, "not here");
}

static void ask(void *arg UNUSED, const struct store_request *request UNUSED,
		store_calls_fn *fn UNUSED, void *fn_arg UNUSED)
{
}

static int meter(void *arg UNUSED, meter_fn *visit, const struct fast_path_count_ops *fast,
		 void *visit_arg, struct err *e UNUSED)
{
	const struct ip_addr from = ip_addr_from_bytes(AF_INET, (const uint8_t[16]){ 10, 5, 3, 2 });

	visit(visit_arg, &from, true, 1, 84);
	fast->peer(visit_arg, &from, false, 1, 84);
	fast->container(visit_arg, 12, 1, 84);
	return 0;
}

static void remove_socket(void)
{
	status_server_free(server);
	manager_free(manager);
	store_free(calls.store);
	event_base_free(base);
	unlink(address.sun_path);
}

static void set_up(void)
{
	static const struct status_ops ops = { .view = view,
					       .diff = diff,
					       .sync = sync_now,
					       .renew = renew,
					       .drain = drain,
					       .ask = ask,
					       .meter = meter };
	struct status_options options = { .socket = address.sun_path };
	struct err e;

	if (server)
		return;
	/* As the daemon does: a client may be gone when it is answered. */
	signal(SIGPIPE, SIG_IGN);
	log_setup(LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
	snprintf(address.sun_path, sizeof(address.sun_path), "/dev/shm/fuzz-status-%d",
		 (int)getpid());
	base = event_base_new();
	/* It has not been started: nothing is asked of it but how it is. */
	manager = manager_new(&(struct manager_options){ .node_id = "id", .node_name = "name" },
			      &(struct manager_ops){ 0 }, NULL);
	calls.store = mem_store_new(base, random_u64);
	FUZZ_CHECK(status_server_new(base, &options, &ops, NULL, &server, &e) == 0);
	atexit(remove_socket);
}

static int connected(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	FUZZ_CHECK(connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0);
	return fd;
}

/* Until nothing is left to do at once. */
static void turn(void)
{
	for (int i = 0; i < 4; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static void send_pieces(int fd, const uint8_t *data, size_t size)
{
	while (size) {
		const uint8_t *zero = memchr(data, '\0', size);
		size_t piece = zero ? (size_t)(zero - data) : size;

		if (piece && send(fd, data, piece, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			return;
		turn();
		data += piece + !!zero;
		size -= piece + !!zero;
	}
}

static void check_alive(void)
{
	static const char request[] = "GET /healthz HTTP/1.0\r\n\r\n";
	auto_close int fd = connected();
	char answer[200] = "";

	FUZZ_CHECK(send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) > 0);
	turn();
	FUZZ_CHECK(recv(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT) > 0);
	FUZZ_CHECK(strncmp(answer, "HTTP/1.0 200 ", 13) == 0 ||
		   strncmp(answer, "HTTP/1.1 200 ", 13) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd;

	set_up();
	fd = connected();
	send_pieces(fd, data, size);
	close(fd);
	turn();
	check_alive();
	turn();
	return 0;
}
