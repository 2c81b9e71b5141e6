package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/modelroute/modelroute/internal/ledger"
	"github.com/modelroute/modelroute/internal/ledger/adminsocket"
)

// serveAdmin serves those who operate the ledger on a socket in the data directory, until ctx ends.
func serveAdmin(ctx context.Context, options Options, service *ledger.Ledger) error {
	listener, err := adminsocket.Listen(ctx, options.DataDir)
	if err != nil {
		return fmt.Errorf("listening for the operators: %w", err)
	}
	server := ledger.NewServer(service.AdminHandler(), options.Logger)
	// Large books take their time, and nobody else gets here. Callers that go end their calls.
	server.ReadTimeout, server.WriteTimeout = 0, 0
	err = serve(ctx, server, func() error { return server.Serve(listener) })
	return errors.Join(err, adminsocket.Remove(options.DataDir))
}
