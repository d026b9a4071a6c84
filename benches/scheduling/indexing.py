"""An indexer as sites have it: it imports a large application, takes memory for its work, and marks when it is done."""


def reindex(number: int = 0) -> int:
    # Here, and not at the top, so that no peer imports it before it has a task.
    import boto3
    import pandas
    import sqlalchemy

    from scheduling import memory, work

    taken = memory.hold(500, 2.0)
    return work.mark(number) if taken and boto3 and pandas and sqlalchemy else -1
