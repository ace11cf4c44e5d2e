# Everything runs in a virtual environment of its own, made on first use.
ifeq ($(OS),Windows_NT)
PYTHON ?= python
BIN := .venv/Scripts
else
PYTHON ?= python3
BIN := .venv/bin
endif

# oneDNN's kernels train about 1.4 times as fast on processors where TensorFlow leaves them off.
export TF_ENABLE_ONEDNN_OPTS ?= 1
export TF_CPP_MIN_LOG_LEVEL ?= 3

# What tools.install leaves to be compiled is compiled once, by who imports it first.
unexport PYTHONDONTWRITEBYTECODE

# A process a core, but no more than memory allows: each holds TensorFlow. Files go to them in the
# order of tests/conftest.py.
WORKERS := -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

SEEDS ?= 0

# For every platform, from Python 3.11 on; without --upgrade a lock that is there holds its versions.
LOCK_BY := $(BIN)/uv pip compile --quiet --universal --generate-hashes --upgrade \
	--python-version 3.11 --no-annotate --custom-compile-command 'make lock'

.PHONY: run full test fuzz lint audit coverage app screenshots export space deploy-space
.PHONY: benchmarks experiments runs tables lock clean help

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 8

run: .venv/ready  ## Run both notebooks in the quick profile
	$(BIN)/python -m tools.run_notebooks quick

full: .venv/ready  ## Run both notebooks in the full profile
	$(BIN)/python -m tools.run_notebooks full

test: .venv/dev  ## Run the tests
	$(BIN)/python -m pytest $(WORKERS)
	$(BIN)/python -m pytest $(WORKERS) tests_jax

fuzz: .venv/dev  ## Try 100,000 inputs on the readers of batches and names files
	FUZZ_INPUTS=100000 TQDM_DISABLE=1 $(BIN)/python -m pytest tests/test_fuzz.py --hypothesis-show-statistics

lint: .venv/dev  ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

audit: .venv/dev  ## Look for known vulnerabilities of the installed packages; offline it only says so
	@mkdir -p build
	@$(BIN)/pip-audit --local --progress-spinner off > build/audit.txt 2>&1 \
		|| ! grep -q '^Found [0-9]* known' build/audit.txt; status=$$?; cat build/audit.txt; exit $$status

coverage: .venv/dev  ## Run the tests and show which lines they don't reach; less than 95 % fails
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest $(WORKERS)
	$(BIN)/coverage run -m pytest $(WORKERS) tests_jax
	$(BIN)/coverage report --skip-covered --show-missing --fail-under=95

app: .venv/ready  ## Serve the page on 127.0.0.1
	$(BIN)/python app.py

screenshots: .venv/dev  ## Take the README's pictures of the page; needs Chromium
	$(BIN)/python -m tools.take_screenshots

export: .venv/dev  ## Write the page's models as ONNX and LiteRT to build/export
	$(BIN)/python -m tools.export_model

space: .venv/ready  ## Put together a Hugging Face Space in build/space
	$(BIN)/python -m tools.make_space

deploy-space: .venv/ready  ## Upload it: make deploy-space SPACE=owner/name, with HF_TOKEN set
	$(BIN)/python -m tools.make_space $(or $(SPACE),$(error SPACE is not set: make deploy-space SPACE=owner/name))

benchmarks: .venv/dev  ## Compare speed with peers, as ratios; after a run, on idle cores
	for name in convert read predict train page; do PYTHONPATH=. $(BIN)/python benchmarks/$$name.py || exit; done

experiments: .venv/ready  ## List the named experiments
	$(BIN)/python -m experiments

runs: .venv/ready  ## Train one: make runs NAME=airbench94 SEEDS=0-4; after a run
	$(BIN)/python -m experiments run $(or $(NAME),$(error NAME is not set: make runs NAME=airbench94)) --seeds $(SEEDS)

tables: .venv/ready  ## Put the tables of results and models into their READMEs
	$(BIN)/python -m experiments tables

clean:  ## Remove the virtual environment, converted data and checkpoints; an archive stays
	rm -rf .venv build .pytest_cache .ruff_cache .coverage*
	rm -rf data/images data/sample data/checkpoints data/cifar-10-batches-py data/*.txt data/*.json data/*.npz
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

lock: .venv/dev  ## Lock the newest versions that the requirements allow
	$(LOCK_BY) requirements-dev.txt -o requirements-dev.lock
	$(LOCK_BY) requirements.txt -c requirements-dev.lock -o requirements.lock

.venv/ready: requirements.txt requirements.lock
	$(PYTHON) -m tools.install requirements
	touch $@

.venv/dev: .venv/ready requirements-dev.txt requirements-dev.lock
	$(BIN)/python -m tools.install requirements-dev
	touch $@
