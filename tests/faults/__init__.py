"""Faults that come from outside, thousands of them from seeds, and what must hold after each.

``python -m tests.faults --cases N --seed S``, or ``make faults``. A case runs the real commands in a workspace of its
own, is struck once or more on the way, gives the same command again until it ends well, and is audited. Nothing in the
product knows of it: calls of the system are failed by ``inject/sitecustomize.py``, all else are signals, limits, a
terminal that goes away, a disk that is small and a teacher that hangs up.
"""
