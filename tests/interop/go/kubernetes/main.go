// The verifier of the Kubernetes API server, with a file of --authentication-config. Reads tokens line by line and says
// `accepted USERNAME EMAIL` or `refused REASON`.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/install"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
	authenticationcel "k8s.io/apiserver/pkg/authentication/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/apiserver/plugin/pkg/authenticator/token/oidc"
)

// The configuration as kube-apiserver reads it: strict, with defaults, validated.
func load(file string) *apiserver.JWTAuthenticator {
	data, err := os.ReadFile(file)
	check(err)
	scheme := runtime.NewScheme()
	install.Install(scheme)
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDecoder()
	object, err := runtime.Decode(decoder, data)
	check(err)
	configuration := object.(*apiserver.AuthenticationConfiguration)
	check(validation.ValidateAuthenticationConfiguration(compiler(), configuration, nil).ToAggregate())
	return &configuration.JWT[0]
}

func compiler() authenticationcel.Compiler {
	return authenticationcel.NewCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	jwt := load(os.Args[1])
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	options := oidc.Options{JWTAuthenticator: *jwt, Compiler: compiler(), SupportedSigningAlgs: oidc.AllValidSigningAlgorithms()}
	if authority := jwt.Issuer.CertificateAuthority; authority != "" {
		content, err := dynamiccertificates.NewStaticCAContent("issuer", []byte(authority))
		check(err)
		options.CAContentProvider = content
	}
	verifier, err := oidc.New(ctx, options)
	check(err)
	// It reads the discovery document in the background.
	for verifier.HealthCheck() != nil {
		if ctx.Err() != nil {
			log.Fatal(verifier.HealthCheck())
		}
		time.Sleep(20 * time.Millisecond)
	}
	tokens := bufio.NewScanner(os.Stdin)
	for tokens.Scan() {
		response, ok, err := verifier.AuthenticateToken(ctx, tokens.Text())
		if err != nil || !ok {
			fmt.Println("refused", strings.ReplaceAll(fmt.Sprint(err), "\n", " "))
			continue
		}
		fmt.Println("accepted", response.User.GetName(), strings.Join(response.User.GetExtra()["example.com/email"], ","))
	}
}
