/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as what etcd sends in gRPC: an answer to every kind of request, messages of a watch, headers. */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

#include "lib/grpc.h"
#include "lib/protobuf.h"
#include "stores/etcd/etcd_grpc.h"

static void check_kvs(const struct etcd_kvs *kvs)
{
	for (size_t i = 0; i < kvs->len; i++) {
		FUZZ_CHECK(kvs->items[i].key);
		FUZZ_CHECK(kvs->items[i].value[kvs->items[i].value_size] == '\0');
	}
}

static void read_answer(enum etcd_method method, const char *body, size_t size)
{
	const struct http_reply http = {
		.status = 200, .body = body, .body_size = size, .error = "", .grpc_message = ""
	};
	struct etcd_reply reply = { 0 };
	char text[ETCD_TEXT_MAX] = "";
	int code = etcd_grpc_transport.decode(method, &http, &reply, text);

	if (code != ETCD_OK) {
		FUZZ_CHECK(text[0] && memchr(text, '\0', sizeof(text)));
		return;
	}
	check_kvs(&reply.kvs);
	FUZZ_CHECK(!reply.next_key || !reply.next_key[reply.next_key_size - 1]);
	etcd_reply_fini(&reply);
}

static void read_stream(const char *data, size_t size)
{
	struct etcd_watch_message m;
	struct err e = { 0 };
	size_t n;

	while ((n = etcd_grpc_transport.message_size(data, size, 0)) && n <= size) {
		if (etcd_grpc_transport.decode_watch(data, n, &m, &e) < 0) {
			FUZZ_CHECK(e.text[0]);
			return;
		}
		FUZZ_CHECK(memchr(m.reason, '\0', sizeof(m.reason)));
		FUZZ_CHECK(!m.canceled || m.reason[0]);
		check_kvs(&m.events);
		etcd_watch_message_fini(&m);
		data += n;
		size -= n;
	}
}

/* What comes in place of a message: a code of libcurl's, HTTP's or gRPC's, with a text. */
static void read_end(const uint8_t *data, size_t size)
{
	static const int codes[] = { 0, -EPROTONOSUPPORT, -ECONNREFUSED, -ETIMEDOUT, -EFBIG };
	auto_free char *message =
		size < 3 ? xstrdup("") : xstrndup((const char *)data + 3, size - 3);
	struct http_reply http = { .error = *message ? message : "why",
				   .grpc_message = message,
				   .body = "" };
	struct etcd_reply reply = { 0 };
	char text[ETCD_TEXT_MAX] = "";

	if (size < 3)
		return;
	http.code = codes[data[0] % ARRAY_LEN(codes)];
	http.status = data[1] % 2 ? 404 : 200;
	http.grpc_status = (int)(data[2] % 20) - 1;
	FUZZ_CHECK(etcd_grpc_transport.decode_end(&http, text) != ETCD_OK && text[0]);
	if (etcd_grpc_transport.decode(ETCD_RANGE, &http, &reply, text) == ETCD_OK)
		etcd_reply_fini(&reply);
}

static void read_header(const char *line, size_t size)
{
	size_t value_size = 0;
	const char *value = grpc_header(line, size, "grpc-message", &value_size);
	auto_free char *message =
		grpc_message_read(value ? value : line, value ? value_size : size);

	FUZZ_CHECK(!value || value + value_size <= line + size);
	FUZZ_CHECK(!strpbrk(message, "\r\n\033"));
	FUZZ_CHECK(grpc_status_read(line, size) >= -1);
}

/* The first byte says as what the rest is read: a method, ETCD_WATCH: a stream, beyond: a header, an end. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *rest = NULL;
	unsigned what;

	if (size == 0 || protobuf_load(NULL) < 0)
		return 0;
	what = data[0] % (ETCD_METHODS + 2);
	rest = xcalloc(size, 1);
	memcpy(rest, data + 1, size - 1);
	if (what == ETCD_METHODS)
		read_header(rest, size - 1);
	else if (what > ETCD_METHODS)
		read_end(data + 1, size - 1);
	else if (what == ETCD_WATCH)
		read_stream(rest, size - 1);
	else
		read_answer(what, rest, size - 1);
	return 0;
}
