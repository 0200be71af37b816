/* SPDX-License-Identifier: Apache-2.0 */
/* What cppcheck cannot parse the sources without: macros of system headers, which it does not read.
 */
#ifndef TESTS_CPPCHECK_H
#define TESTS_CPPCHECK_H

#define LIST_HEAD(name, type)                                                                      \
	struct name {                                                                              \
		struct type *lh_first;                                                             \
	}
#define LIST_ENTRY(type)                                                                           \
	struct {                                                                                   \
		struct type *le_next;                                                              \
		struct type **le_prev;                                                             \
	}
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
