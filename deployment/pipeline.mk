# What a pipeline folder puts into the world, done by the Makefile above it; TAG, DOCKER_USER and DOCKER_REGISTRY are as there.

PIPELINE := $(notdir $(CURDIR))
MAKEFLAGS += --no-print-directory
export TAG DOCKER_USER DOCKER_REGISTRY

.PHONY: build_image deploy_dags compose_up

build_image:
	@$(MAKE) -C .. build IMAGES=$(PIPELINE)

deploy_dags:
	@$(MAKE) -C .. deploy-dags PIPELINES=$(PIPELINE)

compose_up:
	@$(MAKE) -C .. up
