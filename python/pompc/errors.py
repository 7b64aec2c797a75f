"""What the package raises."""


class Refused(Exception):
    """What was given cannot be used: arguments, an environment, or both together with the run's settings. Trying again
    changes nothing. Programs end with exit status 2."""


class Failed(Exception):
    """Something else is wrong, which trying again later may not mend. Programs end with exit status 1."""
