/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation that does not fail, scope-bound cleanup, and the few macros everything uses.
 *
 * Memory exhaustion aborts: every input has a maximum, so running out means the host is lost
 * already, and code that never sees NULL has no untested branches.
 */
#ifndef LIB_UTIL_H
#define LIB_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)                                                                                  \
	({                                                                                         \
		typeof(a) min_a_ = (a);                                                            \
		typeof(b) min_b_ = (b);                                                            \
		min_a_ < min_b_ ? min_a_ : min_b_;                                                 \
	})
#define MAX(a, b)                                                                                  \
	({                                                                                         \
		typeof(a) max_a_ = (a);                                                            \
		typeof(b) max_b_ = (b);                                                            \
		max_a_ > max_b_ ? max_a_ : max_b_;                                                 \
	})

/* The struct of type `type` whose `member` `p` points to. */
#define CONTAINER_OF(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

/* Takes the value out of a variable with a cleanup attribute, leaving it empty. */
#define STEAL(p)                                                                                   \
	({                                                                                         \
		typeof(p) stolen_ = (p);                                                           \
		(p) = NULL;                                                                        \
		stolen_;                                                                           \
	})
#define STEAL_FD(fd)                                                                               \
	({                                                                                         \
		int stolen_ = (fd);                                                                \
		(fd) = -1;                                                                         \
		stolen_;                                                                           \
	})

#define PRINTF(fmt_index, first) __attribute__((format(printf, fmt_index, first)))
#define MUST_CHECK               __attribute__((warn_unused_result))
#define UNUSED                   __attribute__((unused))

void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t len, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *p, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *s, size_t size) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *fmt, ...) PRINTF(1, 2) __attribute__((malloc, returns_nonnull));

/* Random bytes of the kernel's, good enough for keys; before it has any, early in a boot, it waits. */
void util_random(void *ret, size_t size);
uint64_t util_random_u64(void);

/*
 * Replaces by '?' every byte that is not part of printable UTF-8, so that a text from outside, or
 * one that was cut, can go to a terminal, a log or JSON.
 */
void util_make_printable(char *s);

/*
 * Makes room for one more element in a growing array: `items` with `len` used of `cap`.
 * Doubles, so that filling n elements costs O(n).
 */
#define GROW(items, len, cap)                                                                      \
	do {                                                                                       \
		if ((len) == (cap)) {                                                              \
			(cap) = (cap) ? (cap)*2 : 8;                                               \
			(items) = xrealloc((items), (cap) * sizeof(*(items)));                     \
		}                                                                                  \
	} while (0)

static inline void util_free(void *p)
{
	free(*(void **)p);
}

static inline void util_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void util_fclose(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define auto_free   __attribute__((cleanup(util_free)))
#define auto_close  __attribute__((cleanup(util_close)))
#define auto_fclose __attribute__((cleanup(util_fclose)))

#endif
