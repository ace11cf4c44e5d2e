"""Stands before the package of this name, which Jupyter brings along, in the processes of Ray.

jsonschema imports it if it can, and it then builds a grammar for five seconds: more than all else
that Ray's processes, six on a head, do to start.
"""

raise ImportError("left out to start faster")
