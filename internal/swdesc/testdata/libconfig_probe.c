// SPDX-License-Identifier: MIT
//
// Reads documents from stdin (a length as 4 bytes, little endian, then as many
// bytes), parses each with libconfig and prints a line: its tree, or E.
#include <libconfig.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void dump(const config_setting_t *s)
{
	int n = config_setting_length(s), type = config_setting_type(s);
	const char *brackets = type == CONFIG_TYPE_GROUP ? "{}" : type == CONFIG_TYPE_LIST ? "()" : "[]";
	long long v;

	switch (type) {
	case CONFIG_TYPE_GROUP:
	case CONFIG_TYPE_LIST:
	case CONFIG_TYPE_ARRAY:
		putchar(brackets[0]);
		for (int i = 0; i < n; i++) {
			const config_setting_t *e = config_setting_get_elem(s, i);
			if (type == CONFIG_TYPE_GROUP)
				printf("%s=", config_setting_name(e));
			dump(e);
			putchar(',');
		}
		putchar(brackets[1]);
		break;
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		v = type == CONFIG_TYPE_INT ? config_setting_get_int(s) : config_setting_get_int64(s);
		printf("i%lld", v);
		break;
	case CONFIG_TYPE_FLOAT:
		putchar('f');
		break;
	case CONFIG_TYPE_BOOL:
		printf("b%d", config_setting_get_bool(s));
		break;
	case CONFIG_TYPE_STRING:
		putchar('"');
		for (const unsigned char *p = (const unsigned char *)config_setting_get_string(s); *p; p++)
			printf("%02x", *p);
		putchar('"');
	}
}

int main(void)
{
	unsigned char head[4];

	while (fread(head, 1, 4, stdin) == 4) {
		size_t len = head[0] | head[1] << 8 | head[2] << 16 | (size_t)head[3] << 24;
		char *buf = malloc(len + 1);
		FILE *doc = tmpfile();
		config_t cfg;

		if (!buf || !doc || fread(buf, 1, len, stdin) != len || fwrite(buf, 1, len, doc) != len)
			return 1;
		rewind(doc);
		config_init(&cfg);
		if (config_read(&cfg, doc))
			dump(config_root_setting(&cfg));
		else
			putchar('E');
		putchar('\n');
		config_destroy(&cfg);
		fclose(doc);
		free(buf);
	}
	return 0;
}
