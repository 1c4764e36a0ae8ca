# The few commands a contributor types. `.ci/run` runs the same checks.
UV := $(shell command -v uv || echo .uv/bin/uv)

.PHONY: check test lint types protos wheels locks image demo changelog release workflows

check: lint types test  ## all that a pull request must pass

test:
	$(UV) run pytest -q

lint:
	$(UV) run ruff format --check .
	$(UV) run ruff check .
	$(UV) run lint-imports
	$(UV) run python tools/check_house.py
	$(UV) run python tools/gen_protos.py --check
	$(UV) run python tools/gen_reference.py --check
	$(UV) run python tools/gen_locks.py --check

types:
	$(UV) run mypy packages/*/src tools

protos:
	$(UV) run python tools/gen_protos.py

# dist/third-parties.txt holds what ours need from elsewhere, and none of our own names; SHA256SUMS is what images take.
wheels:
	$(UV) build --all-packages --wheel --no-sources --out-dir dist
	$(UV) export --quiet --all-packages --no-emit-workspace --no-dev --no-hashes \
		--output-file dist/third-parties.txt
	cd dist && sha256sum -- *.whl > SHA256SUMS

locks:
	$(UV) run python tools/gen_locks.py

# PKG=pydra-pizza; a release gives CORE_IMAGE by digest, and pushes.
PKG ?= pydra-pizza
image: wheels
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) docker buildx build --file images/driver.Dockerfile \
		--target $(if $(filter pydra-core,$(PKG)),pydra-core,driver) --build-arg PACKAGE=$(PKG) \
		$(if $(CORE_IMAGE),--build-arg CORE_IMAGE=$(CORE_IMAGE)) \
		--build-arg REVISION=$$(git rev-parse HEAD) --tag $(PKG):dev .

demo:
	$(UV) run pydra demo

# A release: fold the fragments and merge that, then see that everything is ready. The release workflow makes the tag.
changelog:
	$(UV) run python tools/release.py changelog $(PKG)

release:
	$(UV) run python tools/release.py check $(PKG)

workflows:
	$(UV) run python tools/check_workflows.py
