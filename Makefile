# Everything that is done to this repository is a target here; `make` alone lists them.
# Where KUBECONFIG names a cluster, the targets that need one use it; else they use the local one of hack/cluster.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Targets bring up a cluster, fill it and test it: in their order, one at a time.
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules

# What the images are called. A name under localhost/ is built and loaded into the cluster; any other one is pulled by the cluster.
IMG ?= localhost/modelroute:dev
UPSTREAM_IMG ?= localhost/modelroute-upstream:dev
# What the programs report as their version.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# A release: its version, such as v1.2.3, and the repository of its image; empty: those of config/default. And the platforms that it is built for.
RELEASE ?=
RELEASE_REPOSITORY ?=
PLATFORMS ?= linux/amd64 linux/arm64
# The commit that the test of upgrades begins with.
UPGRADE_FROM ?= HEAD~1
# Flags for every `go test`, for example: make test TESTFLAGS='-run TestWindow -v'
TESTFLAGS ?=
# How long each fuzz target runs, and which benchmarks.
FUZZTIME ?= 30s
BENCH ?= .
# Flags for `make bench-money`, for example: -runs 10
MONEYFLAGS ?=
# Flags for `make bench-proxy`, for example: -rounds 3
PROXYFLAGS ?=
# Flags for `make bench-operator`, for example: -routes 1000
OPERATORFLAGS ?=
# Where the tools are built; `make verify` points its copy of the tree here.
BIN ?= $(CURDIR)/bin

export IMG UPSTREAM_IMG VERSION RELEASE RELEASE_REPOSITORY PLATFORMS BIN

CLUSTER_BIN := $(CURDIR)/.cluster/bin
MODULES := . hack/tools hack/tools/release hack/cluster hack/argocd hack/dashboards hack/site
API := ./api/v1alpha1
PROGRAMS := ./cmd/...

##@ General

.PHONY: help
help: ## Show this help.
	@awk 'BEGIN { FS = ":.*## "; print "Usage: make TARGET [VARIABLE=value]" } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z%][a-z0-9%-]*:.*## / { printf "  %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nTry: make demo\n'

.PHONY: check
check: lint lint-api lint-config lint-shell verify test ## Everything that needs no cluster: all linters, verify, test.

.PHONY: clean
clean: ## Delete what was built here; the local cluster and its binaries stay.
	rm -rf bin dist

##@ Try it

.PHONY: demo
demo: ## From a bare machine to a route that answers and shows its spend; leaves the cluster up.
	hack/demo/demo.sh

.PHONY: local
local: ## Build bin/kubectl-modelroute, which runs routes on this machine without a cluster.
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/ ./cmd/kubectl-modelroute

.PHONY: cluster-up
cluster-up: ## Bring up the local one-node Kubernetes (nothing to do where KUBECONFIG names another one).
	hack/cluster/cluster up

.PHONY: cluster-down
cluster-down: ## Take the local cluster down; no process, mount or interface stays.
	hack/cluster/cluster down

.PHONY: image
image: ## Build the images IMG and UPSTREAM_IMG, if their content has changed.
	hack/image.sh build modelroute upstream

.PHONY: load
load: image ## Load the images into the cluster, if it does not have them.
	hack/image.sh load modelroute upstream

.PHONY: deploy
deploy: load ## Install ModelRoute into the cluster and wait until it runs.
	hack/deploy.sh up

.PHONY: deploy-portal
deploy-portal: deploy ## The same, and the pages for people beside it.
	hack/deploy.sh up config/portal

.PHONY: undeploy
undeploy: ## Remove ModelRoute from the cluster; routes and the record of what was spent stay.
	hack/deploy.sh down

##@ Develop

.PHONY: build
build: ## Build the programs into bin/.
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/ $(PROGRAMS)

.PHONY: fmt
fmt: ## Format the Go code.
	git ls-files --cached --others --exclude-standard -z '*.go' | xargs -0 gofmt -s -w

.PHONY: vet
vet: ## Run go vet.
	go vet -tags e2e ./...

.PHONY: generate
generate: $(BIN)/controller-gen $(BIN)/buf $(BIN)/protoc-gen-go $(BIN)/protoc-gen-connect-go ## Generate deepcopy, apply configurations and the ledger's RPCs.
	rm -rf $(API)/applyconfiguration
	$(BIN)/controller-gen object:headerFile=hack/boilerplate.go.txt applyconfiguration:headerFile=hack/boilerplate.go.txt paths=$(API)
	PATH="$(BIN):$$PATH" buf generate

.PHONY: manifests
manifests: $(BIN)/controller-gen ## Generate the CRD and the manager's role from the markers in the code, and Argo CD's ConfigMap.
	rm -rf config/crd/bases
	$(BIN)/controller-gen crd paths=$(API) output:crd:dir=config/crd/bases
	$(BIN)/controller-gen rbac:roleName=modelroute-manager paths=./controllers/... output:rbac:dir=config/rbac
	go test -count=1 ./config/argocd -args -update

.PHONY: chart
chart: $(BIN)/kustomize ## Make the templates of charts/modelroute from config/.
	go run ./hack/chart -kustomize "$(BIN)/kustomize"

.PHONY: dashboards
dashboards: ## Make the dashboards of config/monitoring from hack/dashboards, and its PrometheusRule from its rules.yaml.
	go -C hack/dashboards run . -directory "$(CURDIR)/config/monitoring"

.PHONY: api-reference
api-reference: $(BIN)/crd-ref-docs ## Make docs/api.md from the types of the API.
	"$(BIN)/crd-ref-docs" --log-level=WARN --renderer=markdown --config=hack/api-reference/config.yaml --templates-dir=hack/api-reference \
	  --source-path=$(API) --output-path=docs/api.md

.PHONY: docs
docs: ## Write those parts of docs/ anew that are made from the code: tables of parameters, metrics and flags.
	$(DOCS_TEST) -args -update

# One after the other, since they write the same pages. -run leaves out what else these packages test.
DOCS_TEST = go test -count=1 -p 1 -run '^TestThePageOf' ./internal/openai ./internal/proxy ./internal/cli ./cmd/manager ./cmd/proxy ./cmd/ledger ./cmd/portal

.PHONY: site
site: ## Build the guide, docs/ in the order of docs/navigation.yaml, as a site into bin/site.
	go -C hack/site run . -root "$(CURDIR)" -output "$(CURDIR)/bin/site" -release "$(or $(RELEASE),main)"

.PHONY: tidy
tidy: ## Tidy the go.mod of every module.
	for module in $(MODULES); do go -C "$$module" mod tidy; done

##@ Release

.PHONY: dist
dist: $(BIN)/kustomize ## Write install.yaml, install-postgresql.yaml and the chart into dist/, with the version RELEASE.
	hack/dist.sh

.PHONY: release
release: $(BIN)/cyclonedx-gomod $(BIN)/kustomize ## Build all files of a release for all PLATFORMS, with bills of materials and checksums, into bin/release.
	hack/release.sh bin/release

.PHONY: release-image
release-image: ## Build the image for all PLATFORMS from bin/release, into bin/release-image (an OCI layout).
	hack/release-image.sh bin/release bin/release-image

.PHONY: verify-reproducible
verify-reproducible: $(BIN)/cyclonedx-gomod $(BIN)/kustomize ## Build the release twice, from scratch the second time, and compare every byte.
	hack/reproducible.sh

.PHONY: pictures
pictures: browser ## Take the pictures of the README anew, of the real pages in a real browser.
	rm -rf bin/pictures && mkdir -p bin/pictures docs/pictures
	SCREENSHOTS="$(CURDIR)/bin/pictures" KUBEBUILDER_ASSETS="$(CLUSTER_BIN)" go test -count=1 ./test/portal
	cp bin/pictures/route.png docs/pictures/

##@ Test

.PHONY: test
test: envtest installers postgres nginx prometheus sdks browser ## Run every test that needs no cluster, with the race detector; sets itself up on a bare machine with Go.
	$(GO_TEST) ./...
	cd hack/cluster && $(GO_TEST) ./cmd/egress
	cd hack/site && $(GO_TEST) -count=1 ./... # The pages are outside of that module, so Go does not see when they change.

.PHONY: test-unit
test-unit: race postgres ## Run the tests that need no API server.
	$(GO_TEST) $$(go list ./... | grep -Ev '^github.com/modelroute/modelroute/(controllers|test)(/|$$)')

.PHONY: test-integration
test-integration: envtest ## Run the controllers against a real API server.
	$(GO_TEST) ./controllers/...

.PHONY: test-crdcel
test-crdcel: envtest ## Try every validation rule of the CRD on a real API server.
	$(GO_TEST) ./test/crdcel/...

.PHONY: test-gitops
test-gitops: envtest ## Hold the API and the operator to what Argo CD and Flux rely on, at a real API server.
	$(GO_TEST) ./test/gitops/...

.PHONY: test-argocd
test-argocd: ## Run the scripts of config/argocd in Argo CD's own code.
	cd hack/argocd && $(ARGOCD_GO) test $(TESTFLAGS) $(ARGOCD_FLAGS) ./...

.PHONY: test-install
test-install: envtest installers ## Install, upgrade and uninstall by manifests and by Helm, on a real API server.
	$(GO_TEST) ./hack/chart ./test/install

# The upgrade comes first, on a cluster where nothing newer has been yet. Who asks for one test does not want to wait for it.
.PHONY: test-e2e
test-e2e: cluster-up $(if $(findstring -run,$(TESTFLAGS)),,test-upgrade) deploy-portal postgres argocd test-argocd ## Run the whole story on a real cluster: the local one, or the one of KUBECONFIG.
	$(E2E_TEST) -skip '^TestAnUpgrade' ./test/e2e/...

.PHONY: test-upgrade
test-upgrade: cluster-up load ## Upgrade the cluster from the commit UPGRADE_FROM to this tree, under load; leaves this tree installed.
	hack/previous.sh '$(UPGRADE_FROM)'
	$(E2E_TEST) -run '^TestAnUpgrade' ./test/e2e

E2E_TEST = UPSTREAM_IMG="$$(hack/image.sh ref upstream)" go test -tags e2e -count=1 -timeout 20m $(TESTFLAGS)

.PHONY: fuzz
fuzz: race ## Run every fuzz target for FUZZTIME.
	hack/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: ## Run the benchmarks.
	go test -run '^$$' -bench '$(BENCH)' -benchmem $(TESTFLAGS) ./internal/...

# The long one: some ten minutes a run, with both stores. The page is written by it.
.PHONY: bench-money
bench-money: postgres ## Measure whether budgets hold while proxies, ledger and network fail; writes its section of docs/benchmarks.md (MONEYFLAGS='-quick -out ""' to try).
	go run ./test/bench/money -store sqlite,postgres $(MONEYFLAGS)

# Some six minutes. The page is written by it.
.PHONY: bench-proxy
bench-proxy: nginx ## Measure what the proxy costs, beside nginx and an empty Go proxy; writes its section of docs/benchmarks.md (PROXYFLAGS='-quick -out ""' to try).
	go run ./test/bench/proxy $(PROXYFLAGS)

# Some half an hour with its 5,000 routes. The page is written by it.
.PHONY: bench-operator
bench-operator: envtest ## Measure how the operator scales; writes its section of docs/benchmarks.md (OPERATORFLAGS='-quick -out ""' to try).
	KUBEBUILDER_ASSETS="$(CLUSTER_BIN)" go run ./test/bench/operator $(OPERATORFLAGS)

GO_TEST = CGO_ENABLED=1 KUBEBUILDER_ASSETS="$(CLUSTER_BIN)" INSTALLERS="$(BIN)" go test -race $(TESTFLAGS)

# What people install ModelRoute with.
.PHONY: installers
installers: $(BIN)/helm $(BIN)/kustomize

# The race detector needs a C compiler.
.PHONY: race
race:
	@hack/ensure.sh gcc:gcc /usr/include/stdlib.h:libc6-dev

# The ledger's store is tested against a real PostgreSQL.
.PHONY: postgres
postgres:
	@hack/postgres.sh

# The proxy is measured beside nginx.
.PHONY: nginx
nginx:
	@hack/debian-program.sh /usr/sbin/nginx:nginx-light

# The queries of the dashboards and the alerts run in a real Prometheus.
.PHONY: prometheus
prometheus:
	@hack/debian-program.sh /usr/bin/prometheus:prometheus

# The end-to-end tests sync with the controller and the repository server of a real Argo CD, and with the cache and the git that these need.
.PHONY: argocd
argocd: $(CLUSTER_BIN)/argocd
	@hack/ensure.sh redis-server:redis-server git:git

$(CLUSTER_BIN)/argocd: hack/argocd/go.mod hack/argocd/go.sum hack/argocd/cmd/argocd/main.go
	mkdir -p $(@D)
	cd hack/argocd && $(ARGOCD_GO) build $(ARGOCD_FLAGS) -ldflags '-s -w' -o $@ ./cmd/argocd
	touch $@

# Alike for the build and the tests, so that the second finds compiled what the first has: Argo CD is 1700 packages.
ARGOCD_GO = CGO_ENABLED=0 go
ARGOCD_FLAGS = -trimpath

# The SDKs that the proxy is tested with come from npm, and so does the Node.js that they run on: the distribution's may be too old for them, and
# only installs them.
.PHONY: sdks
sdks: test/sdk/node_modules/.package-lock.json

test/sdk/node_modules/.package-lock.json: test/sdk/package-lock.json
	@hack/ensure.sh npm:npm
	npm ci --prefix test/sdk --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

# The pages for people are tested in a real browser: the distribution's, which Playwright drives.
.PHONY: browser
browser: test/portal/node_modules/.package-lock.json
	@hack/ensure.sh chromium:chromium

test/portal/node_modules/.package-lock.json: test/portal/package-lock.json
	@hack/ensure.sh npm:npm
	npm ci --prefix test/portal --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

# The API server and etcd of the local cluster are envtest's too.
.PHONY: envtest
envtest: race
	hack/cluster/cluster binaries

##@ Check

# Of hack/cluster only what is more than a few lines of main around Kubernetes, for which all of that would be compiled once more.
.PHONY: lint
lint: $(BIN)/golangci-lint ## Lint the Go code.
	$(BIN)/golangci-lint run ./...
	cd hack/cluster && $(BIN)/golangci-lint run --config ../../.golangci.yml ./cmd/egress ./cmd/pause
	cd hack/site && $(BIN)/golangci-lint run --config ../../.golangci.yml ./...

.PHONY: lint-api
lint-api: $(BIN)/golangci-lint ## Check the API types against the Kubernetes API conventions.
	$(BIN)/golangci-lint run --config .golangci-kal.yml ./api/...

.PHONY: lint-config
lint-config: $(BIN)/golangci-lint $(BIN)/buf ## Check the linters' configuration, the ledger's .proto and that every kustomization builds.
	$(BIN)/golangci-lint config verify
	$(BIN)/golangci-lint config verify --config .golangci-kal.yml
	$(BIN)/buf lint
	hack/cluster/cluster binaries
	for dir in $$(git ls-files --cached --others --exclude-standard '*kustomization.yaml' | xargs -n1 dirname); do \
	  $(CLUSTER_BIN)/kubectl kustomize "$$dir" >/dev/null; \
	done

.PHONY: lint-shell
lint-shell: ## Check the shell scripts.
	@hack/ensure.sh shellcheck:shellcheck
	git ls-files --cached --others --exclude-standard -z | xargs -0 grep -lIZE '^#!.*\bbash|^# shellcheck shell=' | \
	  xargs -0 shellcheck --external-sources --severity=style

.PHONY: verify
verify: verify-generated verify-tidy verify-fmt verify-docs ## Prove that what is generated, go.mod, the format and what docs/ has from the code are up to date.

.PHONY: verify-generated
verify-generated: $(BIN)/controller-gen $(BIN)/buf $(BIN)/protoc-gen-go $(BIN)/protoc-gen-connect-go $(BIN)/kustomize $(BIN)/crd-ref-docs
	hack/verify.sh generate manifests chart api-reference dashboards

.PHONY: verify-tidy
verify-tidy:
	for module in $(MODULES); do go -C "$$module" mod tidy -diff; done

.PHONY: verify-fmt
verify-fmt:
	unformatted="$$(git ls-files --cached --others --exclude-standard -z '*.go' | xargs -0 gofmt -s -l)"; \
	[[ -z $$unformatted ]] || { printf 'run make fmt: %s\n' $$unformatted >&2; exit 1; }

.PHONY: verify-docs
verify-docs:
	hack/dependencies.sh $(MODULES)
	$(DOCS_TEST)

verify-%: ## Run any target in a copy of the tree, and fail if it changes a file.
	hack/verify.sh $*

##@ Tools

.PHONY: tools
tools: $(addprefix $(BIN)/,controller-gen buf crd-ref-docs golangci-lint protoc-gen-go protoc-gen-connect-go helm kustomize cyclonedx-gomod) ## Build the pinned tools into bin/ (8 minutes when the build cache is empty).

# build_tool MODULE PACKAGE builds the target. The touch tells make so even if the linker had nothing to do.
define build_tool
go -C $(1) build -trimpath -ldflags '-s -w' -o $@ $(2)
touch $@
endef

TOOLS_MODULE := hack/tools/go.mod hack/tools/go.sum

$(BIN)/controller-gen: $(TOOLS_MODULE)
	$(call build_tool,hack/tools,sigs.k8s.io/controller-tools/cmd/controller-gen)

$(BIN)/buf: $(TOOLS_MODULE)
	$(call build_tool,hack/tools,github.com/bufbuild/buf/cmd/buf)

$(BIN)/crd-ref-docs: $(TOOLS_MODULE)
	$(call build_tool,hack/tools,github.com/elastic/crd-ref-docs)

$(BIN)/golangci-lint: $(TOOLS_MODULE) hack/tools/golangci-lint/main.go
	$(call build_tool,hack/tools,./golangci-lint)

RELEASE_TOOLS_MODULE := hack/tools/release/go.mod hack/tools/release/go.sum

$(BIN)/helm: $(RELEASE_TOOLS_MODULE)
	$(call build_tool,hack/tools/release,helm.sh/helm/v4/cmd/helm)

$(BIN)/kustomize: $(RELEASE_TOOLS_MODULE)
	$(call build_tool,hack/tools/release,sigs.k8s.io/kustomize/kustomize/v5)

# Its own hash is in what it writes, so it must come out the same on every machine, whichever C compiler that has.
$(BIN)/cyclonedx-gomod: export CGO_ENABLED := 0
$(BIN)/cyclonedx-gomod: $(RELEASE_TOOLS_MODULE)
	$(call build_tool,hack/tools/release,github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod)

# The generators of the RPCs come from the operator's own go.mod, so that generated code and the library under it are one version.
$(BIN)/protoc-gen-go: go.mod
	$(call build_tool,.,google.golang.org/protobuf/cmd/protoc-gen-go)

$(BIN)/protoc-gen-connect-go: go.mod
	$(call build_tool,.,connectrpc.com/connect/v2/cmd/protoc-gen-connect-go)
