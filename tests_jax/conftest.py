"""Keras's JAX backend, for `python -m pytest tests_jax`; chosen before Keras is imported."""

import os

os.environ["KERAS_BACKEND"] = "jax"
# To compile takes most of the time here; so little is run that it needn't be fast.
FLAGS = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
os.environ.setdefault("XLA_FLAGS", FLAGS)
