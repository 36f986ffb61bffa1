# The container image. The Makefile includes this.
#
# BUILDER builds it: docker where its daemon runs, else podman or buildah. PYTHON_IMAGE is the base, for example by digest.

IMAGE ?= callbot
PYTHON_IMAGE ?= python:3.13-slim
BUILDER ?= $(shell docker info >/dev/null 2>&1 && echo docker || command -v podman || command -v buildah)

.PHONY: image image-test

image:  ## build the container image
	@test -n "$(BUILDER)" || { echo "No docker, podman or buildah here: install one of them." >&2; exit 2; }
	$(BUILDER) build $(if $(filter docker,$(BUILDER)),,--format docker) --build-arg PYTHON_IMAGE=$(PYTHON_IMAGE) -t $(IMAGE) .

image-test: $(DEV_READY)  ## build the image and place calls through it (buildah, podman, runc)
	@$(BIN)/python tests/image/image_test.py $(ARGS)
