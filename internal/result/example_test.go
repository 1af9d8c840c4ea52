// SPDX-License-Identifier: MIT

package result_test

import (
	"fmt"

	"swudelta/internal/result"
)

func ExampleDecode() {
	codes, err := result.Decode("00000000,90A07539")
	if err != nil {
		panic(err)
	}
	for _, c := range codes {
		for _, r := range c.Readings {
			fmt.Println(r.Signed, r.Names, r.Meaning)
		}
	}
	// Output:
	// 0 [] no error
	// -1868532423 [diff_verify_hash_failure] SHA-256 mismatch of the source file, an item, a chunk or the target
}
