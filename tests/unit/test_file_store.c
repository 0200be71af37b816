/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stores/file_store: what is true of the directory alone, such as what a crash leaves of it. What
 * is true of every store stands in test_store_conformance.c.
 */
#include "tests/unit/store_rig.h"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* In place of libc's: fs.inotify has limits, and this is what calls give that pass them; 0: none does. */
static int inotify_errno;

int inotify_init1(int flags)
{
	if (inotify_errno == EMFILE) {
		errno = EMFILE;
		return -1;
	}
	return (int)syscall(SYS_inotify_init1, flags);
}

int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
	if (inotify_errno == ENOSPC) {
		errno = ENOSPC;
		return -1;
	}
	return (int)syscall(SYS_inotify_add_watch, fd, path, mask);
}

static char *journal_of(const struct rig *r)
{
	return xasprintf("%s/journal", r->directory);
}

static void reopen(struct rig *r)
{
	struct err e;

	store_watch_stop(STEAL(r->watch));
	store_free(STEAL(r->store));
	store_free(STEAL(r->other));
	if (file_store_new(r->base, r->directory, random_u64, &r->store, &e) < 0)
		fail_msg("%s", e.text);
}

/* Before anybody can look, and all that is in it. */
static void remove_directory(struct rig *r)
{
	static const char *const files[] = { "journal", "config", "lock" };

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		auto_free char *path = xasprintf("%s/%s", r->directory, files[i]);

		unlink(path);
	}
	assert_int_equal(rmdir(r->directory), 0);
}

static void test_file_survives(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *l = created(r, "10.5.1.0-24", 60);
	auto_reply reply = { 0 };
	uint64_t revision = listed(r, 1);

	reopen(r);
	assert_int_equal(listed(r, 1), revision);
	ask(r, STORE_KEEPALIVE, l, 0, &reply);
	assert_int_equal(reply.status, STORE_OK);
}

/* Whatever a crash leaves of the last line: the step has not happened, and the next one does. */
static void test_file_torn_line(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_free char *journal = journal_of(r);
	auto_free char *whole = NULL;
	size_t one;
	size_t size;

	lease_free(created(r, "10.5.1.0-24", 60));
	assert_int_equal(file_read(journal, 1 << 20, &whole, &one, NULL), 0);
	free(STEAL(whole));
	lease_free(created(r, "10.5.2.0-24", 60));
	assert_int_equal(file_read(journal, 1 << 20, &whole, &size, NULL), 0);
	for (size_t cut = one; cut < size; cut += 7) {
		assert_int_equal(file_replace(journal, whole, cut, 0600, NULL), 0);
		reopen(r);
		listed(r, 1);
		lease_free(created(r, "10.5.3.0-24", 60));
		reopen(r);
		listed(r, 2);
	}
}

static void append(const char *path, const char *text)
{
	auto_close int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* A journal that nobody can read is a store that is not there: nothing is written over it. */
static void test_file_damaged(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_free char *journal = journal_of(r);
	static const char *const texts[] = {
		"",
		"{}\n",
		"junk\n",
		"{\"format\":99,\"revision\":1}\n",
		"{\"format\":1,\"revision\":-1}\n",
		"{\"format\":1,\"revision\":9223372036854775807}\n",
		"{\"step\":\"what\"}\n",
		"{\"step\":\"put\"}\n",
		"{\"step\":\"delete\",\"key\":\"config\"}\n",
	};

	listed(r, 0);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		auto_reply reply = { 0 };
		auto_free char *text = NULL;
		size_t size;

		assert_int_equal(file_replace(journal, texts[i], strlen(texts[i]), 0600, NULL), 0);
		reopen(r);
		ask(r, STORE_LIST, NULL, 0, &reply);
		assert_int_equal(reply.status, STORE_UNAVAILABLE);
		assert_contains(reply.err.text, texts[i][0] ? "journal: line 1" : "not one line");
		assert_int_equal(file_read(journal, 1000, &text, &size, NULL), 0);
		assert_string_equal(text, texts[i]);
	}
}

/* What stands before the line holds, and all is well once it is gone. */
static void test_file_bad_line(void **state)
{
	(void)state;
	static const char *const lines[] = {
		"junk\n",
		"{\"step\":\"put\",\"key\":\"subnets/10.5.2.0-24\"}\n",
		"{\"step\":\"grant\",\"handle\":5,\"ttl\":9223372036854775807,\"at\":1}\n",
		"{\"step\":\"alive\",\"handle\":5,\"at\":9223372036854775807}\n",
		"{\"format\":1,\"revision\":1}\n",
		"{\"key\":\"subnets/10.5.1.0-24\",\"value\":\"{}\"}\n",
	};
	auto_rig r = rig_new();
	auto_free char *journal = journal_of(r);

	lease_free(created(r, "10.5.1.0-24", 60));
	watch(r, listed(r, 1) + 1);
	await(r, STORE_EVENT_LIVE, NULL);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		auto_free char *good = NULL;
		auto_reply reply = { 0 };
		size_t size;

		print_message("%s", lines[i]);
		assert_int_equal(file_read(journal, 1 << 20, &good, &size, NULL), 0);
		append(journal, lines[i]);
		await(r, STORE_EVENT_LOST, NULL);
		ask(r, STORE_LIST, NULL, 0, &reply);
		assert_int_equal(reply.status, STORE_UNAVAILABLE);
		assert_contains(reply.err.text, "journal: line ");
		forget_told(r);
		assert_int_equal(truncate(journal, (off_t)size), 0);
		await(r, STORE_EVENT_LIVE, NULL);
		assert_null(find_told(r, STORE_EVENT_RESYNC, NULL));
		listed(r, 1);
		forget_told(r);
	}
}

/* ---- the directory ---- */

static void move(const char *from, const char *to)
{
	if (rename(from, to) < 0)
		fail_msg("%s to %s: %s", from, to, strerror(errno));
}

/* Away and back: what was told holds meanwhile, and nothing has to be listed. */
static void test_directory_moved_away_and_back(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_free char *away = xasprintf("%s.away", r->directory);
	auto_reply reply = { 0 };

	lease_free(created(r, "10.5.1.0-24", 60));
	watch(r, listed(r, 1) + 1);
	await(r, STORE_EVENT_LIVE, NULL);
	move(r->directory, away);
	await(r, STORE_EVENT_LOST, NULL);
	ask(r, STORE_LIST, NULL, 0, &reply);
	assert_int_equal(reply.status, STORE_UNAVAILABLE);
	assert_int_not_equal(access(r->directory, F_OK), 0); /* no empty store in its place */
	forget_told(r);
	move(away, r->directory);
	await(r, STORE_EVENT_LIVE, NULL);
	assert_null(find_told(r, STORE_EVENT_RESYNC, NULL));
	listed(r, 1);
	put(r, "subnets/10.5.2.0-24", "{}", 0);
	await(r, STORE_EVENT_PUT, "10.5.2.0-24");
}

/* Of which inotify says nothing. */
static void test_directory_goes_with_its_parent(void **state)
{
	(void)state;
	char parent[] = "/tmp/test-store-XXXXXX";
	auto_rig r = rig_new();
	auto_free char *away = NULL;
	auto_free char *inside = NULL;
	auto_free char *home = xstrdup(r->directory);

	assert_non_null(mkdtemp(parent));
	away = xasprintf("%s.away", parent);
	inside = xasprintf("%s/store", parent);
	free(r->directory);
	r->directory = xstrdup(inside);
	reopen(r);
	lease_free(created(r, "10.5.1.0-24", 60));
	watch(r, listed(r, 1) + 1);
	await(r, STORE_EVENT_LIVE, NULL);
	move(parent, away);
	await(r, STORE_EVENT_LOST, NULL);
	move(away, parent);
	forget_told(r);
	await(r, STORE_EVENT_LIVE, NULL);
	listed(r, 1);
	remove_directory(r);
	assert_int_equal(rmdir(parent), 0);
	free(r->directory);
	r->directory = STEAL(home);
}

/* From a backup: the same file names, another history. */
static void test_directory_restored(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_free char *journal = journal_of(r);
	auto_free char *backup = NULL;
	size_t size;

	lease_free(created(r, "10.5.1.0-24", 60));
	assert_int_equal(file_read(journal, 1 << 20, &backup, &size, NULL), 0);
	lease_free(created(r, "10.5.2.0-24", 60));
	watch(r, listed(r, 2) + 1);
	await(r, STORE_EVENT_LIVE, NULL);
	remove_directory(r);
	assert_int_equal(file_replace(journal, backup, size, 0600, NULL), 0);
	await(r, STORE_EVENT_RESYNC, NULL);
	store_watch_stop(STEAL(r->watch));
	watch(r, listed(r, 1) + 1);
	/* And is followed from there. */
	store_free(STEAL(r->other));
	assert_int_equal(file_store_new(r->base, r->directory, random_u64, &r->other, NULL), 0);
	put(r, "subnets/10.5.3.0-24", "{}", 0);
	await(r, STORE_EVENT_PUT, "10.5.3.0-24");
}

/* Taken away as a whole, it will be put back where it was: whoever has something to write makes no other meanwhile. */
static void test_directory_away(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_free char *away = xasprintf("%s.away", r->directory);
	auto_lease struct lease *l = created(r, "10.5.1.0-24", 60);
	const struct store_request health = {
		.op = STORE_HEALTH_SET, .health_name = "id", .health = "{}", .ttl_s = 60
	};
	auto_reply reply = { 0 };
	auto_reply renewed = { 0 };

	assert_int_equal(rename(r->directory, away), 0);
	r->answered = false;
	r->reply = &reply;
	store_submit(r->store, &health, on_reply, r);
	while (!r->answered)
		turn(r, "an answer");
	assert_int_equal(reply.status, STORE_UNAVAILABLE);
	assert_contains(reply.err.text, r->directory);
	ask(r, STORE_KEEPALIVE, l, 0, &renewed);
	assert_int_equal(renewed.status, STORE_UNAVAILABLE);
	assert_int_equal(access(r->directory, F_OK), -1);
	assert_int_equal(rename(away, r->directory), 0);
	listed(r, 1);
}

static void test_directory_made_again(void **state)
{
	(void)state;
	auto_rig r = rig_new();

	lease_free(created(r, "10.5.1.0-24", 60));
	watch(r, listed(r, 1) + 1);
	await(r, STORE_EVENT_LIVE, NULL);
	remove_directory(r);
	assert_int_equal(mkdir(r->directory, 0755), 0);
	await(r, STORE_EVENT_RESYNC, NULL);
	listed(r, 0);
	lease_free(created(r, "10.5.1.0-24", 60));
}

/* A long journal is written anew; who watches goes on, in this process and in the other. */
static void test_file_written_anew(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_free char *journal = journal_of(r);
	auto_lease struct lease *l = created(r, "10.5.1.0-24", 600);
	auto_free char *text = NULL;
	size_t size;

	watch(r, listed(r, 1) + 1);
	for (unsigned i = 0; i < 1200; i++) {
		auto_reply reply = { 0 };

		ask(r, STORE_KEEPALIVE, l, 0, &reply);
		assert_int_equal(reply.status, STORE_OK);
	}
	assert_int_equal(file_read(journal, 1 << 20, &text, &size, NULL), 0);
	assert_true(size < 40000); /* 1200 lines would be more */
	put(r, "subnets/10.5.2.0-24", "{}", 0);
	await(r, STORE_EVENT_PUT, "10.5.2.0-24");
	assert_null(find_told(r, STORE_EVENT_RESYNC, NULL));
	reopen(r);
	listed(r, 2);
}

struct watched {
	unsigned puts;
	unsigned resyncs;
};

static void on_watched(void *arg, struct store_event *event)
{
	struct watched *w = arg;

	w->puts += event->type == STORE_EVENT_PUT;
	w->resyncs += event->type == STORE_EVENT_RESYNC;
}

/* Who writes, and is never told of another journal, forgets what all have been told. */
static void test_file_history_is_forgotten(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	struct edit edit = { "subnets/10.5.2.0-24", "{}", 0, 0 };
	const struct mem_db *db;
	struct watched w = { 0 };
	struct err e;

	store_free(STEAL(r->other));
	r->watch = store_watch(r->store, listed(r, 0) + 1, on_watched, &w);
	for (unsigned i = 1; i <= 2500; i++) {
		assert_int_equal(mem_store_edit(r->store, apply_edit, &edit, &e), 0);
		while (i % 100 == 0 && w.puts < i)
			turn(r, "a change");
	}
	db = mem_store_db(r->store);
	assert_in_range(mem_db_revision(db) - mem_db_compact_revision(db), 0, 1300);
	assert_int_equal(w.resyncs, 0);
}

/* The disk has room for a line and none for the whole: what was asked has happened, and is answered so. */
static void test_file_not_written_anew(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *l = created(r, "10.5.1.0-24", 600);
	auto_free char *in_the_way = xasprintf("%s/journal.tmp.%d", r->directory, (int)getpid());

	assert_int_equal(mkdir(in_the_way, 0755), 0);
	for (unsigned i = 0; i < 1100; i++) {
		auto_reply reply = { 0 };

		ask(r, STORE_KEEPALIVE, l, 0, &reply);
		assert_int_equal(reply.status, STORE_OK);
	}
	assert_int_equal(rmdir(in_the_way), 0);
	lease_free(created(r, "10.5.2.0-24", 60));
	reopen(r);
	listed(r, 2);
}

/* Another boot: times of the uptime mean nothing, so every lease starts its time anew. */
static void test_file_other_boot(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_free char *journal = journal_of(r);
	static const char text[] =
		"{\"format\":1,\"boot\":\"another\",\"revision\":7}\n"
		"{\"key\":\"subnets/10.5.1.0-24\",\"value\":\"{}\",\"create\":5,\"mod\":6,"
		"\"handle\":17}\n"
		"{\"step\":\"grant\",\"handle\":17,\"ttl\":60,\"at\":1}\n";
	auto_lease struct lease *l = lease("10.5.1.0-24", "vxlan");
	auto_reply reply = { 0 };

	assert_int_equal(file_replace(journal, text, strlen(text), 0600, NULL), 0);
	reopen(r);
	assert_int_equal(listed(r, 1), 7);
	l->id = 17;
	ask(r, STORE_TIME_LEFT, l, 0, &reply);
	assert_in_range(reply.ttl_s, 59, 60);
}

static void unlock(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	flock(*(int *)arg, LOCK_UN);
}

static void test_file_busy(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_free char *path = xasprintf("%s/lock", r->directory);
	auto_close int fd = open(path, O_RDWR | O_CLOEXEC);
	static const struct timeval later = { 0, 100000 };
	struct event *timer = evtimer_new(r->base, unlock, &fd);
	int64_t before = clock_boot_ms();

	assert_int_equal(flock(fd, LOCK_EX), 0);
	event_add(timer, &later);
	lease_free(created(r, "10.5.1.0-24", 60));
	assert_true(clock_boot_ms() - before >= 90);
	event_free(timer);
}

/* Who removes the lock lets nobody in who finds the new one taken. */
static void test_file_lock_removed(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_free char *path = xasprintf("%s/lock", r->directory);
	static const struct timeval later = { 0, 100000 };
	auto_close int fd = -1;
	struct event *timer;
	int64_t before = clock_boot_ms();

	lease_free(created(r, "10.5.1.0-24", 60));
	assert_int_equal(unlink(path), 0);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	timer = evtimer_new(r->base, unlock, &fd);
	event_add(timer, &later);
	lease_free(created(r, "10.5.2.0-24", 60));
	assert_true(clock_boot_ms() - before >= 90);
	event_free(timer);
}

/* Two that want the same at the same time: one gets it. */
static void test_file_race(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *l = lease("10.5.1.0-24", "vxlan");
	struct store_request request = { .op = STORE_CREATE, .lease = l, .ttl_s = 60 };
	struct rig second = { .kind = FILE_STORE };
	auto_reply a = { 0 };
	auto_reply b = { 0 };

	r->reply = &a;
	second.reply = &b;
	store_submit(r->store, &request, on_reply, r);
	store_submit(r->other, &request, on_reply, &second);
	while (!r->answered || !second.answered)
		turn(r, "both answers");
	assert_int_not_equal(a.status == STORE_OK, b.status == STORE_OK);
	assert_true(a.status == STORE_CONFLICT || b.status == STORE_CONFLICT);
	listed(r, 1);
}

/* Opening one for reading, and for writing, waits for its other end. */
static void test_fifo_in_place_of_the_journal(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_free char *journal = journal_of(r);
	auto_free char *backup = NULL;
	auto_reply reply = { 0 };
	size_t size;

	lease_free(created(r, "10.5.1.0-24", 60));
	watch(r, listed(r, 1) + 1);
	await(r, STORE_EVENT_LIVE, NULL);
	assert_int_equal(file_read(journal, 1 << 20, &backup, &size, NULL), 0);
	assert_int_equal(unlink(journal), 0);
	assert_int_equal(mkfifo(journal, 0600), 0);
	await(r, STORE_EVENT_LOST, NULL);
	ask(r, STORE_LIST, NULL, 0, &reply);
	assert_int_equal(reply.status, STORE_UNAVAILABLE);
	assert_contains(reply.err.text, "journal: a FIFO, not a file");
	reopen(r);
	assert_int_equal(file_replace(journal, backup, size, 0600, NULL), 0);
	watch(r, 1);
	await(r, STORE_EVENT_LIVE, NULL);
	listed(r, 1);
}

/* The timer serves, and tries again: what others write is seen, with inotify and without. */
static void test_no_inotify(void **state)
{
	static const int shortages[] = { EMFILE, ENOSPC };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(shortages); i++) {
		auto_rig r = rig_new();
		auto_json json_t *shown = json_object();

		inotify_errno = shortages[i];
		reopen(r);
		watch(r, listed(r, 0) + 1);
		await(r, STORE_EVENT_LIVE, NULL);
		r->store->ops->describe(r->store, shown);
		assert_contains(json_string_value(json_object_get(shown, "unwatched")),
				strerror(shortages[i]));
		assert_int_equal(file_store_new(r->base, r->directory, random_u64, &r->other, NULL),
				 0);
		put(r, "subnets/10.5.3.0-24", "{}", 0);
		await(r, STORE_EVENT_PUT, "10.5.3.0-24");
		inotify_errno = 0;
		while (json_object_get(shown, "unwatched")) {
			json_object_clear(shown);
			r->store->ops->describe(r->store, shown);
			turn(r, "inotify again");
		}
		put(r, "subnets/10.5.4.0-24", "{}", 0);
		await(r, STORE_EVENT_PUT, "10.5.4.0-24");
	}
}

static void test_file_deleted_under_us(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_free char *journal = journal_of(r);

	lease_free(created(r, "10.5.1.0-24", 60));
	watch(r, listed(r, 1) + 1);
	await(r, STORE_EVENT_LIVE, NULL);
	assert_int_equal(unlink(journal), 0);
	await(r, STORE_EVENT_RESYNC, NULL);
	listed(r, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file_survives),
		cmocka_unit_test(test_file_torn_line),
		cmocka_unit_test(test_file_damaged),
		cmocka_unit_test(test_file_bad_line),
		cmocka_unit_test(test_directory_moved_away_and_back),
		cmocka_unit_test(test_directory_goes_with_its_parent),
		cmocka_unit_test(test_directory_restored),
		cmocka_unit_test(test_directory_away),
		cmocka_unit_test(test_directory_made_again),
		cmocka_unit_test(test_file_lock_removed),
		cmocka_unit_test(test_file_written_anew),
		cmocka_unit_test(test_file_history_is_forgotten),
		cmocka_unit_test(test_file_not_written_anew),
		cmocka_unit_test(test_file_other_boot),
		cmocka_unit_test(test_file_busy),
		cmocka_unit_test(test_file_race),
		cmocka_unit_test(test_file_deleted_under_us),
		cmocka_unit_test(test_fifo_in_place_of_the_journal),
		cmocka_unit_test(test_no_inotify),
	};

	kind = FILE_STORE;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
