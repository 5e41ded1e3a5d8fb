"""A no-op job from submission to result, nothing kept: at 1 and at 64 in flight."""

import asyncio

from kit import attempts, measured, told

IN_FLIGHT = (1, 64)


def python_tty(name):
    from python_tty.executor import CommandExecutor, Invocation

    loop = asyncio.new_event_loop()

    async def started():
        executor = CommandExecutor(workers=64)
        executor.start(loop)
        return executor

    executor = loop.run_until_complete(started())

    async def one(number):
        run_id = executor.submit(Invocation(command_id="noop", lock_key=str(number)), handler=lambda _: None)
        await executor.wait_result(run_id)

    _in_flight(name, loop, one)
    loop.run_until_complete(executor.shutdown(wait=False))


def taskiq(name):
    from taskiq import InMemoryBroker

    broker = InMemoryBroker()

    @broker.task
    async def noop():
        return None

    loop = asyncio.new_event_loop()
    loop.run_until_complete(broker.startup())

    async def one(_):
        task = await noop.kiq()
        await task.wait_result(check_interval=0.0001)

    _in_flight(name, loop, one)
    loop.run_until_complete(broker.shutdown())


def dramatiq(name):
    import dramatiq as library
    from dramatiq.brokers.stub import StubBroker

    broker = StubBroker()
    library.set_broker(broker)

    @library.actor
    def noop():
        return None

    worker = library.Worker(broker, worker_timeout=1)
    worker.start()

    def work(count):
        for _ in range(count):
            noop.send()
        broker.join(noop.queue_name)

    told(name, "64 in flight", measured(work, 64))
    worker.stop()


def _in_flight(peer, loop, one):
    for many in IN_FLIGHT:

        async def rounds(count, many=many):
            for start in range(0, count, many):
                await asyncio.gather(*[one(number) for number in range(min(many, count - start))])

        told(peer, f"{many} in flight", measured(lambda count, go=rounds: loop.run_until_complete(go(count)), many))


attempts(
    {
        "python-tty CommandExecutor": python_tty,
        "taskiq, in memory": taskiq,
        "dramatiq, stub broker": dramatiq,
    }
)
