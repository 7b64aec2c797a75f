"""A TCP proxy on loopback whose connections suffer what networks do: delays, stalls, half-closed ends and cuts."""

import asyncio
import collections
import random
import threading

# What happens to a connection, how often of a hundred.
FAULTS = {"clean": 25, "delayed": 25, "stalled": 15, "half-closed": 15, "cut": 20}
# Bytes after which it happens, in powers of ten: from within the first messages to after seconds of traffic.
BYTES_FROM, BYTES_TO = 2, 5.7
LONGEST_STALL = 4.0
LONGEST_DELAY = 0.03


class FaultyProxy:
    """Listens on one port for each target port. Connections that are made while `faulty` have a fault drawn for them."""

    def __init__(self, ports, targets, seed):
        self.random = random.Random(seed)
        self.faulty = True
        self.counts = collections.Counter()
        self.loop = asyncio.new_event_loop()
        self.writers = set()
        started = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(list(zip(ports, targets)), started))
        self.thread.start()
        if not started.wait(20):
            raise RuntimeError("the proxy does not start")

    def _run(self, pairs, started):
        asyncio.set_event_loop(self.loop)

        async def listen():
            for port, target in pairs:
                await asyncio.start_server(lambda r, w, target=target: self._connection(r, w, target), "127.0.0.1", port)
            started.set()

        self.loop.create_task(listen())
        self.loop.run_forever()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    def cut_all(self):
        """Ends every connection there is."""
        def cut():
            for writer in list(self.writers):
                writer.transport.abort()
        self.loop.call_soon_threadsafe(cut)

    def close(self):
        self.cut_all()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(20)

    async def _connection(self, reader, writer, target):
        fault = self.random.choices(list(FAULTS), FAULTS.values())[0] if self.faulty else "clean"
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.transport.abort()
            return
        self.counts[fault] += 1
        both = (writer, to_writer)
        self.writers.update(both)
        # One of the two directions has the fault, at this byte.
        at = int(10 ** self.random.uniform(BYTES_FROM, BYTES_TO))
        first = self.random.random() < 0.5
        tasks = [asyncio.ensure_future(self._pump(reader, to_writer, fault if first else "clean", at)),
                 asyncio.ensure_future(self._pump(to_reader, writer, "clean" if first else fault, at))]
        try:
            # A half-closed end leaves the other direction as it is; whatever else ends a direction ends both.
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if any(task.result() == "half-closed" for task in done):
                await asyncio.wait(tasks, timeout=2 * LONGEST_STALL)
        finally:
            for task in tasks:
                task.cancel()
            for end in both:
                end.transport.abort()
            self.writers.difference_update(both)

    async def _pump(self, reader, writer, fault, at):
        """Moves bytes until the direction ends, and says how it ended."""
        moved = 0
        try:
            while data := await reader.read(65536):
                if fault == "delayed":
                    await asyncio.sleep(self.random.uniform(0, LONGEST_DELAY))
                if moved <= at < moved + len(data) and fault in ("stalled", "half-closed", "cut"):
                    # In the middle of a message, most often.
                    writer.write(data[:at - moved])
                    if fault == "stalled":
                        await asyncio.sleep(self.random.uniform(0, LONGEST_STALL))
                        writer.write(data[at - moved:])
                    elif fault == "half-closed":
                        writer.write_eof()
                        return "half-closed"
                    else:
                        return "cut"
                else:
                    writer.write(data)
                await writer.drain()
                moved += len(data)
        except OSError:
            pass
        return "ended"
