// Pushes a request, signs a device in, and takes a logout token, with coreos/go-oidc and golang.org/x/oauth2.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// endpoints are members of the metadata that go-oidc leaves to the program.
type endpoints struct {
	Push   string `json:"pushed_authorization_request_endpoint"`
	Logout string `json:"end_session_endpoint"`
}

type client struct {
	oauth2.Config
	endpoints
	verifier *oidc.IDTokenVerifier
	person   *bufio.Scanner
}

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
	one := client{
		Config: oauth2.Config{
			ClientID:    os.Getenv("CLIENT_ID"),
			RedirectURL: os.Getenv("REDIRECT_URI"),
			Endpoint:    provider.Endpoint(),
			Scopes:      []string{oidc.ScopeOpenID, "email"},
		},
		verifier: provider.Verifier(&oidc.Config{ClientID: os.Getenv("CLIENT_ID")}),
		person:   bufio.NewScanner(os.Stdin),
	}
	one.person.Buffer(nil, 1<<20)
	if err := provider.Claims(&one.endpoints); err != nil {
		return err
	}
	token, err := one.pushed(ctx)
	if err != nil {
		return err
	}
	if err := one.device(ctx); err != nil {
		return err
	}
	raw, _ := token.Extra("id_token").(string)
	if err := one.signOut(ctx, raw); err != nil {
		return err
	}
	fmt.Println("access_token", token.AccessToken)
	fmt.Println("id_token", raw)
	return nil
}

// pushed signs in by a request that the browser never sees (RFC 9126); the libraries have no call for it.
func (c *client) pushed(ctx context.Context) (*oauth2.Token, error) {
	state, verifier := oauth2.GenerateVerifier(), oauth2.GenerateVerifier()
	request, err := url.Parse(c.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier)))
	if err != nil {
		return nil, err
	}
	response, err := http.PostForm(c.Push, request.Query())
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var pushed struct {
		RequestURI string `json:"request_uri"`
	}
	if err := json.NewDecoder(response.Body).Decode(&pushed); err != nil || response.StatusCode != http.StatusCreated {
		return nil, fmt.Errorf("%s for a pushed request: %w", response.Status, err)
	}
	request.RawQuery = url.Values{"client_id": {c.ClientID}, "request_uri": {pushed.RequestURI}}.Encode()
	back, err := c.visit(request.String())
	if err != nil {
		return nil, err
	}
	if back.Get("state") != state {
		return nil, errors.New("another state")
	}
	token, err := c.Exchange(ctx, back.Get("code"), oauth2.VerifierOption(verifier))
	if err == nil {
		fmt.Println("did PAR and code + PKCE")
	}
	return token, err
}

// device polls before the person has allowed it and after that (RFC 8628).
func (c *client) device(ctx context.Context) error {
	codes, err := c.DeviceAuth(ctx)
	if err != nil {
		return err
	}
	early, cancel := context.WithTimeout(ctx, time.Duration(codes.Interval)*time.Second+2*time.Second)
	defer cancel()
	if _, err := c.DeviceAccessToken(early, codes); !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("before the person allowed it: %w", err)
	}
	fmt.Println("allow", codes.VerificationURI, codes.UserCode)
	token, err := c.DeviceAccessToken(ctx, codes)
	if err != nil {
		return err
	}
	raw, _ := token.Extra("id_token").(string)
	if _, err := c.verifier.Verify(ctx, raw); err != nil {
		return err
	}
	fmt.Println("did device grant with authorization_pending")
	return nil
}

// signOut ends the session at the provider and takes the logout token that follows.
func (c *client) signOut(ctx context.Context, raw string) error {
	address, err := url.Parse(os.Getenv("LOGOUT_URI"))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address.Host)
	if err != nil {
		return err
	}
	defer listener.Close()
	posted := make(chan string, 16)
	go http.Serve(listener, http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		posted <- request.PostFormValue("logout_token")
	}))
	end := url.Values{"id_token_hint": {raw}, "post_logout_redirect_uri": {os.Getenv("GOODBYE_URI")}}
	if _, err := c.visit(c.Logout + "?" + end.Encode()); err != nil {
		return err
	}
	id, err := c.verifier.Verify(ctx, raw)
	if err != nil {
		return err
	}
	var session struct {
		ID string `json:"sid"`
	}
	if err := id.Claims(&session); err != nil {
		return err
	}
	var received string
	select {
	case received = <-posted:
	case <-time.After(20 * time.Second):
		return errors.New("no logout token came")
	}
	logout, err := c.verifier.VerifyLogout(ctx, received)
	if err != nil {
		return err
	}
	if session.ID == "" || logout.SessionID != session.ID {
		return errors.New("another session")
	}
	if _, err := c.verifier.VerifyLogout(ctx, raw); err == nil {
		return errors.New("an ID token is taken for a logout token")
	}
	fmt.Println("did logout token")
	return nil
}

// visit sends the person to an address and gives the query that they came back with.
func (c *client) visit(address string) (url.Values, error) {
	fmt.Println("visit", address)
	if !c.person.Scan() {
		return nil, errors.New("the person did not come back")
	}
	back, err := url.Parse(c.person.Text())
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
