"""More than one process: who takes part (``hosts``), how they are started (``launch``), how they talk (``group``)."""
