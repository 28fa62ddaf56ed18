"""What is ready, what is wrong, and how to mend it: the checks behind ``hegelion-console doctor`` and its screen."""
