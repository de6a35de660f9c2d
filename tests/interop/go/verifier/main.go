// Verifies access tokens with golang-jwt and keyfunc.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

func main() {
	info, _ := debug.ReadBuildInfo()
	for _, one := range info.Deps {
		if one.Path == "github.com/golang-jwt/jwt/v5" {
			fmt.Println("version", one.Version)
		}
	}
	issuer := os.Getenv("ISSUER")
	keys, err := keyfunc.NewDefault([]string{issuer + "/.well-known/jwks.json"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("did access token (RFC 9068) with cached JWKS")
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{"ES256", "RS256"}),
		jwt.WithIssuer(issuer),
		jwt.WithAudience(os.Getenv("AUDIENCE")),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
	)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		subject, err := verify(parser, keys, lines.Text())
		if err != nil {
			fmt.Println("refused", strings.Join(strings.Fields(err.Error()), " "))
		} else {
			fmt.Println("accepted", subject)
		}
	}
}

func verify(parser *jwt.Parser, keys keyfunc.Keyfunc, text string) (string, error) {
	token, err := parser.Parse(text, keys.Keyfunc)
	if err != nil {
		return "", err
	}
	// RFC 9068 §4: an ID token is no access token.
	if typ, _ := token.Header["typ"].(string); !strings.EqualFold(typ, "at+jwt") {
		return "", errors.New("another typ")
	}
	return token.Claims.GetSubject()
}
