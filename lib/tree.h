/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ordered tree whose nodes are embedded in what is ordered: two pointers for each.
 *
 * A treap: ordered by the caller's comparison from left to right, and from the top down by a number
 * that is as good as drawn by lot, which keeps it about as flat as a balanced one (R. Seidel and
 * C. R. Aragon, "Randomized Search Trees", 1996). Every operation takes O(log n).
 */
#ifndef LIB_TREE_H
#define LIB_TREE_H

#include "lib/util.h"

/* Undefined until it is added. */
struct tree_node {
	struct tree_node *left;
	struct tree_node *right;
};

/* Like strcmp. No two nodes of one tree are equal. */
typedef int tree_compare(const struct tree_node *a, const struct tree_node *b);

struct tree {
	struct tree_node *root; /* NULL: empty */
	tree_compare *compare;
};

void tree_add(struct tree *t, struct tree_node *n);
/* What the comparison looks at must not have changed since it was added. */
void tree_remove(struct tree *t, struct tree_node *n);

/* Where a key stands as against a node: like strcmp, with more arguments than there are. */
typedef int tree_place(const void *key, const struct tree_node *n);

/* The first node that the key does not stand behind; NULL if there is none. */
struct tree_node *tree_find(const struct tree *t, tree_place *place, const void *key);
/* The one after it; NULL if it is the last. */
struct tree_node *tree_next(const struct tree *t, const struct tree_node *n);

#endif
