"""A no-op job that is on the disk when it is accepted, to its result: one after the other."""

import tempfile
import threading

from kit import attempts, measured, told


def huey(name):
    from huey import SqliteHuey

    queue = SqliteHuey(filename=f"{folder}/huey.db")

    @queue.task()
    def noop():
        return 1

    consumer = queue.create_consumer(workers=1, worker_type="thread", initial_delay=0.0001, max_delay=0.001)
    consumer.start()

    def work(count):
        for _ in range(count):
            noop().get(blocking=True, backoff=1.0, max_delay=0.0005)

    told(name, "1 in flight", measured(work, 4))
    consumer.stop(graceful=True)


def apscheduler(name):
    from apscheduler.schedulers.background import BackgroundScheduler

    scheduler = BackgroundScheduler()
    scheduler.add_jobstore("sqlalchemy", url=f"sqlite:///{folder}/apscheduler.db")
    scheduler.start()

    def work(count):
        for _ in range(count):
            scheduler.add_job("__main__:release", misfire_grace_time=None)
            done.acquire()

    told(name, "1 in flight", measured(work, 2))
    scheduler.shutdown()


done = threading.Semaphore(0)


def release():
    """What APScheduler runs; it knows it by its name."""
    done.release()


with tempfile.TemporaryDirectory(prefix="trunnion-peers-") as folder:
    attempts(
        {
            "huey SqliteHuey": huey,
            "APScheduler, SQLite": apscheduler,
        }
    )
