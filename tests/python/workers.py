"""Environments that step in worker processes of their own."""

import multiprocessing

import contrary


def serve(connection):
    """In the worker process: steps until the connection ends."""
    environment = contrary.Counting()
    while True:
        try:
            method, argument = connection.recv()
            connection.send(getattr(environment, method)(argument))
        except EOFError:
            return


class Working(contrary.Counting):
    """Steps in one worker process, which a start method of multiprocessing's makes."""

    start_method = ""

    def __init__(self):
        super().__init__()
        self.connection = self.worker = None
        self.start_worker()

    def start_worker(self):
        context = multiprocessing.get_context(self.start_method)
        self.connection, other = context.Pipe()
        self.worker = context.Process(target=serve, args=(other,), daemon=True)
        self.worker.start()
        other.close()

    def asked(self, *message):
        self.connection.send(message)
        return self.connection.recv()

    def reset(self, seed=None):
        return self.asked("reset", seed)

    def step(self, action):
        return self.asked("step", action)


class Spawning(Working):
    start_method = "spawn"


class ForkServing(Working):
    start_method = "forkserver"


class Forking(Working):
    """Starts its worker anew for each episode, and leaves the last one to multiprocessing to end."""

    start_method = "fork"

    def reset(self, seed=None):
        self.worker.terminate()
        self.worker.join()
        self.start_worker()
        return super().reset(seed)
