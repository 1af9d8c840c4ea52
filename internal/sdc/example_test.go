// SPDX-License-Identifier: MIT

package sdc_test

import (
	"fmt"

	"swudelta/internal/digest"
	"swudelta/internal/sdc"
)

func ExampleSHA256Path() {
	d, err := digest.Parse("626158c2711475dab69d9b01027e6fee009129d1f1f93527b4ccf9b4bc14fb6e")
	if err != nil {
		panic(err)
	}
	path, err := sdc.SHA256Path(sdc.DefaultBase, "contoso.devices", d)
	fmt.Println(path, err)
	// Output: /var/lib/adu/sdc/contoso_devices/sha256-YmFYwnEUddq2nZsBAn5v7gCRKdHx_2BTUntMz5tLwU_2B24_3D <nil>
}
