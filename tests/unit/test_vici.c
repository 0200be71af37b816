/* SPDX-License-Identifier: Apache-2.0 */
/* lib/vici and lib/vici_message: what is written and read, and a client against a socket of the test's. */
#include "tests/unit/loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/vici.h"

/* ---- messages ---- */

struct shown {
	char text[400];
};

static void show(void *arg, enum vici_element element, unsigned depth, const struct vici_text *name,
		 const struct vici_text *value)
{
	struct shown *s = arg;
	size_t used = strlen(s->text);

	snprintf(s->text + used, sizeof(s->text) - used, "%d:%u:%.*s=%.*s ", (int)element, depth,
		 (int)name->size, name->size ? name->data : "", (int)value->size,
		 value->size ? value->data : "");
}

static void test_message(void **state)
{
	static const uint8_t bytes[] =
		"\1\1c\4\1l\5\0\1x\5\0\2yz\6\3\1k\0\3val\2\3\7success\0\3yes";
	const char *const items[] = { "x", "yz", NULL };
	auto_vici_message struct vici_message m = { 0 };
	struct shown s = { "" };
	struct vici_text found;
	struct err e;

	(void)state;
	vici_section(&m, "c");
	vici_list(&m, "l", items);
	vici_value(&m, "k", "val");
	vici_section_end(&m);
	vici_value(&m, "success", "yes");
	assert_false(m.failed);
	assert_int_equal(m.size, sizeof(bytes) - 1);
	assert_memory_equal(m.data, bytes, m.size);
	assert_int_equal(vici_walk(m.data, m.size, show, &s, &e), 0);
	assert_string_equal(s.text, "1:0:c= 4:1:l= 5:1:=x 5:1:=yz 6:1:= 3:1:k=val 2:0:= "
				    "3:0:success=yes ");
	found = vici_find(m.data, m.size, "success");
	assert_true(vici_text_is(&found, "yes"));
	found = vici_find(m.data, m.size, "k");
	assert_null(found.data);
}

static void test_message_that_is_too_long(void **state)
{
	auto_vici_message struct vici_message m = { 0 };
	char name[VICI_NAME_MAX + 2];

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	vici_value(&m, name, "v");
	assert_true(m.failed);
}

static void test_malformed(void **state)
{
	static const struct {
		const char *what;
		const char *bytes;
		size_t size;
	} rows[] = {
		{ "no such element", "\7", 1 },
		{ "end of nothing", "\2", 1 },
		{ "item outside of a list", "\5\0\1x", 4 },
		{ "value in a list", "\4\1l\3\1k\0\1v\6", 10 },
		{ "list in a list", "\4\1l\4\1m\6\6", 8 },
		{ "open section", "\1\1c", 3 },
		{ "open list", "\4\1l", 3 },
		{ "name is cut", "\1\5ab", 4 },
		{ "value is cut", "\3\1k\0\5ab", 7 },
		{ "length is cut", "\3\1k\0", 4 },
	};
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_row(vici_walk(rows[i].bytes, rows[i].size, NULL, NULL, &e) == -EBADMSG,
			   rows[i].what);
}

/* ---- the client ---- */

struct rig {
	struct event_base *loop;
	char path[64];
	int listener;
	int peer;
	struct vici *vici;
	char log[400];
	bool free_in_callback;
};

static void note(struct rig *r, const char *what, const char *text)
{
	size_t used = strlen(r->log);

	snprintf(r->log + used, sizeof(r->log) - used, "%s(%s) ", what, text);
	if (r->free_in_callback)
		vici_free(STEAL(r->vici));
}

static void on_event(void *arg, const char *name, const void *data, size_t size)
{
	struct vici_text v = vici_find(data, size, "k");
	char text[20];

	note(arg, name, vici_text_copy(&v, text, sizeof(text)));
}

static void on_lost(void *arg, const struct err *e)
{
	note(arg, "lost", e->code == -ENOENT ? "ENOENT" : e->text);
}

static void on_done(void *arg, int rc, const void *data, size_t size, const struct err *e)
{
	struct vici_text v = rc == 0 ? vici_find(data, size, "k") : (struct vici_text){ 0 };
	char text[20];

	note(arg, "done", rc == 0 ? vici_text_copy(&v, text, sizeof(text)) : e->text);
}

static const struct vici_ops ops = { on_event, on_lost };

static int setup(void **state)
{
	struct rig *r = xcalloc(1, sizeof(*r));
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	r->loop = event_base_new();
	snprintf(r->path, sizeof(r->path), "/tmp/test-vici-%d", (int)getpid());
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", r->path);
	unlink(r->path);
	r->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(r->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(r->listener, 1), 0);
	r->vici = vici_new(r->loop, r->path, &ops, r);
	r->peer = accept(r->listener, NULL, NULL);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	vici_free(r->vici);
	if (r->peer >= 0)
		close(r->peer);
	close(r->listener);
	unlink(r->path);
	event_base_free(r->loop);
	free(r);
	return 0;
}

static void until(struct rig *r, const char *text)
{
	for (int i = 0; i < 500 && !strstr(r->log, text); i++)
		loop_turn(r->loop);
	assert_contains(r->log, text);
}

static void say(const struct rig *r, const char *bytes, size_t size)
{
	assert_int_equal(send(r->peer, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
}

static void expect(const struct rig *r, const char *bytes, size_t size)
{
	char buf[200];

	loop_turn(r->loop);
	assert_int_equal(recv(r->peer, buf, sizeof(buf), 0), (ssize_t)size);
	assert_memory_equal(buf, bytes, size);
}

static void test_answers(void **state)
{
	struct rig *r = *state;
	struct err e;

	assert_int_equal(vici_request(r->vici, "a", NULL, on_done, r, &e), 0);
	assert_int_equal(vici_register(r->vici, "log", on_done, r, &e), 0);
	assert_int_equal(vici_request(r->vici, "b", NULL, on_done, r, &e), 0);
	assert_int_equal(vici_request(r->vici, "c", NULL, on_done, r, &e), 0);
	expect(r, "\0\0\0\3\0\1a", 7);
	/* An event before the answer, all of it in two pieces. */
	say(r, "\0\0\0\13\7\3log\3\1k\0\1e\0\0\0", 18);
	until(r, "log(e)");
	say(r, "\7\1\3\1k\0\1x", 8);
	until(r, "done(x)");
	expect(r, "\0\0\0\5\3\3log", 9);
	say(r, "\0\0\0\1\5", 5);
	until(r, "done() ");
	expect(r, "\0\0\0\3\0\1b", 7);
	say(r, "\0\0\0\33\1\3\7success\0\2no\3\6errmsg\0\3bad", 31);
	until(r, "done(charon: bad)");
	expect(r, "\0\0\0\3\0\1c", 7);
	close(r->peer);
	r->peer = -1;
	until(r, "lost(");
	assert_contains(r->log, "done(charon has closed the connection) lost(charon has closed");
	assert_int_equal(vici_request(r->vici, "d", NULL, on_done, r, &e), -ENOTCONN);
}

static void test_what_is_not_vici(void **state)
{
	struct rig *r = *state;

	say(r, "HTTP/1.1 400", 12);
	until(r, "lost(vici: a packet of 1213486160 bytes");
}

static void test_answer_to_nothing(void **state)
{
	struct rig *r = *state;

	say(r, "\0\0\0\1\1", 5);
	until(r, "lost(vici: an answer to nothing");
}

static void test_freed_in_a_callback(void **state)
{
	struct rig *r = *state;
	struct err e;

	r->free_in_callback = true;
	assert_int_equal(vici_request(r->vici, "a", NULL, on_done, r, &e), 0);
	assert_int_equal(vici_request(r->vici, "b", NULL, on_done, r, &e), 0);
	loop_turn(r->loop);
	say(r, "\0\0\0\1\1\0\0\0\1\1", 10);
	until(r, "done() ");
	loop_turn(r->loop);
	assert_string_equal(r->log, "done() ");
	assert_null(r->vici);
}

static void test_nobody_there(void **state)
{
	struct rig *r = *state;
	struct err e;

	vici_free(r->vici);
	r->vici = vici_new(r->loop, "/nowhere/charon.vici", &ops, r);
	assert_int_equal(vici_request(r->vici, "a", NULL, on_done, r, &e), 0);
	assert_string_equal(r->log, "");
	until(r, "lost(ENOENT)");
	assert_contains(r->log, "done(/nowhere/charon.vici: No such file");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_message),
		cmocka_unit_test(test_message_that_is_too_long),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_not_vici, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answer_to_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_freed_in_a_callback, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody_there, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
