"""Named experiments: `load` the pictures, `train` by a recipe, `evaluate`; or run and record them.

``python -m experiments`` lists them. Importing this chooses no backend before one is needed.
"""


def __getattr__(name):
    """Import what is asked for when it is: the table of recipes needs no Keras."""
    if name in ("train", "evaluate"):
        from experiments import training  # noqa: PLC0415

        return getattr(training, name)
    if name == "load":
        from experiments.data import load  # noqa: PLC0415

        return load
    raise AttributeError(f"module 'experiments' has no attribute {name!r}")
