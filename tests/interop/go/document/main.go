// Runs the verifiers of docs/verify-tokens.md, which run.sh lays beside this file (`go build -overlay`): answers each
// line, a token or a request with proofs, with what they say of it.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"
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
	// One began an hour ago, the other begins now.
	proofs := map[bool]*Proofs{
		false: NewProofs(os.Getenv("API_URL"), time.Now().Add(-time.Hour)),
		true:  NewProofs(os.Getenv("API_URL"), time.Now()),
	}
	fmt.Println("did the files of the document, unchanged")
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		words, err := judge(verifier, proofs, lines.Text())
		if err != nil {
			fmt.Println("refused", strings.Join(strings.Fields(err.Error()), " "))
		} else {
			fmt.Println("accepted", words)
		}
	}
}

// A line of JSON is a request with proofs, any other a token.
func judge(verifier *Verifier, proofs map[bool]*Proofs, line string) (string, error) {
	if strings.HasPrefix(line, "{") {
		var request struct {
			Proofs                   []string
			Method, Path, Token, Jkt string
			IsYoung                  bool
		}
		if err := json.Unmarshal([]byte(line), &request); err != nil {
			return "", err
		}
		checker := proofs[request.IsYoung]
		return "the proof", checker.Check(request.Proofs, request.Method, request.Path, request.Token, request.Jkt)
	}
	claims, err := verifier.Verify(line)
	if err != nil {
		return "", err
	}
	return claims.Subject, nil
}
