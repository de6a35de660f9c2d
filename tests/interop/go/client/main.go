// Signs in with coreos/go-oidc and golang.org/x/oauth2.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime/debug"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	fmt.Println("version", version("github.com/coreos/go-oidc/v3"), "+", version("golang.org/x/oauth2"))
	provider, err := oidc.NewProvider(ctx, os.Getenv("ISSUER"))
	if err != nil {
		return err
	}
	fmt.Println("did discovery")
	config := oauth2.Config{
		ClientID:    os.Getenv("CLIENT_ID"),
		RedirectURL: os.Getenv("REDIRECT_URI"),
		Endpoint:    provider.Endpoint(),
		Scopes:      []string{oidc.ScopeOpenID, "email"},
	}
	state, nonce, verifier := oauth2.GenerateVerifier(), oauth2.GenerateVerifier(), oauth2.GenerateVerifier()
	back, err := visit(config.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)))
	if err != nil {
		return err
	}
	if back.Get("state") != state {
		return errors.New("another state")
	}
	token, err := config.Exchange(ctx, back.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		return err
	}
	fmt.Println("did code + PKCE")
	raw, _ := token.Extra("id_token").(string)
	id, err := provider.Verifier(&oidc.Config{ClientID: config.ClientID}).Verify(ctx, raw)
	if err != nil {
		return err
	}
	if id.Nonce != nonce {
		return errors.New("another nonce")
	}
	if err := id.VerifyAccessToken(token.AccessToken); err != nil {
		return err
	}
	fmt.Println("did ID token with at_hash")
	var refusal *oauth2.RetrieveError
	if _, err = config.Exchange(ctx, back.Get("code"), oauth2.VerifierOption(verifier)); !errors.As(err, &refusal) {
		return fmt.Errorf("a code twice: %w", err)
	}
	if refusal.ErrorCode != "invalid_grant" {
		return refusal
	}
	fmt.Println("did invalid_grant for a code twice")
	fmt.Println("access_token", token.AccessToken)
	fmt.Println("id_token", raw)
	return nil
}

// visit sends the person to an address and gives the query that they came back with.
func visit(address string) (url.Values, error) {
	fmt.Println("visit", address)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() {
		return nil, errors.New("the person did not come back")
	}
	back, err := url.Parse(lines.Text())
	if err != nil {
		return nil, err
	}
	return back.Query(), nil
}

func version(module string) string {
	info, _ := debug.ReadBuildInfo()
	for _, one := range info.Deps {
		if one.Path == module {
			return one.Version
		}
	}
	return "unknown"
}
