/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What cppcheck cannot parse the sources without: macros of system headers, which it does not read.
 */
#ifndef TESTS_CPPCHECK_H
#define TESTS_CPPCHECK_H

/* Does not return. */
#define fail_msg(...) exit(1)

#define LIST_HEAD(name, type)                                                                      \
	struct name {                                                                              \
		struct type *lh_first;                                                             \
	}
#define LIST_ENTRY(type)                                                                           \
	struct {                                                                                   \
		struct type *le_next;                                                              \
		struct type **le_prev;                                                             \
	}
#define LIST_FOREACH(var, head, field)                                                             \
	for ((var) = (head)->lh_first; (var); (var) = (var)->field.le_next)
#define TAILQ_FOREACH(var, head, field)                                                            \
	for ((var) = (head)->tqh_first; (var); (var) = (var)->field.tqe_next)
#define HASH_ITER(hh, head, el, tmp)                                                               \
	for ((el) = (head), (tmp) = (head); (el); (el) = (tmp), (tmp) = (tmp)->hh.next)
#define HASH_FIND(hh, head, key, size, out) ((out) = (head))
#define HASH_FIND_STR(head, key, out)       ((out) = (head))
#define TAILQ_HEAD(name, type)                                                                     \
	struct name {                                                                              \
		struct type *tqh_first;                                                            \
		struct type **tqh_last;                                                            \
	}
#define TAILQ_ENTRY(type)                                                                          \
	struct {                                                                                   \
		struct type *tqe_next;                                                             \
		struct type **tqe_prev;                                                            \
	}

#endif
