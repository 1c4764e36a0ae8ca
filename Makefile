# The few commands a contributor types. `.ci/run` runs the same checks.
UV := $(shell command -v uv || echo .uv/bin/uv)

.PHONY: check test lint types protos wheels demo

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

types:
	$(UV) run mypy packages/*/src tools

protos:
	$(UV) run python tools/gen_protos.py

# dist/third-parties.txt holds what ours need from elsewhere, and none of our own names.
wheels:
	$(UV) build --all-packages --wheel --no-sources --out-dir dist
	$(UV) export --quiet --all-packages --no-emit-workspace --no-dev --no-hashes \
		--output-file dist/third-parties.txt

demo:
	$(UV) run pydra demo
