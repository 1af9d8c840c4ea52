// SPDX-License-Identifier: MIT

package swu_test

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"swudelta/internal/swu"
)

func Example() {
	var archive bytes.Buffer
	w := swu.NewWriter(&archive)
	for _, f := range []struct{ name, data string }{
		{"sw-description", "software = { version = \"1\"; }\n"},
		{"rootfs.ext4", "not really a file system"},
	} {
		check, size, err := swu.Checksum(strings.NewReader(f.data))
		if err != nil {
			log.Fatal(err)
		}
		h := swu.NewHeader(f.name, size)
		h.Fields.Set(swu.Check, check)
		if err := w.WriteHeader(h); err != nil {
			log.Fatal(err)
		}
		if _, err := io.WriteString(w, f.data); err != nil {
			log.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}

	r := swu.NewReader(&archive)
	for {
		h, err := r.Next()
		if err == io.EOF {
			break // whole, with its trailer
		}
		if err != nil {
			log.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %q\n", h.Name, data)
	}
	// Output:
	// sw-description: "software = { version = \"1\"; }\n"
	// rootfs.ext4: "not really a file system"
}

func ExampleIndex() {
	f, err := os.Open("testdata/adu_filecopy.swu")
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		log.Fatal(err)
	}
	a, err := swu.Index(f, info.Size())
	if err != nil {
		log.Fatal(err)
	}
	for _, h := range a.Members {
		fmt.Println(h.Format, h.Offset, h.Size, h.Name)
	}
	// Output:
	// crc 128 514 sw-description
	// crc 768 66 preinst.sh
	// crc 984 43 mock-update-for-file-copy-test-1.txt
}
