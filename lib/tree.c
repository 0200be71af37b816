/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/tree.h"

#include "lib/hash.h"

/* The lot: where a node lies says nothing of how it compares. */
static uint64_t rank(const struct tree_node *n)
{
	return hash_mix((uintptr_t)n);
}

void tree_add(struct tree *t, struct tree_node *n)
{
	struct tree_node **before = &n->left;
	struct tree_node **behind = &n->right;
	struct tree_node **place = &t->root;
	struct tree_node *rest;

	while (*place && rank(*place) >= rank(n))
		place = t->compare(n, *place) < 0 ? &(*place)->left : &(*place)->right;
	rest = *place;
	*place = n;
	/* What hung there is split into what comes before the new node and what comes behind. */
	while (rest) {
		if (t->compare(n, rest) < 0) {
			*behind = rest;
			behind = &rest->left;
			rest = rest->left;
		} else {
			*before = rest;
			before = &rest->right;
			rest = rest->right;
		}
	}
	*before = NULL;
	*behind = NULL;
}

void tree_remove(struct tree *t, struct tree_node *n)
{
	struct tree_node **place = &t->root;
	struct tree_node *before = n->left;
	struct tree_node *behind = n->right;

	while (*place != n)
		place = t->compare(n, *place) < 0 ? &(*place)->left : &(*place)->right;
	while (before && behind) {
		if (rank(before) > rank(behind)) {
			*place = before;
			place = &before->right;
			before = before->right;
		} else {
			*place = behind;
			place = &behind->left;
			behind = behind->left;
		}
	}
	*place = before ? before : behind;
}

struct tree_node *tree_find(const struct tree *t, tree_place *place, const void *key)
{
	struct tree_node *found = NULL;
	struct tree_node *n = t->root;

	while (n) {
		if (place(key, n) <= 0) {
			found = n;
			n = n->left;
		} else {
			n = n->right;
		}
	}
	return found;
}

struct tree_node *tree_next(const struct tree *t, const struct tree_node *n)
{
	struct tree_node *found = NULL;
	struct tree_node *at = t->root;

	while (at) {
		if (t->compare(n, at) < 0) {
			found = at;
			at = at->left;
		} else {
			at = at->right;
		}
	}
	return found;
}
