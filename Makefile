# Two commands for a fresh machine: `make demo` and `make test`. Each has a virtual environment of its own.
# `make test-slow` runs the tests that `make test` leaves out, and `make format` mends what it would complain about.

PYTHON ?= python3
INSTALL = -m pip install --quiet --disable-pip-version-check -c constraints.txt

PYTEST = .venv/test/bin/python -m pytest -n $(or $(JOBS),2) --dist worksteal

.PHONY: demo test test-slow format clean

demo: .venv/demo/done
	mkdir -p demo_out
	.venv/demo/bin/mixcli sagemix --in sample_data/clouds/train_files.txt --ckpt sample_data/dgcnn.pt \
		--out demo_out/mixed.h5 -k 4 --overwrite
	.venv/demo/bin/mixcli inspect demo_out/mixed.h5
	.venv/demo/bin/mixcli verify demo_out/mixed.h5 --replay 16
	@echo
	@echo "The mixed dataset is demo_out/mixed.h5. Next, with your own files:"
	@echo "  . .venv/demo/bin/activate"
	@echo "  mixcli sagemix --in YOUR.h5 --ckpt YOUR.pt --out mixed.h5 -k 4"
	@echo "  mixcli sagemix --help"

test: .venv/test/done
	.venv/test/bin/ruff check .
	.venv/test/bin/ruff format --check .
	.venv/test/bin/mypy
	$(PYTEST) --tier quick

test-slow: .venv/test/done
	$(PYTEST) --tier slow

format: .venv/test/done
	.venv/test/bin/ruff check --fix .
	.venv/test/bin/ruff format .

.venv/demo/done: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv/demo
	.venv/demo/bin/python $(INSTALL) -e .
	touch $@

.venv/test/done: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv/test
	.venv/test/bin/python $(INSTALL) -e '.[test]'
	touch $@

clean:
	rm -rf .venv demo_out build *.egg-info
