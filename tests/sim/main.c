/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   sim --seeds 2000 --hosts 20 --minutes 60 --workers 2     runs seeds 1 to 2000
 *   sim --seed 17 --hosts 20 --trace                         replays one, and says what happens
 *
 * Prints "N passed, N failed, 0 skipped"; exit status 1 if any failed.
 */
#include <errno.h>
#include <sys/wait.h>
#include <time.h>

#include "lib/options.h"
#include "tests/sim/world.h"

#define WORKERS_MAX 64

struct settings {
	int64_t seed;
	int64_t seeds;
	int64_t hosts;
	int64_t minutes;
	int64_t workers;
	int64_t shown;
	bool trace;
};

#define AT(field) offsetof(struct settings, field)
static const struct option_spec specs[] = {
	{ .name = "seed",
	  .type = OPTION_INT,
	  .offset = AT(seed),
	  .value = "0",
	  .min = 0,
	  .max = INT64_MAX,
	  .help = "one seed only" },
	{ .name = "seeds",
	  .type = OPTION_INT,
	  .offset = AT(seeds),
	  .value = "100",
	  .min = 1,
	  .max = INT64_MAX,
	  .help = "how many, from 1 on" },
	{ .name = "hosts",
	  .type = OPTION_INT,
	  .offset = AT(hosts),
	  .value = "20",
	  .min = 1,
	  .max = 100000,
	  .help = "hosts of each run" },
	{ .name = "minutes",
	  .type = OPTION_INT,
	  .offset = AT(minutes),
	  .value = "60",
	  .min = 16,
	  .max = 100000,
	  .help = "simulated time" },
	{ .name = "workers",
	  .type = OPTION_INT,
	  .offset = AT(workers),
	  .value = "2",
	  .min = 1,
	  .max = WORKERS_MAX,
	  .help = "processes" },
	{ .name = "shown",
	  .type = OPTION_INT,
	  .offset = AT(shown),
	  .value = "10",
	  .min = 0,
	  .max = 1000000,
	  .help = "failures printed" },
	{ .name = "trace",
	  .type = OPTION_BOOL,
	  .offset = AT(trace),
	  .value = "false",
	  .help = "say what happens" },
	{ 0 },
};

/* What a worker tells of one seed. */
struct verdict {
	uint64_t seed;
	uint64_t steps;
	uint64_t faults;
	bool failed;
	char text[500];
};

static struct verdict run_one(const struct settings *s, uint64_t seed)
{
	struct verdict v = { .seed = seed };
	struct world w;

	v.failed = !world_run(&w, seed, (unsigned)s->hosts, s->minutes, s->trace);
	v.steps = w.steps;
	v.faults = w.faults_happened;
	if (v.failed)
		snprintf(v.text, sizeof(v.text), "%s", w.violation);
	world_fini(&w);
	return v;
}

static void print_failure(const struct settings *s, const char *program, const struct verdict *v)
{
	printf("seed %llu: %s\n    %s --seed %llu --hosts %lld --minutes %lld --trace\n",
	       (unsigned long long)v->seed, v->text, program, (unsigned long long)v->seed,
	       (long long)s->hosts, (long long)s->minutes);
}

static int work(const struct settings *s, int64_t worker, int out)
{
	for (int64_t seed = worker + 1; seed <= s->seeds; seed += s->workers) {
		struct verdict v = run_one(s, (uint64_t)seed);

		/* Below PIPE_BUF: whole or not at all. */
		_Static_assert(sizeof(v) <= 4096, "a verdict must be written at once");
		if (write(out, &v, sizeof(v)) != sizeof(v))
			return 1;
	}
	return 0;
}

static int run_many(const struct settings *s, const char *program)
{
	struct timespec start;
	struct timespec end;
	int64_t counts[2] = { 0, 0 };
	uint64_t steps = 0;
	uint64_t faults = 0;
	struct verdict v;
	int fds[2];

	if (pipe(fds) < 0)
		return 2;
	clock_gettime(CLOCK_MONOTONIC, &start);
	fflush(stdout);
	for (int64_t i = 0; i < s->workers; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return 2;
		if (pid == 0) {
			close(fds[0]);
			_exit(work(s, i, fds[1]));
		}
	}
	close(fds[1]);
	while (read(fds[0], &v, sizeof(v)) == sizeof(v)) {
		counts[v.failed]++;
		steps += v.steps;
		faults += v.faults;
		if (v.failed && counts[1] <= s->shown)
			print_failure(s, program, &v);
	}
	close(fds[0]);
	for (int64_t i = 0; i < s->workers; i++)
		wait(NULL);
	clock_gettime(CLOCK_MONOTONIC, &end);
	/* A worker that crashed leaves seeds without a verdict. */
	if (counts[0] + counts[1] < s->seeds) {
		printf("%lld seeds without a verdict: a worker crashed\n",
		       (long long)(s->seeds - counts[0] - counts[1]));
		counts[1] = s->seeds - counts[0];
	}
	printf("%lld seeds of %lld hosts and %lld minutes: %llu steps, %llu faults, %.1f s\n",
	       (long long)s->seeds, (long long)s->hosts, (long long)s->minutes,
	       (unsigned long long)steps, (unsigned long long)faults,
	       (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9);
	printf("%lld passed, %lld failed, 0 skipped\n", (long long)counts[0], (long long)counts[1]);
	return counts[1] ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct settings s;
	struct verdict v;
	struct err e;
	int first;

	options_init(specs, &s);
	if (options_read_arguments(specs, &s, argc, argv, &first, &e) < 0) {
		fprintf(stderr, "%s: %s\n", argv[0], e.text);
		return 2;
	}
	if (!s.seed)
		return run_many(&s, argv[0]);
	v = run_one(&s, (uint64_t)s.seed);
	if (v.failed)
		print_failure(&s, argv[0], &v);
	printf("%d passed, %d failed, 0 skipped\n", !v.failed, v.failed);
	return v.failed;
}
