/* SPDX-License-Identifier: Apache-2.0 */
/* cni-plugin/ranges, pool: what ranges are, the order of addresses, and reservations on disk. */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "cni-plugin/error.h"
#include "cni-plugin/pool.h"
#include "lib/clock.h"
#include "lib/file.h"

static int parse(const char *ipam_text, struct ranges *ret, struct err *e)
{
	auto_json json_t *ipam = json_loads(ipam_text, 0, NULL);

	assert_non_null(ipam);
	return ranges_parse(ipam, NULL, ret, e);
}

static void test_defaults(void **state)
{
	(void)state;
	static const struct {
		const char *subnet;
		const char *text; /* start-end gateway */
	} rows[] = {
		{ "10.1.2.0/24", "10.1.2.1-10.1.2.254" },
		{ "10.1.2.0/25", "10.1.2.1-10.1.2.126" },
		{ "10.1.2.8/29", "10.1.2.9-10.1.2.14" },
		{ "10.1.2.8/30", "10.1.2.9-10.1.2.10" },
		{ "fd00::/64", "fd00::1-fd00::ffff:ffff:ffff:ffff" },
		{ "fd00::4/126", "fd00::5-fd00::7" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *ipam =
			xasprintf("{\"ranges\":[[{\"subnet\":\"%s\"}]]}", rows[i].subnet);
		auto_ranges struct ranges r = { 0 };
		auto_free char *text = NULL;
		struct err e = { 0 };

		if (parse(ipam, &r, &e) < 0)
			fail_msg("%s: %s", rows[i].subnet, e.text);
		text = range_set_format(&r.sets[0]);
		assert_string_equal(text, rows[i].text);
		assert_true(ip_addr_equal(&r.sets[0].items[0].gateway, &r.sets[0].items[0].start));
	}
}

static void test_overlaps(void **state)
{
	(void)state;
	static const struct {
		const char *a;
		const char *b;
		bool overlap;
	} rows[] = {
		{ "\"subnet\":\"10.0.0.0/20\"", "\"subnet\":\"10.0.1.0/24\"", true },
		{ "\"subnet\":\"10.0.1.0/24\"", "\"subnet\":\"10.0.0.0/20\"", true },
		{ "\"subnet\":\"10.0.1.0/24\"", "\"subnet\":\"10.0.1.0/24\"", true },
		{ "\"subnet\":\"10.0.1.0/24\"", "\"subnet\":\"10.0.2.0/24\"", false },
		{ "\"subnet\":\"10.0.1.0/24\",\"rangeEnd\":\"10.0.1.50\"",
		  "\"subnet\":\"10.0.1.0/24\",\"rangeStart\":\"10.0.1.51\"", false },
		{ "\"subnet\":\"10.0.1.0/24\",\"rangeEnd\":\"10.0.1.50\"",
		  "\"subnet\":\"10.0.1.0/24\",\"rangeStart\":\"10.0.1.50\"", true },
		{ "\"subnet\":\"10.0.1.0/24\"", "\"subnet\":\"fd00::/64\"", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *ipam =
			xasprintf("{\"ranges\":[[{%s}],[{%s}]]}", rows[i].a, rows[i].b);
		auto_ranges struct ranges r = { 0 };
		struct err e = { 0 };

		assert_row((parse(ipam, &r, &e) < 0) == rows[i].overlap, ipam);
		if (rows[i].overlap)
			assert_contains(e.text, "overlap");
	}
}

/* Every address once, gateways never, beginning behind `last`. */
static void test_walk(void **state)
{
	(void)state;
	static const struct {
		const char *ipam;
		const char *last;
		const char *order;
	} rows[] = {
		{ "[{\"subnet\":\"10.1.2.0/29\"}]", NULL, "2 3 4 5 6 " },
		{ "[{\"subnet\":\"10.1.2.0/29\"}]", "10.1.2.4", "5 6 2 3 4 " },
		{ "[{\"subnet\":\"10.1.2.0/29\"}]", "10.1.2.6", "2 3 4 5 6 " },
		{ "[{\"subnet\":\"10.1.2.0/29\"}]", "10.1.2.1", "2 3 4 5 6 " },
		{ "[{\"subnet\":\"10.1.2.0/29\"}]", "10.9.9.9", "2 3 4 5 6 " },
		{ "[{\"subnet\":\"10.1.2.0/30\"},{\"subnet\":\"10.1.2.8/30\"}]", NULL, "2 10 " },
		{ "[{\"subnet\":\"10.1.2.0/30\"},{\"subnet\":\"10.1.2.8/30\"}]", "10.1.2.2",
		  "10 2 " },
		{ "[{\"subnet\":\"10.1.2.0/30\"},{\"subnet\":\"10.1.2.8/30\"}]", "10.1.2.10",
		  "2 10 " },
		{ "[{\"subnet\":\"10.1.2.0/29\",\"gateway\":\"10.1.2.4\"}]", NULL, "1 2 3 5 6 " },
		{ "[{\"subnet\":\"10.1.2.0/"
		  "29\",\"rangeStart\":\"10.1.2.1\",\"rangeEnd\":\"10.1.2.1\"}]",
		  NULL, "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *ipam = xasprintf("{\"ranges\":[%s]}", rows[i].ipam);
		auto_ranges struct ranges r = { 0 };
		const struct range *range;
		char order[80] = "";
		struct range_walk walk;
		struct ip_addr last;
		struct ip_addr a;
		struct err e = { 0 };

		if (parse(ipam, &r, &e) < 0)
			fail_msg("%s: %s", ipam, e.text);
		if (rows[i].last)
			last = test_addr(rows[i].last);
		range_walk_init(&walk, &r.sets[0], rows[i].last ? &last : NULL);
		while (range_walk_next(&walk, &a, &range)) {
			size_t used = strlen(order);

			assert_true(ip_net_contains(&range->subnet, &a));
			snprintf(order + used, sizeof(order) - used, "%u ", a.b[3]);
		}
		assert_string_equal(order, rows[i].order);
	}
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static int make_directory(void **state)
{
	char *dir = xstrdup("/tmp/test-cni-pool-XXXXXX");

	*state = dir;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_directory(void **state)
{
	nftw(*state, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	free(*state);
	return 0;
}

static struct pool *open_pool(const char *dir)
{
	auto_free char *path = xasprintf("%s/net", dir);
	struct pool *p = NULL;
	struct err e;

	if (pool_open(path, true, &p, &e) < 0)
		fail_msg("%s", e.text);
	return p;
}

static void put_file(const char *dir, const char *name, const char *content)
{
	auto_free char *path = xasprintf("%s/net/%s", dir, name);
	struct err e;

	if (file_replace(path, content, strlen(content), 0600, &e) < 0)
		fail_msg("%s", e.text);
}

static void test_reserve_and_release(void **state)
{
	const struct pool_owner owner = { .container_id = "c1", .ifname = "eth0" };
	const struct pool_owner other = { .container_id = "c1", .ifname = "eth1" };
	auto_free char *path = xasprintf("%s/net/10.1.2.2", (char *)*state);
	auto_pool struct pool *p = open_pool(*state);
	auto_ranges struct ranges r = { 0 };
	auto_free char *content = NULL;
	struct pool_address a;
	size_t size;
	struct err e;

	assert_int_equal(parse("{\"subnet\":\"10.1.2.0/29\"}", &r, &e), 0);
	assert_int_equal(pool_choose(p, &r.sets[0], 0, NULL, &a, &e), 0);
	assert_false(pool_is_owner(p, &a.addr, &owner));
	assert_int_equal(pool_reserve(p, &a, &owner, &e), 0);
	assert_int_equal(file_read(path, 100, &content, &size, &e), 0);
	assert_memory_equal(content, "c1\r\neth0", size);
	assert_true(pool_is_owner(p, &a.addr, &owner));
	assert_true(pool_reserve(p, &a, &other, &e) < 0);
	assert_int_equal(pool_release(p, &a.addr, &other, &e), 0);
	assert_true(pool_is_owner(p, &a.addr, &owner));
	assert_int_equal(pool_release(p, &a.addr, &owner, &e), 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(pool_release(p, &a.addr, &owner, &e), 0);
}

static void test_full(void **state)
{
	auto_pool struct pool *p = open_pool(*state);
	auto_ranges struct ranges r = { 0 };
	struct pool_address a;
	struct err e = { 0 };

	assert_int_equal(parse("{\"subnet\":\"10.1.2.0/30\"}", &r, &e), 0);
	assert_int_equal(pool_check_free(p, &r.sets[0], &e), 0);
	put_file(*state, "10.1.2.2", "x");
	assert_true(pool_check_free(p, &r.sets[0], &e) < 0);
	assert_int_equal(cni_code_of(&e), CNI_EXHAUSTED);
	assert_true(pool_choose(p, &r.sets[0], 0, NULL, &a, &e) < 0);
	assert_contains(e.text, "no IP addresses available in range set: 10.1.2.1-10.1.2.2");
}

static void test_release_everything_of_an_owner(void **state)
{
	const struct pool_owner owner = { .container_id = "c1", .ifname = "eth0" };
	auto_pool struct pool *p = open_pool(*state);
	size_t freed;
	struct err e;

	put_file(*state, "10.1.2.2", "c1\r\neth0");
	put_file(*state, "10.1.2.3", " c1 \n eth0 \n");
	put_file(*state, "10.1.2.4", "c1\r\neth1");
	put_file(*state, "10.1.2.5", "c1");
	put_file(*state, "10.1.2.06", "c1\r\neth0");
	put_file(*state, "fd00::1", "c1\r\neth0");
	put_file(*state, "fd00:0::2", "c1\r\neth0");
	assert_int_equal(pool_release_all(p, &owner, &freed, &e), 0);
	assert_int_equal(freed, 3);
	assert_int_equal(pool_release_all(p, &owner, &freed, &e), 0);
	assert_int_equal(freed, 1); /* the one that names no interface */
	assert_int_equal(pool_release_all(p, &owner, &freed, &e), 0);
	assert_int_equal(freed, 0);
}

static void test_owners(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		const char *id; /* NULL: nobody */
		const char *ifname;
	} rows[] = {
		{ "c1\r\neth0", "c1", "eth0" },
		{ "c1\neth0\n", "c1", "eth0" },
		{ "c1", "c1", "" },
		{ " c1 \r\n", "c1", "" },
		{ "", NULL, NULL },
		{ "\r\n", NULL, NULL },
		{ "  \n\teth0", "eth0", "" },
		{ "c1\r\n\r\neth0", "c1", "eth0" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *text = xstrdup(rows[i].text);
		struct pool_owner owner;
		bool found = pool_parse_owner(text, &owner);

		assert_row(found == (rows[i].id != NULL), rows[i].text);
		if (!found)
			continue;
		assert_string_equal(owner.container_id, rows[i].id);
		assert_string_equal(owner.ifname, rows[i].ifname);
	}
}

static void test_no_directory(void **state)
{
	auto_free char *path = xasprintf("%s/none", (char *)*state);
	struct pool *p = NULL;
	struct err e;

	assert_int_equal(pool_open(path, false, &p, &e), -ENOENT);
	assert_int_equal(access(path, F_OK), -1);
}

/* Until somebody waits for the lock of this file; fails if the child has ended instead. */
static void await_waiting(int fd, pid_t child)
{
	static const struct timespec pause = { .tv_nsec = 1000 * 1000 };
	int64_t until = clock_boot_ms() + 10000;
	auto_free char *number = NULL;
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	number = xasprintf(":%llu ", (unsigned long long)st.st_ino);
	while (clock_boot_ms() < until) {
		auto_free char *locks = NULL;
		size_t size;

		assert_int_equal(file_read("/proc/locks", 1 << 20, &locks, &size, NULL), 0);
		for (const char *line = strstr(locks, "-> "); line;
		     line = strstr(line + 1, "-> ")) {
			const char *found = strstr(line, number);

			if (found && found < line + strcspn(line, "\n"))
				return;
		}
		assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
		nanosleep(&pause, NULL);
	}
	fail_msg("nobody waits for the lock");
}

/* Who waited for a lock that was removed meanwhile waits for the new one as well. */
static void test_lock_removed_while_waited_for(void **state)
{
	const char *dir = *state;
	auto_free char *path = xasprintf("%s/lock", dir);
	auto_close int first = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	auto_close int second = -1;
	int status;
	pid_t child;

	assert_int_equal(flock(first, LOCK_EX), 0);
	child = fork();
	if (child == 0) {
		struct pool *p;
		struct err e;

		close(STEAL_FD(first)); /* else it holds the lock as well */
		_exit(pool_open(dir, false, &p, &e) < 0 ? 1 : 0);
	}
	await_waiting(first, child);
	assert_int_equal(unlink(path), 0);
	second = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(flock(second, LOCK_EX), 0);
	util_close(&first);
	await_waiting(second, child);
	util_close(&second);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#define WITH_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_overlaps),
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_owners),
		WITH_DIRECTORY(test_lock_removed_while_waited_for),
		WITH_DIRECTORY(test_reserve_and_release),
		WITH_DIRECTORY(test_full),
		WITH_DIRECTORY(test_release_everything_of_an_owner),
		WITH_DIRECTORY(test_no_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
