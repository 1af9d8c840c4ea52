// SPDX-License-Identifier: MIT

package manifest_test

import (
	"fmt"
	"os"
	"time"

	"swudelta/internal/digest"
	"swudelta/internal/manifest"
)

func ExampleUpdate_Build() {
	u := &manifest.Update{
		Provider: "Contoso", Name: "Gateway", Version: "1.0",
		Compatibility: []manifest.Object{{manifest.Property("model", "GW-100")}},
		Target:        "gw-1.0.swu", Seed: true, Script: "gw-update.sh",
	}
	m, _, err := u.Build(time.Unix(1736935200, 0), func(path string) (manifest.Payload, error) {
		content := []byte("an update image") // stands in for the file
		return manifest.Payload{Path: path, Name: path, Size: int64(len(content)), SHA256: digest.Sum(content)}, nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.Filename())
	if err := m.Encode(os.Stdout); err != nil {
		fmt.Println(err)
	}
	// Output:
	// Contoso.Gateway.1.0.importmanifest.json
	// {
	//   "updateId": {
	//     "provider": "Contoso",
	//     "name": "Gateway",
	//     "version": "1.0"
	//   },
	//   "compatibility": [
	//     {
	//       "model": "GW-100"
	//     }
	//   ],
	//   "instructions": {
	//     "steps": [
	//       {
	//         "type": "inline",
	//         "handler": "microsoft/swupdate:2",
	//         "files": [
	//           "gw-1.0.swu",
	//           "gw-update.sh"
	//         ],
	//         "handlerProperties": {
	//           "installedCriteria": "1.0",
	//           "swuFileName": "gw-1.0.swu",
	//           "scriptFileName": "gw-update.sh"
	//         }
	//       }
	//     ]
	//   },
	//   "files": [
	//     {
	//       "filename": "gw-1.0.swu",
	//       "sizeInBytes": 15,
	//       "hashes": {
	//         "sha256": "MUSw3UN+zWb5OqqsSBVEGXY5nk1y9A3IUnSNLzlBA8E="
	//       },
	//       "downloadHandler": {
	//         "id": "microsoft/delta:1"
	//       }
	//     },
	//     {
	//       "filename": "gw-update.sh",
	//       "sizeInBytes": 15,
	//       "hashes": {
	//         "sha256": "MUSw3UN+zWb5OqqsSBVEGXY5nk1y9A3IUnSNLzlBA8E="
	//       }
	//     }
	//   ],
	//   "createdDateTime": "2025-01-15T10:00:00Z",
	//   "manifestVersion": "5.0"
	// }
}
