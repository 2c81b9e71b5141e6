package proxy

import (
	"github.com/modelroute/modelroute/internal/openai"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

func endpointOf(operation *openai.Operation) routeconfig.Endpoint {
	return routeconfig.Endpoint(operation.Endpoint)
}

// paths are those at which a client finds the model: of the operations that an upstream of the route has.
func (g *grant) paths() []string {
	var paths []string
	for _, operation := range openai.Operations() {
		if ordinary(g.route, endpointOf(operation)) > 0 {
			paths = append(paths, basePath+operation.Path)
		}
	}
	return paths
}
