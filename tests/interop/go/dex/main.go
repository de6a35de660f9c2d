// The server of dex with its connectors and a storage in memory. Reads the file of `dex serve`; its own program has
// databases beside it, which no longer build.
package main

import (
	"context"
	"encoding/json"
	"log"
	"net/http"
	"os"

	"github.com/dexidp/dex/server"
	"github.com/dexidp/dex/storage"
	"github.com/dexidp/dex/storage/memory"
	"github.com/ghodss/yaml"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"
)

type configuration struct {
	Issuer  string
	Web     struct{ HTTP string }
	Storage struct{ Type string }
	OAuth2  struct{ SkipApprovalScreen bool }

	StaticClients    []storage.Client
	EnablePasswordDB bool
	StaticPasswords  []struct{ Email, Hash, Username, UserID string }
	Connectors       []struct {
		Type, ID, Name string
		Config         json.RawMessage
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func (c *configuration) open(logger *logrus.Logger) storage.Storage {
	var passwords []storage.Password
	for _, p := range c.StaticPasswords {
		passwords = append(passwords, storage.Password{Email: p.Email, Hash: []byte(p.Hash), Username: p.Username, UserID: p.UserID})
	}
	var connectors []storage.Connector
	for _, one := range c.Connectors {
		connectors = append(connectors, storage.Connector{ID: one.ID, Type: one.Type, Name: one.Name, Config: []byte(os.ExpandEnv(string(one.Config)))})
	}
	if c.EnablePasswordDB {
		connectors = append(connectors, storage.Connector{ID: server.LocalConnector, Name: "Email", Type: server.LocalConnector})
	}
	opened := storage.WithStaticClients(memory.New(logger), c.StaticClients)
	return storage.WithStaticConnectors(storage.WithStaticPasswords(opened, passwords, logger), connectors)
}

// Arguments: the file, and the folder of dex's pages.
func main() {
	data, err := os.ReadFile(os.Args[1])
	check(err)
	var c configuration
	check(yaml.Unmarshal(data, &c))
	logger := logrus.New()
	logger.SetOutput(os.Stdout)
	handler, err := server.NewServer(context.Background(), server.Config{
		Issuer: c.Issuer, Storage: c.open(logger), SkipApprovalScreen: c.OAuth2.SkipApprovalScreen,
		Web: server.WebConfig{Dir: os.Args[2]}, Logger: logger, PrometheusRegistry: prometheus.NewRegistry(),
	})
	check(err)
	check(http.ListenAndServe(c.Web.HTTP, handler))
}
