// SPDX-License-Identifier: MIT
//
// A program that does nothing useful, with what displacements are made of:
// calls near and through the procedure linkage table, branches, switches,
// strings, tables of pointers, exported and imported symbols, bss. make.sh builds it
// for each architecture in two versions; the second has functions, strings and
// variables inserted here and there.

#define EXPORT __attribute__((visibility("default")))
#define APART __attribute__((noinline))

extern int imported_first(const char *);
extern int imported_last(int, const char *);
#if VERSION == 2
extern int imported_between(const char *, int);
#endif

// Types, for their descriptions.
struct first {
	int a;
	const char *b;
	struct first *next;
};
#if VERSION == 2
typedef unsigned long inserted_t;
struct between {
	struct first one;
	inserted_t two[3];
};
static struct between between;
#endif
typedef int (*last_t)(struct first *, unsigned short);
struct last {
	struct first one;
	last_t two;
	enum { RED, GREEN } colour;
	union {
		unsigned char c[8];
		short s;
	} u;
};
static struct last last;

static int counters[16];
#if VERSION == 2
static long totals[5];
#endif
static char buffer[300];
EXPORT int visible = 17;

static APART int mix(int a, int b)
{
	for (int i = 0; i < (b & 15); i++) {
		if ((a ^ i) & 4)
			a += counters[i];
		else
			a ^= b << 3;
	}
	return a;
}

#if VERSION == 2
EXPORT APART int inserted(int a)
{
	totals[a & 3] += imported_between("inserted", a);
	return mix(a, (int)totals[1]) + 1;
}
#endif

static const char *const names[] = {
	"zero", "one",
#if VERSION == 2
	"one and a half",
#endif
	"two", "three", "four",
};

static APART int named(int i)
{
	switch (i) {
	case 0: return imported_first(names[0]);
	case 1: return imported_last(i, "first case");
	case 2: return mix(i, visible);
	case 3: return counters[3]++;
#if VERSION == 2
	case 4: return inserted(i);
#endif
	case 5: return imported_first("fifth case") + mix(1, 2);
	case 6: return buffer[7];
	case 7: return imported_last(3, names[i & 3]);
	default: return -1;
	}
}

#define STEP(n)                                                           \
	EXPORT APART int step##n(int a)                                   \
	{                                                                 \
		if (a == n)                                               \
			return imported_first("step " #n);                \
		if (a & (1 << (n & 7)))                                   \
			a = mix(a, n) + counters[n & 15];                 \
		buffer[(n * 7) % 300] = (char)a;                          \
		return named(a & 7) + imported_last(a, names[(n) & 3]);   \
	}

STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) STEP(8)
#if VERSION == 2
STEP(9)
#endif
STEP(10) STEP(11) STEP(12) STEP(13) STEP(14) STEP(15) STEP(16) STEP(17)
STEP(20) STEP(21) STEP(22) STEP(23) STEP(24) STEP(25) STEP(26) STEP(27)

EXPORT int (*const steps[])(int) = {
	step1, step2, step3, step4, step5, step6, step7, step8,
#if VERSION == 2
	step9, inserted,
#endif
	step10, step11, step12, step13, step14, step15, step16, step17, named,
	step20, step21, step22, step23, step24, step25, step26, step27,
};

EXPORT int run(int n)
{
	int sum = last.colour + last.u.s;
#if VERSION == 2
	sum += (int)between.two[1];
#endif
	last.colour = n;
	for (unsigned i = 0; i < sizeof steps / sizeof *steps; i++)
		sum += steps[i](n) + visible;
	return sum;
}
