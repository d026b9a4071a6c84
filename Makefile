# The commands of this project. Each is one script, which installs what it needs.
#   make serve PORT=8080 ARGS="--workers 2"
#   make test  ARGS="-k lifespan"

.PHONY: help serve test lint format fuzz wheels wheel-test docker-test images bench density micro gate clean

help: ## these lines
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

serve: ## build, and serve the Quart example on PORT (8000)
	@scripts/serve.sh $(ARGS)

test: ## all tests: cargo's, the wheel's, pytest's
	@scripts/test.sh $(ARGS)

lint: ## formatting and lints of Rust and Python
	@scripts/lint.sh

format: ## put right what the formatters and ruff can
	@scripts/lint.sh --fix

fuzz: ## the fuzz targets, a minute each; ARGS="--seconds 600 hpack"
	@scripts/fuzz.sh $(ARGS)

wheel-test: ## the wheel, built from a source distribution, in every CPython found
	@scripts/wheel-test.sh --from-sdist

wheels: ## the source distribution and the wheels of a release that this machine can build, checked
	@scripts/wheels.sh $(ARGS)

docker-test: ## build the image on a local Debian base, and run it
	@scripts/docker-test.sh

images: ## sizes of images and memory of containers beside Uvicorn, Granian and node on the same base
	@scripts/images.sh

bench: ## compare with other servers; ARGS=--quick for a minute instead of half an hour
	@scripts/bench.sh $(ARGS)

density: ## memory of 1, 5, 10 and 20 applications beside Uvicorn and Granian, and its picture
	@scripts/density.sh $(ARGS)

micro: ## time the pure parts of a request's way: parsing, framing, serialising
	cargo bench --locked -p lowmem-serve-micro $(ARGS)

gate: ## fail if idle memory or instructions a request have grown over benches/recorded.json
	@scripts/gate.sh $(ARGS)

clean: ## remove what was built and installed in this tree
	rm -rf target build dist .venv benches/.venv python/*.egg-info .pytest_cache .ruff_cache
