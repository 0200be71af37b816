/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Montgomery ladder of RFC 7748 section 5. A number modulo p = 2^255 - 19 is five limbs of 51 bits;
 * a limb may be larger in between: what multiply and subtract take is below 2^54, what they give below
 * 2^52, and a sum of two of those is below 2^53.
 */
#include "lib/x25519.h"

#include <string.h>

#include "lib/addr.h"

#define LIMBS 5
#define MASK  ((UINT64_C(1) << 51) - 1)

struct number {
	uint64_t limb[LIMBS];
};

static struct number from_u64(uint64_t value)
{
	return (struct number){ { value } };
}

static struct number add(const struct number *a, const struct number *b)
{
	struct number sum;

	for (size_t i = 0; i < LIMBS; i++)
		sum.limb[i] = a->limb[i] + b->limb[i];
	return sum;
}

/* What is above 51 bits in one limb belongs to the next; 2^255 is 19. */
static void carry(struct number *n)
{
	uint64_t over = 0;

	for (size_t i = 0; i < LIMBS; i++) {
		n->limb[i] += over;
		over = n->limb[i] >> 51;
		n->limb[i] &= MASK;
	}
	n->limb[0] += 19 * over;
}

/* 8 p is added, so that no limb goes below zero. */
static struct number subtract(const struct number *a, const struct number *b)
{
	struct number difference;

	for (size_t i = 0; i < LIMBS; i++)
		difference.limb[i] = a->limb[i] + 8 * (i == 0 ? MASK - 18 : MASK) - b->limb[i];
	carry(&difference);
	return difference;
}

static struct number multiply(const struct number *a, const struct number *b)
{
	struct number product;
	u128 sums[LIMBS] = { 0 };
	u128 over = 0;

	for (size_t i = 0; i < LIMBS; i++) {
		for (size_t j = 0; j < LIMBS; j++)
			sums[(i + j) % LIMBS] +=
				(u128)a->limb[i] * (b->limb[j] * (i + j < LIMBS ? 1 : 19));
	}
	for (size_t i = 0; i < LIMBS; i++) {
		sums[i] += over;
		product.limb[i] = (uint64_t)sums[i] & MASK;
		over = sums[i] >> 51;
	}
	over = (u128)product.limb[0] + 19 * over;
	product.limb[0] = (uint64_t)over & MASK;
	product.limb[1] += (uint64_t)(over >> 51);
	return product;
}

/* n to the power of p - 2, in which all bits but two are set. */
static struct number invert(const struct number *n)
{
	struct number power = from_u64(1);

	for (int bit = 254; bit >= 0; bit--) {
		power = multiply(&power, &power);
		if (bit != 2 && bit != 4)
			power = multiply(&power, n);
	}
	return power;
}

static void exchange(struct number *a, struct number *b, uint64_t yes)
{
	for (size_t i = 0; i < LIMBS; i++) {
		uint64_t both = (a->limb[i] ^ b->limb[i]) & (0 - yes);

		a->limb[i] ^= both;
		b->limb[i] ^= both;
	}
}

/* The one number below p, in bytes of which the first is the lowest. */
static void write_bytes(struct number n, uint8_t ret[static X25519_SIZE])
{
	uint64_t over = 19;

	carry(&n);
	carry(&n);
	/* 1 if it is p or more: then 19 more reach 2^255, and what is beyond that is left out. */
	for (size_t i = 0; i < LIMBS; i++)
		over = (n.limb[i] + over) >> 51;
	over *= 19;
	for (size_t i = 0; i < LIMBS; i++) {
		n.limb[i] += over;
		over = n.limb[i] >> 51;
		n.limb[i] &= MASK;
	}
	for (size_t i = 0; i < X25519_SIZE; i++) {
		size_t limb = 8 * i / 51;
		size_t bit = 8 * i % 51;
		uint64_t value = n.limb[limb] >> bit;

		if (bit > 43 && limb + 1 < LIMBS)
			value |= n.limb[limb + 1] << (51 - bit);
		ret[i] = (uint8_t)value;
	}
}

void x25519_clamp(uint8_t key[static X25519_SIZE])
{
	key[0] &= 248;
	key[31] &= 127;
	key[31] |= 64;
}

/* One step: (x2 : z2) is doubled, (x3 : z3) becomes the sum of both; they differ by the point 9. */
static void step(struct number *x2, struct number *z2, struct number *x3, struct number *z3)
{
	const struct number nine = from_u64(9);
	const struct number a24 = from_u64(121665);
	struct number a = add(x2, z2);
	struct number b = subtract(x2, z2);
	struct number c = add(x3, z3);
	struct number d = subtract(x3, z3);
	struct number da = multiply(&d, &a);
	struct number cb = multiply(&c, &b);
	struct number aa = multiply(&a, &a);
	struct number bb = multiply(&b, &b);
	struct number e = subtract(&aa, &bb);
	struct number sum = add(&da, &cb);
	struct number difference = subtract(&da, &cb);

	*x3 = multiply(&sum, &sum);
	*z3 = multiply(&difference, &difference);
	*z3 = multiply(z3, &nine);
	*x2 = multiply(&aa, &bb);
	*z2 = multiply(&a24, &e);
	*z2 = add(&aa, z2);
	*z2 = multiply(&e, z2);
}

void x25519_public(const uint8_t private[static X25519_SIZE], uint8_t ret[static X25519_SIZE])
{
	struct number x2 = from_u64(1);
	struct number z2 = from_u64(0);
	struct number x3 = from_u64(9);
	struct number z3 = from_u64(1);
	uint8_t key[X25519_SIZE];
	uint64_t before = 0;

	memcpy(key, private, sizeof(key));
	x25519_clamp(key);
	for (int i = 254; i >= 0; i--) {
		uint64_t bit = key[i / 8] >> (i % 8) & 1;

		exchange(&x2, &x3, bit ^ before);
		exchange(&z2, &z3, bit ^ before);
		before = bit;
		step(&x2, &z2, &x3, &z3);
	}
	exchange(&x2, &x3, before);
	exchange(&z2, &z3, before);
	z2 = invert(&z2);
	write_bytes(multiply(&x2, &z2), ret);
	explicit_bzero(key, sizeof(key));
}
