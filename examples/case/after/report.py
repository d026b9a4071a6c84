"""The report's figure. It runs in an isolated call: what it imports is gone when it has been drawn."""

import io
import os
import sqlite3


def hours_by_topic() -> bytes:
    """The hours that users are enrolled for, by topic, as PNG."""
    import matplotlib
    import pandas

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    query = "SELECT topic, hours FROM user JOIN course ON course.id = course_id"
    frame = pandas.read_sql_query(query, sqlite3.connect(os.environ["CASE_DB"]))
    figure, axes = plt.subplots()
    frame.groupby("topic").hours.sum().plot.bar(ax=axes)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()
