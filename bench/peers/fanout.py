"""One producer, a hundred followers: seconds of one delivered event."""

import asyncio

from kit import attempts, measured, told

FOLLOWERS = 100
BETWEEN = 256


def queues(name):

    async def run(count):
        queues = [asyncio.Queue() for _ in range(FOLLOWERS)]
        readers = [asyncio.create_task(_read(queue, count)) for queue in queues]
        for number in range(count):
            for queue in queues:
                queue.put_nowait(number)
            if number % BETWEEN == 0:
                await asyncio.sleep(0)
        await asyncio.gather(*readers)

    told(name, "100 followers", measured(lambda count: asyncio.run(run(count)), 100) / FOLLOWERS)


async def _read(queue, count):
    for _ in range(count):
        await queue.get()


def psygnal(name):
    from psygnal import Signal

    class Source:
        said = Signal(int)

    source = Source()
    for _ in range(FOLLOWERS):
        source.said.connect([].append, check_nargs=False)

    def work(count):
        for number in range(count):
            source.said.emit(number)

    told(name, "100 followers", measured(work, 100) / FOLLOWERS)


def broadcaster(name):
    from broadcaster import Broadcast

    async def run(count):
        async with Broadcast("memory://") as broadcast:
            ready = asyncio.Semaphore(0)
            readers = [asyncio.create_task(_follow(broadcast, ready, count)) for _ in range(FOLLOWERS)]
            for _ in readers:
                await ready.acquire()
            for number in range(count):
                await broadcast.publish("channel", str(number))
            await asyncio.gather(*readers)

    told(name, "100 followers", measured(lambda count: asyncio.run(run(count)), 50) / FOLLOWERS)


async def _follow(broadcast, ready, count):
    async with broadcast.subscribe("channel") as subscriber:
        ready.release()
        async for _ in subscriber:
            count -= 1
            if not count:
                return


attempts(
    {
        "asyncio.Queue each": queues,
        "psygnal": psygnal,
        "broadcaster, in memory": broadcaster,
    }
)
