# Every target works from a fresh clone: what it needs is set up in .venv first, from a lock, once per content of that lock.

PYTHON ?= $(shell python3.11 -c '' 2>/dev/null && echo python3.11 || echo python3)
ARGS ?=

# A stamp is named after all that its set-up depends on, so "is it done?" is one look at the disk.
stamp = .venv/$(1)-$(firstword $(shell { cat $(2) pyproject.toml 2>/dev/null; echo '$(CURDIR)'; } | sha256sum)).stamp
RUNTIME := $(call stamp,runtime,requirements.lock)
DEV := $(call stamp,dev,requirements-dev.lock)

.ONESHELL:
.SHELLFLAGS := -euc
.DEFAULT_GOAL := help
.PHONY: help search dashboard test lint bench install lock clean

help: ## list the targets (the default)
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

search: $(RUNTIME) ## search sst2 with 50 trials or for 4 minutes; options: make search ARGS="--output folder"
	@.venv/bin/python -m automl.search --task sst2 --budget 50 --time-limit 240 $(ARGS)

dashboard: $(RUNTIME) ## open the dashboard over runs/studies.db; options: make dashboard ARGS="--port 8600"
	@exec .venv/bin/python -m automl.dashboard $(ARGS)

test: $(DEV) ## run every test, in two processes; options: make test ARGS="-n 0 -k spaces -x"
	@.venv/bin/python -m pytest -n 2 --dist loadfile $(ARGS)

lint: $(DEV) ## check style, format, types and the files of docker/
	@status=0
	.venv/bin/python -m ruff check . || status=1
	.venv/bin/python -m ruff format --check . || status=1
	.venv/bin/python -m mypy || status=1
	.venv/bin/hadolint docker/Dockerfile || status=1
	.venv/bin/check-jsonschema -q --builtin-schema vendor.compose-spec docker/compose.yaml || status=1
	.venv/bin/shellcheck docker/reading-role.sh .ci/run || status=1
	exit $$status

bench: $(DEV) ## time a search; options: make bench ARGS=...
	@.venv/bin/python -m benchmarks.make_search $(ARGS)

install: $(RUNTIME) ## set up .venv with what a search needs

$(RUNTIME):
	$(call set-up,requirements.lock,$(RUNTIME))

$(DEV):
	$(call set-up,requirements-dev.lock,$(RUNTIME) $(DEV))

# $(1): the lock; $(2): the stamps that it earns. One set-up at a time; `unfinished` marks a .venv whose set-up was killed,
# and such a one is made anew. When pip itself gives up (no network), what was there before still stands.
# Byte code is compiled on all cores and only where a search may look: pip would take twice the time and space.
define set-up
@exec 9<Makefile; flock 9; exec >&2
if [ -e $@ ]; then exit 0; fi
echo "Setting up .venv from $(1): about a minute, once ..."
if [ ! -e .venv/pyvenv.cfg ] || [ -e .venv/unfinished ]; then
    if ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
        echo "error: '$(PYTHON)' is not Python 3.11, which $(1) is for: install it, or name it: make PYTHON=/path/to/python3.11"
        exit 1
    fi
    rm -rf .venv; mkdir .venv; touch .venv/unfinished
    $(PYTHON) -m venv .venv
fi
find .venv -maxdepth 1 -name '*.stamp' ! -path '$(RUNTIME)' -delete; touch .venv/unfinished
status=0; .venv/bin/python -m pip install -q --require-hashes --no-compile -r $(1) || status=$$?
if [ $$status -ne 0 ]; then
    if [ $$status -lt 128 ]; then rm .venv/unfinished; fi
    echo "error: pip could not install $(1); see 'Setting up' in CONTRIBUTING.md (torch must come from PyTorch's CPU builds)"
    exit 1
fi
.venv/bin/python -m compileall -qq -j 0 -x '/tests?/|/testing/|transformers/models/' .venv/lib || true
.venv/bin/python -m pip install -q --no-deps --no-build-isolation --no-index -e .
touch $(2); rm .venv/unfinished
endef

UV_COMPILE = uv pip compile -q --python-version 3.11 --generate-hashes --no-annotate --no-header

lock: ## bring both locks up to pyproject.toml; newer versions: make lock ARGS=--upgrade
	@tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT
	$(PYTHON) -m venv "$$tmp"; "$$tmp/bin/pip" install -q uv==0.13.8
	export PATH="$$tmp/bin:$$PATH" UV_FIND_LINKS="$${UV_FIND_LINKS:-$${PIP_FIND_LINKS:-}}"
	$(UV_COMPILE) $(ARGS) pyproject.toml --extra dashboard --extra postgres --group build -o requirements.lock
	$(UV_COMPILE) $(ARGS) pyproject.toml --extra dashboard --extra postgres --group build --group dev -c requirements.lock -o requirements-dev.lock
	if grep -nE '://|^(nvidia|triton|cuda)' requirements.lock requirements-dev.lock; then
	    echo "error: these lines must not be in a lock: was torch taken from elsewhere than the CPU builds?" >&2; exit 1
	fi

clean: ## remove .venv and everything built
	@rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
