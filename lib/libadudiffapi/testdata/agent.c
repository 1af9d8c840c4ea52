// SPDX-License-Identifier: MIT
//
// agent - use libadudiffapi.so as a Device Update agent does: open it by name,
// look up six functions, make a session, apply, read the errors, close.
//
// Usage: agent MODE SOURCE DELTA TARGET
//
// MODE apply    print the number of errors, then code and text of each
//      twice    the same in a row, with dlclose in between, then from a thread
//               with a small stack
//      parallel eight sessions at a time, each with a target of its own
//      misuse   null pointers, closed sessions, indices out of range
//      signals  handlers that were there before the library and handlers that
//               came later keep working, while a delta is applied and after
//      pipe     a write to a closed pipe kills the process if it did before
//      child    a child process is forked and runs a program
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef void *handle;

static handle (*create_session)(void);
static void (*close_session)(handle);
static int (*apply)(handle, const char *, const char *, const char *);
static size_t (*get_error_count)(handle);
static const char *(*get_error_text)(handle, size_t);
static int (*get_error_code)(handle, size_t);

static const char *source, *delta, *target;

static void check(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "agent: %s\n", what);
	exit(1);
}

static void *symbol(void *lib, const char *name)
{
	void *p = dlsym(lib, name);
	check(p != NULL, name);
	return p;
}

static void *load(void)
{
	void *lib = dlopen("libadudiffapi.so", RTLD_LAZY);
	if (lib == NULL) {
		fprintf(stderr, "agent: %s\n", dlerror());
		exit(1);
	}
	create_session = symbol(lib, "adu_diff_apply_create_session");
	close_session = symbol(lib, "adu_diff_apply_close_session");
	apply = symbol(lib, "adu_diff_apply");
	get_error_count = symbol(lib, "adu_diff_apply_get_error_count");
	get_error_text = symbol(lib, "adu_diff_apply_get_error_text");
	get_error_code = symbol(lib, "adu_diff_apply_get_error_code");
	return lib;
}

// run applies the delta once and reports as the agent logs it.
static int run(const char *to)
{
	handle s = create_session();
	check(s != NULL, "no session");
	int result = apply(s, source, delta, to);
	printf("%d\n", result);
	size_t n = get_error_count(s);
	check(n == (size_t)result, "the result is not the number of errors");
	for (size_t i = 0; i < n; i++)
		printf("%d %s\n", get_error_code(s, i), get_error_text(s, i));
	close_session(s);
	return result;
}

static void *run_thread(void *to)
{
	return (void *)(intptr_t)run(to);
}

static int start(size_t stack, int count)
{
	pthread_t threads[8];
	static char names[8][4096];
	pthread_attr_t attr;
	int failed = 0;

	pthread_attr_init(&attr);
	if (stack != 0)
		check(pthread_attr_setstacksize(&attr, stack) == 0, "stack size");
	for (int i = 0; i < count; i++) {
		snprintf(names[i], sizeof names[i], count == 1 ? "%s" : "%s.%d", target, i);
		check(pthread_create(&threads[i], &attr, run_thread, names[i]) == 0, "thread");
	}
	for (int i = 0; i < count; i++) {
		void *result;
		pthread_join(threads[i], &result);
		failed += result != NULL;
	}
	return failed;
}

static int twice(void)
{
	int failed = run(target);
	dlclose(load());
	void *lib = load();
	failed += run(target);
	dlclose(lib);
	load();
	return failed + start(128 << 10, 1);
}

static int misuse(void)
{
	handle s = create_session(), other = create_session();

	check(s != other, "two sessions are one");
	check(get_error_count(s) == 0, "errors in a new session");
	check(get_error_text(s, 0) == NULL && get_error_code(s, 0) == 0, "an error in a new session");
	check(apply(s, NULL, NULL, NULL) == 1, "null paths");
	check(get_error_code(s, 0) == 20300, "null paths: other code");
	check(get_error_text(s, 0) == get_error_text(s, 0), "the text moves");
	check(get_error_text(s, 1) == NULL && get_error_code(s, 1) == 0, "index 1");
	check(get_error_text(s, 0x80000000u) == NULL, "index 2^31");
	check(get_error_count(other) == 0, "sessions share errors");
	check(apply(NULL, source, delta, target) == 1, "null session");
	check(get_error_count(NULL) == 0 && get_error_text(NULL, 0) == NULL, "errors of null");
	check(apply(s, source, delta, target) == 0, "apply after a failure");
	check(get_error_count(s) == 0, "an apply keeps old errors");
	close_session(s);
	close_session(s);
	close_session(NULL);
	check(apply(other, source, delta, target) == 0, "apply in the other session");
	close_session(other);
	return 0;
}

static volatile sig_atomic_t seen[65];

static void note(int sig)
{
	seen[sig]++;
}

// Not SIGURG, which the Go runtime takes for itself.
static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGCHLD, SIGUSR1, SIGUSR2, SIGALRM, SIGPROF, SIGWINCH, SIGCONT};
#define CAUGHT (sizeof caught / sizeof *caught)

static void install(int sig, void (*handler)(int))
{
	struct sigaction a = {.sa_handler = handler, .sa_flags = SA_RESTART};
	check(sigaction(sig, &a, NULL) == 0, "sigaction");
}

// raise_all sends each signal once and waits until its handler ran.
static void raise_all(void)
{
	for (size_t i = 0; i < CAUGHT; i++) {
		int before = seen[caught[i]];
		// The kernel sends SIGPIPE to the thread that writes.
		if (caught[i] == SIGPIPE)
			raise(SIGPIPE);
		else
			kill(getpid(), caught[i]);
		for (int n = 0; seen[caught[i]] == before; n++) {
			check(n < 5000, strsignal(caught[i]));
			usleep(1000);
		}
	}
}

static void *pester(void *stop)
{
	while (!*(volatile int *)stop)
		raise_all();
	return NULL;
}

static int signals(void)
{
	static volatile int stop;
	pthread_t thread;
	int failed;

	for (size_t i = 0; i < CAUGHT; i++) {
		struct sigaction a;
		check(sigaction(caught[i], NULL, &a) == 0 && a.sa_flags & SA_ONSTACK, "a handler would run on a goroutine's stack");
	}
	raise_all();
	check(pthread_create(&thread, NULL, pester, (void *)&stop) == 0, "thread");
	failed = run(target);
	stop = 1;
	pthread_join(thread, NULL);
	// And what a host installs later is its own as well.
	for (size_t i = 0; i < CAUGHT; i++)
		install(caught[i], note);
	raise_all();
	failed += run(target);
	install(SIGPIPE, SIG_IGN);
	int p[2];
	check(pipe(p) == 0, "pipe");
	close(p[0]);
	check(write(p[1], "", 1) == -1 && errno == EPIPE, "SIGPIPE is not ignored");
	return failed;
}

// A signal whose default is to end the process still ends it.
static int closed_pipe(void)
{
	static const int fatal[] = {SIGPIPE, SIGTERM, SIGINT, SIGABRT, SIGSEGV};
	int failed = run(target), status, p[2];

	for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++) {
		fflush(stdout);
		pid_t pid = fork();
		if (pid == 0) {
			load();
			if (fatal[i] == SIGSEGV)
				*(volatile int *)8 = 0;
			if (fatal[i] != SIGPIPE)
				raise(fatal[i]);
			check(pipe(p) == 0, "pipe");
			close(p[0]);
			write(p[1], "", 1);
			_exit(0);
		}
		check(waitpid(pid, &status, 0) == pid, "wait");
		check(WIFSIGNALED(status) && WTERMSIG(status) == fatal[i], strsignal(fatal[i]));
	}
	return failed;
}

static int child(void)
{
	int failed = run(target);
	return failed + (system("exit 7") != 7 << 8);
}

int main(int argc, char **argv)
{
	check(argc == 5, "usage: agent MODE SOURCE DELTA TARGET");
	const char *mode = argv[1];
	source = argv[2], delta = argv[3], target = argv[4];
	if (strcmp(mode, "signals") == 0)
		for (size_t i = 0; i < CAUGHT; i++)
			install(caught[i], note);
	load();
	int failed = strcmp(mode, "apply") == 0    ? run(target)
		: strcmp(mode, "twice") == 0    ? twice()
		: strcmp(mode, "parallel") == 0 ? start(0, 8)
		: strcmp(mode, "misuse") == 0   ? misuse()
		: strcmp(mode, "signals") == 0  ? signals()
		: strcmp(mode, "pipe") == 0     ? closed_pipe()
		: strcmp(mode, "child") == 0    ? child()
						: 99;
	return failed != 0;
}
