// SPDX-License-Identifier: MIT

#include <signal.h>
#include <stddef.h>

// The Go runtime sets SA_ONSTACK for the handlers that the host has when the library is loaded,
// but leaves out the signals that stop and continue a process (runtime, initsig and sigtable of
// Go 1.26). A handler without it would write over the stack of a goroutine and what lies below.
__attribute__((constructor)) static void onstack(void)
{
	static const int left_out[] = {SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU};

	for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++) {
		struct sigaction a;
		if (sigaction(left_out[i], NULL, &a) != 0 || a.sa_handler == SIG_DFL || a.sa_handler == SIG_IGN)
			continue;
		a.sa_flags |= SA_ONSTACK;
		sigaction(left_out[i], &a, NULL);
	}
}
