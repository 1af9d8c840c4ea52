/* SPDX-License-Identifier: MIT */

/*
 * adudiffapi.h - apply deltas with libadudiffapi.so, as a Device Update agent
 * does. Link with -ladudiffapi, or look the functions up with dlsym(3).
 */
#ifndef ADUDIFFAPI_H
#define ADUDIFFAPI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A session keeps the errors of its last apply. One call at a time may use it;
 * sessions share nothing.
 */
typedef void *adu_apply_handle;

/* Opens a session. */
adu_apply_handle adu_diff_apply_create_session(void);

/* Closes a session, and frees the texts of its errors. */
void adu_diff_apply_close_session(adu_apply_handle handle);

/*
 * Makes the file target out of the file source and the delta in the file diff.
 * Returns the number of errors: 0 if target is complete and verified. After an
 * error target is what it was before.
 */
int adu_diff_apply(adu_apply_handle handle, const char *source, const char *diff, const char *target);

/* Returns the number of errors of the last apply. */
size_t adu_diff_apply_get_error_count(adu_apply_handle handle);

/*
 * Returns an error of the last apply in words, or NULL if index is out of range.
 * The text belongs to the session, until its next apply or its end.
 */
const char *adu_diff_apply_get_error_text(adu_apply_handle handle, uint32_t index);

/*
 * Returns the number of an error of the last apply, or 0 if index is out of range.
 * An agent reports it as extendedResultCode 0x90A00000 | number.
 */
int adu_diff_apply_get_error_code(adu_apply_handle handle, uint32_t index);

#ifdef __cplusplus
}
#endif

#endif /* ADUDIFFAPI_H */
