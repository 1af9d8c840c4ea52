// SPDX-License-Identifier: MIT
//
// Reads documents from stdin (a length as 4 bytes, little endian, then as many
// bytes), parses each with json-c and prints a line: its tree, or E.
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void hex(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		printf("%02x", (unsigned char)s[i]);
}

static void dump(json_object *o)
{
	switch (json_object_get_type(o)) {
	case json_type_null:
		putchar('n');
		break;
	case json_type_boolean:
		printf("b%d", json_object_get_boolean(o));
		break;
	case json_type_double:
		putchar('f');
		break;
	case json_type_int:
		printf("i%lld", (long long)json_object_get_int64(o));
		break;
	case json_type_string:
		putchar('"');
		hex(json_object_get_string(o), json_object_get_string_len(o));
		putchar('"');
		break;
	case json_type_array:
		putchar('(');
		for (size_t i = 0; i < json_object_array_length(o); i++) {
			dump(json_object_array_get_idx(o, i));
			putchar(',');
		}
		putchar(')');
		break;
	case json_type_object:
		putchar('{');
		json_object_object_foreach(o, key, value) {
			hex(key, strlen(key));
			putchar('=');
			dump(value);
			putchar(',');
		}
		putchar('}');
	}
}

int main(void)
{
	unsigned char head[4];

	while (fread(head, 1, 4, stdin) == 4) {
		size_t len = head[0] | head[1] << 8 | head[2] << 16 | (size_t)head[3] << 24;
		char *buf = malloc(len + 1);
		json_object *o;

		if (!buf || fread(buf, 1, len, stdin) != len)
			return 1;
		buf[len] = 0;
		if ((o = json_tokener_parse(buf)))
			dump(o);
		else
			putchar('E');
		putchar('\n');
		json_object_put(o);
		free(buf);
	}
	return 0;
}
