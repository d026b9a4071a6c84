"""The report: it is drawn in a process of its own (`lowmem_serve.isolated`), so that neither pandas nor matplotlib is
ever in a worker: the process imports this module, and nothing of the application besides.
"""

import io
import sqlite3
from contextlib import closing


def draw(database: str) -> bytes:
    """The notes of each day, as a PNG."""
    # Here, and not above: the worker imports this module, too.
    import matplotlib

    matplotlib.use("Agg")
    import pandas
    from matplotlib import pyplot

    with closing(sqlite3.connect(database)) as connection:
        notes = pandas.read_sql_query("SELECT date(written_at) AS day FROM note", connection)
    figure, axes = pyplot.subplots(figsize=(6, 3))
    days = notes.groupby("day").size()
    axes.bar(list(days.index), list(days))
    axes.set_title(f"{len(notes)} notes")
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    return drawn.getvalue()
