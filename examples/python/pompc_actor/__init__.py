"""The parts of actor.py, under a name that no environment's own modules have. Importing them adds nothing else of ours
to what an environment can import: the messages of proto/ live in no module and in no shared pool of descriptors."""


class Refused(Exception):
    """What the process was given cannot be used: flags, an environment, or both together with the run's settings.
    Starting it again changes nothing. Exit status 2."""


class Failed(Exception):
    """The process cannot go on. Exit status 1."""
