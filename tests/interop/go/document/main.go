// Runs the verifier of docs/verify-tokens.md, which run.sh lays beside this file (`go build -overlay`): answers each
// line, a token, with what it says of it.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
)

func main() {
	info, _ := debug.ReadBuildInfo()
	for _, one := range info.Deps {
		if one.Path == "github.com/golang-jwt/jwt/v5" {
			fmt.Println("version", one.Version)
		}
	}
	verifier, err := NewVerifier(context.Background(), os.Getenv("ISSUER"), os.Getenv("AUDIENCE"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("did the file of the document, unchanged")
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		claims, err := verifier.Verify(lines.Text())
		if err != nil {
			fmt.Println("refused", strings.Join(strings.Fields(err.Error()), " "))
		} else {
			fmt.Println("accepted", claims.Subject)
		}
	}
}
