// Both Go SDKs and the one of STS and RAM, unmodified, against a running server. Everything comes by environment: OSSIA_PORT,
// OSSIA_ACCESS_KEY_ID, OSSIA_ACCESS_KEY_SECRET, OSSIA_CNAME_HOST and OSSIA_CNAME_BUCKET (a name that the server
// binds to a bucket).
package main

import (
	"fmt"
	"os"
)

func main() {
	runV1()
	runV2()
	runSTS()
	fmt.Printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	if failed > 0 || passed == 0 {
		os.Exit(1)
	}
}
