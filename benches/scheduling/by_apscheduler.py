"""APScheduler, in a process of its own."""

from apscheduler.schedulers.blocking import BlockingScheduler

from scheduling import work

scheduler = BlockingScheduler()
scheduler.add_job(work.mark, "interval", hours=1)

if __name__ == "__main__":
    scheduler.start()
