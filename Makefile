# What can be made; `make` alone prints it. Long steps write their output to build/*.log.

PYTHON := .venv/bin/python
FUZZ_SECONDS ?= 60
# what ends when make does, even if that is killed
WITH_MAKE := setpriv --pdeathsig TERM

C_FLAGS := -std=gnu11 -O1 -g -Wall -Wextra -Werror -fno-omit-frame-pointer \
	-Inative/include -Inative/src -Inative/tests
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all
C_SOURCES := $(wildcard native/src/*.c)
C_HEADERS := $(wildcard native/include/*.h native/src/*.h)
TEST_OBJECTS := $(C_SOURCES:native/src/%.c=build/test-c/%.o)
FUZZ_OBJECTS := $(C_SOURCES:native/src/%.c=build/fuzz/%.o)
C_TESTS := $(patsubst native/tests/%.c,build/test-c/%,$(wildcard native/tests/test_*.c))
FUZZERS := $(patsubst native/tests/%.c,build/fuzz/%,$(wildcard native/tests/fuzz_*.c))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup run test test-c test-py vm vm-lock vm-run vm-test netns lint format asan fuzz
.PHONY: bench clean packages packages-fuzz packages-vm c-tests fuzzers

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12

setup: build/native.stamp ## install what is missing: Debian packages, .venv, the C engine

run: setup ## the demonstration: a lab, the firewall in it, traffic, then its CLI
	@$(PYTHON) -m vm.demo

test: test-c test-py ## every test but those that boot a machine

test-c: packages ## tests of the C engine, with address and undefined-behaviour sanitizers
	@$(call build,c-tests,building the C tests)
	@failed=; for test in $(C_TESTS); do \
		printf '%s: ' "$${test##*/}"; timeout 300 $$test || failed="$$failed $${test##*/}"; \
	done; \
	[ -z "$$failed" ] || { echo "failed:$$failed" >&2; exit 1; }

test-py: setup ## tests in Python, those in network namespaces included
	@.venv/bin/pytest tests -m "not vm"

vm: setup packages-vm ## the image of the machine: build/vm, from Debian packages and this checkout
	@$(WITH_MAKE) $(PYTHON) -m vm.image

vm-lock: setup packages-vm ## the same with today's Debian packages, recorded in vm/packages.lock
	@$(WITH_MAKE) $(PYTHON) -m vm.image --lock

vm-run: setup packages-vm ## the demonstration with the firewall as a machine, then its CLI
	@$(WITH_MAKE) $(PYTHON) -m vm.run

vm-test: vm ## tests with the firewall as a machine: builds its image, boots it
	@$(WITH_MAKE) .venv/bin/pytest -v tests -m vm

netns: setup ## only the tests in network namespaces
	@.venv/bin/pytest tests -m netns

lint: setup ## style, types and import rules
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

format: setup ## put the Python files into shape
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

asan: setup ## Python tests of engine and dataplane, with a sanitized engine
	@CFLAGS="-O1 -fno-omit-frame-pointer $(SANITIZE)" scripts/logged asan-build \
		"building the engine with sanitizers" \
		$(PYTHON) setup.py --quiet build --build-base build/asan-temp --build-lib build/asan
	@LD_PRELOAD="$$(gcc -print-file-name=libasan.so)" ASAN_OPTIONS=detect_leaks=0 \
		.venv/bin/pytest -o 'pythonpath=build/asan .' tests/native tests/dataplane

fuzz: packages-fuzz ## every fuzz target for FUZZ_SECONDS (60), starting from its corpus
	@$(call build,fuzzers,building the fuzz targets)
	@for fuzzer in $(FUZZERS); do \
		name=$${fuzzer##*/}; seeds=native/tests/corpus/$${name#fuzz_}; found=build/fuzz/corpus-$$name; \
		mkdir -p $$found; echo "$$name for $(FUZZ_SECONDS) s"; \
		$$fuzzer -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=build/fuzz/ -print_final_stats=1 \
			$$found $$( [ ! -d $$seeds ] || echo $$seeds ) >build/$$name.log 2>&1 \
			|| { tail -n 40 build/$$name.log >&2; exit 1; }; \
		sed -n 's/^stat::number_of_executed_units: */  inputs tried: /p' build/$$name.log; \
	done

bench: setup ## measure the firewall beside the kernel and accept-everything programs
	@$(PYTHON) -m tests.bench

clean: ## remove what was built; .venv stays
	@rm -rf build native/_engine.c native/_engine*.so *.egg-info \
		.mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

packages:
	@scripts/packages run

packages-fuzz: packages
	@scripts/packages fuzz

packages-vm: packages
	@scripts/packages vm

# in parallel and quietly, and without a word where there is nothing to do
build = $(MAKE) --silent --question $1 || \
	scripts/logged $1 "$2" $(MAKE) --no-print-directory --jobs=$$(nproc) $1

c-tests: $(C_TESTS)

fuzzers: $(FUZZERS)

.venv/installed.stamp: pyproject.toml setup.py scripts/environment | packages
	@scripts/environment
	@touch $@

build/native.stamp: $(C_SOURCES) $(C_HEADERS) native/build_ffi.py .venv/installed.stamp | packages
	@scripts/logged native "building the C engine" \
		$(PYTHON) setup.py --quiet build_ext --inplace --force
	@touch $@

$(TEST_OBJECTS): build/test-c/%.o: native/src/%.c $(C_HEADERS)
	@mkdir -p $(@D)
	gcc $(C_FLAGS) $(SANITIZE) -c -o $@ $<

$(C_TESTS): build/test-c/%: native/tests/%.c $(TEST_OBJECTS) $(wildcard native/tests/*.h)
	gcc $(C_FLAGS) $(SANITIZE) -o $@ $(filter %.c %.o,$^) -lmnl -lpcap

$(FUZZ_OBJECTS): build/fuzz/%.o: native/src/%.c $(C_HEADERS)
	@mkdir -p $(@D)
	clang $(C_FLAGS) -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -c -o $@ $<

$(FUZZERS): build/fuzz/%: native/tests/%.c $(FUZZ_OBJECTS) $(wildcard native/tests/*.h)
	clang $(C_FLAGS) -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
		-o $@ $(filter %.c %.o,$^) -lmnl -lpcap
