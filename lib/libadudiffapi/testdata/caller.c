// SPDX-License-Identifier: MIT
//
// caller - use libadudiffapi.so by its header. Also compiled as C++.
//
// Usage: caller SOURCE DELTA TARGET
#include <adudiffapi.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	size_t i;
	int errors;
	adu_apply_handle session = adu_diff_apply_create_session();
	if (argc != 4 || session == NULL)
		return 1;
	errors = adu_diff_apply(session, argv[1], argv[2], argv[3]);
	printf("%d %u\n", errors, (unsigned)adu_diff_apply_get_error_count(session));
	for (i = 0; i < adu_diff_apply_get_error_count(session); i++)
		printf("%d %d\n", adu_diff_apply_get_error_code(session, (uint32_t)i), adu_diff_apply_get_error_text(session, (uint32_t)i) != NULL);
	adu_diff_apply_close_session(session);
	return 0;
}
