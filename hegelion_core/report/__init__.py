"""A run as one HTML page with pictures, which opens without a network.

``collect`` reads a run's files, ``page`` makes the page of what it found, ``write`` does both. ``markup`` and ``chart``
draw; both are pure.
"""
