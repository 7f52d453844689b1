# SPDX-License-Identifier: Apache-2.0
# A cloud of PCs on one machine: see README.rst.

PYTHON = /usr/bin/python3
LAB = $(PYTHON) -m devstack.lab
PEERS = 4
HORIZON = 0
PC =

.PHONY: help cloud cloud-down
.PHONY: pc-off pc-on pc-unplug pc-plug pc-status pc-add
.PHONY: test test-fast test-all bench

help:
	@echo 'make cloud [PEERS=n] [HORIZON=1]  a real cloud on this machine (root)'
	@echo 'make cloud-down                   takes it away again'
	@echo 'make pc-off PC=n, pc-on PC=n      power cut of a PC, and power back'
	@echo 'make pc-unplug PC=n, pc-plug PC=n its network cable out, and in again'
	@echo 'make pc-status PC=n               what the owner of a PC sees'
	@echo 'make pc-add                       one more PC joins the running cloud'
	@echo 'make test-fast                    the tests that take less than a minute'
	@echo 'make test                         all tests, real VMs included (root)'
	@echo 'make test-all                     the slow ones too'
	@echo 'make bench                        print figures, on a cloud at rest'

# The smallest of Debian's installations have no Python.
$(PYTHON):
	@test "$$(id -u)" = 0 && command -v apt-get >/dev/null || \
	  { echo 'there is no $@; as root on Debian:' \
	    'apt-get install python3' >&2; exit 1; }
	@echo 'installing python3'
	@mkdir -p .cache/lab
	@export DEBIAN_FRONTEND=noninteractive; \
	  { apt-get update && \
	    apt-get install -y --no-install-recommends python3; \
	  } >.cache/lab/python.log 2>&1 || \
	  { tail .cache/lab/python.log >&2; exit 1; }

cloud: $(PYTHON)
	@$(LAB) up --pcs $(PEERS) $(if $(filter 1,$(HORIZON)),--horizon)

cloud-down:
	@$(LAB) down

pc-off pc-on pc-unplug pc-plug pc-status:
	@$(if $(PC),,$(error say which PC: make $@ PC=2))
	@$(LAB) $@ $(PC)

pc-add:
	@$(LAB) pc-add

test test-fast test-all: $(PYTHON)
	@$(LAB) $@

bench: cloud
	@for name in peer_at_rest get_info boot queries 'make_cloud --yes'; do \
	  echo; .venvs/cloud/bin/python -W ignore -m tests.benchmarks.$$name \
	    || exit; \
	done
