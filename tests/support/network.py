"""The network between processes on loopback, whose links can be cut, slowed down and made to swallow everything.

A link is a port on which one process reaches one server. Its bytes go through this process.
"""

import asyncio
import threading

CHUNK_BYTES = 65536


class Link:
    """From one process to one server. Thread-safe."""

    def __init__(self, loop, source, target, target_port):
        self.loop, self.source, self.target, self.target_port = loop, source, target, target_port
        self.port = None
        self.connections = set()
        # Seconds that every piece of at most CHUNK_BYTES takes, one after the other, in each direction.
        self.delay = 0.0
        self.passes = asyncio.Event()
        self.passes.set()

    def freeze(self):
        """Nothing goes through any more and nobody is told, as when a cable was pulled."""
        self.loop.call_soon_threadsafe(self.passes.clear)

    def thaw(self):
        """What was sent meanwhile arrives."""
        self.loop.call_soon_threadsafe(self.passes.set)

    def slow_down(self, delay):
        self.delay = delay

    def cut(self):
        """Ends the connections there are. New ones can be made."""
        self.loop.call_soon_threadsafe(lambda: [writer.transport.abort() for writer in self.connections])

    async def serve(self, reader, writer):
        self.connections.add(writer)
        ends = [writer]
        try:
            await self.passes.wait()
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
            self.connections.add(to_writer)
            ends.append(to_writer)
            pumps = [asyncio.ensure_future(self.pump(reader, to_writer)),
                     asyncio.ensure_future(self.pump(to_reader, writer))]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
        except OSError:
            pass
        finally:
            for end in ends:
                end.transport.abort()
            self.connections.difference_update(ends)

    async def pump(self, reader, writer):
        try:
            while data := await reader.read(CHUNK_BYTES):
                if self.delay > 0:
                    await asyncio.sleep(self.delay)
                await self.passes.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass


class Network:
    """All links, served by one thread."""

    def __init__(self):
        self.links = []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.loop.close()

    def connect(self, source, target, target_port):
        """The port on which `source` reaches `target`, which listens on `target_port` when it runs."""

        async def listen():
            link = Link(self.loop, source, target, target_port)
            server = await asyncio.start_server(link.serve, "127.0.0.1", 0)
            link.port = server.sockets[0].getsockname()[1]
            return link

        link = asyncio.run_coroutine_threadsafe(listen(), self.loop).result(20)
        self.links.append(link)
        return link.port

    def of(self, name):
        """The links from and to a process."""
        return [link for link in self.links if name in (link.source, link.target)]

    def close(self):
        for link in self.links:
            link.cut()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(20)
